"""Processes that charge at once, and processes that are killed at any moment."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from dpquery.accounting import Cap
from dpquery.ledger import Grant, Ledger, Scope, make_steward_key
from dpquery.ledger.bodies import ReleaseBody, decode
from dpquery.ledger.entries import release_name

if TYPE_CHECKING:
    from pathlib import Path

CLIENT = """
import sys
from pathlib import Path
from dpquery.accounting import Loss
from dpquery.errors import BudgetRefused
from dpquery.ledger import ChargeRequest, Ledger, Scope
path, name, cost, record = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4] == "record"
pairs = tuple((Scope.parse(text), block) for text in ("dataset", "analyst:ana") for block in ("a", "b"))
accepted = refused = 0
with Ledger.open(path) as ledger:
    print("ready", flush=True)
    sys.stdin.readline()
    while refused < 2:
        number = accepted + refused
        request = ChargeRequest(f"{name}-{number}", f"{name}-{number}", "ana", "p", pairs, Loss(cost, None, 0))
        try:
            charged = ledger.charge(request)
        except BudgetRefused:
            refused += 1
            continue
        accepted += 1
        if record:
            ledger.record(charged, name.encode())
            print(charged.release, flush=True)
print(accepted, flush=True)
"""


def make_ledger(folder: Path, epsilon: int) -> Path:
    key = folder / "key"
    make_steward_key(key)
    cap = Cap(epsilon, 0, 0, 0, 0)
    grants = [Grant(scope, "*", cap, "test", "steward") for scope in (Scope("dataset"), Scope("analyst", "ana"))]
    Ledger.create(folder / "l.sqlite", dataset="d", steward_key=key, grants=grants).close()
    return folder / "l.sqlite"


def start(path: Path, count: int, cost: int, *, record: bool) -> list[subprocess.Popen[str]]:
    """Clients that wait until all of them are ready."""
    mode = "record" if record else "charge"
    clients = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", CLIENT, str(path), f"{random.getrandbits(64):x}", str(cost), mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    for client in clients:
        assert client.stdout is not None
        assert client.stdout.readline() == "ready\n"
    for client in clients:
        assert client.stdin is not None
        client.stdin.write("\n")
        client.stdin.flush()
    return clients


def finish(client: subprocess.Popen[str]) -> list[str]:
    output, _ = client.communicate(timeout=60)
    return output.split()


def test_the_last_unit_is_sold_once(tmp_path: Path) -> None:
    path = make_ledger(tmp_path, 100)
    clients = start(path, 6, 7, record=False)
    accepted = [int(finish(client)[-1]) for client in clients]
    assert [client.returncode for client in clients] == [0] * 6
    assert sum(accepted) == 100 // 7
    with Ledger.open(path) as ledger:
        found = ledger.verify()
        assert found.charges == 100 // 7
        assert {balance.spent.epsilon for balance in ledger.balances()} == {98}


def kill_while_charging(path: Path, rounds: int, clients_per_round: int) -> None:
    shown: set[str] = set()
    for _ in range(rounds):
        clients = start(path, clients_per_round, 1, record=True)
        for client in clients:
            time.sleep(random.uniform(0, 0.08))
            client.send_signal(signal.SIGKILL)
        for client in clients:
            shown |= {line for line in finish(client) if line.startswith("r-") and len(line) == 18}
            assert client.returncode == -signal.SIGKILL
        with Ledger.open(path) as ledger:
            found = ledger.verify()
            for balance in ledger.balances():
                assert balance.spent.epsilon == found.charges <= 10**6
                assert balance.counts["released"] == found.releases
                assert balance.counts["charged"] == found.charges - found.releases
            released = released_names(ledger)
            assert shown <= released
    assert shown


def released_names(ledger: Ledger) -> set[str]:
    by_sequence = {entry.sequence: entry for entry in ledger.entries()}
    bodies = [decode(entry) for entry in by_sequence.values()]
    return {release_name(by_sequence[body.charge].hash) for body in bodies if isinstance(body, ReleaseBody)}


def test_killed_processes_leave_a_whole_ledger(tmp_path: Path) -> None:
    kill_while_charging(make_ledger(tmp_path, 10**6), rounds=2, clients_per_round=8)


@pytest.mark.slow
def test_killed_processes_leave_a_whole_ledger_every_time(tmp_path: Path) -> None:
    kill_while_charging(make_ledger(tmp_path, 10**6), rounds=60, clients_per_round=8)
