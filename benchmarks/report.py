"""What is shown and written: a line per work and system, the machine, and where the time goes."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

WIDTH_MIN = 160
"""Columns of text; a table that is cut says nothing."""


@dataclass(frozen=True, slots=True)
class Line:
    """One measured thing. None: not measured, or it has no meaning here."""

    work: str
    rows: int
    system: str
    seconds: float
    """Wall time, median of the repeats; without the ledger's writes, which have a line of their own."""
    ratio: float | None = None
    """`seconds` over those of the plain query in the same run."""
    reach: float | None = None
    """The largest ratio that is good enough."""
    error: float | None = None
    """Mean relative error over cells, against the plain query."""
    rss_mb: float | None = None
    """Peak resident memory in MB (10^6 bytes) of a process that did only this."""


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Seconds of each step of one system's answers."""

    work: str
    system: str
    steps: Mapping[str, float]


def machine() -> str:
    """Cores, memory and versions, in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    packages = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "opendp", "numba", "numpy", "dpquery"))
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores (load {load:.1f}), {memory:.0f} GB, python {platform.python_version()}, {packages}"


def show(lines: Sequence[Line], breakdowns: Sequence[Breakdown], notes: Sequence[str]) -> None:
    """Print the tables."""
    console = Console()
    if console.width < WIDTH_MIN:
        console = Console(width=WIDTH_MIN)
    console.print(machine(), highlight=False, soft_wrap=True)
    console.print(_results(lines))
    if breakdowns:
        console.print(_steps(breakdowns))
    for note in notes:
        console.print(note, highlight=False, soft_wrap=True)


def write(path: Path, lines: Sequence[Line]) -> None:
    """Write the lines as a JSON list of objects."""
    path.write_text(json.dumps([asdict(line) for line in lines], indent=1) + "\n", encoding="utf-8")


def _results(lines: Sequence[Line]) -> Table:
    table = Table(title="dpquery beside the plain query")
    for name in ("work", "rows", "system"):
        table.add_column(name, justify="right" if name == "rows" else "left")
    for name in ("seconds", "ratio to plain", "reach", "error", "peak RSS MB"):
        table.add_column(name, justify="right")
    for line in lines:
        table.add_row(
            line.work,
            f"{line.rows:,}",
            line.system,
            f"{line.seconds:.4f}" if line.seconds < 10 else f"{line.seconds:.1f}",
            _text(line.ratio, "{:.2f}x"),
            _text(line.reach, "<= {:g}x"),
            _text(line.error, "{:.2%}"),
            _text(line.rss_mb, "{:,.0f}"),
        )
    return table


def _steps(breakdowns: Sequence[Breakdown]) -> Table:
    table = Table(title="Milliseconds of each step, measured by itself")
    for name in ("work", "system"):
        table.add_column(name)
    for name in breakdowns[0].steps:
        table.add_column(name, justify="right")
    for each in breakdowns:
        table.add_row(each.work, each.system, *(f"{1000 * seconds:.1f}" for seconds in each.steps.values()))
    return table


def _text(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)
