"""What commands of the tests of kills are changed by: small steps, a pool from the first frame on, a newer photdb."""

import os
import shutil
from concurrent.futures import wait
from pathlib import Path
from typing import Any

from nights import small_steps as _small_steps

#: The next revision: a table that everything refers to is built anew, and the largest one is copied.
REVISION = '''"""Built anew."""

import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{head}"


def upgrade():
    with op.batch_alter_table("frame", recreate="always") as batch:
        batch.add_column(sa.Column("dew_point_c", sa.Float))
    op.execute("CREATE TABLE copy_of_flux AS SELECT * FROM flux")
    op.execute("CREATE TABLE later (id INTEGER PRIMARY KEY)")
'''


class _Patch:
    setattr = staticmethod(setattr)


def small_steps() -> None:
    _small_steps(_Patch)


def pool() -> None:
    """Use a pool, be there little to do."""
    from photdb import executors

    small_steps()
    executors.POOL_START_S = 0.0
    setattr(executors.Workers, "_ready", lambda workers: bool(wait(workers._starts)))  # noqa: B010


def nobody() -> None:
    """Be a user who may do nothing, where tests run as root."""
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)


def newer() -> None:
    """Be a photdb with one more revision, whose migrations are beside the project."""
    from photdb.store import migrate, schema

    folder = Path(os.environ["PHOTDB_PROJECT"]).parent / "migrations"
    if not folder.is_dir():
        shutil.copytree(migrate._folder(), folder)
        (folder / "versions" / "9999_later.py").write_text(REVISION.format(head=schema.HEAD), encoding="utf-8")
    moved: Any = migrate
    moved._folder = lambda: folder
    constants: Any = schema
    constants.HEAD = "9999"
