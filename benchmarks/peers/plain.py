"""The plain read: each frame with astropy, and its minimum and maximum: the least that looks at all pixels."""

import numpy as np
from astropy.io import fits


def measure(job):
    """Read all frames; there are no fluxes."""
    for path in job.frames:
        data = fits.getdata(path)
        data.min(), data.max()
    return np.full(job.shape, np.nan)
