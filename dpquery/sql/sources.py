"""FROM, JOIN and WHERE of one SELECT to rows that keep their owners."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from sqlglot import exp

from dpquery.errors import broken
from dpquery.plan.calendar import FROM_TIME
from dpquery.plan.expressions import ColumnRef, IsNull, Lookup, Not, Value, conjuncts
from dpquery.plan.keys import TimeRange
from dpquery.plan.relations import Joined, Selection, Stored, UnionAll
from dpquery.sql.clauses import aggregates_in, check_clauses, unaliased
from dpquery.sql.keys import described
from dpquery.sql.number_lists import number_lists
from dpquery.sql.ownership import NUMBER, check_own_rows, has_one_owner, sealed
from dpquery.sql.per_number import per_number_rows
from dpquery.sql.row_tests import bare_rows
from dpquery.sql.scope import Names, Party, Rows
from dpquery.sql.tables import inner_name, named_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dpquery.plan.catalog import NamedColumn, NamedTable
    from dpquery.plan.expressions import Expression
    from dpquery.sql.context import Context
    from dpquery.sql.row_expressions import RowResolver
    from dpquery.sql.scope import Meaning

EITHER_PARTY = "either_party"
COLUMNS_MAX = 256
"""Columns of an inner query."""


def rows_of(select: exp.Select, context: Context) -> tuple[Rows, RowResolver]:
    """The rows that FROM, JOIN and WHERE of `select` leave, and the resolver of row expressions over them."""
    context = context.with_named_queries(select)
    source = select.args.get("from_")
    if source is None:
        raise context.text.refuse("DPQ-103", "the query names no table", "SELECT COUNT(*) FROM calls")
    rows = _item(source.this, context)
    for join in select.args.get("joins") or ():
        rows = _joined(rows, join, context)
    rows, known = number_lists(select, rows, context, list_rows)
    where = select.args.get("where")
    if where is not None:
        resolver = context.resolver(rows, known)
        condition = resolver.limited(resolver.condition(where.this), where.this)
        rows = rows.with_where(*conjuncts(condition))
    return rows, context.resolver(rows, known)


# --- tables ---------------------------------------------------------------------------------------------------------


def _item(node: exp.Expr, context: Context) -> Rows:
    """One item of FROM."""
    if isinstance(node, exp.Subquery):
        if any(value for part, value in node.args.items() if part not in {"this", "alias"}):
            raise context.text.refuse("DPQ-111", "this inner query has more than a name", "FROM (SELECT ...) t", node)
        return _derived(node.this, context, _alias(node, context))
    if not isinstance(node, exp.Table):
        raise context.text.refuse(
            "DPQ-111", "FROM takes tables of the policy and queries over them", "SELECT COUNT(*) FROM calls", node
        )
    _check_plain(node, context)
    if isinstance(node.this, exp.Anonymous) and node.this.name.lower() == EITHER_PARTY:
        return _either_party(node, node.this, context)
    if not isinstance(node.this, exp.Identifier):
        raise context.text.refuse(
            "DPQ-103", "table functions do not exist here", "FROM calls, or FROM either_party(calls)", node
        )
    name = node.name.lower()
    if name in context.named_queries and not node.args.get("db"):
        query, inside = context.named_queries[name]
        return _derived(query, inside, _alias(node, context) or name)
    table = named_table(node, context)
    if table.policy.public:
        raise context.text.refuse(
            "DPQ-103",
            f"{name} is a public table: it holds no numbers, and no query over it needs privacy",
            f"join it to a protected table: FROM calls JOIN {name} ON ...; db.tables() lists its columns",
            node,
        )
    return _table_rows(table, (_alias(node, context) or name,), context)


def _check_plain(node: exp.Table, context: Context) -> None:
    """QueryRefused for a table with more than a name: a sample, a version, joins of its own."""
    for part, value in node.args.items():
        if value and part not in {"this", "alias", "db", "catalog"}:
            code = "DPQ-123" if part == "sample" else "DPQ-111"
            word = _TABLE_PARTS.get(part, part)
            raise context.text.refuse(code, f"{word} on a table is not supported", f"FROM {node.name}", node)


_TABLE_PARTS = {"when": "a version", "pivots": "PIVOT", "laterals": "LATERAL", "joins": "a join in parentheses"}


def _alias(node: exp.Expr, context: Context) -> str | None:
    alias = node.args.get("alias")
    if alias is None:
        return None
    if alias.args.get("columns"):
        raise context.text.refuse("DPQ-111", "columns are named inside the query", "SELECT ... AS name", node)
    name: str = alias.name.lower()
    return name


def _table_rows(table: NamedTable, qualifiers: tuple[str, ...], context: Context) -> Rows:
    """The rows of a table that the purpose sees."""
    rows = bare_rows(table)
    rows = replace(rows, names=(Names(qualifiers, rows.names[0].meanings),))
    if table.legs_of is None:
        return rows.with_where(*context.permission.conditions(table))
    return replace(rows, relation=_legs(table, table.legs_of, context.permission.conditions(table.legs_of)))


def _legs(table: NamedTable, source: NamedTable, where: tuple[Expression, ...]) -> UnionAll:
    """One half-row per party: its own side of the row, the other party masked, and left out if nobody's number."""
    (owner,) = table.parties
    branches = []
    for party in source.parties:
        columns: list[tuple[str, Expression]] = []
        for name, column in table.columns.items():
            if name == "role":
                columns.append((name, Value(party, "text")))
            elif name in {"region", "country"}:
                columns.append((name, ColumnRef(f"{party}_{name}", column.type)))
            elif name == "own_number_type":
                columns.append((name, ColumnRef(f"{party}_type", column.type)))
            elif column.role != "party":
                columns.append((name, ColumnRef(name, column.type)))
        branches.append(Selection(Stored(source.name), ((owner, party),), tuple(columns), where, only_protected=party))
    return UnionAll(tuple(branches))


