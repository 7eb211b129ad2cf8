"""A ledger that was put back, cut off, forged or made anew is found by a checkpoint, and goes on once it is adopted."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import shutil
import sqlite3
import stat
from contextlib import closing
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledgers import newest_stored, quick_folder

from dpquery.accounting import NOTHING, Cap, Loss
from dpquery.errors import BudgetRefused, LedgerError, UsageError
from dpquery.ledger import (
    ChargeRequest,
    Checkpoint,
    Grant,
    Ledger,
    Member,
    OverBudget,
    Pair,
    Scope,
    checkpoints,
    make_steward_key,
    read_checkpoint,
    write_checkpoint,
)
from dpquery.ledger.bodies import AdoptBody, decode
from dpquery.ledger.canonical import canonical_text
from dpquery.ledger.entries import sealed
from dpquery.ledger.steward_key import read_steward_key

DATASET, ANA, BEN, NORTH = Scope("dataset"), Scope("analyst", "ana"), Scope("analyst", "ben"), Scope("group", "north")
SCOPES = (DATASET, ANA, BEN, NORTH)
WHY = {"reason": "disk failed", "actor": "eva"}


def loss(epsilon: int) -> Loss:
    return Loss(epsilon, epsilon, 0)


def ask(
    question: str,
    epsilon: int | None,
    *,
    asker: str = "ana",
    members: tuple[Member, ...] = (),
    request_id: str | None = None,
) -> ChargeRequest:
    pairs = tuple((scope, "a") for scope in (DATASET, Scope("analyst", asker)))
    return ChargeRequest(request_id, question, asker, "p", pairs, Loss(epsilon, epsilon or 9, 0), members=members)


_numbers = itertools.count()


def new_question() -> str:
    """The same question, asked again within a second of a restore, would make the very same entry."""
    return f"question {next(_numbers)}"


class Place:
    """A ledger's file, its key, and copies of the file."""

    def __init__(self, folder: Path, name: str = "l.sqlite") -> None:
        self.folder = folder
        self.key = folder / "key"
        self.path = folder / name
        if not self.key.exists():
            make_steward_key(self.key)
        grants = [Grant(scope, "*", Cap(50, 0, 0, 0, 50), "test", "steward") for scope in SCOPES]
        Ledger.create(self.path, dataset="d", steward_key=self.key, grants=grants).close()

    def open(self, checkpoint: Checkpoint | None = None) -> Ledger:
        return Ledger.open(self.path, checkpoint=checkpoint)

    def charge(self, *epsilons: int, asker: str = "ana", members: tuple[Member, ...] = ()) -> None:
        with self.open() as ledger:
            for epsilon in epsilons:
                asked = ask(new_question(), epsilon, asker=asker, members=members)
                ledger.record(ledger.charge(asked), b"x")

    def checkpoint(self) -> Checkpoint:
        with self.open() as ledger:
            return ledger.checkpoint(steward_key=self.key)

    def copy(self) -> Path:
        to = self.folder / f"copy-{len(list(self.folder.iterdir()))}"
        shutil.copy2(self.path, to)
        return to

    def restore(self, copy: Path) -> None:
        Path(shutil.copy2(copy, self.folder / "restoring")).replace(self.path)

    def spent(self, scope: Scope = ANA) -> int | None:
        with self.open() as ledger:
            (found,) = ledger.standing([(scope, "a")])
            return found.spent.epsilon

    def adopt(self, checkpoint: Checkpoint) -> Any:
        with self.open() as ledger:
            return ledger.adopt_checkpoint(checkpoint, steward_key=self.key, **WHY)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_checkpoint_says_what_was_spent_and_reads_back(place: Place, tmp_path: Path) -> None:
    place.charge(2, 3)
    made = place.checkpoint()
    with place.open() as ledger:
        assert (made.name, made.sequence) == (ledger.head().name, ledger.head().sequence)
    assert (made.dataset, made.decisions) == ("d", 4)
    assert made.spent == (((ANA, "a"), loss(5)), ((DATASET, "a"), loss(5)))
    file = tmp_path / "c.json"
    write_checkpoint(file, made)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)  # a copy that was kept elsewhere
    assert read_checkpoint(file) == made
    assert Checkpoint.from_json(json.dumps(json.loads(made.to_json()), indent=4) + "\r\n") == made
    place.charge(1)
    write_checkpoint(file, place.checkpoint())
    assert read_checkpoint(file).sequence == made.sequence + 2
    assert not list(tmp_path.glob(".c.json*"))


