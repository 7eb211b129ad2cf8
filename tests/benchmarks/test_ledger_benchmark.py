"""A charge costs little more than the durable write that it needs."""

from __future__ import annotations

from ledgers import quick_folder

from benchmarks.ledger import measure

MORE_SECONDS_MAX = 0.005


def test_a_charge_costs_a_few_milliseconds_more_than_its_write() -> None:
    """In memory, where the write takes next to nothing: on a disk both wait for it alike."""
    with quick_folder() as folder:
        found = measure(folder, 200, turns=30)
    assert found.bare > 0.0
    assert found.least_more < MORE_SECONDS_MAX
    assert found.first > found.reading > 0.0
