"""Whoever edits the file is found, and the file itself refuses the edits that programs make by mistake."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from ledgers import newest_stored

from dpquery.accounting import Cap, Loss
from dpquery.errors import LedgerError
from dpquery.ledger import ChargeRequest, Grant, Ledger, Scope, make_steward_key, sqlite
from dpquery.ledger.canonical import Json, canonical_text
from dpquery.ledger.entries import sealed
from dpquery.ledger.fold import Fold

if TYPE_CHECKING:
    from pathlib import Path

SCOPES = (Scope("dataset"), Scope("analyst", "ana"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed ledger with a release, a repeat, a failure, an open charge and a refusal."""
    key = tmp_path / "key"
    make_steward_key(key)
    grants = [Grant(scope, "*", Cap(10, 0, 0, 0, 0), "test", "steward") for scope in SCOPES]
    with Ledger.create(tmp_path / "l.sqlite", dataset="d", steward_key=key, grants=grants) as ledger:
        first = ask("q", 2, "one")
        ledger.record(ledger.charge(first), b"answer")
        stored = newest_stored(ledger, "q")
        assert stored is not None
        ledger.adopt(ask("q", 2, None), stored)
        ledger.fail(ledger.charge(ask("failing", 2, None)))
        ledger.charge(ask("open", 2, None))
        with pytest.raises(Exception, match="DPQ-201"):
            ledger.charge(ask("large", 9, None))
        assert ledger.verify().verified
    return tmp_path / "l.sqlite"


def ask(question: str, epsilon: int, request_id: str | None) -> ChargeRequest:
    pairs = tuple((scope, "all") for scope in SCOPES)
    return ChargeRequest(request_id, question, "ana", "p", pairs, Loss(epsilon, None, 0))


