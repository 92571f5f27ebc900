"""When a frame was exposed, from what its header says about times.

There are dozens of ways to write it: one keyword or two, text or day number, start, middle or end, universal or local
time with its offset. Every keyword that is known is turned into an instant; one is chosen by a fixed order, and the
others are compared with it, so that headers that contradict themselves are noticed. Instants are whole nanoseconds
since MJD 0 (UTC, days of 86,400 s), so that nothing is lost before the Julian date itself is rounded.

The order: the middle of the exposure before its start before its end; among equals, text before day numbers, and the
date with time (`DATE-OBS`) before the time of day (`UT`, with the date of `DATE-OBS`). A value written more coarsely
than 10 s (`MJD-OBS` with three decimals, a time without seconds) is only taken if there is no finer one.
"""

import bisect
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Final, Literal

from photdb.algorithms.cards import CARD

Means = Literal["start", "middle", "end"]

#: Every keyword that is understood, in the order in which they are preferred, and what it means.
MEANING: Final[dict[str, Means]] = {
    **dict.fromkeys(("DATE-AVG", "DATE-MID", "UT-MID", "MJD-AVG", "MJD-MID", "JD_UTC", "JD-MID", "JD_MID"), "middle"),
    **dict.fromkeys(("DATE-BEG", "DATE-OBS", "DATE_OBS"), "start"),
    **dict.fromkeys(("UT-OBS", "UTC-OBS", "TIME-OBS", "TIME-BEG", "UTCSTART", "UTSTART", "UT-STRT"), "start"),
    **dict.fromkeys(("UT", "UTC", "UT-TIME"), "start"),
    **dict.fromkeys(("MJD-BEG", "MJD-OBS", "MJD_OBS", "MJD", "EXPSTART"), "start"),
    **dict.fromkeys(("JD-BEG", "JD-OBS", "JD_SOBS", "JD"), "start"),
    **dict.fromkeys(("DATE-END", "UT-END", "UTC-END", "UTCEND", "UTSTOP", "TIME-END"), "end"),
    **dict.fromkeys(("MJD-END", "JD-END", "EXPEND"), "end"),
}
_DATES: Final = ("DATE-OBS", "DATE_OBS", "DATE-BEG", "UT-DATE", "UTDATE", "DATE-AVG", "DATE-END")
_COARSE_S: Final = 10.0
_SECOND: Final = 1_000_000_000
_DAY: Final = 86_400 * _SECOND
_MJD_0: Final = date(1858, 11, 17).toordinal()
_DATE: Final = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})|(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})")
_TIME: Final = re.compile(
    r"(\d{1,2})[:h](\d{1,2})(?:[:m](\d{1,2})(?:[.,](\d*))?s?)?"  # hours, minutes, seconds and their fraction
    r"\s*(?:(Z|UTC?|GMT)|([+-])(\d{2}):?(\d{2})?)?",  # universal time, or the offset of the local time from it
    re.IGNORECASE,
)
#: MJD (UTC) from which on TAI − UTC is 10, 11, … s (IERS Bulletin C).
_LEAP_DAYS: Final = (
    *(41317, 41499, 41683, 42048, 42413, 42778, 43144, 43509, 43874, 44239, 44786, 45151, 45516, 46247),
    *(47161, 47892, 48257, 48804, 49169, 49534, 50083, 50630, 51179, 53736, 54832, 56109, 57204, 57754),
)
#: The same instants in nanoseconds of TAI.
_LEAPS_TAI: Final = tuple(day * _DAY + (10 + i) * _SECOND for i, day in enumerate(_LEAP_DAYS))
#: Nanoseconds by which a time scale is ahead of TAI (TDB is within 2 ms of TT).
_AHEAD_OF_TAI: Final = {"TAI": 0, "GPS": -19 * _SECOND} | dict.fromkeys(("TT", "TDT", "ET", "TDB"), 32_184_000_000)


