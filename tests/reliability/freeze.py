"""Freeze a project of the present schema, for all photdb to come: `python tests/reliability/freeze.py NAME`.

It makes `frozen/NAME.photdb.gz`: a small night with rows in every table, by the commands of the photdb that is imported
(another one with PYTHONPATH). Done once for each revision in `migrations/versions`, and for a view that changes; the
frozen files are never made again. Frames are not kept: what was measured stays valid without them.
"""

import gzip
import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

HERE = Path(__file__).parent


def freeze(name: str) -> Path:
    sys.path.insert(0, str(HERE.parent))
    with tempfile.TemporaryDirectory() as folder:
        program = f"""
import sys
from pathlib import Path
sys.path[:0] = {[str(HERE.parents[1]), str(HERE.parent)]!r}
from nights import PLAN
from photdb.simulate import simulate_night
truth = simulate_night({folder + "/frames"!r}, PLAN)
from astropy.io import fits
x, y = (int(v[5, truth.labels.index("R1")]) for v in (truth.x_px, truth.y_px))
with fits.open(sorted(Path({folder + "/frames"!r}).iterdir())[5], mode="update") as hdus:  # a cosmic ray on R1
    hdus[0].data[y + 2, x + 2] += 9000
for label in truth.labels:
    k = truth.labels.index(label)
    print(label, truth.roles[k], *(round(float(v), 1) for i in (0, 11) for v in (truth.x_px[i, k], truth.y_px[i, k])))
"""
        clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}  # frames are today's, whoever measures them
        made = subprocess.run([sys.executable, "-c", program], env=clean, check=True, capture_output=True, text=True)
        for file in sorted(Path(folder, "frames").iterdir())[12:]:
            file.unlink()
        env = {**os.environ, "PHOTDB_PROJECT": "night.photdb", "LOGNAME": "observer"}

        def photdb(*words: object) -> None:
            command = [sys.executable, "-c", "from photdb.cli import main; main()", *map(str, words)]
            subprocess.run(command, cwd=folder, env=env, check=True)

        photdb("init", "frames")
        photdb("set", "--observer", "O. Server", "--gain", "auto", "--site", "12.5", "45.25", "300")
        photdb("qc", "--max-fwhm", "3.15", "--max-background", "90000", "-j", "1")
        photdb("qc", "--max-background", "none", "-j", "1")
        photdb("accept", "frames", "4")
        photdb("shifts", "-j", "1")
        for line in made.stdout.splitlines():
            label, role, x0, y0, x1, y1 = line.split()
            last = ("--at", 12, x1, y1) if role == "asteroid" else ()
            if label == "C1":
                photdb("select", "check", "C1", "--at", 1, x0, y0)
                photdb("select", "remove", "C1")  # its star is C2 from now on
                label = "C2"
            photdb("select", role, label, "--at", 1, x0, y0, *last)
        photdb("measure", "--apertures", "2.5,10,15", "3.5,10,15", "optimal,10,15", "-j", "1")
        photdb("set", "--gain", "2")
        photdb("reject", "frames", "7", "--reason", "clouds, thin")
        photdb("reject", "frames", "9", "--source", "R2", "--reason", "cosmic ray")
        photdb("reject", "source", "R4", "--reason", "drifts")
        photdb("accept", "source", "R4")
        photdb("measure", "--hits", "flag", "--remove-stars", "-j", "1")
        night = Path(folder, "night.photdb")
        with closing(sqlite3.connect(night)) as raw:
            first, last = raw.execute("SELECT min(jd_utc_mid), max(jd_utc_mid) FROM frame").fetchone()
        Path(folder, "ephemeris.txt").write_text(f"{first - 0.1} 1.50\n{last + 0.1} 1.51\n")
        photdb("times", "Ganymed", "--radec", "31.0", "46.7")
        photdb("times", "Ganymed", "--ephemeris", "ephemeris.txt")
        photdb("check")
        photdb("solve", "--detrend", "time")
        with closing(sqlite3.connect(night)) as raw:
            raw.execute("PRAGMA secure_delete=ON")
            raw.execute("UPDATE history SET host = 'telescope'")
            raw.commit()
        frozen = HERE / "frozen" / f"{name}.photdb.gz"
        frozen.write_bytes(gzip.compress(night.read_bytes(), 9, mtime=0))
    return frozen


if __name__ == "__main__":
    print(freeze(sys.argv[1]))
