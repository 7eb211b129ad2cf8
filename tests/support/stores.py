"""Whole stores for tests: made-up calls through the real ingest, with the real ledger."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pandas as pd
from planning import POLICY

from dpquery.session import Session, connect
from dpquery.stewardship import Steward, init

if TYPE_CHECKING:
    from pathlib import Path

CELL_ROWS = pd.DataFrame({"cell_id": ["C1", "C2", "C3"]})


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
        files = [str(f.path) for f in self.steward.store.files("calls")]
        with duckdb.connect(":memory:") as con:
            con.execute("CREATE VIEW calls AS SELECT * FROM read_parquet($1)".replace("$1", repr(files)))
            return con.execute(sql).fetchall()


def make_store(folder: Path, policy: str = POLICY, calls: pd.DataFrame | None = None) -> MadeStore:
    """A store at `folder`/store with the cells table and `calls`."""
    (folder / "policy.toml").write_text(policy)
    steward = init(folder / "store", policy=folder / "policy.toml")
    steward.ingest(CELL_ROWS, table="cells")
    if calls is not None:
        steward.ingest(calls, table="calls")
    steward.store.reload()
    return MadeStore(folder / "store", steward)
