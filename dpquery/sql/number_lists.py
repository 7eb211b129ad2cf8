"""Tests of a row's number, or of its key, against a list: IN (SELECT ...) and EXISTS (SELECT ...)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from sqlglot import exp

from dpquery.plan.catalog import NamedColumn
from dpquery.plan.expressions import And, Case, Coalesce, ColumnRef, IsNull, Lookup, Not, Value
from dpquery.plan.relations import Joined, Selection, Stored
from dpquery.sql.clauses import unaliased
from dpquery.sql.ownership import check_own_rows, sealed
from dpquery.sql.scope import Names, Party
from dpquery.sql.tables import named_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dpquery.plan.catalog import NamedTable
    from dpquery.plan.expressions import Expression
    from dpquery.sql.context import Context
    from dpquery.sql.row_expressions import RowResolver
    from dpquery.sql.scope import Meaning, Rows

ListRows: TypeAlias = "Callable[[exp.Select, Context], tuple[Rows, RowResolver]]"


def number_lists(
    select: exp.Select, rows: Rows, context: Context, list_rows: ListRows
) -> tuple[Rows, dict[int, Expression]]:
    """`rows` with a truth column for each list that `select` tests numbers against, and what each test has become.

    A test against the records of the row's own number is a test of the row: its owner's own records decide it.
    """
    known: dict[int, Expression] = {}
    for node in _tests(select):
        query = node.args["query"].this if isinstance(node, exp.In) else node.this
        if not isinstance(query, exp.Select):
            raise context.text.refuse("DPQ-111", "a list is one SELECT", "callee IN (SELECT number FROM dnc)", node)
        if isinstance(node, exp.In):
            rows, known[id(node)] = _in_query(node, query, rows, context, list_rows)
        else:
            rows, known[id(node)] = _exists(node, query, rows, context, list_rows)
    return rows, known


def _tests(select: exp.Select) -> Iterator[exp.Expr]:
    """The IN and EXISTS nodes of this SELECT, not those of queries inside it."""
    parts = [*select.expressions, select.args.get("where"), select.args.get("having"), select.args.get("group")]
    stack = [part for part in parts if part is not None]
    while stack:
        node = stack.pop()
        if isinstance(node, exp.Exists) or (isinstance(node, exp.In) and node.args.get("query") is not None):
            yield node
        elif not isinstance(node, exp.Query):
            stack += list(node.iter_expressions())


def _in_query(
    node: exp.In, query: exp.Select, rows: Rows, context: Context, list_rows: ListRows
) -> tuple[Rows, Expression]:
    resolver = context.resolver(rows)
    party = resolver.party(node.this)
    if party is None:
        return rows, _in_public_keys(node, query, rows, context)
    listed, inner = list_rows(query, context)
    only = unaliased(query.expressions[0]) if len(query.expressions) == 1 else None
    if only is None or inner.party(only) is None:
        raise context.text.refuse(
            "DPQ-105", "a number is compared with numbers only", f"{node.this.name} IN (SELECT number FROM dnc)", node
        )
    return _flagged(rows, party, listed, node, context)


def _exists(
    node: exp.Expr, query: exp.Select, rows: Rows, context: Context, list_rows: ListRows
) -> tuple[Rows, Expression]:
    """EXISTS (SELECT ... WHERE d.number = callee AND ...): the equality ties the list's owner to the row's."""
    where = query.args.get("where")
    parts = [] if where is None else _conjuncts(where.this)
    bare = query.copy()
    for clause in ("where", "group", "having", "distinct"):
        bare.set(clause, None)
    bare.set("expressions", [exp.Star()])
    inner, outer = list_rows(bare, context)[1], context.resolver(rows)
    ties = [(part, tie) for part in parts if (tie := _tie(part, inner, outer)) is not None]
    if not ties:
        raise context.text.refuse(
            "DPQ-121",
            "the inner rows are not tied to a number of this row",
            "EXISTS (SELECT 1 FROM dnc d WHERE d.number = callee)",
            node,
        )
    tied, (theirs, own) = ties[0]
    listing = query.copy()
    rest = [part.copy() for part in parts if part is not tied]
    listing.set("where", exp.Where(this=exp.and_(*rest)) if rest else None)
    listed, _ = list_rows(listing, context)
    if listed.parties != (theirs.name,):
        raise context.text.refuse(
            "DPQ-121", "the number that ties the rows is not the one they are grouped by", "GROUP BY that number", node
        )
    return _flagged(rows, own, listed, node, context)


def _conjuncts(node: exp.Expr) -> list[exp.Expr]:
    inner = node.unnest()
    return [part for side in inner.flatten() for part in _conjuncts(side)] if isinstance(inner, exp.And) else [inner]


def _tie(node: exp.Expr, inner: RowResolver, outer: RowResolver) -> tuple[Party, Party] | None:
    """The party of the inner rows and that of the outer row, if `node` says that they are equal.

    As everywhere in SQL, a name that the inner rows know means theirs.
    """
    if not isinstance(node, exp.EQ):
        return None
    for left, right in ((node.left, node.right), (node.right, node.left)):
        theirs, own = _names_party(left, inner), _names_party(right, outer)
        if theirs is not None and own is not None and not _known(right, inner):
            return theirs, own
    return None


def _names_party(node: exp.Expr, resolver: RowResolver) -> Party | None:
    if not isinstance(node, exp.Column):
        return None
    found = resolver.rows.find(node.name.lower(), node.table.lower() or None)
    return found[0] if len(found) == 1 and isinstance(found[0], Party) else None


def _known(node: exp.Expr, resolver: RowResolver) -> bool:
    """Whether the rows have the column, or a table of its qualifier."""
    if not isinstance(node, exp.Column):
        return False
    qualifier = node.table.lower()
    return resolver.rows.has_qualifier(qualifier) if qualifier else bool(resolver.rows.find(node.name.lower()))


def _flagged(rows: Rows, party: Party, listed: Rows, node: exp.Expr, context: Context) -> tuple[Rows, Expression]:
    """A truth column: whether the row's number is on the list."""
    check_own_rows(rows, node, context)
    people = isinstance(listed.relation, Stored) and listed.one_owner and len(listed.parties) == 1
    if not people and not (listed.per_number is not None and listed.one_owner):
        raise context.text.refuse(
            "DPQ-119",
            f"rows of {listed.table.name} may belong to two numbers, so whether one is among them depends on others",
            "callee IN (SELECT number FROM dnc), or add WHERE direction = 'inbound' and GROUP BY caller",
            node,
        )
    if party.name not in rows.parties:
        parties = " or ".join(rows.parties)
        raise context.text.refuse(
            "DPQ-119",
            f"a list is tested for one party: {parties}",
            f"{rows.parties[0]} IN (SELECT number FROM dnc)",
            node,
        )
    listed = sealed(listed, context, node)
    (own,) = listed.parties
    name = f"_j{rows.joins}"
    selection = Selection(listed.relation, ((own, own),), (), listed.where)
    flag = f"{name}__listed"
    column = NamedColumn(flag, "boolean", "value", (False, True), "type")
    found = replace(
        rows,
        relation=Joined(rows.relation, name, party.name, selection, own, "listed"),
        columns={**rows.columns, flag: column},
        joins=rows.joins + 1,
    )
    return found, ColumnRef(flag, "boolean")


