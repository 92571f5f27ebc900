"""Tables of where a moving target is: JPL Horizons' text as it is downloaded, or plain columns; and values between."""

import re
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photdb.algorithms.barycentre import AU_M
from photdb.algorithms.cards import as_angle

Floats = NDArray[np.float64]

_MONTHS: Final = {m: i for i, m in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)}
_MOST_NODES: Final = 4
#: What is in orbit about the Sun is neither nearer (150 m) nor farther.
_NEAREST_AU: Final = 1e-9
_FARTHEST_AU: Final = 1e6


@dataclass(frozen=True, slots=True)
class Ephemeris:
    """Rows in the order of time; `ra_deg` and `dec_deg` are None where the table has only distances."""

    jd_utc: Floats
    distance_au: Floats
    ra_deg: Floats | None
    dec_deg: Floats | None


def parse_ephemeris(text: str) -> Ephemeris:
    """Read a table of distances, with or without positions.

    Parameters
    ----------
    text : str
        JPL Horizons' observer table (`$$SOE` to `$$EOE`, in columns or with commas), which must have the range
        (`delta`), and may have RA and Dec (ICRF). Or lines of `time distance` or `time ra dec distance`, parted by
        blanks or commas: time a Julian date or ISO 8601 (UTC), angles in degrees, distance in au; `#` begins a comment.

    Returns
    -------
    Ephemeris

    Raises
    ------
    ValueError
        It is no such table; the message says what is wrong where.
    """
    rows = _horizons(text) if "$$SOE" in text else _plain(text)
    if len(rows) < 2:
        raise ValueError("it has fewer than two rows")
    table = np.array(sorted(rows), np.float64)
    if (np.diff(table[:, 0]) <= 0).any():
        raise ValueError("two rows have the same time")
    if not (table[:, 1] > 0).all():
        raise ValueError("a distance is not positive")
    if not ((table[:, 1] >= _NEAREST_AU) & (table[:, 1] <= _FARTHEST_AU)).all():
        raise ValueError(f"a distance is not between {_NEAREST_AU:g} and {_FARTHEST_AU:g} au")
    angles = np.isfinite(table[:, 2:]).all()
    if angles and not ((np.abs(table[:, 2] - 90.0) <= 270.0) & (np.abs(table[:, 3]) <= 90.0)).all():
        raise ValueError("a right ascension or declination is not possible")
    return Ephemeris(table[:, 0], table[:, 1], table[:, 2] if angles else None, table[:, 3] if angles else None)


