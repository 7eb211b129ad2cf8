"""Clients of one ledger at once: `python ledger_clients.py STORE WHAT COUNT SEED`, forked from a process of its own.

kills: COUNT rounds, in each of which clients are killed at random moments. race: clients share a budget until it is
used up. crowd: threads of several processes ask at once, and nothing is lost.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from forking import Tell, forked, ready, told
from ledgers import Place, fresh_place, pure_grants, quick_folder

from dpquery.accounting import Loss
from dpquery.errors import BudgetRefused
from dpquery.ledger import Charged, ChargeRequest, Ledger, Scope
from dpquery.ledger.bodies import ChargeBody, ReleaseBody, decode
from dpquery.ledger.entries import release_name

CLIENTS = 8
KILLED = -9
ROUNDS_PER_LEDGER = 10
"""A fresh one after so many, so that reading it stays quick."""
LIFE_SECONDS = 0.12
"""Longest life of a client that is killed."""
PAIRS = tuple((scope, block) for scope in (Scope("dataset"), Scope("analyst", "ana")) for block in ("a", "b"))
RACERS, CAP, COST = 16, 1000, 7
PROCESSES, THREADS, ASKED = 4, 8, 4


def request(name: str, cost: int) -> ChargeRequest:
    return ChargeRequest(name, name, "ana", "p", PAIRS, Loss(cost, None, 0))


def fresh(folder: Path, store: str, epsilon: int) -> Place:
    folder.mkdir(mode=0o700)
    place = fresh_place(folder, store)
    place.create(pure_grants(epsilon, "ana")).close()
    return place


def warm(store: str) -> None:
    """Ask once, so that the processes that are forked have imported everything; nothing stays open."""
    with quick_folder() as folder:
        place = fresh(folder / "warm", store, 1)
        serve(place, "warm", lambda _: None)
        checked(place, 1, [], [])


def kills(store: str, rounds: int, seed: int) -> dict[str, int]:
    """Clients charge and record for as long as they live; each round ends with a full check of what they leave."""
    lots = random.Random(seed)
    charged: list[str] = []
    shown: list[str] = []
    counts = {"charges": 0, "releases": 0, "shown": 0, "refusals": 0}
    with quick_folder() as folder:
        for number in range(rounds):
            if number % ROUNDS_PER_LEDGER == 0:
                cap = lots.choice([5, 10**6])
                place = fresh(folder / f"{number}", store, cap)
                charged.clear()
                shown.clear()
            names = [f"{number}-{index}" for index in range(CLIENTS)]
            ends = sorted(lots.uniform(0, LIFE_SECONDS) for _ in names)
            clients = [forked(partial(serve, place, name)) for name in names]
            lots.shuffle(clients)
            start = time.monotonic()
            for client, end in zip(clients, ends, strict=True):
                time.sleep(max(0.0, start + end - time.monotonic()))
                client.kill()
            for client in clients:
                status, lines = client.finish()
                assert status in {KILLED, 0}, status
                charged += [line.removeprefix("charged ") for line in lines if line.startswith("charged ")]
                shown += [line.removeprefix("shown ") for line in lines if line.startswith("shown ")]
            (found,) = told(partial(tell_checked, place, cap, charged, shown))
            if (number + 1) % ROUNDS_PER_LEDGER == 0 or number + 1 == rounds:
                for key, value in json.loads(found).items():
                    counts[key] += value
    return counts


def serve(place: Place, name: str, tell: Tell) -> None:
    """Charge and record until the budget is used up or the process is killed."""
    with place.open() as ledger:
        number = 0
        while True:
            try:
                paid = ledger.charge(request(f"{name}-{number}", 1))
            except BudgetRefused:
                return
            tell(f"charged {paid.release}")
            answer = f"answer to {name}-{number}".encode()
            assert ledger.record(paid, answer) == answer
            tell(f"shown {paid.release}")
            number += 1


def tell_checked(place: Place, cap: int, charged: list[str], shown: list[str], tell: Tell) -> None:
    tell(json.dumps(checked(place, cap, charged, shown)))


def checked(place: Place, cap: int, charged: list[str], shown: list[str]) -> dict[str, int]:
    """The ledger is whole, within its cap, and has every charge and release that a client was told of."""
    with place.open() as ledger:
        verified = ledger.verify()
        names = {entry.sequence: release_name(entry.hash) for entry in ledger.entries() if entry.kind == "charge"}
        bodies = [decode(entry) for entry in ledger.entries()]
        released = [body.charge for body in bodies if isinstance(body, ReleaseBody)]
        spent = {balance.spent.epsilon for balance in ledger.balances()} or {0}
    assert spent == {len(names)}, (spent, len(names))
    assert len(names) <= cap
    assert len(set(released)) == len(released) == verified.releases
    assert set(released) <= set(names), "a release without a charge"
    assert set(charged) <= set(names.values()), "a charge that was reported is gone"
    assert set(shown) <= {names[one] for one in released}, "a release that was shown is not stored"
    refusals = sum(entry_kind == "RefuseBody" for entry_kind in (type(body).__name__ for body in bodies))
    return {"charges": len(names), "releases": len(released), "shown": len(shown), "refusals": refusals}


def race(store: str, racers: int, _: int) -> dict[str, int]:
    """All start at once, and each goes on until it is refused twice."""
    with quick_folder() as folder:
        place = fresh(folder / "race", store, CAP)
        accepted = [int(lines[-1]) for lines in at_once(racers, lambda name, tell: run_out(place, name, tell))]
        (found,) = told(lambda tell: tell(json.dumps(replayed(place))))
    return {"accepted": sum(accepted), **json.loads(found)}


def run_out(place: Place, name: str, tell: Tell) -> None:
    accepted = refused = 0
    with place.open() as ledger:
        while refused < 2:
            try:
                ledger.charge(request(f"{name}-{accepted + refused}", COST))
                accepted += 1
            except BudgetRefused:
                refused += 1
    tell(str(accepted))


def replayed(place: Place) -> dict[str, int]:
    """What the chain adds up to, one entry after the other, beside what the ledger says."""
    spent = dict.fromkeys(PAIRS, 0)
    with place.open() as ledger:
        ledger.verify()
        for entry in ledger.entries():
            body = decode(entry)
            if isinstance(body, ChargeBody):
                for pair in body.charges:
                    assert body.loss.epsilon is not None
                    spent[pair] += body.loss.epsilon
                    assert spent[pair] <= CAP
        balances = {(balance.scope, balance.block): balance.spent.epsilon for balance in ledger.balances()}
    assert balances == spent
    (total,) = set(spent.values())
    return {"spent": total}


def crowd(store: str, processes: int, _: int) -> dict[str, int]:
    """Threads that share one open ledger in each process; every one of their answers is there in the end."""
    with quick_folder() as folder:
        place = fresh(folder / "crowd", store, 10**6)
        lines = at_once(processes, lambda name, tell: ask_by_threads(place, name, tell))
        told_of = [line for some in lines for line in some]
        (found,) = told(partial(tell_checked, place, 10**6, told_of, told_of))
    return {"told": len(set(told_of)), **json.loads(found)}


def ask_by_threads(place: Place, name: str, tell: Tell) -> None:
    with place.open() as ledger:
        done: list[Charged] = []
        threads = [
            threading.Thread(target=ask, args=(ledger, f"{name}-{number}", done), daemon=True)
            for number in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for paid in done:
        tell(paid.release)


def ask(ledger: Ledger, name: str, done: list[Charged]) -> None:
    for number in range(ASKED):
        paid = ledger.charge(request(f"{name}-{number}", 1))
        ledger.record(paid, name.encode())
        done.append(paid)


def at_once(count: int, act: Callable[[str, Tell], None]) -> list[list[str]]:
    """What `count` clients tell that all begin at the same moment."""
    waiting, start = os.pipe()

    def begin(name: str, tell: Tell) -> None:
        os.close(start)
        os.read(waiting, 1)
        act(name, tell)

    clients = [forked(partial(begin, f"c{number}")) for number in range(count)]
    os.close(start)
    os.close(waiting)
    ended = [client.finish() for client in clients]
    assert [status for status, _ in ended] == [0] * count
    return [lines for _, lines in ended]


if __name__ == "__main__":
    os.umask(0o077)
    warm(sys.argv[1])
    ready()
    what = {"kills": kills, "race": race, "crowd": crowd}[sys.argv[2]]
    print(json.dumps(what(sys.argv[1], int(sys.argv[3]), int(sys.argv[4]))))  # noqa: T201 - what the test reads