def _either_party(node: exp.Table, call: exp.Anonymous, context: Context) -> Rows:
    """`either_party(calls)`: each row under the number of each of its parties."""
    only = call.expressions[0] if len(call.expressions) == 1 else None
    if not isinstance(only, exp.Column) or only.table or only.name.lower() in context.named_queries:
        raise context.text.refuse("DPQ-103", "either_party takes one stored table", "FROM either_party(calls)", node)
    table = named_table(exp.table_(only.name), context)
    if len(table.parties) != 2:
        raise context.text.refuse("DPQ-103", f"{table.name} has one party only", f"FROM {table.name}", node)
    if NUMBER in table.parties:
        raise context.text.refuse(
            "DPQ-103", f"{table.name} calls one of its parties {NUMBER}", f"FROM {table.name}", node
        )
    rows = _table_rows(table, (_alias(node, context) or EITHER_PARTY,), context)
    meanings: dict[str, Meaning] = {NUMBER: Party(NUMBER)}
    meanings |= {name: m for name, m in rows.names[0].meanings.items() if name != NUMBER}
    return replace(rows, names=(Names(rows.names[0].qualifiers, meanings),), either_party=True)


# --- inner queries --------------------------------------------------------------------------------------------------


def _derived(query: exp.Expr, context: Context, alias: str | None) -> Rows:
    """The rows of an inner query, under its alias."""
    while isinstance(query, exp.Subquery):
        query = query.this
    if isinstance(query, exp.Union):
        rows = _union(query, context.with_named_queries(query))
    elif isinstance(query, exp.Select):
        rows = _inner_select(query, context)
    elif isinstance(query, exp.SetOperation):
        raise context.text.refuse(
            "DPQ-122", f"{query.key.upper()} compares whole rows with other rows", "UNION ALL, or a WHERE test", query
        )
    else:
        raise context.text.refuse("DPQ-111", "an inner query is a SELECT", "FROM (SELECT * FROM calls)", query)
    meanings = {name: meaning for names in rows.names for name, meaning in names.meanings.items()}
    return replace(rows, names=(Names((alias,) if alias else (), meanings),))


def _inner_select(select: exp.Select, context: Context) -> Rows:
    check_clauses(select, context.text, inner=True)
    rows, resolver = rows_of(select, context)
    aggregated = any(aggregates_in(item) for item in select.expressions)
    if select.args.get("group") or select.args.get("distinct") or aggregated:
        return per_number_rows(select, rows, resolver, context)
    if select.args.get("having"):
        raise context.text.refuse("DPQ-111", "HAVING stands with GROUP BY", "ask WHERE", select.args["having"])
    meanings = _projected(select, rows, resolver, context)
    kept = {meaning.name for meaning in meanings.values() if isinstance(meaning, Party)}
    if not set(rows.parties) <= kept and not (rows.either_party and NUMBER in kept):
        missing = next(party for party in rows.parties if party not in kept)
        raise context.text.refuse(
            "DPQ-120",
            f"the inner query leaves out {missing}, and with it who owns its rows",
            "SELECT *, or name " + " and ".join(rows.parties),
            select.expressions[0],
        )
    return replace(rows, names=(Names((), meanings),))


