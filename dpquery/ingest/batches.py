"""What every kind of source is made into: batches of the wanted columns, with row numbers and damage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

Longs = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line of a CSV that is no record."""

    row: int
    text: str


@dataclass(frozen=True, slots=True)
class SourceBatch:
    """Some rows of a source."""

    columns: Mapping[str, pa.Array]
    """The wanted columns by the file's names: text, or a simple Arrow type."""
    rows: Longs
    """Row number of each row in its source, from 1."""
    damaged: Flags | None
    """Rows in which a wanted value is not UTF-8; None: none."""
    bad_lines: tuple[BadLine, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)


class Source(Protocol):
    """A file or a table in memory; its header has been checked."""

    @property
    def name(self) -> str:
        """What the quarantine calls it."""

    def batches(self) -> Iterator[SourceBatch]:
        """All rows, in order. DataError DPQ-507 if the file is damaged beyond its rows."""
