"""Relations to DuckDB SQL: rows with their place, their parties and the columns that are asked for.

A number's records are joined on its code, and codes below zero name nobody, so they meet no record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, assert_never

from dpquery.engines.render import (
    SQL_TYPES,
    Sql,
    column_value,
    condition,
    finite,
    grid_sum,
    identifier,
    join,
    render,
    sql,
)
from dpquery.errors import broken
from dpquery.plan.expressions import columns_in
from dpquery.plan.relations import Joined, NumberMeasure, PerNumber, Relation, Selection, Stored, UnionAll

if TYPE_CHECKING:
    from collections.abc import Callable

    from dpquery.plan.catalog import NamedTable

Tables: TypeAlias = "Callable[[str], Sql]"
"""What stands in FROM for a stored table."""


def empty_table(table: NamedTable) -> Sql:
    """What stands in FROM for a table that holds no rows in the blocks that are read."""
    columns = [Sql("0::UBIGINT AS place")]
    for name, column in table.columns.items():
        kind = "INTEGER" if column.role == "party" else SQL_TYPES[column.type]
        columns.append(sql("CAST(NULL AS " + kind + ") AS {}", identifier(name)))
    return sql("(SELECT {} WHERE FALSE)", join(", ", columns))


def rows(relation: Relation, tables: Tables) -> Sql:
    """A query that yields `place`, the parties and every column of `relation`; `lot` too for rows per number."""
    match relation:
        case Stored(table=table):
            return sql("SELECT * FROM {}", tables(table))
        case Selection():
            return _selection(relation, tables)
        case UnionAll(branches=branches):
            return join(" UNION ALL ", [rows(branch, tables) for branch in branches])
        case Joined():
            return _joined(relation, tables)
        case PerNumber():
            return _per_number(relation, tables)
        case _:
            assert_never(relation)


def _selection(selection: Selection, tables: Tables) -> Sql:
    parties = [sql("{} AS {}", identifier(old), identifier(new)) for new, old in selection.parties]
    columns = [sql("{} AS {}", column_value(value), identifier(name)) for name, value in selection.columns]
    where = condition(selection.where)
    if selection.only_protected is not None:
        where = sql("{} AND {} >= 0", where, identifier(selection.only_protected))
    selected = join(", ", [Sql("place"), *parties, *columns])
    return sql("SELECT {} FROM ({}) WHERE {}", selected, rows(selection.source, tables), where)


def _joined(joined: Joined, tables: Tables) -> Sql:
    """Each row with the records of its party; for a list, each row once, with whether its party has a record."""
    source = rows(joined.source, tables)
    records = sql("SELECT * FROM ({}) WHERE {} >= 0", rows(joined.records, tables), identifier(joined.records_party))
    on = sql("s.{} = r.{}", identifier(joined.party), identifier(joined.records_party))
    if joined.keep == "listed":
        party = identifier(joined.records_party)
        flag = sql("(r.{} IS NOT NULL) AS {}", party, identifier(f"{joined.name}__listed"))
        listed = sql("SELECT DISTINCT {} FROM ({})", party, records)
        return sql("SELECT s.*, {} FROM ({}) s LEFT JOIN ({}) r ON {}", flag, source, listed, on)
    columns = [
        sql("r.{} AS {}", identifier(name), identifier(f"{joined.name}__{name}")) for name, _ in joined.records.columns
    ]
    kind = "INNER" if joined.keep == "matching" else "LEFT"
    selected = join(", ", [Sql("s.*"), *columns])
    return sql("SELECT {} FROM ({}) s " + kind + " JOIN ({}) r ON {}", selected, source, records, on)


def _per_number(grouped: PerNumber, tables: Tables) -> Sql:
    """One row per protected number and key, made from the number's own rows.

    Its place is that of the first of these rows. Its lot mixes that place, so that a group of many rows has the same
    chance to be kept as one of few.
    """
    owner = identifier(grouped.owners[0])
    if len(grouped.owners) > 1:
        # The other party of a one-owner row is nobody's number, and has a negative code.
        owner = sql("greatest({})", join(", ", [identifier(party) for party in grouped.owners]))
    # Keys are computed below the grouping: an engine does not know two parameters of equal value as one expression.
    below = [sql("{} AS grouping_owner", owner)]
    below += [sql("{} AS " + f"grouping_{i}", column_value(value)) for i, (_, value) in enumerate(grouped.keys)]
    where = sql("{} AND {} >= 0", condition(grouped.where), owner)
    keyed = sql("SELECT *, {} FROM ({}) WHERE {}", join(", ", below), rows(grouped.source, tables), where)
    keys = [sql(f"grouping_{i} AS {{}}", identifier(name)) for i, (name, _) in enumerate(grouped.keys)]
    measures = [sql("{} AS {}", _measure(measure), identifier(measure.name)) for measure in grouped.measures]
    lot = Sql("CAST(hash(min(place)) & 4294967295 AS UINTEGER) AS lot")
    party = sql("grouping_owner AS {}", identifier(grouped.party))
    groups = ", ".join(["grouping_owner", *(f"grouping_{i}" for i in range(len(grouped.keys)))])
    selected = join(", ", [Sql("min(place) AS place"), lot, party, *keys, *measures])
    made = sql("SELECT {} FROM ({}) GROUP BY " + groups, selected, keyed)
    if not grouped.having:
        return made
    return sql("SELECT * FROM ({}) WHERE {}", made, condition(grouped.having))


def _measure(measure: NumberMeasure) -> Sql:
    """What a number's rows add up to, the same in whatever order the engine takes them.

    Sums and means run over whole steps of a grid; ties of MODE go to the least value.
    """
    only = Sql("") if measure.where is None else sql(" FILTER (WHERE {})", render(measure.where))
    argument = None if measure.argument is None else column_value(measure.argument)
    if measure.function == "count":
        return sql("count({}){}", argument or Sql("*"), only)
    if argument is None or measure.argument is None:
        broken("every other measure has an argument")
    match measure.function:
        case "count distinct":
            return sql("count(DISTINCT {}){}", argument, only)
        case "min" | "max":
            return sql(measure.function + "({}){}", finite(measure.argument), only)
        case "mode":
            if not columns_in(measure.argument):
                # DuckDB takes a constant there for the fraction of a quantile, and stops.
                argument = sql("CASE WHEN place IS NOT NULL THEN {} END", argument)
            return sql("mode({} ORDER BY {}){}", argument, argument, only)
        case "sum" | "avg":
            return grid_sum(measure.argument, measure.grid, only, mean=measure.function == "avg")
        case _:
            assert_never(measure.function)
