"""The ledger's tables, made and changed by Alembic in steps that never change once they are released.

A step stands in `versions`. Write the next one by hand, after the model of the last, and let `schema` follow: a test
compares what steps make with what `schema` says, in both databases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from dpquery.errors import LedgerError

if TYPE_CHECKING:
    from sqlalchemy import Connection

REVISION = "0001"
"""The last step: what this version of dpquery reads and writes."""

OLDER: tuple[str, ...] = ()
"""Steps before the last: ledgers that `migrate` takes further."""


def revision_of(connection: Connection) -> str | None:
    """The last step that the ledger has taken; None where there is no ledger."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return None if found is None else str(found)


def is_current(connection: Connection) -> bool:
    """Whether the tables are those of this version.

    LedgerError DPQ-801 where no ledger was made, DPQ-804 if the tables are not of an older version either.
    """
    found = revision_of(connection)
    if found == REVISION:
        return True
    if found is None:
        raise LedgerError("DPQ-801", "no ledger has been made there", fix="dpquery init DIR --policy FILE")
    if found not in OLDER:
        known = (
            "no step that this version knows" if found is None else f"step {found}, and this version knows {REVISION}"
        )
        raise LedgerError("DPQ-804", f"the tables of the ledger are of {known}", fix="use the dpquery that wrote it")
    return False


def migrate(connection: Connection) -> None:
    """Take every step that is missing, in the transaction under way."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "dpquery.ledger:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, REVISION)
