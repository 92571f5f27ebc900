"""Plot `search`: the least noise that can be had with each number of references in each aperture."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from photdb.viewers.style import FAINT, WIDE, Floats, dress, nth, panels, some_named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: What is noisier than so many times the best may leave the axes.
_TIMES = 3.5


@dataclass(frozen=True, slots=True)
class NoiseMap:
    """Least noise of a target's curve over all sets of a size and all weightings asked for, in P apertures."""

    target: str
    names: list[str]  # (P,) of the apertures
    noise_mag: Floats  # (P, N) of 1, 2, … N references; NaN where an aperture has fewer
    kept_n_references: Floats  # (K,) of the curves that were kept, by rank
    kept_noise_mag: Floats  # (K,)
    proven: bool  # all sets were looked at; else the best that exchanges find


def draw_search(axes: "Axes", found: NoiseMap) -> None:
    """Draw noise, mmag, against the number of references, a line an aperture, and rings about the curves kept."""
    from matplotlib.ticker import MaxNLocator

    sizes = np.arange(1, found.noise_mag.shape[1] + 1)
    for i, (name, noise) in enumerate(zip(found.names, 1000.0 * found.noise_mag, strict=True)):
        axes.plot(sizes, noise, lw=1.0, ms=4.5, mew=0.0, label=name, **nth(i))
    x, y = found.kept_n_references, 1000.0 * found.kept_noise_mag
    if x.size:
        axes.plot(x[1:], y[1:], "o", ms=9, mfc="none", mec=FAINT, mew=1.2, label="_")
        axes.plot(x[:1], y[:1], "o", ms=12, mfc="none", mec="black", mew=1.4, label="_")
        right = x[0] > 0.6 * sizes.size
        axes.annotate(
            f"best: {y[0]:.2f} mmag",
            (x[0], y[0]),
            xytext=(-6 if right else 6, -9),
            textcoords="offset points",
            ha="right" if right else "left",
            va="top",
            fontsize=9,
        )
    values = np.append(1000.0 * found.noise_mag[np.isfinite(found.noise_mag)], y)
    if values.size:
        low, high = float(values.min()), float(values.max())
        high = min(high, _TIMES * low)
        span = high - low or 0.1 * abs(low) or 1.0
        axes.set_ylim(low - 0.16 * span, high + 0.05 * span)
    axes.set_xlim(0.5, sizes.size + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    dress(axes, ylabel="least noise, mmag")
    axes.set_xlabel("number of references" if found.proven else "number of references (best sets found by exchange)")


def search_figure(found: NoiseMap, *, title: str = "", width: float = WIDE) -> "Figure":
    """Draw the figure of `photdb plot search`."""
    figure, (axes,) = panels([3.3], width=width)
    draw_search(axes, found)
    axes.set_title(title, fontsize=11, loc="left")
    figure.legend(
        *some_named(*axes.get_legend_handles_labels()),
        title="radius of the aperture; rings: the curves that were kept",
        loc="outside lower center",
        ncols=6 if width >= WIDE else 4,
        fontsize=8,
        title_fontsize=8,
        frameon=False,
    )
    return figure
