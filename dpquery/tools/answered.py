"""The columns and rows that a cursor hands out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dpquery.release import Release

Description = tuple[str, str, None, None, None, None, bool]
"""Name, type code (`string`, `integer`, `number`, `boolean`, `date`, `timestamp`), four unknowns, and whether NULL."""


@dataclass(frozen=True, slots=True)
class Answered:
    """Columns and rows for a cursor, and the release they were taken from, if one was."""

    description: tuple[Description, ...]
    rows: tuple[tuple[Any, ...], ...]
    release: Release | None = None


def described(name: str, kind: str) -> Description:
    return name, kind, None, None, None, None, True
