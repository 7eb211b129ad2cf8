"""ingest(): files in, rows at rest, in one step that is whole or not there."""

from __future__ import annotations

import shutil
import time
from collections import Counter, defaultdict
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from dpquery.clock import utc_now
from dpquery.errors import DataError, InternalError, StoreError, ensure
from dpquery.ingest import leftovers
from dpquery.ingest.block_files import ParquetDraft, by_block, move_into_place, write_parquet
from dpquery.ingest.erased import ErasedNumbers
from dpquery.ingest.mapping import Mapping
from dpquery.ingest.number_book import NumberBook
from dpquery.ingest.public_rows import PublicRows
from dpquery.ingest.quarantine import Quarantine
from dpquery.ingest.rows import RowShape, spool_rows, stored_rows
from dpquery.ingest.sorting import Spool, sorting_engine
from dpquery.ingest.sources import open_sources
from dpquery.ingest.summary import IngestSummary, by_reason, cures, undeclared
from dpquery.ingest.times import TimeReader, iso_reader
from dpquery.ingest.zones import zone_named
from dpquery.numbers.plans import supported
from dpquery.numbers.pool import NumberParser
from dpquery.numbers.scheme import scheme_of
from dpquery.plan.retention import cutoffs
from dpquery.policy.model import KeyRange, KeysFromTable
from dpquery.store.lock import exclusive
from dpquery.store.manifest import WHOLE_TABLE, BatchEntry, FileEntry, write_manifest
from dpquery.store.private_files import make_private_folder, sync_folder
from dpquery.store.relied_on import digests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date, datetime
    from pathlib import Path
    from zoneinfo import ZoneInfo

    import numpy as np

    from dpquery.ingest.batches import Source, SourceBatch
    from dpquery.ingest.sources import Sources
    from dpquery.ingest.verdicts import Verdicts
    from dpquery.policy import Table
    from dpquery.store import Store

Progress: TypeAlias = "Callable[[str, int], None]"
RowTest: TypeAlias = "Callable[[pa.RecordBatch], np.ndarray[Any, np.dtype[np.bool_]]]"

Item = TypeVar("Item")

_UTC = "UTC"


def ingest(
    store: Store,
    sources: Sources,
    *,
    table: str,
    period: tuple[date, date] | None = None,
    region: str | None = None,
    progress: Progress | None = None,
    row_test: RowTest | None = None,
    at: datetime | None = None,
) -> IngestSummary:
    """Add the rows of `sources` to `table`, or put them in quarantine; a public table is replaced by them.

    `period`: first and last day (UTC) of the rows, within the table's; by default the table's. `region`: ISO country
    of numbers whose row names none. `progress` is told the stage and the rows it has done. `row_test` says for which
    rows of a batch (declared and derived columns under our names) `one_owner_when` is true. `at`: when it is done, now
    if None; rows that are past retention then are left out, as are those of numbers that were erased.

    Rows are never a reason to stop. DataError DPQ-505, DPQ-507, DPQ-508, DPQ-509: files, arguments or public numbers
    that cannot be used, found before anything is written (507 also for a file that ends in damage). StoreError
    DPQ-506: another ingest or a removal is running; DPQ-514: the disk refused. After an error, and after a kill at any
    moment, the store is as it was.
    """
    with exclusive(store.folder):
        store.reload()
        leftovers.clean(store)
        task = _Task.of(
            store, table, period=period, region=region, progress=progress, row_test=row_test, at=at or utc_now()
        )
        opened = open_sources(sources, task.mapping.sources)
        try:
            return task.run(opened)
        except OSError as error:
            stopped: StoreError | InternalError = StoreError(
                "DPQ-514",
                f"the ingest stopped and the store is as it was: {error.strerror or type(error).__name__}",
                fix="free some disk space, or mend the disk, and run it again",
            )
        except pa.ArrowException as error:
            why = f"internal invariant broken: values fit their columns ({type(error).__name__})"
            stopped = InternalError("DPQ-001", why, fix="report this; the store is as it was")
        except duckdb.Error as error:
            stopped = StoreError(
                "DPQ-514",
                f"sorting failed and the store is as it was ({type(error).__name__})",
                fix="free disk space and memory, and run it again",
            )
        finally:
            task.clean_up()
        # Raised out here: Arrow and the engine quote values, and a handler would keep their errors as context.
        raise stopped


