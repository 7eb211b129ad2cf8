"""Times in any declared format to microseconds in UTC. Total: a text that is no time is marked, never raised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dpquery.errors import DataError
from dpquery.ingest.parse_loops import BAD, NULL, OK, OK_UTC, read_iso_times
from dpquery.ingest.text_columns import as_text, is_text, text_bytes
from dpquery.ingest.zones import SECOND_US, utc_times

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    import duckdb

Longs = np.ndarray[Any, np.dtype[np.int64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

FIRST_US = -2_208_988_800 * SECOND_US
"""1900-01-01."""
END_US = 32_503_680_000 * SECOND_US
"""3000-01-01: an unlikely time is a wrong format, such as milliseconds taken for seconds."""


@dataclass(frozen=True, slots=True)
class Times:
    """A column of times."""

    micros: Longs
    """Since 1970, UTC; 0 where missing or bad."""
    missing: Flags
    bad: Flags


@dataclass(frozen=True, slots=True)
class TimeReader:
    """Reads one format. Times without an offset are those of clocks in `zone`."""

    format: str
    """ "iso", "unix" (seconds), "unix_ms", or a strptime pattern."""
    zone: ZoneInfo
    engine: duckdb.DuckDBPyConnection

    def check(self) -> None:
        """DataError DPQ-508 for a pattern that nothing can be read by."""
        import duckdb

        if self.format in {"iso", "unix", "unix_ms"}:
            return
        try:
            self.engine.execute("SELECT try_strptime('', ?)", [self.format]).fetchall()
        except duckdb.Error:
            raise DataError(
                "DPQ-508",
                f"the time format {self.format!r} is none that dpquery reads",
                fix='format = "iso", "unix", "unix_ms", or a pattern such as "%d/%m/%Y %H:%M:%S"',
            ) from None

    def read(self, column: pa.Array) -> Times:
        """Times of a column of text, or of a typed one; a timestamp or date needs no format."""
        if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
            return self._typed(column)
        match self.format:
            case "iso":
                return self._iso(as_text(column))
            case "unix":
                return _unix(column, SECOND_US)
            case "unix_ms":
                return _unix(column, 1000)
            case _:
                return self._pattern(as_text(column))

    def _typed(self, column: pa.Array) -> Times:
        aware = pa.types.is_timestamp(column.type) and column.type.tz is not None
        kind = pa.timestamp("us", column.type.tz if aware else None)
        micros = pc.cast(pc.cast(column, kind, safe=False), pa.int64())
        values = _filled(micros)
        return _checked(values if aware else utc_times(_within(values), self.zone), _nulls(micros))

    def _iso(self, text: pa.Array) -> Times:
        data, offsets = text_bytes(text)
        values, status = np.empty(len(text), np.int64), np.empty(len(text), np.uint8)
        read_iso_times(data, offsets, values, status)
        naive = status == OK
        if naive.any():
            values[naive] = utc_times(values[naive], self.zone)
        return Times(values, status == NULL, status == BAD)

    def _pattern(self, text: pa.Array) -> Times:
        """Each distinct text once, by DuckDB: its pattern parser is total and knows no locale."""
        encoded = pc.utf8_trim_whitespace(text).dictionary_encode()
        texts = pa.table({"t": encoded.dictionary})
        kind = f"try_strptime(t, {_quoted(self.format)})"
        relation = self.engine.from_arrow(texts)
        aware = "TIME ZONE" in str(relation.select(kind).types[0])
        parsed = relation.select(f"epoch_us({kind}) AS us").to_arrow_table().column("us").combine_chunks()
        if isinstance(parsed, pa.ChunkedArray):
            parsed = pa.concat_arrays(parsed.chunks) if parsed.num_chunks else pa.array([], pa.int64())
        values, bad = _filled(parsed), _nulls(parsed)
        outside = (values < FIRST_US) | (values >= END_US)
        values, bad = np.where(outside, 0, values), bad | outside
        if not aware:
            values = utc_times(values, self.zone)
        missing = _flags(pc.equal(encoded.dictionary, ""))
        indices = encoded.indices.to_numpy(zero_copy_only=False)
        return Times(np.where(bad, 0, values)[indices], missing[indices], (bad & ~missing)[indices])


def iso_reader(zone: ZoneInfo, engine: duckdb.DuckDBPyConnection) -> TimeReader:
    """Reads the dates and times of declared columns."""
    return TimeReader("iso", zone, engine)


def _unix(column: pa.Array, unit_us: int) -> Times:
    if pa.types.is_integer(column.type):
        values = _filled(pc.cast(column, pa.int64(), safe=False)).astype(np.float64)
        return _scaled(values, _nulls(column), unit_us)
    from dpquery.ingest.values import read_decimal

    read = read_decimal(as_text(column) if is_text(column) else column)
    values = np.nan_to_num(_filled(read.values))
    times = _scaled(values, _nulls(read.values), unit_us)
    return Times(times.micros, times.missing & ~read.bad, times.bad | read.bad)


def _scaled(values: np.ndarray[Any, np.dtype[np.float64]], missing: Flags, unit_us: int) -> Times:
    bad = (values * unit_us < FIRST_US) | (values * unit_us >= END_US)
    micros = np.round(np.where(bad, 0.0, values) * unit_us).astype(np.int64)
    return Times(micros, missing, bad & ~missing)


def _checked(values: Longs, missing: Flags) -> Times:
    bad = ((values < FIRST_US) | (values >= END_US)) & ~missing
    return Times(np.where(bad | missing, 0, values), missing, bad)


def _within(values: Longs) -> Longs:
    """Values that zone data can be asked about; those outside stay outside."""
    return np.clip(values, FIRST_US - SECOND_US * 86400 * 2, END_US + SECOND_US * 86400 * 2)


def _filled(column: pa.Array) -> Any:
    return pc.fill_null(column, 0).to_numpy(zero_copy_only=False)


def _nulls(column: pa.Array) -> Flags:
    return _flags(pc.is_null(column))


def _flags(column: pa.Array) -> Flags:
    flags: Flags = column.to_numpy(zero_copy_only=False).astype(np.bool_)
    return flags


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


__all__ = ["OK_UTC", "TimeReader", "Times", "iso_reader"]