def save(place: Place, file: Path) -> Checkpoint:
    with place.open() as ledger:
        return ledger.save_checkpoint(file, steward_key=place.key)


def test_a_link_stays_and_the_file_that_it_names_is_written(place: Place, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = tmp_path / "link.json"
    link.symlink_to(elsewhere / "c.json")
    for epsilon in (1, 2):  # first it names nothing
        place.charge(epsilon)
        made = save(place, link)
        assert link.is_symlink()
        assert read_checkpoint(elsewhere / "c.json") == made
    assert [file.name for file in elsewhere.iterdir()] == ["c.json"]
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(LedgerError, match="DPQ-801"):
        write_checkpoint(tmp_path / "loop", made)


def test_of_two_jobs_at_once_the_slower_does_not_write_over_the_later_checkpoint(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "c.json"
    save(place, file)
    later: list[Checkpoint] = []

    def then_the_other(ledger: Ledger, *, steward_key: Path) -> Checkpoint:
        found = taken(ledger, steward_key=steward_key)
        if not later:
            later.append(found)
            place.charge(3)
            later.append(save(place, file))
        return found

    taken = Ledger.checkpoint
    monkeypatch.setattr(Ledger, "checkpoint", then_the_other)
    slower = save(place, file)
    assert later[0].sequence < later[1].sequence
    assert slower == read_checkpoint(file) == later[1]


def test_evidence_that_comes_meanwhile_stays(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = place.copy()
    place.charge(3)
    lost = place.checkpoint()
    place.restore(older)

    def then_the_other(ledger: Ledger, *, steward_key: Path) -> Checkpoint:
        write_checkpoint(tmp_path / "c.json", lost)
        return taken(ledger, steward_key=steward_key)

    taken = Ledger.checkpoint
    monkeypatch.setattr(Ledger, "checkpoint", then_the_other)
    with pytest.raises(LedgerError, match="DPQ-809"):
        save(place, tmp_path / "c.json")
    assert read_checkpoint(tmp_path / "c.json") == lost


def test_a_ledger_that_went_on_accounts_for_its_checkpoints(place: Place) -> None:
    made = [place.checkpoint()]
    for _ in range(3):
        place.charge(1)
        made.append(place.checkpoint())
    for one in made:
        with place.open(one) as ledger:
            assert ledger.check(one) == "contained"
            assert ledger.verify(one).verified
            ledger.charge(ask("q", 1))


def test_a_restored_copy_is_found(place: Place) -> None:
    place.charge(2)
    older = place.copy()
    place.charge(3)
    made = place.checkpoint()
    place.restore(older)
    with place.open() as ledger:
        assert ledger.verify().verified
        for found in (ledger.check, ledger.verify):
            with pytest.raises(LedgerError, match=r"DPQ-809.*an older copy: it ends at entry 7, the checkpoint at 9"):
                found(made)
    with pytest.raises(LedgerError, match=r"(?s)DPQ-809.*ledger adopt DIR --checkpoint"):
        place.open(made)
    place.charge(1, 1, 1)  # now longer than the checkpoint
    with pytest.raises(LedgerError, match=r"DPQ-809.*entry 9 of the ledger is not the one"):
        place.open(made)


def test_a_ledger_made_anew_is_found_though_the_key_is_the_same(place: Place) -> None:
    place.charge(2)
    made = place.checkpoint()
    place.path.unlink()
    Place(place.folder).charge(2)
    for found in (lambda: place.open(made), lambda: place.adopt(made)):
        with pytest.raises(LedgerError, match=r"DPQ-809.*another ledger"):
            found()


def test_a_checkpoint_that_the_steward_did_not_sign_is_refused(place: Place, tmp_path: Path) -> None:
    made = place.checkpoint()
    make_steward_key(tmp_path / "other")
    forgeries = [
        made.signed_by(read_steward_key(tmp_path / "other")),
        replace(made, signature=""),
        replace(made, signature="zz"),
        replace(made, sequence=made.sequence + 1),
        replace(made, at="1999-01-01T00:00:00Z"),
        replace(made, decisions=0),
        replace(made, dataset="e"),
        replace(made, head=made.head[::-1]),
        replace(made, spent=(((ANA, "a"), loss(1)),)),
        replace(made, trail=()),
        replace(made, adopted=((1, "0" * 16),)),
    ]
    for forged in forgeries:
        with pytest.raises(LedgerError, match="DPQ-810"):
            place.open(forged)
        with pytest.raises(LedgerError, match="DPQ-810"):
            place.adopt(forged)


def test_a_signature_under_a_grant_is_none_under_a_checkpoint(place: Place) -> None:
    """Each has words of its own before what is signed."""
    made = place.checkpoint()
    message = made._message()
    assert message.startswith(b"dpquery.checkpoint/1\n{")
    key = read_steward_key(place.key)
    bare = message.partition(b"\n")[2]
    for text in (bare, b"dpquery.signed/1\n" + bare):
        assert not replace(made, signature=key.sign(text).hex()).is_signed_by(open_steward(place))


def open_steward(place: Place) -> str:
    with place.open() as ledger:
        return ledger.steward


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        "1e999",
        "[" * 100_000,
        '{"schema":"dpquery.checkpoint/1"}',
        "\x00",
        '"' + "9" * 5000 + '"',
        "9" * 5000,
    ],
)
def test_what_is_no_checkpoint(text: str, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="DPQ-810"):
        Checkpoint.from_json(text)
    (tmp_path / "c").write_text(text)
    with pytest.raises(LedgerError, match="DPQ-810"):
        read_checkpoint(tmp_path / "c")


def test_files_that_hold_no_checkpoint(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = place.checkpoint().to_json()
    (tmp_path / "cut").write_text(made[: len(made) // 2])
    (tmp_path / "bytes").write_bytes(b"\xff\xfe" + made.encode())
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("cut", "bytes", "folder", "pipe", "missing", "missing/too"):
        with pytest.raises(LedgerError, match="DPQ-810"):
            read_checkpoint(tmp_path / name)
    (tmp_path / "whole").write_text(made)
    monkeypatch.setattr(checkpoints, "FILE_LENGTH_MAX", 100)
    with pytest.raises(LedgerError, match="DPQ-810"):
        read_checkpoint(tmp_path / "whole")


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    made = Place(tmp_path_factory.mktemp("whole"))
    older = made.copy()
    made.charge(2)
    lost = made.checkpoint()
    made.restore(older)
    made.adopt(lost)
    found: dict[str, Any] = json.loads(made.checkpoint().to_json())
    return found


@settings(max_examples=300, deadline=None)
@given(data=st.data(), wrong=junk)
def test_any_field_may_hold_anything(whole: dict[str, Any], data: st.DataObject, wrong: object) -> None:
    """It is then another checkpoint, which nobody signed, or none: never an error of Python's own."""
    changed = json.loads(json.dumps(whole))
    field = data.draw(st.sampled_from(sorted(changed)))
    inside = changed[field]
    if isinstance(inside, list) and data.draw(st.booleans()):
        row = data.draw(st.sampled_from(inside))
        if data.draw(st.booleans()):
            row[data.draw(st.integers(0, len(row) - 1))] = wrong
        else:
            row.append(wrong)
    else:
        changed[field] = wrong
    text = json.dumps(changed)
    with contextlib.suppress(LedgerError):
        assert json.loads(Checkpoint.from_json(text).to_json()) == changed


def test_after_an_adoption_the_ledger_goes_on_and_nothing_is_forgotten(place: Place) -> None:
    place.charge(2)
    older = place.copy()
    place.charge(3, 4)
    with place.open() as ledger:
        ledger.grant(Grant(ANA, "*", Cap(40, 0, 0, 0, 40), "less", "eva"), steward_key=place.key)
    made = place.checkpoint()
    place.restore(older)
    done = place.adopt(made)
    assert done.gap == (((ANA, "a"), loss(7)), ((DATASET, "a"), loss(7)))
    assert (done.decisions_lost, done.entries_lost) == (1, made.sequence - 7)
    assert place.spent() == place.spent(DATASET) == 9
    with place.open(made) as ledger:
        assert ledger.check(made) == "adopted"
        assert ledger.charge(ask("next", 1)).fresh
        assert ledger.verify(made).adoptions == 1
    place.charge(1)
    with place.open(made) as ledger:
        assert ledger.verify(made).verified
        assert place.checkpoint().spent[0] == ((ANA, "a"), loss(11))
        with pytest.raises(UsageError, match="nothing to adopt"):
            ledger.adopt_checkpoint(made, steward_key=place.key, **WHY)
    newer = place.checkpoint()
    with pytest.raises(UsageError, match="nothing to adopt"):
        place.adopt(newer)


def test_what_was_charged_between_restore_and_adoption_comes_on_top(place: Place) -> None:
    """The larger of both sums would forget one of them."""
    place.charge(2)
    older = place.copy()
    place.charge(10)
    made = place.checkpoint()
    place.restore(older)
    place.charge(5, 6)
    place.adopt(made)
    assert place.spent() == 2 + 10 + 5 + 6


def test_an_adoption_passes_caps_and_then_nothing_fits(place: Place) -> None:
    older = place.copy()
    place.charge(30)
    made = place.checkpoint()
    place.restore(older)
    place.charge(30)
    place.adopt(made)
    assert place.spent() == 60
    with place.open(made) as ledger:
        with pytest.raises(OverBudget):
            ledger.charge(ask("next", 1))
        (found,) = ledger.standing([(ANA, "a")])
        assert found.fits is not None
        assert (found.fits.epsilon, found.fits.rho) == (0, 0)
        assert ledger.verify().verified


def test_an_infinite_gap_stays_infinite(place: Place) -> None:
    place.charge(2)
    older = place.copy()
    with place.open() as ledger:
        ledger.charge(ask("gauss", None))
    made = place.checkpoint()
    place.restore(older)
    place.charge(4)
    place.adopt(made)
    with place.open() as ledger:
        (found,) = ledger.standing([(ANA, "a")])
        assert found.spent == Loss(None, 2 + 9 + 4, 0)


amounts = st.none() | st.integers(0, 9)
any_loss = st.builds(Loss, amounts, amounts, st.integers(0, 9))


@given(one=any_loss, before=any_loss)
def test_what_a_loss_is_beyond_another_makes_up_for_it(one: Loss, before: Loss) -> None:
    """Amount by amount, and by no more than it takes."""
    after = before + one.beyond(before)
    for wanted, had, has in zip(astuple(one), astuple(before), astuple(after), strict=True):
        larger = None if wanted is None or had is None else max(wanted, had)
        assert has == larger


def test_a_far_restore_charges_more_never_less(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "TRAIL_DENSE", 2)
    place.charge(*[1] * 5)
    older = place.copy()
    place.charge(*[1] * 6)
    made = place.checkpoint()
    assert [where for where, _ in made.trail] == [1, 11, 19, 23, 25, 26]
    place.restore(older)
    place.adopt(made)
    found = place.spent()
    assert found is not None
    assert 11 <= found <= 11 + 2


def test_trails_name_the_first_entry_and_all_that_are_near() -> None:
    for last in (1, 2, 5, 1000, 1001, 1002, 100_000):
        found = checkpoints.trail_places(last)
        assert found == tuple(sorted(set(found)))
        assert all(1 <= one < last for one in found)
        assert last == 1 or found[0] == 1
        assert len(set(range(max(1, last - 1000), last)) - set(found)) == 0
        assert len(found) < 1020


def test_an_older_checkpoint_of_the_same_history_is_adopted_with_it(place: Place) -> None:
    """It counts as adopted, is never adopted besides, and what it shows is charged once."""
    place.charge(2)
    older = place.copy()
    place.charge(3)
    first = place.checkpoint()
    place.charge(4)
    second = place.checkpoint()
    place.restore(older)
    place.adopt(second)
    assert place.spent() == 2 + 3 + 4
    with place.open(first) as ledger:
        assert ledger.check(first) == "adopted"
        assert ledger.charge(ask(new_question(), 1)).fresh
        assert ledger.verify(first).adoptions == 1
    with pytest.raises(UsageError, match="nothing to adopt"):
        place.adopt(first)


def test_a_restore_to_before_an_adoption_covers_what_that_one_did(place: Place) -> None:
    place.charge(2)
    older = place.copy()
    place.charge(3)
    first = place.checkpoint()
    place.charge(4)
    second = place.checkpoint()
    place.restore(older)
    place.adopt(second)
    place.charge(5)
    third = place.checkpoint()
    place.restore(older)
    place.adopt(third)
    assert place.spent() == 2 + 3 + 4 + 5
    for one in (first, second, third):
        with place.open(one) as ledger:
            assert ledger.check(one) == "adopted"
            assert ledger.verify(one).verified
    fourth = place.checkpoint()
    assert Checkpoint.from_json(fourth.to_json()) == fourth


def test_another_branch_is_not_adopted_with_it(place: Place) -> None:
    """Both have happened: a checkpoint of a history that the adopted one never saw stays uncovered."""
    older = place.copy()
    place.charge(3)
    first = place.checkpoint()
    place.restore(older)
    place.charge(4, 5)
    second = place.checkpoint()
    place.restore(older)
    place.adopt(second)
    with pytest.raises(LedgerError, match=r"(?s)DPQ-809.*put the adopted one in its place; else adopt it, too"):
        place.open(first)
    place.adopt(first)
    assert place.spent() == 3 + 4 + 5


def test_an_older_checkpoint_that_is_not_in_the_trail_is_told_how_to_be_replaced(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "TRAIL_DENSE", 2)
    place.charge(1)
    older = place.copy()
    place.charge(1, 1)
    first = place.checkpoint()
    place.charge(*[1] * 7)
    second = place.checkpoint()
    assert first.sequence not in dict(second.trail)
    place.restore(older)
    place.adopt(second)
    with pytest.raises(LedgerError, match=r"(?s)DPQ-809.*put the adopted one in its place"):
        place.open(first)
    with place.open(second) as ledger:
        assert ledger.charge(ask(new_question(), 1)).fresh


def test_nobody_but_the_steward_adopts(place: Place, tmp_path: Path) -> None:
    older = place.copy()
    place.charge(3)
    made = place.checkpoint()
    place.restore(older)
    make_steward_key(tmp_path / "other")
    with place.open() as ledger:
        with pytest.raises(LedgerError, match="DPQ-808"):
            ledger.adopt_checkpoint(made, steward_key=tmp_path / "other", **WHY)
        for reason, actor in (("", "eva"), ("x" * 1001, "eva"), ("why", ""), ("caf\udce9", "eva"), ("why", "\udce9")):
            with pytest.raises(UsageError, match="DPQ-002"):
                ledger.adopt_checkpoint(made, reason=reason, actor=actor, steward_key=place.key)
        last = ledger.head()
    for signature in ("", "00" * 64):
        copy = place.copy()
        body = canonical_text(
            {**AdoptBody(made.sequence, made.head, (), (), 0, "x", "x").to_json(), "signature": signature}
        )
        entry = sealed(last.sequence + 1, "adopt", last.at, body, last.hash)
        with closing(sqlite3.connect(place.path)) as connection, connection:
            values = (entry.sequence, entry.kind, entry.at, entry.body, entry.previous, entry.hash)
            connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", values)
            connection.execute("UPDATE head SET sequence = ?, hash = ?", (entry.sequence, entry.hash))
        with pytest.raises(LedgerError, match="signature"):
            place.open(made)
        with place.open() as ledger:
            for act in (ledger.verify, lambda: ledger.charge(ask("q", 1)), lambda: ledger.check(made)):
                with pytest.raises(LedgerError, match=r"DPQ-802.*signature"):
                    act()
        place.restore(copy)


def test_an_adoption_does_not_hold_in_another_history(place: Place) -> None:
    """The signature covers the entry before."""
    older = place.copy()
    place.charge(3)
    made = place.checkpoint()
    place.restore(older)
    adopted = place.adopt(made).entry
    place.restore(older)
    place.charge(1)
    with place.open() as ledger:
        last = ledger.head()
    entry = sealed(last.sequence + 1, "adopt", adopted.at, adopted.body, last.hash)
    with closing(sqlite3.connect(place.path)) as connection, connection:
        values = (entry.sequence, entry.kind, entry.at, entry.body, entry.previous, entry.hash)
        connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", values)
        connection.execute("UPDATE head SET sequence = ?, hash = ?", (entry.sequence, entry.hash))
    with pytest.raises(LedgerError, match="signature"):
        place.open(made)


def test_a_pasted_entry_gets_past_a_glance_and_no_further(place: Place) -> None:
    """The entry that the checkpoint names, behind a gap: opening looks at it alone, whatever writes reads all."""
    older = place.copy()
    place.charge(3)
    made = place.checkpoint()
    with place.open() as ledger:
        entry = ledger.head()
    place.restore(older)
    with closing(sqlite3.connect(place.path)) as connection, connection:
        connection.execute("DROP TRIGGER entries_follow")
        values = (entry.sequence, entry.kind, entry.at, entry.body, entry.previous, entry.hash)
        connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", values)
    with place.open(made) as ledger:
        for act in (ledger.verify, lambda: ledger.charge(ask("q", 1))):
            with pytest.raises(LedgerError, match="DPQ-802"):
                act()


@pytest.mark.parametrize("way", ["renamed", "written over"])
@pytest.mark.parametrize("known", [True, False])
def test_a_file_replaced_under_an_open_ledger(place: Place, way: str, known: bool) -> None:
    """The older copy lacks only what the open ledger wrote last, or what others have written and it has not read."""
    with place.open() as ledger:
        ledger.charge(ask("first", 1))
        older = place.copy()
        if known:
            ledger.charge(ask("second", 1))
            made = None
        else:
            place.charge(1)
            made = place.checkpoint()
        if way == "renamed":
            place.restore(older)
        else:
            place.path.write_bytes(older.read_bytes())
        if known:
            for _ in range(2):
                with pytest.raises(LedgerError, match=r"DPQ-802.*replaced while in use"):
                    ledger.charge(ask("third", 1))
        else:
            # Nothing in this process tells: the checkpoint does.
            assert ledger.charge(ask("third", 1)).fresh
            with pytest.raises(LedgerError, match="DPQ-809"):
                place.open(made)
    with place.open() as ledger:
        assert ledger.verify().charges == (1 if known else 2)


def test_a_newer_file_in_place_of_the_open_one_is_gone_on_with(place: Place) -> None:
    """A charge never goes to a file that has lost its name."""
    with place.open() as ledger:
        ledger.charge(ask("first", 1))
        place.restore(place.copy())
        ledger.charge(ask("second", 1))
        assert place.spent() == 2
        place.path.unlink()
        with pytest.raises(LedgerError, match="DPQ-801"):
            ledger.charge(ask("third", 1))


def test_a_long_session_keeps_to_its_checkpoint(place: Place) -> None:
    older = place.copy()
    place.charge(3)
    with place.open(place.checkpoint()) as ledger:
        place.restore(older)
        with pytest.raises(LedgerError, match="DPQ-809"):
            ledger.charge(ask("q", 1))
        with pytest.raises(LedgerError, match="DPQ-809"):
            ledger.verify()


def test_who_joins_later_brings_what_was_lost_too(place: Place) -> None:
    place.charge(2)
    older = place.copy()
    place.charge(3)
    made = place.checkpoint()
    place.restore(older)
    place.adopt(made)
    place.charge(1, asker="ben", members=(("north", "ana"), ("north", "ben")))
    assert place.spent(NORTH) == 2 + 3 + 1
    with place.open() as ledger:
        assert ledger.verify().verified


steps = st.lists(st.tuples(st.sampled_from(["ana", "ben"]), st.integers(0, 5)), max_size=6)
members_now = st.sampled_from([(), (("north", "ana"),), (("north", "ana"), ("north", "ben"))])


@settings(max_examples=40, deadline=None)
@given(history=st.tuples(steps, steps, steps, steps), members=members_now)
def test_nothing_spent_is_ever_forgotten(history: Any, members: tuple[Member, ...]) -> None:
    """Charges before a copy, after it, after its restore and after the adoption: all of them count."""
    with quick_folder() as folder:
        check_history(Place(folder), history, members)


def check_history(place: Place, history: Any, members: tuple[Member, ...]) -> None:
    before, lost, after, later = history
    total: dict[Pair, Loss] = {}

    def go(steps: Any, checkpoint: Checkpoint | None = None) -> None:
        with place.open(checkpoint) as ledger:
            for asker, epsilon in steps:
                asked = ask(new_question(), epsilon, asker=asker, members=members)
                try:
                    charged = ledger.charge(asked)
                except BudgetRefused:
                    continue
                for pair in charged.charges:
                    total[pair.scope, pair.block] = total.get((pair.scope, pair.block), NOTHING) + charged.loss

    go(before)
    older = place.copy()
    go(lost)
    made = place.checkpoint()
    place.restore(older)
    go(after)
    if lost:
        place.adopt(made)
    go(later, made)
    with place.open(made) as ledger:
        assert ledger.verify(made).verified
        found = {(each.scope, each.block): each.spent for each in ledger.balances()}
        for pair, spent in total.items():
            if pair[0] == NORTH and not before:
                # Who joined in the lost entries joins again, with all that they saw there: once more than needed.
                assert spent.beyond(found[pair]) == NOTHING
            else:
                assert found[pair] == spent
        for pair, spent in made.spent:
            assert spent.beyond(found[pair]) == NOTHING


def everything(path: Path) -> list[Any]:
    """All rows of all tables, as read."""
    with closing(sqlite3.connect(path)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return [sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for name in sorted(names)]


def flip_bytes(place: Place, made: Checkpoint, times: int) -> int:
    """Change one byte at a time; how many changes were found. The rest changed nothing that is read."""
    content = place.path.read_bytes()
    before = everything(place.path)
    rng = random.Random(times)
    found = 0
    for _ in range(times):
        at = rng.randrange(len(content))
        flipped = bytearray(content)
        flipped[at] ^= rng.randrange(1, 256)
        place.path.write_bytes(flipped)
        try:
            with place.open(made) as ledger:
                ledger.verify(made)
        except LedgerError:
            found += 1
        else:
            assert everything(place.path) == before, at
        for suffix in ("-journal", "-wal", "-shm"):
            place.path.with_name(place.path.name + suffix).unlink(missing_ok=True)
    place.path.write_bytes(content)
    return found


def filled(place: Place) -> Checkpoint:
    """A ledger with an entry of each kind."""
    place.charge(2, members=(("north", "ana"),))
    older = place.copy()
    place.charge(3)
    lost = place.checkpoint()
    place.restore(older)
    place.adopt(lost)
    with place.open() as ledger:
        asked = ask("kept", 2, request_id="one")
        ledger.record(ledger.charge(asked), b"a stored release" * 50)
        stored = newest_stored(ledger, "kept")
        assert stored is not None
        ledger.adopt(ask("kept", 2, asker="ben"), stored)
        ledger.fail(ledger.charge(ask("failing", 2)))
        with pytest.raises(BudgetRefused):
            ledger.charge(ask("large", 99))
        ledger.close_scope(BEN, "b", reason="left", actor="eva", steward_key=place.key)
        kinds = {decode(entry).__class__.__name__ for entry in ledger.entries()}
    assert len(kinds) == 10
    return place.checkpoint()


def test_flipped_bytes_are_found_or_change_nothing(place: Place) -> None:
    assert flip_bytes(place, filled(place), 300) > 20


@pytest.mark.slow
def test_many_flipped_bytes(place: Place) -> None:
    assert flip_bytes(place, filled(place), 5000) > 500