def edit(path: Path, *statements: str, keep_triggers: bool = False) -> None:
    """What somebody may do who writes the file: the triggers are back in place when it is done."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        found = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        triggers = [] if keep_triggers else connection.execute(found).fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            connection.execute(statement)
        for _, made in triggers:
            connection.execute(made)


def tables(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return [name for (name,) in found if name != "alembic_version"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET body = replace(body, '\"epsilon\":2', '\"epsilon\":1') WHERE kind = 'charge'",
        "UPDATE entries SET at = '1999' WHERE sequence = 4",
        "DELETE FROM entries WHERE sequence = (SELECT max(sequence) FROM entries)",
        "DELETE FROM entries WHERE sequence = 5",
        f"UPDATE entries SET hash = '{'0' * 63}1' WHERE sequence = 3",
        "UPDATE entries SET body = (SELECT body FROM entries WHERE sequence = 2) WHERE sequence = 3",
        "UPDATE entries SET kind = 'close' WHERE kind = 'refuse'",
        "UPDATE head SET hash = replace(hash, 'a', 'b'), sequence = sequence - 1",
        "UPDATE balances SET epsilon = 0 WHERE scope = 'dataset'",
        "DELETE FROM balances",
        "UPDATE balances SET cap_epsilon = NULL, cap_rho = NULL, cap_delta = NULL",
        "UPDATE balances SET cap_epsilon = cap_epsilon + 1",
        "UPDATE balances SET cap_rho = cap_rho + 1 WHERE scope = 'dataset'",
        "UPDATE balances SET cap_delta = cap_delta + 1 WHERE scope = 'dataset'",
        "INSERT INTO balances (scope, block, delta) VALUES ('analyst:eve', 'all', 0)",
        "UPDATE releases SET payload = x'00'",
        "UPDATE releases SET sha256 = 'x'",
        "DELETE FROM releases",
        "DELETE FROM requests",
        "DELETE FROM failures",
        "UPDATE charges SET asked_epsilon = 100",
        "DELETE FROM charged_pairs WHERE scope = 'dataset'",
        "INSERT INTO charged_pairs SELECT charge, 'analyst:eve', block, entry FROM charged_pairs LIMIT 1",
    ],
)
def test_edits_are_found(path: Path, statement: str) -> None:
    edit(path, statement)
    with Ledger.open(path) as ledger, pytest.raises(LedgerError, match="DPQ-802"):
        ledger.verify()


@pytest.mark.parametrize(
    ("statement", "part"),
    [
        ("DROP TRIGGER entries_no_update", "trigger entries_no_update of the ledger is missing"),
        ("DROP TRIGGER balances_no_refund", "trigger balances_no_refund"),
        (
            "CREATE TRIGGER mine BEFORE INSERT ON entries BEGIN SELECT 1; END",
            "trigger mine of the ledger was not made by dpquery",
        ),
        ("CREATE TABLE mine (x)", "table mine of the ledger was not made by dpquery"),
        ("CREATE VIEW mine AS SELECT 1", "view mine"),
        ("CREATE UNIQUE INDEX mine ON charges (question)", "index mine"),
        ("DROP INDEX charges_question", "index charges_question of the table charges of the ledger is missing"),
        ("ALTER TABLE charges ADD COLUMN mine INTEGER", "column mine of the table charges"),
    ],
)
def test_what_the_tables_are_made_of_is_verified(path: Path, statement: str, part: str) -> None:
    edit(path, statement, keep_triggers=True)
    with Ledger.open(path) as ledger, pytest.raises(LedgerError, match=rf"DPQ-802.*{part}"):
        ledger.verify()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sequence >= 1", "sequence >= 0"),
        ("rho <= cap_rho", "rho <= cap_rho + 1"),
        (", \n\tCONSTRAINT balances_delta CHECK (delta >= 0)", ""),
        ("STRICT", ""),
        ("UNIQUE (previous)", "UNIQUE (body)"),
        ("FOREIGN KEY(charge) REFERENCES charges (sequence)", "FOREIGN KEY(charge) REFERENCES releases (charge)"),
        ("PRIMARY KEY (scope, block)", "PRIMARY KEY (block, scope)"),
        ("question TEXT NOT NULL", "question TEXT"),
        ("delta INTEGER NOT NULL", "delta INTEGER DEFAULT 0 NOT NULL"),
        ("NEW.rho < OLD.rho", "0"),
    ],
)
def test_a_table_in_other_words_is_found(path: Path, old: str, new: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        change = "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE instr(sql, ?)"
        assert connection.execute(change, (old, new, old)).rowcount >= 1
        connection.execute("PRAGMA schema_version = 99")
    with Ledger.open(path) as ledger, pytest.raises(LedgerError, match=r"DPQ-802.*(not as dpquery made it|is missing)"):
        ledger.verify()


def test_what_sqlite_keeps_for_itself_is_no_part_of_the_ledger(path: Path) -> None:
    edit(path, "ANALYZE", keep_triggers=True)
    with Ledger.open(path) as ledger:
        assert ledger.verify().verified


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET body = replace(body, '\"epsilon\":2', '\"epsilon\":1') WHERE kind = 'charge'",
        "DELETE FROM entries WHERE sequence = (SELECT max(sequence) FROM entries)",
        "UPDATE balances SET epsilon = 0 WHERE scope = 'analyst:ana'",
    ],
)
def test_nothing_is_charged_to_an_edited_ledger(path: Path, statement: str) -> None:
    edit(path, statement)
    with Ledger.open(path) as ledger, pytest.raises(LedgerError, match="DPQ-802"):
        ledger.charge(ask("next", 1, None))


def test_a_changed_first_entry_is_found_at_once(path: Path) -> None:
    edit(path, "UPDATE entries SET body = replace(body, '\"d\"', '\"e\"') WHERE sequence = 1")
    with pytest.raises(LedgerError, match="DPQ-802"):
        Ledger.open(path)


def test_a_cap_raised_without_the_steward_is_found_though_the_chain_is_whole(path: Path) -> None:
    with Ledger.open(path) as ledger:
        last = ledger.head()
    cap: Json = {"epsilon": 1000, "delta": 0, "delta_selection": 0, "delta_conversion": 0, "rho": 0}
    body: Json = {"scope": "dataset", "block": "*", "cap": cap, "reason": "x", "actor": "x", "signature": "00" * 64}
    forged = sealed(last.sequence + 1, "grant", last.at, canonical_text(body), last.hash)
    edit(
        path,
        f"INSERT INTO entries VALUES ({forged.sequence}, 'grant', '{forged.at}', '{forged.body}', '{forged.previous}',"
        f" '{forged.hash}')",
        f"UPDATE head SET sequence = {forged.sequence}, hash = '{forged.hash}'",
        keep_triggers=True,
    )
    with Ledger.open(path) as ledger:
        with pytest.raises(LedgerError, match="signature"):
            ledger.verify()
        with pytest.raises(LedgerError, match="signature"):
            ledger.charge(ask("next", 1, None))


def test_the_grants_that_a_ledger_was_made_with_are_grants(path: Path) -> None:
    """A first entry that promises more of them than there are is no first entry."""
    key = path.with_name("other")
    make_steward_key(key)
    with Ledger.create(path.with_name("m.sqlite"), dataset="d", steward_key=key) as made:
        first = next(made.entries())
    forged = sealed(1, "genesis", first.at, first.body.replace('"grants":0', '"grants":1'), first.previous)
    body = canonical_text({"charge": 1, "attempt": 1})
    entries = [forged, sealed(2, "fail", first.at, body, forged.hash)]
    fold = Fold()
    fold.apply(entries[0])
    with pytest.raises(LedgerError, match="none of the grants"):
        fold.apply(entries[1])


def test_a_signed_grant_does_not_hold_at_another_place(path: Path) -> None:
    with Ledger.open(path) as ledger:
        last, granted = ledger.head(), next(entry for entry in ledger.entries() if entry.kind == "grant")
    copied = sealed(last.sequence + 1, "grant", granted.at, granted.body, last.hash)
    edit(
        path,
        f"INSERT INTO entries VALUES ({copied.sequence}, 'grant', '{copied.at}', '{copied.body}', '{copied.previous}',"
        f" '{copied.hash}')",
        f"UPDATE head SET sequence = {copied.sequence}, hash = '{copied.hash}'",
    )
    with Ledger.open(path) as ledger, pytest.raises(LedgerError, match="signature"):
        ledger.verify()


def test_a_newer_ledger_is_not_read(path: Path) -> None:
    with Ledger.open(path) as ledger:
        first = next(ledger.entries())
    newer = sealed(1, "genesis", first.at, first.body.replace('"format":1', '"format":2'), first.previous)
    edit(path, f"UPDATE entries SET body = '{newer.body}', hash = '{newer.hash}' WHERE sequence = 1")
    with pytest.raises(LedgerError, match="DPQ-804"):
        Ledger.open(path)


@pytest.mark.parametrize("table", ["entries", "charges", "charged_pairs", "requests", "releases", "failures"])
@pytest.mark.parametrize("act", ["DELETE FROM {}", "UPDATE {} SET rowid = rowid + 100"])
def test_rows_are_final(path: Path, table: str, act: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="final"):
        edit(path, act.format(table), keep_triggers=True)


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM balances", "UPDATE balances SET epsilon = epsilon - 1", "UPDATE balances SET rho = 0"],
)
def test_nothing_spent_comes_back(path: Path, statement: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match=r"never deleted|comes back"):
        edit(path, statement, keep_triggers=True)


def test_the_table_itself_refuses_to_pass_a_cap(path: Path) -> None:
    for overspent in ("epsilon = 11", "epsilon = NULL", "delta = 1", "cap_epsilon = NULL"):
        with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.IntegrityError, match="CHECK"):
            connection.execute(f"UPDATE balances SET {overspent}")


def test_every_table_is_strict(path: Path) -> None:
    assert len(tables(path)) == 9
    with closing(sqlite3.connect(path)) as connection:
        for name, strict in connection.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main'"):
            assert strict or name.startswith("sqlite_") or name == "alembic_version"


def test_a_damaged_file_is_an_error_of_the_ledger(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:200] + hashlib.sha256(content).digest() * 1000)
    with pytest.raises(LedgerError):
        Ledger.open(path)


@pytest.mark.parametrize(
    ("version", "profile"),
    [((3, 40, 1), ("delete", 3)), ((3, 51, 2), ("delete", 3)), ((3, 51, 3), ("wal", 2)), ((4, 0, 0), ("wal", 2))],
)
def test_wal_only_where_its_race_is_fixed(version: tuple[int, int, int], profile: tuple[str, int]) -> None:
    assert sqlite.journal_of(version) == profile


def test_a_profile_that_does_not_take_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "journal_of", lambda _: ("delete", 9))
    with pytest.raises(LedgerError, match="DPQ-805"):
        Ledger.open(path)


def test_a_journal_switched_by_another_sqlite_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger.open(path) as ledger:
        other = "delete" if sqlite.journal_of(sqlite.sqlite_version())[0] == "wal" else "wal"
        monkeypatch.setattr(sqlite, "journal_of", lambda _: (other, 2))
        with pytest.raises(LedgerError, match="DPQ-805"):
            ledger.charge(ask("next", 1, None))


def test_a_locked_ledger_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    with Ledger.open(path) as ledger, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match=r"DPQ-801.*locked"):
            ledger.charge(ask("next", 1, None))
        other.execute("ROLLBACK")
        assert ledger.charge(ask("next", 1, None)).fresh
