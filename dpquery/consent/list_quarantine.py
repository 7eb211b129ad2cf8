"""Lines of a list that could not be taken in, as they came, in a file outside the store."""

from __future__ import annotations

import csv
import io
import os
import secrets
from collections import Counter
from typing import TYPE_CHECKING, Any, TextIO

from dpquery.ingest.quarantine import OWN_COLUMNS
from dpquery.store.private_files import make_private_folder, open_private, refuse_shared, sync_folder

if TYPE_CHECKING:
    from pathlib import Path

    from dpquery.consent.list_formats import Entry


class ListQuarantine:
    """The quarantine file of one list. It appears under its name only by `keep`."""

    def __init__(self, folder: Path, source: str, *, written: bool) -> None:
        """`written`: whether there is to be a file at all; nothing is written before the first line."""
        self.counts: Counter[tuple[str, str]] = Counter()
        self._folder = folder
        self._source = source
        self._written = written
        self._draft = folder / f".consent-{secrets.token_hex(8)}.part"
        self._text: TextIO | None = None
        self._writer: Any = None

    def add(self, entry: Entry, reason: str, about: str) -> None:
        """Write one line."""
        self.counts[reason, about] += 1
        if not self._written:
            return
        if self._text is None:
            make_private_folder(self._folder)
            refuse_shared(self._folder, "the quarantine")
            self._text = io.TextIOWrapper(open_private(self._draft), encoding="utf-8", newline="")
            self._writer = csv.writer(self._text, lineterminator="\n")
            self._writer.writerow(OWN_COLUMNS)
        self._writer.writerow((reason, about, self._source, entry.line, entry.text))

    def keep(self, name: str) -> Path | None:
        """Give the file its name, durably, in place of one that the same list left; None if no line came."""
        if self._text is None:
            return None
        self._text.flush()
        os.fsync(self._text.fileno())
        self._text.close()
        self._text = None
        kept = self._folder / f"consent-{name}.csv"
        self._draft.replace(kept)
        sync_folder(self._folder)
        return kept

    def drop(self) -> None:
        """Leave no draft behind."""
        if self._text is not None:
            self._text.close()
            self._text = None
        self._draft.unlink(missing_ok=True)


def remove_drafts(folder: Path) -> None:
    """Remove what a killed import left. The caller holds the store's lock."""
    for draft in folder.glob(".consent-*.part"):
        draft.unlink(missing_ok=True)