@dataclass(frozen=True, slots=True)
class ExposureTime:
    """The middle of an exposure, and how it is known.

    Attributes
    ----------
    jd_utc_mid : float or None
        Julian date, None if no keyword gives a time.
    exposure_s : float or None
        As given, else from start to end.
    source : str
        Keyword, meaning and arithmetic, as in ``DATE-OBS (start) + EXPTIME/2``; empty if there is no time.
    note : str or None
        What is doubtful: keywords that disagree, values that are not understood.
    """

    jd_utc_mid: float | None
    exposure_s: float | None
    source: str
    note: str | None


@dataclass(frozen=True, slots=True)
class _Instant:
    """What one keyword (with its date's) says: nanoseconds since MJD 0, UTC."""

    keyword: str
    label: str
    means: Means
    utc_ns: int
    resolution_s: float


@dataclass(frozen=True, slots=True)
class _Written:
    """What a text says: day (MJD), nanoseconds of the day, the offset from UTC if it has one."""

    day: int | None
    day_ns: int | None
    offset_ns: int | None
    resolution_s: float


def exposure_time(
    cards: Mapping[str, object],
    *,
    exposure_s: float | None,
    exposure_keyword: str = "EXPTIME",
    keyword: str | None = None,
    means: Means | None = None,
    offset_s: float = 0.0,
) -> ExposureTime:
    """Find the middle of an exposure.

    Parameters
    ----------
    cards : mapping
        Keyword (upper case) to value.
    exposure_s : float or None
        Length of the exposure; if unknown, it is taken from start and end where both are written.
    exposure_keyword : str
        Where it comes from, for `ExposureTime.source`.
    keyword : str, optional
        The one keyword to use.
    means : {'start', 'middle', 'end'}, optional
        What it stands for; without `keyword`, what the keywords that normally tell the start stand for.
    offset_s : float
        Seconds to add, for a clock that was wrong.

    Returns
    -------
    ExposureTime
    """
    scale = str(cards.get("TIMESYS") or "UTC").strip().upper()
    if keyword is not None:
        keyword = keyword.upper()
        instants = _read(cards, {keyword: means or MEANING.get(keyword, "start")}, scale)
    elif means is not None:
        instants = _read(cards, {k: means for k, usual in MEANING.items() if usual == "start"}, scale)
    else:
        instants = _read(cards, MEANING, scale)
    if not instants:
        return ExposureTime(None, exposure_s, "", _why_none(cards, keyword))

    notes = []
    if exposure_s is None:
        times = {i.means: i.utc_ns for i in reversed(_read(cards, MEANING, scale))}
        if "start" in times and 0 < times.get("end", 0) - times["start"] < _DAY:
            exposure_s, exposure_keyword = (times["end"] - times["start"]) / _SECOND, "(end - start)"
    chosen = next((i for i in instants if i.resolution_s <= _COARSE_S), instants[0])
    if exposure_s is None and chosen.means != "middle":
        notes.append(f"the exposure is unknown: this is the time of its {chosen.means}")
    if chosen.resolution_s > _COARSE_S:
        notes.append(f"{chosen.label} is only written to {chosen.resolution_s:.0f} s")
    if not (scale in _AHEAD_OF_TAI or scale.startswith("UT")):
        notes.append(f"TIMESYS = {scale} is not understood: UTC is assumed")
    if keyword is None and means is None:
        others = [i for i in instants if i is not chosen]
        notes += [text for i in others if (text := _disagreement(i, chosen, exposure_s or 0.0))]
    middle_ns = _middle(chosen, exposure_s or 0.0) + round(offset_s * _SECOND)
    day, rest = divmod(middle_ns, _DAY)
    half = {"start": f" + {exposure_keyword}/2", "middle": "", "end": f" - {exposure_keyword}/2"}[chosen.means]
    source = chosen.label + (half if exposure_s is not None else "") + (f" {offset_s:+g} s" if offset_s else "")
    return ExposureTime((2_400_000 + day) + (0.5 + rest / _DAY), exposure_s, source, "; ".join(notes) or None)


