"""What plot `growth` shows: each source's flux in the fixed apertures, as a part of that in the largest."""

import warnings
from collections import Counter

import numpy as np

from photdb.errors import PhotdbError
from photdb.stages.series import load_series
from photdb.store.arrays import read_by_frame, read_frames
from photdb.store.project import Project
from photdb.viewers.growth import MOST, GrowthCurves


def growth_curves(project: Project) -> GrowthCurves:
    """Compute the curve of growth of each source: of its valid fluxes in accepted frames, medians over the frames.

    Of the fixed apertures those are taken that share the ring and the sky that most have.

    Raises
    ------
    PhotdbError
        There are fewer than two such apertures, or no source is measured in them.
    """
    series = load_series(project, "asteroid", "variable", "reference", "check")
    rings = Counter(a.spec[1:] for a in series.apertures if a.kind == "fixed")
    ring = rings.most_common(1)[0][0] if rings else None
    places = [p for p, a in enumerate(series.apertures) if a.spec[1:] == ring]
    if len(places) < 2:
        raise PhotdbError(
            "a curve of growth needs two fixed apertures or more, with the same sky ring: `photdb measure --radii`"
        )
    part = series.flux_adu[:, :, places] / series.flux_adu[:, :, places[-1:]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a source without fluxes has no median
        low, middle, high = np.nanpercentile(part, [16, 50, 84], axis=0)
        brightness = np.nanmedian(series.flux_adu[:, :, places[-1]], axis=0)
        everyone = np.isfinite(middle).all(axis=1)
        if not everyone.any():
            raise PhotdbError("no source is measured in all fixed apertures: `photdb measure`, `photdb reject list`")
        references = [k for k in series.of("reference") if everyone[k]]
        typical = np.nanmedian(middle[references or everyone], axis=0)
    brightest = sorted(np.flatnonzero(everyone).tolist(), key=lambda k: -brightness[k])[:MOST]
    shown = sorted(brightest)
    frames = read_frames(project.connection)
    widths = read_by_frame(project.connection, "frame_quality", ["fwhm_px"], frames)[0][frames.accepted]
    widths = widths[np.isfinite(widths)]
    return GrowthCurves(
        [series.sources[k].label for k in shown],
        np.array([series.apertures[p].spec.radius for p in places]),
        low[shown],
        middle[shown],
        high[shown],
        typical,
        "references" if references else "all sources",
        float(np.median(widths)) if widths.size else float("nan"),
    )
