"""The stars' radial profile as an image shows it, and how much of a star's light falls into a circle beside it."""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: The profile is tabulated to so many FWHM, in steps of so many; it is measured to this many, and goes on as a power
#: law.
REACH_FWHM: Final = 10.0
_MEASURED_FWHM: Final = 6.0
_WING_FWHM: Final = (2.0, 5.5)
_WING_FROM: Final = 2.5
_POWERS: Final = np.arange(2.5, 9.01, 0.25)
_WING_SIGMAS: Final = 5.0
STEP_FWHM: Final = 0.125
_MOST_STARS: Final = 60
#: Stars count that stand out, and have no other one near that is brighter than a thirtieth of them.
_LEAST_SNR: Final = 50.0
_NEIGHBOUR: Final = 0.03
#: A star is its profile to about this part of its light at any place.
_RESIDUE: Final = 0.006
#: Of the table of light in circles, in FWHM.
_TABLE_STEP: Final = 0.1
_WHOLE: Final = 0.99


@dataclass(frozen=True, slots=True)
class Profile:
    """Light per px² of a star of unit flux at radii of 0, STEP_FWHM, … FWHM, of stars of one FWHM; falls, to zero."""

    per_px2: Floats
    fwhm_px: float

    def at(self, radius_px: Floats, fwhm_px: Floats | float) -> Floats:
        """Give it at radii (px) for stars of another FWHM: stretched, with the same flux."""
        stretch = fwhm_px / self.fwhm_px
        radii = STEP_FWHM * self.fwhm_px * np.arange(self.per_px2.size)
        value: Floats = np.interp(radius_px / stretch, radii, self.per_px2, right=0.0) / stretch**2
        return value


def gaussian_profile(fwhm_px: float) -> Profile:
    """Give a Gaussian's profile, for images that show none."""
    radius = STEP_FWHM * np.arange(round(REACH_FWHM / STEP_FWHM) + 1)
    value = np.exp(-4.0 * math.log(2.0) * radius**2)
    return Profile(value * (4.0 * math.log(2.0) / math.pi / fwhm_px**2), fwhm_px)


