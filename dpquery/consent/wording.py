"""The words beside a statement: short, and never a number, since the registry must hold none."""

from __future__ import annotations

import re
from typing import Final

LENGTH_MAX: Final = 100

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_NUMBER = re.compile(r"(?:\d[\s().\-/]*){7}")


def fault_of(word: str) -> str | None:
    """What is wrong with a source, a method, a basis or the version of a notice; None if nothing is."""
    if not 0 < len(word) <= LENGTH_MAX or not word.isprintable():
        return f"is not one line of 1 to {LENGTH_MAX} printable characters"
    if _NUMBER.search(_DATE.sub("", word)):
        return "looks like a telephone number, which the registry never holds"
    return None
