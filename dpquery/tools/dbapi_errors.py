"""Exceptions of PEP 249 that are dpquery's own errors as well.

Error                   a DpqueryError: code, why, fix, where
    InterfaceError      the connection or the cursor is used wrongly
    DatabaseError
        ProgrammingError    PolicyError QueryRefused UsageError
        OperationalError    BudgetRefused EngineError LedgerError NotAllowed StoreError
        NotSupportedError   what would spend without being asked to
        IntegrityError      never raised: nothing is written
        DataError           is the DataError of dpquery.errors
        InternalError       is the InternalError of dpquery.errors

Who catches PEP 249's ProgrammingError, and who catches `dpquery.errors.QueryRefused`, both catch a refused query.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from dpquery import errors
from dpquery.errors import DpqueryError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Warning(Exception):  # noqa: A001 - PEP 249 names it so
    """PEP 249's Warning; never raised."""


class Error(DpqueryError):
    """Any error that leaves a connection or a cursor."""


class InterfaceError(Error):
    exit_status = 2
    spends_nothing = True


class DatabaseError(Error):
    pass


class ProgrammingError(DatabaseError):
    exit_status = 2
    spends_nothing = True


class OperationalError(DatabaseError):
    pass


class NotSupportedError(DatabaseError):
    exit_status = 2
    spends_nothing = True


class IntegrityError(DatabaseError):
    pass


class DataError(DatabaseError, errors.DataError):
    pass


class InternalError(DatabaseError, errors.InternalError):
    pass


class UsageError(ProgrammingError, errors.UsageError):
    pass


class PolicyError(ProgrammingError, errors.PolicyError):
    pass


class QueryRefused(ProgrammingError, errors.QueryRefused):
    exit_status = errors.QueryRefused.exit_status


class BudgetRefused(OperationalError, errors.BudgetRefused):
    pass


class StoreError(OperationalError, errors.StoreError):
    pass


class NotAllowed(OperationalError, errors.NotAllowed):
    pass


class EngineError(OperationalError, errors.EngineError):
    pass


class LedgerError(OperationalError, errors.LedgerError):
    pass


KINDS: dict[type[DpqueryError], type[Error]] = {
    errors.UsageError: UsageError,
    errors.PolicyError: PolicyError,
    errors.QueryRefused: QueryRefused,
    errors.BudgetRefused: BudgetRefused,
    errors.DataError: DataError,
    errors.StoreError: StoreError,
    errors.NotAllowed: NotAllowed,
    errors.EngineError: EngineError,
    errors.LedgerError: LedgerError,
    errors.InternalError: InternalError,
}
"""Each kind of error with the one that is also PEP 249's."""


@contextmanager
def translated() -> Iterator[None]:
    """Let dpquery's errors out as PEP 249's: the same code and text, with the original as cause."""
    try:
        yield
    except Error:
        raise
    except DpqueryError as error:
        raise _as_error(error) from error


def _as_error(error: DpqueryError) -> Error:
    kind = next((kind for origin, kind in KINDS.items() if isinstance(error, origin)), DatabaseError)
    made = kind(error.code, error.why, fix=error.fix, where=error.where, source=error.source)
    made.spent = error.spent
    return made
