"""The one table of flags: bit, name, meaning. Every `flags` column of a project is a sum of these bits."""

from enum import IntFlag
from typing import Final


class Flag(IntFlag):
    """What is known to be wrong or special with a frame, a centroid or a flux."""

    # frames (frame_quality, shift)
    NO_STARS = 1 << 0
    NONFINITE = 1 << 1
    CONSTANT = 1 << 2
    NOT_MATCHED = 1 << 3
    FEW_MATCHED = 1 << 4
    # centroids
    NO_POSITION = 1 << 8
    NO_PEAK = 1 << 9
    FIT_FAILED = 1 << 10
    CAPTURED = 1 << 11
    # fluxes
    EDGE = 1 << 16
    RING_EDGE = 1 << 17
    SATURATED = 1 << 18
    NO_SKY = 1 << 19
    NOT_POSITIVE = 1 << 20
    CONTAMINATED = 1 << 21
    HIT = 1 << 25
    MENDED = 1 << 26
    STAR_REMOVED = 1 << 27
    HIT_REJECTED = 1 << 28


MEANING: Final[dict[Flag, str]] = {
    Flag.NO_STARS: "no star was found in the frame",
    Flag.NONFINITE: "pixels that are not numbers: in a frame, anywhere; in a flux, inside the aperture",
    Flag.CONSTANT: "all pixels of the frame have the same value",
    Flag.NOT_MATCHED: "the frame's stars could not be matched with the reference frame's: it has no shift",
    Flag.FEW_MATCHED: "fewer than six stars carry the frame's shift",
    Flag.NO_POSITION: "no expected position: the frame or an anchor's frame has no shift, or it lies outside the frame",
    Flag.NO_PEAK: "no local maximum stands out near the expected position, which was used instead",
    Flag.FIT_FAILED: "the Gaussian fit did not converge: the expected position was used instead",
    Flag.CAPTURED: "the fit ran off to a brighter neighbour: the expected position was used instead",
    Flag.EDGE: "the aperture reaches over the edge of the frame",
    Flag.RING_EDGE: "the sky ring reaches over the edge of the frame; the rest of it was used",
    Flag.SATURATED: "the source's peak is at or above the saturation",
    Flag.NO_SKY: "too few usable pixels in the sky ring",
    Flag.NOT_POSITIVE: "the flux is zero or negative: it has no magnitude",
    Flag.CONTAMINATED: "an asteroid of the project passes within an FWHM of the aperture (or, for it, another source)",
    Flag.HIT: "a cosmic ray or a hot pixel lies in the aperture (`photdb measure --hits`)",
    Flag.MENDED: "pixels of a cosmic ray or hot pixel were replaced by the source's own profile (`--hits mend`)",
    Flag.STAR_REMOVED: "light of other stars was subtracted, as other frames show it there (`--remove-stars`)",
    Flag.HIT_REJECTED: "left out for a cosmic ray or a hot pixel in the aperture (`--hits reject`)",
}

#: A flux with one of these is kept but enters no light curve.
INVALID_FLUX: Final = (
    Flag.NO_POSITION
    | Flag.CAPTURED
    | Flag.EDGE
    | Flag.NONFINITE
    | Flag.SATURATED
    | Flag.NO_SKY
    | Flag.NOT_POSITIVE
    | Flag.CONTAMINATED
    | Flag.HIT_REJECTED
)
