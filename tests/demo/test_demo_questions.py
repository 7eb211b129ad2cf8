"""The demo's five answers are of use: little noise, few rows lost, and a third of the budget at most."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pytest
from planning import priced

from dpquery.catalog import catalog_of
from dpquery.demo import POLICY_FILE
from dpquery.demo.questions import ANALYST, QUESTIONS
from dpquery.demo.store import make_demo
from dpquery.demo.truth import truth
from dpquery.engines.embedded import execute
from dpquery.engines.stored import stored_rows
from dpquery.errors import StoreError
from dpquery.policy import load_policy
from dpquery.postprocessing.estimates import estimates

SHARE_MAX = 0.10


def check_seed(folder: Path, seed: int, rows: int = 1_000_000) -> None:
    """Half-width and rows lost are each at most a tenth of the median cell, for every value of every question."""
    steward, _ = make_demo(folder, rows=rows, seed=seed)
    store = steward.store
    store.reload()
    catalog = catalog_of(store)
    for question in QUESTIONS:
        plan = priced(question.sql, catalog, epsilon=question.epsilon)
        found = truth(store, catalog, plan)
        assert found.lost <= SHARE_MAX, (seed, question.sql)
        exact = execute(
            plan, stored_rows(store, catalog, plan, purpose="network_planning", at=datetime.now(UTC))
        ).open_for_noise()
        for estimate in estimates(plan, exact):
            # Around the exact values the interval is exactly the noise's.
            cell = found.median_cell
            reach = max(estimate.high[cell] - estimate.value[cell], estimate.value[cell] - estimate.low[cell])
            assert reach <= SHARE_MAX * abs(estimate.value[cell]), (seed, question.sql)


def test_the_demo_is_of_use(tmp_path: Path) -> None:
    check_seed(tmp_path / "demo", 2026)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 21))
def test_the_demo_is_of_use_whatever_the_seed(tmp_path: Path, seed: int) -> None:
    check_seed(tmp_path / "demo", seed)


def test_the_five_spend_at_most_a_third() -> None:
    budget = load_policy(POLICY_FILE).budgets.analysts[ANALYST].epsilon
    assert sum(question.epsilon for question in QUESTIONS) <= budget / 3
    assert len(QUESTIONS) == 5


def test_the_command_runs_without_a_terminal_and_again_in_its_place(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dpquery", "demo", "d", "--rows", "20_000", "--seed", "3"]
    first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    for number, question in enumerate(QUESTIONS, start=1):
        assert f"{number}. {question.words}" in first.stdout
    assert first.stdout.count("rows lost to bounding") == 5
    assert first.stdout.count("noise on") >= 5
    assert first.stdout.count("price epsilon") == 5
    asked = ["query", "d", "SELECT COUNT(*) FROM calls", "--analyst", "ana", "--purpose", "network_planning"]
    asked += ["--epsilon", "0.5", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "dpquery", *asked], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["status"] == "released"
    subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)


def test_another_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not remove")
    with pytest.raises(StoreError):
        make_demo(tmp_path / "mine", rows=2000, seed=1)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_a_demo_with_somebodys_file_in_it_is_not_replaced(tmp_path: Path) -> None:
    make_demo(tmp_path / "demo", rows=2000, seed=1)
    (tmp_path / "demo" / "mine.txt").write_text("do not remove")
    with pytest.raises(StoreError):
        make_demo(tmp_path / "demo", rows=2000, seed=1)
    assert (tmp_path / "demo" / "mine.txt").exists()


def test_the_average_of_two_owner_rows_is_near_the_truth(tmp_path: Path) -> None:
    """The bins stand for their values well enough: within 5 % of the mean of all rows, at 100,000 rows."""
    steward, _ = make_demo(tmp_path / "demo", rows=100_000, seed=5)
    store = steward.store
    store.reload()
    plan = priced("SELECT AVG(talk_s) AS t FROM calls WHERE talk_s IS NOT NULL", catalog_of(store), epsilon=2.0)
    files = tuple(f.path for f in store.files("calls"))
    exact = execute(
        plan, stored_rows(store, catalog_of(store), plan, purpose="network_planning", at=datetime.now(UTC))
    ).open_for_noise()
    with duckdb.connect(":memory:") as con:
        names = [str(f) for f in files]
        # WHERE, since least(NULL, 3600) is 3600.
        sql = f"SELECT avg(least(talk_s, 3600)) FROM read_parquet({names!r}) WHERE talk_s IS NOT NULL"
        true = con.execute(sql).fetchone()
    assert true is not None
    value = estimates(plan, exact)[0].value[0]
    assert np.isclose(value, true[0], rtol=0.05)
