"""The kills of `test_kills.py`, as many as wanted: `python tests/reliability/soak.py --kills 1000 --seed 1`.

Simulates the small night of the tests, goes through its session once, then kills commands one after the other, each at
a moment drawn from the seed, and goes on. Prints for each command how many kills came before anything was written, in
the midst, and after the end; how many left a journal to be rolled back; and what was lost: nothing, or else each loss
with its number, which `--only NUMBER` repeats, and exit code 1. About half a second a kill.

With `--signals` it sends SIGINT, SIGTERM and SIGHUP in turns instead of SIGKILL (see `test_signals.py`). With
`--hammer SECONDS` eight processes work on one project at once for so long (see `hammer.py`).
"""

import argparse
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from random import Random

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

from kills import Bench, Found, compiled_calls  # noqa: E402
from nights import build_night  # noqa: E402
from warm import Warm  # noqa: E402

#: One in so many kills is of a command that starts cold, and one in so many of those with workers.
COLD, POOL = 8, 10
HOW = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def kill_many(folder: Path, n_kills: int, seed: int, only: int | None, *, politely: bool) -> int:
    (folder / "built").mkdir()
    built = build_night(folder / "built")
    found: list[Found] = []
    codes: Counter[int] = Counter()
    n_lost = 0
    start = time.monotonic()
    with Warm(folder, compiled_calls(folder)) as warm:
        bench = Bench(built, folder / "bench", warm)
        plain = [scene for scene in bench.scenes if not scene.step.pool]
        pools = [scene for scene in bench.scenes if scene.step.pool]
        for i in range(n_kills):
            if only is not None and i != only:
                continue
            random = Random(f"{seed}/{i}")
            scene = random.choice(pools if i % POOL == 1 else plain)
            cold = i % COLD == 0 and scene.step.name != "migration"
            try:
                if politely:
                    codes[bench.interruption(random, scene, HOW[i % len(HOW)], cold=cold).code] += 1
                else:
                    found.append(bench.trial(random, scene, cold=cold))
            except AssertionError as error:
                n_lost += 1
                print(f"kill {i}: `photdb {' '.join(scene.step.arguments)}`: {error}", flush=True)
            if sys.stderr.isatty():
                print(f"\r{i + 1} of {n_kills}", end="", file=sys.stderr)
    if politely:
        print("  ".join(f"exit code {code}: {n}" for code, n in sorted(codes.items())))
    else:
        print_counts(found)
    n = len(found) + codes.total() + n_lost
    print(f"{n} kills in {time.monotonic() - start:.0f} s (seed {seed}); {n_lost} lost something.")
    return n_lost


def print_counts(found: list[Found]) -> None:
    counts: dict[str, list[int]] = defaultdict(lambda: [0] * 8)
    for f in found:
        truths = (True, f.when == "before", f.when == "in", f.when == "after", f.hot, f.kill.torn)
        truths += (f.kill.kind == "cold", f.looker_killed)
        for name in (f.step, "all"):
            counts[name] = [n + truth for n, truth in zip(counts[name], truths, strict=True)]
    heads = ("kills", "before", "in the midst", "after", "journal", "torn", "cold", "looker killed")
    print("  ".join(["command".ljust(18), *heads]))
    for name, row in sorted(counts.items(), key=lambda item: item[0] == "all"):
        print("  ".join([name.ljust(18), *(str(n).rjust(len(head)) for n, head in zip(row, heads, strict=True))]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--signals", action="store_true")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="repeat this kill alone")
    parser.add_argument("--hammer", type=float, metavar="SECONDS")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="photdb-soak-") as folder:
        if given.hammer is not None:
            from hammer import hammer_long

            return hammer_long(Path(folder), given.hammer, given.seed)
        return int(kill_many(Path(folder), given.kills, given.seed, given.only, politely=given.signals) > 0)


if __name__ == "__main__":
    sys.exit(main())
