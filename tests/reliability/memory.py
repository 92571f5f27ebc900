"""A folder in memory, where there is such: commands wait for the disk most of their time, here to no purpose."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

_MEMORY = Path("/dev/shm")  # noqa: S108


@contextlib.contextmanager
def folder_in_memory() -> Iterator[Path]:
    """Give a new folder, and take it away."""
    where = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=where, prefix="photdb-test-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
