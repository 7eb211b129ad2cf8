"""Files of rows: no column that is not declared, no code that is none, no time that is finer than declared."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dpquery.doctor.contents import BATCH_ROWS
from dpquery.ingest.coarse import coarsened
from dpquery.ingest.rows import PLACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dpquery.policy import Table

Fault: TypeAlias = Literal["undeclared column", "not a code", "finer than declared"]


@dataclass(frozen=True, slots=True)
class RowFault:
    """Something that should not be in a file of rows."""

    kind: Fault
    column: str


def own_columns(table: Table) -> frozenset[str]:
    """Columns that hold no text and no amount of a file: codes, times and places, which are checked by themselves."""
    time = () if table.time is None else (table.time.column, "day", "local_hour", "local_dow")
    return frozenset() if table.public else frozenset((*table.party_names, *time, PLACE))


def row_faults(path: Path, table: Table, number_count: int) -> Iterator[RowFault]:
    """What is wrong with the file at `path`, which holds rows of `table`."""
    own = own_columns(table)
    declared = {*table.columns} if table.public else {*table.columns, *table.derived_names, *own}
    with pq.ParquetFile(path) as file:
        for name in file.schema_arrow.names:
            if name not in declared:
                yield RowFault("undeclared column", name)
        for name in table.party_names:
            if name in file.schema_arrow.names and not _all(file, name, partial(_are_codes, number_count)):
                yield RowFault("not a code", name)
        for name, grain in _grains(table):
            if name in file.schema_arrow.names and not _all(file, name, partial(_are_at, grain)):
                yield RowFault("finer than declared", name)


def _grains(table: Table) -> Iterator[tuple[str, str | float]]:
    """Columns with a grain, and that grain."""
    if table.time is not None:
        yield table.time.column, table.time.grain
    for name in table.columns:
        if (grain := table.stored_grain(name)) is not None:
            yield name, grain


def _all(file: pq.ParquetFile, name: str, holds: Callable[[pa.Array], bool]) -> bool:
    return all(holds(batch.column(0)) for batch in file.iter_batches(BATCH_ROWS, columns=[name]))


def _are_codes(number_count: int, codes: pa.Array) -> bool:
    """Whether these are codes as parties have them: of a number, of none (-1), of a public number (-2 - code)."""
    if not len(codes):
        return True
    if codes.type != pa.int32() or codes.null_count:
        return False
    least, most = pc.min_max(codes).as_py().values()
    return bool(-1 - number_count <= least and most < number_count)


def _are_at(grain: str | float, values: pa.Array) -> bool:
    """Whether nothing is cut off when these are cut to the grain."""
    if isinstance(grain, str) != pa.types.is_timestamp(values.type):
        return False
    return pc.all(pc.equal(coarsened(values, grain), values)).as_py() is not False
