"""Measured errors against the truth and the CCD equation, over a grid of simulated nights: `python -m benchmarks grid`.

Every cell is another night: brightness (of its sources), seeing, crowding and sky, with Gaussian and Moffat profiles.
Of the magnitudes of each source that is no reference, less the mean of the references', the true ones are subtracted
and a constant; what is left is measured in units of what the CCD equation says of the same aperture, and of what photdb
states.
"""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.processes import Lines

if TYPE_CHECKING:
    from photdb.simulate import Truth

Floats = NDArray[np.float64]

SEEING_PX = (2.4, 3.2, 4.5)
SKY_ADU = (60.0, 1000.0)
CROWDING = {"sparse": (60, 5.0), "crowded": (450, 2.5)}
PROFILES = ("gaussian", "moffat")
#: Of the sources; the first five are the ensemble.
FLUX_ADU = (160_000.0, 140_000.0, 120_000.0, 100_000.0, 90_000.0, 50_000.0, 20_000.0, 8_000.0, 4_000.0)
N_ENSEMBLE = 5
N_FRAMES = 60
#: Radii in FWHM; the small one is for sources whose noise is less in it. The ring begins at five FWHM.
LARGE, SMALL = "1.2 FWHM", "0.7 FWHM, where that is better"
SCALED = "1.2 × each frame's"
RADII = {LARGE: 1.2, SMALL: 0.7}
#: Magnitudes of larger errors are far from normal.
_MOST_MAG = 0.2


@dataclass(frozen=True)
class Points:
    """Measurements of one night in one aperture, of all sources that are no reference."""

    cell: dict[str, str]
    aperture: str
    flux_adu: Floats  # (n,) of the source in the plan
    pull2: Floats  # (n,) squared error over the CCD equation's
    stated2: Floats  # (n,) squared stated error over the CCD equation's


def cells(n_seeds: int) -> Iterator[tuple[dict[str, str], int]]:
    """Give the cells of the grid, each with seeds of its own."""
    grid = itertools.product(PROFILES, SEEING_PX, SKY_ADU, CROWDING)
    for i, (profile, seeing, sky, crowding) in enumerate(grid):
        for k in range(n_seeds):
            named = {"profile": profile, "FWHM, px": f"{seeing:g}", "sky, ADU": f"{sky:g}", "field": crowding}
            yield named, 100 * i + k


def measure_night(cell: dict[str, str], seed: int, folder: Path, *, n_frames: int = N_FRAMES) -> list[Points]:
    """Simulate a night of a cell, measure it, and compare with its truth."""
    from click.testing import CliRunner

    from photdb.cli import cli
    from photdb.simulate import clear_night, clicks, simulate_night

    fwhm = float(cell["FWHM, px"])
    n_stars, isolation = CROWDING[cell["field"]]
    plan = clear_night(
        n_frames=n_frames,
        width_px=360,
        height_px=300,
        seed=seed,
        fwhm_px=fwhm,
        profile=cell["profile"],
        sky_adu=float(cell["sky, ADU"]),
        n_stars=n_stars,
        isolation_fwhm=isolation,
        star_flux_adu=(300.0, 30_000.0),
        saturation_adu=65535,
        asteroid_flux_adu=10_000.0,
        check_flux_adu=30_000.0,
        reference_flux_adu=FLUX_ADU,
    )
    truth = simulate_night(folder / "frames", plan)
    environment = {"PHOTDB_PROJECT": str(folder / "night.photdb")}

    def run(*words: object) -> None:
        done = CliRunner().invoke(cli, [str(w) for w in words], env=environment, catch_exceptions=False)
        if done.exit_code:
            raise RuntimeError(done.output)

    run("init", folder / "frames", "-p", folder / "night.photdb")
    run("qc", "-j", 1, "-q")
    run("shifts", "-j", 1, "-q")
    for label, role in zip(truth.labels, truth.roles, strict=True):
        places = clicks(truth)[label]
        run("select", role, label, "--no-snap", *(v for at in places for v in ("--at", *at)))
    ring = (round(5 * fwhm), round(5 * fwhm) + round(2.5 * fwhm) + 2)
    circles = {name: round(factor * fwhm, 2) for name, factor in RADII.items()}
    tail = f",{ring[0]},{ring[1]}"
    typed = {name: f"{radius}{tail}" for name, radius in circles.items()}
    typed |= {SCALED: f"1.2fwhm{tail}", "optimal": f"optimal{tail}"}
    run("measure", "-j", 1, "-q", "--apertures", *typed.values())
    return list(_points(cell, folder / "night.photdb", truth, typed, circles, ring))


