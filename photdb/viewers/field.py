"""Plot `field`: a frame with its sources, tracks of asteroids, and each source near by with its apertures to scale."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from photdb.viewers.style import BLUE, GRID, ROLE_COLOUR, ROLE_MARKER, WIDE, Floats, dress, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Sources that are shown near by.
_MOST_STAMPS = 12
#: More sources than this are shown without the names of stars, and smaller.
_MOST_NAMED = 60
#: A side of the frame as it is drawn.
_MOST_PX = 2600
#: Pixels that the stretch is made from.
_SAMPLE = 200_000


@dataclass(frozen=True, slots=True)
class FieldSource:
    """A source in the frame shown, and where it is on it at the times of all frames."""

    label: str
    role: str
    x_px: float
    y_px: float
    track_px: Floats | None = None  # (n, 2), of an asteroid


@dataclass(frozen=True, slots=True)
class Field:
    """A frame and what is on it."""

    pixels: NDArray[Any]  # (height, width), ADU
    number: int
    sources: list[FieldSource]
    radii_px: list[float]  # of the apertures
    annulus_px: tuple[float, float] | None
    met_stars_px: Floats | None = None  # (k, 2) stars whose light asteroids meet
    met_hot_px: Floats | None = None  # (k, 2) where targets meet hot pixels, among the stars


def stretched(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Scale pixels to 0 (a little below the sky) to 1 (the brightest thousandth), by an asinh that shows both ends."""
    flat = pixels.reshape(-1)
    sample = flat[:: max(1, flat.size // _SAMPLE)].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return np.zeros(pixels.shape, np.float32)
    sky = float(np.median(sample))
    scatter = 1.4826 * float(np.median(np.abs(sample - sky))) or 1.0
    low, high = sky - 2.0 * scatter, max(float(np.quantile(sample, 0.999)), sky + 10.0 * scatter)
    soft = 4.0 * scatter
    scaled = np.arcsinh((np.nan_to_num(pixels.astype(np.float32), nan=low) - low) / soft)
    return np.asarray(np.clip(scaled / np.arcsinh((high - low) / soft), 0.0, 1.0), np.float32)


def draw_field(axes: "Axes", field: Field) -> None:
    """Draw the frame, dark stars on a light sky, with its sources and tracks; y goes up."""
    height, width = field.pixels.shape
    k = -(-max(height, width) // _MOST_PX)
    shown = _reduced(field.pixels, k)
    axes.imshow(
        stretched(shown),
        cmap="gray_r",
        vmin=0,
        vmax=1,
        origin="lower",
        extent=(-0.5, k * shown.shape[1] - 0.5, -0.5, k * shown.shape[0] - 0.5),
        aspect="equal",
    )
    crowded = len(field.sources) > _MOST_NAMED
    for role in ("check", "reference") if crowded else ():  # at once: each mark of its own takes its time
        places = [(s.x_px, s.y_px) for s in field.sources if s.role == role]
        x, y = np.reshape(places, (-1, 2)).T
        axes.plot(x, y, ls="none", marker=ROLE_MARKER[role], mec=ROLE_COLOUR[role], mfc="none", ms=5, mew=1.5)
    for source in field.sources:
        if crowded and source.role in ("check", "reference"):
            continue
        colour = ROLE_COLOUR[source.role]
        if source.track_px is not None:
            axes.plot(*source.track_px.T, color=colour, lw=1.2, label="_")
        axes.plot(
            source.x_px,
            source.y_px,
            ls="none",
            marker=ROLE_MARKER[source.role],
            ms=5 if crowded else 11,
            mfc="none",
            mec=colour,
            mew=1.5,
        )
        right = source.x_px > 0.85 * width or _is_neighboured(field, source)
        axes.annotate(
            plain(source.label),
            (source.x_px, source.y_px),
            xytext=(-8 if right else 8, 5),
            textcoords="offset points",
            ha="right" if right else "left",
            fontsize=9,
            color=colour,
            weight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.65, "pad": 0.6},
        )
    _draw_met(axes, field)
    dress(axes, ylabel="y, px")
    axes.grid(visible=False)
    axes.set(xlabel="x, px", xlim=(-0.5, width - 0.5), ylim=(-0.5, height - 0.5))


def _draw_met(axes: "Axes", field: Field) -> None:
    """Mark stars and hot pixels on the tracks, with a legend."""
    looks = {"star passed": (field.met_stars_px, "o", 7.0), "hot pixel met": (field.met_hot_px, "x", 5.0)}
    shown = False
    for label, (places, marker, size) in looks.items():
        if places is not None and len(places):
            label = f"{label} ({len(places)})"
            axes.plot(*places.T, ls="none", marker=marker, mfc="none", mec=BLUE, ms=size, mew=1.3, label=label)
            shown = True
    if shown:
        axes.legend(fontsize=8, loc="best", framealpha=0.85, edgecolor=GRID, handletextpad=0.4)


def _reduced(pixels: NDArray[Any], k: int) -> NDArray[Any]:
    """Average squares of k × k pixels of a frame that is larger than any screen; up to k − 1 rows and columns go."""
    if k == 1:
        return pixels
    height, width = pixels.shape[0] // k, pixels.shape[1] // k
    squares = pixels[: height * k, : width * k].reshape(height, k, width, k)
    return np.asarray(squares.mean(axis=(1, 3), dtype=np.float32))


def _is_neighboured(field: Field, source: FieldSource) -> bool:
    """Tell whether another source stands where the name would be, to the right."""
    height, width = field.pixels.shape
    return any(
        0 < other.x_px - source.x_px < 0.09 * width and abs(other.y_px - source.y_px) < 0.03 * height
        for other in field.sources
    )


def draw_stamp(axes: "Axes", field: Field, source: FieldSource) -> None:
    """Draw a source near by, with its smallest and largest aperture and its sky ring to scale."""
    from matplotlib.patches import Circle

    reach = 1.08 * (field.annulus_px[1] if field.annulus_px is not None else 15.0)
    height, width = field.pixels.shape
    x0, x1 = max(int(source.x_px - reach), 0), min(int(source.x_px + reach) + 2, width)
    y0, y1 = max(int(source.y_px - reach), 0), min(int(source.y_px + reach) + 2, height)
    if x1 > x0 and y1 > y0:
        axes.imshow(
            stretched(field.pixels[y0:y1, x0:x1]),
            cmap="gray_r",
            vmin=0,
            vmax=1,
            origin="lower",
            extent=(x0 - 0.5, x1 - 0.5, y0 - 0.5, y1 - 0.5),
        )
    colour, place = ROLE_COLOUR[source.role], (source.x_px, source.y_px)
    ends = [field.radii_px[0], field.radii_px[-1]] if field.radii_px else []
    for radius, line in [*((r, "-") for r in dict.fromkeys(ends)), *((r, "--") for r in field.annulus_px or ())]:
        axes.add_patch(Circle(place, radius, fill=False, ec=colour, lw=1.1, ls=line))
    axes.set(xlim=(place[0] - reach, place[0] + reach), ylim=(place[1] - reach, place[1] + reach), xticks=[], yticks=[])
    axes.set_aspect("equal")
    axes.set_title(plain(source.label), fontsize=8, color=colour, pad=2)


def field_figure(field: Field, *, title: str = "", width: float = WIDE) -> "Figure":
    """Draw the figure of `photdb plot field`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown: Sequence[FieldSource] = field.sources[:_MOST_STAMPS]
    columns = 6 if width >= WIDE else 4
    rows = -(-len(shown) // columns)
    height, across = field.pixels.shape
    tall = (width - 0.7) * min(height / across, 1.3)
    stamp = (width - 0.3) / columns + 0.1
    figure = Figure(figsize=(width, tall + 0.8 + rows * stamp), dpi=125, layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure, figure
    if rows:
        above, below = figure.subfigures(2, 1, height_ratios=[tall + 0.8, rows * stamp])  # type: ignore[misc]
    axes = above.subplots()
    draw_field(axes, field)
    axes.set_title(title, fontsize=11, loc="left")
    for i, source in enumerate(shown):
        draw_stamp(below.add_subplot(rows, columns, i + 1), field, source)
    return figure
