"""The virtual environments of the peers, made when first needed: photdb's own never sees their libraries."""

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
#: Which file of requirements each peer needs; `plain` runs in photdb's own environment.
NEEDS = {"eloy": "peers", "sep": "peers", "photutils": "peers", "prose": "prose", "exotic": "exotic"}


def peer_python(peer: str, folder: Path, say: Callable[[str], None]) -> str:
    """Give the Python that runs a peer.

    Raises
    ------
    subprocess.CalledProcessError
        Its requirements cannot be installed.
    """
    if peer not in NEEDS:
        return sys.executable
    requirements = HERE / f"requirements-{NEEDS[peer]}.txt"
    venv = folder / f"venv-{NEEDS[peer]}"
    python = venv / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    mark, digest = venv / "installed", hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not mark.is_file() or mark.read_text() != digest:
        say(f"installing {requirements.name} into {venv}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", requirements], check=True)
        mark.write_text(digest)
    return str(python)
