"""Processes that charge at once, and processes that are killed at any moment."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import ledger_clients
import pytest
from ledgers import STORES
from planning import POLICY
from stores import made_up_calls, make_store

from dpquery.ledger import Ledger
from dpquery.ledger.bodies import ReleaseBody, decode
from dpquery.ledger.entries import release_name
from dpquery.store_ledger import open_ledger

SEED = 2026


def clients(store: str, what: str, count: int, seed: int = SEED) -> dict[str, int]:
    """What clients forked from a process of their own did; every check that failed there fails here."""
    command = [sys.executable, ledger_clients.__file__, store, what, str(count), str(seed)]
    environment = {**os.environ, "PYTHONPATH": str(Path(ledger_clients.__file__).parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("store", STORES)
def test_the_last_unit_is_sold_once(store: str) -> None:
    found = clients(store, "race", ledger_clients.RACERS)
    assert found["accepted"] == ledger_clients.CAP // ledger_clients.COST
    assert found["spent"] == found["accepted"] * ledger_clients.COST


@pytest.mark.parametrize("store", STORES)
def test_tens_of_clients_lose_nothing(store: str) -> None:
    found = clients(store, "crowd", ledger_clients.PROCESSES)
    everything = ledger_clients.PROCESSES * ledger_clients.THREADS * ledger_clients.ASKED
    assert found["told"] == found["charges"] == found["releases"] == everything


@pytest.mark.parametrize("store", STORES)
def test_killed_processes_leave_a_whole_ledger(store: str) -> None:
    found = clients(store, "kills", 200 if store == "sqlite" else 40)
    assert found["charges"] > found["releases"] >= found["shown"] > 0
    assert found["refusals"] > 0 or store != "sqlite"  # rounds that are fewer and slower end before the budget does


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
def test_killed_processes_leave_a_whole_ledger_every_time(store: str) -> None:
    rounds = 2000 if store == "sqlite" else 400
    assert clients(store, "kills", rounds, seed=random.getrandbits(32))["shown"] > 0


def test_killed_commands_leave_a_whole_store(tmp_path: Path) -> None:
    """`dpquery query` dies at any moment between its start and its end; then the store answers as before."""
    made = make_store(tmp_path, POLICY, made_up_calls(200))
    sql = "SELECT COUNT(*) FROM calls"
    shown = {release_of(start_command(made.folder, sql))}  # compiles kernels, which the next one finds
    start = time.monotonic()
    shown.add(release_of(start_command(made.folder, sql)))
    longest = time.monotonic() - start
    for number in range(10):
        command = start_command(made.folder, sql, "--fresh", "--request-id", f"r{number}")
        time.sleep(random.uniform(0, longest))
        command.send_signal(signal.SIGKILL)
        shown.add(release_of(command))
        with open_ledger(made.steward.store) as ledger:
            verified = ledger.verify()
            assert verified.charges >= verified.releases
            assert shown - {None} <= released_names(ledger)
    budget = subprocess.run(
        [sys.executable, "-m", "dpquery", "budget", made.folder, "--json"], capture_output=True, check=True
    )
    document: dict[str, Any] = json.loads(budget.stdout)
    assert document["ledger"]["verified"]
    (own,) = [one for one in document["scopes"] if one["scope"] == "analyst:ana" and one["block"] == "2026-01"]
    entries = own["entries"]
    assert entries["released"] + entries["charged"] == verified.charges
    assert own["spent"]["epsilon"] == pytest.approx(0.1 * verified.charges)
    assert own["spent"]["epsilon"] <= own["cap"]["epsilon"]
    again = start_command(made.folder, sql, "--fresh", "--request-id", "r9")
    assert release_of(again) is not None


def start_command(folder: Path, sql: str, *more: str) -> subprocess.Popen[str]:
    words = ["query", str(folder), sql, "--analyst", "ana", "--purpose", "network_planning", "--epsilon", "0.1"]
    return subprocess.Popen(
        [sys.executable, "-m", "dpquery", *words, "--json", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def release_of(command: subprocess.Popen[str]) -> str | None:
    """Name of the release that the command printed before it ended, if it got so far."""
    output, _ = command.communicate(timeout=120)
    try:
        return str(json.loads(output)["release"])
    except json.JSONDecodeError:
        return None


def released_names(ledger: Ledger) -> set[str]:
    by_sequence = {entry.sequence: entry for entry in ledger.entries()}
    bodies = [decode(entry) for entry in by_sequence.values()]
    return {release_name(by_sequence[body.charge].hash) for body in bodies if isinstance(body, ReleaseBody)}
