"""Files that commands write for people: each appears under its name whole, or not at all.

They are written beside first, under `.NAME.part`, and get their names when all of them are there: where the disk is
full in the middle, what an earlier command wrote is still what it was.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from photdb.errors import PhotdbError


def write_whole(contents: Mapping[Path, bytes]) -> None:
    """Write files, all of them or none; those of the same names are replaced.

    Parameters
    ----------
    contents : mapping
        The bytes of each file by its path; folders are there already.

    Raises
    ------
    PhotdbError
        A file cannot be written (full disk, no permission); no file has changed.
    """
    partial = {path: path.with_name(f".{path.name}.part") for path in contents}
    path, n_named = Path(), 0
    try:
        for path, content in contents.items():
            partial[path].unlink(missing_ok=True)  # of a command that was killed, or a link that is not to be followed
            with partial[path].open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())  # else its name could outlive a power cut, and its bytes not
        for path in contents:
            os.replace(partial[path], path)
            n_named += 1
    except OSError as error:
        before = "nothing was changed" if n_named == 0 else f"{n_named} of {len(contents)} files are those of now"
        raise PhotdbError(
            f"the file {path} cannot be written ({error.strerror or error}): {before}; make room, or choose another"
            " place"
        ) from error
    finally:
        for left in partial.values():
            try:
                left.unlink(missing_ok=True)
            except OSError:
                continue
