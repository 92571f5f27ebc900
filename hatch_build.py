"""Compiles photdb's kernels when photdb is built: into the wheel, or beside their source for an editable install."""

import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
SOURCES = Path("photdb/algorithms")


class KernelsHook(BuildHookInterface[Any]):
    """Hatchling's hook for the wheel, be it one that holds photdb or one that points to a checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before files are collected."""
        build_data["pure_python"], build_data["infer_tag"] = False, True
        if version == "editable":
            compile_kernels(ROOT / SOURCES)
            return
        self.folder = Path(tempfile.mkdtemp())
        for built in compile_kernels(self.folder):
            build_data["force_include"][str(built)] = str(SOURCES / built.name)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Clean up."""
        if version != "editable":
            shutil.rmtree(self.folder)


def compile_kernels(folder: Path) -> list[Path]:
    """Compile the kernels; gives the extension modules, which are put into the folder."""
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension

    scratch = Path(tempfile.mkdtemp())
    try:
        # No fused multiply-add: the same numbers on every processor. SSE 4.2 is what numpy itself asks for.
        flags = [] if sys.platform == "win32" else ["-O3", "-ffp-contract=off"]
        if flags and platform.machine() == "x86_64":
            flags.append("-msse4.2")
        extensions = [
            Extension(f"photdb.algorithms.{source.stem}", [shutil.copy(source, scratch)], extra_compile_args=flags)
            for source in sorted((ROOT / SOURCES).glob("*.pyx"))
        ]
        modules = cythonize(extensions, build_dir=str(scratch), quiet=True)
        command: Any = Distribution({"ext_modules": modules}).get_command_obj("build_ext")
        command.build_lib, command.build_temp = str(scratch / "lib"), str(scratch / "temp")
        command.parallel = True  # a compiler for each core
        command.ensure_finalized()
        command.run()
        folder.mkdir(parents=True, exist_ok=True)
        built = sorted(path for path in (scratch / "lib").rglob("*.*") if path.is_file())
        for path in built:  # new files, as programs that are running may use the old ones
            (folder / path.name).unlink(missing_ok=True)
        return [Path(shutil.copy(path, folder)) for path in built]
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    print(*compile_kernels(ROOT / SOURCES), sep="\n")
