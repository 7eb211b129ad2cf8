"""A policy's row tests, checked when the policy is and run when rows arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dpquery.engines.render import condition
from dpquery.errors import PolicyError, QueryRefused
from dpquery.plan.catalog import Catalog, NumberingPlan
from dpquery.plan.expressions import Comparison, Expression, InList, Value, children
from dpquery.sql.row_tests import resolve_row_test

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa
    from numpy.typing import NDArray

    from dpquery.policy import Policy


def check_row_tests(policy: Policy) -> None:
    """PolicyError for a `one_owner_when` that is not a condition over its table's columns."""
    catalog = _catalog(policy)
    for name, table in policy.tables.items():
        if table.one_owner_when is None:
            continue
        try:
            test = resolve_row_test(table.one_owner_when, catalog.tables[name])
            if any(_uncertain(part) for part in _parts(test)):
                why = f"tables.{name}.one_owner_when compares with NULL, or values of different types"
                raise PolicyError("DPQ-302", why, fix="one_owner_when = \"direction <> 'p2p'\"")
        except QueryRefused as refusal:
            why = f"tables.{name}.one_owner_when: {refusal.why}"
            raise PolicyError("DPQ-302", why, fix=refusal.fix or "direction <> 'p2p'") from None


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
    return Catalog.build(policy, NumberingPlan((), (), ()), {})
