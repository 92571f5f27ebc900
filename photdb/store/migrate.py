"""Bring a project to this photdb's schema: tables by the migrations, views and flags as they stand in the code."""

import contextlib
import importlib.util
import os
import sqlite3
import zlib
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from photdb import __version__
from photdb.algorithms.flags import MEANING
from photdb.errors import ProjectError
from photdb.store import schema
from photdb.store.connection import driver, transaction
from photdb.store.lock import now

#: As Alembic makes it.
_VERSION_TABLE = """CREATE TABLE alembic_version (
\tversion_num VARCHAR(32) NOT NULL, 
\tCONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)"""


def is_current(connection: Connection, revision: str | None) -> bool:
    """Tell whether tables, views and flags are this photdb's."""
    (version,) = connection.exec_driver_sql("PRAGMA user_version").one()
    return revision == schema.HEAD and version == face()


def known_revisions() -> set[str]:
    """Give the revisions that there are migrations for."""
    return {file.name.split("_")[0] for file in (_folder() / "versions").glob("[0-9]*.py")}


def refuse_newer(path: Path, revision: str | None) -> None:
    """Refuse a project of a revision that this photdb does not know.

    Raises
    ------
    ProjectError
        It does not.
    """
    if revision not in known_revisions():
        raise ProjectError(
            f"{path.name} was made by a newer photdb (its schema {revision} is unknown to {__version__}):"
            " install that photdb; the file is left as it is"
        )


def keep_copy(connection: Connection, path: Path) -> None:
    """Copy a project beside itself before it is migrated.

    Raises
    ------
    ProjectError
        There is no room for the copy, or no permission to make it; nothing is left of it.
    """
    copy_project(driver(connection), path, f"before-{schema.HEAD}")


def copy_project(raw: sqlite3.Connection, path: Path, suffix: str) -> Path:
    """Copy an open project to `NAME.photdb.SUFFIX-TIME`, whole or not at all; gives where it is."""
    stamp = now().replace(":", "").replace(".", "")
    copy = path.with_name(f"{path.name}.{suffix}-{stamp}")
    partial = copy.with_name(copy.name + ".part")
    try:
        with contextlib.closing(sqlite3.connect(partial)) as target:
            raw.backup(target)
        os.replace(partial, copy)
    except (sqlite3.Error, OSError) as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise
        raise ProjectError(
            f"no safety copy {copy.name} can be made ({error}), so {path.name} is left as it is: make room beside it,"
            " or copy it to where there is some"
        ) from error
    finally:
        for left in (partial, partial.with_name(f"{partial.name}-journal")):
            left.unlink(missing_ok=True)
    return copy


def build(connection: Connection) -> None:
    """Make tables, views and flags of a new project, in one transaction.

    The tables are made by the statements of the migrations, in their order. Alembic, whose import takes longer than all
    that `init` does with a short night, is left out as long as every migration is nothing but its `STATEMENTS`.
    """
    statements: list[str] = []
    for path in sorted((_folder() / "versions").glob("[0-9]*.py")):
        loaded: Any = importlib.util.spec_from_file_location(path.stem, path)
        migration = importlib.util.module_from_spec(loaded)
        loaded.loader.exec_module(migration)
        if not hasattr(migration, "STATEMENTS"):
            upgrade(connection)
            return
        statements += migration.STATEMENTS
    raw = driver(connection)
    with transaction(connection):
        raw.execute(_VERSION_TABLE)
        for statement in statements:
            raw.execute(statement)
        raw.execute("INSERT INTO alembic_version (version_num) VALUES (?)", (schema.HEAD,))
        make_face(raw)


def upgrade(connection: Connection) -> None:
    """Bring the tables to HEAD and make views and flags anew, in one transaction.

    Raises
    ------
    ProjectError
        Rows would be left without their parents; the project stays as it was.
    """
    from alembic import command, config

    setup = config.Config()
    setup.set_main_option("script_location", str(_folder()).replace("%", "%%"))
    setup.attributes["connection"] = connection
    raw = driver(connection)
    # A batch rebuild of a parent table would empty its children through ON DELETE CASCADE. Through SQLAlchemy, so that
    # it takes itself to be in a transaction: else Alembic would begin and commit one of its own, and ours with it.
    connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
    with transaction(connection):
        for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'view'").fetchall():
            raw.execute(f'DROP VIEW "{name}"')
        command.upgrade(setup, "head")
        make_face(raw)
        broken = raw.execute("PRAGMA foreign_key_check").fetchone()
        if broken is not None:
            raise ProjectError(f"the project has rows without parents in {broken[0]}: it is left as it was")
    raw.execute("PRAGMA foreign_keys=ON")


def make_face(raw: sqlite3.Connection) -> None:
    """Make what is no table anew, and mark the file as photdb's; inside a transaction."""
    for name, select in schema.VIEWS.items():
        raw.execute(f"DROP VIEW IF EXISTS {name}")
        raw.execute(f"CREATE VIEW {name} AS {select}")
    raw.execute("DELETE FROM flag")
    raw.executemany("INSERT INTO flag (bit, name, meaning) VALUES (?, ?, ?)", flag_rows())
    raw.execute(f"PRAGMA application_id={schema.APPLICATION_ID}")
    raw.execute(f"PRAGMA user_version={face()}")


def face() -> int:
    """Digest what is no table, and so no migration's: views and flags."""
    return zlib.crc32(repr((schema.VIEWS, flag_rows())).encode()) & 0x7FFFFFFF


def flag_rows() -> list[tuple[int, str | None, str]]:
    """Give the rows of `flag`: bit, name, meaning."""
    return [(int(flag), flag.name, meaning) for flag, meaning in MEANING.items()]


def _folder() -> Path:
    inside = Path(__file__).resolve().parents[1] / "migrations"  # in an installed wheel
    return inside if inside.is_dir() else inside.parents[1] / "migrations"  # in a checkout
