"""Where a frame was taken and where it points: the site and the sign of its longitude, the pointing, the WCS."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from photdb.algorithms.cards import as_angle, as_number, first_angle

_MATRIX: Final = ("1_1", "1_2", "2_1", "2_2")
_LONGITUDE: Final = ("SITELONG", "LONG-OBS", "OBSLONG", "OBS-LONG", "LONGITUD", "SITELON", "GEOLON", "ESO TEL GEOLON")
_RA: Final = ("OBJCTRA", "RA", "TELRA")
_DEC: Final = ("OBJCTDEC", "DEC", "TELDEC")
_HOUR_ANGLE: Final = ("TELEHA", "OBJCTHA", "HA", "HOURANG")
_SIDEREAL: Final = ("LST-OBS", "LST", "ST", "SIDTIME")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What can tell the sign of a longitude: time, latitude, pointing, and the altitude with where it comes from."""

    jd_utc: float | None
    lat_deg: float | None
    ra_deg: float | None
    dec_deg: float | None
    altitude_key: str
    altitude_deg: float | None


def pointing(cards: Mapping[str, object], notes: list[str]) -> tuple[float | None, float | None]:
    """Give right ascension (sexagesimal: hours, number: degrees) and declination."""
    ra_deg = None
    for keyword in _RA:
        angle = as_angle(cards.get(keyword))
        if angle is not None and 0 <= angle[0] <= (24 if angle[1] else 360):
            ra_deg = (angle[0] * (15 if angle[1] else 1)) % 360
            break
    dec_deg = first_angle(cards, _DEC, 90, notes)[1]
    return (ra_deg, dec_deg) if ra_deg is not None and dec_deg is not None else (None, None)


def longitude(cards: Mapping[str, object], evidence: Evidence, notes: list[str]) -> tuple[float | None, str | None]:
    """Give the longitude of the site, east positive, and how its sign is known."""
    geodetic = as_number(cards.get("OBSGEO-L"))
    if geodetic is not None:
        return _wrap(geodetic), "OBSGEO-L counts east by definition"
    keyword, lon_deg = first_angle(cards, _LONGITUDE, 360, notes)
    if lon_deg is None:
        return None, None
    angle = as_angle(cards[keyword])
    if angle is not None and angle[2] in ("E", "W"):
        return _wrap(-abs(lon_deg) if angle[2] == "W" else abs(lon_deg)), f"{keyword} says {angle[2]}"
    lon_deg = _wrap(lon_deg)
    found = []
    if evidence.jd_utc is not None:
        for name, sidereal_deg in _sidereal(cards, evidence):
            implied_deg = _wrap(sidereal_deg - _gmst_deg(evidence.jd_utc))
            found.append((name, abs(_wrap(implied_deg - lon_deg)), abs(_wrap(implied_deg + lon_deg))))
        if None not in (evidence.lat_deg, evidence.dec_deg, evidence.altitude_deg):
            off = [abs(_altitude_deg(evidence, lon) - (evidence.altitude_deg or 0.0)) for lon in (lon_deg, -lon_deg)]
            found.append((evidence.altitude_key, off[0], off[1]))
    for name, east, west in found:
        # Believed if it fits one sign to 5° (exposures are long, clocks are off) and the other much worse.
        if min(east, west) <= 5 and max(east, west) > 3 * min(east, west) + 0.5:
            written = "east" if east < west else "west"
            return (lon_deg if east < west else -lon_deg), f"{keyword} counts {written} positive, as {name} shows"
    why = ", ".join(name for name, *_ in found)
    doubt = f"{why} fits neither sign or both" if found else "nothing in the header can show it"
    return lon_deg, f"the sign of {keyword} is not checked, east is taken as positive: {doubt}"


def _sidereal(cards: Mapping[str, object], evidence: Evidence) -> list[tuple[str, float]]:
    """Give the local sidereal times in degrees that the header implies, with where they come from."""
    found = []
    for keyword in _HOUR_ANGLE:
        angle = as_angle(cards.get(keyword))
        if angle is None or evidence.ra_deg is None:
            continue
        if angle[1] or keyword == "OBJCTHA":  # a text with minutes, or MaxIm's
            found.append((keyword, evidence.ra_deg + angle[0] * 15))
        elif abs(angle[0]) > 24:  # below, a number may be hours or degrees
            found.append((keyword, evidence.ra_deg + angle[0]))
    for keyword in _SIDEREAL:
        angle = as_angle(cards.get(keyword))
        if angle is not None:
            size = angle[0] / 3600 if abs(angle[0]) > 24 else angle[0]  # ESO writes seconds
            found.append((keyword, size * 15))
    return found