def _projected(select: exp.Select, rows: Rows, resolver: RowResolver, context: Context) -> Mapping[str, Meaning]:
    """The columns of an inner query that neither groups nor aggregates, by name."""
    meanings: dict[str, Meaning] = {}
    for item in select.expressions:
        node = unaliased(item)
        if isinstance(node, exp.Star) or (isinstance(node, exp.Column) and isinstance(node.this, exp.Star)):
            if any(node.args.get(part) for part in ("except_", "replace", "rename")):
                raise context.text.refuse("DPQ-111", "* stands alone", "SELECT *, or name the columns", item)
            qualifier = node.table.lower() if isinstance(node, exp.Column) and node.table else None
            for names in rows.names:
                if qualifier is None or qualifier in names.qualifiers:
                    meanings |= names.meanings
            continue
        party = resolver.party(node)
        name = inner_name(item, context)
        if name in meanings:
            raise context.text.refuse("DPQ-115", f"the name {name} is used twice", f"... AS {name}_2", item)
        meanings[name] = party if party is not None else resolver.part(node)
    if len(meanings) > COLUMNS_MAX:
        raise context.text.refuse("DPQ-114", f"an inner query has at most {COLUMNS_MAX} columns", "name fewer", select)
    return meanings


def _union(query: exp.Union, context: Context) -> Rows:
    """UNION ALL of protected rows: each keeps its owners."""
    if query.args.get("distinct") is not False or query.args.get("by_name"):
        raise context.text.refuse(
            "DPQ-122", "UNION compares rows with other rows to drop equal ones", "UNION ALL", query
        )
    for part in ("order", "limit", "offset"):
        if query.args.get(part):
            raise context.text.refuse("DPQ-111", "an inner query has no order", "leave it out", query)
    sides: list[Rows] = []
    stack = [query.right, query.left]
    while stack:
        side = stack.pop()
        if isinstance(side, exp.Union) and side.args.get("distinct") is False and not side.args.get("by_name"):
            stack += [side.right, side.left]
        else:
            labels = list(sides[0].names[0].meanings) if sides else []
            sides.append(sealed(_derived(_labelled(side, labels), context, None), context, side))
    return _united(sides, query, context)


def _labelled(side: exp.Expr, labels: list[str]) -> exp.Expr:
    """A further side of UNION ALL with names for its columns that have none: the first side's count."""
    if not isinstance(side, exp.Select) or len(side.expressions) != len(labels):
        return side
    named = side.copy()
    items = [
        item if isinstance(item, exp.Alias | exp.Column | exp.Star) else exp.alias_(item, label, quoted=True)
        for item, label in zip(named.expressions, labels, strict=True)
    ]
    named.set("expressions", items)
    return named


def _united(sides: list[Rows], query: exp.Expr, context: Context) -> Rows:
    """The rows of every side. Columns go by position, under the names that the first side gives them."""
    for side in sides:
        check_own_rows(side, query, context)
    if any(side.either_party for side in sides):
        raise context.text.refuse("DPQ-122", "either_party cannot be united", "FROM either_party(calls) alone", query)
    named = [list(side.names[0].meanings.items()) for side in sides]
    if len({len(columns) for columns in named}) > 1:
        raise context.text.refuse("DPQ-122", "both sides of UNION ALL have the same columns", "name them", query)
    ids: list[tuple[str, tuple[str, ...]]] = []
    values: list[tuple[str, tuple[Expression, ...]]] = []
    for position, (label, _) in enumerate(named[0]):
        own = [columns[position][1] for columns in named]
        parties = tuple(meaning.name for meaning in own if isinstance(meaning, Party))
        if len(parties) == len(own):
            ids.append((label, parties))
            continue
        if parties:
            raise context.text.refuse(
                "DPQ-120", f"{label} is a privacy id on one side of UNION ALL only", "put the same columns first", query
            )
        found = tuple(meaning for meaning in own if not isinstance(meaning, Party))
        if len({value.type for value in found}) > 1:
            raise context.text.refuse("DPQ-112", f"{label} has different types in UNION ALL", "CAST one side", query)
        values.append((label, found))
    lost = any(set(side.parties) != {parties[i] for _, parties in ids} for i, side in enumerate(sides))
    if lost or not 1 <= len(ids) <= 2:
        raise context.text.refuse("DPQ-120", "rows of UNION ALL have the same parties", "name the same ones", query)
    return _union_rows(sides, ids, values)


