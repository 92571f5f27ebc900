"""Any view of a project as a table file: CSV for spreadsheets, or ECSV, which also keeps types, units and gaps."""

import csv
import io
from typing import Any, Final

import numpy as np

from photdb import __version__
from photdb.errors import PhotdbError
from photdb.exports.files import Draft
from photdb.store.connection import driver
from photdb.store.project import Project
from photdb.store.schema import VIEWS
from photdb.wording import named

#: Units by the ends of names; what counts or is a ratio has none.
_UNITS: Final = {
    "jd_utc_mid": "d",
    "hjd_utc_mid": "d",
    "bjd_tdb_mid": "d",
    "jd_utc_emitted": "d",
    "mag": "mag",
    "mag_standard": "mag",
    "_mag": "mag",
    "mag_err": "mag",
    "_mag_err": "mag",
    "_adu": "adu",
    "_adu2": "adu2",
    "_px": "pix",
    "_deg": "deg",
    "_s": "s",
    "_e": "electron",
}


def view_file(project: Project, view: str, form: str) -> Draft:
    """Write a view as text, its rows in the order of their columns, so that the same data give the same bytes.

    Parameters
    ----------
    project : Project
    view : str
        One of `photdb.store.schema.VIEWS`.
    form : {'csv', 'ecsv'}
        CSV has a header line with the columns' names, NULL is an empty field and numbers keep all their digits. ECSV
        (https://github.com/astropy/astropy-APEs/blob/main/APE6.rst) is read by astropy's `Table.read`.

    Returns
    -------
    Draft
        `VIEW.csv` or `VIEW.ecsv`.

    Raises
    ------
    PhotdbError
        There is no such view.
    """
    if view not in VIEWS:
        raise PhotdbError(f"there is no view {named(view)}: the views are {', '.join(VIEWS)}")
    cursor = driver(project.connection).execute(f"SELECT * FROM {view} LIMIT 0")  # noqa: S608 - a name of ours
    names = [column[0] for column in cursor.description]
    order = ", ".join(str(i + 1) for i in range(len(names)))
    rows = driver(project.connection).execute(f"SELECT * FROM {view} ORDER BY {order}").fetchall()  # noqa: S608
    if form == "csv":
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([names, *rows])
        return Draft(f"{view}.csv", out.getvalue(), ",".join(names) + "\n")
    made_by = f"photdb export --view {view}"
    return Draft(f"{view}.ecsv", _ecsv(project, names, rows, made_by), made_by)


def _ecsv(project: Project, names: list[str], rows: list[tuple[Any, ...]], made_by: str) -> str:
    from astropy.table import MaskedColumn, Table

    values: list[tuple[Any, ...]] = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    table = Table(meta={"made_by": made_by, "photdb_version": __version__, "project": project.path.stem})
    for name, column in zip(names, values, strict=True):
        known = [v for v in column if v is not None]
        kind: Any = str
        if all(isinstance(v, int | float) for v in known):
            kind = np.int64 if known and all(isinstance(v, int) for v in known) else np.float64
        mask = [v is None for v in column]
        data = np.array([kind() if v is None else kind(v) for v in column], kind)
        table[name] = MaskedColumn(data, mask=mask, unit=_unit(name)) if any(mask) else data
        table[name].unit = _unit(name)
    out = io.StringIO()
    table.write(out, format="ascii.ecsv")
    return out.getvalue()


def _unit(name: str) -> str | None:
    if name.startswith("n_"):
        return None
    return next((unit for end, unit in _UNITS.items() if name == end or (end[0] == "_" and name.endswith(end))), None)