def _middle(instant: _Instant, exposure_s: float, means: Means | None = None) -> int:
    sign = {"start": 1, "middle": 0, "end": -1}[means or instant.means]
    return instant.utc_ns + sign * round(exposure_s * _SECOND / 2)


def _disagreement(other: _Instant, chosen: _Instant, exposure_s: float) -> str | None:
    """Say how far another keyword is off, if it is by more than the rounding of both and what shutters take."""
    # Some programs write JD for the start of the exposure, some for its middle.
    meanings: tuple[Means, ...] = ("start", "middle") if other.keyword == "JD" else (other.means,)
    difference_s = min(
        ((_middle(other, exposure_s, m) - _middle(chosen, exposure_s)) / _SECOND for m in meanings),
        key=abs,
    )
    tolerance_s = other.resolution_s + chosen.resolution_s + 1
    if other.means != chosen.means:
        tolerance_s += 1 + exposure_s / 10
    if abs(difference_s) <= tolerance_s:
        return None
    size = abs(difference_s)
    unit, length = next((u for u in (("d", 86_400), ("h", 3600), ("min", 60)) if size >= 2 * u[1]), ("s", 1))
    return f"{other.label} says {size / length:.4g} {unit} {'later' if difference_s > 0 else 'earlier'}"


def _why_none(cards: Mapping[str, object], keyword: str | None) -> str:
    present = [k for k in ([keyword] if keyword else MEANING) if cards.get(k) not in (None, "")]
    if not present:
        return f"the header has no {keyword}" if keyword else "the header gives no time"
    return "not understood as a time: " + ", ".join(f"{k} = {cards[k]}" for k in present)


def _read(cards: Mapping[str, object], meaning: Mapping[str, Means], scale: str) -> list[_Instant]:
    """Read all keywords that give an instant, in their order."""
    instants = []
    for keyword, means in meaning.items():
        value = cards.get(keyword)
        if value is None or isinstance(value, bool):
            continue
        written = _parse_text(value) if isinstance(value, str) else None
        if written is not None and written.day is not None:
            instant = _from_text(cards, keyword, means, written)
        elif keyword.startswith(("UT", "TIME")) or written is not None:
            instant = _from_time_of_day(cards, keyword, means, written or _parse_hours(value))
        else:
            instant = _from_day_number(keyword, means, value)
        if instant is not None:
            instants.append(_to_utc(instant, scale, is_utc=written is not None and written.offset_ns is not None))
    return instants


