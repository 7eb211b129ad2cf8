"""Rows that were not stored, as they came, in a file outside the store: the one place that holds numbers."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from typing import TYPE_CHECKING, Any, TextIO

from dpquery.ingest.text_columns import as_text, text_objects
from dpquery.store.private_files import make_private_folder, open_private, refuse_shared, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from dpquery.ingest.batches import BadLine, SourceBatch
    from dpquery.ingest.verdicts import Fault, Verdicts

OWN_COLUMNS = ("quarantine_reason", "quarantine_about", "quarantine_source", "quarantine_row", "quarantine_line")
"""After the file's own columns; the last has a line of a CSV that is no record."""


class Quarantine:
    """The quarantine file of one ingest. It appears under its name only by `keep`."""

    def __init__(self, folder: Path, batch: int, table: str, columns: Sequence[str]) -> None:
        """Nothing is written before the first row."""
        self.path = folder / f"{batch:06d}-{table}.csv"
        self.counts: Counter[Fault] = Counter()
        self._draft = folder / f".{self.path.name}.part"
        self._columns = tuple(columns)
        self._text: TextIO | None = None
        self._writer: Any = None

    @property
    def rows(self) -> int:
        return self.counts.total()

    def add(self, batch: SourceBatch, source: str, verdicts: Verdicts) -> None:
        """Write the rows of `batch` that have a fault."""
        indices, faults = verdicts.bad()
        if not len(indices):
            return
        self.counts.update(faults)
        values = [text_objects(as_text(batch.columns[name].take(indices))) for name in self._columns]
        numbers = batch.rows[indices].tolist()
        self._write(
            (*row, *fault, source, number, "") for *row, fault, number in zip(*values, faults, numbers, strict=True)
        )

    def add_lines(self, lines: Sequence[BadLine], source: str) -> None:
        """Write lines that are no records."""
        if not lines:
            return
        self.counts.update({("bad_row", "not a record of the file's columns"): len(lines)})
        empty = [""] * len(self._columns)
        about = "not a record of the file's columns"
        self._write((*empty, "bad_row", about, source, line.row, line.text) for line in lines)

    def keep(self) -> Path | None:
        """Give the file its name, durably; None if no row came."""
        if self._text is None:
            return None
        self._text.flush()
        os.fsync(self._text.fileno())
        self._text.close()
        self._text = None
        self._draft.replace(self.path)
        sync_folder(self.path.parent)
        return self.path

    def drop(self) -> None:
        """Leave nothing behind."""
        if self._text is not None:
            self._text.close()
            self._text = None
        self._draft.unlink(missing_ok=True)

    def _write(self, rows: Iterable[tuple[object, ...]]) -> None:
        if self._text is None:
            make_private_folder(self._draft.parent)
            refuse_shared(self._draft.parent, "the quarantine")
            self._draft.unlink(missing_ok=True)
            self._text = io.TextIOWrapper(open_private(self._draft), encoding="utf-8", newline="")
            self._writer = csv.writer(self._text, lineterminator="\n")
            self._writer.writerow((*self._columns, *OWN_COLUMNS))
        self._writer.writerows(rows)
