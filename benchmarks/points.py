"""Single parts, each in a process of its own on one core: `python -m benchmarks.points NAME [SMALL]` prints JSON lines.

A point gives lines (what, measured, limit), all text. SMALL shrinks it, so that a test can see that it runs.
"""

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.processes import Times, in_turns, photdb, python, run

Lines = list[tuple[str, str, str]]


def least(function: Callable[[], object], repeats: int = 5) -> float:
    """Give the least processor time of some calls, seconds: what others do on the machine matters less."""
    took = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        took.append(time.process_time() - start)
    return min(took)


def gaussians(small: bool) -> Lines:
    """Gaussian fits of a whole stack, beside scipy's least squares with the same model and its derivatives."""
    from scipy.optimize import least_squares

    from photdb.algorithms.gaussian import fit_gaussians

    rng = np.random.default_rng(1)
    n, size, sigma = (32 if small else 1920), 11, 1.5
    grid = np.arange(size) - (size - 1) / 2

    def model(p):
        gx, gy = np.exp(-0.5 * ((grid - p[1]) / p[3]) ** 2), np.exp(-0.5 * ((grid - p[2]) / p[4]) ** 2)
        return gx, gy

    truth = np.stack([rng.uniform(300, 20000, n), *rng.uniform(-0.7, 0.7, (2, n)), *rng.uniform(1.3, 1.7, (2, n))])
    stack = np.stack([np.outer(*model(p)[::-1]) * p[0] for p in truth.T], axis=-1) + 500.0
    stack = np.rint(rng.normal(stack, np.sqrt(stack / 1.5 + 60)))
    start = np.zeros(n), np.zeros(n), np.full(n, sigma)
    usable = np.ones_like(stack)

    def ours():
        return fit_gaussians(stack, usable, x=start[0], y=start[1], sigma=start[2])

    def scipy_fit(box):
        def residual(p):
            gx, gy = model(p)
            return (p[0] * np.outer(gy, gx) + p[5] - box).ravel()

        def derivatives(p):
            gx, gy = model(p)
            ux, uy = (grid - p[1]) / p[3], (grid - p[2]) / p[4]
            pairs = (
                (gy, gx),
                (gy, p[0] * ux * gx / p[3]),
                (p[0] * uy * gy / p[4], gx),
                (gy, p[0] * ux**2 * gx / p[3]),
                (p[0] * uy**2 * gy / p[4], gx),
            )
            return np.stack([*(np.outer(a, b).ravel() for a, b in pairs), np.ones(size * size)], axis=1)

        first = [box.max() - np.median(box), 0.0, 0.0, sigma, sigma, np.median(box)]
        return least_squares(residual, first, jac=derivatives, method="lm", xtol=1e-10, ftol=1e-10).x

    fitted = ours().parameters
    some = range(0, n, 1 if small else 8)
    theirs = np.array([scipy_fit(stack[..., k]) for k in some]).T
    difference = np.abs(fitted[1:3, :: 1 if small else 8] - theirs[1:3]).max()
    ours_s = least(ours) / n
    theirs_s = least(lambda: [scipy_fit(stack[..., k]) for k in some], 3) / len(some)
    return [
        (
            f"Gaussian fit, µs (scipy with derivatives: {1e6 * theirs_s:.0f}), and times as fast",
            f"{1e6 * ours_s:.1f}, {theirs_s / ours_s:.0f} ×",
            "≥ 20 ×",
        ),
        ("Gaussian fit: largest difference from scipy's in x or y, px", f"{difference:.1e}", "≤ 1e-3"),
    ]


def skies(small: bool) -> Lines:
    """Clipped sky medians of a whole stack, beside the same definition ring by ring in plain numpy."""
    from photdb.algorithms.sky import ring_sky

    rng = np.random.default_rng(2)
    n, size, inner, outer = (20 if small else 1920), 41, 13.0, 18.0
    stack = rng.normal(500.0, 20.0, (n, size, size)).astype(np.float32)
    stack[:, 5, 20] += 5000
    x, y = size // 2 + rng.uniform(-0.5, 0.5, (2, n))
    yy, xx = np.mgrid[:size, :size]

    def plain(k):
        radius = np.hypot(xx - x[k], yy - y[k])
        values = np.sort(stack[k][(radius >= inner) & (radius < outer)])
        while True:
            centre, lower = np.quantile(values, [0.5, 0.158655])
            kept = values[np.abs(values - centre) <= 3 * (centre - lower)]
            if len(kept) == len(values):
                return centre
            values = kept

    def ours():
        return ring_sky(stack, np.arange(n), x, y, inner_px=inner, outer_px=outer)[0]

    some = range(0, n, 1 if small else 8)
    difference = np.abs(ours()[list(some)] - [plain(k) for k in some]).max() / 20.0
    ours_s = least(ours) / n
    plain_s = least(lambda: [plain(k) for k in some], 3) / len(some)
    return [
        (
            f"sky of a ring of {np.pi * (outer**2 - inner**2):.0f} px, µs (plain numpy: {1e6 * plain_s:.0f}),"
            f" and times as fast; largest difference {difference:.3f} of a pixel's scatter",
            f"{1e6 * ours_s:.1f}, {plain_s / ours_s:.0f} ×",
            "likewise",
        )
    ]


