"""Who was erased stays out of rows and registry, whichever door a number comes through."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from stores import MadeStore, made_up_calls, make_store

from dpquery.consent.registry import read_records

ERASED = "+442079400001"
OTHER = "+442079400003"


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    return make_store(tmp_path, calls=made_up_calls(200))


def statements(made: MadeStore) -> int:
    return int(read_records(made.folder).num_rows)


def test_what_an_erased_number_said_goes_and_stays_gone(made: MadeStore) -> None:
    consent = made.steward.consent
    consent.set(ERASED, OTHER, purpose="network_planning", status="refused")
    assert statements(made) == 2
    made.steward.erase("020 7940 0001")
    assert statements(made) == 1
    said = consent.set(ERASED, purpose="network_planning", status="refused")
    assert said.status == {"erased": 1}
    listed = consent.import_list(
        io.BytesIO(f"{ERASED}\n+442079400005\n".encode()), format="e164", purpose="*", effect="opt-out", name="own"
    )
    assert (listed.erased, listed.statements) == (1, 1)
    assert statements(made) == 2
    made.steward.ingest(made_up_calls(200), table="calls")
    pseudonym = made.steward.store.pseudonym(ERASED)
    made.steward.store.reload()
    assert pseudonym not in made.steward.store.numbers()["pseudonym"].to_pylist()