def measure_profile(
    image: NDArray[Any], x: Floats, y: Floats, flux_adu: Floats, fwhm_px: float, scatter_adu: float, full: Any = None
) -> Profile:
    """Measure the profile of an image's stars: the median over its bright, lonely ones at each radius.

    Parameters
    ----------
    image : array (h, w)
        Its sky is zero, but for a slow slope.
    x, y, flux_adu : array (n,)
        All stars there are, brightest first; the profile is in units of these fluxes.
    fwhm_px : float
        Of its stars.
    scatter_adu : float
        Of a pixel.
    full : array of bool (n,), optional
        Stars that are saturated.

    Returns
    -------
    Profile
        A Gaussian, if no star is bright and lonely enough.
    """
    reach = _MEASURED_FWHM * fwhm_px
    half = math.ceil(reach) + 1
    noise = scatter_adu * fwhm_px * 1.6
    chosen = []
    for k in np.flatnonzero(flux_adu > _LEAST_SNR * noise).tolist():
        near = np.hypot(x - x[k], y - y[k]) < reach + fwhm_px
        near[k] = False
        inside = half <= x[k] < image.shape[1] - 1 - half and half <= y[k] < image.shape[0] - 1 - half
        if inside and not (full is not None and full[k]) and not (flux_adu[near] > _NEIGHBOUR * flux_adu[k]).any():
            chosen.append(k)
        if len(chosen) == _MOST_STARS:
            break
    if not chosen:
        return gaussian_profile(fwhm_px)
    apart, values = [], []
    for k in chosen:
        x0, y0 = round(float(x[k])), round(float(y[k]))
        part = image[y0 - half : y0 + half + 1, x0 - half : x0 + half + 1].astype(np.float64)
        grid_y, grid_x = np.mgrid[-half : half + 1, -half : half + 1]
        radius = np.hypot(grid_x + x0 - x[k], grid_y + y0 - y[k])
        ring = part[(radius > 0.85 * reach) & (radius <= reach) & np.isfinite(part)]
        sky = float(np.median(ring)) if ring.size else 0.0
        use = (radius <= reach) & np.isfinite(part)
        apart.append(radius[use] / (STEP_FWHM * fwhm_px))
        values.append((part[use] - sky) / flux_adu[k])
    radius, value = np.concatenate(apart), np.concatenate(values)
    n = round(_MEASURED_FWHM / STEP_FWHM) + 1
    order = np.argsort(radius, kind="stable")
    radius, value = radius[order], value[order]
    edges = np.searchsorted(radius, np.arange(n + 1) - 0.5)
    table, error = np.full(n, np.nan), np.full(n, np.nan)
    for i in range(n):
        here = slice(edges[i], edges[i + 1])
        if edges[i + 1] - edges[i] >= 3:
            # A steep profile is not even over a step: a line through the values, at the step's own radius.
            slope = np.polynomial.polynomial.polyfit(radius[here] - i, value[here], 1) if i else None
            flat = value[here] - (slope[1] * (radius[here] - i) if slope is not None else 0.0)
            table[i] = np.median(flat)
            error[i] = 1.4826 * np.median(np.abs(flat - table[i])) / math.sqrt(flat.size)
    known = np.isfinite(table)
    table = np.interp(np.arange(n), np.flatnonzero(known), table[known])
    radii = STEP_FWHM * np.arange(round(REACH_FWHM / STEP_FWHM) + 1)
    wing, raised = _wing(radii[:n], table, np.where(known, error, np.inf))
    # The wing is smoother than what was measured of it; before it, the sky that was taken was too high.
    far = wing(radii)
    table = np.append(table + raised, np.zeros(radii.size - n))
    if far.any():
        table = np.where(radii > _WING_FROM, far, np.maximum(table, far[radii > _WING_FROM][0]))
    table = np.minimum.accumulate(np.maximum(table, 0.0))
    table[-1] = 0.0
    return Profile(table, fwhm_px)


def _wing(radii: NDArray[Any], table: Floats, error: Floats) -> tuple[Any, float]:
    """Fit the outer profile with a power law, the sky beneath it off by a constant; gives the law, and that constant.

    No law where it does not stand out: a Gaussian ends.
    """
    use = (radii >= _WING_FWHM[0]) & (radii <= _WING_FWHM[1]) & np.isfinite(error) & (error > 0)
    best: tuple[float, Any, float] = (np.inf, lambda r: np.zeros(r.shape), 0.0)
    if use.sum() < 8:
        return best[1], best[2]
    weight = 1.0 / error[use]
    for power in _POWERS.tolist():
        design = np.stack([radii[use] ** -power, np.full(int(use.sum()), -1.0)], axis=1) * weight[:, None]
        answer, _, _, _ = np.linalg.lstsq(design, table[use] * weight, rcond=None)
        chi2 = float(np.sum((design @ answer - table[use] * weight) ** 2))
        sigma = math.sqrt(float(np.linalg.inv(design.T @ design)[0, 0]))
        if chi2 < best[0] and answer[0] > _WING_SIGMAS * sigma:
            law = lambda r, a=float(answer[0]), b=power: a * np.maximum(r, 1e-9) ** -b  # noqa: E731
            best = (chi2, law, float(answer[1]))
    return best[1], best[2]


