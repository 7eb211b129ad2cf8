"""A store asked through another Python: the same answers, prices and refusals as in this one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from spending import nothing_spent, spent
from stores import MadeStore

from dpquery import dbapi
from dpquery.errors import Span
from dpquery.session import Session
from dpquery.tools import other_python
from dpquery.tools.answering import replies
from dpquery.tools.dbapi_errors import KINDS
from dpquery.tools.lines import error_fields, error_from, line_of, message_of

BY_DAY = "SELECT day, COUNT(*) AS n, AVG(talk_s) AS t FROM calls WHERE day < :d AND service = :s GROUP BY day"
VALUES = {"d": date(2026, 1, 8), "s": "sms"}


@pytest.fixture(autouse=True)
def python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPQUERY_PYTHON", sys.executable)


@pytest.fixture
def connection(made: MadeStore) -> Iterator[other_python.Connection]:
    with other_python.connect(made.folder, analyst="ana", purpose="network_planning", epsilon=0.2) as connection:
        yield connection


def test_answers_are_those_of_this_python(
    connection: other_python.Connection, made: MadeStore, session: Session
) -> None:
    there = connection.cursor().execute(BY_DAY, VALUES)
    assert spent(session) == 0.2
    with dbapi.connect(made.folder, analyst="ana", purpose="network_planning", epsilon=0.2) as own:
        here = own.cursor().execute(BY_DAY, VALUES)
        assert there.description == here.description
        assert there.fetchall() == here.fetchall()
        assert connection.tables() == own.tables()
    assert spent(session) == 0.2
    assert there.release is None


def test_describing_and_refusals_never_spend(connection: other_python.Connection, session: Session) -> None:
    cursor = connection.cursor()
    with nothing_spent(session):
        for operation in ("SELECT 1", "SELECT * FROM calls WHERE 1=0", "EXPLAIN PRIVACY SELECT COUNT(*) FROM calls"):
            assert cursor.execute(operation).description
        with pytest.raises(dbapi.NotSupportedError):
            cursor.preview("SELECT COUNT(*) FROM calls")
        refused = "SELECT\n  caller,\n  COUNT(*)\nFROM calls\nGROUP BY\n  caller\nLIMIT 1001"
        with pytest.raises(dbapi.ProgrammingError) as caught:
            cursor.execute(refused)
        with pytest.raises(Exception, match="DPQ-105") as own:
            session.sql(refused)
        assert str(caught.value) == str(own.value)
        with pytest.raises(dbapi.ProgrammingError, match="complex"):
            cursor.execute(BY_DAY, {"d": 1j})
        with pytest.raises(dbapi.OperationalError, match="DPQ-303"):
            other_python.connect(session.store.folder, analyst="eve", purpose="network_planning")
    assert cursor.execute("SELECT COUNT(*) FROM calls").fetchall()


@pytest.mark.parametrize(
    "operation",
    [
        "SELECT 1 AS one",
        "SELECT * FROM calls WHERE 1=0",
        "SELECT DISTINCT cell_id FROM calls",
        "SELECT day, AVG(talk_s) AS t FROM calls GROUP BY day LIMIT 0",
        "EXPLAIN PRIVACY SELECT service, COUNT(*) AS n FROM calls GROUP BY service",
        "SHOW PRIVACY BUDGET",
    ],
)
def test_free_answers_are_those_of_this_python(
    connection: other_python.Connection, session: Session, made: MadeStore, operation: str
) -> None:
    own = dbapi.connect(made.folder, analyst="ana", purpose="network_planning", epsilon=0.2)
    with nothing_spent(session), own:
        there, here = connection.cursor().execute(operation), own.cursor().execute(operation)
        assert there.description == here.description
        assert there.fetchall() == here.fetchall()


def test_the_dialect_uses_it(made: MadeStore, session: Session) -> None:
    engine = sa.create_engine(f"dpquery:///{made.folder}?analyst=ana&purpose=network_planning&epsilon=0.2")
    with nothing_spent(session):
        inspector = sa.inspect(engine)
        assert "calls" in inspector.get_table_names("main")
        assert {c["name"] for c in inspector.get_columns("calls")} >= {"caller", "service", "day"}
    with engine.connect() as connection:
        assert isinstance(connection.connection.dbapi_connection, other_python.Connection)
        connection.exec_driver_sql("SET dp.epsilon = 0.3")
    with engine.connect() as connection:  # the pool undid it
        assert len(connection.execute(sa.text(BY_DAY), VALUES).all()) == 7
    assert spent(session) == 0.2
    engine.dispose()


def test_a_process_lives_as_long_as_its_connection(connection: other_python.Connection) -> None:
    process = connection._process
    assert process is not None
    assert process.poll() is None
    connection.close()
    assert process.returncode == 0
    with pytest.raises(dbapi.InterfaceError):
        connection.cursor()
    connection.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_gets_no_password(made: MadeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "of the program")
    with other_python.connect(made.folder, analyst="ana", purpose="network_planning") as connection:
        assert connection._process is not None
        process = Path("/proc", str(connection._process.pid))
        names = {variable.partition("=")[0] for variable in (process / "environ").read_text().split("\0")}
        assert "PATH" in names
        assert "DATABASE_PASSWORD" not in names
        assert (process / "cmdline").read_text().split("\0")[1:-1] == ["-P", "-m", "dpquery.tools.answering"]


def test_a_process_ends_with_the_program_that_started_it(made: MadeStore) -> None:
    code = (
        "import sys; from dpquery.tools import other_python\n"
        "c = other_python.connect(sys.argv[1], analyst='ana', purpose='network_planning')\n"
        "print(c._process.pid, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(made.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        process = int(program.stdout.readline())
        os.kill(process, 0)
        program.kill()
    for _ in range(200):
        if not _runs(process):
            return
        time.sleep(0.05)
    pytest.fail("the process outlived its program")


def _runs(process: int) -> bool:
    """Whether it runs; one that ended and that nobody has waited for yet does not."""
    state = Path("/proc", str(process), "stat")
    if state.exists():
        return state.read_text().rpartition(")")[2].split()[0] != "Z"
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return sys.platform != "linux"


def test_a_process_that_ends_ends_its_connection(connection: other_python.Connection) -> None:
    assert connection._process is not None
    connection._process.kill()
    with pytest.raises(dbapi.OperationalError, match="DPQ-701"):
        connection.cursor().execute("SELECT 1")
    with pytest.raises(dbapi.InterfaceError):
        connection.cursor()


def test_a_reply_that_was_not_waited_for_is_never_read(
    connection: other_python.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a program stops a query that takes too long, by a signal."""

    def interrupted() -> str:
        raise TimeoutError

    assert connection._process is not None
    monkeypatch.setattr(connection._process.stdout, "readline", interrupted, raising=False)
    cursor = connection.cursor()
    with pytest.raises(TimeoutError):
        cursor.execute("SELECT 1")
    with pytest.raises(dbapi.InterfaceError):
        cursor.execute("SELECT 2")


