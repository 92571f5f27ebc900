"""A fuzz of the compiled kernels under AddressSanitizer and UndefinedBehaviorSanitizer, through the functions that call
them, with arrays of every type, of extreme shapes, and of NaN, infinite, denormal, huge, equal and patterned pixels.

    python tests/reliability/fuzz_kernels.py --seconds 600

It compiles the kernels with gcc's sanitizers into a folder of its own (two minutes), and runs itself there. Every
complaint of a sanitizer is printed once; the exit code is 1 if there was any.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
SANITIZERS = "-fsanitize=address,undefined"
#: Alignment is numpy's affair. Without -fsanitize-recover the first complaint would be the last.
FLAGS = ("-O1", "-g", SANITIZERS, "-fsanitize=float-cast-overflow", "-fno-sanitize=alignment", "-fsanitize-recover=all")
TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")


# --- arrays -----------------------------------------------------------------------------------------------------------
def extreme_image(rng: np.random.Generator, kind: str, most: float = np.inf) -> np.ndarray:
    """Make an image of a type: a pattern, its sizes and special values chosen at random; none larger than `most`."""
    side = [1, 2, 3, 4, 7, 16, 17, 63, 64, 65, 66, 67, 100, 130, 195, 260]
    height, width = (int(rng.choice(side)) for _ in range(2))
    dtype = np.dtype(kind)
    info: Any = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    low, high = max(float(info.min), -most), min(float(info.max), most)
    y, x = np.mgrid[:height, :width]
    middle, size = float(rng.choice([0, 100, 1000, 0.5 * high, -0.5 * high])), float(rng.choice([0, 1, 30, 0.1 * high]))
    with np.errstate(all="ignore"):
        image = [
            lambda: middle + size * rng.normal(size=x.shape),
            lambda: np.full(x.shape, float(rng.choice([low, high, 0, middle]))),
            lambda: np.where((x + y) % 2, low, high),
            lambda: np.where((x % 3 == 1) & (y % 3 == 1), high, middle),
            lambda: np.where(rng.random(x.shape) < 0.01, high, middle + rng.normal(size=x.shape)),
            lambda: np.where(np.hypot(x - width / 2, y - height / 2) < rng.uniform(1, 40), high, middle),
            lambda: np.where(x == width // 2, high, middle + size * rng.normal(size=x.shape)),
            lambda: x * (0.4 * high / width) + y * (0.4 * high / height),
            lambda: rng.choice([low, 0.0, 1.0, high], x.shape),
            lambda: rng.integers(0, 4, x.shape) * (5e-324 if kind == "f8" else 1e-45),
        ][rng.integers(10)]()
        for _ in range(int(rng.integers(0, 12))):  # stars, some on edges, some very bright
            x0, y0 = rng.uniform(-2, width + 2), rng.uniform(-2, height + 2)
            bright = float(rng.choice([50, 3000, 60_000, 0.1 * high]))
            image = image + bright * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / rng.choice([0.5, 3, 20, 200]))
        image = np.clip(image, low, high)
    if dtype.kind != "f":
        # A float may be next above the highest whole number.
        return np.where(image >= high, info.max, np.nan_to_num(image).astype(dtype)).astype(dtype)
    image = image.astype(dtype)
    for special in (np.nan, np.inf, -np.inf):
        if rng.random() < 0.2:
            image[rng.random(x.shape) < rng.choice([0.001, 0.1, 0.9, 1.0])] = special
    return image


def look(rng: np.random.Generator, most: float = np.inf) -> None:
    """Do with an extreme image all that is done with pixels, and with stars that are found in it."""
    from photdb.algorithms.aperture import measure_apertures
    from photdb.algorithms.background import background
    from photdb.algorithms.centroid import centroids
    from photdb.algorithms.detection import detect_stars
    from photdb.algorithms.quality import frame_quality

    image = extreme_image(rng, str(rng.choice(TYPES)), most)
    height, width = image.shape
    full = rng.choice([None, 1.0, 40_000.0, 65_535.0, 1e10, float(np.nan_to_num(image.max(), posinf=1e10)) * 0.5])
    sky = background(image)
    stars = detect_stars(image, sky, saturation_adu=full, max_stars=int(rng.choice([1, 20, 150])))
    region = None
    if rng.random() < 0.3 and width > 1 and height > 1:
        region = (0, int(rng.integers(height)), int(rng.integers(1, width)), height - 1)
    quality = frame_quality(image, sky, stars, region=region, saturation_adu=full)
    finite = int(np.isfinite(image).sum())
    assert quality.n_nonfinite_px == image.size - finite or region is not None
    assert stars.n_found >= len(stars.x_px)

    n, h, w = (int(v) for v in rng.choice([1, 2, 5, 11, 31, 60], 3))
    flat = np.resize(
        image.astype(np.float32 if image.dtype.itemsize < 4 or image.dtype == "f4" else np.float64), n * h * w
    )
    stamps = flat.reshape(n, h, w)
    x = rng.choice([0.0, w / 2, w - 1.0, -3.3, w + 1e6, -1e18, 1e300, np.nan, np.inf], n) + rng.uniform(-1, 1, n)
    y = rng.choice([0.0, h / 2, h - 1.0, h + 2.0, 1e9, -1e300, np.nan], n) + rng.uniform(-1, 1, n)
    fwhm = rng.choice([0.3, 1.0, 3.0, 8.0], n)
    found = centroids(
        stamps, x, y, fwhm_px=fwhm, search_px=int(rng.choice([1, 4, 12])), max_offset_px=rng.uniform(0, 5, n)
    )
    radii = np.array([0.3, 4.0, float(rng.uniform(1, 40))])
    inner = float(rng.choice([0.0, 5.0, 20.0]))
    measure_apertures(
        stamps,
        found.x_px,
        found.y_px,
        radii_px=radii,
        annulus_inner_px=inner,
        annulus_outer_px=inner + rng.uniform(0.1, 30),
    )
    match_stars(rng, stars)
    look_at_tile(rng)


def look_at_tile(rng: np.random.Generator) -> None:
    """Ask whether bytes are a Rice-coded tile."""
    from photdb.algorithms.frame_kernels import rice_is_whole

    n = int(rng.choice([0, 1, 2, 3, 4, 5, 30, 500]))
    tile = rng.integers(0, int(rng.choice([1, 2, 16, 256])), n).astype(np.uint8)
    n_pixels = int(rng.choice([0, 1, 31, 32, 33, 1000, 2**40]))
    assert not rice_is_whole(tile, 2**40, int(rng.choice([1, 32])), int(rng.choice([1, 2, 4])))
    rice_is_whole(tile, n_pixels, int(rng.choice([1, 16, 32, 2**31 - 1, 2**62])), int(rng.choice([1, 2, 4])))


def match_stars(rng: np.random.Generator, stars: Any) -> None:
    """Register the stars that were found to themselves, moved, and to nonsense."""
    from photdb.algorithms.registration import prepare, register

    x, y, flux = stars.x_px, stars.y_px, stars.flux_adu
    if rng.random() < 0.4:
        x, y = rng.choice([0.0, 1.0, 50.0, 1e9, -1e9, 100.5, np.nan], (2, int(rng.integers(0, 60))))
        flux = rng.choice([0.0, -1.0, 1e4, 1e300, np.inf, np.nan], x.size)
    reference = prepare(x, y, flux, width_px=300, height_px=200)
    order = rng.permutation(x.size)
    away = rng.choice([0.0, 0.3, 40.0, 1e6])
    register(x[order] + away, y[order] - away, flux[order], reference)


# --- the run ----------------------------------------------------------------------------------------------------------
def compile_kernels(folder: Path) -> None:
    """Compile the kernels with sanitizers into a copy of the package."""
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension

    shutil.copytree(ROOT / "photdb", folder / "photdb", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    os.chdir(folder)
    extensions = [
        Extension(
            f"photdb.algorithms.{source.stem}", [str(source)], extra_compile_args=[*FLAGS], extra_link_args=[SANITIZERS]
        )
        for source in sorted(Path("photdb/algorithms").glob("*.pyx"))
    ]
    command: Any = Distribution({"ext_modules": cythonize(extensions, quiet=True)}).get_command_obj("build_ext")
    command.inplace = command.parallel = True
    command.ensure_finalized()
    command.run()


def run(folder: Path, seconds: int, seed: int) -> int:
    """Run the fuzz on the compiled kernels; gives the exit code."""
    if not list(folder.glob("photdb/algorithms/*.so")):
        compile_kernels(folder)
    library = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    environment = {
        **os.environ,
        "LD_PRELOAD": library,
        "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1:max_redzone=256",
        "UBSAN_OPTIONS": "print_stacktrace=0",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(folder),
    }
    inside = [sys.executable, str(Path(__file__).resolve()), "--inside", "--seconds", str(seconds), "--seed", str(seed)]
    done = subprocess.run(inside, env=environment, capture_output=True, text=True, errors="replace", cwd=folder)
    said = sorted(set(re.findall(r"[\w.]+:\d+(?::\d+)?: runtime error: .{,150}", done.stderr)))
    print(done.stdout, *said, sep="\n")
    if done.returncode:
        print(done.stderr[-6000:])
    return int(bool(said) or done.returncode != 0)


def inside(seconds: int, seed: int) -> None:
    """Look at images until the time is over."""
    import photdb

    warnings.simplefilter("ignore")  # here only memory and undefined behaviour count
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        try:
            look(np.random.default_rng([seed, n]))
        except Exception as error:
            print(f"seed {seed} {n}: {type(error).__name__}: {error}", flush=True)
            raise
        n += 1
    print(f"{n} images in {seconds} s on the kernels in {Path(photdb.__file__).parent}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the kernels are compiled; a new one by default")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        inside(given.seconds, given.seed)
    else:
        sys.exit(run(given.folder or Path(tempfile.mkdtemp(prefix="fuzz-kernels-")), given.seconds, given.seed))
