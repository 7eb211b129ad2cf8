"""PEP 249 over a Session: `execute` is `Query.run`, and spends; everything else is free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from dpquery import session as sessions
from dpquery.errors import UsageError
from dpquery.faces.facts import Facts
from dpquery.tools import dbapi_errors
from dpquery.tools.answers import Answered, Description, probed, released, told
from dpquery.tools.dbapi_errors import InterfaceError, NotSupportedError, ProgrammingError, translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dpquery.preview import Preview
    from dpquery.release import Release
    from dpquery.session import Query, Session


def connect(
    folder: str | Path,
    *,
    analyst: str,
    purpose: str,
    epsilon: float | None = None,
    within: float | None = None,
) -> Connection:
    """A connection to the store at `folder`, as `analyst` and for `purpose`. Reads the policy, no rows; spends nothing.

    Each new answer costs `epsilon` (the policy's default if None), or the least epsilon whose 95 % intervals reach at
    most `within`. Raises an Error where `dpquery.connect` raises a DpqueryError.
    """
    if epsilon is not None and within is not None:
        raise InterfaceError("DPQ-002", "give epsilon or within, not both", fix="leave one out")
    with translated():
        return Connection(sessions.connect(folder, analyst=analyst, purpose=purpose), epsilon=epsilon, within=within)


def named_parameters(parameters: Mapping[str, Any] | Sequence[Any] | None) -> Mapping[str, Any]:
    """Parameters as a mapping; ProgrammingError for values without names."""
    if isinstance(parameters, Mapping):
        return parameters
    if parameters:
        raise ProgrammingError(
            "DPQ-002", "parameters are a mapping of names to values", fix='execute("... = :name", {"name": 1})'
        )
    return {}


class Connection:
    """One session, and the price of each new answer. There are no transactions: a charge is final."""

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

    def __init__(self, session: Session, *, epsilon: float | None = None, within: float | None = None) -> None:
        self._session = session
        self._closed = False
        session.begin_with(replace(session.settings, epsilon=epsilon, within=within))

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<dpquery connection to {self._session.store.folder}, {state}; .cursor().execute(...) spends>"

    @property
    def session(self) -> Session:
        """The session behind this connection; InterfaceError once it is closed."""
        if self._closed:
            raise InterfaceError("DPQ-002", "the connection is closed", fix="connect again")
        return self._session

    @property
    def epsilon(self) -> float | None:
        """Price of each new answer; None: `within`, or the policy's default. `SET dp.epsilon` changes it too."""
        return self.session.settings.epsilon

    @epsilon.setter
    def epsilon(self, epsilon: float | None) -> None:
        self.session.settings = replace(self.session.settings, epsilon=epsilon)

    @property
    def within(self) -> float | None:
        """Instead of a price: the reach that intervals are to have."""
        return self.session.settings.within

    @within.setter
    def within(self, within: float | None) -> None:
        self.session.settings = replace(self.session.settings, within=within)

    def reset(self) -> None:
        """Undo every SET, so that whoever gets this connection from a pool next finds it as it was made."""
        self.session.reset()

    def cursor(self) -> Cursor:
        """A cursor; free."""
        self._check_open()
        return Cursor(self)

    def commit(self) -> None:
        """Do nothing: a charge is final as soon as it is made."""
        self._check_open()

    def rollback(self) -> None:
        """Do nothing: nobody can take a charge back."""
        self._check_open()

    def close(self) -> None:
        """Let go of the ledger. The connection and its cursors cannot be used any more."""
        self._closed = True
        self._session.close()

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def statement(self, operation: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None) -> Query | Facts:
        """The query that `operation` is, checked, or the answer to a statement that is none; free."""
        named = named_parameters(parameters)
        with translated():
            return self.session.statement(operation, params=named or None)

    def _check_open(self) -> None:
        """InterfaceError if the connection is closed."""
        _ = self.session


class Cursor:
    """One answer at a time. `execute` spends, unless the same question was answered before; fetching is free."""

    arraysize = 1
    """Rows that `fetchmany` gives if it is not told how many."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._closed = False
        self._result: Answered | None = None
        self._next = 0

    @property
    def connection(self) -> Connection:
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
        found = self._connection.statement(operation, parameters)
        with translated():
            if not isinstance(found, Facts):
                return found.preview()
            if found.preview is None:
                raise UsageError("DPQ-002", "this statement is free, and has no preview", fix="execute it")
            return found.preview

    def execute(self, operation: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None) -> Self:
        """Charge the connection's epsilon and answer, or hand out the stored answer to the same question for free.

        Raises an Error, with nothing spent, if the query is refused or a budget does not allow it.
        """
        self._check_open()
        # What an earlier query said must not be read as the answer to a refused one.
        self._result, self._next = None, 0
        if isinstance(operation, str):
            with translated():
                self._result = probed(operation, named_parameters(parameters), self._connection.session)
        if self._result is not None:
            return self
        found = self._connection.statement(operation, parameters)
        with translated():
            self._result = told(found) if isinstance(found, Facts) else released(found.run())
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
        _ = self._connection.session
