"""The store's statements: Parquet files that are only added to, and the one file that names them."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from dpquery.consent.records import SCHEMA
from dpquery.errors import StoreError
from dpquery.store.lock import exclusive
from dpquery.store.private_files import make_private_folder, open_private, replace_file, sync_file, sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import date, datetime
    from pathlib import Path

FOLDER = "consent"
REGISTRY_FILE = "registry.json"
FORMAT = "dpquery.consent/1"

SMALL_ROWS = 50_000
SMALL_FILES_MAX = 64
"""So many small files are one: statements of single people would otherwise be a file each."""

Tick = Literal["day", "week", "month", "never"]


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of statements."""

    name: str
    rows: int


@dataclass(frozen=True, slots=True)
class ListImport:
    """One list that was taken in: known by its content, so that the same list is taken in once."""

    content: str
    """Keyed digest of the list and of how it was read."""
    source: str
    rows: int
    at: str


@dataclass(frozen=True, slots=True)
class Registry:
    """Which statements a store has."""

    segments: tuple[Segment, ...] = ()
    """In the order in which they were recorded."""
    imports: tuple[ListImport, ...] = ()

    def version(self, created_on: date, tick: Tick, now: datetime) -> int:
        """The public counter: it goes up as time goes by and with each list, whatever anybody has said.

        So whether somebody has opted out since yesterday cannot be told from it.
        """
        days = max(0, (now.date() - created_on).days)
        months = max(0, (now.year - created_on.year) * 12 + now.month - created_on.month)
        ticks = {"day": days, "week": days // 7, "month": months, "never": 0}[tick]
        return 1 + ticks + len(self.imports)


def read_registry(folder: Path) -> Registry:
    """The registry of the store at `folder`; an empty one before the first statement. StoreError DPQ-501 if damaged."""
    path = folder / FOLDER / REGISTRY_FILE
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        found = Registry(
            tuple(Segment(**each) for each in raw["segments"]), tuple(ListImport(**each) for each in raw["imports"])
        )
        known = raw["format"] == FORMAT
    except FileNotFoundError:
        return Registry()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            "DPQ-501", f"{path} is damaged ({type(error).__name__})", fix="put the registry's file back"
        ) from None
    if not known:
        raise StoreError("DPQ-502", f"a newer program wrote {path}", fix="pip install --upgrade dpquery")
    return found


def read_records(folder: Path) -> pa.Table:
    """Every statement (columns: `records.SCHEMA`), in the order in which they were recorded. StoreError if damaged."""
    registry = read_registry(folder)
    while True:
        failure = ""
        try:
            parts = [pq.read_table(folder / FOLDER / each.name, schema=SCHEMA) for each in registry.segments]
            return pa.concat_tables([SCHEMA.empty_table(), *parts])
        except (OSError, pa.ArrowException) as error:
            failure = type(error).__name__
        # Somebody may have put small files together in between: then the registry names others now.
        now = read_registry(folder)
        if now == registry:
            raise StoreError(
                "DPQ-501", f"{folder / FOLDER} lacks statements ({failure})", fix="put the registry's files back"
            )
        registry = now


def append(folder: Path, batches: Iterable[pa.RecordBatch], listed: ListImport | None = None) -> Registry:
    """Add statements, all of them or none; `listed` names the list that they come from.

    StoreError DPQ-506 while somebody else writes, DPQ-514 if the disk refused. A killed writer leaves the registry as
    it was, and at most a file that it does not name.
    """
    with exclusive(folder):
        return append_held(folder, batches, listed)


def append_held(folder: Path, batches: Iterable[pa.RecordBatch], listed: ListImport | None = None) -> Registry:
    """As `append`, for who holds the store's lock already."""
    place = folder / FOLDER
    before = read_registry(folder)
    try:
        make_private_folder(place)
        _remove_unnamed(place, before)
        written = _write(place, batches)
        after = replace(before, segments=(*before.segments, *written))
        if listed is not None:
            after = replace(after, imports=(*after.imports, replace(listed, rows=sum(each.rows for each in written))))
        merged = _merged(place, after)
        _commit(place, merged)
        _remove_unnamed(place, merged)
    except OSError as error:
        raise StoreError("DPQ-514", f"{place} cannot be written: {error.strerror}", fix="check the disk") from error
    return merged


def rewrite(folder: Path, kept: Callable[[pa.Table], pa.Table]) -> Registry:
    """Put what `kept` makes of all statements in their place: for what a law wants forgotten, and nothing else.

    Nobody else writes meanwhile. Nothing is written if it keeps every one. StoreError DPQ-506, DPQ-514 as `append`.
    """
    place = folder / FOLDER
    with exclusive(folder):
        before = read_registry(folder)
        records = read_records(folder)
        remaining = kept(records)
        if remaining.equals(records):
            return before
        try:
            after = replace(before, segments=_write(place, remaining.to_batches()))
            _commit(place, after)
            _remove_unnamed(place, after)
        except OSError as error:
            raise StoreError("DPQ-514", f"{place} cannot be written: {error.strerror}", fix="check the disk") from error
    return after


def _write(place: Path, batches: Iterable[pa.RecordBatch]) -> tuple[Segment, ...]:
    name = f"statements-{secrets.token_hex(8)}.parquet"
    rows = 0
    with open_private(place / name) as file:
        with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
            for batch in batches:
                writer.write_batch(batch.cast(SCHEMA) if batch.schema != SCHEMA else batch)
                rows += batch.num_rows
        sync_file(file)
    if rows == 0:
        (place / name).unlink()
        return ()
    sync_folder(place)
    return (Segment(name, rows),)


def _merged(place: Path, registry: Registry) -> Registry:
    """The registry with its last small files as one, once they are many."""
    segments = registry.segments
    first = len(segments)
    while first > 0 and segments[first - 1].rows <= SMALL_ROWS:
        first -= 1
    small = segments[first:]
    if len(small) < SMALL_FILES_MAX:
        return registry
    table = pa.concat_tables([pq.read_table(place / each.name, schema=SCHEMA) for each in small])
    return replace(registry, segments=(*segments[:first], *_write(place, table.to_batches())))


def _commit(place: Path, registry: Registry) -> None:
    text = json.dumps({"format": FORMAT, **asdict(registry)}, indent=1)
    replace_file(place / REGISTRY_FILE, text.encode())


def _remove_unnamed(place: Path, registry: Registry) -> None:
    named = {each.name for each in registry.segments}
    leftovers: Sequence[Path] = [file for file in place.glob("statements-*.parquet") if file.name not in named]
    drafts = place.glob(f".{REGISTRY_FILE}.*.part")
    for file in (*leftovers, *drafts):
        file.unlink(missing_ok=True)
