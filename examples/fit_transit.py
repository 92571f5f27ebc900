"""Fit a transit to a light curve that photdb has exported: mid-time, Rp/Rs, and a picture.

    python -m pip install batman-package            # the model of Mandel & Agol (2002), by Kreidberg (2015)
    python examples/fit_transit.py hatp32/export --plot transit.png

Written for HAT-P-32 b (the night of `hatp32.sh`); for another planet put its figures below. Fitted are mid-time,
Rp/Rs, the level outside of the transit and a drift with airmass; period, inclination, a/Rs and limb darkening are taken
from the literature. Errors: from the scatter about the fit, and from residuals carried along the curve (a "prayer
bead", which keeps what they have in common with their neighbours); the larger one is given.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

# Hartman et al. 2011 (ApJ 742, 59), circular orbit.
PERIOD_D, A_RS, INCLINATION_DEG = 2.150008, 6.05, 88.9
# Wang et al. 2019 (AJ 157, 82): 2455867.402743 + 1042 × 2.1500082, the transit of this night.
EXPECTED_BJD_TDB = 2458107.7113
# Quadratic limb darkening between V and R for 6200 K, log g 4.3 (Claret & Bloemen 2011, A&A 529, A75).
LIMB_DARKENING = (0.34, 0.29)


def read(folder: Path) -> dict[str, np.ndarray]:
    """Read the quietest curve, with the frames' exposures and airmasses; stop where something is missing."""
    curves, frames = list(folder.glob("*-08_best_diff_magnitudes_*.txt")), list(folder.glob("*-01_frames.txt"))
    if len(curves) != 1 or len(frames) != 1:
        raise SystemExit(f"{folder} holds {len(curves)} files of light curves; export one target of one night into it")
    found, more = columns(curves[0]), columns(frames[0])
    row = {number: i for i, number in enumerate(more["frame"])}
    i = [row[number] for number in found["frame"]]
    found |= {name: more[name][i] for name in ("exposure_s", "airmass")}
    needed = ("mag_1", "bjd_tdb_mid", "exposure_s", "airmass")
    keep = np.logical_and.reduce([np.isfinite(found[name]) for name in needed]) & (found["accepted"] == 1)
    if keep.sum() < 20:
        raise SystemExit(
            f"only {keep.sum()} points have magnitude, BJD and airmass: `photdb times` says what is missing"
        )
    return {name: values[keep] for name, values in found.items()}


def columns(path: Path) -> dict[str, np.ndarray]:
    """Read a table whose last line of comment names its columns; what is no number becomes NaN."""
    lines = path.read_text(encoding="utf-8").splitlines()
    names = [line for line in lines if line.startswith("#")][-1].removeprefix("#").strip().split("\t")
    cells = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return {name: np.array([number(row[k]) for row in cells]) for k, name in enumerate(names)}


def number(cell: str) -> float:
    """Give a number, or NaN."""
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def transit(t: np.ndarray, exposure_s: float, mid: float, rp_rs: float) -> np.ndarray:
    """Give the light of the star, 1 outside of the transit, averaged over each exposure."""
    import batman

    p = batman.TransitParams()
    p.t0, p.per, p.rp, p.a, p.inc, p.ecc, p.w = mid, PERIOD_D, abs(rp_rs), A_RS, INCLINATION_DEG, 0.0, 90.0
    p.limb_dark, p.u = "quadratic", list(LIMB_DARKENING)
    return batman.TransitModel(p, t, supersample_factor=5, exp_time=exposure_s / 86400.0).light_curve(p)


def main() -> None:
    """Fit, say what was found, and draw it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("export", type=Path, help="the folder that `photdb export` wrote")
    parser.add_argument("--plot", type=Path, default=Path("transit.png"), help="default: %(default)s")
    arguments = parser.parse_args()
    curve = read(arguments.export)
    t, mag, airmass = curve["bjd_tdb_mid"], curve["mag_1"], curve["airmass"]
    exposure_s, day = float(np.median(curve["exposure_s"])), np.floor(EXPECTED_BJD_TDB)

    def model(x: np.ndarray) -> np.ndarray:
        light = transit(t - day, exposure_s, x[0], x[1])
        return x[2] - 2.5 * np.log10(light) + x[3] * (airmass - airmass.mean())

    def fit(observed: np.ndarray, start: np.ndarray) -> np.ndarray:
        scale = [0.001, 0.01, 0.01, 0.01]
        return least_squares(lambda x: (observed - model(x)) / 0.005, start, x_scale=scale).x

    best = fit(mag, np.array([EXPECTED_BJD_TDB - day, 0.15, np.median(mag), 0.0]))
    residual = mag - model(best)
    step = np.array([1e-4, 1e-4, 1e-4, 1e-4])
    slope = np.stack([(model(best + d) - model(best - d)) / 2e-4 for d in np.diag(step)], axis=1)
    scatter = np.sqrt(np.sum(residual**2) / (len(mag) - len(best)))
    white = scatter * np.sqrt(np.diag(np.linalg.inv(slope.T @ slope)))
    beads = np.array([fit(model(best) + np.roll(residual, k), best) for k in range(1, len(mag), 3)])
    error = np.maximum(white, beads.std(axis=0))

    later = best[0] + day - EXPECTED_BJD_TDB
    print(f"mid-transit  {day + best[0]:.5f} ± {error[0]:.5f} BJD_TDB ({later:+.5f} d from the expected one)")
    print(f"Rp/Rs        {best[1]:.4f} ± {error[1]:.4f}")
    print(f"scatter      {1000 * scatter:.2f} mmag about the fit, {len(mag)} points")
    title = f"mid-transit {day + best[0]:.5f} ± {error[0]:.5f} BJD_TDB, Rp/Rs {best[1]:.4f} ± {error[1]:.4f}"
    flat = best[2] + best[3] * (airmass - airmass.mean())
    draw(arguments.plot, t - day, mag - flat, model(best) - flat, f"BJD_TDB − {day:.0f}, days (mid-exposure)", title)


def draw(path: Path, days: np.ndarray, mag: np.ndarray, fitted: np.ndarray, time: str, title: str) -> None:
    """Draw the curve, its drift with airmass taken out, with the fit, and what the fit leaves."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    blue, red = "#0072B2", "#D55E00"
    figure = Figure(figsize=(8, 4.6), dpi=125, layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
    upper.plot(days, mag, "o", ms=3.2, mew=0, color=blue, label="measured, without the drift with airmass")
    upper.plot(days, fitted, color=red, lw=1.6, label="fit")
    upper.set_ylabel("magnitude, 0 outside\nof the transit")
    upper.set_title(title, fontsize=11, loc="left")
    upper.legend(fontsize=8, loc="upper center", edgecolor="#DDDDDD")
    lower.plot(days, 1000 * (mag - fitted), "o", ms=3.2, mew=0, color=blue)
    lower.axhline(0, color=red, lw=1.2)
    lower.set_ylabel("residual, mmag")
    lower.set_xlabel(time)
    for axes in (upper, lower):
        axes.invert_yaxis()
        axes.grid(color="#DDDDDD", lw=0.5)
        axes.tick_params(direction="in", right=True)
    figure.savefig(path)


if __name__ == "__main__":
    main()
