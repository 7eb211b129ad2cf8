"""Fails every system call of one act of a ledger in turn: `python fault_sweep.py SHIM FOLDER ACT`, SHIM preloaded.

A process of its own meets each fault, and another that has just started looks at what is left. Prints the calls of the
act, a letter each.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import replace
from enum import IntEnum
from pathlib import Path

from forking import Tell, forked, ready, told
from ledgers import Place, fresh_place, newest_stored, pure_grants, quick_folder
from sqlalchemy.exc import DBAPIError

from dpquery.accounting import Cap, Loss
from dpquery.errors import LedgerError
from dpquery.ledger import ChargeRequest, Grant, Ledger, Scope

KILLED = -9
PAIRS = tuple((scope, block) for scope in (Scope("dataset"), Scope("analyst", "ana")) for block in ("a", "b"))


class Fault(IntEnum):
    """As in fault_shim.c."""

    NOTHING = 0
    IO_ERROR = 1
    NO_SPACE = 2
    SHORT = 3
    """Half of what is written arrives, and the writer hears of it."""
    TORN = 4
    """Half of it arrives, and the process is dead."""
    KILL = 5
    DEAD_DISK = 6
    """This call and all later ones fail."""


FAULTS = {
    "o": (Fault.IO_ERROR, Fault.KILL, Fault.NO_SPACE),
    "w": (Fault.IO_ERROR, Fault.KILL, Fault.NO_SPACE, Fault.TORN),
    "s": (Fault.IO_ERROR, Fault.KILL),
    "n": (Fault.IO_ERROR, Fault.KILL),
}
"""At every call, by its letter in fault_shim.c."""
SOME = 4
"""Every so many calls meet the faults that differ least from the others too: DEAD_DISK, and SHORT where it writes."""


class Shim:
    """The preloaded library, as this process sees it."""

    def __init__(self, library: str) -> None:
        self._library = ctypes.CDLL(library)
        self._library.fault_calls.restype = ctypes.c_char_p

    def arm(self, folder: Path, nth: int, fault: Fault) -> None:
        self._library.fault_arm(str(folder).encode(), ctypes.c_long(nth), ctypes.c_int(fault))

    @property
    def calls(self) -> str:
        found: bytes = self._library.fault_calls()
        return found.decode()


def request(name: str, epsilon: int = 3) -> ChargeRequest:
    return ChargeRequest(name, name, "ana", "p", PAIRS, Loss(epsilon, None, 0))


def create(place: Place) -> None:
    place.create(pure_grants(1000, "ana")).close()


def charge(ledger: Ledger, _: Place) -> None:
    assert ledger.charge(request("new")).payload is None


def record(ledger: Ledger, _: Place) -> None:
    assert ledger.record(ledger.charge(request("open")), b"answer") == b"answer"


def fail(ledger: Ledger, _: Place) -> None:
    ledger.fail(ledger.charge(request("failing")))


def adopt(ledger: Ledger, _: Place) -> None:
    stored = newest_stored(ledger, "stored")
    assert stored is not None
    asked = replace(request("stored"), request_id="again")
    assert ledger.adopt(asked, stored).payload == b"stored"


def grant(ledger: Ledger, place: Place) -> None:
    decision = Grant(Scope("dataset"), "a", Cap(900, 0, 0, 0, 0), "test", "steward")
    ledger.grant(decision, steward_key=place.steward_key)


ACTS: dict[str, Callable[[Ledger, Place], None]] = {
    "charge": charge,
    "record": record,
    "fail": fail,
    "adopt": adopt,
    "grant": grant,
}
"""All but the grant do nothing when they are done again."""
NAMES = ("create", *ACTS)


def prepared(folder: Path, name: str) -> Place:
    """A closed ledger with something for each act; none for `create`."""
    folder.mkdir(mode=0o700)
    place = fresh_place(folder)
    if name != "create":
        with place.create(pure_grants(1000, "ana")) as ledger:
            ledger.record(ledger.charge(request("stored")), b"stored")
            ledger.charge(request("open"))
            ledger.charge(request("failing"))
    return place


def do(place: Place, name: str, tell: Tell) -> None:
    """The act by the process that meets the fault: told are errors, that it was done, and whether it goes on."""
    if name == "create":
        attempt(lambda: create(place), tell)
        return
    opened: list[Ledger] = []

    def act() -> None:
        if not opened:
            opened.append(place.open())
        ACTS[name](opened[0], place)

    failed = attempt(act, tell)
    if not failed or not opened:
        return
    if io_error(failed):
        stopped = attempt(lambda: opened[0].standing(PAIRS), lambda _: None)
        assert stopped is not None, "a process that has seen an I/O error relies on nothing it reads"
        assert "failed earlier in this process" in str(stopped), stopped
    elif name != "grant":
        attempt(act, tell)


def attempt(act: Callable[[], object], tell: Tell) -> BaseException | None:
    """Tell `done`, or give the error."""
    try:
        act()
    except (LedgerError, OSError) as error:
        return error
    tell("done")
    return None


def io_error(error: BaseException) -> bool:
    """Whether SQLite has reported an I/O error."""
    cause = error.__cause__
    found = cause.orig if isinstance(cause, DBAPIError) else cause
    return getattr(found, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_IOERR


def look(place: Place, tell: Tell) -> None:
    """What a process that has just started finds: nothing, or a whole ledger that can be charged."""
    if not Path(place.where).exists():
        place.create(pure_grants(1000, "ana")).verify()
        tell("null")
        return
    with place.open() as ledger:
        kinds = [entry.kind for entry in ledger.entries()]
        spent = {f"{balance.scope} {balance.block}": balance.spent.epsilon for balance in ledger.balances()}
        stored = [name for name in ("stored", "open") if newest_stored(ledger, name) is not None]
        assert ledger.verify().entries == len(kinds)
        assert ledger.charge(request("afterwards")).fresh
    tell(json.dumps([kinds, spent, stored]))


def warm() -> None:
    """Do every act once, so that the processes that are forked have imported everything; nothing stays open."""
    with quick_folder() as folder:
        for name in NAMES:
            place = prepared(folder / name, name)
            do(place, name, lambda _: None)
            look(place, lambda _: None)


def sweep(shim: Shim, folder: Path, name: str) -> str:
    """The calls of the act, each of which has met every fault."""
    base = prepared(folder / "base", name)
    case = Case(shim, folder / "case", base, name)
    before = case.left_by(lambda _: None)
    calls = case.counted()
    after = case.seen()
    assert calls
    assert after != before
    for nth, call in enumerate(calls, 1):
        for fault in faults_at(nth, call):
            where = f"{name}: {fault.name} at call {nth} of {len(calls)} ({call})"
            status, lines = case.met(nth, fault)
            if fault in {Fault.KILL, Fault.TORN}:
                assert status == KILLED, where
            else:
                assert status == 0, where
            found = case.seen()
            assert found in ([after] if "done" in lines else [before, after]), f"{where}: {lines} {found}"
            assert fault is not Fault.SHORT or "done" in lines, f"{where}: a short write is carried on"
    return calls


def faults_at(nth: int, call: str) -> tuple[Fault, ...]:
    if nth % SOME:
        return FAULTS[call]
    return (*FAULTS[call], Fault.DEAD_DISK, *([Fault.SHORT] if call == "w" else []))


class Case:
    """One act on a fresh copy of the prepared ledger, and what it leaves."""

    def __init__(self, shim: Shim, folder: Path, base: Place, name: str) -> None:
        self._shim, self._folder, self._base, self._name = shim, folder, base, name
        self._place = base

    def met(self, nth: int, fault: Fault) -> tuple[int, list[str]]:
        """How the process ends whose `nth` call meets `fault`, and what it told."""
        self._renew()

        def act(tell: Tell) -> None:
            self._shim.arm(self._folder, nth, fault)
            do(self._place, self._name, tell)

        return forked(act).finish()

    def counted(self) -> str:
        self._renew()

        def act(tell: Tell) -> None:
            self._shim.arm(self._folder, 0, Fault.NOTHING)
            do(self._place, self._name, lambda _: None)
            tell(self._shim.calls)

        (calls,) = told(act)
        return calls

    def left_by(self, act: Callable[[Tell], None]) -> str:
        self._renew()
        told(act)
        return self.seen()

    def seen(self) -> str:
        (found,) = told(lambda tell: look(self._place, tell))
        return found

    def _renew(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._place = self._base.left_behind(self._folder)


if __name__ == "__main__":
    os.umask(0o077)
    warm()
    ready()
    print(sweep(Shim(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))  # noqa: T201 - what the test reads
