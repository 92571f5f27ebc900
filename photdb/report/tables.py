"""The tables and words of a report: what was left out and why, sources, the best combinations, parameters, versions."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from photdb.plots.curves import aperture_place
from photdb.report.markup import table, text
from photdb.stages import STAGES
from photdb.stages.camera import camera_sentence
from photdb.stages.runner import plan, resolve
from photdb.stages.times import in_words
from photdb.store.arrays import Aperture, read_apertures, read_frames
from photdb.store.connection import driver
from photdb.store.project import Project
from photdb.viewers.best_curve import read_best_curve
from photdb.wording import count, numbers

_JD_OF_1970 = 2440587.5


def rows(project: Project, sql: str, *arguments: Any) -> list[tuple[Any, ...]]:
    """Read rows."""
    found: list[tuple[Any, ...]] = driver(project.connection).execute(sql, arguments).fetchall()
    return found


def mmag(value: float | None) -> str | None:
    """Write magnitudes as millimagnitudes."""
    return None if value is None else f"{1000.0 * value:.2f}"


def utc(jd: float) -> np.datetime64:
    """Give a Julian date as a UTC time, to the second."""
    return np.datetime64("1970-01-01T00:00:00") + np.timedelta64(round((jd - _JD_OF_1970) * 86400.0), "s")


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of the session: value, and whether it was set or read from headers."""

    values: dict[str, tuple[Any, str]]

    def get(self, name: str) -> Any:
        """Give a value; None where nobody knows it."""
        return self.values.get(name, (None, ""))[0]


def facts(project: Project) -> Facts:
    """Read the facts of the session."""
    return Facts({name: (value, origin) for name, value, origin in rows(project, "SELECT * FROM session")})


def summary(project: Project) -> str:
    """Say in words what the night was and what came out."""
    known, frames = facts(project), read_frames(project.connection)
    jd = frames.jd_utc_mid[np.isfinite(frames.jd_utc_mid)]
    ((filter_,),) = rows(project, "SELECT filter FROM project")
    who = f" by {known.get('observer')}" if known.get("observer") else ""
    what = f" of {known.get('object')}" if known.get("object") else ""
    words = [f"{count(frames.id.size, 'frame')}{what}"]
    if jd.size:
        first, last = utc(float(jd.min())), utc(float(jd.max()))
        same = str(first)[:10] == str(last)[:10]
        end = str(last)[11:16] if same else f"{str(last)[:10]} {str(last)[11:16]}"
        words.append(f"taken on {str(first)[:10]} from {str(first)[11:16]} to {end} UTC{who}")
    exposure = np.unique(frames.exposure_s[np.isfinite(frames.exposure_s)])
    if exposure.size:
        some = f"{exposure[0]:g}" if exposure.size == 1 else f"{exposure[0]:g} to {exposure[-1]:g}"
        words.append(f"of {some} s exposure")
    if filter_:
        words.append(f"in filter {filter_}")
    n_out = int((~frames.accepted).sum())
    sentences = [", ".join(words) + f". {frames.id.size - n_out} of them were used, {n_out} left out."]
    for label, role in rows(project, "SELECT label, role FROM target ORDER BY id"):
        best = read_best_curve(project, label)
        if best is None:
            sentences.append(f"There is no light curve of the {_called(role)} {label} yet.")
            continue
        mag = best.mag[best.kept]
        sentences.append(
            f"The quietest light curve of the {_called(role)} {label} has a noise of {1000 * best.noise_mag:.2f} ±"
            f" {1000 * best.noise_mag_err:.2f} mmag over {count(mag.size, 'point')}: {_aperture_words(best.aperture)}"
            f" against {count(len(best.references), 'reference star')} ({', '.join(best.references)}). It runs over"
            f" {np.ptp(mag) if mag.size else 0.0:.3f} mag."
            + ("" if best.detrended is None else f" Fitted to it and taken out (it is detrended): {best.detrended}.")
        )
        if best.noise_holdout_mag is not None and best.noise_holdout_mag_err is not None:
            sentences.append(
                f"On frames that did not choose it, the noise of {label} is {1000 * best.noise_holdout_mag:.2f} ±"
                f" {1000 * best.noise_holdout_mag_err:.2f} mmag (hold-out)."
            )
        if best.systematic_mag is not None:
            sentences.append(
                f"Leaving out each of its references in turn shows a systematic error of"
                f" {1000 * best.systematic_mag:.2f} mmag (rms)."
            )
        if best.zero_mag is not None:
            error = "" if best.zero_mag_err is None else f" ± {best.zero_mag_err:.3f}"
            sentences.append(f"Its zero point is {best.zero_mag:.3f}{error} mag in band {best.band}.")
    return "\n".join(f"<p>{text(sentence)}</p>" for sentence in sentences)


def _aperture_words(aperture: Aperture) -> str:
    return "optimal extraction" if aperture.kind == "optimal" else f"an aperture of {aperture.label}"


def _called(role: str) -> str:
    return "variable star" if role == "variable" else role