def _in_public_keys(node: exp.In, query: exp.Select, rows: Rows, context: Context) -> Expression:
    """`cell_id IN (SELECT cell_id FROM cells WHERE region = 'GB-LND')`: a test of the row's own key."""
    table, alias = _public_list(node, query, context)
    key = table.policy.key or ""
    item = context.resolver(rows).value(node.this)
    if item.type != "text":
        raise context.text.refuse("DPQ-112", f"{table.name}.{key} is text", "compare it with a text column", node)
    keys = tuple(str(value) for value in table.public_rows.get(key, ()))
    meanings: dict[str, Meaning] = {}
    for name, column in table.columns.items():
        meanings[name] = Lookup(item, keys, table.public_rows.get(name, ()), column.type, column.declared)
    inside = context.resolver(replace(rows, names=(Names((alias,), meanings),)))
    where = query.args.get("where")
    present: Expression = Not(IsNull(Lookup(item, keys, keys, "text", f"{table.name}.{key}")))
    if where is not None:
        condition = inside.condition(where.this)
        present = And((present, Coalesce((condition, Value(False, "boolean")), "boolean")))
    return Case(((IsNull(item), Value(None, "boolean")),), present, "boolean")


def _public_list(node: exp.In, query: exp.Select, context: Context) -> tuple[NamedTable, str]:
    source = query.args.get("from_")
    item = source.this if source is not None else None
    only = unaliased(query.expressions[0]) if len(query.expressions) == 1 else None
    extra = [part for part, value in query.args.items() if value and part not in {"expressions", "from_", "where"}]
    stored = isinstance(item, exp.Table) and item.name.lower() not in context.named_queries and not extra
    if stored and isinstance(item, exp.Table) and isinstance(item.this, exp.Identifier):
        table = named_table(item, context)
        if table.policy.public and isinstance(only, exp.Column) and only.name.lower() == table.policy.key:
            return table, (item.alias or table.name).lower()
    raise context.text.refuse(
        "DPQ-111",
        "a value is compared with the key of a public table, or with a list of constants",
        "cell_id IN (SELECT cell_id FROM cells WHERE region = 'GB-LND')",
        node,
    )
