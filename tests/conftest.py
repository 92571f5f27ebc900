"""What all tests share: the real nights, where they are at hand, and the small simulated one."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from nights import Night, Reads, build_night, copy_night, spy_on_reads

# Machines that test are slow and busy at times: how long an example takes proves nothing.
settings.register_profile("photdb", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("photdb")


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


@pytest.fixture(scope="session")
def built_night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    """The small simulated night, built once; nothing may change it."""
    return build_night(tmp_path_factory.mktemp("built"))


@pytest.fixture
def night_at(built_night: Night, tmp_path: Path) -> Callable[..., Night]:
    """Give a copy of the small night, with its project at a point of the session, to do anything with."""

    def copy(point: str, name: str = "night") -> Night:
        return copy_night(built_night, tmp_path / name, point)

    return copy


@pytest.fixture
def night(night_at: Callable[..., Night]) -> Night:
    """A copy of the small night, solved."""
    return night_at("solved")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """What was read of the frames, in this process."""
    return spy_on_reads(monkeypatch)
