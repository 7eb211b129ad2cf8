"""A policy's row tests, checked when the policy is and run when rows arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dpquery.engines.render import condition
from dpquery.errors import PolicyError, QueryRefused
from dpquery.numbers.services import told_as
from dpquery.plan.catalog import Catalog, NumberingPlan
from dpquery.plan.expressions import Comparison, Expression, InList, Value, children
from dpquery.sql.row_tests import resolve_row_test

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa
    from numpy.typing import NDArray

    from dpquery.policy import Policy


def check_row_tests(policy: Policy) -> None:
    """PolicyError for a row test of the policy that is not a condition over its table's columns."""
    catalog = _catalog(policy)
    for place, name, test in _declared(policy):
        field = place.rpartition(".")[2]
        try:
            resolved = resolve_row_test(test, catalog.tables[name])
            if any(_uncertain(part) for part in _parts(resolved)):
                why = f"{place} compares with NULL, or values of different types"
                raise PolicyError("DPQ-302", why, fix=f"{field} = \"direction <> 'p2p'\"")
        except QueryRefused as refusal:
            why = f"{place}: {refusal.why}"
            raise PolicyError("DPQ-302", why, fix=refusal.fix or "direction <> 'p2p'") from None


def _declared(policy: Policy) -> Iterator[tuple[str, str, str]]:
    """Place in the policy, table and text of every row test."""
    for name, table in policy.tables.items():
        if table.one_owner_when is not None:
            yield f"tables.{name}.one_owner_when", name, table.one_owner_when
    calling = policy.report.calling
    if calling is None:
        return
    for field in ("outbound", "answered", "abandoned", "opted_out", "sales", "collections"):
        if (test := getattr(calling, field)) is not None:
            yield f"report.calling.{field}", calling.table, test
    for field, told in (("listed", calling.lists), ("refused", calling.consents)):
        if (test := getattr(calling, field)) is not None and told is not None:
            yield f"report.calling.{field}", told, test


def row_test_of(policy: Policy, table: str) -> Callable[[pa.RecordBatch], NDArray[np.bool_]] | None:
    """A function that says which rows of a batch (our column names) meet `one_owner_when`; None without one.

    A row for which the test is unknown (NULL) does not meet it, as in WHERE.
    """
    declared = policy.tables[table].one_owner_when if table in policy.tables else None
    if declared is None:
        return None
    named = _catalog(policy).tables[table]
    rendered = condition([resolve_row_test(declared, named)])

    def test(batch: pa.RecordBatch) -> NDArray[np.bool_]:
        import duckdb
        import pyarrow as pa

        with duckdb.connect(":memory:") as con:
            con.register("batch", pa.table(batch.columns, names=batch.schema.names))
            query = f"SELECT COALESCE({rendered.text}, FALSE) AS met FROM batch"
            met = con.execute(query, list(rendered.parameters)).fetchnumpy()["met"]
        return np.asarray(met, dtype=np.bool_)

    return test


def _parts(expression: Expression) -> Iterator[Expression]:
    yield expression
    for child in children(expression):
        yield from _parts(child)


def _uncertain(expression: Expression) -> bool:
    """A comparison that is never true, or whose equality differs between engines."""
    match expression:
        case Comparison(left=left, right=right):
            return left.type != right.type or any(isinstance(s, Value) and s.value is None for s in (left, right))
        case InList(item=item, values=values):
            return any(value.type != item.type for value in values)
        case _:
            return False


def _catalog(policy: Policy) -> Catalog:
    """Names and types alone matter to a row test, so no numbering plan is read."""
    return Catalog.build(policy, NumberingPlan((), (), (), told_as(policy.numbers)), {})
