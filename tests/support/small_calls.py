"""Small tables of calls in memory whose numbers are over their bounds, and the property every plan over them has."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st
from memory_rows import MemoryRows
from planning import CELLS

from dpquery.engines.embedded import execute_selection
from dpquery.privacy.measure import QuantileMeasurement

if TYPE_CHECKING:
    import duckdb
    from numpy.typing import NDArray

    from dpquery.plan.expressions import Constant
    from dpquery.privacy.calibrate import CalibratedMeasurement, PrivacyPlan

PARTIES = ("caller", "callee")
NUMBERS = 7
START = datetime(2026, 1, 30, 12)


@st.composite
def call_rows(draw: st.DrawFn, *, heavy: bool = True) -> list[dict[str, object]]:
    """Few numbers and many rows, so that bounds bite; withheld (-1) and public (-5) parties among them."""
    code = st.one_of(st.integers(0, NUMBERS - 1), st.integers(0, 1), st.sampled_from([-1, -5]))
    rows = draw(st.lists(st.tuples(code, code, st.integers(0, 2**31)), min_size=14 if heavy else 0, max_size=40))
    return [call_row(caller, callee, seed) for caller, callee, seed in rows]


def call_row(caller: int, callee: int, seed: int) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    both = caller >= 0 and callee >= 0 and caller != callee
    withheld = -1 in (caller, callee) and max(caller, callee) >= 0
    start = START + timedelta(hours=int(rng.integers(0, 96)))
    return {
        "place": (int(start.timestamp() // 3600) << 40) | int(rng.integers(0, 2**40)),
        "caller": caller,
        "callee": callee,
        "service": ["voice", "sms", None, "fax"][rng.integers(0, 4)],
        # A withheld party is an owner too, so such a row cannot pass the table's one-owner test at ingest.
        "direction": "p2p" if both or withheld else ["inbound", "outbound", None][rng.integers(0, 3)],
        "talk_s": [None, 0, 1, 7, 60, 10_000, -3][rng.integers(0, 7)],
        "score": [None, -100, -8, -1, 0, 3, 5, 99][rng.integers(0, 8)],
        "cost": [None, 0.1, 3.99, 100.0, float("nan"), float("inf")][rng.integers(0, 6)],
        "cell_id": [*CELLS, "C9", None][rng.integers(0, 5)],
        "answered": [True, False, None][rng.integers(0, 3)],
        "caller_region": ["GB-LND", "GB-MAN", "other"][caller % 3],
        "start_ts": start,
        "day": start.date(),
    }


SCHEMA = pa.schema(
    [
        ("place", pa.uint64()),
        ("caller", pa.int32()),
        ("callee", pa.int32()),
        ("service", pa.string()),
        ("direction", pa.string()),
        ("talk_s", pa.int64()),
        ("score", pa.int64()),
        ("cost", pa.float64()),
        ("cell_id", pa.string()),
        ("answered", pa.bool_()),
        ("caller_region", pa.string()),
        ("start_ts", pa.timestamp("us")),
        ("day", pa.date32()),
    ]
)


def in_memory(con: duckdb.DuckDBPyConnection, rows: list[dict[str, object]]) -> MemoryRows:
    ordered = sorted(rows, key=lambda row: row["place"])  # type: ignore[arg-type,return-value]
    return MemoryRows(con, pa.Table.from_pylist(ordered, schema=SCHEMA), NUMBERS)


def assert_claims_hold(plan: PrivacyPlan, rows: MemoryRows, number: int) -> None:
    """Every part moves within its L1, L2 and Linf."""
    before, after = rows.exact(plan), rows.without(number, PARTIES).exact(plan)
    for part, full, less in zip(plan.parts, before, after, strict=True):
        change = changes(part, full, less)
        assert change.sum() <= part.sensitivity.l1
        assert (change**2).sum() <= part.sensitivity.l2_squared
        assert change.max(initial=0) <= part.sensitivity.linf


def assert_claims_hold_for_all(plan: PrivacyPlan, rows: MemoryRows) -> None:
    """Whichever number is removed, every part moves within its L1, L2 and Linf."""
    for number in rows.owners(PARTIES):
        assert_claims_hold(plan, rows, number)


def changes(part: CalibratedMeasurement, full: NDArray[np.int64], less: NDArray[np.int64]) -> NDArray[np.object_]:
    """How far each integer moves; of the scores that a selection is made from, the one of each cell that moves most."""
    assert full.shape == less.shape
    change = np.abs(full - less)
    if isinstance(part.measurement, QuantileMeasurement):
        change = change.max(axis=1)
    moved: NDArray[np.object_] = change.astype(object)
    return moved


def exact_groups(plan: PrivacyPlan, rows: MemoryRows) -> dict[tuple[Constant, ...], int]:
    groups, counts = execute_selection(plan, rows).open_for_noise()
    return dict(zip(groups, counts[:, 0].tolist(), strict=True))


def alike(count: int, caller: int, callee: int, **values: object) -> list[dict[str, object]]:
    base = {**call_row(caller, callee, 3), "service": "voice", "cell_id": "C1", "answered": True, **values}
    return [{**base, "place": i + 1} for i in range(count)]
