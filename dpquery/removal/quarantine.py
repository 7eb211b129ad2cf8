"""Rows out of the quarantine, which holds rows as they came: those that name a number anywhere."""

from __future__ import annotations

import csv
import io
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dpquery.store.private_files import open_private, sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FIELD_SIZE_MAX = 2**31 - 1
"""A damaged line is one field, however long."""


def forget(folder: Path, named: Callable[[str], bool]) -> None:
    """Take the rows out of the quarantine's files that have a cell for which `named` is true. Each file in one step."""
    if not folder.is_dir():
        return
    for file in sorted(folder.glob("[0-9]*-*.csv")):
        with _long_fields(), file.open(encoding="utf-8", newline="") as source:
            rows = list(csv.reader(source))
        kept = [row for row in rows[1:] if not any(map(named, row))]
        if len(kept) < len(rows) - 1:
            _replace(file, [rows[0], *kept])
    sync_folder(folder)


def _replace(file: Path, rows: list[list[str]]) -> None:
    if len(rows) == 1:
        file.unlink()
        return
    draft = file.with_name(f".{file.name}.part")
    draft.unlink(missing_ok=True)
    with io.TextIOWrapper(open_private(draft), encoding="utf-8", newline="") as text:
        csv.writer(text, lineterminator="\n").writerows(rows)
        text.flush()
        os.fsync(text.fileno())
    draft.replace(file)


@contextmanager
def _long_fields() -> Iterator[None]:
    before = csv.field_size_limit(FIELD_SIZE_MAX)
    try:
        yield
    finally:
        csv.field_size_limit(before)