def search(small: bool) -> Lines:
    """Search over sets of references: each size in a process of its own, for its peak memory."""
    sizes = [(12, 2, 3, "")] if small else [(20, 10, 3, "≤ 0.5"), (25, 1, 1, "≤ 0.3"), (30, 1, 1, "≤ 10")]
    lines = []
    for n, apertures, weightings, limit in sizes:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "out.json")
            run(python("-m", "benchmarks.points", "search-one", str(n), str(apertures), str(weightings), out))
            found = json.loads(out.read_text())
        what = f"search of 2^{n} sets × {apertures} apertures × {weightings} weightings"
        lines.append((f"{what}, s", f"{found['seconds']:.2f}", limit))
        lines.append((f"{what}, peak memory of the process, MiB", f"{found['peak_mib']:.0f}", "≤ 200"))
    return lines


def search_one(n: int, n_apertures: int, n_weightings: int, out: str) -> None:
    """Search once; what it took goes to a file."""
    from benchmarks.run_peer import peak_mib
    from photdb.algorithms.combinations import search_all
    from photdb.algorithms.noise import smoother

    rng = np.random.default_rng(3)
    frames = np.arange(200) / 200
    targets = rng.normal(0, 0.01, (n_apertures, 200))
    references = rng.normal(0, 1, (n_apertures, n, 200)) * rng.uniform(0.005, 0.05, n)[:, None]
    weights = rng.uniform(0.5, 2.0, (n_apertures, n_weightings, n))
    operator = smoother(frames)
    start = time.perf_counter()
    search_all(targets, references, weights=weights, highpass=operator)
    seconds = time.perf_counter() - start
    Path(out).write_text(json.dumps({"seconds": seconds, "peak_mib": peak_mib()}))


def clock() -> Callable[[], str]:
    """Start a clock; it is stopped by calling it, and says what passed and what the processor worked meanwhile."""
    start, cpu = time.perf_counter(), time.process_time()
    return lambda: f"{time.perf_counter() - start:.2f} (processor {time.process_time() - cpu:.2f})"


def rows(small: bool) -> Lines:
    """Flux rows of many sources written as `measure` writes them, with centroids or without, and read as a cube."""
    from photdb.store.arrays import read_cube, replace_rows
    from photdb.store.project import Project

    n_frames, n_sources = (12, 20) if small else (1388, 2000)
    rng = np.random.default_rng(4)
    sources = np.arange(1, n_sources + 1)
    flux_names = ("flux_adu", "sky_adu", "sky_scatter_adu", "n_sky", "noise_area_px", "flux_err_adu")
    centroid_names = ("x_expected_px", "y_expected_px", "x_px", "y_px", "fwhm_px", "elongation", "peak_adu")
    flux_values = rng.uniform(1e3, 1e5, (len(flux_names), n_sources))
    flux_values[3] = np.rint(flux_values[3])
    centroid_values = rng.uniform(0, 1e3, (len(centroid_names), n_sources))

    def rows_of(frame, keys, values):
        columns = [np.full(n_sources, frame), sources, *(np.full(n_sources, key) for key in keys), *values]
        return list(zip(*(c.tolist() for c in columns), [0] * n_sources, strict=True))

    def written(path: Path, centroids: bool) -> str:
        with Project.create(path, "rows", frame_folder=".") as project:
            with project.transaction() as connection:
                frames = [(i, i, f"{i}.fits", "now") for i in range(1, n_frames + 1)]
                replace_rows(connection, "frame", ("id", "number", "path", "added_at"), frames)
                named = [(int(i), f"S{i}", "check", "user", "now") for i in sources]
                replace_rows(connection, "source", ("id", "label", "role", "origin", "created_at"), named)
                names = ("id", "kind", "radius_px", "annulus_inner_px", "annulus_outer_px", "origin", "created_at")
                replace_rows(connection, "aperture", names, [(1, "fixed", 4.0, 9.0, 12.0, "user", "now")])
            project.publish()
            stop = clock()
            for first in range(1, n_frames + 1, 64):
                with project.transaction() as connection:
                    for frame in range(first, min(first + 64, n_frames + 1)):
                        if centroids:
                            names = ("frame_id", "source_id", "input", "error_input", *centroid_names, "flags")
                            found = rows_of(frame, (frame * 2**40, 2**61 + frame), centroid_values)
                            replace_rows(connection, "centroid", names, found)
                        names = ("frame_id", "source_id", "aperture_id", *flux_names, "flags")
                        replace_rows(connection, "flux", names, rows_of(frame, (1,), flux_values))
            return stop()

    def read(path: Path) -> str:
        with Project.read(path) as project:
            stop = clock()
            ids = np.arange(1, n_frames + 1)
            (cube,) = read_cube(
                project.connection, ["flux_adu"], frame_ids=ids, source_ids=sources.tolist(), aperture_ids=[1]
            )
            took = stop()
            assert np.isfinite(cube).all()  # noqa: S101 - else something else was measured
        return took

    with tempfile.TemporaryDirectory() as folder:
        alone = written(Path(folder, "alone.photdb"), centroids=False)
        both = written(Path(folder, "both.photdb"), centroids=True)
        cube = read(Path(folder, "both.photdb"))
    what = f"{n_sources} × {n_frames} flux rows"
    return [
        (f"{what} written, s", alone, "≤ 10"),
        (f"{what} written with centroids, s", both, "≤ 16"),
        (f"{what} read back as a cube, s", cube, "≤ 2"),
    ]


