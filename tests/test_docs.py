"""The pictures of the README: each is there, none is there for nothing, all are small."""

import re
from pathlib import Path

import matplotlib.image
import pytest

ROOT = Path(__file__).resolve().parents[1]
SHOWN = sorted(set(re.findall(r"docs/\w+\.png", (ROOT / "README.md").read_text(encoding="utf-8"))))


def test_every_picture_is_shown():
    assert sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.png")) == SHOWN
    assert len(SHOWN) > 10


@pytest.mark.parametrize("name", SHOWN)
def test_picture_is_small_and_wide_enough_to_be_read(name):
    assert (ROOT / name).stat().st_size < 150_000
    height, width, _ = matplotlib.image.imread(ROOT / name).shape
    assert 480 <= width <= 1400
    assert height <= 1400