def remaining_stars(
    image: NDArray[Any],
    x: Floats,
    y: Floats,
    flux_adu: Floats,
    profile: Profile,
    scatter_adu: NDArray[np.float32],
    *,
    n_sigmas: float,
    n_rounds: int = 3,
) -> tuple[Floats, Floats, Floats]:
    """Find the light that is left when the stars that are known (n,) are subtracted: in the wings of brighter ones.

    A matched filter of the profile's width is laid over what is left; its maxima are stars where they exceed the sky's
    scatter, and what the profile may miss of known stars' light there, `n_sigmas` times. That is repeated without
    these: what detection takes for no star, as two overlap, is then taken for the two.

    Parameters
    ----------
    image : array (h, w)
        Without sky; NaN where there is nothing.
    x, y, flux_adu, profile
        The stars that are known, and what they look like.
    scatter_adu : array (h, w)
        Of each pixel.
    n_sigmas, n_rounds
        How far a star exceeds it, and how often is looked.

    Returns
    -------
    x, y, flux_adu : array (k,)
        In units of the profile.
    """
    reach = math.ceil(1.3 * profile.fwhm_px)
    along = np.exp(-4.0 * math.log(2.0) * (np.arange(-reach, reach + 1) / profile.fwhm_px) ** 2)
    along /= along.sum()
    noise = scatter_adu * float((along**2).sum())
    model = np.zeros(image.shape, np.float32)
    _add(model, x, y, flux_adu, profile)
    rest = np.nan_to_num(image - model)
    whole = _filtered(np.isfinite(image).astype(np.float32), along) > _WHOLE  # else half a star is one elsewhere
    # What the filter makes of a star of unit flux: its height at the star's place.
    stamp = np.zeros((8 * reach + 1, 8 * reach + 1), np.float32)
    _add(stamp, np.array([4.0 * reach]), np.array([4.0 * reach]), np.ones(1), profile)
    unit = float(_filtered(stamp, along)[4 * reach, 4 * reach])
    found: list[Floats] = []
    for _ in range(n_rounds):
        smooth = _filtered(rest, along)
        least = n_sigmas * (noise + _RESIDUE * _filtered(model, along))
        inner = smooth[1:-1, 1:-1]
        peak = (inner > least[1:-1, 1:-1]) & whole[1:-1, 1:-1]
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                if (dy, dx) != (0, 0):
                    other = smooth[1 + dy : smooth.shape[0] - 1 + dy, 1 + dx : smooth.shape[1] - 1 + dx]
                    peak &= inner > other if (dy, dx) > (0, 0) else inner >= other
        iy, ix = np.nonzero(peak)
        if not iy.size:
            break
        iy, ix = iy + 1, ix + 1
        top = smooth[iy, ix]
        place = [ix.astype(float), iy.astype(float)]
        for axis, (low, high) in enumerate(
            ((smooth[iy, ix - 1], smooth[iy, ix + 1]), (smooth[iy - 1, ix], smooth[iy + 1, ix]))
        ):
            place[axis] += 0.5 * (high - low) / np.maximum(2.0 * top - low - high, 1e-30)
        new = np.stack([*place, top / unit])
        found.append(new)
        added = np.zeros_like(model)
        _add(added, new[0], new[1], new[2], profile)
        rest -= added
        model += added
    if not found:
        return np.empty(0), np.empty(0), np.empty(0)
    all_x, all_y, all_flux = np.concatenate(found, axis=1)
    return all_x, all_y, all_flux


def _add(image: NDArray[np.float32], x: Floats, y: Floats, flux_adu: Floats, profile: Profile) -> None:
    """Add stars to an image, in place."""
    half = math.ceil(REACH_FWHM * profile.fwhm_px)
    grid = np.arange(-half, half + 1)
    for sx, sy, flux in zip(x.tolist(), y.tolist(), flux_adu.tolist(), strict=True):
        ix, iy = round(sx), round(sy)
        x0, y0 = max(ix - half, 0), max(iy - half, 0)
        part = image[y0 : max(iy + half + 1, 0), x0 : max(ix + half + 1, 0)]
        if not part.size:
            continue
        dx, dy = grid[x0 - ix + half :][: part.shape[1]] + ix - sx, grid[y0 - iy + half :][: part.shape[0]] + iy - sy
        part += (flux * profile.at(np.hypot(dx, dy[:, None]), profile.fwhm_px)).astype(np.float32)


