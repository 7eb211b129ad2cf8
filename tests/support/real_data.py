"""Real call data, where the machine has it; the same checks also run on made-up data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DATA = os.environ.get("DPQUERY_TEST_DATA")

needs_data = pytest.mark.skipif(
    DATA is None or not Path(DATA).is_dir(), reason="DPQUERY_TEST_DATA does not name a folder with real calls"
)

CNS_POLICY = """
schema = 1
dataset = "cns"
version = 1
[numbers]
format = "opaque"
[tables.calls]
owners = 2
parties = { caller = "caller", callee = "callee" }
time = { column = "start_ts", from = "timestamp", format = "unix", grain = "second" }
period = [1970-01-01, 1970-02-28]
columns = { talk_s = { type = "integer", from = "duration", unit = "s", bounds = [0, 600], bins = "log" } }
[tables.calls.bounds]
ungrouped = { max_rows = 10 }
grouped = { max_rows_per_group = 3 }
[tables.sms]
owners = 2
parties = { caller = "sender", callee = "recipient" }
time = { column = "start_ts", from = "timestamp", format = "unix", grain = "second" }
period = [1970-01-01, 1970-02-28]
[tables.sms.bounds]
ungrouped = { max_rows = 20 }
grouped = { max_rows_per_group = 4 }
[purposes.research]
text = "Study how people call."
notice = "v1"
regime = "opt-out"
[analysts.ana]
purposes = ["research"]
[budgets]
dataset = { epsilon = 30.0, delta = 1e-6 }
analysts = { ana = { epsilon = 10.0, delta = 1e-6 } }
"""
"""Both ends of every row are study participants."""


def cns(name: str) -> Path:
    return Path(DATA or "") / "cns" / f"{name}.csv"
