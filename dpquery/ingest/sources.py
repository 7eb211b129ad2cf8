"""What a caller hands to ingest, as sources whose headers have been checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pandas as pd
import pyarrow as pa

from dpquery.errors import DataError
from dpquery.ingest.arrow_source import ArrowSource, ParquetSource, TableSource
from dpquery.ingest.csv_source import CsvSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dpquery.ingest.batches import Source

Sources: TypeAlias = "Sequence[Path] | pa.Table | pd.DataFrame"

_BY_ENDING: dict[str, type[CsvSource | ParquetSource | ArrowSource]] = {
    ".csv": CsvSource,
    ".tsv": CsvSource,
    ".txt": CsvSource,
    ".parquet": ParquetSource,
    ".pq": ParquetSource,
    ".arrow": ArrowSource,
    ".arrows": ArrowSource,
    ".ipc": ArrowSource,
    ".feather": ArrowSource,
}


def open_sources(given: Sources, wanted: Sequence[str]) -> tuple[Source, ...]:
    """All of them opened once, so that a wrong file is found before anything is written.

    DataError DPQ-505: a wanted column is missing; DPQ-507: a file cannot be read.
    """
    if isinstance(given, pa.Table):
        return (TableSource.of_table(given, wanted),)
    if isinstance(given, pd.DataFrame):
        return (TableSource.of_frame(given, wanted),)
    if not given:
        raise DataError("DPQ-507", "no file was named", fix="name one or more files")
    return tuple(_open(Path(path), wanted) for path in given)


def _open(path: Path, wanted: Sequence[str]) -> Source:
    try:
        kind = _BY_ENDING.get(path.suffix.lower()) or _by_first_bytes(path)
        return kind.open(path, wanted)
    except OSError as error:
        raise DataError(
            "DPQ-507", f"{path} cannot be read ({type(error).__name__})", fix="name a CSV, Parquet or Arrow file"
        ) from None


def _by_first_bytes(path: Path) -> type[CsvSource | ParquetSource | ArrowSource]:
    with path.open("rb") as file:
        start = file.read(6)
    if start.startswith(b"PAR1"):
        return ParquetSource
    return ArrowSource if start == b"ARROW1" or start[:4] == b"\xff\xff\xff\xff" else CsvSource
