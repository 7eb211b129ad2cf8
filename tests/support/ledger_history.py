"""Plays acts on a ledger and on the model at once, and lets writers die in the middle of them."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from crashes import Crash, Died, Ending, crashing
from ledger_model import Paid, World, differences
from ledgers import Place, fresh_place, newest_stored, quick_folder

from dpquery.accounting import Cap, Loss
from dpquery.errors import BudgetRefused, LedgerError
from dpquery.ledger import Charged, ChargeRequest, Grant, Ledger, Pair, Scope

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Answer = TypeVar("Answer")

DATASET, GROUP = Scope("dataset"), Scope("group", "g")
ASKERS = {"ana": True, "ben": True, "cleo": False}
"""Whether they are in the group."""
CAPS = {
    DATASET: Cap(60, 40, 10, 20, 60),
    GROUP: Cap(25, 40, 10, 20, 30),
    **{Scope("analyst", name): Cap(15, 40, 10, 20, 20) for name in ASKERS},
}


def pairs_of(asker: str, blocks: tuple[str, ...]) -> tuple[Pair, ...]:
    scopes = [DATASET, Scope("analyst", asker), *([GROUP] if ASKERS[asker] else [])]
    return tuple((scope, block) for scope in scopes for block in blocks)


def asked(asker: str, question: str, blocks: tuple[str, ...], loss: Loss, request_id: str | None) -> ChargeRequest:
    return ChargeRequest(request_id, question, asker, "p", pairs_of(asker, blocks), loss)


@dataclass(slots=True)
class Death:
    """How and where the writer of an act is to die."""

    ending: Ending
    at: int


@dataclass(slots=True)
class History:
    """Two open ledgers over one store, the model, and what their clients hold."""

    store: str
    world: World = field(default_factory=World)
    open: list[Charged] = field(default_factory=list)
    """Charges whose answers somebody is computing."""
    clock: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    labels: list[str] = field(default_factory=list)
    """What the clock said when each entry was written."""
    deaths: int = 0
    resources: ExitStack = field(default_factory=ExitStack)
    folder: Path = field(init=False)
    place: Place = field(init=False)
    ledgers: list[Ledger] = field(init=False)

    def __post_init__(self) -> None:
        self.folder = self.resources.enter_context(quick_folder())
        self.place = fresh_place(self.folder, self.store)
        for scope, cap in CAPS.items():
            self.world.grant(scope, "*", cap)
        grants = [Grant(scope, "*", cap, "test", "steward") for scope, cap in CAPS.items()]
        self.place.create(grants, now=self._now).close()
        self.ledgers = [self._opened(), self._opened()]
        self._label()

    def close(self) -> None:
        for ledger in self.ledgers:
            ledger.close()
        self.resources.close()

    def charge(self, which: int, request: ChargeRequest, death: Death | None = None) -> str | None:
        """Code of the refusal, if it was refused. A writer that dies after its commit leaves a charge that stands."""
        after, before = self.world.copy(), self.world
        expected = after.charge(request)
        found = self._act(which, after, lambda ledger: ledger.charge(request), death)
        if found is not None:
            self._same(expected, found)
            if isinstance(found, Charged) and found.payload is None:
                self.open.append(found)
        elif request.request_id is not None and self.world is after and after.kinds != before.kinds:
            self.charge(which, request)  # who asks again gets what was paid for, and pays nothing
            assert self.world.spent == after.spent
        return found if isinstance(found, str) else None

    def adopt(self, which: int, request: ChargeRequest, death: Death | None = None) -> None:
        """Take the stored release with the least to pay, where there is one."""
        stored = newest_stored(self.ledgers[which], request.question)
        if stored is None:
            return
        assert self.ledgers[which].payload_of(stored) == self.world.stored[stored.sequence]
        assert set(stored.charged) == self.world.paid[stored.sequence]
        after = self.world.copy()
        expected = after.adopt(request, stored)
        found = self._act(which, after, lambda ledger: ledger.adopt(request, stored), death)
        if found is not None:
            self._same(expected, found)

    def record(self, which: int, charged: Charged, payload: bytes, death: Death | None = None) -> None:
        after = self.world.copy()
        expected = after.record(charged, payload)
        found = self._act(which, after, lambda ledger: ledger.record(charged, payload), death)
        assert found in {None, expected}
        if death is not None and found is None and self.world is after:
            self.record(which, charged, b"another")  # what was stored is what leaves

    def fail(self, which: int, charged: Charged, death: Death | None = None) -> None:
        after = self.world.copy()
        after.fail(charged)
        self._act(which, after, lambda ledger: ledger.fail(charged), death)

    def grant(self, which: int, scope: Scope, block: str, cap: Cap, death: Death | None = None) -> None:
        after = self.world.copy()
        after.grant(scope, block, cap)
        grant = Grant(scope, block, cap, "test", "steward")
        self._act(which, after, lambda ledger: ledger.grant(grant, steward_key=self.place.steward_key), death)

    def close_scope(self, which: int, scope: Scope, block: str, death: Death | None = None) -> None:
        after = self.world.copy()
        after.close(scope, block)
        key = self.place.steward_key
        self._act(
            which,
            after,
            lambda ledger: ledger.close_scope(scope, block, reason="test", actor="steward", steward_key=key),
            death,
        )

    def reopen(self, which: int) -> None:
        self.ledgers[which].close()
        self.ledgers[which] = self._opened()

    def check(self) -> None:
        """A process that has just started sees a whole ledger that is the model's, with the labels it was given."""
        with self.place.open() as fresh:
            assert differences(self.world, fresh) == []
            assert [entry.at for entry in fresh.entries()] == self.labels
            found = fresh.verify()
        assert (found.charges, found.releases) == (len(self.world.paid), len(self.world.stored))

    def _act(
        self, which: int, after: World, act: Callable[[Ledger], Answer], death: Death | None
    ) -> Answer | str | None:
        """Play `act`; the world is `after` if it was committed. None: its writer died."""
        crash = Crash(None if death is None else death.at, "drop" if death is None else death.ending, self._left)
        found: Answer | str | None = None
        failed: BaseException | None = None
        try:
            with crashing(crash):
                found = act(self.ledgers[which])
        except (BudgetRefused, LedgerError) as error:
            found, failed = error.code, error
        except Died as error:
            failed = error
        if crash.fired is None:
            self.world = after
        else:
            assert failed is not None
            found = None
            self._bury(which, crash.ending)
            self.world = after if crash.committed else self.world
        self._label()
        if crash.fired is not None:
            self.check()
        return found

    def _left(self) -> None:
        self.deaths += 1
        self.place = self.place.left_behind(self.folder / f"after-{self.deaths}")

    def _bury(self, which: int, ending: Ending) -> None:
        """Let go of what the dead held; an exception leaves a ledger that is used on."""
        match ending:
            case "interrupt":
                pass  # and whoever holds the traceback must not hold up others
            case "drop":
                self.reopen(which)
            case "kill":
                self.open.clear()
                for index in range(len(self.ledgers)):
                    self.reopen(index)

    def _label(self) -> None:
        new = len(self.world.kinds) - len(self.labels)
        self.labels += [self.clock.strftime("%Y-%m-%dT%H:%M:%SZ")] * new

    def _same(self, expected: Paid | str, found: Charged | str) -> None:
        if isinstance(expected, str) or isinstance(found, str):
            assert found == expected
            return
        assert Paid(
            found.sequence,
            found.fresh,
            found.payload,
            tuple((pair.scope, pair.block) for pair in found.charges if pair.new),
        ) == Paid(
            expected.sequence,
            expected.fresh,
            expected.payload,
            tuple(sorted(expected.new_pairs, key=lambda pair: (str(pair[0]), pair[1]))),
        )

    def _opened(self) -> Ledger:
        return self.place.open(now=self._now)

    def _now(self) -> datetime:
        return self.clock