def many_sources(small: bool) -> Lines:
    """2000 stars × 100 frames in one aperture, `measure` with its database, on one core."""
    from photdb.simulate import frame_positions, ganymed, simulate_night
    from photdb.store.decisions import put_source
    from photdb.store.project import Project

    n_frames, n_sources = (5, 40) if small else (100, 2000)
    size = {"width_px": 400, "height_px": 300} if small else {}
    plan = ganymed(n_frames=n_frames, n_stars=n_sources * 3 // 2, fog=False, **size)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth = simulate_night(folder / "frames", plan, workers=1)
        project, spec, out = folder / "many.photdb", folder / "spec", folder / "out"

        def commands(*lines: list[str]) -> dict[str, float]:
            content = {"commands": lines, "project": str(project), "modules": str(folder / "modules")}
            spec.write_text(json.dumps(content))
            run(python("-m", "benchmarks.run_photdb", spec, out))
            took: dict[str, float] = json.loads(out.read_text())
            return took

        commands(["init", str(folder / "frames")], ["qc", "-j", "1"], ["shifts", "-j", "1"])
        x, y = frame_positions(truth, truth.star_x_px, truth.star_y_px, 0)
        inside = (x > 30) & (y > 30) & (x < plan.width_px - 30) & (y < plan.height_px - 30)
        with Project.write(project, "many") as opened, opened.transaction() as connection:
            ((frame,),) = connection.exec_driver_sql("SELECT id FROM frame WHERE number = 1").all()
            for k, (sx, sy) in enumerate(np.column_stack([x, y])[inside][:n_sources].tolist()):
                put_source(connection, f"S{k}", "check", [(frame, sx, sy, sx, sy)])
            n_put = k + 1
        kept = shutil.copy2(project, folder / "kept")
        took = []
        for _ in range(1 if small else 3):  # the first also finds out what is imported
            shutil.copy2(kept, project)
            took.append(commands(["measure", "--apertures", "4,9,14", "-j", "1"]))
    what = f"{n_put} stars × {n_frames} frames measured in one aperture, -j 1, database included, s"
    wall, cpu = (min(one[unit] for one in took[-2:]) for unit in ("measure", "measure cpu"))
    return [(what, f"{wall:.2f} (processor {cpu:.2f})", "≤ 4")]


def start_up(small: bool, project: str = "") -> Lines:
    """`photdb --help`, and `status` of a project, above a Python that does nothing."""
    programs = {"nothing": python("-c", "pass"), "photdb --help": photdb("--help")}
    if project:
        programs["photdb status"] = photdb("status", "-p", project)
    found = in_turns({k: (lambda c=c: {"s": run(c)}) for k, c in programs.items()}, 2 if small else 9)
    nothing: Times = found["nothing"]["s"]
    limits = {"photdb --help": "≤ 0.25", "photdb status": "≤ 0.5"}
    return [
        (f"{name}, above `python -c pass`, s", f"{times['s'].median - nothing.median:.2f}", limits[name])
        for name, times in found.items()
        if name != "nothing"
    ]


POINTS: dict[str, Callable[..., Lines]] = {
    "gaussians": gaussians,
    "skies": skies,
    "search": search,
    "rows": rows,
    "many-sources": many_sources,
    "start-up": start_up,
}

if __name__ == "__main__":
    point, *rest = sys.argv[1:]
    if point == "search-one":
        search_one(int(rest[0]), int(rest[1]), int(rest[2]), rest[3])
    else:
        for line in POINTS[point]("small" in rest, *(v for v in rest if v != "small")):
            print(json.dumps(line))
