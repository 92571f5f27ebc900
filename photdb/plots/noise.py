"""What plot `noise` shows: each source's scatter against the mean of the references, and what the CCD equation says."""

import functools
import warnings
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from photdb.errors import PhotdbError
from photdb.plots.curves import aperture_place
from photdb.stages.errors import DEFAULT_FWHM_PX, detector, shape_of
from photdb.stages.series import Series, load_series, nothing_left
from photdb.store.arrays import columns, read_by_frame, read_cube, read_frames
from photdb.store.project import Project
from photdb.viewers.noise import NoiseDiagram

if TYPE_CHECKING:
    from photdb.algorithms.noise import HighPass

Floats = NDArray[np.float64]


def noise_diagram(project: Project, *, aperture_id: int | None = None) -> NoiseDiagram:
    """Measure the scatter of each source against the mean of the references; of a reference, against the others.

    Parameters
    ----------
    project : Project
    aperture_id : int, optional
        Of the magnitude-noise diagram: by default that of the best curve, or the middle one.

    Raises
    ------
    PhotdbError
        No reference is left, or nothing is measured.
    """
    series = load_series(project, "asteroid", "variable", "reference", "check")
    references = series.of("reference")
    if not references:
        raise PhotdbError(
            nothing_left(project, "reference")
            or "no reference is selected: `photdb select reference NAME --at FRAME X Y`"
        )
    place = aperture_place(project, series.apertures, aperture_id, None)
    shape = (len(series.sources), len(series.apertures))
    measured, expected = np.full(shape, np.nan), np.full(shape, np.nan)
    for k in range(shape[0]):
        for p in range(shape[1]):
            measured[k, p], expected[k, p] = _scatter(series, k, p, references)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a source without fluxes has no median
        mag = np.nanmedian(series.mag, axis=0)
    if not np.isfinite(measured[:, place]).any():
        raise PhotdbError("no source has frames enough for a scatter: `photdb measure`, or `photdb reject list`")
    curve = _ccd_curve(project, series, place, mag[:, place], references)
    gain = detector(project.connection).gain_e_per_adu
    labels, roles = [s.label for s in series.sources], [s.role for s in series.sources]
    apertures = series.apertures
    frames = read_frames(project.connection)
    widths = read_by_frame(project.connection, "frame_quality", ["fwhm_px"], frames)[0][frames.accepted]
    widths = widths[np.isfinite(widths)]
    fwhm = float(np.median(widths)) if widths.size else DEFAULT_FWHM_PX
    radii = np.array([float(a.spec.radius_px(fwhm)) for a in apertures])
    kinds, name = [a.kind for a in apertures], apertures[place].label
    return NoiseDiagram(labels, roles, radii, place, mag, measured, expected, *curve, gain is not None, kinds, name)


def _scatter(series: Series, k: int, p: int, references: list[int]) -> tuple[float, float]:
    """Noise of a source's curve in an aperture, and what its errors foretell (the root of the median variance)."""
    from photdb.algorithms.noise import noise

    others = [j for j in references if j != k and series.allowed[j, p]]
    if not others:
        return np.nan, np.nan
    curve = series.mag[:, k, p] - series.mag[:, others, p].mean(axis=1)
    good = np.isfinite(curve)
    if not good.any():
        return np.nan, np.nan
    err2 = (
        np.square(series.mag_err[good, k, p]) + np.square(series.mag_err[good][:, others, p]).sum(1) / len(others) ** 2
    )
    measured = float(noise(curve[good], _highpass(series.jd_utc_mid[good].tobytes())))
    return measured, float(np.sqrt(np.median(err2)))


@functools.lru_cache(maxsize=64)  # most sources are valid in the same frames
def _highpass(times: bytes) -> "HighPass":
    from photdb.algorithms.noise import smoother

    return smoother(np.frombuffer(times))


def _ccd_curve(
    project: Project, series: Series, p: int, mag: Floats, references: list[int]
) -> tuple[Floats, Floats, Floats, Floats]:
    """Magnitudes and the CCD equation there in an aperture: total, photons alone, sky and read-out alone."""
    from photdb.algorithms.aperture import flux_error

    aperture = series.apertures[p]
    area, scatter, n_sky = (
        float(np.nanmedian(cube))
        for cube in read_cube(
            project.connection,
            ("noise_area_px", "sky_scatter_adu", "n_sky"),
            frame_ids=series.frame_id,
            source_ids=[s.id for s in series.sources],
            aperture_ids=[series.apertures[p].id],
        )
    )
    facts = detector(project.connection)
    (widths, factors) = columns(
        project.connection,
        "SELECT coalesce(q.fwhm_px, ?), coalesce(p.photon_factor, 1.0) FROM frame_quality q"
        " LEFT JOIN profile p ON p.frame_id = q.frame_id",
        "ff",
        (DEFAULT_FWHM_PX,),
    )
    typical = np.median(widths, keepdims=True), np.array([[area]]), np.median(factors, keepdims=True)
    shape = shape_of([aperture], *typical)
    equation = functools.partial(
        flux_error,
        area_px=shape.area_px[0, 0],
        noise_area_px=area,
        sky_scatter_adu=scatter,
        n_sky=n_sky,
        gain_e_per_adu=facts.gain_e_per_adu,
        read_noise_e=facts.read_noise_e,
        sky_factor=shape.sky_factor[0],
        photon_factor=shape.photon_factor[0, 0],
    )
    grid = np.linspace(np.nanmin(mag) - 0.6, np.nanmax(mag) + 0.6, 100)
    flux = 10.0 ** (-0.4 * grid)
    to_mag = 2.5 / np.log(10.0) / flux
    alone, sky = equation(flux), equation(np.zeros_like(flux))
    here = [j for j in references if series.allowed[j, p]]
    ensemble2 = np.nanmedian(np.square(series.mag_err[:, here, p]).sum(axis=1)) / max(len(here), 1) ** 2
    photons = np.sqrt(np.maximum(np.square(alone) - np.square(sky), 0.0))
    return grid, np.sqrt(np.square(alone * to_mag) + ensemble2), photons * to_mag, sky * to_mag