def _gmst_deg(jd_utc: float) -> float:
    """Give Greenwich mean sidereal time to 0.01° (Meeus 1998, Astronomical Algorithms, 12.4)."""
    return (280.46061837 + 360.98564736629 * (jd_utc - 2_451_545.0)) % 360


def _altitude_deg(evidence: Evidence, lon_deg: float) -> float:
    """Give the altitude of the pointing as seen from a longitude."""
    if evidence.jd_utc is None or evidence.lat_deg is None or evidence.ra_deg is None or evidence.dec_deg is None:
        return math.nan
    hour_angle = math.radians(_gmst_deg(evidence.jd_utc) + lon_deg - evidence.ra_deg)
    lat, dec = math.radians(evidence.lat_deg), math.radians(evidence.dec_deg)
    sine = math.sin(lat) * math.sin(dec) + math.cos(lat) * math.cos(dec) * math.cos(hour_angle)
    return math.degrees(math.asin(max(-1.0, min(1.0, sine))))


def _wrap(angle_deg: float) -> float:
    """Bring an angle to −180 to 180."""
    return (angle_deg + 180) % 360 - 180


def celestial_wcs(cards: Mapping[str, object], notes: list[str]) -> dict[str, float | str] | None:
    """Give the celestial WCS, in the words of `photdb.algorithms.headers.HeaderFacts`, or None."""
    types = [str(cards.get(k) or "") for k in ("CTYPE1", "CTYPE2")]
    if sorted(t[:3].rstrip("-") for t in types) != ["DEC", "RA"]:
        return None

    def number(key: str, default: float | None = None) -> float:
        value = as_number(cards.get(key, default))
        return math.nan if value is None else value

    if any(f"CD{ij}" in cards for ij in _MATRIX):
        matrix = [number(f"CD{ij}", 0.0) for ij in _MATRIX]
    else:
        x, y = number("CDELT1"), number("CDELT2")
        if any(f"PC{ij}" in cards for ij in _MATRIX):
            pc = [number(f"PC{ij}", float(ij[0] == ij[2])) for ij in _MATRIX]
            matrix = [x * pc[0], x * pc[1], y * pc[2], y * pc[3]]
        else:  # Calabretta & Greisen 2002, A&A 395, 1077, eq. 189
            turn = math.radians(number("CROTA2", as_number(cards.get("CROTA1")) or 0.0))
            matrix = [x * math.cos(turn), -y * math.sin(turn), x * math.sin(turn), y * math.cos(turn)]
    numbers = {
        "crval1_deg": number("CRVAL1"),
        "crval2_deg": number("CRVAL2"),
        "crpix1": number("CRPIX1", 0.0),
        "crpix2": number("CRPIX2", 0.0),
        **{f"cd{ij}": element for ij, element in zip(_MATRIX, matrix, strict=True)},
    }
    if not all(map(math.isfinite, numbers.values())) or matrix[0] * matrix[3] == matrix[1] * matrix[2]:
        notes.append("the WCS is incomplete and was not taken")
        return None
    return {"ctype1": types[0], "ctype2": types[1], **numbers}


def centre(cards: Mapping[str, object], wcs: Mapping[str, float | str]) -> tuple[float, float]:
    """Give right ascension and declination of the frame's centre, by the gnomonic projection."""
    n = {key: value for key, value in wcs.items() if not isinstance(value, str)}
    width, height = as_number(cards.get("NAXIS1")), as_number(cards.get("NAXIS2"))
    dx = (width + 1) / 2 - n["crpix1"] if width else 0.0
    dy = (height + 1) / 2 - n["crpix2"] if height else 0.0
    plane = [math.radians(n[f"cd{i}_1"] * dx + n[f"cd{i}_2"] * dy) for i in (1, 2)]
    sky = [math.radians(n[f"crval{i}_deg"]) for i in (1, 2)]
    if str(wcs["ctype1"]).startswith("DEC"):
        plane.reverse()
        sky.reverse()
    (xi, eta), (ra_0, dec_0) = plane, sky
    down = math.cos(dec_0) - eta * math.sin(dec_0)
    ra = ra_0 + math.atan2(xi, down)
    dec = math.atan2(math.sin(dec_0) + eta * math.cos(dec_0), math.hypot(xi, down))
    return math.degrees(ra) % 360, math.degrees(dec)
