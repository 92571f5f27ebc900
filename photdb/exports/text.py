r"""A whole session as numbered text files that explain themselves: what AsPyLib's last step writes, and more.

=====================================================  ================================================================
NAME-01_frames.txt                                     number, time, exposure, accepted or why not, path
NAME-02_quality.txt                                    dynamic range, background, uniformity, stars, FWHM of each frame
NAME-03_shifts.txt                                     where each frame lies against the reference frame
NAME-04_positions.txt                                  fitted position of each source in each frame
NAME-05_instrumental_magnitudes_aperture_N_rR.txt      −2.5 log10(flux) of each source in each frame; a file an aperture
NAME-06_reference_check.txt                            each reference against the mean of the others
NAME-07_combinations_TARGET.txt                        the best combinations of a target, ten by default
NAME-08_best_diff_magnitudes_TARGET.txt                their light curves, side by side
NAME-09_rejections.txt                                 what is left out, and why
=====================================================  ================================================================

Columns are separated by tabs: spreadsheets open the files as they are, and `numpy.loadtxt(file)` reads those that hold
only numbers (02 to 05, and 08), `numpy.loadtxt(file, delimiter="\t", usecols=...)` the others, whose columns of text
come last. Lines that start with `#` say what the file is; the last of them names the columns, with units at the ends of
the names. A missing number is `nan`, a missing text `-`. Frames are in time order, pixels are counted from (0, 0), and
times are Julian dates of mid-exposure, UTC; 08 has heliocentric and barycentric ones as well. Where `photdb measure`
corrected fluxes (`--hits`, `--remove-stars`), 05 has them as light curves are made of them, and behind as measured. No
file holds a date of its making: the same data and decisions give the same bytes. Fluxes, skies and peaks are in the
view `instrumental` (`photdb export DIR --view instrumental`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from photdb.exports.beside_curves import check_columns, notes_of_terms, time_columns
from photdb.exports.files import Draft, safe_name, write_files
from photdb.exports.instrumental import instrumental_files
from photdb.exports.layout import MAG, PX, Columns, Night, cells, clean, fixed, flag_notes, source_note, spread
from photdb.store.arrays import columns, read_apertures, read_by_frame, read_frames, read_sources
from photdb.store.project import Project


def export_text(project: Project, folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Write all that was measured and found as numbered text files; see the module.

    Stages that were not run yet leave their files out. What is out of date is exported as it is.

    Parameters
    ----------
    project : Project
        Open for reading is enough.
    folder : Path
        Where to; made if need be.
    overwrite : bool
        Also files of the same name that no export made.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    PhotdbError
        A file that no export made is in the way.
    """
    frames = read_frames(project.connection)
    night = Night(project, frames, read_sources(project.connection), safe_name(project.path.stem, set()))
    drafts = [draft for part in _PARTS for draft in part(night)]
    return write_files(folder, drafts, overwrite=overwrite)


def _frames(night: Night) -> Iterator[Draft]:
    rows = night.query(
        "SELECT number, airmass, reasons FROM frame_status ORDER BY jd_utc_mid IS NULL, jd_utc_mid, path"
    )
    yield night.draft(
        "01_frames",
        "the frames",
        ["accepted: 1, or 0 for the reasons in the last column"],
        [
            *night.common(),
            ("exposure_s", fixed(night.frames.exposure_s, 3)),
            ("airmass", fixed([r[1] for r in rows], 4)),
            ("path", [clean(path) for path in night.frames.path]),
            ("reasons", [clean(r[2]) for r in rows]),
        ],
    )


def _by_frame(night: Night, table: str, digits: dict[str, int]) -> Columns:
    values = read_by_frame(night.project.connection, table, list(digits), night.frames)
    return [(name, fixed(v, n)) for (name, n), v in zip(digits.items(), values, strict=True)]


def _quality(night: Night) -> Iterator[Draft]:
    if not night.query("SELECT 1 FROM frame_quality LIMIT 1"):
        return
    digits = {"min_adu": 1, "max_adu": 1, "range_adu": 1, "background_adu": 3, "background_scatter_adu": 3}
    digits |= {"nonuniformity_adu": 3, "n_stars": 0, "fwhm_px": 3, "elongation": 3, "n_saturated_px": 0, "flags": 0}
    notes = [
        "range_adu: max_adu - min_adu; nonuniformity_adu: difference between medians of different areas",
        *flag_notes(0, 3),
    ]
    data = [*night.common(), *_by_frame(night, "frame_quality", digits)]
    yield night.draft("02_quality", "quality of the frames", notes, data)


