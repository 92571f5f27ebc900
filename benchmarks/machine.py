"""Where it was measured, in one line of Markdown: processor, cores, memory, versions, date."""

import importlib.metadata
import os
import platform
import sqlite3
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path


def describe() -> str:
    """Say what machine this is."""
    processor, memory = platform.processor() or platform.machine(), ""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line for line in lines if line.startswith("model name")).partition(":")[2].strip()
    with suppress(ValueError, OSError, AttributeError):
        memory = f", {os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "scipy", "astropy"))
    return (
        f"{processor}, {os.cpu_count()} cores{memory}, {platform.system()}; Python {sys.version.split()[0]},"
        f" {versions}, SQLite {sqlite3.sqlite_version}; {datetime.now(UTC):%Y-%m-%d}"
    )
