"""From differential to catalogue magnitudes: the zero point of an ensemble, and its colour term."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from photdb.algorithms.noise import Floats

#: A colour term needs so many references of known colour,
MIN_COLOURS: Final = 3
#: whose colours differ so much: with less, errors of magnitudes make a term that carries the target far off.
MIN_COLOUR_RANGE: Final = 0.3
#: What a catalogue's magnitude is uncertain by at least: no reference counts for everything.
FLOOR_MAG: Final = 0.005


@dataclass(frozen=True, slots=True)
class ZeroPoint:
    """What makes a catalogue magnitude of a differential one, by adding it."""

    zero_mag: float
    zero_mag_err: float | None  # None: one reference, whose error nobody gave
    scatter_mag: float | None  # of the references about it; None for as many unknowns as references
    colour_term: float | None  # magnitudes per magnitude of colour, if one was fitted; in zero_mag for the target's
    colour_term_err: float | None
    n_references: int


def zero_point(
    mag: ArrayLike,
    mag_err: ArrayLike,
    differential_mag: ArrayLike,
    *,
    colour: ArrayLike,
    target_colour: float = float("nan"),
) -> ZeroPoint | None:
    """Compare catalogue magnitudes of references with their own differential magnitudes in the ensemble.

    Each reference gives a zero point, catalogue minus differential magnitude. Their mean is weighted by 1/(mag_err² +
    (5 mmag)²), all alike if an error is missing. Where the target's colour and those of three references or more are
    known, over a range of 0.3 mag at least, zero = z0 + k·colour is fitted instead, and taken at the target's colour;
    references without a colour then do not count. The error is the larger of what the errors foretell and what the
    scatter says.

    Parameters
    ----------
    mag, mag_err : array_like, shape (k,)
        Catalogue magnitudes and their errors; NaN where not known.
    differential_mag : array_like, shape (k,)
        Each reference's median magnitude minus the ensemble's.
    colour : array_like, shape (k,)
        Colour indices; NaN where not known.
    target_colour : float
        That of the target; NaN: not known.

    Returns
    -------
    ZeroPoint or None
        None if no reference has a magnitude.
    """
    m, err, own, c = (np.asarray(v, dtype=np.float64) for v in (mag, mag_err, differential_mag, colour))
    known = np.isfinite(m) & np.isfinite(own)
    if not known.any():
        return None
    coloured = known & np.isfinite(c)
    with_colour = (
        np.isfinite(target_colour) and coloured.sum() >= MIN_COLOURS and np.ptp(c[coloured]) >= MIN_COLOUR_RANGE
    )
    used = coloured if with_colour else known
    z = (m - own)[used]
    told = bool(np.isfinite(err[used]).all())
    sigma = np.sqrt(np.square(err[used]) + FLOOR_MAG**2) if told else np.ones(z.size)
    # About the target's colour, so that the constant is what is wanted.
    design = np.stack([np.ones(z.size), c[used] - target_colour], axis=1) if with_colour else np.ones((z.size, 1))
    covariance = np.linalg.inv((design / sigma[:, None]).T @ (design / sigma[:, None]))
    found = covariance @ (design.T @ (z / np.square(sigma)))
    rest = z - design @ found
    free = z.size - found.size
    scatter = float(np.sqrt(np.sum(np.square(rest)) / free)) if free > 0 else None
    chi2 = float(np.sum(np.square(rest / sigma))) / free if free > 0 else None
    errors = _errors(np.sqrt(np.diag(covariance)), chi2, told=told)
    return ZeroPoint(
        float(found[0]),
        None if errors is None else float(errors[0]),
        scatter,
        float(found[1]) if with_colour else None,
        float(errors[1]) if with_colour and errors is not None else None,
        int(z.size),
    )


def _errors(formal: Floats, chi2: float | None, *, told: bool) -> Floats | None:
    """Scale formal errors by the scatter where it is the larger, or where errors are not known at all."""
    if told:
        return formal * max(1.0, np.sqrt(chi2)) if chi2 is not None else formal
    return None if chi2 is None else formal * np.sqrt(chi2)
