"""Instrumental magnitudes as text, a file an aperture: those of light curves, and where corrected those measured."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from photdb.algorithms.differential import instrumental_magnitude, magnitude_error
from photdb.exports.files import Draft
from photdb.exports.layout import MAG, Columns, Night, fixed, flag_notes, source_note
from photdb.store.arrays import Source, read_apertures, read_cube, read_fluxes

#: What an aperture is, in words.
_RADIUS: Final = {
    "fixed": "radius {:g} px",
    "fwhm": "radius {:g} times the FWHM of each frame",
    "optimal": "optimal extraction by the profile of each frame",
}
#: Where hits were mended or stars removed.
_CORRECTED: Final = (
    "mag, mag_err, flags: what light curves are made of, corrected as photdb measure --hits and --remove-stars ask"
    " (flags HIT, MENDED, STAR_REMOVED, HIT_REJECTED)",
    "mag_measured, mag_err_measured, flags_measured: as measured, of each source that has corrections in this aperture",
)


def instrumental_files(night: Night) -> Iterator[Draft]:
    """Lay out the files of the apertures in force; none where nothing is measured."""
    if not night.query("SELECT 1 FROM flux LIMIT 1"):
        return
    for aperture in read_apertures(night.project.connection):
        rows = night.query("SELECT DISTINCT source_id FROM correction WHERE aperture_id = ?", (aperture.id,))
        with_corrections = {source_id for (source_id,) in rows}
        corrected = [s for s in night.sources if s.id in with_corrections]
        spec = aperture.spec
        circle = f"r{spec.radius:g}" + ("fwhm" if spec.kind == "fwhm" else "")
        yield night.draft(
            f"05_instrumental_magnitudes_aperture_{aperture.id}_{'optimal' if spec.kind == 'optimal' else circle}",
            f"instrumental magnitudes in aperture {aperture.id}",
            [
                f"{_RADIUS[spec.kind].format(spec.radius)}, sky ring {spec.inner_px:g} to {spec.outer_px:g} px"
                + ("" if spec.sky == "median" else f", sky: {spec.sky}"),
                "mag: -2.5 log10(flux in ADU), rejected frames included; mag_err: by the CCD equation",
                *(_CORRECTED if corrected else ()),
                source_note(night),
                *flag_notes(1, 2),
                *flag_notes(8, 32),
            ],
            [
                *night.common(),
                *_magnitudes(night, read_fluxes, night.sources, aperture.id, ""),
                *_magnitudes(night, read_cube, corrected, aperture.id, "_measured"),
            ],
        )


def _magnitudes(
    night: Night, read: Callable[..., list[Any]], sources: list[Source], aperture_id: int, ending: str
) -> Columns:
    """Give magnitude, error and flags of some sources, as `read` finds them; `ending` goes with the columns' names."""
    flux, flux_err, flags = read(
        night.project.connection,
        ("flux_adu", "flux_err_adu", "flags"),
        frame_ids=night.frames.id,
        source_ids=[s.id for s in sources],
        aperture_ids=[aperture_id],
    )
    mag, err = instrumental_magnitude(flux), magnitude_error(flux, flux_err)
    out = []
    for k, s in enumerate(sources):
        out.append((f"mag{ending} {s.label}", fixed(mag[:, k, 0], MAG)))
        out.append((f"mag_err{ending} {s.label}", fixed(err[:, k, 0], MAG)))
        out.append((f"flags{ending} {s.label}", fixed(flags[:, k, 0], 0)))
    return out
