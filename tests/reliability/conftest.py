"""Commands whose system gives way, and nights that other users can see."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nights import Night, copy_night

sys.path.insert(0, str(Path(__file__).parent))


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Forks, limits on files and their permissions are POSIX's."""
    return True if sys.platform == "win32" and collection_path.parent == Path(__file__).parent else None


@pytest.fixture(scope="session")
def commands() -> Iterator[object]:
    """The server of commands."""
    from faults import Commands

    with Commands() as server:
        yield server


@pytest.fixture
def public_night(built_night: Night) -> Iterator[Callable[..., Night]]:
    """Give a copy of the small night in a folder that everybody may enter: pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="photdb-test-"))
    folder.chmod(0o755)

    def copy(point: str) -> Night:
        return copy_night(built_night, folder / "night", point)

    yield copy
    for path in (folder, *folder.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(folder)
