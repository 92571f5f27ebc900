"""A coverage-guided fuzz of the reading of a frame: header, time, place, pixels, stars, quality, cut-outs, fluxes.

    python -m venv fuzz && fuzz/bin/pip install atheris -e .
    fuzz/bin/python tests/reliability/fuzz_fits.py --seconds 3600

The seeds are the bad frames of `fits_mutator`. Whatever is raised but a `FrameError`, a warning included, and whatever
two ways of reading give different numbers, is kept with its trace in the folder FINDINGS, once for each place in the
code, and the run goes on; so it does after a crash, a hang (20 s) or too much memory (2 GB). At the end stands what was
done; the exit code is 1 if anything was found.
"""

import argparse
import contextlib
import gzip
import hashlib
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

#: Larger frames than this are of another size than the others of their project, and are not read.
_MOST_PIXELS = 1 << 16
_LONGEST = 70_000
#: The fuzzer itself forgets to give memory back, a kilobyte or so of each input: it is started anew this often.
_SLICE_S = 240
_LIMITS = ("-timeout=20", "-rss_limit_mb=2000", f"-max_len={_LONGEST}", "-print_final_stats=1", "-use_value_profile=1")


# --- what is tried ----------------------------------------------------------------------------------------------------
def read_frame(path: Path) -> str:
    """Do with a file all that commands do with a frame; gives why it cannot be used, empty if it can.

    Raises
    ------
    AssertionError
        Two ways of reading differ.
    """
    import numpy as np

    from photdb.errors import FrameError
    from photdb.frames import FrameReader, read_header, read_pixels
    from photdb.stages.headers import TimeRule, read_facts
    from photdb.stages.pixels import PixelTask, measure_frames
    from photdb.stages.stamps import StampTask, measure_stamps

    facts = read_facts(path, TimeRule())
    for value in facts.values():
        assert not isinstance(value, str) or value.isprintable(), value
    try:
        header = read_header(path)
    except FrameError as refused:
        reason = str(refused)
        if facts["error"] != reason:
            raise AssertionError(f"{facts['error']} and {reason}") from refused
        return reason
    if header.width_px * header.height_px > _MOST_PIXELS:
        return "of another size"
    (found,) = measure_frames(PixelTask(((1, path),), None, facts["saturation_adu"]))
    height, width = header.height_px, header.width_px
    x, y = np.array([-3.0, 0, width / 2, width - 1, 30, 40]), np.array([5.0, 0, height / 2, height - 1, 20, 30])
    task = StampTask(
        paths=(path,),
        seen=((header.size_bytes, header.mtime_ns),),
        stamp_frame=np.zeros(x.size, np.int64),
        x_px=x,
        y_px=y,
        fwhm_px=np.full(x.size, 3.0),
        max_offset_px=np.full(x.size, 2.0),
        search_px=6,
        fit=True,
        apertures=np.array([[3.0, 8.0, 14.0], [5.0, 8.0, 14.0]]),
    )
    stamps = measure_stamps(task)
    if found.error is not None:
        assert stamps.unread == {0: found.error}, (stamps.unread, found.error)
        return found.error
    assert not stamps.unread, stamps.unread
    pixels, *_ = read_pixels(path)
    assert pixels.shape == (height, width)
    with FrameReader(path) as reader:
        whole = reader.cutouts(np.array([width // 2]), np.array([height // 2]), 7)[0]
    x0, y0 = width // 2 - 7, height // 2 - 7
    if min(x0, y0) >= 0 and x0 + 15 <= width and y0 + 15 <= height and pixels.dtype.kind == "f":
        np.testing.assert_array_equal(whole, pixels[y0 : y0 + 15, x0 : x0 + 15])
    return ""


# --- in a process of its own ------------------------------------------------------------------------------------------
def fuzz(folder: Path, seconds: int, seed: int) -> None:
    """Run libFuzzer in this process until the time is over, or something ends it."""
    import atheris

    with atheris.instrument_imports(include=["photdb"]):
        import photdb.algorithms.aperture
        import photdb.algorithms.background
        import photdb.algorithms.centroid
        import photdb.algorithms.detection
        import photdb.algorithms.headers
        import photdb.algorithms.quality
        import photdb.frames
        import photdb.stages.headers
        import photdb.stages.pixels
        import photdb.stages.stamps  # noqa: F401
    from fits_mutator import mutated

    warnings.simplefilter("error")
    place = (
        os.memfd_create("frame") if hasattr(os, "memfd_create") else os.open(folder / "frame", os.O_RDWR | os.O_CREAT)
    )
    path = Path(f"/proc/self/fd/{place}") if hasattr(os, "memfd_create") else folder / "frame"

    n_used = n_refused = 0

    def test(content: bytes) -> None:
        nonlocal n_used, n_refused
        os.ftruncate(place, 0)
        os.pwrite(place, content, 0)
        try:
            reason = read_frame(path)
            n_used, n_refused = n_used + (not reason), n_refused + bool(reason)
        except Exception as error:
            keep(folder, content, error)
        if (n_used + n_refused) % 1000 == 0:
            print(f"USED {n_used} REFUSED {n_refused}", flush=True)

    def mutate(content: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if content[:2] == b"\x1f\x8b" and rng.random() < 0.5:
            with contextlib.suppress(OSError, EOFError, zlib.error):
                inner = zlib.decompressobj(31).decompress(content, _LONGEST)
                return gzip.compress(mutated(inner, rng), 1, mtime=0)[:max_size]
        if rng.random() < 0.6:
            return mutated(content, rng)[:max_size]
        return bytes(atheris.Mutate(content, max_size))

    options = [*_LIMITS, f"-max_total_time={seconds}", f"-seed={seed}", f"-artifact_prefix={folder}/hard-"]
    atheris.Setup([sys.argv[0], *options, str(folder / "corpus")], test, custom_mutator=mutate)
    atheris.Fuzz()


def keep(folder: Path, content: bytes, error: Exception) -> None:
    """Keep an input that raised, with its trace, unless one of the same place is kept."""
    trace = traceback.extract_tb(error.__traceback__)
    ours = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in trace if "photdb" in frame.filename]
    name = hashlib.sha256(f"{type(error)} {ours}".encode()).hexdigest()[:12]
    if not (folder / f"found-{name}").exists():
        (folder / f"found-{name}").write_bytes(content)
        text = "".join(traceback.format_exception(error))
        (folder / f"found-{name}.txt").write_text(text, errors="replace")
        print(f"FOUND {name}: {type(error).__name__}: {error!s:.200} at {' '.join(ours[-3:])}", flush=True)


# --- the whole run ----------------------------------------------------------------------------------------------------
def seeds(folder: Path) -> int:
    """Write the bad frames of a small good one, if there are none yet."""
    import numpy as np
    from fits_mutator import corpus

    from photdb.simulate.fits import write_fits

    (folder / "corpus").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:80, :96]
    image = rng.normal(1000, 12, x.shape)
    for x_star, y_star, height in ((30, 20, 9000), (40, 30, 3000), (70, 60, 30_000), (80, 25, 800), (20, 65, 70_000)):
        image += height * np.exp(-((x - x_star) ** 2 + (y - y_star) ** 2) / 3.4)
    cards: dict[str, Any] = {
        "OBJECT": "field", "FILTER": "R", "DATE-OBS": "2011-10-01T20:30:00.000", "EXPTIME": 60.0, "EGAIN": 1.5,
        "RDNOISE": 8.0, "SATURATE": 60_000, "OBJCTRA": "01 00 00", "OBJCTDEC": "+20 00 00", "SITELAT": 46.2,
        "SITELONG": 2.1, "AIRMASS": 1.6,
    }  # fmt: skip
    write_fits(folder / "frame.fits", np.clip(np.rint(image), 0, 65_535).astype(np.uint16), cards)
    frame = (folder / "frame.fits").read_bytes()
    n = 0
    for bad in corpus(frame):
        if len(bad.content) <= _LONGEST and not bad.name.startswith("bomb"):
            (folder / "corpus" / hashlib.sha1(bad.content, usedforsecurity=False).hexdigest()).write_bytes(bad.content)
            n += 1
    return n


def run(folder: Path, seconds: int, seed: int) -> int:
    """Fuzz in processes, one after the other, until the time is over; gives the exit code."""
    print(f"{seeds(folder)} seeds in {folder / 'corpus'}", flush=True)
    end, executions, measured, features, coverage, n_processes = time.monotonic() + seconds, 0, 0, 0, 0, 0
    while (left := round(end - time.monotonic())) > 0:
        command = [sys.executable, __file__, "--inside", str(folder), "--seed", str(seed + n_processes)]
        command += ["--seconds", str(min(left, _SLICE_S))]
        n_processes += 1
        last = used = refused = 0
        with subprocess.Popen(
            command, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True, errors="replace"
        ) as child:
            assert child.stdout is not None
            for line in child.stdout:
                if counted := re.match(r"USED (\d+) REFUSED (\d+)", line):
                    used, refused = int(counted[1]), int(counted[2])
                    continue
                if progress := re.match(r"#(\d+)\s", line):
                    last = int(progress[1])
                    found = re.search(r"cov: (\d+) ft: (\d+)", line)
                    if found:
                        coverage, features = max(coverage, int(found[1])), max(features, int(found[2]))
                    if not re.match(r"#\d+\s+(INITED|DONE)", line):
                        continue
                elif not re.match(r"FOUND|==|Traceback|\w*Error|stat::(peak|slow|average)|SUMMARY", line):
                    continue
                print(f"{time.strftime('%H:%M:%S')} {line}", end="", flush=True)
        executions, measured = executions + last, measured + round(last * used / max(used + refused, 1))
        if last == 0 and child.returncode:
            print("the fuzzer itself cannot run", flush=True)
            return 2
    found = sorted([*folder.glob("found-*.txt"), *folder.glob("hard-*")])
    print(f"{executions:,} executions in {seconds} s and {n_processes} processes, about {measured:,} of them measured")
    print(f"coverage {coverage}, features {features}, corpus {len(list((folder / 'corpus').iterdir()))}")
    print(f"{len(found)} findings {' '.join(f.name for f in found)}", flush=True)
    return int(bool(found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the corpus and FINDINGS are; a new one by default")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        fuzz(given.inside, given.seconds, given.seed)
    else:
        sys.exit(run(given.folder or Path(tempfile.mkdtemp(prefix="fuzz-fits-")), given.seconds, given.seed))
