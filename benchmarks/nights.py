"""The nights to measure on: the two real ones, and the simulated one of full size; what is measured in each.

The real nights are in the folder named by PHOTDB_REAL_NIGHTS, with a `targets.json` that says where their sources are.
"""

import itertools
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

REAL = {"hatp32": 2.4, "luxembourg": 5.0}
"""The real nights and the FWHM of their stars, pixels."""


@dataclass(frozen=True)
class Night:
    """Frames in time order, and sources by their positions in pixels, 0-based; the same fields as `peers._job.Job`."""

    name: str
    frames: list[str]
    jd: list[float]
    stars: list[list[float]]
    asteroids: list[list[float]]
    radii: list[float]
    annulus: list[float]
    saturation: float
    fwhm: float
    last: int  # the frame of the asteroids' second position, from 1
    qc: tuple[str, ...] = ()
    shifts: tuple[str, ...] = ()

    def write_job(self, path: Path, *, part: slice = slice(None)) -> Path:
        """Write what a peer is given: all frames, or a part of them."""
        job = asdict(self)
        for name in ("name", "last", "qc", "shifts"):
            del job[name]
        path.write_text(json.dumps(job | {"frames": self.frames[part], "jd": self.jd[part]}))
        return path

    def select(self) -> list[list[str]]:
        """Give the commands that select the sources: of a night without asteroids the first star is the target.

        The other stars are references, all in one command, which names them R1, R2, … in their order.
        """
        commands = []
        for k, (x, y, x_end, y_end) in enumerate(self.asteroids):
            ends = ["--at", "1", f"{x:.2f}", f"{y:.2f}", "--at", f"{self.last}", f"{x_end:.2f}", f"{y_end:.2f}"]
            commands.append(["select", "asteroid", f"A{k}", *ends])
        at = [["--at", "1", f"{x:.2f}", f"{y:.2f}"] for x, y in self.stars]
        if not self.asteroids:
            commands.append(["select", "variable", "V", *at.pop(0)])
        commands.append(["select", "reference", *itertools.chain.from_iterable(at)])
        return commands

    def commands(self, n_workers: int) -> list[list[str]]:
        """Give the whole session, from frames to curves."""
        workers = ["-j", str(n_workers)]
        apertures = [",".join(f"{v:g}" for v in (radius, *self.annulus)) for radius in self.radii]
        return [
            ["init", str(Path(self.frames[0]).parent)],
            ["set", "--saturation", f"{self.saturation:g}"],
            ["qc", *self.qc, *workers],
            ["shifts", *self.shifts, *workers],
            *self.select(),
            ["measure", "--apertures", *apertures, *workers],
            ["solve"],
        ]


def real_folder() -> Path | None:
    """Give the folder of the real nights, if it is there."""
    folder = Path(os.environ.get("PHOTDB_REAL_NIGHTS", Path(__file__).resolve().parents[2] / "shared" / "data"))
    return folder if (folder / "targets.json").is_file() else None


def real_night(name: str) -> Night:
    """Read a real night."""
    folder = real_folder()
    if folder is None:
        raise SystemExit("the real nights are not here: name their folder by PHOTDB_REAL_NIGHTS")
    target = json.loads((folder / "targets.json").read_text())[name]
    return Night(
        name,
        sorted(str(path) for path in (folder / name).glob(target["glob"])),
        target["jd_utc_mid"],
        target["stars_xy_first_frame"],
        target["asteroid_xy_first_and_last_frame"],
        target["radii_px"],
        target["annulus_px"],
        target["saturation_adu"],
        REAL[name],
        len(target["jd_utc_mid"]),
        qc=("--max-background", "10000") if name == "luxembourg" else (),  # one frame was lit
        shifts=("--max-residual", "0.5"),
    )


def simulated_night(
    folder: Path, n_frames: int, *, small: bool = False, progress: Callable[[str], None] = lambda text: None
) -> Night:
    """Simulate a night into a folder, or take the one that is there: 12 sources × 8 apertures.

    The last of its places is one star more, for what it costs to add a reference to a night that is measured.
    """
    from photdb.simulate import NightPlan, frame_positions, ganymed, load_truth, simulate_night

    plan = NightPlan(n_frames=n_frames, exposure_s=6.0) if small else ganymed(n_frames=n_frames)
    if (folder / "truth.npz").is_file() and load_truth(folder).plan == plan:
        truth = load_truth(folder)
    else:
        progress(f"simulating {n_frames} frames in {folder}")
        truth = simulate_night(folder, plan, workers=os.cpu_count() or 1)
    # R1 … and C1, and as many bright stars of the field as make 12 sources, and one that is added later
    margin = plan.margin_px + 25
    places = list(zip(truth.x_px[0, 1:].tolist(), truth.y_px[0, 1:].tolist(), strict=True))
    field_x, field_y = frame_positions(truth, truth.star_x_px, truth.star_y_px, 0)
    for k in (-truth.star_flux_adu).argsort().tolist():
        x, y = float(field_x[k]), float(field_y[k])
        inside = margin < x < plan.width_px - margin and margin < y < plan.height_px - margin
        if len(places) < 12 and inside and all((x - px) ** 2 + (y - py) ** 2 > 400 for px, py in places):
            places.append((x, y))
    last = int((~truth.in_fog).nonzero()[0][-1])
    (x, y), (x_end, y_end) = ((float(truth.x_px[i, 0]), float(truth.y_px[i, 0])) for i in (0, last))
    return Night(
        "simulated",
        [str(folder / name) for name in truth.file_names],
        truth.jd_utc_mid.tolist(),
        [list(place) for place in places],
        [[x, y, x_end, y_end]],
        [2, 3, 4, 5, 6, 7, 8, 9],
        [13, 18],
        float(plan.saturation_adu),
        plan.fwhm_px,
        last=last + 1,
        qc=("--min-range", "8000", "--max-nonuniformity", "12"),
    )
