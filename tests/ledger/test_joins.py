"""A group's balance is the union of the releases seen by anyone who ever was a member."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from ledgers import newest_stored

from dpquery.accounting import NOTHING, Cap, Loss, admits
from dpquery.errors import BudgetRefused, LedgerError
from dpquery.ledger import (
    ChargeRequest,
    Grant,
    Ledger,
    Member,
    OverBudget,
    Pair,
    RequestIdTaken,
    Scope,
    make_steward_key,
)
from dpquery.ledger.bodies import JoinBody, decode
from dpquery.ledger.canonical import canonical_text
from dpquery.ledger.entries import sealed

DATASET = Scope("dataset")
NAMES = ("ana", "ben", "cleo")
GROUPS = ("north", "south", "free")
"""The last has no cap: it does not bind, and still counts."""
CAPS = {
    DATASET: Cap(200, 400, 100, 200, 200),
    Scope("group", "north"): Cap(20, 400, 100, 200, 20),
    Scope("group", "south"): Cap(30, 400, 100, 200, 30),
    **{Scope("analyst", name): Cap(60, 400, 100, 200, 60) for name in NAMES},
}


def group(name: str) -> Scope:
    return Scope("group", name)


def create(folder: Path) -> Ledger:
    make_steward_key(folder / "key")
    grants = [Grant(scope, "*", cap, "test", "steward") for scope, cap in CAPS.items()]
    return Ledger.create(folder / "l.sqlite", dataset="d", steward_key=folder / "key", grants=grants)


def request(
    asker: str,
    question: str,
    loss: Loss,
    members: tuple[Member, ...] = (),
    *,
    blocks: tuple[str, ...] = ("a",),
    request_id: str | None = None,
) -> ChargeRequest:
    pairs = tuple((scope, block) for scope in (DATASET, Scope("analyst", asker)) for block in blocks)
    return ChargeRequest(request_id, question, asker, "p", pairs, loss, members=members)


def answer(ledger: Ledger, asked: ChargeRequest) -> None:
    ledger.record(ledger.charge(asked), b"answer")


def spent(ledger: Ledger, name: str, block: str = "a") -> int | None:
    (found,) = ledger.standing([(group(name), block)])
    return found.spent.epsilon


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


FIVE = Loss(5, 5, 0)


def test_who_joins_brings_what_they_have_seen_even_beyond_the_cap(folder: Path) -> None:
    with create(folder) as ledger:
        for number in range(5):
            answer(ledger, request("ana", f"q{number}", FIVE))
        assert spent(ledger, "north") == 0
        with pytest.raises(OverBudget) as refused:
            ledger.charge(request("ben", "q", Loss(1, 1, 0), (("north", "ana"), ("north", "ben"))))
        assert refused.value.shared
        assert spent(ledger, "north") == 25
        joins = [body for entry in ledger.entries() if isinstance(body := decode(entry), JoinBody)]
        assert [(join.group, join.analyst, len(join.seen)) for join in joins] == [
            ("north", "ana", 5),
            ("north", "ben", 0),
        ]
        assert ledger.verify().verified


def test_a_release_that_two_members_saw_counts_once(folder: Path) -> None:
    with create(folder) as ledger:
        answer(ledger, request("ana", "q", FIVE))
        stored = newest_stored(ledger, "q")
        assert stored is not None
        ledger.adopt(request("ben", "q", FIVE), stored)
        everyone = (("free", "ana"), ("free", "ben"))
        assert {s.scope: s.spent for s in ledger.paying([(Scope("analyst", "cleo"), "a")], everyone)} == {
            Scope("analyst", "cleo"): NOTHING
        }
        found = {s.scope: s.spent for s in ledger.paying([(Scope("analyst", "ben"), "a")], everyone)}
        assert found[group("free")] == FIVE
        ledger.adopt(request("ben", "q", FIVE, everyone), stored)
        assert spent(ledger, "free") == 5
        ledger.verify()


def test_who_was_moved_still_counts_in_the_group_they_left(folder: Path) -> None:
    with create(folder) as ledger:
        answer(ledger, request("ana", "q1", FIVE, (("north", "ana"),)))
        charged = ledger.charge(request("ana", "q2", FIVE, (("south", "ana"),)))
        assert [str(pair.scope) for pair in charged.charges] == ["analyst:ana", "dataset", "group:north", "group:south"]
        assert (spent(ledger, "north"), spent(ledger, "south")) == (10, 10)
        # Without any group in the policy, too.
        ledger.charge(request("ana", "q3", FIVE))
        assert (spent(ledger, "north"), spent(ledger, "south")) == (15, 15)
        with pytest.raises(OverBudget):
            ledger.charge(request("ana", "q4", Loss(6, 6, 0)))


def test_of_two_stored_releases_the_one_that_the_group_has_paid_for(folder: Path) -> None:
    """Ben owes for either in his own scope; for the newer one his group would have to pay, too."""
    everyone = (("north", "ana"), ("north", "ben"))
    with create(folder) as ledger:
        answer(ledger, request("ana", "q", FIVE, everyone))
        ledger.record(ledger.charge(request("cleo", "q", FIVE, everyone)), b"newer")
        for members in (everyone, ()):
            found = ledger.find_for(request("ben", "q", FIVE, members))
            assert found is not None
            assert found.sequence == next(entry.sequence for entry in ledger.entries() if entry.kind == "charge")


def test_a_retry_is_the_same_request_whoever_has_joined_meanwhile(folder: Path) -> None:
    with create(folder) as ledger:
        asked = request("ana", "q", FIVE, request_id="one")
        first = ledger.charge(asked)
        moved = request("ana", "q", FIVE, (("north", "ana"),), request_id="one")
        again = ledger.charge(moved)
        assert (again.fresh, again.sequence) == (False, first.sequence)
        assert [str(pair.scope) for pair in again.charges] == ["analyst:ana", "dataset", "group:north"]
        assert not any(pair.new for pair in again.charges)
        assert spent(ledger, "north") == 5
        assert ledger.record(again, b"answer") == b"answer"
        found = ledger.find_for(moved)
        assert found is not None
        assert ledger.charge(asked).payload == b"answer"
        with pytest.raises(RequestIdTaken):
            ledger.charge(request("ana", "other", FIVE, request_id="one"))
        ledger.verify()


def test_a_charge_that_crashes_leaves_no_member_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dpquery.ledger import spending

    with create(folder) as ledger:
        answer(ledger, request("ana", "q1", FIVE))
        before = ledger.head()
        with monkeypatch.context() as patched:
            patched.setattr(spending, "_remember", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                ledger.charge(request("ana", "q2", FIVE, (("north", "ana"),)))
        assert ledger.head() == before
        ledger.charge(request("ana", "q2", FIVE, (("north", "ana"),)))
        assert spent(ledger, "north") == 10
        ledger.verify()


def forged(ledger: Ledger, folder: Path, join: JoinBody) -> None:
    """Append `join` to the file as the program would, all tables with it."""
    last = ledger.head()
    entry = sealed(last.sequence + 1, "join", last.at, canonical_text(join.to_json()), last.hash)
    with closing(sqlite3.connect(folder / "l.sqlite")) as connection, connection:
        values = (entry.sequence, entry.kind, entry.at, entry.body, entry.previous, entry.hash)
        connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", values)
        connection.execute("UPDATE head SET sequence = ?, hash = ?", (entry.sequence, entry.hash))
        connection.execute("INSERT INTO members VALUES (?, ?, ?)", (join.group, join.analyst, entry.sequence))


def test_a_join_that_leaves_out_what_was_seen_is_found(folder: Path) -> None:
    with create(folder) as ledger:
        answer(ledger, request("ana", "q", FIVE))
        forged(ledger, folder, JoinBody("north", "ana", (), ()))
        with pytest.raises(LedgerError, match=r"DPQ-802.*what its new member has seen"):
            ledger.verify()


def test_a_charge_that_leaves_out_a_group_is_found(folder: Path) -> None:
    with create(folder) as ledger:
        answer(ledger, request("ana", "q", FIVE, (("free", "ana"),)))
        last = next(entry for entry in ledger.entries() if entry.kind == "charge")
        with closing(sqlite3.connect(folder / "l.sqlite")) as connection, connection:
            head = ledger.head()
            body = last.body.replace('["group:free","a"]', "").replace(",]", "]")
            entry = sealed(head.sequence + 1, "charge", head.at, body, head.hash)
            values = (entry.sequence, entry.kind, entry.at, entry.body, entry.previous, entry.hash)
            connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", values)
            connection.execute("UPDATE head SET sequence = ?, hash = ?", (entry.sequence, entry.hash))
        with pytest.raises(LedgerError, match=r"leaves out a group"):
            ledger.verify()
        with pytest.raises(LedgerError, match=r"leaves out a group"):
            ledger.charge(request("ana", "q2", FIVE))


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM members",
        "UPDATE members SET group_name = 'south'",
        "INSERT INTO members VALUES ('south', 'ben', 1)",
    ],
)
def test_edits_of_members_are_found(folder: Path, statement: str) -> None:
    with create(folder) as ledger:
        answer(ledger, request("ana", "q", FIVE, (("north", "ana"),)))
        with closing(sqlite3.connect(folder / "l.sqlite")) as connection, connection:
            for act in ("update", "delete"):
                connection.execute(f"DROP TRIGGER members_no_{act}")
            connection.execute(statement)
        with pytest.raises(LedgerError, match=r"DPQ-802.*members"):
            ledger.verify()


losses = st.builds(Loss, st.none() | st.integers(0, 7), st.integers(0, 7), st.integers(0, 2))
blocks_of_request = st.sampled_from([("a",), ("b",), ("a", "b")])


class Unions(RuleBasedStateMachine):
    """Analysts move between groups while they ask; sets say what each group must have spent."""

    @initialize()
    def create(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.ledger = create(self.folder)
        self.policy: dict[str, str | None] = dict.fromkeys(NAMES)
        self.ever: dict[str, set[str]] = {name: set() for name in GROUPS}
        self.seen: dict[str, set[tuple[int, str]]] = {name: set() for name in NAMES}
        self.price: dict[int, Loss] = {}
        self.stored: set[int] = set()

    @property
    def members(self) -> tuple[Member, ...]:
        return tuple((name, analyst) for analyst, name in self.policy.items() if name is not None)

    def union(self, name: str, block: str) -> Loss:
        releases = set().union(*(self.seen[analyst] for analyst in self.ever[name]))
        total = NOTHING
        for charge, where in releases:
            total += self.price[charge] if where == block else NOTHING
        return total

    def own(self, analyst: str, block: str) -> Loss:
        total = NOTHING
        for charge, where in self.seen[analyst]:
            total += self.price[charge] if where == block else NOTHING
        return total

    def join_all(self) -> None:
        for name, analyst in self.members:
            self.ever[name].add(analyst)

    def groups(self, analyst: str) -> list[str]:
        return [name for name in GROUPS if analyst in self.ever[name]]

    def previewed(self, asked: ChargeRequest) -> dict[Pair, Loss]:
        return {(s.scope, s.block): s.spent for s in self.ledger.paying(asked.charges, asked.members)}

    def fits(self, asker: str, charge: int | None, blocks: tuple[str, ...], loss: Loss) -> bool:
        """Whether the groups and the asker, who have not paid for `charge`, still take `loss` (the dataset does)."""
        for block in blocks:
            if (charge, block) not in self.seen[asker] and not admits(
                CAPS[Scope("analyst", asker)], self.own(asker, block), loss
            ):
                return False
            for name in self.groups(asker):
                paid = any((charge, block) in self.seen[analyst] for analyst in self.ever[name])
                cap = CAPS.get(group(name))
                if cap is not None and not paid and not admits(cap, self.union(name, block), loss):
                    return False
        return True

    @rule(analyst=st.sampled_from(NAMES), name=st.none() | st.sampled_from(GROUPS))
    def move(self, analyst: str, name: str | None) -> None:
        self.policy[analyst] = name

    @rule(asker=st.sampled_from(NAMES), question=st.sampled_from(["q1", "q2"]), blocks=blocks_of_request, loss=losses)
    def charge(self, asker: str, question: str, blocks: tuple[str, ...], loss: Loss) -> None:
        question = f"{question} of {blocks}"
        asked = request(asker, question, loss, self.members, blocks=blocks)
        previewed = self.previewed(asked)
        self.join_all()
        wanted = {(group(name), block): self.union(name, block) for name in self.groups(asker) for block in blocks}
        assert {pair: amount for pair, amount in previewed.items() if pair[0].kind == "group"} == wanted
        fits = self.fits(asker, None, blocks, loss)
        try:
            charged = self.ledger.charge(asked)
        except BudgetRefused:
            assert not fits
            return
        assert fits
        assert {(pair.scope, pair.block) for pair in charged.charges} == set(previewed)
        self.price[charged.sequence] = loss
        self.seen[asker] |= {(charged.sequence, block) for block in blocks}
        self.ledger.record(charged, b"x")
        self.stored.add(charged.sequence)

    @precondition(lambda self: self.stored)
    @rule(asker=st.sampled_from(NAMES), question=st.sampled_from(["q1", "q2"]), blocks=blocks_of_request)
    def repeat(self, asker: str, question: str, blocks: tuple[str, ...]) -> None:
        question = f"{question} of {blocks}"
        asked = request(asker, question, NOTHING, self.members, blocks=blocks)
        stored = self.ledger.find_for(asked)
        if stored is None:
            return
        self.join_all()
        fits = self.fits(asker, stored.sequence, blocks, stored.loss)
        try:
            self.ledger.adopt(asked, stored)
        except BudgetRefused:
            assert not fits
            return
        assert fits
        self.seen[asker] |= {(stored.sequence, block) for block in blocks}

    @rule()
    def reopen(self) -> None:
        self.ledger.close()
        self.ledger = Ledger.open(self.folder / "l.sqlite")

    @invariant()
    def groups_have_spent_the_union(self) -> None:
        if not hasattr(self, "ledger"):
            return
        found = {(b.scope, b.block): b.spent for b in self.ledger.balances()}
        for block in ("a", "b"):
            for name in GROUPS:
                assert found.get((group(name), block), NOTHING) == self.union(name, block)
            for name in NAMES:
                assert found.get((Scope("analyst", name), block), NOTHING) == self.own(name, block)

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.verify()
            self.ledger.close()
            shutil.rmtree(self.folder)


TestUnions = Unions.TestCase
TestUnions.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.slow
def test_longer_histories() -> None:
    run_state_machine_as_test(
        Unions,
        settings=settings(
            max_examples=300, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
