"""Windows that tests open: on a screen that nobody sees, or in a browser."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nights import Night
from pilots import BACKEND, SIZE, Browser, Command, Desktop, Pilot, until


@pytest.fixture
def command() -> Iterator[Callable[..., Command]]:
    """Give a function that starts a photdb command on a night; what is left of it is killed."""
    started: list[Command] = []

    def start(night: Night, *arguments: object, **environment: str) -> Command:
        started.append(Command(*arguments, cwd=night.folder, PHOTDB_PROJECT=str(night.path), **environment))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def desktop() -> Iterator[Desktop]:
    """A screen."""
    screen = Desktop()
    yield screen
    screen.close()


@pytest.fixture
def browser() -> Iterator[Callable[..., Browser]]:
    """Give a function that opens an address in a browser of its own."""
    opened: list[Browser] = []

    def start(address: str, size: tuple[int, int] = SIZE, scale: float = 1.0) -> Browser:
        opened.append(Browser(address, size, scale))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


Opened = tuple[Command, Pilot]


@pytest.fixture(params=["desktop", "web"])
def window(
    request: pytest.FixtureRequest, command: Callable[..., Command], browser: Callable[..., Browser]
) -> Callable[..., Opened]:
    """Give a function that opens the window of a command, once on a screen and once in a browser."""

    def start(night: Night, *arguments: object) -> Opened:
        pilot: Pilot
        if request.param == "desktop":
            pilot = request.getfixturevalue("desktop")
            process = command(night, *arguments, DISPLAY=pilot.display, MPLBACKEND=BACKEND)
        else:
            process = command(night, *arguments)  # there is no display: in a browser by itself
            pilot = browser(process.address())
        until(lambda: process.process.poll() is not None or pilot.is_open(), "the window")
        assert process.process.poll() is None, process.said()
        return process, pilot

    return start


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for pictures of windows, to be looked at."""
    return tmp_path_factory.mktemp("pictures")
