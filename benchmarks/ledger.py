"""What a charge costs beside the durable write that it needs: `python -m benchmarks.ledger [--entries N] [--dir D]`.

Charges and bare transactions run by turns in one process, on the same disk, with the same SQLite settings. A bare
transaction writes as many rows as a charge does, in tables of the same columns, with none of the ledger's checks.
"""

from __future__ import annotations

import argparse
import itertools
import sqlite3
import statistics
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import machine
from dpquery.accounting import Cap, Loss
from dpquery.ledger import ChargeRequest, Grant, Ledger, Scope, make_steward_key
from dpquery.ledger.schema import balances, charged_pairs, charges, entries, head, requests
from dpquery.ledger.sqlite import journal_of, sqlite_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Table

    from dpquery.ledger.canonical import Json

SCOPES = (Scope("dataset"), Scope("analyst", "ana"), Scope("group", "g"), Scope("purpose", "p"))
BLOCKS = ("2026-01", "2026-02", "2026-03")
PAIRS = tuple((scope, block) for scope in SCOPES for block in BLOCKS)
"""A quarter by month, four scopes: what a charge usually pays."""
ROWS = {entries: 1, charges: 1, requests: 1, charged_pairs: len(PAIRS), head: 1, balances: len(PAIRS)}
"""What one charge writes, by table; the last two are updated, the others grow."""
TURNS = 60
MILLISECONDS = 1000.0


@dataclass(frozen=True, slots=True)
class Times:
    """Medians in seconds."""

    entries: int
    bare: float
    charge: float
    first: float
    """A charge by a process that has just opened the ledger, opening included."""

    least_more: float
    """The quickest charge less the quickest bare write: what no other program's load is in."""

    @property
    def ratio(self) -> float:
        return self.charge / self.bare

    @property
    def more(self) -> float:
        return self.charge - self.bare

    @property
    def reading(self) -> float:
        """Seconds that the first charge takes for each entry before it."""
        return max(0.0, self.first - self.charge) / self.entries


def main() -> None:
    """Measure an empty ledger and a long one, and print both."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger", description=__doc__)
    parser.add_argument("--entries", type=int, default=20_000, help="entries of the long ledger")
    parser.add_argument("--dir", type=Path, help="folder on the disk to measure")
    options = parser.parse_args()
    print(machine())
    print(f"SQLite {sqlite3.sqlite_version}, journal {journal_of(sqlite_version())}, {len(PAIRS)} scopes and blocks")
    for count in (0, options.entries):
        with tempfile.TemporaryDirectory(prefix="dpquery-ledger-", dir=options.dir) as folder:
            found = measure(Path(folder), count)
        print(
            f"{found.entries:>7,} entries: bare write {found.bare * MILLISECONDS:.2f} ms,"
            f" charge {found.charge * MILLISECONDS:.2f} ms ({found.ratio:.2f}x, {found.more * MILLISECONDS:+.2f} ms),"
            f" first charge {found.first * MILLISECONDS:.1f} ms ({found.reading * 1e6:.1f} us an entry)"
        )


def measure(folder: Path, count: int, turns: int = TURNS) -> Times:
    """Times of a ledger that already has about `count` entries."""
    path = make_ledger(folder, count)
    numbers = itertools.count()
    with Ledger.open(path) as ledger, closing(bare_database(folder / "bare.sqlite")) as bare:
        rows = itertools.count()
        ledger.charge(request(f"warm {next(numbers)}"))
        bare_write(bare, rows)
        taken = [
            (seconds(lambda: bare_write(bare, rows)), seconds(lambda: ledger.charge(request(f"q{next(numbers)}"))))
            for _ in range(turns)
        ]
        held = ledger.head().sequence

    def first() -> None:
        with Ledger.open(path) as opened:
            opened.charge(request(f"first {next(numbers)}"))

    return Times(
        held,
        bare=statistics.median(bare_seconds for bare_seconds, _ in taken),
        charge=statistics.median(charge_seconds for _, charge_seconds in taken),
        first=statistics.median(seconds(first) for _ in range(3)),
        least_more=min(charge_seconds for _, charge_seconds in taken) - min(bare_seconds for bare_seconds, _ in taken),
    )


def request(name: str) -> ChargeRequest:
    """A charge as a query makes it; free, so that no budget ends it."""
    plan: dict[str, Json] = {"canonical": "sha256:" + 64 * "0", "table": "calls", "mechanism": "laplace", "cells": 12}
    return ChargeRequest(name, name, "ana", "p", PAIRS, Loss(0, 0, 0), plan)


def make_ledger(folder: Path, count: int) -> Path:
    """A ledger with about `count` entries, charges and their releases by turns."""
    make_steward_key(folder / "key")
    path = folder / "ledger.sqlite"
    grants = [Grant(scope, "*", Cap(1, 0, 0, 0, 0), "benchmark", "steward") for scope in SCOPES]
    with Ledger.create(path, dataset="benchmark", steward_key=folder / "key", grants=grants) as ledger:
        for number in range(count // 2):
            ledger.record(ledger.charge(request(f"before {number}")), b"answer")
    return path


def bare_database(path: Path) -> sqlite3.Connection:
    """Tables of the ledger's columns without its checks, in a file with the ledger's settings."""
    journal, synchronous = journal_of(sqlite_version())
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode = {journal}")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    for table in ROWS:
        columns = ", ".join(column.name for column in table.columns)
        connection.execute(f"CREATE TABLE {table.name} (id INTEGER PRIMARY KEY, {columns})")
    return connection


def bare_write(connection: sqlite3.Connection, numbers: Iterator[int]) -> None:
    """One durable transaction with as many rows as a charge writes."""
    number = next(numbers)
    connection.execute("BEGIN IMMEDIATE")
    for table, count in ROWS.items():
        for row in range(count):
            _write_row(connection, table, row if table in {head, balances} else number * count + row)
    connection.execute("COMMIT")


def _write_row(connection: sqlite3.Connection, table: Table, key: int) -> None:
    text = f"{key:064}"
    values = [400 * "x" if column.name == "body" else text for column in table.columns]
    marks = ", ".join("?" for _ in values)
    connection.execute(f"INSERT OR REPLACE INTO {table.name} VALUES (?, {marks})", [key, *values])


def seconds(act: Callable[[], object]) -> float:
    """How long `act` takes."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
