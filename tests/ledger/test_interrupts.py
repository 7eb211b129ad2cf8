"""Ctrl-C while a ledger is read on: nothing of it stays half known, and nothing that was known is forgotten."""

from __future__ import annotations

import random
import shutil
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from ledgers import Place, fresh_place, pure_grants, quick_folder

from dpquery.accounting import Loss
from dpquery.errors import LedgerError
from dpquery.ledger import ChargeRequest, Scope, fold, grants
from dpquery.ledger import ledger as ledger_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

READ = {module.__file__ for module in (fold, grants, ledger_module)}
"""Where the fold is read on."""

SCOPES = (Scope("dataset"), Scope("analyst", "ana"))


def ask(question: str, epsilon: int = 1, *, asker: str = "ana") -> ChargeRequest:
    pairs = tuple((scope, "a") for scope in (Scope("dataset"), Scope("analyst", asker)))
    return ChargeRequest(None, question, asker, "p", pairs, Loss(epsilon, None, 0))


def stop_in(frame: FrameType, event: str) -> bool:
    """Whether an interrupt is tried here: at every line, and where the fold is given back at every instruction."""
    if frame.f_code.co_name == "_caught_up":
        frame.f_trace_opcodes = True
        return event == "opcode"
    return event == "line"


@contextmanager
def interrupted(at: int) -> Iterator[list[int]]:
    """Raises KeyboardInterrupt at the place `at` of those where one is tried; gives how many there were."""
    passed = [0]

    def local(frame: FrameType, event: str, _: Any) -> Callable[..., Any]:
        if stop_in(frame, event):
            passed[0] += 1
            if passed[0] == at:
                raise KeyboardInterrupt
        return local

    def trace(frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        return local if event == "call" and frame.f_code.co_filename in READ else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield passed
    finally:
        sys.settrace(before)


@pytest.fixture
def place() -> Iterator[Place]:
    """A ledger with entries of every kind that the fold holds anything of."""
    with quick_folder() as folder:
        made = fresh_place(folder)
        made.create(pure_grants(60, "ana", "ben")).close()
        older = folder / "older.sqlite"
        with made.open() as ledger:
            ledger.charge(ask("one", 20))
        shutil.copy2(folder / "ledger.sqlite", older)
        with made.open() as ledger:
            ledger.charge(ask("lost", 3))
            lost = ledger.checkpoint(steward_key=made.steward_key)
        older.replace(folder / "ledger.sqlite")
        with made.open() as ledger:
            ledger.adopt_checkpoint(lost, reason="a test", actor="eva", steward_key=made.steward_key)
            charged = ledger.charge(ask("two", 20))
            ledger.record(charged, b"answer")
            for_ben = replace(ask("two", 20, asker="ben"), members=(("g", "ben"),))
            stored = ledger.find_for(for_ben)
            assert stored is not None
            ledger.adopt(for_ben, stored)
            ledger.close_scope(Scope("purpose", "p"), "a", reason="a test", actor="eva", steward_key=made.steward_key)
            assert {entry.kind for entry in ledger.entries()} >= {"grant", "charge", "repeat", "join", "adopt", "close"}
        yield made


def copied(place: Place, name: str) -> Place:
    assert not isinstance(place.where, str)
    return replace(place, where=shutil.copy2(place.where, place.where.with_name(name)))


def spent(place: Place) -> int:
    with place.open() as ledger:
        (ana,) = ledger.standing([(Scope("analyst", "ana"), "a")])
        assert ana.spent.epsilon is not None
        return ana.spent.epsilon


def test_an_interrupt_at_any_statement_leaves_a_ledger_that_goes_on(place: Place) -> None:
    """The caps leave room for exactly what is asked after it: an entry that is counted twice does not fit."""
    at = count = 0
    while at <= count:
        at += 1
        again = copied(place, "again.sqlite")
        with again.open() as ledger:
            with interrupted(at) as passed:
                try:
                    ledger.charge(ask("cut", 1))
                except KeyboardInterrupt:
                    count = at
            before = spent(again)
            assert before == 44 if count < at else before in {43, 44}  # it may come right after the commit
            assert ledger.charge(ask("next", 60 - before)).fresh
            assert spent(again) == 60
            assert at % 10 or ledger.verify().verified
    assert passed[0] < at
    assert count > 400


def test_an_interrupted_ledger_knows_what_it_had_read(place: Place) -> None:
    """An older copy that is put in its place meanwhile is refused as ever."""
    again = copied(place, "again.sqlite")
    older = copied(again, "older.sqlite")
    assert not isinstance(older.where, str)
    with again.open() as ledger, again.open() as other:
        ledger.charge(ask("known", 2))
        other.charge(ask("theirs", 2))
        with interrupted(60), pytest.raises(KeyboardInterrupt):
            ledger.charge(ask("cut", 1))
        older.where.replace(again.where)
        with pytest.raises(LedgerError, match=r"DPQ-802.*replaced while in use"):
            ledger.charge(ask("next", 1))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # one in a callback of SQLAlchemy
def test_real_signals_while_a_ledger_is_read(place: Place) -> None:
    with place.open() as ledger:
        for number in range(17):
            ledger.charge(ask(f"q{number}"))
            ledger.fail(ledger.charge(replace(ask(f"q{number}"), loss=Loss(0, None, 0))))
    lots = random.Random(1)
    asked = replace(ask("free"), loss=Loss(0, None, 0))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    started = time.perf_counter()
    with place.open() as ledger:
        ledger.charge(asked)
    seconds = time.perf_counter() - started
    before = signal.signal(signal.SIGALRM, stop)
    stopped = 0
    try:
        for _ in range(60):
            with place.open() as ledger:
                try:
                    signal.setitimer(signal.ITIMER_REAL, lots.uniform(0.001, seconds))
                    ledger.charge(asked)
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except KeyboardInterrupt:
                    stopped += 1
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
                assert ledger.charge(asked).fresh
    finally:
        signal.signal(signal.SIGALRM, before)
    assert stopped
    with place.open() as ledger:
        assert ledger.verify().verified
