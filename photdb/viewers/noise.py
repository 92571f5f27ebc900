"""Plot `noise`: each source's noise as measured, against what the CCD equation and scintillation foretell."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from photdb.viewers.style import FAINT, WIDE, Floats, dress, nth, panels, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: More sources than this cannot be told apart by name.
_MOST_NAMED = 35


@dataclass(frozen=True, slots=True)
class NoiseDiagram:
    """Scatter of S sources in P apertures, each against the mean of the references (a reference: of the others)."""

    labels: list[str]
    roles: list[str]
    radius_px: Floats  # (P,) of the apertures, in a frame of the median FWHM
    place: int  # of the aperture that the magnitude-noise diagram is drawn for
    mag: Floats  # (S, P) median instrumental magnitude
    measured_mag: Floats  # (S, P) noise of the curve; NaN where it has too few frames
    expected_mag: Floats  # (S, P) what the errors of the fluxes foretell
    curve_mag: Floats  # (n,) magnitudes at which the CCD equation is drawn, for that aperture
    total_mag: Floats  # (n,) everything, scintillation and the error of the mean of the references included
    photon_mag: Floats  # (n,) photons of the source alone
    sky_mag: Floats  # (n,) sky and read-out alone
    air_mag: float | None  # scintillation of one star; None where it was left out
    gain_note: str  # where the gain comes from, if nobody gave it; else empty
    kinds: list[str]  # (P,) of the apertures: fixed, fwhm or optimal
    name: str  # of the aperture at `place`


def named(found: NoiseDiagram) -> list[int]:
    """Give the places of the sources that are shown by name: all, or of very many targets and references first."""
    order = ("asteroid", "variable", "reference", "check")
    places = sorted(range(len(found.labels)), key=lambda i: (order.index(found.roles[i]), i))
    return sorted(places[:_MOST_NAMED])


def draw_magnitude_noise(axes: "Axes", found: NoiseDiagram) -> None:
    """Draw noise against magnitude in one aperture: measured as markers, foretold as bars and as the CCD's curve."""
    x, measured = found.mag[:, found.place], 1000.0 * found.measured_mag[:, found.place]
    expected = 1000.0 * found.expected_mag[:, found.place]
    equation = "CCD equation" + ("" if found.air_mag is None else " and scintillation")
    equation += f" ({found.gain_note})" if found.gain_note else ""
    axes.plot(found.curve_mag, 1000.0 * found.total_mag, color="black", lw=1.2, label=equation)
    axes.plot(found.curve_mag, 1000.0 * found.photon_mag, color=FAINT, lw=1.0, ls="--", label="photons of the source")
    axes.plot(found.curve_mag, 1000.0 * found.sky_mag, color=FAINT, lw=1.0, ls=":", label="sky and read-out")
    if found.air_mag is not None:
        axes.axhline(1000.0 * found.air_mag, color=FAINT, lw=1.0, ls="-.", label="scintillation of the source")
    by_name = named(found)
    others = np.setdiff1d(np.arange(len(found.labels)), by_name)
    if others.size:
        axes.plot(x[others], measured[others], ".", ms=3, mew=0, color=FAINT, label=f"{others.size} more")
    for i in by_name:
        label, look = found.labels[i], nth(i)
        target = found.roles[i] in ("asteroid", "variable")
        axes.plot([x[i], x[i]], [expected[i], measured[i]], color=look["color"], lw=0.9, label="_")
        axes.plot(x[i], expected[i], marker="_", ms=9, mew=1.4, color=look["color"], label="_")
        axes.plot(x[i], measured[i], ls="none", ms=8 if target else 5.5, mew=0, label="_", **look)
        if np.isfinite(measured[i]):
            axes.annotate(
                plain(label),
                (x[i], measured[i]),
                xytext=(6, -11) if target else (5, 4),
                textcoords="offset points",
                fontsize=8,
                annotation_clip=True,
            )
    known = np.concatenate([measured, expected])
    known = known[np.isfinite(known) & (known > 0)]
    _log_noise(axes, known)
    dress(axes, ylabel="noise, mmag")
    axes.set_xlabel("instrumental magnitude, −2.5 log10(flux in ADU)")
    if known.size:
        axes.set_ylim(known.min() / 1.6, known.max() * 2.4)  # room for the legend


def draw_noise_by_aperture(axes: "Axes", found: NoiseDiagram) -> None:
    """Draw each source's noise against the aperture: measured as markers and lines, foretold dashed."""
    kinds = np.array(found.kinds)
    for i in named(found):
        label, look = found.labels[i], nth(i)
        for kind in dict.fromkeys(found.kinds):
            of = kinds == kind
            x, filled = found.radius_px[of], kind == found.kinds[0]
            style = look | ({} if filled else {"mfc": "white", "mew": 0.9, "ms": 4 if kind == "fwhm" else 7})
            name = plain(label) if filled else "_"
            axes.plot(x, 1000.0 * found.expected_mag[i, of], color=look["color"], lw=0.8, ls="--", label="_")
            axes.plot(x, 1000.0 * found.measured_mag[i, of], **{"lw": 1.0, "ms": 4, "mew": 0, **style}, label=name)
    known = 1000.0 * np.concatenate([found.measured_mag, found.expected_mag]).ravel()
    _log_noise(axes, known[np.isfinite(known) & (known > 0)])
    dress(axes, ylabel="noise, mmag")
    hollow = {"fwhm": "small, hollow: scaled by the FWHM", "optimal": "large, hollow: optimal"}
    others = "".join(f"; {hollow[kind]}" for kind in dict.fromkeys(found.kinds) if kind in hollow)
    others = others.replace("; ", ";\n", 1)
    axes.set_xlabel(f"radius of the aperture, px (dashed: foretold{others})")


def draw_ratio(axes: "Axes", found: NoiseDiagram) -> None:
    """Draw measured over foretold noise against the aperture: 1 is the limit that nothing can beat."""
    for i in named(found):
        ratio = found.measured_mag[i] / found.expected_mag[i]
        for kind in dict.fromkeys(found.kinds):
            of = np.array(found.kinds) == kind
            axes.plot(found.radius_px[of], ratio[of], lw=1.0, ms=4, mew=0, label="_", **nth(i))
    axes.axhline(1.0, color="black", lw=1.0, ls="--", label="_")
    dress(axes, ylabel="measured / foretold")
    axes.set_xlabel("radius of the aperture, px")


def _log_noise(axes: "Axes", known: Floats) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    if known.size:
        axes.set_yscale("log")
        wide = float(known.max() / known.min()) > 8
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if wide else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def noise_figure(found: NoiseDiagram, *, title: str = "", width: float = WIDE) -> "Figure":
    """Draw the figure of `photdb plot noise`."""
    figure, axes = panels([2.9, 2.5, 1.8], width=width, share=False)
    draw_magnitude_noise(axes[0], found)
    axes[0].legend(fontsize=8, loc="upper left", framealpha=0.85, edgecolor="#DDDDDD")
    draw_noise_by_aperture(axes[1], found)
    draw_ratio(axes[2], found)
    axes[0].set_title(title, fontsize=11, loc="left")
    handles, labels = axes[1].get_legend_handles_labels()
    columns = 7 if width >= WIDE else 5
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=8, frameon=False)
    return figure