def out_of_date(project: Project) -> str:
    """Say what is not up to date; empty if all is."""
    lines = []
    for name in STAGES:
        made = plan(project, name)
        lines += [f"{name}: {reason}" for reason in ([made.blocked] if made.blocked else made.reasons)]
    if not lines:
        return ""
    items = "".join(f"<li>{text(line)}</li>" for line in lines)
    return f'<div class="warning">Not all of this is up to date:<ul>{items}</ul></div>'


def left_out(project: Project) -> str:
    """List frames, sources and apertures that were left out, and why."""
    found = rows(
        project,
        "SELECT e.kind, e.frame, e.source, e.aperture_id, coalesce(u.text, e.reason), e.overruled FROM excluded e"
        " LEFT JOIN active_rule u ON u.id = e.rule_id"
        " ORDER BY e.kind, e.since, 5, e.frame",
    )
    groups: dict[tuple[Any, ...], list[int]] = {}
    names = {a.id: a.label for a in read_apertures(project.connection, removed=True)}
    for kind, frame, source, aperture_id, reason, overruled in found:
        aperture = names.get(aperture_id)
        key = (source or "all", aperture or "all", reason, kind, "no, accepted by hand" if overruled else "yes")
        groups.setdefault(key, [])
        if frame is not None:
            groups[key].append(frame)
    lines = [(numbers(frames, most=len(frames)) or "all", len(frames) or None, *key) for key, frames in groups.items()]
    if not lines:
        return "<p>Nothing was left out.</p>"
    return table(("frames", "how many", "source", "aperture", "why", "by", "left out"), lines)


def sources(project: Project) -> str:
    """List the sources with their places, and what the check found of the references."""
    apertures = read_apertures(project.connection)
    aperture = apertures[aperture_place(project, apertures, None, None)] if apertures else None
    lines = rows(
        project,
        "SELECT s.label, s.role, s.origin, f.number, printf('%.2f', a.x_px), printf('%.2f', a.y_px), k.scatter_mag,"
        " k.expected_mag, k.drift_mag, k.worst_jump_mag, w.number, k.advice FROM source s"
        " JOIN source_anchor a ON a.source_id = s.id JOIN frame f ON f.id = a.frame_id"
        " LEFT JOIN reference_check k ON k.source_id = s.id AND k.aperture_id = ?"
        " LEFT JOIN frame w ON w.id = k.worst_frame_id WHERE s.removed_at IS NULL ORDER BY s.id, f.jd_utc_mid",
        None if aperture is None else aperture.id,
    )
    if not lines:
        return "<p>No source is selected yet.</p>"
    cells = [
        (*r[:6], mmag(r[6]), mmag(r[7]), mmag(r[8]), None if r[9] is None else f"{r[9]:+.3f}", *r[10:]) for r in lines
    ]
    headings = (
        *("name", "role", "chosen by", "in frame", "x px", "y px", "scatter mmag", "expected mmag", "drift mmag"),
        *("worst jump mag", "in frame", "advice"),
    )
    caption = "Positions are 0-based pixels."
    if aperture is not None:
        caption += f" Scatter, drift and jumps: each reference against the mean of the others, aperture {aperture} px."
    return table(headings, cells, caption=caption)


def best_combinations(project: Project, target: str) -> str:
    """List the combinations that were kept for a target."""
    found = rows(
        project,
        "SELECT rank, noise_mag, noise_mag_err, noise_robust_mag, drift_mag, aperture, weighting,"
        " reference_labels, n_points FROM best_combination WHERE target = ? ORDER BY rank",
        target,
    )
    searched = rows(
        project,
        "SELECT h.n_combinations, h.n_apertures, h.n_references, h.n_frames FROM search h"
        " JOIN target t ON t.id = h.target_id WHERE t.label = ?",
        target,
    )
    if not found or not searched:
        return ""
    n, n_apertures, n_references, n_frames = searched[0]
    lines = [(r[0], *map(mmag, r[1:5]), *r[5:]) for r in found]
    headings = (
        *("rank", "noise mmag", "±", "robust mmag", "drift mmag", "aperture px", "weighting", "references", "points"),
    )
    caption = (
        f"The quietest of {n} combinations of {count(n_apertures, 'aperture')} and {count(n_references, 'reference')},"
        f" compared on {count(n_frames, 'frame')}."
    )
    return _doubts(project, target) + table(headings, lines, caption=caption) + _fitted(project, target)


def _doubts(project: Project, target: str) -> str:
    """Warn where the search may eat a signal, or its winner is lucky."""
    found = rows(project, "SELECT h.doubts FROM search h JOIN target t ON t.id = h.target_id WHERE t.label = ?", target)
    return "".join(f'<div class="warning">Doubtful: {text(said)}.</div>' for (said,) in found if said)


