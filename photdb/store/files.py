"""Files that are written: each appears whole or not at all, and through no link that somebody laid in the way."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a name of its own, and give it its name when it is whole; a link there is replaced."""
    partial = path.with_name(f".{path.name}.part")
    partial.unlink(missing_ok=True)
    try:
        with partial.open("xb") as file:  # made anew: nobody's link is followed
            file.write(content)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