def _union_rows(
    sides: list[Rows],
    ids: list[tuple[str, tuple[str, ...]]],
    values: list[tuple[str, tuple[Expression, ...]]],
) -> Rows:
    """Columns keep the name that they have on every side; others get one of our own, which no policy can give.

    Names that a query makes up never reach the relation: it has columns of its own, such as `place`.
    """
    alike = all(len(set(parties)) == 1 for _, parties in ids) and len({parties[0] for _, parties in ids}) == len(ids)
    named_ids = [(parties[0] if alike else f"_p{i}", parties) for i, (_, parties) in enumerate(ids)]
    meanings: dict[str, Meaning] = {}
    for (label, _), (name, _) in zip(ids, named_ids, strict=True):
        meanings[label] = Party(name)
    columns: dict[str, NamedColumn] = {}
    sources: list[tuple[str, tuple[Expression, ...]]] = []
    for position, (label, own) in enumerate(values):
        name = f"_u{position}"
        same = own[0].name if isinstance(own[0], ColumnRef) and len(set(own)) == 1 else ""
        if alike and same and same not in columns and all(same in side.table.columns for side in sides):
            name = same
        columns[name] = _common_column(name, sides, own)
        meanings[label] = ColumnRef(name, own[0].type)
        sources.append((name, own))
    branches = tuple(
        Selection(
            side.relation,
            tuple((name, parties[i]) for name, parties in named_ids),
            tuple((name, own[i]) for name, own in sources),
            side.where,
        )
        for i, side in enumerate(sides)
    )
    known = [side.period for side in sides if side.period is not None]
    timed = next((n for n, column in columns.items() if column.role == "time"), None)
    timed = timed or next((n for n, column in columns.items() if column.keys_origin == FROM_TIME), None)
    if len(known) < len(sides):
        timed = None
    return Rows(
        relation=UnionAll(branches),
        table=sides[0].table,
        parties=tuple(name for name, _ in named_ids),
        columns=columns,
        names=(Names((), meanings),),
        one_owner=all(has_one_owner(side) for side in sides),
        time_column=timed,
        period=TimeRange(min(p.start for p in known), max(p.end for p in known)) if timed else None,
    )


def _own_time(rows: Rows) -> Expression | None:
    return ColumnRef(rows.time_column, "timestamp") if rows.time_column is not None else None


def _common_column(name: str, sides: list[Rows], own: tuple[Expression, ...]) -> NamedColumn:
    """What holds for a column whose values come from any of the sides."""
    columns = [described(side, value) for side, value in zip(sides, own, strict=True)]
    first = columns[0]
    keys = None
    if all(column.keys is not None for column in columns):
        listed = [key for column in columns for key in column.keys or ()]
        known = [key for key in dict.fromkeys(listed) if key is not None]
        keys = (*known, None) if None in listed else tuple(known)
    bounds = first.bounds
    for column in columns[1:]:
        bounds = None if bounds is None or column.bounds is None else bounds.united(column.bounds)
    own_times = all(value == _own_time(side) for side, value in zip(sides, own, strict=True))
    own_days = all(column.keys_origin == FROM_TIME for column in columns)
    return replace(
        first,
        name=name,
        role="time" if own_times else "value",
        keys=keys,
        keys_origin="" if first.keys_origin == FROM_TIME and not own_days else first.keys_origin,
        bounds=bounds,
        selectable=all(column.selectable for column in columns),
        capped=any(column.capped for column in columns),
    )


# --- joins ----------------------------------------------------------------------------------------------------------


