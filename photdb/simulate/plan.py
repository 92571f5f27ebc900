"""What a synthetic night is to be: its size, its instrument, its stars, and which troubles happen in it."""

from dataclasses import dataclass, replace
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class NightPlan:
    """The plan of a synthetic night; everything else follows from it and its seed.

    Fluxes are in ADU over one nominal exposure at airmass 1 in a clear sky, summed over the whole profile. The
    asteroid is `Ganymed`, the references are `R1` …, the check star is `C1`, the variable, if any, is `V1`.

    Parameters
    ----------
    n_frames, width_px, height_px, seed
        Number and size of the frames, and the seed of all that is random.
    start_utc, duration_h, exposure_s
        Start of the first exposure (ISO 8601), time from the first start to the last, nominal exposure time.
    gain_e_per_adu, read_noise_e, pedestal_adu, saturation_adu
        The camera: pixels are rounded to whole ADU and clipped at `saturation_adu`, the pedestal included.
    sky_adu
        Sky of a nominal exposure, ADU per pixel, above the pedestal.
    fwhm_px, profile, moffat_beta, seeing_variation
        The stars' round profile, and the relative amplitude by which its width varies.
    n_stars, star_flux_adu, isolation_fwhm
        Number of field stars besides the sources, their faintest and brightest flux (a power law between), and how far
        they keep off the sources: below 5 FWHM, and with many, the field is crowded.
    asteroid_flux_adu, reference_flux_adu, check_flux_adu, variable_flux_adu
        Mean fluxes of the sources.
    asteroid_amplitude_mag, asteroid_period_h
        Full amplitude and rotation period (two maxima a turn) of the asteroid's own light curve.
    drift_mag
        How much the drifting reference (R3) fades from the first frame to the last.
    haze_mag
        Amplitude of the slow, common change of transparency.
    drift_px, jitter_px, field_rotation_deg
        How far the mount drifts until it is recentred (in all the night without `recentrings`), its scatter from
        frame to frame, and how much the field turns during the night.
    exposure_factor, gradient_adu, fog_mag, trail_adu
        Sizes of the troubles: the longer exposure time, the slope from corner to corner in moonlight, the light lost
        at the end of the night, the height of the satellite's trail.
    hot_pixels, cosmic_rays, fog, exposure_change, drifting_reference, recentrings, crossing, meridian_flip, refocus, \
trail, gradient, variable
        What happens in the night. Without `crossing` the asteroid meets no star at all.

    Raises
    ------
    ValueError
        A plan that cannot be.
    """

    n_frames: int = 60
    width_px: int = 400
    height_px: int = 300
    seed: int = 1
    start_utc: str = "2011-10-01T20:30:00"
    duration_h: float = 5.5
    exposure_s: float = 60.0
    gain_e_per_adu: float = 1.5
    read_noise_e: float = 8.0
    pedestal_adu: float = 100.0
    saturation_adu: int = 32767
    sky_adu: float = 300.0
    fwhm_px: float = 3.2
    profile: Literal["gaussian", "moffat"] = "gaussian"
    moffat_beta: float = 3.0
    seeing_variation: float = 0.08
    n_stars: int = 200
    star_flux_adu: tuple[float, float] = (300.0, 60_000.0)
    asteroid_flux_adu: float = 230_000.0
    reference_flux_adu: tuple[float, ...] = (150_000.0, 185_000.0, 120_000.0, 100_000.0, 85_000.0, 70_000.0, 140_000.0)
    check_flux_adu: float = 90_000.0
    variable_flux_adu: float = 110_000.0
    asteroid_amplitude_mag: float = 0.15
    asteroid_period_h: float = 10.31
    drift_mag: float = 0.06
    haze_mag: float = 0.03
    drift_px: float = 16.0
    jitter_px: float = 0.4
    field_rotation_deg: float = 0.3
    exposure_factor: float = 2.2
    gradient_adu: float = 60.0
    fog_mag: float = 2.2
    trail_adu: float = 250.0
    hot_pixels: bool = True
    cosmic_rays: bool = True
    fog: bool = True
    exposure_change: bool = True
    drifting_reference: bool = True
    recentrings: bool = True
    crossing: bool = True
    meridian_flip: bool = False
    refocus: bool = True
    trail: bool = False
    gradient: bool = True
    variable: bool = False
    isolation_fwhm: float = 5.0

    def __post_init__(self) -> None:
        if self.n_frames < 2:
            raise ValueError("a night has at least two frames")
        if self.profile not in ("gaussian", "moffat"):
            raise ValueError(f"no such profile: {self.profile}")
        if self.profile == "moffat" and self.moffat_beta <= 1.0:
            raise ValueError("a Moffat profile has a finite flux for beta > 1 only")
        if not 0 < self.saturation_adu <= 65535:
            raise ValueError("the saturation of 16-bit frames lies in 1..65535 ADU")
        if not self.reference_flux_adu:
            raise ValueError("a night has at least one reference star")
        if min(self.width_px, self.height_px) <= 2.0 * self.margin_px:
            raise ValueError("the frames are too small for stars that stay in them all night")
        longest_s = self.exposure_s * (self.exposure_factor if self.exposure_change else 1.0)
        if longest_s > self.cadence_s:
            raise ValueError(f"an exposure of {longest_s:g} s does not fit into a cadence of {self.cadence_s:g} s")

    @property
    def cadence_s(self) -> float:
        """Time from the start of one frame to the start of the next."""
        return self.duration_h * 3600.0 / (self.n_frames - 1)

    @property
    def margin_px(self) -> float:
        """How far from the edge a source has to be to stay in the field: drift, jitter, turning, and a little sky."""
        turning_px = 0.01 * abs(self.field_rotation_deg) * max(self.width_px, self.height_px)
        return 0.5 * self.drift_px + 5.0 * self.jitter_px + turning_px + 6.0 * self.fwhm_px


def clear_night(**changes: Any) -> NightPlan:
    """Plan a night in which nothing goes wrong: the mount drifts a little, seeing and haze vary, no more.

    Parameters
    ----------
    **changes
        Fields of the plan that are to be different.

    Returns
    -------
    NightPlan
    """
    calm = NightPlan(
        hot_pixels=False,
        cosmic_rays=False,
        fog=False,
        exposure_change=False,
        drifting_reference=False,
        recentrings=False,
        crossing=False,
        refocus=False,
        gradient=False,
    )
    return replace(calm, **changes)


def ganymed(**changes: Any) -> NightPlan:
    """Plan a night of the size of AsPyLib's example: 1388 frames of 1.3 Mpixel in 5.5 h, 3.6 GB on disk.

    Parameters
    ----------
    **changes
        Fields of the plan that are to be different.

    Returns
    -------
    NightPlan
    """
    large = NightPlan(n_frames=1388, width_px=1280, height_px=1024, exposure_s=6.0, n_stars=1500, drift_px=40.0)
    return replace(large, **changes)
