"""Sorted rows to Parquet files, one per block."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dpquery.store.manifest import WHOLE_TABLE
from dpquery.store.private_files import make_private_folder, open_private, sync_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROW_GROUP_ROWS = 122_880


class ParquetDraft:
    """One Parquet file, private from its first byte; a context manager, whole after `finish`."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path = path
        self._file: BinaryIO = open_private(path)
        # The Arrow schema is left out: readers see the columns as Parquet has them.
        # Codes and places differ in nearly every row: a dictionary of them overflows, and scans slower than deltas.
        packed = [field.name for field in schema if field.type in {pa.int32(), pa.uint64()}]
        self._writer = pq.ParquetWriter(
            self._file,
            schema,
            compression="zstd",
            store_schema=False,
            use_dictionary=[name for name in schema.names if name not in packed],
            column_encoding=dict.fromkeys(packed, "DELTA_BINARY_PACKED"),
        )
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        self._waiting.append(batch)
        self._rows += batch.num_rows
        while self._rows >= ROW_GROUP_ROWS:
            table = pa.Table.from_batches(self._waiting)
            self._writer.write_table(table.slice(0, ROW_GROUP_ROWS), row_group_size=ROW_GROUP_ROWS)
            self._waiting = table.slice(ROW_GROUP_ROWS).to_batches()
            self._rows -= ROW_GROUP_ROWS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._writer.close()
        finally:
            self._file.close()

    def finish(self) -> None:
        """Write what waits, and wait until all is on disk."""
        if self._rows:
            self._writer.write_table(pa.Table.from_batches(self._waiting), row_group_size=ROW_GROUP_ROWS)
        self._writer.close()
        sync_file(self._file)


def write_parquet(path: Path, table: pa.Table) -> None:
    """`table` as one file."""
    with ParquetDraft(path, table.schema) as draft:
        for batch in table.to_batches():
            draft.add(batch)
        draft.finish()


def by_block(batch: pa.RecordBatch, *, blocks: bool) -> Iterator[tuple[str, pa.RecordBatch]]:
    """`batch`, which is sorted, cut where a new month begins; `blocks`: whether the table has any."""
    if not blocks:
        yield WHOLE_TABLE, batch
        return
    months: np.ndarray[Any, np.dtype[np.int32]] = batch.column("order_month").to_numpy()
    bounds = [0, *(np.flatnonzero(np.diff(months)) + 1).tolist(), len(months)]
    for start, end in pairwise(bounds):
        if end > start:
            yield block_name(int(months[start])), batch.slice(start, end - start)


def block_name(month: int) -> str:
    """Name of a block, such as 2026-01, for months since 1970."""
    return f"{1970 + month // 12:04d}-{month % 12 + 1:02d}"


def move_into_place(draft: Path, target: Path) -> None:
    """Give a written file its name; the folder is synced by the caller."""
    make_private_folder(target.parent)
    os.replace(draft, target)  # noqa: PTH105 - the rename is the point
