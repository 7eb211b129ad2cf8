"""What a store consists of. The manifest is the store: a file that it does not name does not exist."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from dpquery.errors import StoreError
from dpquery.store.private_files import replace_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FORMAT = "dpquery.store"
FORMAT_VERSION = 2
"""2: tombstones. A program that knows only 1 would let erased numbers back in."""
MANIFEST_FILE = "manifest.json"

WHOLE_TABLE = "all"
"""Block of rows whose table has no blocks."""


@dataclass(frozen=True, slots=True, order=True)
class FileEntry:
    """One file of a table. Its order among the table's files is that of the fields."""

    batch: int
    block: str
    """ "2026-01", or "all"."""
    name: str
    """Path inside the store."""


@dataclass(frozen=True, slots=True)
class BatchEntry:
    """One committed ingest: its number is the data version that it made."""

    number: int
    table: str
    period: tuple[date, date] | None
    """What the ingest declared, not what its rows have; None: the table has no time."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of a store at one data version. Holds nothing that depends on rows but which files there are."""

    dataset: str
    data_version: int
    """Committed ingests so far."""
    number_count: int
    """Codes given to numbers so far: 0 to number_count - 1."""
    key_file: str | None
    """Path of the key file; None: beside the store."""
    key_check: str
    tables: Mapping[str, tuple[FileEntry, ...]]
    number_segments: tuple[str, ...]
    """Files of the number dictionary, in code order; paths inside the store."""
    relied_on: Mapping[str, str]
    """Digest of each part of the policy that ingested rows depend on."""
    periods: Mapping[str, tuple[date, date]]
    """Period of each ingested table when it was last ingested."""
    batches: tuple[BatchEntry, ...]
    created_on: date
    """UTC day on which the store was made; the version of consents counts from it."""
    tombstones: str | None = None
    """File of the numbers that were erased; path inside the store. None: none was."""

    def with_batch(
        self,
        batch: BatchEntry,
        files: Sequence[FileEntry],
        *,
        replaces: bool,
        segment: str | None,
        number_count: int,
        relied_on: Mapping[str, str],
        table_period: tuple[date, date] | None,
    ) -> Manifest:
        """The manifest after `batch`; `replaces`: its files are all that the table then has."""
        before = () if replaces else self.tables.get(batch.table, ())
        return replace(
            self,
            data_version=batch.number,
            number_count=number_count,
            tables={**self.tables, batch.table: tuple(sorted((*before, *files)))},
            number_segments=self.number_segments if segment is None else (*self.number_segments, segment),
            relied_on={**self.relied_on, **relied_on},
            periods=self.periods if table_period is None else {**self.periods, batch.table: table_period},
            batches=(*self.batches, batch),
        )

    def with_replaced(self, names: Mapping[str, str | None], tombstones: str | None) -> Manifest:
        """The manifest after rows were removed: files under new names, or None for those that no row is left of.

        Batches, codes and the data version are what they were.
        """
        tables = {
            table: tuple(
                replace(entry, name=name)
                for entry in entries
                if (name := names.get(entry.name, entry.name)) is not None
            )
            for table, entries in self.tables.items()
        }
        segments = tuple(names.get(name) or name for name in self.number_segments)
        return replace(self, tables=tables, number_segments=segments, tombstones=tombstones or self.tombstones)

    @property
    def names(self) -> frozenset[str]:
        """Every file that the manifest names; paths inside the store."""
        files = (entry.name for entries in self.tables.values() for entry in entries)
        return frozenset((*files, *self.number_segments, *(() if self.tombstones is None else (self.tombstones,))))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Make `manifest` the store's, in one step and durably."""
    text = json.dumps(
        {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(manifest)}, indent=1, default=_as_json
    )
    replace_file(folder / MANIFEST_FILE, text.encode())


def read_manifest(folder: Path) -> Manifest:
    """The store's manifest. StoreError DPQ-501: not a store; DPQ-502: a newer format."""
    try:
        raw = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _not_a_store(folder, f"its {MANIFEST_FILE} cannot be read ({type(error).__name__})") from None
    if not isinstance(raw, dict) or raw.pop("format", None) != FORMAT:
        raise _not_a_store(folder, f"its {MANIFEST_FILE} is of another program")
    version = raw.pop("format_version", None)
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise StoreError(
            "DPQ-502",
            f"{folder} has store format {version}; this program reads up to {FORMAT_VERSION}",
            fix="pip install --upgrade dpquery",
        )
    try:
        return _decoded(raw)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _not_a_store(folder, f"its {MANIFEST_FILE} is damaged ({type(error).__name__})") from None


def _not_a_store(folder: Path, why: str) -> StoreError:
    return StoreError("DPQ-501", f"{folder} is not a store: {why}", fix="dpquery init DIR --policy FILE makes one")


def _as_json(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _decoded(raw: dict[str, Any]) -> Manifest:
    return Manifest(
        dataset=str(raw["dataset"]),
        data_version=int(raw["data_version"]),
        number_count=int(raw["number_count"]),
        key_file=None if raw["key_file"] is None else str(raw["key_file"]),
        key_check=str(raw["key_check"]),
        tables={name: tuple(FileEntry(**entry) for entry in entries) for name, entries in raw["tables"].items()},
        number_segments=tuple(map(str, raw["number_segments"])),
        relied_on=dict(raw["relied_on"]),
        periods={name: _period(days) for name, days in raw["periods"].items()},
        created_on=date.fromisoformat(raw["created_on"]),
        batches=tuple(
            BatchEntry(int(b["number"]), str(b["table"]), None if b["period"] is None else _period(b["period"]))
            for b in raw["batches"]
        ),
        tombstones=None if raw.get("tombstones") is None else str(raw["tombstones"]),
    )


def _period(days: Sequence[str]) -> tuple[date, date]:
    first, last = days
    return date.fromisoformat(first), date.fromisoformat(last)
