"""PEP 249 over another Python: for programs whose own libraries are too old for dpquery's engine and ledger.

The environment variable DPQUERY_PYTHON names that Python, and dpquery is installed there with all it needs. Here it is
installed without (`pip install --no-deps`). It is no option of the URL: whoever may register a database in a program
could then have that program start anything.

Each connection is a process of its own, with this one's rights, that ends when the connection does.
"""

from __future__ import annotations

import os
import subprocess
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NoReturn

from dpquery.documents import TableEntry
from dpquery.tools.answered import Answered, described
from dpquery.tools.dbapi_errors import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,  # noqa: A004 - PEP 249 names it so
)
from dpquery.tools.dbapi_objects import AnyConnection, Cursor
from dpquery.tools.lines import error_from, line_of, message_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dpquery.preview import Preview

apilevel = "2.0"
threadsafety = 1  # threads share the module, not a connection
paramstyle = "named"

PYTHON = "DPQUERY_PYTHON"
"""Environment variable with the Python that asks the store."""

INHERITED = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "SYSTEMROOT", "TMPDIR", "TZ")
"""Environment variables that the process gets, and no others: a program keeps passwords in its own."""

END_SECONDS = 5
"""How long a process that was told to end may take."""

__all__ = [
    "Connection",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "Warning",
    "apilevel",
    "connect",
    "paramstyle",
    "threadsafety",
]


def connect(
    folder: str | Path,
    *,
    analyst: str,
    purpose: str,
    epsilon: float | None = None,
    within: float | None = None,
) -> Connection:
    """As dpquery.dbapi.connect, in the Python that DPQUERY_PYTHON names. InterfaceError if that cannot be started."""
    connection = Connection(os.environ.get(PYTHON, ""))
    named = {"analyst": analyst, "purpose": purpose, "epsilon": epsilon, "within": within}
    try:
        connection.ask({"version": version("dpquery"), "connect": {"folder": str(folder), **named}})
    except BaseException:
        connection.close()
        raise
    return connection


class Connection(AnyConnection):
    """A connection that another Python keeps. Releases and previews stay there; `EXPLAIN PRIVACY` tells the price."""

    def __init__(self, python: str) -> None:
        # -P: what lies in the folder that this program runs in is not imported.
        command = [python, "-P", "-m", "dpquery.tools.answering"]
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        try:
            self._process: subprocess.Popen[str] | None = subprocess.Popen(  # noqa: S603 - named by who runs the program
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8", env=inherited
            )
        except OSError as error:
            raise InterfaceError(
                "DPQ-002", f"the Python that asks the store cannot be started: {error.strerror}", fix=_FIX
            ) from error

    def ask(self, request: dict[str, Any]) -> Any:
        """What the other Python replies; the Error that it had, or OperationalError if it ended."""
        self.check_open()
        assert self._process is not None  # noqa: S101
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: PT018, S101
        line = _line(request)
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
            reply = self._process.stdout.readline()
        except BrokenPipeError:
            reply = ""
        except BaseException:
            # A reply that was not waited for must not be read as the next question's.
            self.close()
            raise
        if not reply:
            self._ended()
        found = message_of(reply)
        if "error" in found:
            raise error_from(found["error"])
        return found["done"]

    def answer(self, operation: str, parameters: Mapping[str, Any]) -> Answered:
        found = self.ask({"ask": "answer", "operation": operation, "parameters": dict(parameters)})
        return Answered(
            tuple(described(name, kind) for name, kind in found["columns"]), tuple(tuple(row) for row in found["rows"])
        )

    def preview(self, operation: str, parameters: Mapping[str, Any]) -> Preview:
        del operation, parameters
        raise NotSupportedError(
            "DPQ-002", "another Python asks the store, and keeps its previews", fix="execute EXPLAIN PRIVACY SELECT ..."
        )

    def tables(self) -> Mapping[str, TableEntry]:
        return {table["name"]: TableEntry.model_validate(table) for table in self.ask({"ask": "tables"})}

    def reset(self) -> None:
        self.ask({"ask": "reset"})

    def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with process:
            assert process.stdin is not None  # noqa: S101
            try:
                process.stdin.close()
                process.wait(END_SECONDS)
            except (OSError, subprocess.TimeoutExpired):
                process.kill()

    def check_open(self) -> None:
        if self._process is None:
            raise InterfaceError("DPQ-002", "the connection is closed", fix="connect again")

    def _ended(self) -> NoReturn:
        self.close()
        raise OperationalError("DPQ-701", "the Python that asks the store ended; its log says why", fix=_FIX)


_FIX = f"{PYTHON}=/path/to/python, one in whose environment dpquery is installed with all it needs"


def _line(request: dict[str, Any]) -> str:
    try:
        return line_of(request)
    except TypeError as error:
        raise ProgrammingError(
            "DPQ-002", f"a parameter of type {error} cannot be passed", fix="text or a number"
        ) from None
