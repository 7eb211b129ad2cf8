"""`dpquery report fairness`, as a cron job or a script calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fairness_stores import calls, charges, people, with_report
from stores import MadeStore, make_store
from test_commands import dpquery, valid


@pytest.fixture
def tight(tmp_path: Path) -> MadeStore:
    return make_store(tmp_path, with_report(), calls(), subscribers=people())


def test_the_command_says_the_price_first_and_dry_run_spends_nothing(tight: MadeStore) -> None:
    before = charges(tight)
    dry = dpquery("report", "fairness", tight.folder, "--epsilon", "0.6", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "epsilon 0.6 in all, of which 0.6 is new" in dry.stdout
    assert charges(tight) == before
    done = dpquery("report", "fairness", tight.folder, "--epsilon", "0.6", "--format", "json")
    assert done.stderr.splitlines()[0] == "asks 6 questions: epsilon 0.6 in all, of which 0.6 is new"
    document = json.loads(done.stdout)
    valid(document, "fairness-report")
    assert charges(tight) == before + 6
    again = dpquery("report", "fairness", tight.folder, "--epsilon", "0.6", "--format", "csv")
    assert again.stderr.splitlines()[0] == "asks 6 questions: epsilon 0.6 in all, of which 0 is new"
    facts = json.loads(dpquery("report", "fairness", tight.folder, "--dry-run", "--format", "json").stdout)
    valid(facts, "facts")
    out = tight.folder.parent / "fairness.html"
    assert (
        dpquery("report", "fairness", tight.folder, "--epsilon", "0.6", "--format", "html", "--out", out).returncode
        == 0
    )
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert dpquery("report", "fairness", tight.folder, "--format", "pdf").returncode == 2