def test_what_is_set_wrongly_is_said(made: MadeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    request = line_of({"version": "0.0.1", "connect": {}})
    assert "0.0.1" in str(error_from(message_of(*replies([request]))["error"]))
    monkeypatch.setenv("DPQUERY_PYTHON", "/nowhere/python")
    with pytest.raises(dbapi.InterfaceError, match="cannot be started"):
        other_python.connect(made.folder, analyst="ana", purpose="network_planning")
    monkeypatch.delenv("DPQUERY_PYTHON")
    monkeypatch.setattr(sa, "__version__", "1.4.54")
    with pytest.raises(dbapi.InterfaceError, match="DPQUERY_PYTHON"):
        sa.create_engine("dpquery:///store?analyst=ana&purpose=network_planning")


def test_neither_engine_nor_ledger_is_loaded_here() -> None:
    """What the program that asks may have in versions that are too old, or not at all."""
    code = (
        "import sys, sqlalchemy; before = set(sys.modules)\n"
        "import dpquery.tools.sqlalchemy_dialect, dpquery.tools.other_python\n"
        "loaded = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(loaded & {'numpy', 'pandas', 'pyarrow', 'duckdb', 'sqlglot', 'opendp', 'numba', 'typer', 'rich',"
        " 'phonenumbers', 'cryptography'}), *(m for m in sys.modules if m.startswith('dpquery.ledger')))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


PLAIN = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False)


@given(st.lists(PLAIN | st.dates() | st.datetimes() | st.decimals(allow_nan=False)))
def test_values_cross_as_they_were(values: list[bool | int | str | float | date | datetime | Decimal | None]) -> None:
    line = line_of({"row": values})
    assert line.count("\n") == 1
    found = message_of(line)["row"]
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


@pytest.mark.parametrize("kind", KINDS.values())
def test_errors_cross_with_their_text(kind: type[dbapi.Error]) -> None:
    error = kind("DPQ-105", "no", fix="yes\nor so", where=Span(1, 8, 9), source="SELECT *")
    error.spent = 0.5
    found = error_from(message_of(line_of(error_fields(error))))
    assert type(found) is kind
    assert str(found) == str(error)
