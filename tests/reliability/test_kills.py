"""SIGKILL at moments drawn from a seed, over every kind of command: nothing is lost, and the end is the same."""

import sys
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest
from kills import Bench, Scene, compiled_calls
from nights import Night
from warm import Warm

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a warm server: fork, pidfd")

SEED = 2713
#: Warm, of which some in a pool of processes; and with their start-up.
N_WARM, N_IN_A_POOL, N_COLD = 54, 10, 6


@pytest.fixture(scope="module")
def bench(built_night: Night, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("kills")
    with Warm(folder, compiled_calls(folder)) as warm:
        yield Bench(built_night, folder / "bench", warm)


def drawn(scenes: list[Scene], n: int) -> list[Scene]:
    """Every scene about as often."""
    return [scenes[i * len(scenes) // n] if n < len(scenes) else scenes[i % len(scenes)] for i in range(n)]


def test_seventy_kills_lose_nothing(bench: Bench) -> None:
    random = Random(SEED)
    plain = [scene for scene in bench.scenes if not scene.step.pool]
    pools = [scene for scene in bench.scenes if scene.step.pool]
    cold = [scene for scene in plain if scene.step.name != "migration"]  # it needs a photdb that there is not yet
    found = []
    for i, scene in enumerate(drawn(plain, N_WARM) + drawn(pools, N_IN_A_POOL) + drawn(cold, N_COLD)):
        try:
            found.append(bench.trial(random, scene, cold=i >= N_WARM + N_IN_A_POOL))
        except AssertionError as error:
            raise AssertionError(f"kill {i}, of `photdb {' '.join(scene.step.arguments)}`: {error}") from error
    assert len(found) == 70
    assert {f.step for f in found} >= {"init", "add", "qc", "shifts", "select", "measure", "check", "solve", "reject"}
    assert {f.step for f in found} >= {"set", "accept", "run", "migration", "qc in a pool", "measure in a pool"}
    new = {"times", "measure --hits mend", "suggest --apply"}
    assert {f.step for f in found} >= {*new, "measure --hits mend in a pool", "suggest --apply in a pool"}
    if bench.warm.counts:
        assert {f.step.removesuffix(" in a pool") for f in found if f.when == "in"} >= new
    (suggest,) = (s for s in bench.scenes if s.step.name == "suggest --apply" and not s.step.pool)
    assert len(suggest.after["rejection"]) > len(suggest.before["rejection"])
    assert all(any(s.end[t] for s in bench.scenes) for t in ("correction", "ephemeris", "hit", "encounter"))
    # Workers without their main process have ended by themselves: `trial` waits for that.
    assert any(f.step.endswith("in a pool") and f.when != "after" and not f.kill.whole_group for f in found)
    if bench.warm.counts:
        # They did come in the midst: journals were there to be rolled back, also by readers.
        when = Counter(f.when for f in found)
        assert when["in"] >= 15, when
        assert sum(f.hot for f in found) >= 5
        assert any(f.hot and f.looker in ("status", "sql") for f in found)
