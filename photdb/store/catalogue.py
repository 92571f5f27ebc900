"""What catalogues say of sources, as the user gave it: magnitudes with their errors and bands, and colours."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from photdb.errors import PhotdbError
from photdb.store.connection import driver, update_row
from photdb.store.decisions import source_id
from photdb.wording import named

_LONGEST_BAND = 20

#: Columns of `source` by what they are called here.
_COLUMNS = {"mag": "catalogue_mag", "mag_err": "mag_err", "band": "band", "colour": "colour"}


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Values of one source; None where nobody gave one."""

    mag: float | None
    mag_err: float | None
    band: str | None
    colour: float | None


def read_catalogue(connection: Connection) -> dict[int, Catalogue]:
    """Read the values of all sources, by their ids."""
    rows = driver(connection).execute(
        "SELECT id, catalogue_mag, mag_err, band, colour FROM source WHERE removed_at IS NULL ORDER BY id"
    )
    return {id_: Catalogue(*values) for id_, *values in rows}


def set_catalogue(connection: Connection, label: str, given: dict[str, Any]) -> None:
    """Change values of a source: those given, None takes one back.

    Parameters
    ----------
    connection : Connection
        Inside a transaction.
    label : str
    given : dict
        By the names of `Catalogue`.

    Raises
    ------
    PhotdbError
        There is no such source, or a magnitude would be without its band, or a band or an error without magnitude, or
        the band is no name.
    """
    id_ = source_id(connection, label)
    if "mag" in given and given["mag"] is None:  # with it goes what belongs to it
        given = {"mag_err": None, "band": None, **given}
    band = given.get("band")
    if band is not None and not (band.isprintable() and band == band.strip() and 0 < len(band) <= _LONGEST_BAND):
        raise PhotdbError(
            f"{label}: --band {named(band)}: a band has 1 to {_LONGEST_BAND} characters that can be printed, such as V"
        )
    if given:
        update_row(connection, "source", id_, {_COLUMNS[name]: value for name, value in given.items()})
    now = read_catalogue(connection)[id_]
    if now.mag is not None and now.band is None:
        raise PhotdbError(f"{label}: a magnitude needs its band: --mag {now.mag:g} --band V")
    if now.mag is None and (now.mag_err is not None or now.band is not None):
        raise PhotdbError(f"{label}: --mag-err and --band belong to a magnitude: give --mag, or `none` for these too")
