"""In process, in a pool, on a Dask cluster: the same bits, also when workers die half-way; nothing is lost."""

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import deadly
import pytest
from nights import N_FRAMES, Night, copy_night, select_all

from photdb import executors
from photdb.errors import PhotdbError
from photdb.executors import Workers
from photdb.executors import cluster as cluster_module
from photdb.stages import NEEDED_BY_WORKERS

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests")))}
#: As long as a busy machine may take for anything here; nothing waits longer than it must.
PATIENCE_S = 30.0

#: A cluster in a process of its own, which ends with its standard input.
CLUSTER = """
import sys, dask
from distributed import LocalCluster

if __name__ == "__main__":
    dask.config.set({"distributed.scheduler.allowed-failures": 1, "distributed.comm.timeouts.connect": "3s"})
    how = {"processes": sys.argv[2] == "processes", "protocol": "tcp", "dashboard_address": ":0"}
    with LocalCluster(n_workers=int(sys.argv[1]), threads_per_worker=1, **how) as c:
        print(c.scheduler_address, flush=True)
        sys.stdin.read()
"""


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def start_cluster(n_workers: int, kind: str = "processes", **environment: str) -> tuple[subprocess.Popen[str], str]:
    """Start a cluster; gives its process and the address of its scheduler."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", CLUSTER, str(n_workers), kind],
        env={**ENVIRONMENT, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def stop(process: subprocess.Popen[str]) -> None:
    try:
        process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Two worker processes, with nannies that start new ones in the place of those that die."""
    process, address = start_cluster(2)
    yield address
    stop(process)