def _joined(rows: Rows, join: exp.Join, context: Context) -> Rows:
    """Rows with the columns of a public table, or of records that belong to one of their parties."""
    kind, side = (join.args.get("kind") or "").upper(), (join.args.get("side") or "").upper()
    if join.args.get("method") or side not in {"", "LEFT"} or kind not in {"", "INNER", "OUTER"}:
        raise _no_join(join, context, f"{join.args.get('method') or side or kind} joins are not supported")
    others = [part for part, value in join.args.items() if value and part not in _JOIN_PARTS]
    if others:
        raise _no_join(join, context, f"{others[0]} in a join is not supported")
    if join.args.get("on") is None and not join.args.get("using"):
        raise _no_join(join, context, "every row would meet every other")
    if len(join.args.get("using") or ()) > 1:
        raise _no_join(join, context, "USING takes one column")
    check_own_rows(rows, join, context)
    keep: Literal["matching", "all"] = "all" if side == "LEFT" else "matching"
    public = _public_table(join.this, context)
    if public is not None:
        return _looked_up(rows, join, public, keep, context)
    return _with_records(rows, join, keep, context)


_JOIN_PARTS = {"this", "on", "using", "side", "kind", "method"}


def _no_join(join: exp.Expr, context: Context, why: str) -> Exception:
    public = _public_table(join.this, context)
    fix = "FROM calls c JOIN subscribers s ON s.number = c.caller"
    if public is not None and public.policy.key is not None:
        fix = f"FROM calls c JOIN {public.name} p ON p.{public.policy.key} = c.{public.policy.key}"
    return context.text.refuse(
        "DPQ-121",
        f"{why}: rows are joined on a privacy id with a table of one row per number, or on a public table's key",
        fix,
        join,
    )


def _public_table(node: exp.Expr, context: Context) -> NamedTable | None:
    if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
        return None
    if node.name.lower() in context.named_queries:
        return None
    table = named_table(node, context)
    if table.policy.public:
        _check_plain(node, context)
    return table if table.policy.public else None


def _looked_up(
    rows: Rows, join: exp.Join, table: NamedTable, keep: Literal["matching", "all"], context: Context
) -> Rows:
    """A join to a public table on its key: each row has one match at most, so it is a function of the row."""
    key = table.policy.key
    if key is None:
        broken("a public table has a key")
    name = _alias(join.this, context) or table.name
    equal, rest = _equalities(join)
    item: Expression | None = None
    for pair in equal:
        for own, other in (pair, pair[::-1]):
            tied = _is_column(own, key, {name}) and not _is_column(other, key, {name}, bare=False)
            if item is None and tied:
                item = context.resolver(rows).part(other)
                rest += _as_conditions(equal, but=pair)
    using = frozenset(column.name.lower() for column in join.args.get("using") or ())
    if using == {key}:
        item = context.resolver(rows).part(exp.column(key))
    if item is None or item.type != "text":
        fix = f"JOIN {table.name} {name} ON {name}.{key} = ..."
        raise context.text.refuse("DPQ-121", f"{table.name} is joined on its key {key}", fix, join)
    keys = tuple(str(value) for value in table.public_rows.get(key, ()))
    meanings: dict[str, Meaning] = {}
    for column_name, column in table.columns.items():
        values = table.public_rows.get(column_name, ())
        meanings[column_name] = Lookup(item, keys, values, column.type, column.declared)
    found = replace(rows, names=(*rows.names, Names((name,), meanings, using)))
    if keep == "matching":
        found = found.with_where(Not(IsNull(Lookup(item, keys, keys, "text", f"{table.name}.{key}"))))
    return _with_rest(found, rest, keep, join, context)


def _is_column(node: exp.Expr, name: str, qualifiers: set[str], *, bare: bool = True) -> bool:
    """Whether `node` names the column of one of `qualifiers`; without a qualifier it does where `bare`."""
    if not isinstance(node, exp.Column) or node.name.lower() != name:
        return False
    return node.table.lower() in qualifiers if node.table else bare


def _equalities(join: exp.Join) -> tuple[list[tuple[exp.Expr, exp.Expr]], list[exp.Expr]]:
    """The equalities of two columns in ON, and its other conditions."""
    on = join.args.get("on")
    parts = [] if on is None else list(on.unnest().flatten()) if isinstance(on.unnest(), exp.And) else [on.unnest()]
    equal: list[tuple[exp.Expr, exp.Expr]] = []
    rest: list[exp.Expr] = []
    for part in parts:
        node = part.unnest()
        if isinstance(node, exp.EQ) and isinstance(node.left, exp.Column) and isinstance(node.right, exp.Column):
            equal.append((node.left, node.right))
        else:
            rest.append(node)
    return equal, rest


