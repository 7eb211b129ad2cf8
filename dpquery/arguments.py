"""Checks of what public calls are given: Python passes anything, and what does not fit is a UsageError at once."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from decimal import Decimal
from numbers import Real
from pathlib import Path
from typing import Any

from dpquery.errors import UsageError

TEXT_LENGTH_MAX = 256
"""Of names and request ids."""


def text(value: object, name: str, *, example: str) -> str:
    """`value`, if it is text; `example` is what to write instead."""
    if not isinstance(value, str):
        raise UsageError("DPQ-002", f"{name} is text, not {_kind(value)}", fix=example)
    return str(value)


def identifier(value: object, name: str, *, example: str) -> str:
    """`value`, if it is text that is not empty, not long, and can be written down as UTF-8."""
    given = text(value, name, example=example)
    if not 0 < len(given) <= TEXT_LENGTH_MAX or not given.isprintable():
        raise UsageError("DPQ-002", f"{name} is one line of 1 to {TEXT_LENGTH_MAX} printable characters", fix=example)
    return given


def number(value: object, name: str, *, example: str) -> float:
    """`value` as a float, if it is a real number that one can hold; it may not be finite."""
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        raise UsageError("DPQ-002", f"{name} is a number, not {_kind(value)}", fix=example)
    try:
        return float(value)
    except (OverflowError, ValueError):  # whole numbers beyond any float; a signalling NaN
        return math.nan


def finite(value: object, name: str, *, example: str) -> float:
    """`value` as a finite float."""
    given = number(value, name, example=example)
    if not math.isfinite(given):
        raise UsageError("DPQ-002", f"{name} is a finite number", fix=example)
    return given


def whole(value: object, name: str, *, example: str) -> int:
    """`value`, if it is a whole number."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise UsageError("DPQ-002", f"{name} is a whole number, not {_kind(value)}", fix=example)
    try:
        return int(value)
    except TypeError:  # an array of several
        raise UsageError("DPQ-002", f"{name} is one whole number", fix=example) from None


def flag(value: object, name: str) -> bool:
    """`value`, if it is True or False."""
    if not isinstance(value, bool):
        raise UsageError("DPQ-002", f"{name} is True or False", fix=f"{name}=True")
    return value


def mapping(value: object, name: str, *, example: str) -> Mapping[Any, Any]:
    """`value`, if it is a dict or the like."""
    if not isinstance(value, Mapping):
        raise UsageError("DPQ-002", f"{name} is a dict, not {_kind(value)}", fix=example)
    return value


def path(value: object, name: str, *, example: str) -> Path:
    """`value` as a path that the system could have."""
    if not isinstance(value, str | os.PathLike):
        raise UsageError("DPQ-002", f"{name} is a path, not {_kind(value)}", fix=example)
    given = os.fspath(value)
    try:
        possible = isinstance(given, str) and b"\0" not in os.fsencode(given)
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise UsageError("DPQ-002", f"{name} holds what no path can", fix=example)
    found = Path(given)
    try:
        found.exists()
    except OSError as error:
        raise UsageError("DPQ-002", f"{name} is no path here ({error.strerror})", fix=example) from None
    return found


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