@pytest.fixture(scope="module")
def undisturbed(built_night: Night, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What one process gives."""
    night = copy_night(built_night, tmp_path_factory.mktemp("undisturbed") / "night", "new")
    go_through(night, "-j", 1)
    return night.snapshot()


def go_through(night: Night, *where: object) -> None:
    night.photdb("qc", *where)
    night.photdb("shifts", *where)
    select_all(night)
    night.photdb("run", *where)


@pytest.fixture(params=["pool", "cluster"])
def where(request: pytest.FixtureRequest) -> tuple[object, ...]:
    """Options that say where the work is to be done."""
    return ("-j", 2) if request.param == "pool" else ("--scheduler", request.getfixturevalue("cluster"))


def order(night: Night, what: str, number: int) -> Path:
    """Have a worker do something when it gets to a frame."""
    path = night.folder / f"{what}-{night.frame_path(number).name}"
    path.touch()
    return path


def n_done(night: Night) -> int:
    n: int = night.one("SELECT count(*) FROM frame_quality")
    return n


# --- the same bits ----------------------------------------------------------------------------------------------------
def test_results_are_the_same_wherever_they_are_made(
    where: tuple[object, ...], night_at: Any, undisturbed: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    night = night_at("new")
    deadly.put_in(monkeypatch)
    (night.folder / "peaks").mkdir()
    go_through(night, *where)
    assert night.snapshot() == undisturbed
    workers = {int(path.name) for path in (night.folder / "peaks").iterdir()}
    assert len(workers - {os.getpid()}) >= 2  # it was indeed done elsewhere


@pytest.mark.parametrize("stage", ["qc", "measure"])
def test_a_worker_that_is_killed_half_way_costs_nothing(
    stage: str,
    where: tuple[object, ...],
    night_at: Any,
    undisturbed: dict[str, list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    night = night_at("new" if stage == "qc" else "selected")
    deadly.put_in(monkeypatch)
    orders = [order(night, "die-once", number) for number in (8, 16)]
    night.photdb(stage, *where)
    assert not any(path.exists() for path in orders)  # both died
    tables = ("frame_quality", "detection") if stage == "qc" else ("centroid", "flux")
    assert night.snapshot(*tables) == {name: undisturbed[name] for name in tables}
    assert night.work().get(stage) is None


def test_a_frame_that_ends_every_worker_is_named(
    where: tuple[object, ...], night_at: Any, undisturbed: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    night = night_at("new")
    deadly.put_in(monkeypatch)
    die = order(night, "die", 14)
    said = night.refused("qc", *where)
    assert said.startswith("Worker processes died")
    assert night.frame_path(14).name in said
    assert night.frame_path(1).name not in said
    assert 12 <= n_done(night) < N_FRAMES  # those before it, at least; tasks are of three frames
    die.unlink()
    night.photdb("qc", *where)
    assert night.snapshot("frame_quality")["frame_quality"] == undisturbed["frame_quality"]


def test_a_frame_that_a_worker_does_not_find_is_named(cluster: str, night_at: Any) -> None:
    night = night_at("new")
    night.frame_path(5).unlink()
    said = night.photdb("qc", "--scheduler", cluster, code=1).stderr.splitlines()[-1]
    assert said.startswith("Error: The file of frame 5 in ")
    assert n_done(night) == N_FRAMES - 1


# --- nobody is left over ----------------------------------------------------------------------------------------------
def group_is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize(
    ("where", "how"),
    [("pool", signal.SIGINT), ("pool", signal.SIGKILL), ("cluster", signal.SIGINT)],
    indirect=["where"],
    ids=str,
)
def test_interrupted_or_killed_it_leaves_what_was_done_and_no_process(
    how: signal.Signals,
    where: tuple[object, ...],
    night_at: Any,
    undisturbed: dict[str, list[str]],
) -> None:
    night = night_at("new")
    hold = order(night, "hold", 14)
    main = subprocess.Popen(
        [sys.executable, "-m", "deadly", "qc", *map(str, where)],
        env={**ENVIRONMENT, "PHOTDB_PROJECT": str(night.path)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until((night.folder / "held").exists)
    wait_until(lambda: n_done(night) > 0)
    if how == signal.SIGINT:
        os.killpg(main.pid, signal.SIGINT)  # as a terminal does it: to all of them
    else:
        main.kill()
    if where[0] == "-j" and how == signal.SIGINT:
        # What a worker has begun it ends; nothing else is begun.
        hold.unlink()
    _, said = main.communicate(timeout=PATIENCE_S)
    assert main.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL), said
    wait_until(lambda: group_is_gone(main.pid))
    hold.unlink(missing_ok=True)
    n = n_done(night)
    assert 0 < n < N_FRAMES
    if how == signal.SIGINT:
        assert f"Interrupted. qc: {n} frames of {N_FRAMES} done and kept." in said
        assert "Traceback" not in said
    night.photdb("qc", *where)
    assert night.snapshot("frame_quality")["frame_quality"] == undisturbed["frame_quality"]


# --- what can be wrong with a cluster ---------------------------------------------------------------------------------
@pytest.mark.parametrize("address", ["nonsense", "http://host:80", "tcp://host"])
def test_an_address_that_is_none_is_refused(address: str, night_at: Any) -> None:
    assert night_at("new").refused("qc", "--scheduler", address).endswith(f"is tcp://HOST:PORT, not {address}.")


def test_without_distributed_the_extra_is_named(night_at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert "pip install 'photdb[dask]'" in night_at("new").refused("qc", "--scheduler", "tcp://localhost:1")


def test_where_nobody_answers_it_is_said(night_at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "CONNECT_S", 1.0)
    said = night_at("new").refused("qc", "--scheduler", "tcp://127.0.0.1:1")
    assert said.startswith("No Dask scheduler answers at tcp://127.0.0.1:1")


def test_a_cluster_without_workers_is_said(night_at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_module, "CONNECT_S", 1.0)
    process, address = start_cluster(0)
    try:
        assert "has no workers" in night_at("new").refused("qc", "--scheduler", address)
    finally:
        stop(process)


@pytest.mark.parametrize(
    ("module", "text", "sentence"),
    [
        ("__init__", "raise ModuleNotFoundError('No module named photdb')", "cannot run photdb (ModuleNotFoundError"),
        ("cluster", "def versions():\n    return {'photdb': '0.0.9'}", "has photdb 0.0.9 instead of 0.1.0, Python"),
    ],
)
def test_workers_with_no_or_another_photdb_are_refused(
    module: str, text: str, sentence: str, night_at: Any, tmp_path: Path
) -> None:
    package = tmp_path / "other" / "photdb"
    (package / "executors").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "executors" / "__init__.py").touch()
    (package / "executors" / f"{module}.py").write_text(text, encoding="utf-8")
    process, address = start_cluster(1, "threads", PYTHONPATH=str(package.parent))
    try:
        assert sentence in night_at("new").refused("qc", "--scheduler", address)
    finally:
        stop(process)


def test_a_scheduler_that_goes_away_is_said(night_at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    night = night_at("new")
    deadly.put_in(monkeypatch)
    monkeypatch.setattr(cluster_module, "CONNECT_S", 1.0)
    monkeypatch.setattr(executors, "_LOOK_S", 0.2)
    die = order(night, "die", 14)
    process, address = start_cluster(1, "threads")  # its worker is a thread of the scheduler: both end
    try:
        said = night.refused("qc", "--scheduler", address)
    finally:
        stop(process)
    assert "Dask" in said
    assert "what was done is kept" in said
    assert 0 < n_done(night) < N_FRAMES
    die.unlink()
    night.photdb("qc", "-j", 1)
    assert n_done(night) == N_FRAMES


def test_a_cluster_whose_workers_are_gone_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Cluster:
        def n_threads(self) -> int:
            return 0

    monkeypatch.setattr(executors, "_LOOK_S", 0.01)
    workers = Workers(scheduler="tcp://host:1")
    workers._cluster = Cluster()
    with pytest.raises(PhotdbError, match="has no workers any more"):
        workers._result(Future())


def test_the_main_process_works_until_the_pool_is_ready() -> None:
    done: list[tuple[int, int]] = []
    with Workers(2) as workers:
        for task, process in workers.run(deadly.note_process, range(100_000), estimate_s=9.0):
            done.append((task, process))
            if len({process for _, process in done}) == 3:
                break
    tasks, processes = zip(*done, strict=True)
    assert tasks == tuple(range(len(tasks)))
    assert processes[0] == os.getpid()
    changes = sum(a != b and os.getpid() in (a, b) for a, b in itertools.pairwise(processes))
    assert changes == 1  # it does not go on once the others have begun


def test_a_pool_gets_ready_early_for_many_frames_that_are_to_be_done(
    night_at: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    night, ready = night_at("new"), []
    monkeypatch.setattr(executors, "prepare", lambda preload: ready.append(preload))
    night.photdb("qc", "-j", 2)  # few frames
    monkeypatch.setattr("photdb.cli.common._MANY_FRAMES", N_FRAMES)
    night.photdb("shifts", "-j", 1)
    night.photdb("qc", "-j", 2)  # nothing to do
    assert not ready
    night.photdb("measure", "-j", 2, code=1)  # no source, but who looks at the file only does not know
    assert len(ready) == 1
    assert sorted(path.name for path in night.folder.glob("*.photdb*")) == [night.path.name]


# --- options ----------------------------------------------------------------------------------------------------------
def test_either_processes_or_a_scheduler(night_at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    night = night_at("new")
    assert "exclude each other" in night.refused("qc", "-j", 2, "--scheduler", "tcp://host:1", code=2)
    monkeypatch.setenv("PHOTDB_SCHEDULER", "nonsense")
    assert "not nonsense" in night.refused("qc")
    night.photdb("qc", "-j", 1)  # here, whatever the variable says
    assert n_done(night) == N_FRAMES


# --- start and memory -------------------------------------------------------------------------------------------------
def test_forked_workers_have_imported_what_they_need(night_at: Any) -> None:
    """What is imported later is imported by each of them, every time."""
    night = night_at("selected")
    program = f"""
import importlib, sys
from pathlib import Path
from photdb.executors import Workers
from photdb.executors import cluster as cluster_module
from photdb.stages.runner import Session, run
from photdb.store.project import Project

class Here(Workers):
    def run(self, function, tasks, **_):
        tasks = list(tasks)
        before = set(sys.modules)
        found = [function(task) for task in tasks]
        if function.__name__ != "_reread":
            print(function.__name__, *sorted(sys.modules.keys() - before))
        yield from found

import photdb.stages.qc, photdb.stages.shifts, photdb.stages.measure, photdb.stages.headers
for name in {NEEDED_BY_WORKERS!r}:
    importlib.import_module(name)
with Project.write(Path({str(night.path)!r}), "test") as project:
    with project.transaction() as connection:
        for table in ("frame_quality", "shift"):
            connection.exec_driver_sql(f"DELETE FROM {{table}}")
    run(project, "measure", Session(Here(1)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["measure_frames", "register_batch", "measure_stamps"]


MEMORY = """
if __name__ == "__main__":
    import sys
    from photdb.cli import cli
    from photdb.stages import runner
    import deadly

    deadly.put_in(deadly._Patch)
    runner.COMMIT_FRAMES = 64
    try:
        cli(sys.argv[1:], prog_name="photdb")
    finally:
        print(deadly.peak_kib(), file=sys.stderr)
"""


def test_nothing_is_imported_from_where_the_user_is(night_at: Any) -> None:
    night = night_at("new")
    for name in ("photdb", "numpy"):
        (night.folder / f"{name}.py").write_text("raise SystemExit('the wrong one')", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "deadly.py", "qc", "-j", "2"],
        cwd=night.folder,
        env={**ENVIRONMENT, "PHOTDB_PROJECT": str(night.path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "wrong" not in done.stderr


def peaks_kib(built: Night, n_more: int, folder: Path) -> tuple[int, int]:
    """Add frames, and do qc, shifts and measure; gives the peak memory of the main process and of a worker."""
    night = copy_night(built, folder, "selected")
    files = sorted((night.folder / "frames").iterdir())
    (folder / "more").mkdir()
    for i in range(n_more):
        # Of its own time, by a millisecond: copies of a frame are left out.
        same, ms = files[i % len(files)].read_bytes(), 1 + i // len(files)
        frame, n = re.subn(rb"(DATE-OBS= '\S{19})\.\d{3}'", rb"\1.%03d'" % ms, same)
        assert n == 1
        (folder / "more" / f"{i:04d}.fits").write_bytes(frame)
    night.photdb("add", folder / "more")
    (folder / "peaks").mkdir()
    (folder / "run.py").write_text(MEMORY, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, folder / "run.py", "measure", "-j", "2"],
        env={**ENVIRONMENT, "PHOTDB_PROJECT": str(night.path)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert night.one("SELECT count(DISTINCT frame_id) FROM flux") == N_FRAMES + n_more
    of_workers = [int(path.read_text()) for path in (folder / "peaks").iterdir()]
    assert len(of_workers) == 2
    return int(done.stderr.split()[-1]), max(of_workers)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_memory_does_not_grow_with_the_night(built_night: Night, tmp_path: Path) -> None:
    """120 further frames are 17 MB as stored, 69 MB in double precision; their star lists are 0.3 MB."""
    short, long = (peaks_kib(built_night, n, tmp_path / str(n)) for n in (20, 140))
    for before, after in zip(short, long, strict=True):
        assert after - before < 4 * 1024
        assert after < 400 * 1024
