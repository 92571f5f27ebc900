"""A session with rows in every table: hits that are mended, times from an ephemeris, terms, suggestions."""

import os
from pathlib import Path

import numpy as np
from nights import N_FRAMES, Night

#: What brings all results back, also those that `photdb run` is not asked for.
AGAIN = (("run", "-j", 1), ("suggest", "-j", 1))


def spoil(night: Night) -> None:
    """Put a hot pixel into all frames of a project, a cosmic ray into one star's aperture, a lit sky into a frame."""
    spoil_files([night.frame(number) for number in range(1, N_FRAMES + 1)], night)


def spoil_files(files: list[Path], night: Night) -> None:
    """Do so with the files of the folder `frames`, which belong to nobody else."""
    from astropy.io import fits

    for number, file in enumerate(files, 1):
        with fits.open(file, mode="update") as hdus:
            hdus[0].data[120, 150] += 4000
            if number == 6:
                x, y = map(int, night.place("R1", number))
                hdus[0].data[y + 1, x + 2] += 9000
            if number == 12:
                hdus[0].data += int(4 * np.median(hdus[0].data))
        os.utime(file)


def measured_with_everything(night: Night) -> Night:
    """Bring a night whose sources are selected to rows in every table that results have, and in most of decisions."""
    spoil(night)
    night.photdb("set", "--gain", "auto", "--observer", "O. Server", "--aperture-diameter", 0.2)
    night.photdb("measure", "--apertures", "3,10,16", "optimal,10,24", "--hits", "mend", "--remove-stars", "-j", 1)
    first, last = night.rows("SELECT min(jd_utc_mid), max(jd_utc_mid) FROM frame")[0]
    table = night.folder / "ephemeris.txt"
    table.write_text(f"{first - 0.1} 1.50 31.0 46.7\n{last + 0.1} 1.51 31.1 46.8\n")
    night.photdb("times", "V1", "--radec", "02:04:10.28", "+46:41:16.2")
    night.photdb("times", "Ganymed", "--ephemeris", table)
    for label, mag, colour in (("R1", 12.31, 0.62), ("R2", 12.55, 0.4), ("R3", 12.7, 0.9)):
        at = night.at(label, 1)
        night.photdb("select", "reference", label, *at, "--mag", mag, "--band", "V", "--colour", colour)
    night.photdb("reject", "frames", 2, "--source", "R2", "--reason", "a trial")
    night.photdb("solve", "--detrend", "time")
    for words in AGAIN:
        night.photdb(*words)
    return night
