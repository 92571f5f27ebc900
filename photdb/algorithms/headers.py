"""What the cards of a header say: the facts of a frame that photometry needs, whoever wrote them.

Values that cannot be are left out and noted, never raised. Where the same thing goes by several names the first usable
one of a fixed list counts. Some keywords are known to lie, and are treated with care: `GAIN` is often a setting of the
camera rather than electrons per ADU, `DATAMAX` the highest pixel rather than the saturation, and longitudes are counted
east or west at will, which the sidereal time or the altitude of the target can decide.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from photdb.algorithms.cards import as_number, first, first_angle
from photdb.algorithms.header_places import Evidence, celestial_wcs, centre, longitude, pointing
from photdb.algorithms.header_times import Means, exposure_time

_EXPOSURE: Final = ("EXPTIME", "EXPOSURE", "EXP_TIME", "EXP-TIME", "EXPOSED", "ITIME", "TEXPTIME", "LIVETIME")
_FILTER: Final = ("FILTER", "FILTERS", "FILTERID", "FILTNAME", "FILTER1", "ESO INS FILT1 NAME")
_OBJECT: Final = ("OBJECT", "OBJNAME", "TARGNAME", "TARGET")
_GAIN: Final = ("EGAIN", "CVF", "ESO DET OUT1 CONAD")
_READ_NOISE: Final = ("RDNOISE", "READNOIS", "READNOI", "RON", "ENOISE", "ESO DET OUT1 RON")
_SATURATION: Final = ("SATURATE", "SATLEVEL", "MAXLIN")
_AIRMASS: Final = ("AIRMASS", "SECZ", "ESO TEL AIRM START")
_ALTITUDE: Final = ("CENTALT", "OBJCTALT", "TELALT", "ESO TEL ALT")
_LATITUDE: Final = ("SITELAT", "LAT-OBS", "OBSLAT", "OBS-LAT", "LATITUDE", "GEOLAT", "ESO TEL GEOLAT", "OBSGEO-B")
_HEIGHT: Final = ("SITEELEV", "ALT-OBS", "OBSALT", "OBS-ELEV", "SITEALT", "GEOELEV", "ESO TEL GEOELEV", "OBSGEO-H")


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """The facts of one frame; what its header does not say is None.

    Attributes
    ----------
    jd_utc_mid, time_source, time_note
        Middle of the exposure, from which keywords and how (empty if there is no time), and what is doubtful about it.
    exposure_s, filter, object, observer
        As written, text without blanks around it.
    airmass, airmass_source
        From a keyword, or from an altitude by Pickering's formula.
    gain_e_per_adu, read_noise_e, saturation_adu, aperture_diameter_m
        Of camera and telescope.
    site_lon_deg, site_lat_deg, site_height_m, site_note
        East positive; the note says how the sign of the longitude is known.
    ra_deg, dec_deg
        Of the centre of the frame if it has a WCS, else of the pointing.
    wcs
        ``ctype1``, ``ctype2``, ``crval1_deg``, ``crval2_deg``, ``crpix1``, ``crpix2`` (1-based, as FITS counts),
        ``cd1_1`` to ``cd2_2`` (degrees a pixel, whatever way the header writes the matrix).
    notes
        One sentence for each value that was not taken.
    """

    jd_utc_mid: float | None
    exposure_s: float | None
    time_source: str
    time_note: str | None
    filter: str | None
    object: str | None
    observer: str | None
    airmass: float | None
    airmass_source: str | None
    gain_e_per_adu: float | None
    read_noise_e: float | None
    saturation_adu: float | None
    aperture_diameter_m: float | None
    site_lon_deg: float | None
    site_lat_deg: float | None
    site_height_m: float | None
    site_note: str | None
    ra_deg: float | None
    dec_deg: float | None
    wcs: dict[str, float | str] | None
    notes: tuple[str, ...]


def interpret(
    cards: Mapping[str, object],
    *,
    time_keyword: str | None = None,
    time_means: Means | None = None,
    time_offset_s: float = 0.0,
) -> HeaderFacts:
    """Turn the cards of a header into facts.

    Parameters
    ----------
    cards : mapping
        Keyword (upper case) to value; strings may stand for numbers.
    time_keyword : str, optional
        The keyword whose time is to be used, instead of the order in `photdb.algorithms.header_times`.
    time_means : {'start', 'middle', 'end'}, optional
        What that keyword, or without one `DATE-OBS` and its like, stands for.
    time_offset_s : float
        Seconds to add to the times, for a clock that was wrong.

    Returns
    -------
    HeaderFacts

    Notes
    -----
    Gain: `EGAIN`, `CVF`, ESO's `CONAD`; `GAIN` only if it is no whole number (those are settings of cameras) and at
    most 20. `APTDIA` is in mm (SBFITSEXT), values below 20 are taken for metres.
    """
    notes: list[str] = []
    exposure_key, exposure_s = first(cards, _EXPOSURE, 0, 1e6, notes)
    time = exposure_time(
        cards,
        exposure_s=exposure_s,
        exposure_keyword=exposure_key,
        keyword=time_keyword,
        means=time_means,
        offset_s=time_offset_s,
    )
    wcs = celestial_wcs(cards, notes)
    ra_deg, dec_deg = centre(cards, wcs) if wcs else pointing(cards, notes)
    lat_deg = first_angle(cards, _LATITUDE, 90, notes)[1]
    airmass_key, airmass = first(cards, _AIRMASS, 0.99, 40, notes)
    altitude_key, altitude_deg = first_angle(cards, _ALTITUDE, 90, notes)
    if airmass is None and altitude_deg is not None and altitude_deg > 0:
        airmass_key, airmass = f"{altitude_key} (Pickering 2002)", _airmass(altitude_deg)
    if altitude_deg is None and airmass is not None:
        altitude_key, altitude_deg = airmass_key, math.degrees(math.asin(min(1.0, 1 / airmass)))
    evidence = Evidence(time.jd_utc_mid, lat_deg, ra_deg, dec_deg, altitude_key, altitude_deg)
    lon_deg, site_note = longitude(cards, evidence, notes)
    aperture = first(cards, ("APTDIA",), 0.02, 20_000, notes)[1]
    return HeaderFacts(
        jd_utc_mid=time.jd_utc_mid,
        exposure_s=time.exposure_s,
        time_source=time.source,
        time_note=time.note,
        filter=_text(cards, _FILTER),
        object=_text(cards, _OBJECT),
        observer=_text(cards, ("OBSERVER",)),
        airmass=airmass,
        airmass_source=airmass_key if airmass is not None else None,
        gain_e_per_adu=_gain(cards, notes),
        read_noise_e=first(cards, _READ_NOISE, 1e-3, 1e4, notes)[1],
        saturation_adu=first(cards, _SATURATION, 1, 1e10, notes)[1],
        aperture_diameter_m=aperture / 1000 if aperture is not None and aperture >= 20 else aperture,
        site_lon_deg=lon_deg,
        site_lat_deg=lat_deg,
        site_height_m=first(cards, _HEIGHT, -500, 9000, notes)[1],
        site_note=site_note,
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        wcs=wcs,
        notes=tuple(notes),
    )


def _text(cards: Mapping[str, object], keywords: tuple[str, ...]) -> str | None:
    texts = (str(cards[k]).strip() for k in keywords if cards.get(k) is not None)
    return next((text for text in texts if text), None)


def _gain(cards: Mapping[str, object], notes: list[str]) -> float | None:
    gain = first(cards, _GAIN, 1e-4, 1e4, notes)[1]
    written = cards.get("GAIN")
    if gain is not None or written is None:
        return gain
    number = as_number(written)
    if number is not None and 0 < number <= 20 and not (isinstance(written, int) or str(written).strip().isdecimal()):
        return number
    notes.append(f"GAIN = {written} looks like a camera setting, not electrons per ADU, and was not taken")
    return None


def _airmass(altitude_deg: float) -> float:
    """Give the airmass at an apparent altitude above 0 (Pickering 2002, DIO 12, 20)."""
    return 1 / math.sin(math.radians(altitude_deg + 244 / (165 + 47 * altitude_deg**1.1)))