def _shifts(night: Night) -> Iterator[Draft]:
    if not night.query("SELECT 1 FROM shift LIMIT 1"):
        return
    ((number,),) = night.query(
        "SELECT f.number FROM project p LEFT JOIN frame f ON f.id = p.reference_frame_id WHERE p.id = 1"
    )
    digits = {"dx_px": 4, "dy_px": 4, "rotation_deg": 5, "scale": 7, "n_matched": 0, "residual_px": 4, "flags": 0}
    notes = [
        f"p = c + scale * Rot(rotation) * (p_ref - c) + (dx, dy); p_ref in the reference frame, {number};"
        " c = ((width - 1)/2, (height - 1)/2); rotation positive from x to y",
        *flag_notes(3, 8),
    ]
    data = [*night.common(), *_by_frame(night, "shift", digits)]
    yield night.draft("03_shifts", "shifts of the frames", notes, data)


def _positions(night: Night) -> Iterator[Draft]:
    frame, source, x, y, flags = columns(
        night.project.connection,
        "SELECT frame_id, source_id, x_px, y_px, flags FROM centroid ORDER BY frame_id, source_id",
        "iifff",
    )
    if not frame.size:
        return
    data = night.common()
    for s in night.sources:
        of = source == s.id
        for heading, values, digits in ((f"x_px {s.label}", x, PX), (f"y_px {s.label}", y, PX)):
            data.append((heading, fixed(spread(values[of], frame[of], night.frames.id), digits)))
        data.append((f"flags {s.label}", fixed(spread(flags[of], frame[of], night.frames.id), 0)))
    notes = ["fitted centres, the centre of the first pixel is (0, 0)", source_note(night), *flag_notes(8, 16)]
    yield night.draft("04_positions", "positions of the sources", notes, data)


def _reference_check(night: Night) -> Iterator[Draft]:
    rows = night.query(
        "SELECT a.id, a.radius_px, k.scatter_mag, k.expected_mag, k.drift_mag, k.worst_jump_mag, f.number, k.n_frames,"
        " s.label, k.advice, a.id FROM reference_check k JOIN source s ON s.id = k.source_id AND s.removed_at IS NULL"
        " JOIN aperture a ON a.id = k.aperture_id AND a.removed_at IS NULL"
        " LEFT JOIN frame f ON f.id = k.worst_frame_id"
        " ORDER BY a.kind, a.radius_px, a.radius_fwhm, a.annulus_inner_px, a.id, s.id"
    )
    if not rows:
        return
    names = _aperture_names(night)
    yield night.draft(
        "06_reference_check",
        "each reference against the mean of the others",
        [
            "scatter_mag: over accepted frames; expected_mag: what the flux errors predict for it; drift_mag: rms of"
            " the smoothed curve; worst_jump_mag: the largest step between neighbours, at worst_frame",
        ],
        cells(
            [(*row[:-1], names[row[-1]]) for row in rows],
            ("aperture", 0),
            ("radius_px", 2),
            ("scatter_mag", MAG),
            ("expected_mag", MAG),
            ("drift_mag", MAG),
            ("worst_jump_mag", MAG),
            ("worst_frame", 0),
            ("n_frames", 0),
            ("reference", None),
            ("advice", None),
            ("spec", None),
        ),
    )


def _aperture_names(night: Night) -> dict[int, str]:
    return {a.id: str(a) for a in read_apertures(night.project.connection, removed=True)}


