"""What people have said, in a report: read off one priced release, in bands, and never without paying."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning import POLICY
from stores import MadeStore, generous, made_up_calls, make_store

from dpquery.consent.records import GIVEN, REFUSED
from dpquery.consent.stating import Statement, pseudonym_of, state
from dpquery.errors import NotAllowed, UsageError
from dpquery.reports.coverage import NO_DUTY, NO_VIEW, NOT_BOUGHT, band, consent_coverage

VIEW = """
[tables.consents]
owners = 1
parties = { number = "number" }
registry = "consents"
[tables.consents.columns]
purpose = { type = "text", keys = ["network_planning"] }
status = { type = "text", keys = ["given", "refused"] }

[purposes.compliance]
text = "Keep to the law."
notice = "v1"
regime = "duty"
"""
STEWARD = """
[analysts.steward]
purposes = ["compliance"]
"""
BUDGET = ("analysts = { ", "analysts = { steward = { epsilon = 1e9 }, ")


def policy(*sections: str) -> str:
    text = generous(POLICY + "".join(sections))
    return text.replace(*BUDGET, 1) if STEWARD in sections else text


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    return make_store(tmp_path, policy(VIEW, STEWARD), made_up_calls(80))


def say(made: MadeStore, status: str, numbers: range) -> None:
    store, now = made.steward.store, datetime.now(UTC)
    said = [pseudonym_of(store, f"+4420794{i:05}" if i % 2 else f"+44161496{i:04}", None) for i in numbers]
    state(store, said, Statement("network_planning", status, now), now=now)


def test_bands_hold_the_noisy_counts_and_are_bought_once(made: MadeStore) -> None:
    steward = made.steward
    assert steward.report().document.data.consent_coverage_reason == NOT_BOUGHT
    say(made, GIVEN, range(1, 31))
    say(made, REFUSED, range(31, 38))
    found = steward.report(coverage=1e4).document.data
    assert found.consent_coverage is not None
    assert found.consent_coverage_reason is None
    assert {(each.status, each.low, each.high) for each in found.consent_coverage.bands} == {
        ("given", 20, 50),
        ("refused", 5, 10),
    }
    entries = steward.budget().ledger.entries
    say(made, REFUSED, range(1, 38))
    later = steward.report()
    assert later.document.data.consent_coverage == found.consent_coverage, "only a new release tells of what is new"
    assert steward.budget().ledger.entries == entries, "showing it is free, and leaves no entry"
    assert found.consent_coverage.release in later.to_markdown()
    for text in (later.to_html(), later.to_csv(), later.to_json()):
        assert found.consent_coverage.release in text
    new = steward.report(coverage=2e4).document.data.consent_coverage
    assert new is not None
    assert {(each.status, each.high) for each in new.bands} == {("given", 0), ("refused", 50)} or new.bands[0].high <= 1


@pytest.mark.parametrize(("sections", "reason"), [((), NO_VIEW), ((VIEW,), NO_DUTY)], ids=["no view", "nobody may ask"])
def test_what_is_missing_is_said(tmp_path: Path, sections: tuple[str, ...], reason: str) -> None:
    made = make_store(tmp_path, policy(*sections), made_up_calls(20))
    assert made.steward.report().document.data.consent_coverage_reason == reason
    with pytest.raises(UsageError):
        made.steward.report(coverage=0.1)


def test_without_the_steward_s_key_the_report_says_so_and_nothing_is_bought(made: MadeStore) -> None:
    made.folder.with_name("store.steward.key").unlink()
    found = consent_coverage(made.steward.store)
    assert isinstance(found, str)
    assert "steward" in found
    with pytest.raises(NotAllowed):
        consent_coverage(made.steward.store, epsilon=0.1)


@given(st.floats(-1e12, 1e12), st.floats(0, 1e12))
def test_a_band_holds_its_interval_between_round_numbers(low: float, width: float) -> None:
    below, above = band(low, low + width)
    assert below <= max(0.0, low)
    assert above >= low + width
    for edge in (below, above):
        assert edge == 0 or str(edge).rstrip("0") in {"1", "2", "5"}
