"""What PostgreSQL adds: a server that can stop, many writers, and a database that others could edit."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ledgers import newest_stored
from postgres_server import Server, server

from dpquery.accounting import Cap, Loss
from dpquery.errors import LedgerError
from dpquery.ledger import Charged, ChargeRequest, Grant, Ledger, OverBudget, Scope, make_steward_key, postgres

SCOPES = (Scope("dataset"), Scope("analyst", "ana"))
PAIRS = tuple((scope, block) for scope in SCOPES for block in ("a", "b"))


@pytest.fixture(scope="module")
def running() -> Server:
    return server()


def make(url: str, folder: Path, epsilon: int = 10) -> Ledger:
    key = folder / "key"
    make_steward_key(key)
    grants = [Grant(scope, "*", Cap(epsilon, 0, 0, 0, 0), "test", "steward") for scope in SCOPES]
    return Ledger.create(url, dataset="d", steward_key=key, grants=grants)


@pytest.fixture
def url(running: Server, tmp_path: Path) -> str:
    """A ledger with a release, a repeat, a failure and an open charge."""
    url = running.fresh_url()
    with make(url, tmp_path) as ledger:
        first = ask("q", 2, "one")
        ledger.record(ledger.charge(first), b"answer")
        stored = newest_stored(ledger, "q")
        assert stored is not None
        ledger.adopt(ask("q", 2, None), stored)
        ledger.fail(ledger.charge(ask("failing", 2, None)))
        ledger.charge(ask("open", 2, None))
    return url


def ask(question: str, epsilon: int, request_id: str | None) -> ChargeRequest:
    return ChargeRequest(request_id, question, "ana", "p", PAIRS, Loss(epsilon, None, 0))


TABLES = ("entries", "charges", "charged_pairs", "requests", "releases", "failures")


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("act", ["DELETE FROM {}", "UPDATE {} SET {}", "TRUNCATE {} CASCADE"])
def test_rows_are_final(running: Server, url: str, table: str, act: str) -> None:
    column = {"entries": "sequence", "charges": "sequence"}.get(table, "entry")
    with pytest.raises(psycopg.errors.RaiseException, match="final"):
        running.run(act.format(table, f"{column} = {column}"), url)


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM balances", "TRUNCATE balances", "UPDATE balances SET epsilon = epsilon - 1", "TRUNCATE head"],
)
def test_nothing_spent_comes_back(running: Server, url: str, statement: str) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match=r"final|comes back"):
        running.run(statement, url)


@pytest.mark.parametrize("overspent", ["epsilon = 11", "epsilon = NULL", "delta = 1", "cap_epsilon = NULL"])
def test_the_table_itself_refuses_to_pass_a_cap(running: Server, url: str, overspent: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        running.run(f"UPDATE balances SET {overspent}", url)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET body = replace(body, '\"epsilon\":2', '\"epsilon\":1') WHERE kind = 'charge'",
        "UPDATE entries SET at = '1999' WHERE sequence = 4",
        "DELETE FROM entries WHERE sequence = (SELECT max(sequence) FROM entries)",
        "DELETE FROM entries WHERE sequence = 5",
        "UPDATE head SET hash = previous, sequence = e.sequence - 1 FROM entries e WHERE head.sequence = e.sequence",
        "UPDATE balances SET epsilon = 0 WHERE scope = 'dataset'",
        "INSERT INTO balances (scope, block, delta) VALUES ('analyst:eve', 'all', 0)",
        "UPDATE releases SET payload = 'x'",
        "UPDATE balances SET cap_epsilon = NULL, cap_rho = NULL, cap_delta = NULL",
        "DELETE FROM requests",
        "DELETE FROM charged_pairs WHERE scope = 'dataset'",
    ],
)
def test_edits_by_the_owner_of_the_tables_are_found(running: Server, url: str, statement: str) -> None:
    for act in ("DISABLE", "ENABLE"):
        switches = "; ".join(f"ALTER TABLE {table} {act} TRIGGER ALL" for table in (*TABLES, "balances", "head"))
        running.run(switches, url)
        if act == "DISABLE":
            running.run(statement, url)
    with Ledger.open(url) as ledger, pytest.raises(LedgerError, match="DPQ-802"):
        ledger.verify()


@pytest.mark.parametrize(
    ("statement", "part"),
    [
        ("DROP TRIGGER entries_final ON entries", "trigger entries_final of the ledger is missing"),
        ("ALTER TABLE entries DISABLE TRIGGER entries_final", "trigger entries_final"),
        ("ALTER TABLE entries ENABLE REPLICA TRIGGER entries_follow", "trigger entries_follow"),
        (
            "CREATE OR REPLACE FUNCTION dpquery_final() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RETURN NULL; END $$",
            "trigger balances_no_delete",
        ),
        (
            "DROP TRIGGER balances_no_refund ON balances; CREATE TRIGGER balances_no_refund BEFORE UPDATE ON balances"
            " FOR EACH ROW WHEN (false) EXECUTE FUNCTION dpquery_no_refund()",
            "trigger balances_no_refund",
        ),
        (
            "DROP TRIGGER balances_no_refund ON balances; CREATE TRIGGER balances_no_refund BEFORE UPDATE OF rho"
            " ON balances FOR EACH ROW EXECUTE FUNCTION dpquery_no_refund()",
            "trigger balances_no_refund",
        ),
        (
            "CREATE TRIGGER mine BEFORE INSERT ON entries FOR EACH ROW EXECUTE FUNCTION dpquery_follows()",
            "trigger mine of the ledger was not made by dpquery",
        ),
        ("ALTER TABLE balances DROP CONSTRAINT balances_within_cap", "constraint balances_within_cap"),
        ("ALTER TABLE entries DROP CONSTRAINT entries_hash_key CASCADE", "unique of the table entries"),
        ("ALTER TABLE head DROP CONSTRAINT head_sequence_fkey", "foreign keys of the table head"),
        ("ALTER TABLE charges ALTER COLUMN question DROP NOT NULL", "column question of the table charges"),
        ("ALTER TABLE charges ADD COLUMN mine bigint", "column mine of the table charges"),
        ("ALTER TABLE balances ALTER COLUMN epsilon TYPE numeric", "column epsilon of the table balances"),
        ("CREATE INDEX mine ON charges (question)", "index mine"),
        ("CREATE RULE mine AS ON INSERT TO entries DO ALSO NOTHING", "table entries"),
        ("ALTER TABLE releases SET UNLOGGED", "table releases"),
        ("ALTER TABLE requests ENABLE ROW LEVEL SECURITY", "table requests"),
    ],
)
def test_what_the_tables_are_made_of_is_verified(running: Server, url: str, statement: str, part: str) -> None:
    running.run(statement, url)
    with Ledger.open(url) as ledger, pytest.raises(LedgerError, match=rf"DPQ-802.*{part}"):
        ledger.verify()


def test_other_tables_of_the_schema_are_not_the_ledger_s(running: Server, url: str) -> None:
    running.run("CREATE TABLE mine (x int); CREATE VIEW seen AS SELECT * FROM mine", url)
    with Ledger.open(url) as ledger:
        assert ledger.verify().verified


def test_a_ledger_replaced_while_in_use_is_found(running: Server, url: str) -> None:
    with Ledger.open(url) as ledger:
        ledger.charge(ask("seen", 1, None))
        running.run("; ".join(f"ALTER TABLE {table} DISABLE TRIGGER ALL" for table in (*TABLES, "head")), url)
        running.run("DELETE FROM entries WHERE sequence = (SELECT sequence FROM head)", url)
        running.run(
            "UPDATE head SET (sequence, hash) = (SELECT sequence, hash FROM entries ORDER BY 1 DESC LIMIT 1)", url
        )
        with pytest.raises(LedgerError, match="DPQ-802"):
            ledger.charge(ask("next", 1, None))


# --- one writer at a time -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("isolation", ["SERIALIZABLE", "READ COMMITTED"])
def test_writers_at_once_sell_each_unit_once(
    running: Server, tmp_path: Path, isolation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty clients, each with a connection of its own; half of them come and go."""
    monkeypatch.setattr(postgres, "ISOLATION", isolation)
    cap, cost, clients = 100, 3, 30
    url = running.fresh_url()
    make(url, tmp_path, cap).close()
    accepted: list[Charged] = []
    failures: list[BaseException] = []

    def spend(client: int) -> None:
        ledger = Ledger.open(url)
        try:
            for number in range(5):
                if client % 2:
                    ledger.close()
                try:
                    accepted.append(ledger.charge(ask(f"{client}/{number}", cost, f"{client}/{number}")))
                except OverBudget:
                    continue
        except BaseException as error:  # noqa: BLE001 - shown by the test's own thread
            failures.append(error)
        finally:
            ledger.close()

    threads = [threading.Thread(target=spend, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(accepted) == cap // cost
    with Ledger.open(url) as ledger:
        assert ledger.verify().charges == cap // cost
        assert {balance.spent.epsilon for balance in ledger.balances()} == {cap // cost * cost}


def test_a_ledger_that_stays_locked_says_so(running: Server, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(postgres.SETTINGS, "lock_timeout", "50ms")
    with Ledger.open(url) as ledger, psycopg.connect(url) as other:
        other.execute("SELECT * FROM head FOR UPDATE")
        with pytest.raises(LedgerError, match=r"DPQ-801.*locked") as caught:
            ledger.charge(ask("next", 1, None))
        assert caught.value.spent == 0
        other.rollback()
        assert ledger.charge(ask("next", 1, None)).fresh
    assert running.process.poll() is None


def test_readers_do_not_wait_for_writers(url: str) -> None:
    with Ledger.open(url) as ledger, psycopg.connect(url) as other:
        other.execute("LOCK TABLE head IN EXCLUSIVE MODE")
        assert ledger.verify().charges == 3


# --- servers and connections that go away ---------------------------------------------------------------------------


def test_a_connection_that_was_cut_between_charges_is_made_anew(running: Server, url: str) -> None:
    with Ledger.open(url) as ledger:
        ledger.charge(ask("before", 1, None))
        running.end_connections()
        assert ledger.charge(ask("after", 1, None)).fresh
        assert ledger.verify().charges == 5


def test_a_connection_that_is_cut_within_a_charge_charges_nothing(
    running: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dpquery.ledger import spending

    def cut(*_: Any) -> None:
        running.end_connections()

    with Ledger.open(url) as ledger:
        with monkeypatch.context() as patched:
            patched.setattr(spending, "_remember", cut)  # the last thing within a charge
            with pytest.raises(LedgerError, match="DPQ-801") as caught:
                ledger.charge(ask("cut", 1, None))
        assert caught.value.spent is None  # the commit was under way: nobody knows from here
        assert ledger.verify().charges == 3
        assert ledger.charge(ask("cut", 1, None)).fresh


@pytest.mark.slow
def test_a_server_that_stops_at_once_loses_no_charge(tmp_path: Path) -> None:
    """`pg_ctl stop -m immediate` while eight threads charge; what a client was told is there when it is back."""
    import subprocess

    from postgres_server import as_another_user, binaries

    own = server("max_wal_size=64MB")
    url = own.fresh_url()
    make(url, tmp_path, 10**6).close()
    told: list[Charged] = []
    folder = binaries()
    assert folder is not None
    for round_ in range(8):
        stop = threading.Event()

        def spend(client: int, round_: int = round_, stop: threading.Event = stop) -> None:
            try:
                with Ledger.open(url) as ledger:
                    number = 0
                    while not stop.is_set():
                        number += 1
                        told.append(ledger.charge(ask(f"{round_}/{client}/{number}", 1, None)))
            except LedgerError:
                pass

        threads = [threading.Thread(target=spend, args=(client,)) for client in range(8)]
        for thread in threads:
            thread.start()
        stop.wait(0.3)
        control = [str(folder / "pg_ctl"), "-D", str(own.folder / "data"), "-w"]
        subprocess.run([*control, "stop", "-m", "immediate"], check=True, capture_output=True, **as_another_user())
        stop.set()
        for thread in threads:
            thread.join()
        options = f"-c listen_addresses= -c unix_socket_directories={own.folder} -c max_connections=60"
        subprocess.run(
            [*control, "-o", options, "-l", str(own.folder / "restarted"), "start"],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **as_another_user(),
        )
        with Ledger.open(url) as ledger:
            found = ledger.verify()
            names = {entry.name for entry in ledger.entries() if entry.kind == "charge"}
            assert {charged.entry for charged in told} <= names
            assert {balance.spent.epsilon for balance in ledger.balances()} == {found.charges}
    assert told
    subprocess.run([*control, "stop", "-m", "fast"], check=False, capture_output=True, **as_another_user())


def test_a_server_that_may_lose_commits_is_refused(running: Server, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(postgres.DURABLE, "fsync", "never")
    with pytest.raises(LedgerError, match=r"DPQ-805.*fsync is on, not never"):
        Ledger.open(url)
    assert running.process.poll() is None


def test_a_database_without_a_server_is_an_error_of_the_ledger() -> None:
    with pytest.raises(LedgerError, match="DPQ-801"):
        Ledger.open("postgresql://nobody@127.0.0.1:1/nothing")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ana:secret@db/ledger",
        "postgresql://ana@db/ledger?password=secret",
        "mysql://ana@db/ledger",
        "postgresql://db",
        "postgresql",
        "",
    ],
)
def test_urls_that_name_no_database_or_tell_a_password_are_refused(url: str) -> None:
    with pytest.raises(LedgerError, match="DPQ-812") as caught:
        Ledger.open(url)
    assert "secret" not in str(caught.value)


def test_without_the_driver_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(LedgerError, match=r"DPQ-813[\s\S]*dpquery\[postgres\]"):
        Ledger.open("postgresql://ana@db/ledger")


def test_a_child_process_never_speaks_on_its_parent_s_connection(url: str) -> None:
    with Ledger.open(url) as ledger:
        ledger.charge(ask("before", 1, None))
        child = os.fork()
        if child == 0:
            try:
                ledger.charge(ask("child", 1, None))
                os._exit(0)
            except BaseException:  # noqa: BLE001 - whatever it was, the parent sees the exit code
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert ledger.charge(ask("after", 1, None)).fresh
