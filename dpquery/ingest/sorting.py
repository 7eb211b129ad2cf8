"""Rows to the store's order, out of core: a spool of batches, and DuckDB's sort over it.

Both live inside the store's folder; neither holds a number in any spelling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import duckdb
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ORDER = ("order_month", "order_hour", "order_h1", "order_h2")
MEMORY_LIMIT = "1GB"
THREADS = 2
BATCH_ROWS = 122_880


class Spool:
    """Batches on disk, written once and read once."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path = path
        self._schema = schema
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_stream(self._file, schema)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def add(self, batch: pa.RecordBatch) -> None:
        if batch.num_rows:
            self._writer.write_batch(batch)

    def sorted(self, engine: duckdb.DuckDBPyConnection) -> Iterator[pa.RecordBatch]:
        """All rows by ORDER; rows that are equal in it are equal in everything."""
        self._writer.close()
        self._file.close()
        with pa.OSFile(str(self._path)) as file, pa.ipc.open_stream(file) as reader:
            rows = engine.from_arrow(reader).order(", ".join(ORDER))
            yield from rows.to_arrow_reader(BATCH_ROWS)


def sorting_engine(folder: Path) -> duckdb.DuckDBPyConnection:
    """A DuckDB that keeps its temporary files in `folder` and reaches for nothing else."""
    engine = duckdb.connect(
        config={
            "memory_limit": MEMORY_LIMIT,
            "threads": THREADS,
            "temp_directory": str(folder),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "preserve_insertion_order": False,
        }
    )
    engine.execute("SET enable_progress_bar = false")  # it would write to standard output
    return engine
