"""What files of light curves say beside the curves: terms that were taken out, other times, and check stars."""

from photdb.exports.layout import JD, MAG, Columns, Night, fixed, spread
from photdb.store.arrays import columns


def notes_of_terms(night: Night, label: str) -> list[str]:
    """Say that curves are detrended, and by how much the best is."""
    terms = night.query(
        "SELECT term, amplitude_mag, amplitude_err_mag FROM fitted_term WHERE target = ? AND rank = 1", (label,)
    )
    if not terms:
        return []
    said = ", ".join(f"{term} {size:.{MAG}f} +- {error:.{MAG}f} mag" for term, size, error in terms)
    return [f"DETRENDED: fitted to each curve and taken out of it; of the best: {said}"]


def time_columns(night: Night, target_id: int) -> Columns:
    """Give the columns of times at the Sun and at the barycentre, and of the light time."""
    frame, hjd, bjd, light = columns(
        night.project.connection,
        "SELECT frame_id, hjd_utc_mid, bjd_tdb_mid, light_time_s FROM target_time WHERE target_id = ?"
        " ORDER BY frame_id",
        "ifff",
        (target_id,),
    )
    each = (("hjd_utc_mid", hjd, JD), ("bjd_tdb_mid", bjd, JD), ("light_time_s", light, 3))
    return [(name, fixed(spread(values, frame, night.frames.id), digits)) for name, values, digits in each]


def check_columns(night: Night, solution_id: int) -> list[tuple[str, Columns]]:
    """Give the columns of each check star against the references of a curve."""
    out = []
    for s in night.sources:
        frame, mag, err = columns(
            night.project.connection,
            "SELECT frame_id, mag, mag_err FROM check_point WHERE solution_id = ? AND source_id = ? ORDER BY frame_id",
            "iff",
            (solution_id, s.id),
        )
        if frame.size:
            values = (("mag_check", mag), ("mag_err_check", err))
            of = [(f"{name} {s.label}", fixed(spread(v, frame, night.frames.id), MAG)) for name, v in values]
            out.append((s.label, of))
    return out
