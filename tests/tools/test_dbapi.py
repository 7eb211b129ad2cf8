"""PEP 249: `execute` spends once for each question; nothing else does."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time

import pandas as pd
import pytest
from spending import nothing_spent, spent
from stores import MadeStore

from dpquery import dbapi, errors
from dpquery.errors import DpqueryError
from dpquery.preview import Preview
from dpquery.session import Session
from dpquery.tools import dbapi_errors

COUNTS = "SELECT cell_id, COUNT(*) AS n, AVG(talk_s) AS t FROM calls WHERE day < '2026-02-01' GROUP BY cell_id"
KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, DpqueryError) and kind is not DpqueryError
]


@pytest.fixture
def connection(made: MadeStore) -> Iterator[dbapi.Connection]:
    with dbapi.connect(made.folder, analyst="ana", purpose="network_planning", epsilon=0.5) as connection:
        yield connection


def test_the_module_is_one_of_pep_249() -> None:
    assert (dbapi.apilevel, dbapi.threadsafety, dbapi.paramstyle) == ("2.0", 1, "named")
    assert all(hasattr(dbapi, name) for name in dbapi.__all__)
    assert issubclass(dbapi.Warning, Exception)
    for kind in (dbapi.InterfaceError, dbapi.DatabaseError):
        assert issubclass(kind, dbapi.Error)
    for kind in (
        dbapi.DataError,
        dbapi.OperationalError,
        dbapi.IntegrityError,
        dbapi.InternalError,
        dbapi.ProgrammingError,
        dbapi.NotSupportedError,
    ):
        assert issubclass(kind, dbapi.DatabaseError)
        assert getattr(dbapi.Connection, kind.__name__) is kind


def test_an_answer_has_the_columns_that_were_selected(connection: dbapi.Connection, session: Session) -> None:
    cursor = connection.cursor()
    assert cursor.execute(COUNTS) is cursor
    assert spent(session) == 0.5
    assert cursor.description is not None
    assert [column[0] for column in cursor.description] == ["cell_id", "n", "t"]
    codes = [column[1] for column in cursor.description]
    assert [codes[0] == dbapi.STRING, codes[1] == dbapi.NUMBER, codes[2] == dbapi.NUMBER] == [True, True, True]
    assert codes[0] != dbapi.NUMBER
    assert all(len(column) == 7 for column in cursor.description)
    assert cursor.rowcount == 3
    release = cursor.release
    assert release is not None
    assert cursor.fetchall() == [(row["cell_id"], row["n"], row["t"]) for row in release.rows()]
    assert "n_low" in release.rows()[0]


def test_the_same_question_is_free_the_second_time(connection: dbapi.Connection, session: Session) -> None:
    first = connection.cursor().execute(COUNTS).fetchall()
    again = connection.cursor().execute(COUNTS)
    assert again.fetchall() == first
    assert again.release is not None
    assert again.release.status == "repeated"
    assert spent(session) == 0.5


def test_rows_are_fetched_in_parts(connection: dbapi.Connection) -> None:
    cursor = connection.cursor().execute(COUNTS)
    rows = connection.cursor().execute(COUNTS).fetchall()
    assert cursor.rownumber == 0
    assert cursor.fetchone() == rows[0]
    assert cursor.fetchmany() == rows[1:2]
    assert cursor.rownumber == 2
    assert cursor.fetchmany(5) == rows[2:]
    assert (cursor.fetchone(), cursor.fetchmany(2), cursor.fetchall()) == (None, [], [])
    assert list(connection.cursor().execute(COUNTS)) == rows
    with pytest.raises(dbapi.ProgrammingError):
        cursor.fetchmany(-1)


def test_times_and_null_are_python_values(connection: dbapi.Connection) -> None:
    cursor = connection.cursor().execute("SELECT day, service, COUNT(*) AS n FROM calls GROUP BY day, service")
    assert cursor.description is not None
    assert cursor.description[0][1] == dbapi.DATETIME
    rows = cursor.fetchall()
    assert rows[0][0] == date(2026, 1, 1)
    assert {row[1] for row in rows} == {"voice", "sms", None}


def test_looking_never_spends(connection: dbapi.Connection, made: MadeStore, session: Session) -> None:
    with nothing_spent(session):
        cursor = connection.cursor()
        preview = cursor.preview(COUNTS)
        assert isinstance(preview, Preview)
        assert preview.document().cost.epsilon == 0.5
        assert cursor.release is None
        assert cursor.description is None
        assert (cursor.rowcount, cursor.rownumber) == (-1, None)
        cursor.setinputsizes([])
        cursor.setoutputsize(10)
        connection.commit()
        connection.rollback()
        assert "spends" in repr(connection)
        with dbapi.connect(made.folder, analyst="ana", purpose="network_planning", within=40) as other:
            shown = other.cursor().preview("SELECT COUNT(*) AS n FROM calls").document().columns[0]
            assert 39 < (shown.expected_half_width or 0) <= 40  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("probe", "names", "rows"),
    [
        ("SELECT 1", ["1"], [(1,)]),
        (" select 1 as alive ;", ["alive"], [(1,)]),
        ("SELECT * FROM subscribers WHERE 1=0", None, []),
        ('SELECT * FROM "subscribers" LIMIT 0', None, []),
    ],
)
def test_what_tools_send_to_look_around_is_free(
    connection: dbapi.Connection, session: Session, probe: str, names: list[str] | None, rows: list[tuple[int]]
) -> None:
    with nothing_spent(session):
        cursor = connection.cursor().execute(probe)
        assert cursor.description is not None
        declared = next(table for table in session.tables().tables if table.name == "subscribers")
        assert [column[0] for column in cursor.description] == (names or [column.name for column in declared.columns])
        assert cursor.fetchall() == rows
        assert cursor.release is None


def test_the_choices_of_a_filter_are_free(connection: dbapi.Connection, session: Session) -> None:
    asked = "SELECT DISTINCT service FROM calls WHERE day < :d"
    with nothing_spent(session):
        cursor = connection.cursor().execute(asked, {"d": date(2026, 2, 1)})
        assert cursor.description is not None
        assert [(column[0], column[1] == dbapi.STRING) for column in cursor.description] == [("service", True)]
        assert cursor.fetchall() == [("voice",), ("sms",), (None,)]
        assert cursor.release is None
        for refused in ("SELECT DISTINCT caller FROM calls", asked):
            with pytest.raises(dbapi.ProgrammingError):
                cursor.execute(refused)
        # What changes with the rows is a query, and is refused or priced as one.
        assert session.key_values("SELECT service, COUNT(*) FROM calls GROUP BY service") is None


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM calls",
        "SELECT * FROM calls WHERE 1=0 OR 1=1",
        "SELECT * FROM cells WHERE 1=0",
        "SELECT * FROM nothing LIMIT 0",
        "SELECT 1 FROM calls",
        "SELECT 1; SELECT COUNT(*) FROM calls",
    ],
)
def test_what_only_looks_like_a_probe_is_refused(connection: dbapi.Connection, session: Session, text: str) -> None:
    with nothing_spent(session), pytest.raises(dbapi.ProgrammingError):
        connection.cursor().execute(text)


def test_a_refusal_is_both_pep_249s_and_ours_with_the_same_text(connection: dbapi.Connection, session: Session) -> None:
    sql = "SELECT caller, COUNT(*) FROM calls GROUP BY caller"
    with pytest.raises(errors.QueryRefused) as ours:
        session.sql(sql)
    with nothing_spent(session), pytest.raises(dbapi.ProgrammingError) as caught:
        connection.cursor().execute(sql)
    assert isinstance(caught.value, errors.QueryRefused)
    assert str(caught.value) == str(ours.value)
    assert "^^^" in str(caught.value)
    assert caught.value.code == "DPQ-105"
    assert caught.value.exit_status == 3
    assert type(caught.value.__cause__) is errors.QueryRefused
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(ours.value)  # noqa: S301 - our own bytes


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_error_has_a_place_in_pep_249(kind: type[DpqueryError]) -> None:
    with pytest.raises(kind) as caught, dbapi_errors.translated():
        raise kind("DPQ-001", "why", fix="fix")
    assert isinstance(caught.value, dbapi.DatabaseError)
    assert caught.value.exit_status == kind.exit_status
    assert str(caught.value) == str(caught.value.__cause__)
    assert set(dbapi_errors.KINDS) == set(KINDS)


def test_budgets_and_rights_are_operational(made: MadeStore, session: Session) -> None:
    with nothing_spent(session):
        with dbapi.connect(made.folder, analyst="ana", purpose="network_planning", epsilon=99) as connection:
            with pytest.raises(dbapi.OperationalError) as caught:
                connection.cursor().execute(COUNTS)
            assert caught.value.code == "DPQ-204"
            with pytest.raises(errors.BudgetRefused):
                connection.cursor().preview(COUNTS)
        with pytest.raises(dbapi.OperationalError) as caught:
            dbapi.connect(made.folder, analyst="eve", purpose="network_planning")
        assert caught.value.code == "DPQ-303"
        with pytest.raises(dbapi.OperationalError):
            dbapi.connect(made.folder / "nowhere", analyst="ana", purpose="network_planning")
        with pytest.raises(dbapi.InterfaceError):
            dbapi.connect(made.folder, analyst="ana", purpose="network_planning", epsilon=1, within=5)


def test_a_refused_query_leaves_no_earlier_answer_behind(connection: dbapi.Connection) -> None:
    cursor = connection.cursor().execute(COUNTS)
    with pytest.raises(dbapi.ProgrammingError):
        cursor.execute("SELECT caller, COUNT(*) FROM calls GROUP BY caller")
    assert cursor.release is None
    with pytest.raises(dbapi.ProgrammingError):
        cursor.fetchall()


def test_executemany_is_refused(connection: dbapi.Connection, session: Session) -> None:
    with nothing_spent(session), pytest.raises(dbapi.NotSupportedError):
        connection.cursor().executemany(COUNTS, [{}])


def test_parameters_have_names(connection: dbapi.Connection, session: Session) -> None:
    with nothing_spent(session):
        with pytest.raises(dbapi.ProgrammingError):
            connection.cursor().execute("SELECT COUNT(*) FROM calls WHERE service = ?", ["sms"])
        with pytest.raises(dbapi.ProgrammingError):
            connection.cursor().execute("SELECT COUNT(*) FROM calls WHERE service = :service")
        with pytest.raises(dbapi.ProgrammingError):
            connection.cursor().execute(None)  # type: ignore[arg-type]
    assert connection.cursor().execute(COUNTS, ()).rowcount == 3  # marimo sends an empty tuple


def test_what_is_closed_cannot_be_used(made: MadeStore) -> None:
    connection = dbapi.connect(made.folder, analyst="ana", purpose="network_planning")
    with connection.cursor() as cursor:
        cursor.execute(COUNTS)
    for call in (cursor.fetchall, lambda: cursor.execute(COUNTS), cursor.__enter__):
        with pytest.raises(dbapi.InterfaceError):
            call()
    other = connection.cursor()
    connection.close()
    connection.close()
    for unusable in (connection.commit, connection.rollback, connection.cursor, lambda: other.execute(COUNTS)):
        with pytest.raises(dbapi.InterfaceError):
            unusable()


def test_the_policys_price_holds_where_none_is_named(made: MadeStore, session: Session) -> None:
    with dbapi.connect(made.folder, analyst="ana", purpose="network_planning") as connection:
        connection.cursor().execute(COUNTS)
    assert spent(session) == session.store.policy.limits.epsilon_default


def test_constructors_are_in_utc() -> None:
    moment = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    assert dbapi.DateFromTicks(moment.timestamp()) == dbapi.Date(2026, 1, 31)
    assert dbapi.TimeFromTicks(moment.timestamp()) == dbapi.Time(9, 30) == time(9, 30)
    assert dbapi.TimestampFromTicks(moment.timestamp()) == dbapi.Timestamp(2026, 1, 31, 9, 30)
    assert dbapi.Binary(b"x") == b"x"
    assert dbapi.BINARY != "string"
    assert len({dbapi.STRING, dbapi.NUMBER, dbapi.DATETIME}) == 3


def test_pandas_reads_from_the_connection(connection: dbapi.Connection) -> None:
    with pytest.warns(UserWarning, match="SQLAlchemy"):
        frame = pd.read_sql(COUNTS, connection)  # type: ignore[call-overload]
    assert list(frame.columns) == ["cell_id", "n", "t"]


def test_importing_the_package_imports_no_tool() -> None:
    script = (
        "import sys, dpquery; dpquery.__version__; "
        "print([m for m in sys.modules if m.split('.')[0] in ('IPython', 'sqlalchemy') or m.startswith('dpquery.')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_parameters_stand_for_values(connection: dbapi.Connection, session: Session) -> None:
    sql = "SELECT COUNT(*) AS n FROM calls WHERE service = :service AND day < :day"
    values = {"service": "sms", "day": date(2026, 2, 1)}
    with nothing_spent(session):
        assert connection.cursor().preview(sql, values).document().cost.epsilon == 0.5
    first = connection.cursor().execute(sql, values).fetchall()
    written = "SELECT COUNT(*) AS n FROM calls WHERE service = 'sms' AND day < '2026-02-01'"
    assert connection.cursor().execute(written).fetchall() == first
    assert spent(session) == 0.5
