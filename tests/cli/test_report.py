"""`photdb report`: one file that asks for nothing, shows everything, and lets no name become markup."""

import hashlib
import re
from html.parser import HTMLParser

import pytest

from photdb.report.markup import figure, table, text
from photdb.viewers.style import panels, points

VOID = {"meta", "br", "img", "link", "input", "hr"}
EVIL = "<script>alert(1)</script>"


class Page(HTMLParser):
    """Reads a page strictly: what is opened is closed, in order; keeps tags, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style"} & set(self.open):
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(night, *arguments):
    file = night.folder / "night.html"
    night.photdb("report", file, *arguments)
    return Page(file.read_text(encoding="utf-8")), file


def test_the_page_tells_the_night_and_leaves_the_project_as_it_is(night):
    night.photdb("qc", "--max-fwhm", "3.1")
    night.photdb("reject", "frames", "5", "--reason", "a bird flew by")
    night.photdb("run")
    before = hashlib.sha256(night.path.read_bytes()).hexdigest()
    page, file = page_of(night)
    assert hashlib.sha256(night.path.read_bytes()).hexdigest() == before
    assert file.stat().st_size < 2e6
    noise, error = night.rows("SELECT noise_mag, noise_mag_err FROM best_combination WHERE rank = 1 AND target = 'V1'")[
        0
    ]
    assert (
        f"The quietest light curve of the variable star V1 has a noise of {1000 * noise:.2f} ± {1000 * error:.2f} mmag"
        in page.text
    )
    assert "a bird flew by" in page.text
    assert "fwhm_px > 3.1" in page.text
    for (label,) in night.rows("SELECT label FROM source WHERE removed_at IS NULL"):
        assert label in page.text
    for (noise,) in night.rows("SELECT noise_mag FROM best_combination"):
        assert f"{1000 * noise:.2f}" in page.text
    for word in ("numpy", "astropy", "search_px", "photdb init", "photdb select asteroid Ganymed"):
        assert word in page.text
    # three plots of each of two targets, six of the night
    assert len(page.all("figure")) == 12
    assert len(page.all("img")) == 1
    points = night.one("SELECT count(*) FROM best_light_curve")
    assert len(re.findall(r"^\d+,24\d{5}\.\d{8},", page.text, re.MULTILINE)) == points
    assert "The time is JD (UTC, mid-exposure, on Earth)." in page.text
    assert page.text.count("The points of the light curve, in JD (UTC), HJD (UTC) and BJD (TDB)") == 2
    assert "not up to date" not in page.text
    assert str(night.folder) not in file.read_text(encoding="utf-8"), "where files are here is nobody else's business"


def test_without_coordinates_the_page_says_that_there_is_jd_alone(night):
    night.change("UPDATE frame SET ra_deg = NULL, dec_deg = NULL")
    night.photdb("run")
    page, _ = page_of(night)
    said = "The points of the light curve, in JD (UTC); HJD and BJD are not known"
    assert page.text.count(said) == 2


def test_the_page_asks_for_nothing_and_suits_phones_and_the_dark(night):
    page, file = page_of(night)
    for tag, attributes in page.tags:
        assert tag not in {"script", "iframe", "object", "embed", "link", "base", "form"}
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in {"src", "href", "xlink:href", "action", "srcset"}:
                assert value.startswith(("#", "data:image/")), (tag, value[:60])
    html = file.read_text(encoding="utf-8")
    assert not re.search(r"@import|url\((?!#)", html)
    metas = {m.get("name") or m.get("http-equiv"): m.get("content") for m in page.all("meta")}
    assert metas["viewport"] == "width=device-width, initial-scale=1"
    assert metas["Content-Security-Policy"].startswith("default-src 'none'")
    assert "@media (prefers-color-scheme:dark)" in html
    # nothing in a drawing is black or white whatever the page is
    svgs = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(svgs) == 11
    for svg in svgs:
        assert not re.search(r"#000000|#ffffff", svg, re.IGNORECASE)
        assert "var(--ink)" in svg
        assert "viewBox" in svg.split(">")[0]
        assert not re.search(r' (width|height)="', svg.split(">")[0])


def test_no_name_becomes_markup(night):
    night.change("UPDATE source SET label = ? WHERE label = 'V1'", EVIL)
    night.change("UPDATE source SET label = ? WHERE label = 'R1'", "R1\x1b[31m\x00\u202e\"'>")
    night.change(
        "UPDATE frame SET object = ?, observer = ?", f"{EVIL}&amp;", "O'Brien \x07\"<img src=x onerror=alert(2)>"
    )
    night.change("UPDATE project SET filter = ?", "<b>R</b>")
    night.photdb("reject", "frames", "5", "--reason", f"--></pre></style>{EVIL}\n]]>")
    night.change("UPDATE stage_run SET libraries = ?", '{"<u>": "<i>1"}')
    night.photdb("run")
    page, file = page_of(night)
    assert {tag for tag, _ in page.tags} & {"script", "b", "u", "i"} == set()
    assert all("onerror" not in attributes for _, attributes in page.tags)
    assert EVIL in page.text
    assert "<img src=x onerror=alert(2)>" in page.text
    raw = file.read_text(encoding="utf-8")
    assert "<script" not in raw
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", raw)
    assert len(page.all("figure")) == 12


@pytest.mark.parametrize("point", ["new", "shifted", "selected", "measured"])
def test_a_night_on_its_way_has_a_page_that_says_what_is_missing(night_at, point):
    page, _ = page_of(night_at(point))
    assert "Not all of this is up to date" in page.text
    assert ("There is no light curve of the asteroid Ganymed yet." in page.text) == (point in ("selected", "measured"))


def test_a_file_that_is_no_report_is_not_replaced(night, tmp_path):
    file = tmp_path / "mine.html"
    file.write_text("my page")
    assert "was not made by this command" in night.refused("report", file)
    assert file.read_text() == "my page"
    night.photdb("report", file, "--overwrite")
    night.photdb("report", file)
    assert night.refused("report", tmp_path / "a.pdf").endswith("the name of a report ends in .html.")
    assert night.refused("report", tmp_path / "no" / "a.html").startswith("There is no folder")
    said = night.photdb("report").stderr
    assert said.startswith(f"Written to {night.folder / 'night.html'}, ")


def test_pieces_are_escaped_and_numbers_go_to_the_right():
    assert text('<a href="x">&\'\x00\n') == "&lt;a href=&quot;x&quot;&gt;&amp;&#x27;\ufffd "
    assert text(None) == "–"
    made = table(["n<", "name"], [(1.5, EVIL), (None, "b")])
    assert made.count('class="n"') == 3
    assert "&lt;script&gt;" in made
    assert "<script" not in made


def test_many_points_become_one_picture():
    for n, n_images in ((100, 0), (5000, 1)):
        drawn, (axes,) = panels([2.0])
        points(axes, range(n), range(n), marker="o", color="#0072B2")
        html = figure(drawn, "points")
        assert html.count("<image") == n_images
        assert len(html) < 120_000