def _points(
    cell: dict[str, str],
    path: Path,
    truth: "Truth",
    typed: dict[str, str],
    circles: dict[str, float],
    ring: tuple[int, int],
) -> Iterator[Points]:
    from photdb.simulate import clean, expected_error_mag, mean_noise_area_px, optimal_error_mag
    from photdb.stages.series import load_series
    from photdb.store.arrays import read_by_frame, read_frames
    from photdb.store.project import Project

    fwhm = float(cell["FWHM, px"])
    n_sky = np.pi * (ring[1] ** 2 - ring[0] ** 2)
    with Project.read(path) as project:
        series = load_series(project, "asteroid", "reference", "check")
        frames = read_frames(project.connection)
        widths = read_by_frame(project.connection, "frame_quality", ["fwhm_px"], frames)[0]
        scaled = 1.2 * widths[np.isin(frames.id, series.frame_id)]
    rows = series.number - 1
    columns = [truth.labels.index(s.label) for s in series.sources]
    at = np.ix_(rows, columns)
    better = {}  # the error by the CCD equation in both circles
    planned = [truth.flux_adu[:, k].max() for k in columns]
    ensemble = [columns.index(truth.labels.index(f"R{k + 1}")) for k in range(N_ENSEMBLE)]
    for name, text in typed.items():
        p = [str(a) for a in series.apertures].index(text)
        radius = circles.get(name, 1.2 * fwhm)
        good = clean(truth, 1.5 * fwhm if name == "optimal" else radius, ring_px=ring)[at]
        good &= np.isfinite(series.mag[:, :, p])
        if name == "optimal":
            theory = optimal_error_mag(truth, n_sky_px=n_sky)[at]
        elif name == SCALED:
            theory = np.stack([_one_frame(truth, radius, n_sky, i) for i, radius in zip(rows, scaled, strict=True)])
            theory = theory[:, columns]
        else:
            noise_area = mean_noise_area_px(round(radius, 2))
            theory = expected_error_mag(truth, radius, n_sky_px=n_sky, noise_area_px=noise_area)[at]
            better[name] = np.median(theory, axis=0)
        error = series.mag[:, :, p] - truth.mag[at]
        stated = series.mag_err[:, :, p]
        refs = [k for k in ensemble if good[:, k].mean() > 0.9]
        if len(refs) < 3:
            continue
        for k in range(len(columns)):
            use = good[:, k] & good[:, refs].all(axis=1) & (theory[:, k] < _MOST_MAG)
            if k in ensemble or use.sum() < 10 or (name == SMALL and better[SMALL][k] > better[LARGE][k]):
                continue
            n = len(refs) ** 2
            theory2 = theory[use, k] ** 2 + (theory[use][:, refs] ** 2).sum(axis=1) / n
            stated2 = stated[use, k] ** 2 + (stated[use][:, refs] ** 2).sum(axis=1) / n
            curve = (error[:, k] - error[:, refs].mean(axis=1))[use]
            curve = curve - np.average(curve, weights=1.0 / theory2)
            pull2 = curve**2 / theory2 * use.sum() / (use.sum() - 1)
            yield Points(cell, name, np.full(pull2.size, planned[k]), pull2, stated2 / theory2)


def _one_frame(truth: "Truth", radius: float, n_sky: float, index: int) -> Floats:
    """Give the CCD equation's errors in one frame, whose circles have a radius of their own."""
    from photdb.simulate import expected_error_mag, mean_noise_area_px

    noise_area = mean_noise_area_px(round(radius, 2))
    return expected_error_mag(truth, radius, n_sky_px=n_sky, noise_area_px=noise_area)[index]


def ratios(points: list[Points]) -> tuple[float, float, int]:
    """Give measured error / CCD equation, measured / stated, and the number of frames."""
    pull2, stated2 = (np.concatenate([getattr(p, name) for p in points]) for name in ("pull2", "stated2"))
    return float(np.sqrt(pull2.mean())), float(np.sqrt((pull2 / stated2).mean())), pull2.size


def grid(small: bool = False, n_seeds: int = 2, say: Callable[[str], None] = lambda text: None) -> Lines:
    """Measure the whole grid; gives its lines, pooled over all cells and along each axis."""
    found: list[Points] = []
    wanted = list(cells(1 if small else n_seeds))
    for cell, seed in wanted[:: len(wanted) - 1] if small else wanted:
        say(f"{cell}, seed {seed}")
        with tempfile.TemporaryDirectory() as folder:
            found += measure_night(cell, seed, Path(folder), n_frames=12 if small else N_FRAMES)
    return lines_of(found)


def lines_of(found: list[Points]) -> Lines:
    """Write the lines: what, measured / CCD and measured / stated with the number of frames, the limits."""
    lines: Lines = []
    names = list(dict.fromkeys(p.aperture for p in found))
    for name in names:
        of = [p for p in found if p.aperture == name]
        if of:
            limit = "(the star's place in its pixel comes on top)" if name == SMALL else "≤ 1.03, 0.95–1.05"
            lines.append(_line(f"aperture {name}, all", of, limit))
    for axis in ("profile", "FWHM, px", "sky, ADU", "field"):
        for value in dict.fromkeys(p.cell[axis] for p in found):
            for name in names:
                of = [p for p in found if p.cell[axis] == value and p.aperture == name]
                if of:
                    lines.append(_line(f"{name}; {axis} {value}", of, ""))
    for low, high in ((0.0, 6_000.0), (6_000.0, 15_000.0), (15_000.0, 35_000.0), (35_000.0, np.inf)):
        for name in names:
            of = [p for p in found if p.aperture == name and low <= p.flux_adu[0] < high]
            if of:
                lines.append(_line(f"{name}; brightness {low:g} to {high:g} ADU", of, ""))
    return lines


