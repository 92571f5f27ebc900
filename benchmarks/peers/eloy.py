"""eloy, as in its tutorial "Differential photometry": twirl's matching, quadratic centroids, photutils apertures.

Its `AffineTransform(R).inverse` has to be `AffineTransform(R)` in this version. Its PSF, which scales the radii there,
is left out: the radii are given.
"""

import numpy as np
from astropy.io import fits
from eloy import alignment, centroid, detection, photometry
from skimage.transform import AffineTransform

STARS_ALIGN = 12


def measure(job):
    """Measure all frames in which enough stars match."""
    # the opening has to be smaller than the stars
    opening = 3 if job.fwhm < 4 else 5

    def detected(data):
        regions = detection.stars_detection(data, opening=opening)
        return np.array([(r.centroid[1], r.centroid[0]) for r in regions])[:STARS_ALIGN]

    first = detected(fits.getdata(job.frames[0]))
    reference = alignment.twirl_reference(first)

    def transform(data):
        coords = detected(data)
        matrix = alignment.rotation_matrix(coords, first, reference) if len(coords) >= 4 else None
        return None if matrix is None else AffineTransform(matrix)

    last = transform(fits.getdata(job.frames[-1])) if len(job.asteroids) else None
    places = job.places(last.inverse if last else None)
    fluxes = np.full(job.shape, np.nan)
    for i, path in enumerate(job.frames):
        data = fits.getdata(path)
        if (to_frame := transform(data)) is None:
            continue
        coords = centroid.photutils_centroid(data, to_frame(places[i]), cutout=2 * round(2 * job.fwhm) + 1)
        sums = photometry.aperture_photometry(data, coords, job.radii)
        sky = photometry.annulus_sigma_clip_median(data, coords, *job.annulus)
        fluxes[i] = sums - sky[:, None] * np.pi * np.square(job.radii)
    return fluxes
