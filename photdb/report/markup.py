"""Pieces of HTML: everything that is not ours is escaped here, and nowhere else is text made into markup."""

import base64
import html
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from photdb.viewers.show import rendered
from photdb.viewers.style import BLUE, FAINT, GREEN, GRID, ORANGE, PURPLE, SKY, VERMILLION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: What of a figure's colours follows the page's own, light or dark.
_VARIABLES: Final = {
    "#ffffff": "--paper",
    "#000000": "--ink",
    GRID: "--grid",
    FAINT: "--faint",
    BLUE: "--blue",
    VERMILLION: "--vermillion",
    GREEN: "--green",
    PURPLE: "--purple",
    ORANGE: "--orange",
    SKY: "--sky",
}
#: More points than this are drawn into the page as a picture: each would else be an element of its own.
_MOST_ELEMENTS: Final = 300
_RASTER_DPI: Final = 200

CSS: Final = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1b1e24;--quiet:#5b6270;--grid:#ddd;--faint:#8b8b8b;--box:#f5f6f8;
--link:#0057a3;--blue:#0072b2;--vermillion:#d55e00;--green:#009e73;--purple:#cc79a7;--orange:#e69f00;--sky:#56b4e9}
@media (prefers-color-scheme:dark){:root{--paper:#15181d;--ink:#e6e8ec;--quiet:#a3abb8;--grid:#343a44;--faint:#8f96a1;
--box:#1e2229;--link:#7cc0ff;--blue:#4ea6dd;--vermillion:#f0803c;--green:#2bbf94}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:76rem;background:var(--paper);color:var(--ink);
font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.7rem;line-height:1.2;margin:.5rem 0}h2{font-size:1.25rem;margin:2.2rem 0 .6rem;
border-bottom:1px solid var(--grid);padding-bottom:.2rem}
p{max-width:46rem}p.note{color:var(--quiet);margin:1.2rem 0 -.3rem}
header p.note{margin:.3rem 0 .8rem}a{color:var(--link)}
nav a{margin-right:.9rem;white-space:nowrap}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,30rem),1fr));gap:1.4rem;align-items:start}
figure{margin:0;min-width:0}figure svg,figure img{display:block;width:100%;height:auto;max-width:44rem}
figure svg{fill:var(--ink)}figure img{background:#fff}
figcaption{color:var(--quiet);font-size:.9rem;margin-top:.3rem;max-width:44rem}
.wide{overflow-x:auto;max-width:100%;margin:.9rem 0}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums;overflow-wrap:normal}
th,td{padding:.25rem .7rem .25rem 0;text-align:left;vertical-align:top;white-space:nowrap;
border-bottom:1px solid var(--grid)}
th{color:var(--quiet);font-weight:600}td.n,th.n{text-align:right}
td.long{min-width:14rem;white-space:normal;overflow-wrap:anywhere}
pre{background:var(--box);padding:.8rem;overflow-x:auto;font-size:.82rem;line-height:1.45;border-radius:.3rem}
.warning{border-left:.3rem solid var(--orange);background:var(--box);padding:.6rem .9rem;max-width:46rem}
summary{cursor:pointer}
@media print{nav{display:none}.plots{display:block}figure{break-inside:avoid;margin-bottom:1rem}}
"""


def text(value: Any) -> str:
    """Escape a value; what cannot be printed is shown as U+FFFD, line breaks and tabs as spaces, None as a dash."""
    if value is None:
        return "–"
    return html.escape("".join(c if c.isprintable() else " " if c in "\n\r\t" else "\ufffd" for c in str(value)))


def block(value: str) -> str:
    """Escape a text of several lines, and set it as it is typed."""
    return "<pre>" + "\n".join(text(line) for line in value.split("\n")) + "</pre>"


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]], *, caption: str = "") -> str:
    """Lay out rows under headings: numbers to the right."""
    right = [
        any(row[i] is not None for row in rows) and all(_is_number(row[i]) for row in rows)
        for i in range(len(headings))
    ]
    long = [any(len(str(row[i])) > 40 for row in rows) for i in range(len(headings))]
    classes = [' class="n"' if r else ' class="long"' if w else "" for r, w in zip(right, long, strict=True)]
    head = "".join(
        f'<th{c if r else ""} scope="col">{text(h)}</th>' for h, c, r in zip(headings, classes, right, strict=True)
    )
    body = "\n".join(
        "<tr>" + "".join(f"<td{c}>{text(cell)}</td>" for cell, c in zip(row, classes, strict=True)) + "</tr>"
        for row in rows
    )
    above = f'<p class="note">{text(caption)}</p>\n' if caption else ""
    return f'{above}<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def _is_number(value: Any) -> bool:
    if value is None:
        return True
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def figure(drawn: "Figure", caption: str, *, photograph: bool = False) -> str:
    """Put a figure into the page: as SVG in the page's own colours, or as JPEG where it is mostly pixels."""
    if photograph:
        code = base64.b64encode(rendered(drawn, "jpg", dpi=150, pil_kwargs={"quality": 82})).decode()
        inside = f'<img alt="{text(caption)}" src="data:image/jpeg;base64,{code}">'
    else:
        for axes in drawn.axes:
            for artist in [*axes.lines, *axes.collections]:
                artist.set_rasterized(_n_elements(artist) > _MOST_ELEMENTS)
        svg = rendered(drawn, "svg", transparent=True, dpi=_RASTER_DPI).decode()
        inside = _svg(svg, caption)
    return f"<figure>{inside}<figcaption>{text(caption)}</figcaption></figure>"


def _n_elements(artist: Any) -> int:
    if hasattr(artist, "get_xdata"):  # a line without markers is one element
        return len(artist.get_xdata()) if artist.get_marker() not in ("None", "", None) else 0
    return len(artist.get_paths())


def _svg(svg: str, caption: str) -> str:
    """Make a figure's SVG part of a page: as wide as its place, coloured by variables, without what would clash."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    head, rest = svg.split(">", 1)
    head = re.sub(r' (width|height|version|xmlns)="[^"]*"', "", head)
    rest = re.sub(
        r' id="[a-zA-Z]\w*_\d+"', "", rest
    )  # the same in every figure; what is referred to is named by digest
    for colour, name in _VARIABLES.items():
        rest = re.sub(colour, f"var({name})", rest, flags=re.IGNORECASE)
    return f'{head} role="img" aria-label="{text(caption)}">{rest.rstrip()}'
