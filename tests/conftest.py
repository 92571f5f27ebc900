"""What all tests share: the real nights, where they are at hand."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest


def _data_folder() -> Path:
    return Path(os.environ.get("PHOTDB_REAL_NIGHTS", Path(__file__).resolve().parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def real_night() -> Callable[[str], Path]:
    """Give the folder of a real night by its name; skip the test where the nights are absent."""

    def folder(name: str) -> Path:
        path = _data_folder() / name
        if not path.is_dir():
            pytest.skip(f"the real night {name} is not on this machine ({path})")
        return path

    return folder
