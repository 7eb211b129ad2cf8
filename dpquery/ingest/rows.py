"""One batch of a source to rows as they will be stored: the whole of what ingest decides about a row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dpquery.errors import broken, ensure
from dpquery.ingest.number_book import PROTECTED
from dpquery.ingest.parties import owner_counts, party_slots
from dpquery.ingest.text_columns import as_text, text_bytes
from dpquery.ingest.values import ARROW_TYPES, read_column
from dpquery.ingest.verdicts import Verdicts
from dpquery.ingest.zones import DAY_US, HOUR_US, SECOND_US, local_times, zone_named
from dpquery.policy.model import TIME_GRAINS
from dpquery.store.row_hash import hash_rows, hash_texts, sip_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from zoneinfo import ZoneInfo

    from dpquery.ingest.batches import SourceBatch
    from dpquery.ingest.mapping import Mapping
    from dpquery.ingest.number_book import NumberBook
    from dpquery.ingest.times import TimeReader
    from dpquery.policy import Table

Ints = np.ndarray[Any, np.dtype[np.int32]]
Longs = np.ndarray[Any, np.dtype[np.int64]]
Words = np.ndarray[Any, np.dtype[np.uint64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

EPOCH_DAY = date(1970, 1, 1)
HOURS_MAX = (1 << 24) - 1
HASH_BITS = 40
"""A row's place is its hour, 24 bits, and so many bits of its hash."""

PLACE = "place"

_OFFSETS = (-12, 14)
"""The earliest and the latest clocks of the earth, in hours from UTC."""


@dataclass(frozen=True, slots=True)
class RowShape:
    """How rows of one table are made and stored."""

    table: Table
    mapping: Mapping
    region: str | None
    """Region of numbers whose row names none."""
    period: tuple[date, date] | None
    kept_from: datetime | None
    """The first time (UTC) that is not past retention."""
    zone: ZoneInfo
    """The table's own."""
    times: TimeReader | None
    value_times: TimeReader
    order_key: bytes
    text_key: bytes
    """A key of its own, so that a text's hash is no part of the row's."""
    row_test: Callable[[pa.RecordBatch], Flags] | None

    @property
    def spool_schema(self) -> pa.Schema:
        """Rows between reading and sorting: slots for parties, and nothing that follows from slot or time."""
        times = [] if self.table.time is None else [(self.table.time.column, pa.int64())]
        return pa.schema(
            [
                *((name, pa.int32()) for name in self.table.party_names),
                *times,
                *((name, ARROW_TYPES[column.type]) for name, column in self.table.columns.items()),
                ("order_month", pa.int32()),
                ("order_hour", pa.int32()),
                ("order_h1", pa.uint64()),
                ("order_h2", pa.uint64()),
            ]
        )

    @property
    def stored_schema(self) -> pa.Schema:
        """Rows at rest."""
        time = self.table.time
        derived = [
            (f"{p}_{w}", pa.string()) for p in self.table.party_names for w in ("kind", "region", "country", "type")
        ]
        times = [("day", pa.date32()), ("local_hour", pa.int8()), ("local_dow", pa.int8())]
        if time is not None and time.several_zones:
            times += [("earliest_hour", pa.int16()), ("latest_hour", pa.int16())]
        return pa.schema(
            [
                *((name, pa.int32()) for name in self.table.party_names),
                *([] if time is None else [(time.column, pa.timestamp("us"))]),
                *((name, ARROW_TYPES[column.type]) for name, column in self.table.columns.items()),
                *derived,
                *([] if time is None else times),
                (PLACE, pa.uint64()),
            ]
        )


def spool_rows(shape: RowShape, batch: SourceBatch, book: NumberBook) -> tuple[pa.RecordBatch, Verdicts]:
    """The rows of `batch` that will be stored, in the spool's schema, and why the others will not."""
    verdicts = Verdicts(len(batch))
    if batch.damaged is not None:
        verdicts.mark(batch.damaged, "bad_row", "not UTF-8")
    parties = party_slots(
        batch,
        mapping=shape.mapping,
        region=shape.region,
        book=book,
        names=shape.table.party_names,
        verdicts=verdicts,
    )
    micros = _times(shape, batch, verdicts)
    if shape.mapping.third_party is not None:
        third = pc.utf8_trim_whitespace(as_text(batch.columns[shape.mapping.third_party]))
        verdicts.mark(_flags(pc.not_equal(third, "")), "third_party", shape.mapping.third_party)
    columns = {}
    for name, source in shape.mapping.columns:
        declared, grain = shape.table.columns[name], shape.table.stored_grain(name)
        read = read_column(batch.columns[source], declared, shape.value_times, grain)
        verdicts.mark(read.bad, "bad_value", name)
        columns[name] = read.values
    owners = owner_counts(parties, book)
    if shape.table.owners == 1:
        verdicts.mark(owners > 1, "too_many_owners")
    if shape.table.one_owner_when is not None:
        _test_rows(shape, book, parties, micros, columns=columns, owners=owners, verdicts=verdicts)
    kept = verdicts.kept
    parties = tuple(slots[kept] for slots in parties)
    micros = micros[kept]
    if not kept.all():
        columns = {name: values.filter(pa.array(kept)) for name, values in columns.items()}
    for slots in parties:
        book.mark_stored(slots)
    return _spooled(shape, book, parties, micros, columns), verdicts


