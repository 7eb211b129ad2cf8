"""Parquet and Arrow files, Arrow tables and pandas frames as batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dpquery.errors import DataError
from dpquery.ingest.batches import SourceBatch
from dpquery.ingest.mapping import places
from dpquery.ingest.text_columns import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BATCH_ROWS = 1 << 18


@dataclass(frozen=True, slots=True)
class TableSource:
    """An Arrow table or pandas frame in memory, as an Arrow table of the wanted columns."""

    name: str
    wanted: tuple[str, ...]
    table: pa.Table

    @classmethod
    def of_table(cls, table: pa.Table, wanted: Sequence[str]) -> TableSource:
        found = places(wanted, table.column_names, "the table")
        return cls("table", tuple(wanted), table.select(list(found)).rename_columns(list(wanted)))

    @classmethod
    def of_frame(cls, frame: pd.DataFrame, wanted: Sequence[str]) -> TableSource:
        found = places(wanted, [str(name) for name in frame.columns], "the frame")
        columns = [_series_array(frame.iloc[:, place]) for place in found]
        return cls("frame", tuple(wanted), pa.table(columns, names=list(wanted)))

    def batches(self) -> Iterator[SourceBatch]:
        yield from _numbered(iter(self.table.to_batches(max_chunksize=BATCH_ROWS)), self.wanted)


@dataclass(frozen=True, slots=True)
class ParquetSource:
    path: Path
    wanted: tuple[str, ...]
    found: tuple[str, ...]
    """The file's own spelling of the wanted columns."""

    @classmethod
    def open(cls, path: Path, wanted: Sequence[str]) -> ParquetSource:
        try:
            header = pq.read_schema(path).names
        except (pa.ArrowException, OSError) as error:
            raise unreadable(path, "Parquet", error) from None
        return cls(path, tuple(wanted), tuple(header[place] for place in places(wanted, header, path.name)))

    @property
    def name(self) -> str:
        return self.path.name

    def batches(self) -> Iterator[SourceBatch]:
        try:
            with pq.ParquetFile(self.path) as file:
                found = (
                    batch.select(list(self.found)).rename_columns(list(self.wanted))
                    for batch in file.iter_batches(BATCH_ROWS, columns=list(self.found))
                )
                yield from _numbered(found, self.wanted)
        except (pa.ArrowException, OSError) as error:
            raise unreadable(self.path, "Parquet", error) from None


@dataclass(frozen=True, slots=True)
class ArrowSource:
    """An Arrow IPC file or stream."""

    path: Path
    wanted: tuple[str, ...]
    found: tuple[int, ...]
    """Where the wanted columns stand in the file."""
    stream: bool

    @classmethod
    def open(cls, path: Path, wanted: Sequence[str]) -> ArrowSource:
        with path.open("rb") as file:
            stream = file.read(6) != b"ARROW1"
        try:
            with pa.OSFile(str(path)) as opened:
                header = (pa.ipc.open_stream(opened) if stream else pa.ipc.open_file(opened)).schema.names
        except (pa.ArrowException, OSError) as error:
            raise unreadable(path, "Arrow", error) from None
        return cls(path, tuple(wanted), places(wanted, header, path.name), stream)

    @property
    def name(self) -> str:
        return self.path.name

    def batches(self) -> Iterator[SourceBatch]:
        try:
            with pa.OSFile(str(self.path)) as opened:
                yield from _numbered(self._sliced(opened), self.wanted)
        except (pa.ArrowException, OSError) as error:
            raise unreadable(self.path, "Arrow", error) from None

    def _sliced(self, opened: pa.OSFile) -> Iterator[pa.RecordBatch]:
        """Batches of at most BATCH_ROWS rows, whatever the file's."""
        for whole in self._read(opened):
            chosen = pa.RecordBatch.from_arrays([whole.column(place) for place in self.found], list(self.wanted))
            for start in range(0, chosen.num_rows, BATCH_ROWS):
                yield chosen.slice(start, BATCH_ROWS)

    def _read(self, opened: pa.OSFile) -> Iterator[pa.RecordBatch]:
        if self.stream:
            yield from pa.ipc.open_stream(opened)
            return
        reader = pa.ipc.open_file(opened)
        for index in range(reader.num_record_batches):
            yield reader.get_batch(index)


def unreadable(path: Path, kind: str, error: Exception) -> DataError:
    """DPQ-507 without the library's message, which may quote what it read."""
    return DataError(
        "DPQ-507", f"{path.name} cannot be read as {kind} ({type(error).__name__})", fix="write the file anew"
    )


def _numbered(batches: Iterator[pa.RecordBatch], wanted: Sequence[str]) -> Iterator[SourceBatch]:
    first = 1
    for batch in batches:
        columns, damaged = {}, None
        for index, name in enumerate(wanted):
            columns[name], faults = plain(batch.column(index), name)
            if faults is not None:
                damaged = faults if damaged is None else damaged | faults
        rows = np.arange(first, first + batch.num_rows, dtype=np.int64)
        first += batch.num_rows
        if batch.num_rows:
            yield SourceBatch(columns, rows, damaged)


def _series_array(series: pd.Series[Any]) -> pa.Array | pa.ChunkedArray:
    try:
        return pa.array(series, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        # A column of objects of several types, such as numbers and texts.
        missing = pd.isna(series).to_list()
        return pa.array(
            [None if gone else str(value) for value, gone in zip(series, missing, strict=True)], pa.string()
        )
