"""The demo's file of questions that people ask of call data."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = Path(__file__).with_name("queries.toml")


@dataclass(frozen=True, slots=True)
class DemoQuery:
    """One question: its SQL, what owns its rows, and how good its answer is."""

    name: str
    asks: str
    owners: int | str
    """1 or 2 owners per row, or `legs`."""
    sql: str
    params: Mapping[str, Any] = field(default_factory=dict)
    purpose: str = "network_planning"
    """What it is asked for: by the steward where that is a duty."""
    plain: str | None = None
    """The same in DuckDB over the store's own tables, where it is written differently."""
    bounding: str = ""
    error: float = 0.0
    """Relative error at epsilon 1 and 10^6 rows, averaged over the groups of the worst column and over draws."""
    median_error: float = 0.0
    """The same in the median group: what most groups are like where a few small ones make the average large."""
    help: str = ""
    """What would make a poor answer better."""
    instead: str | None = None
    """SQL that does, for the same purpose."""
    instead_plain: str | None = None
    """`instead` in DuckDB, where it must be written differently."""
    instead_error: float | None = None
    """Average relative error of `instead`."""


def demo_queries() -> tuple[DemoQuery, ...]:
    """Every query of the file, in order."""
    listed: list[dict[str, Any]] = tomllib.loads(FILE.read_text(encoding="utf-8"))["query"]
    return tuple(DemoQuery(**entry) for entry in listed)