def _solutions(night: Night) -> Iterator[Draft]:
    taken: set[str] = set()
    for target in night.sources:
        solutions = night.query(
            "SELECT s.id, s.rank, s.noise_mag, s.noise_mag_err, s.noise_robust_mag, s.drift_mag, s.aperture_id,"
            " a.radius_px, a.annulus_inner_px, a.annulus_outer_px, s.n_references, s.n_frames, s.n_points, s.weighting,"
            " (SELECT group_concat(label, ', ') FROM (SELECT r.label FROM solution_reference n"
            "   JOIN source r ON r.id = n.source_id WHERE n.solution_id = s.id ORDER BY r.id)),"
            " s.noise_holdout_mag, s.noise_holdout_mag_err, s.systematic_mag, s.zero_mag, s.zero_mag_err, s.band,"
            " s.colour_term"
            " FROM solution s JOIN target t ON t.id = s.target_id JOIN aperture a ON a.id = s.aperture_id"
            " WHERE s.target_id = ? ORDER BY s.rank",
            (target.id,),
        )
        if not solutions:
            continue
        name, names = safe_name(target.label, taken), _aperture_names(night)
        yield night.draft(
            f"07_combinations_{name}",
            f"the best combinations for {target.role} {target.label}",
            [
                "noise_mag: scatter of the curve minus its smoothed copy, in the n_frames frames that all combinations"
                " are compared on; noise_robust_mag: the same, blind to outliers",
                "drift_mag: rms of the references' own slow drifts against each other; n_points: points of the curve",
                "noise_holdout_mag: noise of the best of this weighting on frames that did not choose it;"
                " systematic_mag: what its references bring in slowly, each left out in turn",
                "zero_mag: added to differential magnitudes, it gives those of the band; colour_term: in it, for the"
                " target's colour",
                *notes_of_terms(night, target.label),
            ],
            cells(
                [(*row[1:], names[row[6]]) for row in solutions],
                ("rank", 0),
                ("noise_mag", MAG),
                ("noise_mag_err", MAG),
                ("noise_robust_mag", MAG),
                ("drift_mag", MAG),
                ("aperture", 0),
                ("radius_px", 2),
                ("annulus_inner_px", 2),
                ("annulus_outer_px", 2),
                ("n_references", 0),
                ("n_frames", 0),
                ("n_points", 0),
                ("weighting", None),
                ("references", None),
                ("noise_holdout_mag", MAG),
                ("noise_holdout_mag_err", MAG),
                ("systematic_mag", MAG),
                ("zero_mag", MAG),
                ("zero_mag_err", MAG),
                ("band", None),
                ("colour_term", MAG),
                ("spec", None),
            ),
        )
        data = night.common()
        notes = []
        for id_, rank, *_ in solutions:
            frame, mag, err = columns(
                night.project.connection,
                "SELECT frame_id, mag, mag_err FROM solution_point WHERE solution_id = ? ORDER BY frame_id",
                "iff",
                (id_,),
            )
            data.append((f"mag_{rank}", fixed(spread(mag, frame, night.frames.id), MAG)))
            data.append((f"mag_err_{rank}", fixed(spread(err, frame, night.frames.id), MAG)))
        data += time_columns(night, target.id)
        zero, zero_err, band = solutions[0][-4:-1]
        if zero is not None:
            heading, (best,) = "mag_standard_1", (cells for name, cells in data if name == "mag_1")
            data.append((heading, fixed(np.array(best, float) + zero, MAG)))
            error = "" if zero_err is None else f" +- {zero_err:.{MAG}f}"
            notes.append(f"mag_standard_1: mag_1 as {band} magnitude; zero point {zero:.{MAG}f}{error}")
        for label, of_check in check_columns(night, solutions[0][0]):
            data += of_check
            notes.append(f"mag_check {label}: the check star minus the references of mag_1")
        yield night.draft(
            f"08_best_diff_magnitudes_{name}",
            f"the best light curves of {target.role} {target.label}",
            [
                "differential magnitudes: the target's minus the mean of its references'",
                f"mag_1, mag_err_1: the quietest curve; combinations: {night.stem}-07_combinations_{name}.txt",
                "hjd_utc_mid, bjd_tdb_mid: mid-exposure at the Sun, UTC, and at the barycentre, TDB; light_time_s: from"
                " the asteroid to here, where its distance is known",
                *night.told(target.id),
                *notes,
                *notes_of_terms(night, target.label),
            ],
            data,
        )


def _rejections(night: Night) -> Iterator[Draft]:
    rows = night.query(
        "SELECT frame, aperture_id, overruled, kind, source, stage, reason FROM excluded"
        " ORDER BY kind, stage, source, aperture_id, frame, reason"
    )
    yield night.draft(
        "09_rejections",
        "what is left out, and why",
        [
            "left out is the conjunction of frame, aperture and source; nan or - means all of them",
            "overruled: 1 where the user accepted the frame against the rule",
        ],
        cells(
            rows,
            ("frame", 0),
            ("aperture", 0),
            ("overruled", 0),
            ("by", None),
            ("source", None),
            ("stage", None),
            ("reason", None),
        ),
    )


_PARTS: Final = (
    _frames,
    _quality,
    _shifts,
    _positions,
    instrumental_files,
    _reference_check,
    _solutions,
    _rejections,
)
