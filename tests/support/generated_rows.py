"""Rows in memory for generated queries: small tables of calls, people and lists, with every column of the policy."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import small_calls
from hypothesis import strategies as st
from memory_rows import MemoryRows

from dpquery.plan.catalog import NUMBER_KINDS

if TYPE_CHECKING:
    import duckdb

PARTIES = ("caller", "callee")
NUMBERS = 6
FACTS = ("kind", "region", "country", "type")
CALL_COLUMNS = pa.schema(
    [
        *(field for field in small_calls.SCHEMA if field.name != "caller_region"),
        ("free_text", pa.string()),
        ("agent_id", pa.string()),
        ("local_hour", pa.int64()),
        ("local_dow", pa.int64()),
        *((f"{party}_{fact}", pa.string()) for party in PARTIES for fact in FACTS),
    ]
)
PEOPLE_COLUMNS = [
    ("place", pa.uint64()),
    ("number", pa.int32()),
    *((f"number_{fact}", pa.string()) for fact in FACTS),
]
REGIONS = ("GB-LND", "GB-MAN", "other")


def facts_of(party: str, code: int) -> dict[str, object]:
    kind = NUMBER_KINDS[0] if code >= 0 else NUMBER_KINDS[3] if code == -1 else NUMBER_KINDS[1]
    return {
        f"{party}_kind": kind,
        f"{party}_region": REGIONS[code % 3],
        f"{party}_country": "GB",
        f"{party}_type": ["mobile", "fixed_line"][code % 2],
    }


def call_row(caller: int, callee: int, seed: int) -> dict[str, object]:
    """A call with every column that a query may name."""
    rng = np.random.default_rng(seed + 1)
    row = small_calls.call_row(caller, callee, seed)
    start = datetime.fromisoformat(str(row["start_ts"]))
    return {
        **row,
        "free_text": ["x", "7", "2026-01-31", None][rng.integers(0, 4)],
        "agent_id": ["a1", "a2", None][rng.integers(0, 3)],
        "local_hour": start.hour,
        "local_dow": start.isoweekday(),
        **facts_of("caller", caller),
        **facts_of("callee", callee),
    }


def people_table(numbers: list[int], column: str, values: list[str | None]) -> pa.Table:
    rows = [
        {"place": i + 1, "number": n, column: values[i % len(values)], **facts_of("number", n)}
        for i, n in enumerate(numbers)
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema([*PEOPLE_COLUMNS, (column, pa.string())]))


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, object]]:
    """Few numbers with many calls, so that bounds bite: withheld (-1) and public (-5) parties and self-calls too."""
    code = st.sampled_from([0, 0, 0, 1, 1, 2, 3, 4, 5, -1, -5, -5])
    rows = draw(st.lists(st.tuples(code, code, st.integers(0, 2**31)), min_size=12, max_size=36))
    return [call_row(caller, callee, seed) for caller, callee, seed in rows]


def in_memory(con: duckdb.DuckDBPyConnection, rows: list[dict[str, object]]) -> MemoryRows:
    ordered = sorted(rows, key=lambda row: row["place"])  # type: ignore[arg-type,return-value]
    others = {
        "subscribers": people_table([0, 1, 3, 4], "age_band", ["young", "old", None]),
        # A list may name a number twice, and the organisation's own line.
        "dnc": people_table([0, 0, 2, 3, -5], "list_name", ["own", "national"]),
    }
    return MemoryRows(con, pa.Table.from_pylist(ordered, schema=CALL_COLUMNS), NUMBERS, others)
