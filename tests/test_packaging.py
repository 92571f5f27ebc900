"""The wheel, the sdist and a checkout each make and migrate projects; bounds and constraints agree."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from photdb.simulate import clear_night, simulate_night
from photdb.store import schema

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
REQUIREMENTS = [
    Requirement(text)
    for text in (*SETTINGS["project"]["dependencies"], *SETTINGS["project"]["optional-dependencies"]["test"])
]

COMPILED = (".so", ".pyd")

#: A further revision, as a later photdb would bring.
REVISION = f'''"""One more table."""

from alembic import op

revision = "9999"
down_revision = "{schema.HEAD}"


def upgrade() -> None:
    op.execute("CREATE TABLE later (id INTEGER PRIMARY KEY)")
'''


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build the wheel and the sdist with the hatchling of this environment."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", folder, cwd=ROOT)
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    return {"wheel": wheel, "sdist": sdist}


def install(form: str, built: dict[str, Path], folder: Path) -> tuple[Path, Path, dict[str, str]]:
    """Give a Python that has photdb in the given form, the folder the package is in, and what its environment needs."""
    if form == "checkout":
        with tarfile.open(built["sdist"]) as archive:
            archive.extraction_filter = getattr(tarfile, "data_filter", None)  # the first 3.11 have none
            archive.extractall(folder)
        (tree,) = folder.iterdir()
        run(sys.executable, "hatch_build.py", cwd=tree)
        return Path(sys.executable), tree / "photdb", {"PYTHONPATH": str(tree)}
    venv.create(folder, symlinks=os.name != "nt")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    # The dependencies are those of this environment, so that no network is needed; photdb is what was installed there.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps", "-I")
    run(*pip, "--no-build-isolation", built[form], cwd=folder, PYTHONPATH="")
    return python, packages / "photdb", {"PYTHONPATH": ""}


@pytest.mark.parametrize("form", ["wheel", "sdist", "checkout"])
def test_installed_photdb_makes_and_migrates_projects(form: str, built: dict[str, Path], tmp_path: Path) -> None:
    night = tmp_path / "night"
    night.mkdir()
    simulate_night(night / "frames", clear_night(n_frames=3))
    python, package, environment = install(form, built, tmp_path / "installed")

    def photdb(*arguments: str) -> str:
        code = "from photdb.cli import main; main()"
        return run(python, "-W", "error", "-c", code, *arguments, cwd=night, **environment)

    assert Path(run(python, "-c", "import photdb; print(photdb.__file__)", cwd=night, **environment)).parent == package
    assert photdb("--version").split()[-1] == SETTINGS["project"]["version"]
    photdb("init", "frames", "-p", "night.photdb")
    assert photdb("sql", "SELECT version_num FROM alembic_version", "--format", "csv").split()[-1] == schema.HEAD
    assert "3 frames" in photdb("status")

    # A newer photdb of the same form opens it.
    migrations = package / "migrations" if (package / "migrations").is_dir() else package.parent / "migrations"
    (migrations / "versions" / "9999_later.py").write_text(REVISION, encoding="utf-8")
    page = package / "store" / "schema.py"
    text = page.read_text(encoding="utf-8")
    head = f'HEAD: Final = "{schema.HEAD}"'
    assert head in text
    page.write_text(text.replace(head, 'HEAD: Final = "9999"'), encoding="utf-8")
    photdb("set", "--gain", "2")
    assert photdb("sql", "SELECT version_num FROM alembic_version", "--format", "csv").split()[-1] == "9999"
    assert photdb("sql", "SELECT count(*) AS n FROM later", "--format", "csv").split()[-1] == "0"
    assert "3 frames" in photdb("status")
    assert list(night.glob("night.photdb.before-9999-*"))


def test_installed_command_runs(built: dict[str, Path], tmp_path: Path) -> None:
    python, _, environment = install("wheel", built, tmp_path / "installed")
    assert "Usage: photdb" in run(python.with_name("photdb"), "--help", cwd=tmp_path, **environment)


def test_archives_hold_what_they_should_and_no_more(built: dict[str, Path]) -> None:
    sources = {
        path.relative_to(ROOT).as_posix()
        for folder in ("photdb", "migrations")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in COMPILED
    }
    assert "photdb/py.typed" in sources
    with zipfile.ZipFile(built["wheel"]) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    kernels = {name for name in names if name.endswith(COMPILED)}
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    assert kernels == {name.replace(".pyx", suffix) for name in sources if name.endswith(".pyx")}
    names -= kernels
    assert names == {f"photdb/{name}" if name.startswith("migrations/") else name for name in sources}
    with tarfile.open(built["sdist"]) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert sources <= names
    others = {"hatch_build.py", "README.md", "LICENSE", "Makefile", "constraints.txt", "pyproject.toml"}
    assert others | {"tests/conftest.py"} <= names
    unwanted = (".photdb", ".fits", ".fit", *COMPILED)
    assert not {name for name in names if "__pycache__" in name or name.endswith(unwanted)}


def pinned(name: str) -> dict[str, Version]:
    """Read a constraints file, in which each version is exact."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    parts = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(library): Version(version) for library, version in parts}


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)
def test_constraints_fit_the_bounds(requirement: Requirement) -> None:
    name = canonicalize_name(requirement.name)
    assert pinned("constraints.txt")[name] in requirement.specifier
    (bound,) = requirement.specifier
    assert bound.operator == ">="
    assert pinned("constraints-lowest.txt")[name] == Version(bound.version)


def test_build_needs_what_the_tests_build_with() -> None:
    assert set(map(Requirement, SETTINGS["build-system"]["requires"])) <= set(REQUIREMENTS)
