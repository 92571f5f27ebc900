"""What the search over sets of references costs, against their number N and against the number of frames.

    python benchmarks/search_cost.py [PICTURE]

Measures `photdb.algorithms.combinations.search` on made-up nights (clouds of magnitudes, references of different noise,
every fifth of them variable), one aperture and one weighting, on one core; prints the figures, the rate in sets per
second and the peak memory of the process, and draws docs/search_cost.png, or PICTURE. Times are processor time, the
least of several repeats. Takes about half a minute.
"""

import argparse
import os
import platform
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms.combinations import search
from photdb.algorithms.noise import HighPass, smoother

Floats = NDArray[np.float64]

N_REFERENCES = (4, 6, 8, 10, 12, 13, 14, 15, 16, 18, 20, 22, 24, 26, 28, 30)
N_FRAMES = (22, 50, 100, 200, 500, 1000, 1388, 2000, 5000, 10_000)
#: Frames of the first panel: those of the original's night.
NIGHT = 1388
#: References of the second.
MANY = 20
#: Blue and vermilion of Okabe and Ito (2008), which nobody confuses.
BLUE, VERMILION = "#0072B2", "#D55E00"


def night(n_references: int, n_frames: int, *, seed: int = 0) -> tuple[Floats, Floats, HighPass]:
    """Magnitudes (n,) of a varying target and (N, n) of references under the same clouds, and the operator R."""
    rng = np.random.default_rng(seed)
    frames = np.arange(n_frames)
    cloud = 2.0 * np.abs(rng.normal(size=n_frames))
    target = -9.0 + cloud + 0.1 * np.sin(frames / 30) + rng.normal(0.0, 0.004, n_frames)
    sigma = np.exp(rng.uniform(np.log(0.002), np.log(0.03), n_references))
    refs = (
        rng.uniform(-13.0, -8.0, (n_references, 1)) + cloud + sigma[:, None] * rng.normal(size=(n_references, n_frames))
    )
    refs[::5] += 0.1 * np.sin(frames / 4)
    return target, refs, smoother(frames * 30 / 86400)


def cost_s(n_references: int, n_frames: int) -> float:
    """Processor time of one search, the least of some repeats."""
    target, refs, highpass = night(n_references, n_frames)
    least, spent = np.inf, 0.0
    while spent < 1.0:
        start = time.process_time()
        search(target, refs, weights=np.ones(n_references), highpass=highpass)
        took = time.process_time() - start
        least, spent = min(least, took), spent + took
    return least


def draw(by_references: Floats, by_frames: Floats, path: Path) -> None:
    """Draw both costs, 800 pixels wide."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 9, "axes.grid": True, "grid.color": "0.9", "axes.axisbelow": True})
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.0, 3.6), dpi=100, sharey=True, layout="constrained")
    n = np.array(N_REFERENCES)
    rate = (2.0 ** n[-1] - 1) / by_references[-1]
    left.semilogy(n, by_references, "o-", color=BLUE, markersize=4, label="measured")
    left.semilogy(n, 2.0**n / rate, "--", color=VERMILION, label=f"{rate / 1e9:.1f}·10⁹ sets a second")
    left.set(xlabel="references N", ylabel="seconds", ylim=(1e-4, 10))
    left.set_title(f"all 2$^N$ − 1 sets, {NIGHT} frames", fontsize=10)
    for k in (20, 26, 30):
        seconds = by_references[N_REFERENCES.index(k)]
        text = f"N = {k}: {1e3 * seconds:.0f} ms"
        left.annotate(text, (k, seconds), (-8, 8), textcoords="offset points", ha="right")
    left.legend(loc="upper left", frameon=False)
    right.loglog(N_FRAMES, by_frames, "o-", color=BLUE, markersize=4)
    right.set(xlabel="frames")
    right.set_title(f"N = {MANY}: {2**MANY - 1:,} sets".replace(",", " "), fontsize=10)
    for k in (22, 1000, 10_000):
        seconds = by_frames[N_FRAMES.index(k)]
        text = f"{k} frames: {1e3 * seconds:.0f} ms"
        first = k == N_FRAMES[0]
        at, side = ((0, -16), "left") if first else ((0, 10), "right")
        right.annotate(text, (k, seconds), at, textcoords="offset points", ha=side)
    for panel in (left, right):
        panel.xaxis.set_major_formatter("{x:.0f}")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("picture", type=Path, nargs="?", default=Path(__file__).parents[1] / "docs" / "search_cost.png")
    picture: Path = parser.parse_args().picture
    cost_s(13, 100)  # the first call pays for what is loaded then
    by_references, by_frames = np.empty(len(N_REFERENCES)), np.empty(len(N_FRAMES))
    print(f"1 aperture × 1 weighting, one core of {os.cpu_count()} ({platform.machine()}), numpy {np.__version__}")
    for i, n in enumerate(N_REFERENCES):
        by_references[i] = cost_s(n, NIGHT)
        rate = (2**n - 1) / by_references[i] / 1e6
        print(f"N = {n:2d}, {NIGHT} frames: {1e3 * by_references[i]:8.2f} ms, {rate:7.1f} million sets/s")
    for i, frames in enumerate(N_FRAMES):
        by_frames[i] = cost_s(MANY, frames)
        print(f"N = {MANY}, {frames:5d} frames: {1e3 * by_frames[i]:8.2f} ms")
    try:
        import resource

        print(f"peak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    except ImportError:  # Windows
        pass
    draw(by_references, by_frames, picture)


if __name__ == "__main__":
    main()
