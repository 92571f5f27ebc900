"""An error that is no answer to anybody may be a damaged project's: then that is said instead."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from photdb.errors import PhotdbError

if TYPE_CHECKING:
    from photdb.store.project import Project


@contextlib.contextmanager
def damage_said(project: "Project") -> Iterator[None]:
    """Say that the project is damaged, where that is what is behind an error of another kind."""
    try:
        yield
    except (PhotdbError, OSError, click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as error:
        from photdb.store.bad_files import explained

        if (said := explained(project.path, project.connection, error)) is None:
            raise
        raise said from error
