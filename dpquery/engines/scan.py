"""Streams the rows a plan needs out of the store, as integer columns, in the store's order."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import duckdb
import numpy as np

from dpquery.engines.relations import rows
from dpquery.engines.render import CLAMP_MACRO, Sql, identifier, join, sql
from dpquery.errors import EngineError, ensure
from dpquery.plan.relations import Stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from dpquery.plan.expressions import Constant
    from dpquery.plan.relations import Relation

Batch: TypeAlias = "dict[str, NDArray[Any]]"
"""Streamed columns by name."""

BATCH_ROWS = 262_144
"""Rows per Arrow batch handed to a kernel."""

SETTINGS = (
    "SET enable_external_access = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
    "SET allow_persistent_secrets = false",
    "SET python_enable_replacements = false",
    "SET preserve_insertion_order = true",
    "SET error_on_division_by_zero = false",
    "SET enable_progress_bar = false",
    "SET lock_configuration = true",
)
"""A second wall behind the plan: the engine reads the store's folder and nothing else, and nothing can be reopened."""

FAILURES = (duckdb.Error, RuntimeError, OSError, MemoryError, ValueError, TypeError, ArithmeticError)
"""What DuckDB and Arrow raise while rows are read; their texts may quote them."""


@dataclass(frozen=True, slots=True)
class ScanColumn:
    """One streamed column: its name in the stream and the SQL that computes it."""

    name: str
    sql: Sql
    listed: tuple[Constant, ...] | None = None
    """Where given, what streams is the place of each value among these, which may hold NULL; -1 for any other."""


