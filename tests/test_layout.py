"""Who may import whom, what is never imported early, and how long a module may be: read from the sources themselves."""

import ast
import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from photdb.simulate import clear_night, simulate_night
from photdb.store import schema

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "photdb"
MODULES = sorted(PACKAGE.rglob("*.py"))

#: What each part may import of ours, beside itself, and beside what is everybody's.
MAY_IMPORT = {
    "algorithms": set(),
    "store": {"algorithms.flags"},
    "frames": {"algorithms", "fits", "tiles"},
    "tiles": {"algorithms", "fits"},
    "fits": {"algorithms"},
    "executors": set(),
    "stages": {"algorithms", "frames", "executors", "store"},
    "viewers": {"algorithms", "store"},
    "plots": {"algorithms", "frames", "stages", "store", "viewers"},
    "report": {"plots", "stages", "store", "viewers"},
    "exports": {"algorithms", "store"},
    "simulate": {"algorithms"},
    "cli": {"stages", "viewers", "plots", "report", "exports", "store", "executors", "frames", "simulate"},
    "errors": set(),
    "wording": set(),
    "outputs": set(),
    "interruptions": set(),
    "": set(),  # photdb/__init__.py
    "__main__": {"cli"},
}
EVERYBODYS = {"errors", "wording", "outputs", "interruptions", "__version__"}
#: Libraries beside Python's own that a part may import; a part that is not here may import none.
MAY_USE = {
    "algorithms": {"numpy", "scipy", "erfa"},
    "store": {"numpy", "sqlalchemy", "alembic"},
    "frames": {"numpy", "isal"},
    "tiles": {"numpy", "astropy"},
    "executors": {"numpy", "dask", "distributed"},
    "stages": {"numpy", "sqlalchemy", "astropy"},
    "viewers": {"numpy", "matplotlib", "astropy", "tornado", "PIL"},
    "plots": {"numpy"},
    "report": {"numpy"},
    "exports": {"numpy", "astropy"},
    "simulate": {"numpy", "scipy"},
    "cli": {"click", "numpy", "sqlalchemy"},
}
HEAVY = {"astropy", "erfa", "matplotlib", "alembic", "sqlalchemy.orm", "dask", "distributed", "scipy"}
LONGEST = 350
#: By the design all tables and views stand on one page.
LONGER = {"photdb/store/schema.py": 850}


def part_of(path: Path) -> str:
    """The first name below photdb: of photdb/store/lock.py it is `store`, of photdb/frames.py `frames`."""
    inside = path.relative_to(PACKAGE)
    return inside.parts[0].removesuffix(".py") if inside.name != "__init__.py" or len(inside.parts) > 1 else ""


def imports(path: Path, *, top_level: bool = False) -> Iterator[str]:
    """Dotted names of what a module imports: anywhere but for type checkers, or at the top level only."""
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute here"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting.extend(node.orelse)
        elif not (top_level and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            waiting.extend(ast.iter_child_nodes(node))


def is_within(name: str, allowed: set[str]) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in allowed)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_imports_what_its_part_may(path: Path) -> None:
    part = part_of(path)
    assert part in MAY_IMPORT, f"{part} is no part of the design: say here what it may import"
    ours = {name.removeprefix("photdb.") for name in imports(path) if name.startswith("photdb.")}
    wrong = {name for name in ours if not is_within(name, MAY_IMPORT[part] | EVERYBODYS | {part})}
    assert not wrong, f"{part} may not import {sorted(wrong)}"

    theirs = {name.split(".")[0] for name in imports(path)} - {"photdb"} - set(sys.stdlib_module_names)
    wrong = theirs - MAY_USE.get(part, set())
    assert not wrong, f"{part} may not use {sorted(wrong)}"


def test_only_frames_reads_fits() -> None:
    readers = {"astropy.io.fits", "photdb.fits"}
    found = {name_of(path) for path in MODULES if any(is_within(name, readers) for name in imports(path))}
    assert found <= {"photdb/frames.py", "photdb/tiles.py"}
    assert found, "nobody reads FITS?"


@pytest.mark.parametrize("path", [p for p in MODULES if part_of(p) in {"cli", "store", "stages", ""}], ids=name_of)
def test_heavy_libraries_are_imported_in_functions(path: Path) -> None:
    early = {name.split(".")[0] for name in imports(path, top_level=True)} & HEAVY
    assert not early, f"import {sorted(early)} inside the function that needs it"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_is_short_and_says_what_it_is(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    n_lines = len(text.splitlines())
    assert n_lines <= LONGER.get(name_of(path), LONGEST), f"{n_lines} lines: is there a second concern in it?"
    assert ast.get_docstring(ast.parse(text)), "it opens with a paragraph"


@pytest.mark.parametrize("name", sorted({*schema.metadata.tables, *schema.VIEWS}))
def test_table_or_view_stands_in_the_readme(name: str) -> None:
    assert f"`{name}`" in (ROOT / "README.md").read_text(encoding="utf-8")


def loaded_by(folder: Path, *arguments: str) -> set[str]:
    """Run a command in a process of its own; which of the heavy libraries has it loaded at the end?"""
    program = (
        "import sys, photdb.cli\n"
        "try:\n    photdb.cli.cli(prog_name='photdb')\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        f"print(*{HEAVY!r} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_help_init_and_status_load_nothing_heavy(tmp_path: Path) -> None:
    assert loaded_by(tmp_path, "--help") == set()
    folder = tmp_path / "frames"
    simulate_night(folder, clear_night(n_frames=5))
    assert loaded_by(tmp_path, "init", "frames", "-p", "night.photdb") == set()
    with contextlib.closing(sqlite3.connect(tmp_path / "night.photdb")) as raw:
        raw.execute("PRAGMA user_version=0")  # as an older photdb would have made it
    assert loaded_by(tmp_path, "set", "--gain", "2") >= {"alembic"}  # else this test sees nothing
    assert loaded_by(tmp_path, "status") == set()
    loaded_by(tmp_path, "qc", "-j", "1")
    assert loaded_by(tmp_path, "status") == loaded_by(tmp_path, "qc") == set()
