"""What plot `noise` shows: each source's noise against the mean of the references, and what its errors foretell."""

import functools
import warnings

import numpy as np
from numpy.typing import NDArray

from photdb.errors import PhotdbError
from photdb.plots.curves import aperture_place
from photdb.stages.errors import DEFAULT_FWHM_PX, detector, shape_of
from photdb.stages.noise import scintillation_in, source_noises
from photdb.stages.series import ROLES, Series, load_series, nothing_left
from photdb.store.arrays import columns, read_by_frame, read_cube, read_frames
from photdb.store.connection import driver
from photdb.store.project import Project
from photdb.viewers.noise import NoiseDiagram

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
    series = load_series(project, *ROLES)
    references = series.of("reference")
    if not references:
        raise PhotdbError(
            nothing_left(project, "reference")
            or "no reference is selected: `photdb select reference NAME --at FRAME X Y`"
        )
    place = aperture_place(project, series.apertures, aperture_id, None)
    scintillation = scintillation_in(project)
    noises = source_noises(series, scintillation)
    measured, expected = (
        np.array([[getattr(found, name) for found in by_aperture] for by_aperture in noises])
        for name in ("noise_mag", "expected_mag")
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a source without fluxes has no median
        mag = np.nanmedian(series.mag, axis=0)
    if not np.isfinite(measured[:, place]).any():
        raise PhotdbError("no source has frames enough for a scatter: `photdb measure`, or `photdb reject list`")
    curve = _ccd_curve(project, series, place, mag[:, place], references)
    labels, roles = [s.label for s in series.sources], [s.role for s in series.sources]
    apertures = series.apertures
    frames = read_frames(project.connection)
    widths = read_by_frame(project.connection, "frame_quality", ["fwhm_px"], frames)[0][frames.accepted]
    widths = widths[np.isfinite(widths)]
    fwhm = float(np.median(widths)) if widths.size else DEFAULT_FWHM_PX
    radii = np.array([float(a.spec.radius_px(fwhm)) for a in apertures])
    kinds, name = [a.kind for a in apertures], apertures[place].label
    air = float(np.sqrt(np.mean(np.square(scintillation)))) if scintillation.any() else None
    whole, gain = _with_air(curve, air), _gain_in_words(project)
    return NoiseDiagram(labels, roles, radii, place, mag, measured, expected, *whole, air, gain, kinds, name)


def _gain_in_words(project: Project) -> str:
    """Say where the gain comes from, if nobody gave it."""
    sql = "SELECT value, origin FROM session WHERE fact = 'gain_e_per_adu'"
    value, origin = driver(project.connection).execute(sql).fetchone()
    if origin == "unknown":
        return "gain not known: 1 e/ADU"
    return f"gain estimated: {value:.3g} e/ADU" if origin == "estimated" else ""


def _with_air(
    curve: tuple[Floats, Floats, Floats, Floats], air_mag: float | None
) -> tuple[Floats, Floats, Floats, Floats]:
    mag, total, photons, sky = curve
    return mag, np.hypot(total, air_mag or 0.0), photons, sky


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
