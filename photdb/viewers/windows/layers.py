"""Layers of a figure that are drawn one upon the other, each again only when it, or one below, is out of date."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure


class Layers:
    """The layers of a figure; what is in none of them is drawn with the figure, below all of them.

    Backends without blitting do as well: what is below a layer is kept as pixels of the Agg canvas that all have.
    """

    def __init__(self, figure: "Figure") -> None:
        self._figure = figure
        self._layers: list[list[Artist]] = []
        self._below: list[Any] = []  # the pixels under each layer
        self._stale: int | None = None  # the lowest layer that is to be drawn again; −1 is the figure

    @property
    def top(self) -> int:
        """The number of the uppermost layer."""
        return len(self._layers) - 1

    def new(self, *artists: "Artist") -> int:
        """Put artists into a new layer on top; gives its number."""
        self._layers.append([])
        for artist in artists:
            artist.set_animated(True)
            self._layers[-1].append(artist)
        return self.top

    def add(self, layer: int, artist: "Artist") -> None:
        """Put another artist into a layer."""
        artist.set_animated(True)
        self._layers[layer].append(artist)

    def remove(self, layer: int, artist: "Artist") -> None:
        """Take an artist out of a layer and of the figure."""
        self._layers[layer].remove(artist)
        artist.remove()

    def redraw(self, layer: int = -1) -> None:
        """Have this layer and those above it drawn at the next `flush`; −1: the whole figure."""
        self._stale = layer if self._stale is None else min(self._stale, layer)

    def forget(self) -> None:
        """Forget all pixels: the figure has another size."""
        self._below.clear()

    def flush(self) -> None:
        """Draw what is out of date."""
        if self._stale is None:
            return
        canvas: Any = self._figure.canvas
        if self._stale < 0 or len(self._below) < len(self._layers):
            canvas.draw_idle()
            return
        canvas.restore_region(self._below[self._stale])
        self.draw(self._stale)
        canvas.blit(self._figure.bbox)

    def draw(self, lowest: int = 0) -> None:
        """Draw this layer and those above on what there is, as is due whenever the figure was drawn."""
        canvas: Any = self._figure.canvas
        renderer = canvas.get_renderer()
        del self._below[lowest:]
        for artists in self._layers[lowest:]:
            self._below.append(canvas.copy_from_bbox(self._figure.bbox))
            for artist in artists:
                if artist.get_visible():
                    artist.draw(renderer)
        self._stale = None
