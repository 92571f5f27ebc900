"""Run commands of photdb in this process, timing imports and each command apart: `run_photdb SPEC OUT`.

SPEC is a JSON file with the list of commands, the project's path, and optionally `modules`: see `run_peer`. OUT gets
the seconds of each command by its name (added up where there are several) and those of the processor as `NAME cpu`, of
the imports, and the peak memory.
"""

import contextlib
import gc
import io
import json
import sys
import time
from pathlib import Path

from benchmarks.run_peer import import_all, peak_mib

START = time.perf_counter()


def main(spec_path: str, out: str) -> None:
    """Run the commands; one that fails ends it with exit code 1 and its words."""
    spec = json.loads(Path(spec_path).read_text())
    known = Path(spec["modules"]) if "modules" in spec else None
    from photdb.cli import cli

    gc.set_threshold(100_000)  # as the program does
    if known and known.exists():
        import_all(json.loads(known.read_text()))
    imported = time.perf_counter()
    took: dict[str, float] = {"imports": imported - START}
    for name, *arguments in spec["commands"]:
        said = io.StringIO()
        start, processor = time.perf_counter(), time.process_time()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            code = cli.main([name, *arguments, "-p", spec["project"]], "photdb", standalone_mode=False)
        if code:
            sys.exit(said.getvalue() or f"photdb {name} ended with {code}")
        took[name] = took.get(name, 0.0) + time.perf_counter() - start
        took[f"{name} cpu"] = took.get(f"{name} cpu", 0.0) + time.process_time() - processor
    took["peak_mib"] = peak_mib()
    Path(out).write_text(json.dumps(took))
    if known and not known.exists():
        known.write_text(json.dumps([m for m in sys.modules if not m.startswith("_")]))


if __name__ == "__main__":
    main(*sys.argv[1:])
