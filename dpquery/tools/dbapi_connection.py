"""PEP 249 over a Session: `execute` is `Query.run`, and spends; everything else is free."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dpquery import session as sessions
from dpquery.errors import UsageError
from dpquery.faces.facts import Facts
from dpquery.tools.answers import askable_tables, probed, released, told, without_rows
from dpquery.tools.dbapi_errors import InterfaceError, translated
from dpquery.tools.dbapi_objects import AnyConnection

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dpquery.documents import TableEntry
    from dpquery.preview import Preview
    from dpquery.session import Query, Session
    from dpquery.tools.answered import Answered


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


class Connection(AnyConnection):
    """One session, and the price of each new answer."""

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
        self.session.reset()

    def close(self) -> None:
        self._closed = True
        self._session.close()

    def check_open(self) -> None:
        _ = self.session

    def tables(self) -> Mapping[str, TableEntry]:
        return askable_tables(self.session)

    def preview(self, operation: str, parameters: Mapping[str, Any]) -> Preview:
        found = self._statement(operation, parameters)
        with translated():
            if not isinstance(found, Facts):
                return found.preview()
            if found.preview is None:
                raise UsageError("DPQ-002", "this statement is free, and has no preview", fix="execute it")
            return found.preview

    def answer(self, operation: str, parameters: Mapping[str, Any]) -> Answered:
        if isinstance(operation, str):
            with translated():
                known = probed(operation, parameters, self.session)
            if known is not None:
                return known
        found = self._statement(operation, parameters)
        with translated():
            if isinstance(found, Facts):
                return told(found)
            return without_rows(found.preview()) if found.logical.limit == 0 else released(found.run())

    def _statement(self, operation: str, parameters: Mapping[str, Any]) -> Query | Facts:
        """The query that `operation` is, checked, or the answer to a statement that is none; free."""
        with translated():
            return self.session.statement(operation, params=parameters or None)
