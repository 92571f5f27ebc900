"""A straightforward script with photutils and astropy, and astroalign on the star lists."""

import astroalign
import numpy as np
from astropy.io import fits
from astropy.stats import SigmaClip, sigma_clipped_stats
from photutils.aperture import ApertureStats, CircularAnnulus, CircularAperture, aperture_photometry
from photutils.centroids import centroid_2dg, centroid_sources
from photutils.detection import DAOStarFinder

STARS_ALIGN = 50


def measure(job):
    """Measure all frames whose stars match."""
    kernel = max(4.0, job.fwhm)  # a narrower one breaks up stars that are full

    def read(path):
        data = fits.getdata(path).astype(float)
        _, sky, scatter = sigma_clipped_stats(data, sigma=3.0)
        found = DAOStarFinder(threshold=5 * scatter, fwhm=kernel, n_brightest=STARS_ALIGN)(data - sky)
        return data, np.column_stack([found["x_centroid"], found["y_centroid"]])

    def match(stars):
        return astroalign.find_transform(first, stars)[0]

    _, first = read(job.frames[0])
    last = match(read(job.frames[-1])[1]) if len(job.asteroids) else None
    places = job.places(last.inverse if last else None)
    box = 2 * round(1.5 * job.fwhm) + 1
    fluxes = np.full(job.shape, np.nan)
    for i, path in enumerate(job.frames):
        data, stars = read(path)
        try:
            x, y = match(stars)(places[i]).T
        except (astroalign.MaxIterError, ValueError):
            continue
        inside = (x > box) & (y > box) & (x < data.shape[1] - box) & (y < data.shape[0] - box)
        x, y = centroid_sources(data, x[inside], y[inside], box_size=box, centroid_func=centroid_2dg)
        coords = np.column_stack([x, y])
        good = np.isfinite(coords).all(axis=1)
        coords[~good] = 0
        sums = aperture_photometry(data, [CircularAperture(coords, r) for r in job.radii])
        sky = ApertureStats(data, CircularAnnulus(coords, *job.annulus), sigma_clip=SigmaClip(3.0)).median
        net = [sums[f"aperture_sum_{k}"] - sky * np.pi * r**2 for k, r in enumerate(job.radii)]
        fluxes[i, inside] = np.where(good[:, None], np.array(net).T, np.nan)
    return fluxes
