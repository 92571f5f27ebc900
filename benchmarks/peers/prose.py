"""prose, as in its tutorial "Photometry": detection, twirl's matching, quadratic centroids, photutils apertures.

At import it writes to the home folder and downloads a model of its neural centroid, which is not used here: a home with
an empty file of that name keeps it from the network. Its PSF, which scales the radii there, is left out.
"""

import os
import tempfile
from pathlib import Path

_HOME = tempfile.TemporaryDirectory()
os.environ["HOME"] = _HOME.name
Path(_HOME.name, ".prose").mkdir()
Path(_HOME.name, ".prose", "centroid.h5").touch()

import numpy as np  # noqa: E402
from prose import FITSImage, Sequence, blocks  # noqa: E402
from prose.core.source import Sources  # noqa: E402


def measure(job):
    """Measure all frames that prose does not discard."""

    def detection():
        return blocks.PointSourceDetection(n=15, threshold=8, min_separation=15)

    reference = FITSImage(job.frames[0])
    Sequence([detection()]).run([reference], show_progress=False)
    transform = blocks.ComputeTransformTwirl(reference, n=12)
    last = None
    if len(job.asteroids):
        last = FITSImage(job.frames[-1])
        Sequence([detection(), blocks.LimitSources(), transform]).run([last], show_progress=False)
    places = job.places(last.transform if last else None)
    reference.sources = Sources(places[0])

    def move(image):
        image.sources.coords = image.transform.inverse(places[image.i])

    results = blocks.Get(
        "i",
        fluxes=lambda im: im.aperture["fluxes"] - im.annulus["median"][:, None] * np.pi * np.square(job.radii),
    )
    sequence = Sequence(
        [
            detection(),
            blocks.LimitSources(),
            transform,
            blocks.AlignReferenceSources(reference, discard_tolerance=None),
            blocks.Apply(move),
            blocks.CentroidQuadratic(cutout=2 * round(2 * job.fwhm) + 1),
            blocks.AperturePhotometry(radii=np.array(job.radii), scale=False),
            blocks.AnnulusBackground(*job.annulus, scale=False),
            results,
        ]
    )
    sequence.run(job.frames, show_progress=False)
    fluxes = np.full(job.shape, np.nan)
    fluxes[results.i] = results.fluxes
    return fluxes