@dataclass(slots=True)
class _Task:
    """One ingest under way."""

    store: Store
    name: str
    table: Table
    mapping: Mapping
    period: tuple[date, date] | None
    region: str | None
    progress: Progress
    row_test: RowTest | None
    at: datetime
    work: Path
    quarantine: Quarantine
    erased: ErasedNumbers
    declared_keys: dict[str, pa.Array]
    rows_read: int = 0
    rows_stored: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    undeclared: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @classmethod
    def of(
        cls,
        store: Store,
        name: str,
        *,
        period: tuple[date, date] | None,
        region: str | None,
        progress: Progress | None,
        row_test: RowTest | None,
        at: datetime,
    ) -> _Task:
        table = store.policy.tables.get(name)
        if table is None:
            raise DataError(
                "DPQ-508", f"the policy has no table {name}", fix="name one of: " + ", ".join(store.policy.tables)
            )
        if table.legs_of is not None:
            raise DataError(
                "DPQ-508",
                f"{name} is a view of {table.legs_of}, and has no rows of its own",
                fix=f"ingest into {table.legs_of}: its halves appear in {name}",
            )
        if table.registry is not None:
            raise DataError(
                "DPQ-508",
                f"{name} is a view of the registry of consents, and has no rows of its own",
                fix="dpquery consent import FILE puts lists into the registry",
            )
        ensure(
            table.one_owner_when is None or row_test is not None, "a table with one_owner_when comes with its row test"
        )
        if region is not None and supported(region) is None:
            raise DataError("DPQ-508", f"{region} is no ISO country code", fix="two capital letters, such as GB")
        mapping = Mapping.of(table)
        return cls(
            store=store,
            name=name,
            table=table,
            mapping=mapping,
            period=_period(name, table, period),
            region=region or store.policy.numbers.default_region,
            progress=progress or (lambda _stage, _rows: None),
            row_test=row_test,
            at=at,
            work=store.folder / leftovers.WORK,
            quarantine=Quarantine(store.quarantine, store.data_version + 1, name, mapping.sources),
            erased=ErasedNumbers(store, region or store.policy.numbers.default_region, mapping.region),
            declared_keys=_declared_keys(store, table),
        )

    @property
    def batch(self) -> int:
        """Number of this ingest, and the data version that it makes."""
        return self.store.data_version + 1

    def run(self, sources: tuple[Source, ...]) -> IngestSummary:
        make_private_folder(self.work)
        with sorting_engine(self.work) as engine:
            zone = self._zone()
            value_times = iso_reader(zone, engine)
            if self.table.public:
                files, segment, counts = self._public(sources, value_times), None, (0, 0, 0)
                number_count = self.store.number_count
            else:
                times = self._time_reader(zone, engine)
                files, segment, counts, number_count = self._protected(sources, zone, times, value_times, engine)
        with self._timed("commit"):
            quarantine_file = self.quarantine.keep()
            self._commit(files, segment, number_count)
        return self._summary(quarantine_file, counts)

    def clean_up(self) -> None:
        self.quarantine.drop()
        shutil.rmtree(self.work, ignore_errors=True)

    def _protected(
        self,
        sources: tuple[Source, ...],
        zone: ZoneInfo,
        times: TimeReader | None,
        value_times: TimeReader,
        engine: duckdb.DuckDBPyConnection,
    ) -> tuple[list[FileEntry], str | None, tuple[int, int, int], int]:
        policy, secret = self.store.policy, self.store.secret()
        with self._timed("dictionary"):
            known = self.store.numbers()
        shape = RowShape(
            table=self.table,
            mapping=self.mapping,
            region=self.region,
            period=self.period,
            kept_from=cutoffs(policy, self.at.date()).get(self.name),
            zone=zone,
            times=times,
            value_times=value_times,
            order_key=secret.key("row-order"),
            text_key=secret.key("row-text"),
            row_test=self.row_test,
        )
        with NumberParser(scheme_of(policy)) as parser:
            book = NumberBook(policy, self.store.public_lines, parser, secret.key("pseudonym"), self.erased.tombstones)
            book.load(known)
            with Spool(self.work / "spool.arrows", shape.spool_schema) as spool:
                for source, batch in self._batches(sources):
                    with self._timed("prepare"):
                        rows, verdicts = spool_rows(shape, batch, book)
                        spool.add(rows)
                    self._note(source, batch, rows, verdicts)
                files = self._write_blocks(spool, shape, book, engine)
        segment = None
        if book.number_count > self.store.number_count:
            segment = f"{leftovers.NUMBERS}/{self.batch:06d}.parquet"
            with self._timed("dictionary"):
                write_parquet(self._draft(segment), book.segment())
        return files, segment, book.stored_counts(), book.number_count

    def _public(self, sources: tuple[Source, ...], times: TimeReader) -> list[FileEntry]:
        gathered = PublicRows(self.table, self.mapping, times)
        for source, batch in self._batches(sources):
            rows, verdicts = gathered.add(batch)
            self._note(source, batch, rows, verdicts)
        entry = self._entry(WHOLE_TABLE)
        write_parquet(self._draft(entry.name), gathered.sorted())
        return [entry]

    def _batches(self, sources: tuple[Source, ...]) -> Iterator[tuple[str, SourceBatch]]:
        for source in sources:
            for batch in self._clocked("read", source.batches()):
                yield source.name, batch

    def _note(self, source: str, batch: SourceBatch, rows: pa.RecordBatch, verdicts: Verdicts) -> None:
        """Count the rows of a batch and put those with a fault in quarantine."""
        with self._timed("quarantine"):
            self.erased.leave_out(batch, verdicts)
            lines = self.erased.others(batch.bad_lines)
            self.quarantine.add(batch, source, verdicts)
            self.quarantine.add_lines(lines, source)
        self.left_out.update(verdicts.left_out)
        self.left_out["erased"] += len(batch.bad_lines) - len(lines)
        self.rows_read += len(batch) + len(batch.bad_lines)
        self.rows_stored += rows.num_rows
        for name, keys in self.declared_keys.items():
            unknown = pc.invert(pc.is_in(rows.column(name), value_set=keys, skip_nulls=True))
            strange = pc.sum(pc.and_(unknown, pc.is_valid(rows.column(name)))).as_py()
            if strange:
                self.undeclared[name] += strange
        self.progress("read", self.rows_read)

    def _write_blocks(
        self, spool: Spool, shape: RowShape, book: NumberBook, engine: duckdb.DuckDBPyConnection
    ) -> list[FileEntry]:
        entries: list[FileEntry] = []
        draft: ParquetDraft | None = None
        written = 0
        with ExitStack() as open_files:
            for batch in self._clocked("sort", spool.sorted(engine)):
                with self._timed("write"):
                    for block, part in by_block(batch, blocks=self.table.block == "month"):
                        if draft is None or entries[-1].block != block:
                            if draft is not None:
                                draft.finish()
                            open_files.close()
                            entries.append(self._entry(block))
                            draft = ParquetDraft(self._draft(entries[-1].name), shape.stored_schema)
                            open_files.enter_context(draft)
                        draft.add(stored_rows(shape, part, book))
                written += batch.num_rows
                self.progress("write", written)
            if draft is not None:
                with self._timed("write"):
                    draft.finish()
        ensure(written == self.rows_stored, "every spooled row is written")
        return entries

    def _commit(self, files: list[FileEntry], segment: str | None, number_count: int) -> None:
        """Rows, then dictionary, then quarantine have reached the disk; the manifest makes them the store's."""
        accounted = self.rows_stored + self.quarantine.rows + self.left_out.total()
        ensure(self.rows_read == accounted, "every row is stored, in quarantine, or left out")
        targets = [
            self.store.folder / name for name in (*(entry.name for entry in files), *([segment] if segment else []))
        ]
        for target in targets:
            move_into_place(self._draft(str(target.relative_to(self.store.folder))), target)
        for folder in {target.parent for target in targets}:
            sync_folder(folder)
            sync_folder(folder.parent)
        sync_folder(self.store.folder)
        manifest = self.store.manifest.with_batch(
            BatchEntry(self.batch, self.name, self.period),
            files,
            replaces=self.table.public,
            segment=segment,
            number_count=number_count,
            relied_on=digests(self.store.policy, self.name, self.store.public_lines),
            table_period=self.table.period,
        )
        write_manifest(self.store.folder, manifest)
        self.store.manifest = manifest

    def _summary(self, quarantine_file: Path | None, numbers: tuple[int, int, int]) -> IngestSummary:
        counts = self.quarantine.counts
        return IngestSummary(
            table=self.name,
            data_version=self.store.data_version,
            rows_read=self.rows_read,
            rows_stored=self.rows_stored,
            rows_quarantined=self.quarantine.rows,
            erased=self.left_out["erased"],
            past_retention=self.left_out["past_retention"],
            by_reason=by_reason(counts),
            cures=(*cures(counts, self.name, self.table, self.period), *undeclared(self.undeclared)),
            undeclared_values=dict(self.undeclared),
            numbers_new=numbers[0],
            numbers_known=numbers[1],
            numbers_invalid=numbers[2],
            quarantine_file=quarantine_file,
            seconds=dict(self.seconds),
        )

    def _entry(self, block: str) -> FileEntry:
        return FileEntry(self.batch, block, f"{leftovers.TABLES}/{self.name}/{self.batch:06d}-{block}.parquet")

    def _draft(self, name: str) -> Path:
        return self.work / name.replace("/", "-")

    def _zone(self) -> ZoneInfo:
        name = _UTC if self.table.time is None else self.table.time.zone
        zone = zone_named(name)
        if zone is None:
            raise DataError(
                "DPQ-508", f"there is no time zone {name}", fix='zone = "Europe/London", or another IANA name; or "UTC"'
            )
        return zone

    def _time_reader(self, zone: ZoneInfo, engine: duckdb.DuckDBPyConnection) -> TimeReader | None:
        if self.table.time is None:
            return None
        reader = TimeReader(self.table.time.format, zone, engine)
        reader.check()
        return reader

    def _clocked(self, stage: str, items: Iterator[Item]) -> Iterator[Item]:
        """The items, with the time that each took to come counted as `stage`."""
        while True:
            with self._timed(stage):
                item = next(items, None)
            if item is None:
                return
            yield item

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - begun