def _filtered(image: NDArray[np.float32], along: Floats) -> NDArray[np.float32]:
    """Average an image with the product of one weight along x and along y."""
    half = along.size // 2
    out = image
    for axis in (0, 1):
        padded = np.pad(out, [(half, half) if a == axis else (0, 0) for a in (0, 1)])
        total = np.zeros_like(out)
        for k, weight in enumerate(along.tolist()):
            part = padded[k : k + out.shape[0]] if axis == 0 else padded[:, k : k + out.shape[1]]
            total += np.float32(weight) * part
        out = total
    return out


@dataclass(frozen=True, slots=True)
class Circle:
    """Logarithms of the part of a star's light in a circle, by the circle's radius and the distance, both in FWHM."""

    radius_px: float
    first: float
    log_part: Floats  # (radii, distances), in steps of 0.1


def circle(profile: Profile, radius_px: float, fwhm_px: Floats) -> Circle:
    """Tabulate how much of a star a circle some distance away holds, for the range of FWHM (n,) there is.

    Only distance and radius in units of the FWHM matter. Logarithms, as these are smooth far out, too.
    """
    low, high = radius_px / float(np.max(fwhm_px)), radius_px / float(np.min(fwhm_px))
    radii = low + _TABLE_STEP * np.arange(2 + math.ceil((high - low) / _TABLE_STEP))
    distances = _TABLE_STEP * np.arange(2 + math.ceil((radii[-1] + REACH_FWHM) / _TABLE_STEP))
    parts = np.stack([_integrals(profile, radius, distances) for radius in radii.tolist()])
    return Circle(radius_px, low, np.log(np.maximum(parts, 1e-30)))


def part_within(table: Circle, distance_px: Floats, fwhm_px: Floats) -> Floats:
    """Give the parts (n,) of stars' light that fall into a circle at some distance from them, by their FWHM."""
    at_radius = (table.radius_px / fwhm_px - table.first) / _TABLE_STEP
    at_distance = distance_px / fwhm_px / _TABLE_STEP
    n_radii, n_distances = table.log_part.shape
    i = np.clip(at_radius.astype(np.intp), 0, n_radii - 2)
    j = np.clip(at_distance.astype(np.intp), 0, n_distances - 2)
    u, v = np.clip(at_radius - i, 0.0, 1.0), np.clip(at_distance - j, 0.0, 1.0)
    log = table.log_part
    near = (1.0 - v) * log[i, j] + v * log[i, j + 1]
    far = (1.0 - v) * log[i + 1, j] + v * log[i + 1, j + 1]
    part: Floats = np.where(at_distance < n_distances, np.exp((1.0 - u) * near + u * far), 0.0)
    return part


def _integrals(profile: Profile, radius: float, distance: Floats) -> Floats:
    """Integrate the profile over a circle some distances away, all in FWHM.

    Sums over polar coordinates about the circle's middle: Gauss and Legendre along the radius, evenly along the angle.
    """
    nodes, weights = np.polynomial.legendre.leggauss(6 + math.ceil(radius / 0.25))
    n_angles = 10 + math.ceil(math.pi * radius / 0.25)
    cosine = np.cos(math.pi * (np.arange(n_angles) + 0.5) / n_angles)[:, None]
    rho = 0.5 * radius * (nodes + 1.0)
    weights = 0.5 * radius * weights * rho * 2.0 * math.pi / n_angles
    square = np.maximum(rho**2 + distance[:, None, None] ** 2 - 2.0 * distance[:, None, None] * (rho * cosine), 0.0)
    height = profile.at(np.sqrt(square) * profile.fwhm_px, profile.fwhm_px) * profile.fwhm_px**2
    total: Floats = (height * weights).sum(axis=(1, 2))
    return total
