"""Many sources: writing and reading the rows of 2000 stars, and measuring them."""

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.processes import Lines, python, run


def clock() -> Callable[[], str]:
    """Start a clock; it is stopped by calling it, and says what passed and what the processor worked meanwhile."""
    start, cpu = time.perf_counter(), time.process_time()
    return lambda: f"{time.perf_counter() - start:.2f} (processor {time.process_time() - cpu:.2f})"


def rows(small: bool) -> Lines:
    """Flux rows of many sources written as `measure` writes them, with centroids or without, and read as a cube."""
    from photdb.store.arrays import read_cube, replace_columns, replace_rows
    from photdb.store.project import Project

    n_frames, n_sources = (12, 20) if small else (1388, 2000)
    rng = np.random.default_rng(4)
    sources = np.arange(1, n_sources + 1)
    flux_names = ("flux_adu", "sky_adu", "sky_scatter_adu", "n_sky", "noise_area_px", "flux_err_adu")
    centroid_names = ("x_expected_px", "y_expected_px", "x_px", "y_px", "fwhm_px", "elongation", "peak_adu")
    flux_values = rng.uniform(1e3, 1e5, (len(flux_names), n_sources))
    flux_values[3] = np.rint(flux_values[3])
    centroid_values = rng.uniform(0, 1e3, (len(centroid_names), n_sources))

    def columns_of(frame, keys, names, values):
        keys = {"frame_id": frame, **keys, "flags": 0}
        same = {name: np.full(n_sources, key) for name, key in keys.items()}
        return {**same, "source_id": sources, **dict(zip(names, values, strict=True))}

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
                            inputs = {"input": frame * 2**40, "error_input": 2**61 + frame}
                            found = columns_of(frame, inputs, centroid_names, centroid_values)
                            replace_columns(connection, "centroid", found)
                        found = columns_of(frame, {"aperture_id": 1}, flux_names, flux_values)
                        replace_columns(connection, "flux", found)
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
