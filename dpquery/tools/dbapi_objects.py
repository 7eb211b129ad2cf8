"""Connections and cursors of PEP 249, wherever the session is: `execute` spends, everything else is free.

They load neither engine nor ledger, so that a program may use them whose own libraries are too old for those.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from dpquery.tools import dbapi_errors
from dpquery.tools.dbapi_errors import InterfaceError, NotSupportedError, ProgrammingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dpquery.documents import TableEntry
    from dpquery.preview import Preview
    from dpquery.release import Release
    from dpquery.tools.answered import Answered, Description


def named_parameters(parameters: Mapping[str, Any] | Sequence[Any] | None) -> Mapping[str, Any]:
    """Parameters as a mapping; ProgrammingError for values without names."""
    if isinstance(parameters, Mapping):
        return parameters
    if parameters:
        raise ProgrammingError(
            "DPQ-002", "parameters are a mapping of names to values", fix='execute("... = :name", {"name": 1})'
        )
    return {}


class AnyConnection(ABC):
    """What every connection is. There are no transactions: a charge is final."""

    Warning = dbapi_errors.Warning
    Error = dbapi_errors.Error
    InterfaceError = dbapi_errors.InterfaceError
    DatabaseError = dbapi_errors.DatabaseError
    DataError = dbapi_errors.DataError
    OperationalError = dbapi_errors.OperationalError
    IntegrityError = dbapi_errors.IntegrityError
    InternalError = dbapi_errors.InternalError
    ProgrammingError = dbapi_errors.ProgrammingError
    NotSupportedError = dbapi_errors.NotSupportedError

    @abstractmethod
    def answer(self, operation: str, parameters: Mapping[str, Any]) -> Answered:
        """The answer to a statement; may spend. Raises an Error if there is none."""

    @abstractmethod
    def preview(self, operation: str, parameters: Mapping[str, Any]) -> Preview:
        """What `answer` would cost; free."""

    @abstractmethod
    def tables(self) -> Mapping[str, TableEntry]:
        """The tables that this connection may ask, by name; free."""

    @abstractmethod
    def reset(self) -> None:
        """Undo every SET, so that whoever gets this connection from a pool next finds it as it was made."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the store. The connection and its cursors cannot be used any more."""

    @abstractmethod
    def check_open(self) -> None:
        """InterfaceError if the connection is closed."""

    def cursor(self) -> Cursor:
        """A cursor; free."""
        self.check_open()
        return Cursor(self)

    def commit(self) -> None:
        """Do nothing: a charge is final as soon as it is made."""
        self.check_open()

    def rollback(self) -> None:
        """Do nothing: nobody can take a charge back."""
        self.check_open()

    def __enter__(self) -> Self:
        self.check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Cursor:
    """One answer at a time. `execute` spends, unless the same question was answered before; fetching is free."""

    arraysize = 1
    """Rows that `fetchmany` gives if it is not told how many."""

    def __init__(self, connection: AnyConnection) -> None:
        self._connection = connection
        self._closed = False
        self._result: Answered | None = None
        self._next = 0

    @property
    def connection(self) -> AnyConnection:
        return self._connection

    @property
    def release(self) -> Release | None:
        """The last answer with its intervals, price and promise; None before `execute`, and for what spent nothing."""
        return None if self._result is None else self._result.release

    @property
    def description(self) -> tuple[Description, ...] | None:
        """The columns of the last answer: those that were selected, and no others. None before `execute`."""
        return None if self._result is None else self._result.description

    @property
    def rowcount(self) -> int:
        """Rows of the last answer; -1 before `execute`."""
        return -1 if self._result is None else len(self._result.rows)

    @property
    def rownumber(self) -> int | None:
        """Place of the next row, from 0."""
        return None if self._result is None else self._next

    def preview(self, operation: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None) -> Preview:
        """What `execute` would cost, and how good its answer would be. Free, and reads no rows."""
        self._check_open()
        return self._connection.preview(operation, named_parameters(parameters))

    def execute(self, operation: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None) -> Self:
        """Charge the connection's epsilon and answer, or hand out the stored answer to the same question for free.

        Raises an Error, with nothing spent, if the query is refused or a budget does not allow it.
        """
        self._check_open()
        # What an earlier query said must not be read as the answer to a refused one.
        self._result, self._next = None, 0
        self._result = self._connection.answer(operation, named_parameters(parameters))
        return self

    def executemany(self, operation: str, parameters: Sequence[Mapping[str, Any]]) -> None:
        """Refused, always: each set of parameters would be a release of its own."""
        del operation, parameters
        raise NotSupportedError(
            "DPQ-002", "executemany would spend once for each set of parameters", fix="execute them one by one"
        )

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, or None after the last."""
        rows = self.fetchmany(1)
        return rows[0] if rows else None

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """The next `size` rows (`arraysize` if None), or as many as are left."""
        count = self.arraysize if size is None else size
        if count < 0:
            raise ProgrammingError("DPQ-002", "a number of rows is not negative", fix="fetchall()")
        rows = self._rows()[self._next : self._next + count]
        self._next += len(rows)
        return list(rows)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rows that are left."""
        return self.fetchmany(len(self._rows()))

    def setinputsizes(self, sizes: Sequence[Any]) -> None:
        """Do nothing; PEP 249 allows that."""

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Do nothing; PEP 249 allows that."""

    def close(self) -> None:
        """Forget the answer. The cursor cannot be used any more."""
        self._closed = True
        self._result = None

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self

    def __next__(self) -> tuple[Any, ...]:
        row = self.fetchone()
        if row is None:
            raise StopIteration
        return row

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _rows(self) -> tuple[tuple[Any, ...], ...]:
        self._check_open()
        if self._result is None:
            raise ProgrammingError("DPQ-002", "there is no answer to fetch from", fix="execute a query first")
        return self._result.rows

    def _check_open(self) -> None:
        """InterfaceError if the cursor or its connection is closed."""
        if self._closed:
            raise InterfaceError("DPQ-002", "the cursor is closed", fix="take another: connection.cursor()")
        self._connection.check_open()
