"""Writes the demo's tables: made-up calls of made-up people, as an operator would deliver them.

The people, the organisation and the calls are invented. Numbers are drawn at random in ranges that are in use, since
they must pass for real ones: that one of them is somebody's line is chance, and means nothing.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dpquery.demo import tables
from dpquery.demo.calls import BLOCK_ROWS, SCHEMA, Caller, build_caller
from dpquery.demo.population import build_people
from dpquery.demo.spellings import build_directory
from dpquery.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

PEOPLE_MIN = 200
PEOPLE_MAX = 100_000
ROWS_MAX = 1_000_000_000
_WORKERS = 2


@dataclass(frozen=True, slots=True)
class DemoFiles:
    """Where each table was written."""

    calls: Path
    subscribers: Path
    consents: Path
    dnc: Path
    complaints: Path
    campaigns: Path
    cells: Path

    @property
    def by_table(self) -> Mapping[str, Path]:
        """Table names and files; public tables first, since they hold keys of the others."""
        names = ("campaigns", "cells", "subscribers", "consents", "dnc", "complaints", "calls")
        return {name: getattr(self, name) for name in names}


def people_for(rows: int) -> int:
    """How many people make and receive this many calls."""
    return min(PEOPLE_MAX, max(PEOPLE_MIN, rows // 10))


def generate(
    folder: Path,
    *,
    rows: int = 1_000_000,
    seed: int = 2026,
    chunk_rows: int = 500_000,
    progress: Callable[[int], None] | None = None,
) -> DemoFiles:
    """Write every table into `folder`; calls has exactly `rows` rows.

    The same rows and seed give the same tables, whatever `chunk_rows`, which bounds the memory used and the size
    of Parquet row groups. `progress` hears how many rows of calls have been written so far.
    """
    _check(rows, seed, chunk_rows)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, 0])
    people = build_people(rng, people_for(rows))
    directory = build_directory(rng, people.areas, people.locals)
    files = DemoFiles(**{name: folder / f"{name}.parquet" for name in DemoFiles.__slots__})
    others = {
        files.subscribers: tables.subscribers(rng, people, directory),
        files.consents: tables.consents(rng, people, directory),
        files.dnc: tables.dnc(rng, people, directory),
        files.complaints: tables.complaints(rng, people, directory),
        files.campaigns: tables.campaigns(),
        files.cells: tables.cells(),
    }
    for path, table in others.items():
        pq.write_table(table, path, compression="zstd")
    _write_calls(files.calls, build_caller(rows, seed, people, directory), chunk_rows, progress)
    return files


def _check(rows: int, seed: int, chunk_rows: int) -> None:
    if not 1 <= rows <= ROWS_MAX:
        raise UsageError("DPQ-002", f"rows must lie between 1 and {ROWS_MAX:,}", fix="--rows 1_000_000")
    if seed < 0:
        raise UsageError("DPQ-002", "the seed must not be negative", fix="--seed 2026")
    if chunk_rows < 1:
        raise UsageError("DPQ-002", "chunk_rows must be at least 1", fix="chunk_rows=500_000")


def _write_calls(path: Path, caller: Caller, chunk_rows: int, progress: Callable[[int], None] | None) -> None:
    written = 0
    with pq.ParquetWriter(path, SCHEMA, compression="zstd", compression_level=1) as writer:
        for chunk in _chunks(_blocks(caller), chunk_rows):
            writer.write_table(chunk, row_group_size=chunk_rows)
            written += len(chunk)
            if progress is not None:
                progress(written)


def _blocks(caller: Caller) -> Iterator[Any]:
    """Every block in order, a few of them being drawn ahead."""
    count = -(-caller.rows // BLOCK_ROWS)
    with ThreadPoolExecutor(_WORKERS) as pool:
        ahead = deque(pool.submit(caller.block, number) for number in range(min(_WORKERS + 1, count)))
        for number in range(len(ahead), count + len(ahead)):
            block = ahead.popleft().result()
            if number < count:
                ahead.append(pool.submit(caller.block, number))
            yield block


def _chunks(blocks: Iterator[Any], chunk_rows: int) -> Iterator[Any]:
    """The same rows in tables of exactly `chunk_rows`, and a last one with the rest."""
    held: list[Any] = []
    size = 0
    for block in blocks:
        held.append(block)
        size += len(block)
        while size >= chunk_rows:
            table = pa.concat_tables(held)
            yield table.slice(0, chunk_rows)
            held = [table.slice(chunk_rows)]
            size -= chunk_rows
    if size:
        yield pa.concat_tables(held)
