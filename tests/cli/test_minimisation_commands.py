"""`dpquery purge` and `dpquery doctor`, as a cron job calls them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from planning import POLICY
from stores import MadeStore, made_up_calls, make_store
from test_commands import dpquery, valid

if TYPE_CHECKING:
    from pathlib import Path

OLD = POLICY.replace('block = "month"', 'block = "month"\nretention_days = 30')


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    """A store whose rows were taken in when they were new; by the clock of today they are past retention."""
    return make_store(tmp_path, OLD, made_up_calls(40), now=lambda: datetime(2026, 1, 2, tzinfo=UTC))


def test_rows_past_retention_are_found_and_then_removed(made: MadeStore) -> None:
    found = dpquery("doctor", made.folder, "--json")
    document = json.loads(found.stdout)
    valid(document, "doctor")
    assert (found.returncode, document["clean"]) == (5, False)
    assert {finding["kind"] for finding in document["findings"]} == {"retention"}
    asked = dpquery("query", made.folder, "SELECT COUNT(*) FROM calls", "--analyst", "ana", *PURPOSE, "--json")
    refusal = json.loads(asked.stderr)
    assert (asked.returncode, refusal["code"], refusal["spent"]) == (3, "DPQ-126", 0)
    purged = dpquery("purge", made.folder, "--json")
    done = json.loads(purged.stdout)
    valid(done, "purge")
    assert [(each["table"], each["rows_removed"]) for each in done["tables"]] == [("calls", 40)]
    again = dpquery("purge", made.folder)
    assert (again.returncode, again.stdout) == (0, "")
    assert "calls: rows are kept for 30 days" in again.stderr
    assert "0 older rows removed" in again.stderr
    clean = dpquery("doctor", made.folder)
    assert (clean.returncode, clean.stdout) == (0, "")
    assert "clean: no number stands in the clear" in clean.stderr


PURPOSE = ("--purpose", "network_planning")


def test_numbers_that_are_named_and_further_places(made: MadeStore, tmp_path: Path) -> None:
    dpquery("purge", made.folder)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "log.txt").write_text("07400 777777 called\n")
    (tmp_path / "numbers.txt").write_text("+447400777777\n")
    also = ("--also", tmp_path / "reports")
    assert dpquery("doctor", made.folder, *also).returncode == 0
    for given, stdin in ((tmp_path / "numbers.txt", ""), ("-", "07400 777777\n")):
        found = dpquery("doctor", made.folder, *also, "--numbers", given, stdin=stdin)
        assert found.returncode == 5
        assert "log.txt, line 1: 0740... (12 signs)" in found.stdout
        assert "777777" not in found.stdout + found.stderr
    missing = dpquery("doctor", made.folder, "--numbers", tmp_path / "none")
    assert (missing.returncode, "DPQ-002" in missing.stderr) == (2, True)
    nowhere = dpquery("doctor", made.folder, "--also", tmp_path / "none")
    assert (nowhere.returncode, "DPQ-002" in nowhere.stderr) == (2, True)


def test_no_retention_no_purge(tmp_path: Path) -> None:
    store = make_store(tmp_path, POLICY, made_up_calls(5))
    done = dpquery("purge", store.folder)
    assert (done.returncode, done.stdout) == (0, "")
    assert "kept for ever" in done.stderr


def test_an_ingest_says_what_it_left_out(made: MadeStore, tmp_path: Path) -> None:
    frame = made_up_calls(6)
    frame.loc[0, "start_ts"] = "2026-01-05T10:00:00Z"
    frame.to_csv(tmp_path / "calls.csv", index=False)
    done = dpquery("ingest", made.folder, tmp_path / "calls.csv", "--table", "calls")
    assert (done.returncode, "left out 6: rows older than retention_days" in done.stderr) == (0, True)
