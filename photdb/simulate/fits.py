"""A writer of plain 16-bit FITS images, for simulated frames: some ten times as fast as a general one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

BLOCK: Final = 2880
Value = bool | int | float | str

_COMMENTS: Final = {
    "BZERO": "pixels are unsigned",
    "DATE-OBS": "UTC, start of exposure",
    "EXPTIME": "s",
    "EGAIN": "e-/ADU",
    "RDNOISE": "e-",
    "SATURATE": "ADU",
    "SITELAT": "deg, north",
    "SITELONG": "deg, east",
    "SITEELEV": "m",
    "AIRMASS": "at mid-exposure",
}


def _card(keyword: str, value: Value) -> str:
    if isinstance(value, str):
        quoted = value.replace("'", "''")
        text = f"'{quoted:<8}'".ljust(20)
    elif isinstance(value, bool):
        text = f"{'T' if value else 'F':>20}"
    else:
        text = f"{value!s:>20}".upper()
    comment = _COMMENTS.get(keyword)
    card = f"{keyword:<8}= {text}" + (f" / {comment}" if comment else "")
    if len(card) > 80:
        raise ValueError(f"the header card of {keyword} is too long")
    return card.ljust(80)


def write_fits(path: Path, pixels: NDArray[np.uint16], cards: Mapping[str, Value]) -> None:
    """Write one image as unsigned 16-bit FITS.

    Parameters
    ----------
    path
        The file; one that exists is replaced.
    pixels
        The image, (height, width).
    cards
        Keywords and values that follow those which describe the pixels.

    Raises
    ------
    ValueError
        A value too long for one header card.
    """
    height, width = pixels.shape
    shape: dict[str, Value] = {"SIMPLE": True, "BITPIX": 16, "NAXIS": 2, "NAXIS1": width, "NAXIS2": height}
    header = "".join(_card(*item) for item in ({**shape, "BZERO": 32768, "BSCALE": 1} | dict(cards)).items())
    header += "END".ljust(80)
    # taking 32768 away from a 16-bit number is turning its highest bit over
    data = (pixels ^ np.uint16(0x8000)).astype(">u2")
    with path.open("wb") as file:
        file.write(header.ljust(-(-len(header) // BLOCK) * BLOCK).encode("ascii"))
        file.write(data.data)
        file.write(bytes(-data.nbytes % BLOCK))
