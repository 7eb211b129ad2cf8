"""`python -m dpquery.tools.answering`: one connection for the program that started it, asked over stdin and stdout.

It is the other end of dpquery.tools.other_python. Each line asks for one thing, and gets one line back; it ends when
stdin does. It has the rights of who started it, and opens nothing to anybody else.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from dpquery import dbapi
from dpquery.tools.dbapi_errors import Error, InterfaceError
from dpquery.tools.lines import error_fields, line_of, message_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def replies(lines: Iterable[str]) -> Iterator[str]:
    """A reply to each line: {"done": ...}, or {"error": ...} with what the connection raised."""
    connection: dbapi.Connection | None = None
    try:
        for line in lines:
            request = message_of(line)
            try:
                if connection is None:
                    connection = _connected(request)
                    done: Any = None
                else:
                    done = _done(connection, request)
            except Error as error:
                yield line_of({"error": error_fields(error)})
            else:
                yield line_of({"done": done})
    finally:
        if connection is not None:
            connection.close()


def _connected(request: dict[str, Any]) -> dbapi.Connection:
    if request["version"] != version("dpquery"):
        there = version("dpquery")
        raise InterfaceError(
            "DPQ-002",
            f"dpquery is {request['version']} here, and {there} in the Python that asks the store",
            fix="install the same version for both",
        )
    return dbapi.connect(**request["connect"])


def _done(connection: dbapi.Connection, request: dict[str, Any]) -> Any:
    match request["ask"]:
        case "answer":
            found = connection.answer(request["operation"], request["parameters"])
            return {"columns": [column[:2] for column in found.description], "rows": found.rows}
        case "tables":
            return [table.model_dump() for table in connection.tables().values()]
        case "reset":
            return connection.reset()
        case other:
            raise ValueError(other)


def main() -> None:
    # What anything else prints would be read as a reply.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for reply in replies(sys.stdin):
        out.write(reply)
        out.flush()


if __name__ == "__main__":
    main()
