"""A charge costs little more than the durable write that it needs."""

from __future__ import annotations

from pathlib import Path

from benchmarks.ledger import measure

MORE_SECONDS_MAX = 0.005


def test_a_charge_costs_a_few_milliseconds_more_than_its_write(tmp_path: Path) -> None:
    found = measure(tmp_path, 200, turns=30)
    assert found.bare > 0.0
    assert found.least_more < MORE_SECONDS_MAX
    assert found.first > found.reading > 0.0
