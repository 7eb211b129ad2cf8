"""Requests and replies between two Pythons: one JSON object per line, with dates and errors as they were."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from dpquery.errors import Span
from dpquery.tools import dbapi_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from dpquery.tools.dbapi_errors import Error

_TYPES: dict[str, Callable[[str], Any]] = {
    "timestamp": datetime.fromisoformat,
    "date": date.fromisoformat,
    "decimal": Decimal,
}


def line_of(message: dict[str, Any]) -> str:
    """One line, with its end; TypeError for a value that has no form in it."""
    return json.dumps(message, default=_tagged, separators=(",", ":")) + "\n"


def message_of(line: str) -> dict[str, Any]:
    """What `line_of` was given, with lists for tuples."""
    found: dict[str, Any] = json.loads(line, object_hook=_untagged)
    return found


def _tagged(value: object) -> dict[str, str]:
    match value:
        case datetime():
            return {"\0": "timestamp", "text": value.isoformat()}
        case date():
            return {"\0": "date", "text": value.isoformat()}
        case Decimal():
            return {"\0": "decimal", "text": str(value)}
    raise TypeError(type(value).__name__)


def _untagged(found: dict[str, Any]) -> Any:
    kind = found.get("\0")
    return found if kind is None else _TYPES[kind](found["text"])


def error_fields(error: Error) -> dict[str, Any]:
    """An error's kind and all that it says."""
    where = error.where
    return {
        "kind": type(error).__name__,
        "code": error.code,
        "why": error.why,
        "fix": error.fix,
        "where": None if where is None else [where.line, where.column, where.end],
        "source": error.source,
        "spent": error.spent,
    }


def error_from(fields: dict[str, Any]) -> Error:
    """The error with these fields: the same kind, the same text."""
    kind: type[Error] = getattr(dbapi_errors, fields["kind"])
    where = None if fields["where"] is None else Span(*fields["where"])
    error = kind(fields["code"], fields["why"], fix=fields["fix"], where=where, source=fields["source"])
    error.spent = fields["spent"]
    return error
