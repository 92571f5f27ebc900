"""The report's tables of noise: each source's, as measured and as foretold, in one aperture and in all."""

from photdb.plots.curves import aperture_place
from photdb.report.markup import table
from photdb.report.tables import mmag, rows
from photdb.store.arrays import read_apertures
from photdb.store.project import Project

#: Sources in the table of all apertures, at most.
_MOST = 20


def noises(project: Project) -> str:
    """Set the noise of each source, as measured, beside what is foretold, in the aperture of the best curve."""
    apertures = read_apertures(project.connection)
    if not apertures:
        return ""
    aperture = apertures[aperture_place(project, apertures, None, None)]
    lines = [
        (label, n, *map(mmag, of), None if ratio is None else f"{ratio:.2f}")
        for label, n, *of, ratio in rows(
            project,
            "SELECT source, n_frames, noise_mag, noise_mag_err, ccd_mag, scintillation_mag, expected_mag, ratio"
            " FROM noise_ratio JOIN source s ON s.label = source AND s.removed_at IS NULL WHERE aperture_id = ?"
            " ORDER BY s.id",
            aperture.id,
        )
    ]
    headings = ("name", "frames", "noise mmag", "±", "CCD mmag", "scintillation mmag", "foretold mmag", "ratio")
    caption = f"Noise against the mean of the references, measured and foretold, in aperture {aperture} px."
    return table(headings, lines, caption=caption) if lines else ""


def noise_ratios(project: Project) -> str:
    """Set out the ratio of noise as measured and as foretold: a row a source, the worst first, a column an aperture."""
    apertures = read_apertures(project.connection)
    found = {
        (label, aperture_id): ratio
        for label, aperture_id, ratio in rows(
            project,
            "SELECT n.source, n.aperture_id, n.ratio FROM noise_ratio n JOIN source s ON s.label = n.source"
            " AND s.removed_at IS NULL WHERE n.ratio IS NOT NULL ORDER BY s.id, n.aperture_id",
        )
    }
    shown = [a for a in apertures if any(aperture_id == a.id for _, aperture_id in found)]
    lines = [
        (label, [found.get((label, aperture.id)) for aperture in shown])
        for label in dict.fromkeys(label for label, _ in found)
    ]
    if not lines:
        return ""
    lines.sort(key=lambda line: -min(ratio for ratio in line[1] if ratio is not None))
    which = f"the {_MOST} worst of {len(lines)} sources" if len(lines) > _MOST else "the worst first"
    return table(
        ("name", *(a.label for a in shown)),
        [(label, *(None if r is None else f"{r:.2f}" for r in ratios)) for label, ratios in lines[:_MOST]],
        caption="The same in each aperture: noise as measured, divided by what the CCD equation and scintillation"
        f" foretell; {which}, by the best aperture of each. 1.00 is the limit.",
    )
