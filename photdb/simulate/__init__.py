"""A synthetic night with known truth, the same for the demo, the tests and the benchmarks.

`NightPlan` says what happens, `truth_of` what is then true, `simulate_frame` and `simulate_night` make the pixels, and
`contamination`, `clean` and `expected_error_mag` tell what a perfect measurement of them would find.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from photdb.simulate.fits import write_fits
from photdb.simulate.night import truth_of
from photdb.simulate.plan import NightPlan, clear_night, ganymed
from photdb.simulate.profile import encircled
from photdb.simulate.render import expected_frame, simulate_frame
from photdb.simulate.theory import clean, contamination, expected_error_mag, mean_noise_area_px, optimal_error_mag
from photdb.simulate.truth import Truth, clicks, frame_positions, load_truth, relative_shifts, save_truth

__all__ = [
    "NightPlan",
    "Truth",
    "clean",
    "clear_night",
    "clicks",
    "contamination",
    "encircled",
    "expected_error_mag",
    "expected_frame",
    "frame_positions",
    "ganymed",
    "load_truth",
    "mean_noise_area_px",
    "optimal_error_mag",
    "relative_shifts",
    "save_truth",
    "simulate_frame",
    "simulate_night",
    "truth_of",
]


def simulate_night(
    folder: Path | str, plan: NightPlan, *, workers: int = 1, progress: Callable[[], object] | None = None
) -> Truth:
    """Write the frames of a night, `night-0001.fits` …, and its truth, `truth.npz`, into a folder.

    Parameters
    ----------
    folder
        Where to; made if it is not there.
    plan
        What the night is to be.
    workers
        Number of threads (making pixels leaves Python's lock for nearly all the time). The files do not depend on it.
    progress
        Called after each frame.

    Returns
    -------
    Truth
        As `load_truth` would read it from the folder.

    Raises
    ------
    FileExistsError
        The folder holds the frames of another night, which would mix with these.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.glob("night-*.fits")):
        raise FileExistsError(f"{folder} holds a night already")
    truth = truth_of(plan)

    def write(index: int) -> None:
        write_fits(folder / truth.file_names[index], *simulate_frame(plan, index))

    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(write, range(plan.n_frames)):
            if progress is not None:
                progress()
    save_truth(folder, truth)
    return truth
