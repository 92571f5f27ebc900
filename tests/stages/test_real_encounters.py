"""`photdb suggest` and removed stars on real nights: what they say, and an artificial asteroid over a real star."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
from nights import invoke

from photdb.frames import find_frames, read_pixels
from photdb.simulate.fits import write_fits


def photdb(path: Path, *arguments: object) -> str:
    result = invoke(*arguments, env={"PHOTDB_PROJECT": str(path)})
    assert result.exit_code == 0, result.stdout + result.stderr
    return result.stdout


def query(path: Path, sql: str, *arguments: object) -> list[tuple]:
    with sqlite3.connect(path) as raw:
        return raw.execute(sql, arguments).fetchall()


def targets(folder: Path) -> dict:
    return json.loads((folder.parent / "targets.json").read_text())[folder.name]


def test_a_transit_is_never_taken_for_outliers(real_night: Callable[[str], Path], tmp_path: Path) -> None:
    folder, path = real_night("hatp32"), tmp_path / "n.photdb"
    star, *references = targets(folder)["stars_xy_first_frame"]
    photdb(path, "init", folder, "-p", path)
    photdb(path, "set", "--saturation", "3900")
    photdb(path, "shifts")
    photdb(path, "select", "variable", "T", "--at", "first", *star)
    photdb(path, "select", "reference", *(v for xy in references for v in ("--at", "first", *xy)))
    photdb(path, "measure", "--radii", "2:7:1", "--annulus", "10", "16")
    said = photdb(path, "suggest", "--apply")
    assert "an outlier" not in said
    # The mount jumps within exposures in one frame of six: such images are no cosmic rays. A hot pixel is met in 47-50.
    left = query(
        path,
        "SELECT f.number, r.aperture_id, r.reason FROM rejection r JOIN frame f ON f.id = r.frame_id"
        " JOIN source s ON s.id = r.source_id WHERE s.label = 'T'",
    )
    assert {n for n, _, _ in left} <= {47, 48, 49, 50}
    assert {reason for _, _, reason in left} == {"a hot pixel"}
    assert query(path, "SELECT count(*) FROM rejection WHERE source_id IS NULL") == [(0,)]


def test_the_lit_frame_is_found_and_a_cosmic_ray_in_a_reference(
    real_night: Callable[[str], Path], tmp_path: Path
) -> None:
    folder, path = real_night("luxembourg"), tmp_path / "n.photdb"
    photdb(path, "init", folder, "-p", path)
    photdb(path, "set", "--saturation", "45000", "--gain", "2.07", "--read-noise", "11")
    photdb(path, "shifts")
    photdb(path, "select", "asteroid", "L", "--at", "first", 602.3, 465.8, "--at", "last", 603.1, 449.2)
    stars = ((843.2, 257.2), (210.0, 619.4), (895.9, 702.7), (208.0, 384.7), (636.4, 894.7))
    photdb(path, "select", "reference", *(v for xy in stars for v in ("--at", "first", *xy)))
    photdb(path, "measure", "--radii", "3:8:1", "--annulus", "16", "26")
    photdb(path, "suggest", "--apply")
    left = query(
        path,
        "SELECT DISTINCT f.number, s.label, r.reason FROM rejection r JOIN frame f ON f.id = r.frame_id"
        " LEFT JOIN source s ON s.id = r.source_id WHERE s.label IS NOT 'L' ORDER BY 1",
    )
    # 576 + 3384 + 923 … ADU in five pixels beside R4 in frame 3: 0.15 mag.
    assert left == [(3, "R4", "a cosmic ray"), (8, None, "a bright sky")]


def test_an_artificial_asteroid_over_a_real_star(real_night: Callable[[str], Path], tmp_path: Path) -> None:
    from scipy.ndimage import shift

    folder, first = real_night("hatp32"), tmp_path / "first.photdb"
    night = targets(folder)
    files = find_frames([folder])[20:80]
    photdb(first, "init", *files, "-p", first)
    photdb(first, "shifts")
    donor, crossed = night["stars_xy_first_frame"][9], night["stars_xy_first_frame"][7]
    # All are at the same places of the first frame of the series, whose shift against frame 20 the detections tell.
    for name, xy in (("D", donor), ("X", crossed), ("A", night["stars_xy_first_frame"][1])):
        photdb(first, "select", "check", name, "--no-snap", "--at", "first", *_carried(first, folder, xy))
    photdb(first, "measure", "--radii", "3:6:1", "--annulus", "10", "16")
    place = {
        name: np.array(
            query(
                first,
                "SELECT c.x_px, c.y_px FROM centroid c JOIN source s ON s.id = c.source_id JOIN frame f"
                " ON f.id = c.frame_id WHERE s.label = ? ORDER BY f.number",
                name,
            )
        )
        for name in ("D", "X", "A")
    }
    # A star's own pixels, put where an asteroid would be: it crosses star X in the middle at 0.7 px a frame.
    n = len(files)
    track = place["X"] + np.stack([0.7 * (np.arange(n) - n / 2 + 0.5), np.full(n, 1.0)], axis=1)
    made = tmp_path / "made"
    made.mkdir()
    half = 8
    for i, file in enumerate(files):
        pixels = read_pixels(file)[0].astype(np.float64)
        (dx, dy), (tx, ty) = place["D"][i], track[i]
        cx, cy, px, py = (round(v) for v in (dx, dy, tx, ty))
        stamp = pixels[cy - half : cy + half + 1, cx - half : cx + half + 1]
        rim = np.concatenate([stamp[0], stamp[-1], stamp[:, 0], stamp[:, -1]])
        light = shift(stamp - np.median(rim), (ty - py - dy + cy, tx - px - dx + cx), order=3, mode="nearest")
        grid_y, grid_x = np.mgrid[-half : half + 1, -half : half + 1]
        light *= np.hypot(grid_x, grid_y) <= half
        pixels[py - half : py + half + 1, px - half : px + half + 1] += light
        jd = night["jd_utc_mid"][20 + i]
        write_fits(
            made / f"{i:03d}.fits",
            np.clip(np.rint(pixels), 0, 65535).astype(np.uint16),
            {"JD": jd, "EXPTIME": 60.0, "SATURATE": 60000},
        )
    path = tmp_path / "n.photdb"
    photdb(path, "init", made, "-p", path)
    photdb(path, "shifts")
    ends = [(i + 1, f"{track[i, 0]:.2f}", f"{track[i, 1]:.2f}") for i in (0, n - 1)]
    photdb(path, "select", "asteroid", "Y", "--no-snap", *(v for end in ends for v in ("--at", *end)))
    photdb(path, "select", "reference", "D", "--at", 1, *(f"{v:.2f}" for v in place["D"][0]))
    photdb(path, "select", "reference", "X", "--at", 1, *(f"{v:.2f}" for v in place["X"][0]))
    photdb(path, "measure", "--radii", "3:6:1", "--annulus", "10", "16", "--remove-stars")
    for radius in (4.0, 5.0):
        mag = {
            (label, table): dict(
                query(
                    path,
                    f"SELECT f.number, x.flux_adu FROM {table} x JOIN source s ON s.id = x.source_id"
                    " JOIN frame f ON f.id = x.frame_id JOIN aperture a ON a.id = x.aperture_id"
                    " WHERE s.label = ? AND a.radius_px = ?",
                    label,
                    radius,
                )
            )
            for label, table in (("Y", "flux"), ("D", "flux"), ("Y", "correction"))
        }
        difference = {
            t: {n: -2.5 * np.log10(f / mag["D", "flux"][n]) for n, f in mag["Y", t].items() if f and f > 0}
            for t in ("flux", "correction")
        }
        distance = np.hypot(*(track - place["X"]).T)
        met = [n for n in difference["correction"] if distance[n - 1] < radius]
        away = [n for n in difference["correction"] if distance[n - 1] > radius + 2.0]
        zero = np.median([difference["correction"][n] for n in away])
        rms = {t: float(np.sqrt(np.mean([(d[n] - zero) ** 2 for n in met]))) for t, d in difference.items()}
        usual = float(np.sqrt(np.mean([(difference["correction"][n] - zero) ** 2 for n in away])))
        assert len(met) >= 8
        # Over a star as bright as itself: 0.9 mag too bright before; after, within 25 mmag of where it was without it.
        # (It crosses another real star on its way, by 0.4 mag, which is among the frames "away".)
        assert rms["flux"] > 0.8
        assert rms["correction"] < 0.035
        assert usual < 0.02


def _carried(project: Path, folder: Path, xy: list[float]) -> tuple[float, float]:
    """Carry a place of the night's first frame to the first frame of a project, by a project of all frames."""
    whole = project.with_name("whole.photdb")
    if not whole.exists():
        photdb(whole, "init", folder, "-p", whole)
        photdb(whole, "shifts")
    from photdb.stages.shifts import read_shifts
    from photdb.store.arrays import read_frames
    from photdb.store.project import Project

    with Project.read(whole) as opened:
        shifts = read_shifts(opened.connection, read_frames(opened.connection))
    at = shifts.of([20]).to_frame(shifts.of([0]).to_reference(np.array([[xy]])))[0, 0]
    return round(float(at[0]), 2), round(float(at[1]), 2)
