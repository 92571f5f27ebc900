"""Sessions repeated from their history."""

import json
import os
import subprocess
import sys
from pathlib import Path

from nights import DECISIONS, Night
from pilots import ROOT

#: What a replayed session shares with the first one; the project says where the frames are.
REPLAYED = [table for table in DECISIONS if table != "project"]


def commands(night: Night) -> list[list[str]]:
    """Give the history's commands with their arguments."""
    rows = night.rows("SELECT command, arguments FROM history ORDER BY id")
    return [[command, *json.loads(arguments)] for command, arguments in rows]


def replay(night: Night, folder: Path) -> Night:
    """Repeat a session by the script of its history, from its frames, in a project of its own."""
    folder.mkdir()
    (folder / "again.sh").write_text(night.photdb("history", "--as-script").stdout)
    (folder / "photdb").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m photdb "$@"\n')
    (folder / "photdb").chmod(0o755)
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    env |= {"PROJECT": str(folder / "night.photdb"), "FRAMES": str(night.folder / "frames")}
    subprocess.run(["sh", "again.sh"], cwd=folder, env=env, check=True, capture_output=True, timeout=300)
    return Night(folder, night.truth)
