"""Ctrl-C, SIGTERM and SIGHUP at any moment: one line, exit code 128 and the number, nothing left over, nothing lost."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from random import Random

import pytest
from kills import Bench, compiled_calls, see_polite
from nights import Night
from warm import ENVIRONMENT, ROOT, Ended, Warm

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a warm server: fork, pidfd")

SEED = 283
HOW = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(scope="module")
def bench(built_night: Night, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("signals")
    with Warm(folder, compiled_calls(folder)) as warm:
        yield Bench(built_night, folder / "bench", warm)


def test_every_command_is_interrupted_politely_at_any_moment(bench: Bench) -> None:
    random = Random(SEED)
    for i, scene in enumerate(bench.scenes):
        how = HOW[i % 3]
        try:
            bench.interruption(random, scene, how)
        except AssertionError as error:
            raise AssertionError(f"{how.name} of {scene.step}: {error}") from error
        if i % 4 == 0 and scene.step.name != "migration":
            bench.interruption(random, scene, how, cold=True)


@pytest.mark.parametrize("how", HOW)
def test_every_signal_comes_in_time_where_work_is_half_done(bench: Bench, how: signal.Signals) -> None:
    if not bench.warm.counts:
        pytest.skip("no C compiler for the library that counts system calls")
    for scene in bench.scenes:
        if scene.step.name in ("qc", "measure") and not scene.step.pool:
            done = bench.interruption(Random(SEED), scene, how, at_call=scene.n_calls // 2)
            assert done.code == 128 + how, (scene.step, done)


#: Sends itself a signal at an import, counted from the first line of photdb on; says how many there were.
AT_AN_IMPORT = """
import os, runpy, sys
sys.argv[0] = "photdb"
at, how = int(sys.argv.pop(1)), int(sys.argv.pop(1))
from photdb.interruptions import heed
heed()
n = 0
def hook(event, arguments):
    global n
    if event == "import":
        n += 1
        if n == at:
            os.kill(os.getpid(), how)
sys.addaudithook(hook)
try:
    runpy.run_module("photdb", run_name="__main__")
finally:
    if at == 0:
        print(n, file=sys.stderr)
"""


#: Commits one batch after the other, each for longer than it takes until an interruption is tried again.
COMMITTING = """
import time
from photdb.interruptions import AtWork, exit_code, heed, held_back

heed()
with AtWork():
    print("begun", flush=True)
    for n in range(100):
        with held_back():
            time.sleep(0.05)
    print("done all")
raise SystemExit(exit_code())
"""


def test_interrupted_while_it_does_hardly_anything_but_commit() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", COMMITTING], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (143, "")


#: Has Ctrl-C come while SQLite, below SQLAlchemy, works on a statement.
IN_A_STATEMENT = """
import os, signal, sys
from pathlib import Path
from photdb import interruptions
from photdb.store.connection import driver
from photdb.store.project import Project

interruptions.heed()
try:
    with interruptions.AtWork() as work, Project.write(Path(sys.argv[1]), "test") as project:
        with project.recorded("test", []), project.transaction() as connection:
            connection.exec_driver_sql("UPDATE project SET observer = 'X'")
            press = lambda: os.kill(os.getpid(), signal.SIGTERM)
            driver(connection).create_function("press", 0, press)
            connection.exec_driver_sql("SELECT press()")
            while True:
                signal.pause()
finally:
    print(repr(work.interruption))
sys.exit(interruptions.exit_code())
"""


def test_interrupted_while_sqlite_works(night: Night) -> None:
    """SQLAlchemy would close the connection, and the history could not say how it ended."""
    done = subprocess.run(
        [sys.executable, "-c", IN_A_STATEMENT, str(night.path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (143, "KeyboardInterrupt()\n", "")
    assert night.one("SELECT outcome FROM history ORDER BY id DESC LIMIT 1") == "interrupted"
    assert night.one("SELECT observer FROM project") is None
    assert not night.path.with_name("night.photdb.lock").exists()


def at_an_import(night: Night, n: int, how: int, *arguments: str) -> Ended:
    done = subprocess.run(
        [sys.executable, "-c", AT_AN_IMPORT, str(n), str(how), *arguments],
        env={**os.environ, "PHOTDB_PROJECT": str(night.path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ended(done.returncode, 0.0, None, None, done.stdout, done.stderr, 0)


@pytest.mark.parametrize("command", ["status", "qc -j 1"])
def test_interrupted_while_it_imports(command: str, night: Night) -> None:
    arguments = command.split()
    n = int(at_an_import(night, 0, 0, *arguments).stderr.split()[-1])
    assert n > 100
    random = Random(SEED)
    before = night.snapshot()
    for i in range(6):
        how = HOW[i % 2]
        done = at_an_import(night, random.randint(1 + i * n // 6, (i + 1) * n // 6), how, *arguments)
        see_polite(done, how)
        assert not night.path.with_name("night.photdb.lock").exists()
    assert night.snapshot() == before
