"""Deaths at a chosen statement of a transaction: before it, after it, or at COMMIT."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from unittest import mock

from sqlalchemy import Engine, event
from sqlalchemy.engine.default import DefaultDialect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Ending = Literal["interrupt", "drop", "kill"]
ENDINGS: tuple[Ending, ...] = ("interrupt", "drop", "kill")
"""How a writer ends. interrupt: an exception that nobody catches on the way, after which the process lives on. drop:
its connection is gone. kill: every process is gone, and all that is left is what the store holds at that moment."""


class Died(BaseException):
    """Not an Exception: nothing on the way may catch it."""


@dataclass(slots=True)
class Crash:
    """One death, `at` so many points from the start; each statement has a point before it and one after it."""

    at: int | None
    """None: never; then the points are only counted."""
    ending: Ending
    at_death: Callable[[], None]
    """Called at the moment of a kill."""
    points: list[str] = field(default_factory=list)
    fired: str | None = None
    """The point where it died."""

    def point(self, name: str, connection: Any, cursor: Any = None) -> None:
        if self.fired is not None:
            return  # the rollback of what is dead already
        self.points.append(name)
        if self.at is None or len(self.points) <= self.at:
            return
        self.fired = name
        if self.ending == "drop":
            if cursor is not None:
                cursor.close()
            connection.close()
        elif self.ending == "kill":
            self.at_death()
        raise Died

    @property
    def committed(self) -> bool:
        """Whether it died once its transaction was committed."""
        return self.fired == "after COMMIT"


@contextmanager
def crashing(crash: Crash) -> Iterator[Crash]:
    """A block whose statements, in any connection, are the points of `crash`."""

    def before(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        crash.point(f"before {statement}", connection.connection.dbapi_connection, cursor)

    def after(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        crash.point(f"after {statement}", connection.connection.dbapi_connection, cursor)

    commit: Callable[[DefaultDialect, Any], None] = DefaultDialect.do_commit

    def do_commit(self: DefaultDialect, connection: Any) -> None:
        crash.point("before COMMIT", connection.dbapi_connection)
        commit(self, connection)
        crash.point("after COMMIT", connection.dbapi_connection)

    event.listen(Engine, "before_cursor_execute", before)
    event.listen(Engine, "after_cursor_execute", after)
    try:
        with mock.patch.object(DefaultDialect, "do_commit", do_commit):
            yield crash
    finally:
        event.remove(Engine, "before_cursor_execute", before)
        event.remove(Engine, "after_cursor_execute", after)
