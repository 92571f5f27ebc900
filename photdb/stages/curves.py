"""The curves of kept combinations: points on all frames, figures, zero points, and check stars beside them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from photdb.algorithms import differential, noise
from photdb.algorithms.terms import Terms, term_errors
from photdb.stages.comparison import Comparison
from photdb.stages.series import Series
from photdb.stages.terms import Asked, fitted
from photdb.store.catalogue import Catalogue

Floats = NDArray[np.float64]


def curve(
    series: Series,
    k: int,
    references: list[int],
    weights: Floats,
    aperture: int,
    on: Comparison,
    catalogue: dict[int, Catalogue],
    *,
    noise_mag: float,
    lag: int,
) -> dict[str, Any]:
    """Compute the curve of one combination on all frames where its own references are valid, and its figures.

    Returns
    -------
    dict
        Columns of `solution`, and under `references`, `points` and `terms` the rows of the tables below it.
    """
    from photdb.algorithms.ensembles import jackknife
    from photdb.algorithms.references import drifts

    mag, err = differential_curve(series, k, references, weights, aperture)
    here, t = mag[on.frames], series.jd_utc_mid[on.frames]
    robust = float(noise.robust_noise(here, on.highpass))
    terms = []
    if on.terms is not None:
        found = on.highpass.coefficients(here)
        errors = term_errors(on.terms, on.highpass.cleaned(here), noise_mag, lag=lag)
        kinds = ["offset" if local else "detrend" for local in on.terms.local]
        terms = list(zip(on.terms.names, kinds, found.tolist(), errors.tolist(), on.terms.span.tolist(), strict=True))
        mag = _without(mag, on.terms, found)
    refs = series.mag[:, references, aperture].T[:, on.frames]
    drift = float(np.sqrt(np.mean(drifts(refs, t) ** 2))) if len(references) > 1 else np.nan
    systematic = jackknife(refs, weights, t)
    points = np.flatnonzero(np.isfinite(mag))
    return {
        "aperture_id": series.apertures[aperture].id,
        "n_references": len(references),
        "noise_robust_mag": robust,
        "drift_mag": drift if np.isfinite(drift) else None,
        "systematic_mag": systematic if np.isfinite(systematic) else None,
        "n_points": points.size,
        **_zero_point(series, k, references, weights, refs, catalogue),
        "references": [(series.sources[j].id, w) for j, w in zip(references, weights.tolist(), strict=True)],
        "points": _rows(series, mag, err),
        "terms": terms,
    }


def check_curves(
    series: Series,
    references: list[int],
    weights: Floats,
    aperture: int,
    on: Comparison,
    params: dict[str, Any],
    wanted: Asked | None,
) -> list[tuple[int, float | None, float | None, list[tuple[int, float, float]]]]:
    """Compute the curves of the check stars in the same ensemble: id, noise and its error, points.

    The terms of the target are fitted to each anew. Its noise is that of the comparison frames in which it is valid.
    """
    out = []
    filters: dict[bytes, noise.HighPass] = {}  # most check stars are valid in the same frames
    for c in series.of("check"):
        mag, err = differential_curve(series, c, references, weights, aperture)
        frames = on.frames & np.isfinite(mag)
        if not frames.any():
            continue
        key = frames.tobytes()
        if key not in filters:
            filters[key] = noise.smoother(series.jd_utc_mid[frames], window=params["window"], degree=params["degree"])
        highpass = filters[key]
        if wanted is not None and on.terms is not None:
            try:
                terms, _ = fitted(wanted, series, frames, params["window"])
            except ValueError:  # it is seen in too few frames for them
                continue
            if terms is not None:
                highpass = noise.take_out(highpass, terms.basis[:, frames], terms.fit)
                mag = _without(mag, terms, highpass.coefficients(mag[frames]))
        figure = float(noise.noise(mag[frames], highpass))
        known = bool(np.isfinite(figure))
        out.append(
            (
                series.sources[c].id,
                figure if known else None,
                figure * highpass.relative_error if known else None,
                _rows(series, mag, err),
            )
        )
    return out


def differential_curve(
    series: Series, k: int, references: list[int], weights: Floats, aperture: int
) -> tuple[Floats, Floats]:
    """Compute differential magnitudes and their errors in all frames, with nothing taken out."""
    refs, errors = series.mag[:, references, aperture].T, series.mag_err[:, references, aperture].T
    mag = differential.differential_magnitude(series.mag[:, k, aperture], refs, weights)
    return mag, differential.differential_error(series.mag_err[:, k, aperture], errors, weights)


def _without(mag: Floats, terms: Terms, coefficients: Floats) -> Floats:
    """Take terms out of a curve in all frames; NaN where one is not known."""
    for found, row in zip(coefficients.tolist(), terms.basis, strict=True):
        mag = mag - found * row
    return mag


def _rows(series: Series, mag: Floats, err: Floats) -> list[tuple[int, float, float]]:
    points = np.flatnonzero(np.isfinite(mag))
    values = zip(series.frame_id[points].tolist(), mag[points].tolist(), err[points].tolist(), strict=True)
    return list(values)


def _zero_point(
    series: Series, k: int, references: list[int], weights: Floats, refs: Floats, catalogue: dict[int, Catalogue]
) -> dict[str, Any]:
    """Compare the references' catalogue magnitudes with their own in the ensemble: columns of `solution`."""
    from photdb.algorithms.calibration import zero_point

    names = ("zero_mag", "zero_mag_err", "zero_scatter_mag", "colour_term", "colour_term_err", "n_zero", "band")
    told = [catalogue[series.sources[j].id] for j in references]
    bands = [c.band for c in told if c.mag is not None]
    if not bands:
        return dict.fromkeys(names)
    band = max(dict.fromkeys(bands), key=bands.count)  # of several bands, that of most references; the first of equals
    own = np.median(refs - differential.ensemble_magnitude(refs, weights), axis=1)

    def column(values: list[float | None]) -> Floats:
        return np.array([np.nan if v is None else v for v in values])

    target = catalogue[series.sources[k].id].colour
    found = zero_point(
        column([c.mag if c.band == band else None for c in told]),
        column([c.mag_err for c in told]),
        own,
        colour=column([c.colour for c in told]),
        target_colour=np.nan if target is None else target,
    )
    if found is None:
        return dict.fromkeys(names)
    values = (found.zero_mag, found.zero_mag_err, found.scatter_mag, found.colour_term, found.colour_term_err)
    return dict(zip(names, (*values, found.n_references, band), strict=True))
