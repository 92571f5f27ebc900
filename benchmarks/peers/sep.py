"""SExtractor's algorithms as a library (`sep`), and astroalign on the star lists: the usual fast script."""

import astroalign
import numpy as np
import sep
from astropy.io import fits

STARS_ALIGN = 50


def measure(job):
    """Measure all frames whose stars match."""

    def read(path):
        data = fits.getdata(path).astype(np.float32)
        background = sep.Background(data)
        data -= background
        stars = sep.extract(data, 5.0, err=background.globalrms)
        brightest = np.argsort(-stars["flux"])[:STARS_ALIGN]
        return data, np.column_stack([stars["x"], stars["y"]])[brightest]

    def match(stars):
        return astroalign.find_transform(first, stars)[0]

    _, first = read(job.frames[0])
    last = match(read(job.frames[-1])[1]) if len(job.asteroids) else None
    places = job.places(last.inverse if last else None)
    radii = np.array(job.radii)
    fluxes = np.full(job.shape, np.nan)
    for i, path in enumerate(job.frames):
        data, stars = read(path)
        try:
            x, y = match(stars)(places[i]).T
        except (astroalign.MaxIterError, ValueError):
            continue
        x, y, _ = sep.winpos(data, x, y, job.fwhm / 2.3548)
        each = [np.repeat(v, len(radii)) for v in (x, y)]
        sums, _, flags = sep.sum_circle(data, *each, np.tile(radii, len(x)), bkgann=job.annulus, subpix=0)
        outside = np.repeat((x < 0) | (y < 0) | (x > data.shape[1] - 1) | (y > data.shape[0] - 1), len(radii))
        fluxes[i] = np.where(outside | ((flags & sep.APER_TRUNC) != 0), np.nan, sums).reshape(len(x), -1)
    return fluxes
