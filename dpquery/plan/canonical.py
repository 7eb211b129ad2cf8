"""One spelling for each question, so that the same question is recognised however it was written."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from datetime import date
from typing import TYPE_CHECKING, Any

from dpquery.errors import broken

if TYPE_CHECKING:
    from collections.abc import Iterable


def canonical(value: object) -> Any:
    """Nested lists, texts and whole numbers that stand for a frozen value: its class, then its compared fields.

    Floats are written as hexadecimal text, so that no rounding makes two questions one.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [f for f in dataclasses.fields(value) if f.compare]
        return [type(value).__name__, *(_field(f.name, getattr(value, f.name)) for f in fields)]
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return ["float", value.hex()]
        case date():
            return ["time", value.isoformat()]
        case tuple():
            return [canonical(item) for item in value]
        case _:
            broken(f"{type(value).__name__} has no canonical form")


CONJUNCTIONS = {"where", "having"}
"""Fields whose conditions must all hold, in whatever order they were written."""


def _field(name: str, value: object) -> Any:
    if name in CONJUNCTIONS and isinstance(value, tuple):
        return in_any_order(value)
    return canonical(value)


def sort_key(value: object) -> str:
    """Text by which canonical forms are ordered."""
    return json.dumps(canonical(value), separators=(",", ":"), ensure_ascii=True)


def in_any_order(values: Iterable[object]) -> list[Any]:
    """Canonical forms of values whose order and repetition mean nothing, sorted."""
    return [json.loads(text) for text in sorted({sort_key(value) for value in values})]


def digest(form: Any) -> str:
    """`sha256:` and the hash of a canonical form."""
    text = json.dumps(form, separators=(",", ":"), ensure_ascii=True, sort_keys=True)
    return "sha256:" + hashlib.sha256(text.encode("ascii")).hexdigest()