def _as_conditions(equal: list[tuple[exp.Expr, exp.Expr]], but: tuple[exp.Expr, exp.Expr]) -> list[exp.Expr]:
    """The equalities as conditions on the joined row, without the one that ties its sides."""
    return [exp.EQ(this=pair[0].copy(), expression=pair[1].copy()) for pair in equal if pair is not but]


def _with_rest(
    rows: Rows, rest: list[exp.Expr], keep: Literal["matching", "all"], join: exp.Join, context: Context
) -> Rows:
    """Further conditions of an inner join are conditions on the joined row."""
    if rest and keep == "all":
        raise _no_join(join, context, "a LEFT JOIN takes the equality alone")
    resolver = context.resolver(rows)
    return rows.with_where(*(part for node in rest for part in conjuncts(resolver.condition(node))))


def _with_records(rows: Rows, join: exp.Join, keep: Literal["matching", "all"], context: Context) -> Rows:
    """A join on a privacy id with records of one owner each, who is then one of the row's own parties."""
    records = _item(join.this, context)
    _check_records(records, join, context)
    equal, rest = _equalities(join)
    own: str | None = None
    for pair in equal:
        for mine, theirs in (pair, pair[::-1]):
            here, there = _party_in(mine, rows), _party_in(theirs, records)
            if own is None and here is not None and there is not None:
                own = here
                rest += _as_conditions(equal, but=pair)
    using = frozenset(column.name.lower() for column in join.args.get("using") or ())
    for label in using:
        here, there = _party_in(exp.column(label), rows), _party_in(exp.column(label), records)
        own = here if here is not None and there is not None else own
    if own is None or own not in rows.parties:
        raise _no_join(join, context, "these rows may belong to different people")
    name = f"_j{rows.joins}"
    records = sealed(records, context, join)
    meanings: dict[str, Meaning] = {}
    columns: dict[str, NamedColumn] = {}
    selected: list[tuple[str, Expression]] = []
    for position, (label, meaning) in enumerate(records.names[0].meanings.items()):
        if isinstance(meaning, Party):
            if keep == "matching":
                meanings[label] = Party(own)
            continue
        column = described(records, meaning)
        if keep == "all" and column.keys is not None and None not in column.keys:
            column = replace(column, keys=(*column.keys, None))
        # The records' time is not the row's own: no time range of the row bounds it.
        column = replace(
            column, role="value", keys_origin="" if column.keys_origin == FROM_TIME else column.keys_origin
        )
        short = f"_c{position}"  # a name that the query made up never reaches the relation
        full = f"{name}__{short}"
        columns[full] = replace(column, name=full)
        meanings[label] = ColumnRef(full, meaning.type)
        selected.append((short, meaning))
    (party,) = records.parties
    selection = Selection(records.relation, ((party, party),), tuple(selected), records.where)
    found = replace(
        rows,
        relation=Joined(rows.relation, name, own, selection, party, keep),
        columns={**rows.columns, **columns},
        names=(*rows.names, Names(records.names[0].qualifiers, meanings, using)),
        joins=rows.joins + 1,
    )
    return _with_rest(found, rest, keep, join, context)


def _check_records(records: Rows, node: exp.Expr, context: Context) -> None:
    """Records are rows with one owner: of a table of people, or made per number."""
    people = isinstance(records.relation, Stored) and records.one_owner and len(records.parties) == 1
    if people or (records.per_number is not None and records.one_owner):
        return
    fix = "FROM calls c JOIN subscribers s ON s.number = c.caller"
    if isinstance(records.relation, Stored) and len(records.parties) == 2:
        why = f"rows of {records.table.name} cannot be joined to other rows: they may belong to two people"
        raise context.text.refuse("DPQ-121", why, fix, node)
    raise context.text.refuse("DPQ-121", "only tables of one owner per row are joined on the number", fix, node)


def _party_in(node: exp.Expr, rows: Rows) -> str | None:
    """The party of `rows` that a column names; None for anything else."""
    if not isinstance(node, exp.Column) or (node.table and not rows.has_qualifier(node.table.lower())):
        return None
    found = rows.find(node.name.lower(), node.table.lower() or None)
    return found[0].name if len(found) == 1 and isinstance(found[0], Party) else None


def list_rows(select: exp.Select, context: Context) -> tuple[Rows, RowResolver]:
    """The rows of a list of numbers: an inner query over one-owner rows."""
    check_clauses(select, context.text, inner=True)
    if select.args.get("group"):
        rows = _inner_select(select, context)
        return rows, context.resolver(rows)
    return rows_of(select, context)
