"""Gaussian fits and sky medians of whole stacks beside one at a time, and the search over sets of references."""

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.processes import Lines, python, run


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
    stack = np.stack([np.outer(*model(p)[::-1]) * p[0] for p in truth.T]) + 500.0
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
    theirs = np.array([scipy_fit(stack[k]) for k in some]).T
    difference = np.abs(fitted[1:3, :: 1 if small else 8] - theirs[1:3]).max()
    ours_s = least(ours) / n
    theirs_s = least(lambda: [scipy_fit(stack[k]) for k in some], 3) / len(some)
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