def _line(what: str, points: list[Points], limit: str) -> tuple[str, str, str]:
    ccd, stated, n = ratios(points)
    return (f"{what}: error / CCD, error / stated ({n} frames)", f"{ccd:.3f}, {stated:.3f}", limit)


def optimal(small: bool = False) -> Lines:
    """Optimal extraction beside the best fixed aperture, of faint stars on the same pixels, at four seeings.

    Each frame has 20 bright stars that show its profile, and faint ones of S/N 15 whose own photons are 4 % of the
    variance, expected to 0.03 px. Both have the same sky; fluxes are in units of those without noise.
    """
    limits = {2.4: "0.970", 3.2: "0.96 ± 0.01", 4.5: "0.945", 6.0: "0.936"}
    lines: Lines = []
    for fwhm, limit in limits.items():
        ratio, error, radius, bias = optimal_ratio(fwhm, n_frames=2 if small else 40, n_stars=100 if small else 500)
        what = f"optimal extraction / best fixed aperture (r = {radius:.2f} FWHM), noise at FWHM {fwhm:g} px"
        lines.append((f"{what}; its mean flux {100 * bias:+.2f} %", f"{ratio:.4f} ± {error:.4f}", limit))
    return lines


def optimal_ratio(fwhm: float, *, n_frames: int, n_stars: int, seed: int = 1) -> tuple[float, float, float, float]:
    """Measure the noise ratio at one seeing; gives it, its error, the best radius in FWHM, and the bias of the flux."""
    from photdb.algorithms.aperture import Masks, measure_apertures
    from photdb.algorithms.centroid import centroids
    from photdb.algorithms.profile import fit_profile
    from photdb.simulate import clear_night
    from photdb.simulate.profile import stamps

    rng, plan = np.random.default_rng([seed, round(100 * fwhm)]), clear_night(fwhm_px=fwhm)
    outer = round(9.0 * fwhm)
    half, inner, sky, gain, read = outer + 2, round(4.0 * fwhm), 5000.0, 1.5, 8.0
    radii = np.append(np.arange(0.5, 1.01, 0.05) * fwhm, np.nan)
    noise = np.sqrt(sky / gain + (read / gain) ** 2)
    flux = 15.0 * noise * np.sqrt(4.0 * np.pi) * fwhm / 2.3548
    fluxes, true = [], []
    for _ in range(n_frames):
        dx, dy = rng.uniform(-0.5, 0.5, (2, n_stars + 20))
        light = np.append(np.full(20, 200.0 * flux), np.full(n_stars, flux))[:, None, None]
        light = light * stamps(plan, dx, dy, fwhm, half)
        pixels = np.rint(100.0 + sky + light + rng.normal(0.0, 1.0, light.shape) * np.sqrt(noise**2 + light / gain))
        x, y = half + dx, half + dy
        found = centroids(pixels, x, y, fwhm_px=fwhm, search_px=5, max_offset_px=max(1.0, 0.4 * fwhm))
        bright = np.arange(20)
        level = np.full(20, 100.0 + sky)
        reach = int(1.5 * fwhm) + 2
        near = slice(half - reach, half + reach + 1)
        at = found.x_px[bright] - near.start, found.y_px[bright] - near.start
        profile = fit_profile(pixels[bright][:, near, near], *at, level, np.full(20, noise), fwhm_px=1.05 * fwhm)
        shape = (profile.fwhm_px, profile.beta, profile.e_plus, profile.e_cross)
        expected = rng.normal(0.0, 0.03, (2, n_stars + 20)) + (x, y)
        masks = Masks(*(np.full(x.size, v) for v in shape), *expected, np.full(x.size, 0.05))
        rings = {"annulus_inner_px": inner, "annulus_outer_px": outer, "radii_px": radii, "masks": masks}
        fluxes.append(measure_apertures(pixels, found.x_px, found.y_px, **rings).flux_adu[20:] / flux)
        true.append(measure_apertures(100.0 + sky + light, x, y, **rings).flux_adu[20:] / flux)
    parts, ideal = np.concatenate(fluxes), np.concatenate(true).mean(axis=0)
    noises = parts.std(axis=0) / ideal
    best = int(np.argmin(noises[:-1]))
    drawn = rng.integers(0, len(parts), (300, len(parts)))
    again = [parts[rows][:, [best, -1]].std(axis=0) / ideal[[best, -1]] for rows in drawn]
    error = float(np.std([optimal / fixed for fixed, optimal in again]))
    bias = float(parts[:, -1].mean() / ideal[-1] - 1.0)
    return float(noises[-1] / noises[best]), error, float(radii[best] / fwhm), bias