def at_times(table: Ephemeris, jd_utc: ArrayLike) -> tuple[Floats, Floats | None, Floats | None]:
    """Give distance (au), right ascension and declination (degrees) between the rows of a table.

    By the polynomial through the four nearest rows; with rows an hour apart, or a day for a slow asteroid, that is
    closer than the digits of the table.

    Raises
    ------
    ValueError
        A time is not between the first row and the last, or no curve through the rows makes sense.
    """
    jd = np.asarray(jd_utc, dtype=np.float64)
    nodes = table.jd_utc
    if jd.size and not (nodes[0] <= jd.min() and jd.max() <= nodes[-1]):
        raise ValueError(
            f"it runs from JD {nodes[0]:.5f} to {nodes[-1]:.5f}, the frames from {jd.min():.5f} to {jd.max():.5f}"
        )
    n = min(_MOST_NODES, nodes.size)
    first = np.clip(np.searchsorted(nodes, jd, side="right") - (n + 1) // 2, 0, nodes.size - n)
    index = first[:, None] + np.arange(n)
    t = nodes[index]
    weight = np.ones(t.shape)  # Lagrange's
    for j in range(n):
        for k in range(n):
            if j != k:
                weight[:, j] *= (jd - t[:, k]) / (t[:, j] - t[:, k])
    distance = np.sum(weight * table.distance_au[index], axis=1)
    if jd.size and not (
        0.5 * table.distance_au.min() <= distance.min() <= distance.max() <= 2 * table.distance_au.max()
    ):
        raise ValueError("its distances do not run smoothly from row to row")
    if table.ra_deg is None or table.dec_deg is None:
        return distance, None, None
    ra, dec = direction_deg(np.sum(weight[:, :, None] * unit_vectors(table.ra_deg, table.dec_deg)[index], axis=1))
    return distance, ra, dec


def unit_vectors(ra_deg: ArrayLike, dec_deg: ArrayLike) -> Floats:
    """Turn right ascension and declination into unit vectors (..., 3)."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=-1)


def direction_deg(vectors: Floats) -> tuple[Floats, Floats]:
    """Turn vectors (..., 3), of any length, into right ascension (0 to 360) and declination."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


# --- plain columns ----------------------------------------------------------------------------------------------------
def _plain(text: str) -> list[tuple[float, float, float, float]]:
    rows: list[tuple[float, float, float, float]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = re.split(r"[\s,;]+", line.split("#")[0].strip())
        if words == [""]:
            continue
        if len(words) > 2 and re.fullmatch(r"\d{4}-\d\d-\d\d", words[0]) and ":" in words[1]:
            words[:2] = [f"{words[0]}T{words[1]}"]
        try:
            if not "".join(words).isascii() or "_" in "".join(words):  # Python would take 1_5 for 15, and ٣ for 3
                raise ValueError(line)
            jd = _jd(datetime.fromisoformat(words[0].removesuffix("Z"))) if "-" in words[0] else float(words[0])
            values = [float(word) for word in words[1:]]
        except (ValueError, OverflowError):  # the latter: the first hours of the year 1, east of Greenwich
            if not rows and not re.match(r"[\d.+-]", words[0]):
                continue  # names of columns
            raise ValueError(f"line {number} is not `time distance` or `time ra dec distance`") from None
        if len(values) not in (1, 3) or not 1e6 < jd < 4e6:
            raise ValueError(f"line {number} is not `time distance` or `time ra dec distance`, the time a Julian date")
        ra, dec = values[:2] if len(values) == 3 else (float("nan"), float("nan"))
        rows.append((jd, values[-1], ra, dec))
    return rows


def _jd(moment: datetime) -> float:
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return (moment - datetime(2000, 1, 1, 12)) / timedelta(days=1) + 2451545.0


# --- JPL Horizons -----------------------------------------------------------------------------------------------------
def _horizons(text: str) -> list[tuple[float, float, float, float]]:
    head, _, rest = text.partition("$$SOE")
    body = rest.partition("$$EOE")[0]
    titles = [line for line in head.splitlines() if line.strip() and not line.strip().startswith("*")]
    if not titles:
        raise ValueError("above $$SOE there are no names of columns")
    title = titles[-1]
    split = _by_commas if "," in title else _by_columns
    kilometres = re.search(r"(?i)range units\s*:\s*km|output units\s*:\s*km", head) is not None
    rows = []
    for line in body.splitlines():
        if not line.strip():
            continue
        cells = split(title, line)
        time = next((v for k, v in cells.items() if k.startswith(("Date", "Calendar", "JD"))), "")
        scale = next((k for k in cells if k.startswith(("Date", "Calendar", "JD"))), "")
        distance = cells.get("delta", "")
        if not distance:
            raise ValueError("it has no column `delta`: ask Horizons for the observer's range (quantity 20)")
        try:
            jd = _as_utc(_horizons_time(time), scale)
            au = float(distance) / (AU_M / 1000.0 if kilometres else 1.0)
            place = _horizons_place(cells)
        except ValueError:
            raise ValueError(f"this row cannot be read: {line.strip()[:60]}") from None
        rows.append((jd, au, *place))
    return rows


def _by_commas(title: str, line: str) -> dict[str, str]:
    return {k.strip(): v.strip() for k, v in zip(title.split(","), line.split(","), strict=False) if k.strip()}


def _by_columns(title: str, line: str) -> dict[str, str]:
    """Give each word of a line to the name that stands above it."""
    names = [(m.group(), m.start(), m.end()) for m in re.finditer(r"\S+", title)]
    cells: dict[str, str] = {}
    for word in re.finditer(r"\S+", line):
        over = [(min(end, word.end()) - max(start, word.start()), name) for name, start, end in names]
        most, name = max(over)
        if most > 0:
            cells[name] = f"{cells.get(name, '')} {word.group()}".strip()
    return cells


def _horizons_time(text: str) -> float:
    text = text.removeprefix("A.D. ")
    if re.fullmatch(r"[0-9]{7}\.[0-9]+", text):
        return float(text)
    match = re.fullmatch(r"(\d{4})-([A-Za-z]{3}|\d\d)-(\d\d)[ T](\d\d):(\d\d)(?::(\d\d(?:\.\d+)?))?", text)
    if match is None:
        raise ValueError(text)
    year, month, day, hour, minute, second = match.groups()
    of_month = _MONTHS.get(month.lower()) or int(month)
    moment = datetime(int(year), of_month, int(day), int(hour), int(minute))
    return _jd(moment) + float(second or 0.0) / 86400.0


def _as_utc(jd: float, scale: str) -> float:
    """Turn a time into UTC: Horizons writes UT, TT or TDB (which are the same to 2 ms) into the column's name."""
    if "TT" not in scale and "TDB" not in scale and "CT" not in scale:
        return jd
    import erfa

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # leap seconds to come are said of the times of the frames
        utc: float = sum(erfa.taiutc(*erfa.tttai(2_400_000.5, jd - 2_400_000.5)))
    return utc


def _horizons_place(cells: dict[str, str]) -> tuple[float, float]:
    none = (float("nan"), float("nan"))
    name = next((k for k in cells if k.startswith("R.A.") and re.search("ICRF|J2000|ast", k)), None)
    if name is None:
        return none
    words = cells[name].split()
    beside = next((v for k, v in cells.items() if k.startswith("DEC") and re.search("ICRF|J2000|ast", k)), "")
    words += beside.split()
    if len(words) == 2:
        return float(words[0]), float(words[1])
    if len(words) != 6:
        return none
    ra, dec = as_angle(" ".join(words[:3])), as_angle(" ".join(words[3:]))
    return (ra[0] * 15.0, dec[0]) if ra and dec else none