def _declared_keys(store: Store, table: Table) -> dict[str, pa.Array]:
    """Keys of the columns that declare any."""
    found = {}
    for name, column in table.columns.items():
        kind = {"text": pa.string(), "integer": pa.int64()}.get(column.type)
        if kind is None:
            continue
        match column.keys:
            case None:
                continue
            case KeyRange(low=low, high=high):
                found[name] = pa.array(range(low, high + 1), kind)
            case KeysFromTable(table=other):
                if store.files(other):
                    found[name] = pa.array(store.public_keys(other), pa.string()).cast(kind)
            case listed:
                found[name] = pa.array(listed).cast(kind)
    return found


def _period(name: str, table: Table, period: tuple[date, date] | None) -> tuple[date, date] | None:
    if table.public and table.time is not None:
        raise DataError(
            "DPQ-508",
            f"the public table {name} declares a time, which belongs to calls",
            fix='declare it as a column: starts = { type = "timestamp" }',
        )
    if period is None or table.public:
        return table.period
    if table.time is None:
        raise DataError("DPQ-508", f"rows of {name} have no time, so none has a period", fix="leave the period out")
    if period[0] > period[1]:
        raise DataError("DPQ-508", "the period has the later day first", fix="--period 2026-01-01..2026-01-31")
    if table.period is not None and not (table.period[0] <= period[0] and period[1] <= table.period[1]):
        raise DataError(
            "DPQ-508",
            f"the period {period[0]}..{period[1]} is not within the table's, {table.period[0]}..{table.period[1]}",
            fix=f"declare a longer period in [tables.{name}], or name another",
        )
    return period
