"""The report's table of encounters: what comes near, what it does to whom, and what was done about it."""

import numpy as np

from photdb.plots.curves import aperture_place
from photdb.report.markup import table, text
from photdb.report.tables import rows
from photdb.stages.corrections import kept_as_measured
from photdb.stages.meetings import KINDS, Meeting, called, corrected, events, meetings, worst_of
from photdb.stages.series import load_series
from photdb.store.arrays import read_circles, read_frames
from photdb.store.project import Project
from photdb.wording import numbers

_MOST = 20


def encounters(project: Project) -> str:
    """List what targets and references meet in the aperture of the best curve, the worst first."""
    looked = rows(project, "SELECT message FROM field")
    if not looked:
        return "<p>Nobody has looked for them yet (photdb suggest).</p>"
    notes = [note for note in (looked[0][0], kept_as_measured(project.connection)) if note is not None]
    said = "".join(f"<p>Note: {text(note)}.</p>" for note in notes)
    apertures = read_circles(project.connection)
    if not apertures:
        return said
    aperture = apertures[aperture_place(project, apertures, None, None)]
    series, frames = load_series(project, "asteroid", "variable", "reference"), read_frames(project.connection)
    p = next((p for p, a in enumerate(series.apertures) if a.id == aperture.id), None)
    if p is None:  # it is rejected
        return said
    number = dict(zip(frames.id.tolist(), frames.number.tolist(), strict=True))
    lines: list[tuple[Meeting, tuple[object, ...]]] = []
    for k, source in enumerate(series.sources):
        removed, mended = corrected(project, source.id)
        of_kind = {"star": removed, "ring": removed, "hot": mended, "cosmic": mended}
        points = set(series.frame_id[np.isfinite(series.mag[:, k, p])].tolist())
        for kind, near in meetings(project, source.id, moving=source.role == "asteroid").items():
            done = of_kind.get(kind, set())
            for event in events(frames, [r for r in near if r.aperture_id == aperture.id], kind):
                worst = worst_of(event)
                state = {
                    "left out": [number[r.frame_id] for r in event if r.frame_id not in points],
                    "mended": [number[r.frame_id] for r in event if r.frame_id in points and r[:2] in done],
                    "kept": [number[r.frame_id] for r in event if r.frame_id in points and r[:2] not in done],
                }
                cells = (
                    source.label,
                    KINDS[kind],
                    None if kind == "edge" else called(worst),
                    numbers([number[r.frame_id] for r in event]),
                    len(event),
                    None if worst.flux_ratio is None else f"{100.0 * worst.flux_ratio:.3g}",
                    None if worst.error_mag is None else f"{worst.error_mag:+.4f}",
                    _in_words(state),
                )
                lines.append((worst, cells))
    if not lines:
        return f"{said}<p>Nothing comes near a target or a reference in aperture {text(aperture)} px.</p>"
    lines.sort(key=lambda line: -abs(line[0].error_mag or 0.0))
    some = f" The {_MOST} worst of {len(lines)}." if len(lines) > _MOST else ""
    headings = ("name", "meets", "which", "frames", "how many", "part of its light, %", "expected error mag", "was")
    caption = (
        f"What comes near targets and references in aperture {aperture} px, the worst first, as photdb suggest found"
        f" it.{some} Light and error are those of the worst frame. Stars are placed in the reference frame, pixels on"
        " the detector."
    )
    return said + table(headings, [cells for _, cells in lines[:_MOST]], caption=caption)


def _in_words(state: dict[str, list[int]]) -> str:
    """Say what was done in all frames of an event, or in which."""
    there = {name: of for name, of in state.items() if of}
    if len(there) == 1:
        return next(iter(there))
    return "; ".join(f"{name} {numbers(of)}" for name, of in there.items())
