"""What is timed: the plain query by DuckDB, and dpquery from the request to the release."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING

import duckdb
import numpy as np

from benchmarks.data import STORE
from benchmarks.works import EPSILON, KEY, TABLE
from dpquery.demo.questions import ANALYST, PURPOSE
from dpquery.engines.embedded import execute
from dpquery.engines.stored import stored_rows
from dpquery.ledger import Ledger
from dpquery.measuring import with_noise
from dpquery.session import connect
from dpquery.store import open_store
from dpquery.store_ledger import ledger_place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchmarks.works import Bounds, Work
    from dpquery.engines.render import Sql
    from dpquery.engines.scan import Batch, RowSource, ScanColumn
    from dpquery.ledger import Charged, ChargeRequest
    from dpquery.plan.expressions import Constant
    from dpquery.plan.relations import Relation
    from dpquery.session import Query, Session

Counts = dict[str, int]
"""Rows by region."""


class Plain:
    """DuckDB over the store's Parquet files, with as many threads as dpquery's scan: its default, one per core."""

    name = "plain duckdb"

    def __init__(self, folder: Path, work: Work) -> None:
        store = open_store(folder / STORE)
        self._sql = work.plain_sql
        self._files = [str(file.path) for file in store.files(TABLE)]
        self._connection = duckdb.connect()
        self._connection.execute("SET enable_progress_bar = false")

    def run(self) -> tuple[float, Counts]:
        """Seconds and rows by region."""
        start = perf_counter()
        found = self._connection.execute(self._sql, [self._files]).fetchall()
        seconds = perf_counter() - start
        return seconds, {region: rows for region, rows in found if region is not None}


@dataclass(frozen=True, slots=True)
class PrivateRun:
    """One paid answer. Seconds; `total` is all of it."""

    total: float
    charge: float
    """Admission and the charge, durable when it ends."""
    record: float
    """The release stored, durable when it ends."""
    counts: Counts

    @property
    def without_ledger(self) -> float:
        return self.total - self.charge - self.record


@dataclass(frozen=True, slots=True)
class Stages:
    """Seconds of the steps of one answer, each run by itself outside of an answer."""

    plan: float
    """Request to priced plan."""
    scan_alone: float
    """The scan with nobody doing anything with its batches."""
    scan: float
    """Time for which the kernels waited on the scan; the scan goes on while they work."""
    batches: float
    """Kernels on each batch as it comes."""
    bounding: float
    """Kernels after the last batch."""
    noise: float


class Private:
    """dpquery with one setting of the contribution bounds."""

    def __init__(self, folder: Path, work: Work, bounds: Bounds) -> None:
        opened = connect(folder / STORE, analyst=ANALYST, purpose=PURPOSE)
        opened.ledger.close()
        self._ledger = TimedLedger.timed(ledger_place(opened.store))
        self._session: Session = replace(opened, ledger=self._ledger)
        self._work = work
        self._bounds = bounds
        self.name = f"dpquery, {bounds.label} bounds"

    def run(self) -> PrivateRun:
        """One answer, paid anew, from the request to the release."""
        start = perf_counter()
        release = self._query().run(EPSILON, fresh=True)
        total = perf_counter() - start
        counts = {row[KEY]: row["n"] for row in release.rows()}
        return PrivateRun(total, self._ledger.charge_seconds, self._ledger.record_seconds, counts)

    def stages(self) -> Stages:
        """The steps apart. The exact counts are dropped unread, and the noise is drawn on zeros."""
        start = perf_counter()
        plan = self._query().preview(EPSILON).plan
        planned = perf_counter() - start
        rows = WatchedRows(
            stored_rows(
                self._session.store, self._session.catalog, plan, purpose="network_planning", at=datetime.now(UTC)
            )
        )
        start = perf_counter()
        execute(plan, rows)
        end = perf_counter()
        scan_alone = rows.drain()
        zeros = [np.zeros((plan.bounded.cells, part.measurement.width), np.int64) for part in plan.parts]
        before = perf_counter()
        for part, exact in zip(plan.parts, zeros, strict=True):
            with_noise(part, exact)
        noise = perf_counter() - before
        bounding = end - rows.ended
        return Stages(planned, scan_alone, rows.waited, end - start - rows.waited - bounding, bounding, noise)

    def _query(self) -> Query:
        request = self._session.table(TABLE).group_by(KEY).count(name="n")
        if self._work.where:
            request = request.where(self._work.where)
        bounds = self._bounds
        return request.bounded(max_rows=bounds.max_rows, max_rows_per_group=bounds.max_rows_per_group).query()


class TimedLedger(Ledger):
    """A ledger that keeps the time of its last charge and its last record, in seconds."""

    charge_seconds = 0.0
    record_seconds = 0.0

    @classmethod
    def timed(cls, place: Path | str) -> TimedLedger:
        """The ledger at `place`."""
        ledger = cls.open(place)
        if not isinstance(ledger, cls):
            raise TypeError("a ledger opens as its own class")
        return ledger

    def charge(self, request: ChargeRequest) -> Charged:
        start = perf_counter()
        try:
            return super().charge(request)
        finally:
            self.charge_seconds = perf_counter() - start

    def record(self, charged: Charged, payload: bytes) -> bytes:
        start = perf_counter()
        try:
            return super().record(charged, payload)
        finally:
            self.record_seconds = perf_counter() - start


@dataclass(slots=True)
class WatchedRows:
    """Rows of a store that keep the time spent waiting for them."""

    rows: RowSource
    waited: float = 0.0
    """Seconds from asking for a batch to having it, summed."""
    ended: float = 0.0
    """The clock when the last batch had been used."""
    asked: tuple[Relation, Sequence[ScanColumn], Sql] | None = field(default=None, repr=False)

    @property
    def numbers(self) -> int:
        return self.rows.numbers

    def distinct(self, relation: Relation, values: Sequence[Sql], where: Sql) -> list[tuple[Constant, ...]]:
        return self.rows.distinct(relation, values, where)

    def batches(self, relation: Relation, columns: Sequence[ScanColumn], where: Sql) -> Iterator[Batch]:
        self.asked = (relation, columns, where)
        stream = self.rows.batches(relation, columns, where)
        while True:
            start = perf_counter()
            batch = next(stream, None)
            self.ended = perf_counter()
            self.waited += self.ended - start
            if batch is None:
                return
            yield batch

    def drain(self) -> float:
        """Seconds of the same scan with its batches thrown away."""
        if self.asked is None:
            return 0.0
        start = perf_counter()
        for _ in self.rows.batches(*self.asked):
            pass
        return perf_counter() - start
