"""Apertures as users type them: `4,8,40`, scaled by each frame's FWHM `1.2fwhm,8,40`, or `optimal,8,40`."""

import re
from typing import Any, Final, NamedTuple

from photdb.errors import PhotdbError

#: What the sky of a ring can be: as `photdb.algorithms.sky.SKY_FACTOR` has it.
SKIES: Final = ("median", "mode", "plane")
KINDS: Final = ("fixed", "fwhm", "optimal")
#: Beyond so many FWHM the weights of optimal extraction fall below a sixteenth: what is drawn, and kept free.
OPTIMAL_FWHM: Final = 1.0
#: A larger radius is a slip: pixels were meant.
_MOST_FWHM: Final = 20


class Spec(NamedTuple):
    """An aperture: a circle, or the profile of the frame's stars, with a ring for the sky.

    `radius` is in pixels, or of kind `fwhm` in units of each frame's FWHM; 0 for kind `optimal`. The ring is in pixels.
    """

    radius: float
    inner_px: float
    outer_px: float
    kind: str = "fixed"
    sky: str = "median"

    def __str__(self) -> str:
        sky = "" if self.sky == "median" else f",{self.sky}"
        return f"{self._circle('', 'fwhm')},{self.inner_px:g},{self.outer_px:g}{sky}"

    @property
    def label(self) -> str:
        """What it is called where its ring does not matter: `4 px`, `1.2 FWHM`, `optimal`."""
        return self._circle(" px", " FWHM") + ("" if self.sky == "median" else f", {self.sky}")

    def _circle(self, px: str, fwhm: str) -> str:
        if self.kind == "optimal":
            return "optimal"
        return f"{self.radius:g}{fwhm if self.kind == 'fwhm' else px}"

    def radius_px(self, fwhm_px: Any) -> Any:
        """Give the circle's radius in frames of these FWHM; of optimal extraction, where most of the weight is."""
        return {"fixed": self.radius, "fwhm": self.radius * fwhm_px, "optimal": OPTIMAL_FWHM * fwhm_px}[self.kind]


def parsed(text: str) -> Spec | None:
    """Read an aperture as typed, with the sky at its end unless it is the median; None if it is none."""
    circle, *rest = text.strip().split(",")
    sky = rest.pop() if len(rest) == 3 else "median"
    match = re.fullmatch(r"(?:(optimal)|(.+?)(fwhm)?)", circle.strip(), re.IGNORECASE)
    if match is None or len(rest) != 2 or sky not in SKIES:
        return None
    kind = "optimal" if match[1] else "fwhm" if match[3] else "fixed"
    try:
        radius = 0.0 if match[1] else float(match[2])
        return Spec(radius, float(rest[0]), float(rest[1]), kind, sky)
    except ValueError:
        return None


def need_possible(spec: Spec, most_px: float) -> None:
    """See that an aperture is one, in frames where nothing may be farther than some pixels.

    Raises
    ------
    PhotdbError
        It is not.
    """
    if spec.kind not in KINDS or spec.sky not in SKIES:
        raise PhotdbError(f"aperture {spec}: its kind is one of {', '.join(KINDS)}, its sky of {', '.join(SKIES)}")
    if spec.kind == "fwhm" and not 0 < spec.radius <= _MOST_FWHM:
        raise PhotdbError(f"aperture {spec}: a radius between 0 and {_MOST_FWHM} FWHM needed")
    fixed = spec.kind == "fixed"
    if not (
        (spec.radius > 0 or not fixed) and (spec.radius if fixed else 0.0) <= spec.inner_px < spec.outer_px <= most_px
    ):
        first = "0 < radius ≤ inner" if fixed else "0 ≤ inner"
        raise PhotdbError(f"aperture {spec}: {first} < outer ≤ {most_px:g} px needed")
