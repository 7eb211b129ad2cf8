"""Whole stores for tests: made-up calls through the real ingest, with the real ledger."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pandas as pd
from planning import CELL_ROWS, POLICY

from dpquery.clock import utc_now
from dpquery.session import Session, connect
from dpquery.stewardship import Steward, init

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

CELLS = pd.DataFrame({name: list(values) for name, values in CELL_ROWS.items()})


def generous(policy: str = POLICY) -> str:
    """The small policy with bounds that never bite and budgets that never end."""
    text = re.sub(r"epsilon = [0-9.]+", "epsilon = 1e9", policy).replace("epsilon_max = 2.0", "epsilon_max = 1e6")
    text = text.replace("ungrouped = { max_rows = 3 }", "ungrouped = { max_rows = 5000 }")
    text = text.replace(
        "grouped = { max_rows = 4, max_groups = 2, max_rows_per_group = 2 }",
        "grouped = { max_rows = 5000, max_groups = 1000, max_rows_per_group = 5000 }",
    )
    text = text.replace('by_key = [{ keys = ["direction"], max_rows_per_group = 3 }]\n', "")
    assert "max_rows_per_group = 5000" in text
    for name in ("subscribers", "dnc"):
        if f"[tables.{name}]" in text and f"[tables.{name}.bounds]" not in text:
            text += f"\n[tables.{name}.bounds]\nungrouped = {{ max_rows = 5000 }}\n"
            text += "grouped = { max_rows = 5000, max_groups = 1000, max_rows_per_group = 5000 }\n"
    return text


def made_up_calls(rows: int, *, numbers: int = 40, seed: int = 5) -> pd.DataFrame:
    """Calls between London and Manchester numbers, the organisation's line among them; values within their bounds."""
    rng = np.random.default_rng(seed)
    people = [f"+4420794{i:05}" if i % 2 else f"+44161496{i:04}" for i in range(1, numbers + 1)]
    org = "020 7946 0000"
    direction = rng.choice(["p2p", "inbound", "outbound"], rows, p=[0.4, 0.35, 0.25])
    first, second = rng.choice(people, rows), rng.choice(people, rows)
    caller = np.where(direction == "outbound", org, first)
    callee = np.where(direction == "inbound", org, second)
    answered = rng.choice(np.array([True, False, None], object), rows)
    talk = rng.integers(0, 61, rows).astype(object)
    talk[rng.random(rows) < 0.2] = None
    start = pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 59 * 24 * 60, rows), unit="min")
    return pd.DataFrame(
        {
            "caller": caller,
            "callee": callee,
            "start_ts": start.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "service": rng.choice(np.array(["voice", "sms", None], object), rows),
            "direction": direction,
            "talk_s": talk,
            "score": rng.integers(-8, 6, rows),
            "cost": rng.integers(0, 17, rows) / 4,
            "cell_id": rng.choice(["C1", "C2", "C3"], rows),
            "answered": answered,
            "free_text": "x",
            "agent_id": "a1",
        }
    )


@dataclass(frozen=True, slots=True)
class MadeStore:
    folder: Path
    steward: Steward

    def connect(self, analyst: str = "ana") -> Session:
        return connect(self.folder, analyst=analyst, purpose="network_planning")

    def plain(self, sql: str) -> list[tuple[object, ...]]:
        """What plain DuckDB says of the stored rows."""
        with self.plain_connection() as con:
            return con.execute(sql).fetchall()

    def plain_connection(self) -> duckdb.DuckDBPyConnection:
        """A DuckDB with the stored rows under the names of their tables, and those of views."""
        con = duckdb.connect(":memory:")
        for name, table in self.steward.store.policy.tables.items():
            files = [str(f.path) for f in self.steward.store.files(name)] if table.legs_of is None else []
            if files:
                con.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({files!r})")
        con.execute(LEGS)
        return con


LEGS = """CREATE VIEW legs AS
SELECT caller AS owner, 'caller' AS role, caller_region AS region, caller_type AS own_number_type, * FROM calls
WHERE caller >= 0 UNION ALL
SELECT callee, 'callee', callee_region, callee_type, * FROM calls WHERE callee >= 0"""


def people(*, numbers: int = 40) -> pd.DataFrame:
    """One row for most of the numbers of `made_up_calls`."""
    listed = [f"+4420794{i:05}" if i % 2 else f"+44161496{i:04}" for i in range(1, numbers + 1) if i % 5]
    return pd.DataFrame({"number": listed, "age_band": ["young" if i % 3 else "old" for i in range(len(listed))]})


def do_not_call(*, numbers: int = 40) -> pd.DataFrame:
    """A list of some of these numbers, and of one that never calls."""
    listed = [f"+4420794{i:05}" for i in range(1, numbers + 1, 4)] + ["+442079499999"]
    return pd.DataFrame({"number": listed, "list_name": ["own" if i % 2 else "national" for i in range(len(listed))]})


def make_store(
    folder: Path,
    policy: str = POLICY,
    calls: pd.DataFrame | None = None,
    *,
    now: Callable[[], datetime] = utc_now,
    **tables: pd.DataFrame,
) -> MadeStore:
    """A store at `folder`/store with the cells table, `calls`, and further tables by name."""
    (folder / "policy.toml").write_text(policy)
    steward = replace(init(folder / "store", policy=folder / "policy.toml"), now=now)
    steward.ingest(CELLS, table="cells")
    if calls is not None:
        steward.ingest(calls, table="calls")
    for name, rows in tables.items():
        steward.ingest(rows, table=name)
    steward.store.reload()
    return MadeStore(folder / "store", steward)
