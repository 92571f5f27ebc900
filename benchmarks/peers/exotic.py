"""EXOTIC's own measuring: astroalign on the images, a fitted Gaussian, an aperture sum and a sky for each radius.

Its program asks for a planet's parameters and for services on the network; only the functions that its loop over frames
calls are used, in the same order and with the same arguments. Its sky ring begins 2 px outside the aperture, so only
the width of the given one is used. `barycorrpy`, which downloads tables at import and serves the times, is left out.
"""

import sys
import types

for _name in ("barycorrpy", "barycorrpy.utc_tdb"):
    sys.modules[_name] = types.ModuleType(_name)
sys.modules["barycorrpy.utc_tdb"].JDUTC_to_BJDTDB = None

import numpy as np  # noqa: E402
from astropy.io import fits  # noqa: E402
from exotic.exotic import aperPhot, fit_centroid, plateStatus, transformation  # noqa: E402


def measure(job):
    """Measure all frames; where it cannot align one it goes on as if nothing had moved, and so do the fluxes."""
    first = fits.getdata(job.frames[0]).astype(float)

    def align(data, path):
        return transformation(np.array([data, first]), path)

    last = align(fits.getdata(job.frames[-1]), job.frames[-1]) if len(job.asteroids) else None
    places = job.places(last.inverse if last else None)
    width = job.annulus[1] - job.annulus[0]
    fluxes = np.full(job.shape, np.nan)
    for i, path in enumerate(job.frames):
        plateStatus.setCurrentFilename(path)
        data = fits.getdata(path)
        expected = places[i] if i == 0 else align(data, path)(places[i])
        for k, place in enumerate(expected):
            x, y = fit_centroid(data, place, k)[:2]
            for a, radius in enumerate(job.radii):
                fluxes[i, k, a] = aperPhot(data, k, x, y, radius, width)[0]
    return fluxes