def _fitted(project: Project, target: str) -> str:
    """List the terms that were taken out of the best curve, and the check stars beside it."""
    terms = rows(
        project,
        "SELECT term, kind, amplitude_mag, amplitude_err_mag FROM fitted_term WHERE target = ? AND rank = 1",
        target,
    )
    left = rows(
        project,
        "SELECT wave_left, dip_left FROM search h JOIN target t ON t.id = h.target_id WHERE t.label = ?",
        target,
    )
    checks = rows(
        project,
        "SELECT k.label, c.noise_mag, c.noise_mag_err, c.n_points FROM check_curve c JOIN solution s"
        " ON s.id = c.solution_id JOIN target t ON t.id = s.target_id JOIN source k ON k.id = c.source_id"
        " WHERE t.label = ? AND s.rank = 1 AND k.removed_at IS NULL ORDER BY k.id",
        target,
    )
    out = ""
    if terms:
        wave, dip = left[0]
        out += table(
            ("term", "kind", "taken out, mmag", "±"),
            [(term, kind, mmag(size), mmag(error)) for term, kind, size, error in terms],
            caption=f"Detrended: fitted to every curve and taken out, here of the best. Of a wave of one cycle over the"
            f" night {100 * wave:.0f} % would be left, of a dip in its middle third {100 * dip:.0f} %.",
        )
    if checks:
        out += table(
            ("check star", "noise mmag", "±", "points"),
            [(label, mmag(noise), mmag(error), n) for label, noise, error, n in checks],
            caption="Check stars against the references of the best curve.",
        )
    return out


def parameters(project: Project) -> str:
    """List the facts of the session, the options of each stage, and the rules in force."""
    known = [
        (name, f"{value:.10g}" if isinstance(value, float) else value, origin)
        for name, (value, origin) in facts(project).values.items()
        if value is not None
    ]
    said = camera_sentence(project.connection)
    options = [
        (name, key, ", ".join(map(str, value)) or None if isinstance(value, list) else value)
        for name in STAGES
        for key, value in resolve(project.connection, name).items()
    ]
    rules = rows(project, "SELECT stage, text, since FROM active_rule ORDER BY id")
    apertures = [(a.id, str(a), a.origin) for a in read_apertures(project.connection)]
    return "\n".join(
        [
            table(("fact", "value", "from"), known, caption="Facts of the session") if known else "",
            f"<p>{text(said[0].upper() + said[1:])}</p>" if said else "",
            _times(project),
            table(("stage", "option", "value"), options, caption="Options of the stages"),
            table(("stage", "rejects frames with", "since"), rules, caption="Rules") if rules else "",
            table(("number", "radius, ring px", "chosen by"), apertures, caption="Apertures") if apertures else "",
        ]
    )


def _times(project: Project) -> str:
    """Say what heliocentric and barycentric times rest on."""
    lines = [
        (label, origin, *(None if v is None else f"{v:.{n}f}" for v, n in ((ra, 5), (dec, 5), (first, 2), (last, 2))))
        + (note,)
        for label, origin, ra, dec, first, last, _, note in in_words(project.connection)
    ]
    headings = ("target", "coordinates", "RA deg", "Dec deg", "BJD_TDB − JD_UTC s, first frame", "last", "note")
    return table(headings, lines, caption="Times") if lines else ""


def versions(project: Project) -> str:
    """List what each stage was last made with."""
    found = rows(
        project,
        "SELECT stage, version, photdb_version, libraries, max(started_at) FROM stage_run"
        " WHERE outcome = 'ok' GROUP BY stage ORDER BY min(id)",
    )
    made: dict[tuple[str, str], list[str]] = {}
    for stage, version, photdb, libraries, _ in found:
        made.setdefault((photdb, libraries), []).append(f"{stage} {version}")
    lines = [
        (", ".join(stages), photdb, ", ".join(f"{name} {value}" for name, value in json.loads(libraries).items()))
        for (photdb, libraries), stages in made.items()
    ]
    if not lines:
        return "<p>Nothing was run yet.</p>"
    return table(("stages and their versions", "photdb", "with"), lines)


def times_in_words(project: Project, target: str) -> str:
    """Name the times that the points of a light curve have."""
    ((known,),) = rows(project, "SELECT count(bjd_tdb_mid) FROM best_light_curve WHERE target = ?", target)
    return "JD (UTC), HJD (UTC) and BJD (TDB)" if known else "JD (UTC); HJD and BJD are not known"


def curve_text(project: Project, target: str) -> str:
    """Give the best light curve of a target as text, with commas between."""
    points = rows(
        project,
        "SELECT frame, jd_utc_mid, mag, mag_err, hjd_utc_mid, bjd_tdb_mid, light_time_s, mag_standard"
        " FROM best_light_curve WHERE target = ? ORDER BY jd_utc_mid, frame",
        target,
    )
    headings, digits = ["frame,jd_utc_mid,mag,mag_err,hjd_utc_mid,bjd_tdb_mid,light_time_s"], [8, 5, 5, 8, 8, 3]
    if any(point[-1] is not None for point in points):
        headings, digits = [f"{headings[0]},mag_standard"], [*digits, 5]
    lines = [
        ",".join([str(frame), *("" if v is None else f"{v:.{n}f}" for v, n in zip(values, digits, strict=False))])
        for frame, *values in points
    ]
    return "\n".join([*headings, *lines])