def _from_text(cards: Mapping[str, object], keyword: str, means: Means, written: _Written) -> _Instant | None:
    """Give the instant of a date with a time of day; none if it is a date only."""
    if written.day is None or written.day_ns is None:
        return None
    if written.day_ns == 0 and any(
        (other := _parse_text(cards.get(k))) and other.day is None and other.day_ns
        for k in MEANING
        if k.startswith(("UT", "TIME"))
    ):
        return None  # midnight stands for a date without a time, because the time is written elsewhere
    remark = ""
    if written.offset_ns:
        hours, minutes = divmod(abs(written.offset_ns) // (60 * _SECOND), 60)
        remark = f", local time {'-' if written.offset_ns < 0 else '+'}{hours:02d}:{minutes:02d}"
    utc_ns = written.day * _DAY + written.day_ns - (written.offset_ns or 0)
    return _Instant(keyword, f"{keyword} ({means}{remark})", means, utc_ns, written.resolution_s)


def _from_time_of_day(
    cards: Mapping[str, object], keyword: str, means: Means, written: _Written | None
) -> _Instant | None:
    """Give the instant of a time of day, with the date that another keyword has."""
    if written is None or written.day_ns is None:
        return None
    for date_keyword in _DATES:
        dated = _parse_text(cards.get(date_keyword))
        if dated is None or dated.day is None:
            continue
        utc_ns = dated.day * _DAY + written.day_ns - (written.offset_ns or 0)
        if dated.day_ns:  # the date has a time too: the day is the one that brings both nearest to each other
            known_ns = dated.day * _DAY + dated.day_ns - (dated.offset_ns or 0)
            utc_ns += round((known_ns - utc_ns) / _DAY) * _DAY
        label = f"{date_keyword} and {keyword} ({means})"
        return _Instant(keyword, label, means, utc_ns, written.resolution_s)
    return None


def _from_day_number(keyword: str, means: Means, value: object) -> _Instant | None:
    """Give the instant of a Julian date, modified (MJD), reduced (without the 2400000) or whole."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    day, fraction = divmod(number, 1.0)
    if number > 2_400_000:
        day -= 2_400_000
    if number > 2_400_000 or keyword.startswith("JD"):
        fraction -= 0.5
    if not 10_000 < day < 100_000:  # 1886 to 2132; not NaN either
        return None
    decimals = len(repr(number).partition(".")[2].rstrip("0"))
    utc_ns = int(day) * _DAY + round(fraction * _DAY)
    return _Instant(keyword, f"{keyword} ({means})", means, utc_ns, 86_400 / 10**decimals)


def _to_utc(instant: _Instant, scale: str, *, is_utc: bool) -> _Instant:
    """Convert from the header's time scale, which names with UT in them and texts with an offset do not follow."""
    if scale not in _AHEAD_OF_TAI or is_utc or "UT" in instant.keyword:
        return instant
    tai_ns = instant.utc_ns - _AHEAD_OF_TAI[scale]
    leap_s = 9 + max(bisect.bisect_right(_LEAPS_TAI, tai_ns), 1)
    label = instant.label.replace(")", f", {scale})")
    return replace(instant, utc_ns=tai_ns - leap_s * _SECOND, label=label)


def _parse_text(value: object) -> _Written | None:
    """Understand a date, a time of day, or both; years of two digits are 1950 to 2049."""
    if not isinstance(value, str) or len(value) > CARD:
        return None
    text = value.strip()
    day = None
    if found := _DATE.match(text):
        y, m, d = (int(g) for g in (found.groups()[:3] if found[1] else reversed(found.groups()[3:])))
        if found[6] and len(found[6]) == 2:
            y += 1900 if y >= 50 else 2000
        try:
            day = date(y, m, d).toordinal() - _MJD_0
        except ValueError:
            return None
        text = text[found.end() :].lstrip("Tt ,")
        if not text:
            return _Written(day, None, None, 86_400.0)
    time = _TIME.fullmatch(text)
    if time is None:
        return None
    hours, minutes, seconds, fraction, universal, sign, offset_h, offset_min = time.groups()
    if int(hours) > 24 or int(minutes) > 59 or int(seconds or 0) > 60 or int(offset_h or 0) > 14:
        return None
    day_ns = ((int(hours) * 60 + int(minutes)) * 60 + int(seconds or 0)) * _SECOND
    day_ns += round(int(fraction) * _SECOND / 10 ** len(fraction)) if fraction else 0
    offset_ns = 0 if universal else None
    if sign:
        offset_ns = (int(offset_h) * 60 + int(offset_min or 0)) * 60 * _SECOND * (-1 if sign == "-" else 1)
    return _Written(day, day_ns, offset_ns, 60.0 if seconds is None else 10.0 ** -len(fraction or ""))


def _parse_hours(value: object) -> _Written | None:
    """Understand a time of day as a number: hours, or seconds if it is 24 or more (as ESO writes UTC)."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    seconds = number * 3600 if number < 24 else number
    return _Written(None, round(seconds * _SECOND), None, 1.0) if 0 <= seconds <= 86_401 else None