def stored_rows(shape: RowShape, batch: pa.RecordBatch, book: NumberBook) -> pa.RecordBatch:
    """Sorted rows of the spool as they are at rest."""
    names = shape.table.party_names
    parties = tuple(batch.column(name).to_numpy() for name in names)
    columns = {name: batch.column(name) for name in shape.table.columns}
    micros = _micros_of(shape, batch)
    found: dict[str, Any] = {
        **{name: pa.array(book.codes(slots)) for name, slots in zip(names, parties, strict=True)},
        **columns,
        **derived_columns(shape, book, parties, micros),
        PLACE: pa.array(_places(batch)),
    }
    if shape.table.time is not None:
        found[shape.table.time.column] = pa.array(micros).cast(pa.timestamp("us"))
    schema = shape.stored_schema
    return pa.RecordBatch.from_arrays([_as(found[field.name], field.type) for field in schema], schema=schema)


def derived_columns(shape: RowShape, book: NumberBook, parties: tuple[Ints, ...], micros: Longs) -> dict[str, pa.Array]:
    """What follows from numbers and time."""
    found = {
        f"{name}_{what}": book.derived(slots, what)
        for name, slots in zip(shape.table.party_names, parties, strict=True)
        for what in ("kind", "region", "country", "type")
    }
    if shape.table.time is not None:
        local, earliest, latest = _clocks(shape, book, parties, micros)
        found["day"] = pa.array((micros // DAY_US).astype(np.int32)).cast(pa.date32())
        found["local_hour"] = pa.array((local // HOUR_US % 24).astype(np.int8))
        found["local_dow"] = pa.array(((local // DAY_US + 3) % 7 + 1).astype(np.int8))  # 1970-01-01 was a Thursday
        if shape.table.time.several_zones:
            found["earliest_hour"] = pa.array(_week_hours(earliest))
            found["latest_hour"] = pa.array(_week_hours(latest))
    return found


def _times(shape: RowShape, batch: SourceBatch, verdicts: Verdicts) -> Longs:
    """Time of each row in UTC, floored to the grain: what is finer reaches no later step."""
    if shape.table.time is None:
        return np.zeros(len(batch), np.int64)
    if shape.times is None or shape.mapping.time is None:
        broken("a table with time has a reader for it")
    read = shape.times.read(batch.columns[shape.mapping.time])
    verdicts.mark(read.missing, "missing_time")
    verdicts.mark(read.bad, "bad_time")
    if shape.kept_from is not None:
        first_kept = np.datetime64(shape.kept_from, "us").astype(np.int64)
        verdicts.leave_out(~read.missing & ~read.bad & (read.micros < first_kept), "past_retention")
    if shape.period is not None:
        first, last = ((day - EPOCH_DAY).days for day in shape.period)
        days = read.micros // DAY_US
        verdicts.mark((days < first) | (days > last), "outside_period")
    grain = TIME_GRAINS[shape.table.time.grain] * SECOND_US
    return read.micros // grain * grain


def _test_rows(
    shape: RowShape,
    book: NumberBook,
    parties: tuple[Ints, ...],
    micros: Longs,
    *,
    columns: dict[str, pa.Array],
    owners: Ints,
    verdicts: Verdicts,
) -> None:
    if shape.row_test is None:
        broken("a table with one_owner_when comes with its row test")
    kept = verdicts.kept
    columns = {name: values.filter(pa.array(kept)) for name, values in columns.items()}
    seen = {**columns, **derived_columns(shape, book, tuple(slots[kept] for slots in parties), micros[kept])}
    if shape.table.time is not None:
        seen[shape.table.time.column] = pa.array(micros[kept]).cast(pa.timestamp("us"))
    plain = {name: _as(values, shape.stored_schema.field(name).type) for name, values in seen.items()}
    holds = np.asarray(shape.row_test(pa.RecordBatch.from_pydict(plain)), np.bool_)
    ensure(len(holds) == kept.sum(), "a row test answers for each row")
    tested = np.zeros(len(kept), np.bool_)
    tested[kept] = holds
    verdicts.mark(tested & (owners > 1), "too_many_owners", "one_owner_when")


def _spooled(
    shape: RowShape, book: NumberBook, parties: tuple[Ints, ...], micros: Longs, columns: dict[str, pa.Array]
) -> pa.RecordBatch:
    schema = shape.spool_schema
    words = _words(shape, book, parties, micros, columns)
    arrays: dict[str, Any] = {
        **{name: pa.array(slots) for name, slots in zip(shape.table.party_names, parties, strict=True)},
        **columns,
        "order_month": pa.array(_months(shape, micros)),
        "order_hour": pa.array(np.clip(micros // HOUR_US, 0, HOURS_MAX).astype(np.int32)),
        "order_h1": pa.array(hash_rows(words, sip_key(shape.order_key, 0))),
        "order_h2": pa.array(hash_rows(words, sip_key(shape.order_key, 1))),
    }
    if shape.table.time is not None:
        arrays[shape.table.time.column] = pa.array(micros)
    return pa.RecordBatch.from_arrays([arrays[field.name] for field in schema], schema=schema)


def _words(
    shape: RowShape, book: NumberBook, parties: tuple[Ints, ...], micros: Longs, columns: dict[str, pa.Array]
) -> Words:
    """The row's own content as 64-bit words: pseudonyms, time, values, and which values are NULL.

    Derived columns follow from these; codes and positions depend on other rows and are left out.
    """
    count = len(micros)
    nulls = [np.zeros(count, np.uint64) for _ in range(len(columns) // 64 + 1)]
    words = [book.pseudonyms(slots) for slots in parties] + [micros.view(np.uint64).reshape(-1, 1)]
    text_key = sip_key(shape.text_key, 0)
    for place, values in enumerate(columns.values()):
        if values.null_count:
            nulls[place // 64] |= _flags(pc.is_null(values)).astype(np.uint64) << np.uint64(place % 64)
        words.append(_value_words(values, text_key).reshape(-1, 1))
    return np.ascontiguousarray(np.concatenate([*words, *(null.reshape(-1, 1) for null in nulls)], axis=1))


def _value_words(values: pa.Array, text_key: Words) -> Words:
    kind = values.type
    if pa.types.is_string(kind):
        data, offsets = text_bytes(pc.fill_null(values, ""))
        return hash_texts(data, offsets, text_key)
    if pa.types.is_date(kind):
        values, kind = pc.cast(values, pa.int32()), pa.int32()
    if pa.types.is_timestamp(kind):
        values = pc.cast(values, pa.int64())
    filled = pc.fill_null(values, False if pa.types.is_boolean(kind) else 0).to_numpy(zero_copy_only=False)
    if filled.dtype == np.float64:
        filled = filled + 0.0  # -0.0 and 0.0 are one value
        return np.ascontiguousarray(filled).view(np.uint64)
    return np.ascontiguousarray(filled.astype(np.int64)).view(np.uint64)


def _months(shape: RowShape, micros: Longs) -> Ints:
    """Months since 1970 (UTC); 0 where the table has no blocks."""
    if shape.table.block == "none":
        return np.zeros(len(micros), np.int32)
    return micros.view("datetime64[us]").astype("datetime64[M]").astype(np.int64).astype(np.int32)


def _places(batch: pa.RecordBatch) -> Words:
    hours = batch.column("order_hour").to_numpy().astype(np.uint64)
    hashes = batch.column("order_h1").to_numpy()
    places: Words = (hours << np.uint64(HASH_BITS)) | (hashes >> np.uint64(64 - HASH_BITS))
    return places


def _micros_of(shape: RowShape, batch: pa.RecordBatch) -> Longs:
    if shape.table.time is None:
        return np.zeros(batch.num_rows, np.int64)
    micros: Longs = batch.column(shape.table.time.column).to_numpy()
    return micros


def _clocks(shape: RowShape, book: NumberBook, parties: tuple[Ints, ...], micros: Longs) -> tuple[Longs, Longs, Longs]:
    """Clock times where the first protected party's number is from: of its first zone, the earliest, and the latest.

    Where its zones are not known the first is the table's, and the others are those of the whole earth.
    """
    zones = np.zeros(len(micros), np.int32)
    for slots in reversed(parties):
        zones = np.where(book.what(slots) == PROTECTED, book.zones(slots), zones)
    first, earliest, latest = np.empty_like(micros), np.empty_like(micros), np.empty_like(micros)
    names = book.zone_names
    for index in np.unique(zones).tolist():
        rows = zones == index
        found = [zone_named(name) for name in names[index]] if index else [None]
        clocks = [local_times(micros[rows], zone) for zone in found if zone is not None]
        if len(clocks) < len(found):
            everywhere = [micros[rows] + offset * HOUR_US for offset in _OFFSETS]
            clocks = [clocks[0] if found[0] is not None else local_times(micros[rows], shape.zone), *everywhere]
        first[rows] = clocks[0]
        earliest[rows] = np.minimum.reduce(clocks)
        latest[rows] = np.maximum.reduce(clocks)
    return first, earliest, latest


def _week_hours(local: Longs) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Hour of the week, 0 to 167 from Monday on."""
    return ((local // HOUR_US + 3 * 24) % (7 * 24)).astype(np.int16)


def _as(values: pa.Array, kind: pa.DataType) -> pa.Array:
    return values if values.type == kind else pc.cast(values, kind)


def _flags(column: pa.Array) -> Flags:
    flags: Flags = column.to_numpy(zero_copy_only=False).astype(np.bool_)
    return flags