@contextlib.contextmanager
def connection(folder: Path, *, memory_limit: str | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory DuckDB that may read files under `folder` only."""
    con = duckdb.connect(":memory:")
    try:
        if memory_limit is not None:
            con.execute(f"SET memory_limit = '{memory_limit}'")
        con.execute("SET temp_directory = ''")
        con.execute("SET allowed_directories = [" + _text(str(folder.resolve())) + "]")
        con.execute(CLAMP_MACRO)
        for setting in SETTINGS:
            with contextlib.suppress(duckdb.CatalogException):  # a setting that this version does not have
                con.execute(setting)
        yield con
    finally:
        con.close()


class RowSource(Protocol):
    """Where private rows come from."""

    @property
    def numbers(self) -> int:
        """How many numbers the rows' codes go up to."""

    def batches(self, relation: Relation, columns: Sequence[ScanColumn], where: Sql) -> Iterator[Batch]:
        """The columns of the relation's rows that meet `where`, without NULLs, by place; again at each call."""

    def distinct(self, relation: Relation, values: Sequence[Sql], where: Sql) -> list[tuple[Constant, ...]]:
        """The different values that rows of the relation which meet `where` have, in any order."""


@dataclass(frozen=True, slots=True)
class StoredRows:
    """Rows in the files of a store, which are in the store's order: by batch, block and place."""

    folder: Path
    files: Mapping[str, tuple[Path, ...]]
    """The files of each table that a request reads."""
    numbers: int
    empty: Mapping[str, Sql] = field(default_factory=dict)
    """What stands for a table that has no files."""
    parties: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The columns of each table that hold codes of numbers."""
    allowed: str | None = field(default=None, repr=False)
    """Whose rows count, as signs 0 and 1: for numbers that nobody owns, for one that was not shown, then by code.

    None: everybody's. A row counts only if each of its numbers does.
    """
    kept_from: Mapping[str, tuple[str, datetime]] = field(default_factory=dict)
    """Of tables with retention: the time column, and the first time whose rows may be read."""
    views: Mapping[str, pa.Table] = field(default_factory=dict, repr=False)
    """Tables that have no files of their own, in the order of their `place`."""

    def batches(self, relation: Relation, columns: Sequence[ScanColumn], where: Sql) -> Iterator[Batch]:
        """Rows of one table file by file, in the order they have there; any other relation sorted as a whole."""
        with self._connection() as con:
            if isinstance(relation, Stored) and relation.table not in self.views:
                for file in self.files[relation.table]:
                    source = self._readable(relation.table, Sql("read_parquet(?)", (str(file.resolve()),)))
                    yield from stream(con, source, columns, where)
            else:
                source = sql("({})", rows(relation, self.table))
                yield from stream(con, source, columns, where, sort=True)

    def distinct(self, relation: Relation, values: Sequence[Sql], where: Sql) -> list[tuple[Constant, ...]]:
        with self._connection() as con:
            return distinct_values(con, sql("({})", rows(relation, self.table)), values, where)

    def table(self, name: str) -> Sql:
        """What stands in FROM for a stored table: the rows of it that count."""
        if name in self.views:
            return identifier(_view(name))
        files = self.files[name]
        if not files:
            return self.empty[name]
        return self._readable(name, Sql("read_parquet(?)", ([str(file.resolve()) for file in files],)))

    def _readable(self, name: str, source: Sql) -> Sql:
        """Every query shape reads its rows through here, so that none can miss whom and what they may count."""
        tests: list[Sql] = []
        if name in self.kept_from:
            column, first = self.kept_from[name]
            tests.append(sql("{} >= {}", identifier(column), Sql("?", (first,))))
        if self.allowed is not None:
            # Codes: -1 for a number that was not shown, less for one that nobody owns.
            bits = Sql("get_bit(?::BIT, ", (self.allowed,))
            tests += [sql("{}greatest({}, -2) + 2) = 1", bits, identifier(party)) for party in self.parties[name]]
        return sql("(SELECT * FROM {} WHERE {})", source, join(" AND ", tests)) if tests else source

    @contextlib.contextmanager
    def _connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with connection(self.folder) as con:
            for name, rows_ in self.views.items():
                con.register(_view(name), rows_)
            yield con


def _view(name: str) -> str:
    return f"view_{name}"


def stream(
    con: duckdb.DuckDBPyConnection, source: Sql, columns: Sequence[ScanColumn], where: Sql, *, sort: bool = False
) -> Iterator[Batch]:
    """Batches of the columns of `source` (what stands in FROM) that meet `where`, in their own order.

    With `sort`, for relations whose order the engine may disturb, by place and then by every other column: an order
    that depends on the rows' own content.
    The first column must be `place`: its order is checked as it streams, since the bounding rules rely on it.
    Engine errors become EngineError without the engine's text, which may quote rows.
    """
    ensure(bool(columns) and columns[0].name == "place", "a scan streams the row's place first")
    selected = join(", ", [sql(f"{{}} AS {column.name}", column.sql) for column in columns])
    query = sql("SELECT {} FROM {} WHERE {}" + (" ORDER BY ALL" if sort else ""), selected, source, where)
    last = 0
    failure: str | None = None
    try:
        reader = con.sql(query.text, params=list(query.parameters)).to_arrow_reader(BATCH_ROWS)
        for batch in reader:
            arrays = {column.name: _array(batch.column(i), column) for i, column in enumerate(columns)}
            place = arrays["place"]
            if place.size:
                in_order = bool(np.all(place[1:] >= place[:-1])) and int(place[0]) >= last
                ensure(in_order, "the engine delivers rows in the store's order")
                last = int(place[-1])
                yield arrays
    except FAILURES as error:
        failure = type(error).__name__
    if failure is not None:
        # Raised out here: inside the handler the engine's own error, which may quote rows, would hang on as context.
        raise _stopped(failure)


def distinct_values(
    con: duckdb.DuckDBPyConnection, source: Sql, values: Sequence[Sql], where: Sql
) -> list[tuple[Constant, ...]]:
    """The different values of the rows of `source` that meet `where`; EngineError as for `stream`."""
    query = sql("SELECT DISTINCT {} FROM {} WHERE {}", join(", ", values), source, where)
    failure: str | None = None
    try:
        return con.sql(query.text, params=list(query.parameters)).fetchall()
    except FAILURES as error:
        failure = type(error).__name__
    raise _stopped(failure)


def _stopped(failure: str) -> EngineError:
    return EngineError(
        "DPQ-701", f"the engine stopped while reading ({failure})", fix="ask the steward; the charge stands"
    )


def _array(array: pa.Array, column: ScanColumn) -> NDArray[Any]:
    if column.listed is None:
        return _numpy(array)
    import pyarrow as pa
    import pyarrow.compute as pc

    places = pc.index_in(array, value_set=pa.array(column.listed, array.type))
    return _numpy(pc.fill_null(places, -1))


def _numpy(array: pa.Array) -> NDArray[Any]:
    ensure(array.null_count == 0, "streamed columns hold no NULL")
    values: NDArray[Any] = array.to_numpy(zero_copy_only=True)
    return values


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
