"""`dpquery:///DIR`: statements that a caller executes spend; what SQLAlchemy and tools ask by themselves does not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from importlib.metadata import entry_points
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
import superset_texts
from planning import POLICY
from spending import nothing_spent, spent
from sqlalchemy.dialects import registry
from stores import MadeStore

from dpquery import dbapi
from dpquery.session import Session

COUNTS = "SELECT service, COUNT(*) AS n FROM calls GROUP BY service"


def url_of(made: MadeStore, options: str = "") -> str:
    return f"dpquery:///{made.folder}?analyst=ana&purpose=network_planning{options}"


@pytest.fixture
def engine(made: MadeStore) -> Iterator[sa.Engine]:
    engine = sa.create_engine(url_of(made, "&epsilon=0.2"))
    yield engine
    engine.dispose()


@pytest.fixture
def calls(engine: sa.Engine) -> sa.Table:
    return sa.Table("calls", sa.MetaData(), autoload_with=engine)


def test_the_dialect_is_an_entry_point() -> None:
    """If this fails, the package was installed before the entry point: pip install -e ."""
    named = {point.name: point.value for point in entry_points(group="sqlalchemy.dialects")}
    assert named["dpquery"] == "dpquery.tools.sqlalchemy_dialect:DpqueryDialect"
    assert registry.load("dpquery").name == "dpquery"


def test_connecting_and_describing_never_spend(engine: sa.Engine, session: Session) -> None:
    asked = [table.name for table in session.tables().tables if not table.public]
    with nothing_spent(session):
        inspector = sa.inspect(engine)
        assert inspector.default_schema_name == "main"
        assert inspector.get_schema_names() == ["main"]
        assert inspector.has_schema("main")
        for schema in (None, "main"):
            assert inspector.get_table_names(schema) == asked
            assert inspector.has_table("calls", schema)
            assert inspector.get_view_names(schema) == []
            assert inspector.get_materialized_view_names(schema) == []
            assert inspector.get_pk_constraint("calls", schema)["constrained_columns"] == []
            assert inspector.get_foreign_keys("calls", schema) == []
            assert inspector.get_indexes("calls", schema) == []
            assert inspector.get_unique_constraints("calls", schema) == []
            assert inspector.get_check_constraints("calls", schema) == []
            assert inspector.get_table_options("calls", schema) == {}
            assert inspector.get_table_comment("calls", schema) == {"text": "2026-01-01 to 2026-02-28"}
            assert set(inspector.get_multi_columns(schema)) == {(schema, name) for name in asked}
        assert inspector.get_temp_table_names() == []
        assert inspector.get_temp_view_names() == []
        assert inspector.get_sequence_names() == []
        assert inspector.get_table_names("other") == []
        assert not inspector.has_table("cells")  # public: not asked
        assert not inspector.has_table(COUNTS)  # pandas asks whether its text is a table
        for call in (inspector.get_columns, inspector.get_indexes, inspector.get_view_definition):
            with pytest.raises(sa.exc.NoSuchTableError):
                call("nothing")
        assert engine.dialect.server_version_info is not None


def test_columns_have_the_policys_types(calls: sa.Table) -> None:
    kinds = {
        "caller": sa.String,
        "service": sa.String,
        "talk_s": sa.BigInteger,
        "cost": sa.Float,
        "answered": sa.Boolean,
        "day": sa.Date,
        "start_ts": sa.DateTime,
    }
    for name, kind in kinds.items():
        assert isinstance(calls.c[name].type, kind), name
    assert calls.c.caller.comment == "phone number: COUNT(DISTINCT caller) and nothing else"
    assert calls.c.service.comment == "key with 3 values"
    assert calls.c.talk_s.comment == "clamped to 0 to 60 s"
    assert calls.c.free_text.comment == "for conditions"


def test_a_purposes_tables_are_the_ones_it_may_read(made: MadeStore) -> None:
    policy = made.folder / "policy.toml"
    policy.write_text(POLICY.replace('regime = "opt-out"', 'regime = "opt-out"\ntables = ["subscribers"]'))
    policy.chmod(0o600)
    engine = sa.create_engine(url_of(made))
    assert sa.inspect(engine).get_table_names() == ["subscribers"]
    with engine.connect() as connection, pytest.raises(sa.exc.OperationalError, match="DPQ-305"):
        connection.exec_driver_sql("SELECT DISTINCT service FROM calls")
    engine.dispose()


def test_pings_and_probes_never_spend(made: MadeStore, session: Session) -> None:
    engine = sa.create_engine(url_of(made), pool_pre_ping=True)
    with nothing_spent(session):
        for _ in range(2):
            with engine.connect() as connection:
                assert connection.execute(sa.text("SELECT 1")).scalar() == 1
                assert connection.execute(sa.select(1)).scalar() == 1
                assert next(iter(connection.execute(sa.text("SELECT * FROM calls WHERE 1=0")).keys())) == "caller"
                raw = connection.connection.dbapi_connection
                assert raw is not None
                assert engine.dialect.do_ping(raw)
                connection.commit()
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            assert connection.get_isolation_level() == "AUTOCOMMIT"
    engine.dispose()


def test_text_is_executed_and_charged_once(engine: sa.Engine, session: Session) -> None:
    with engine.connect() as connection:
        result = connection.execute(sa.text(COUNTS))
        assert list(result.keys()) == ["service", "n"]
        assert {row.service for row in result} == {"voice", "sms", None}
        assert spent(session) == 0.2
        connection.execute(sa.text(COUNTS))
        connection.exec_driver_sql(COUNTS)
        raw = connection.connection.dbapi_connection
        assert isinstance(raw, dbapi.Connection)
        assert raw.session.analyst == "ana"
    assert spent(session) == 0.2


def test_pandas_reads(engine: sa.Engine, session: Session) -> None:
    frame = pd.read_sql(COUNTS, engine)
    assert list(frame.columns) == ["service", "n"]
    assert len(frame) == 3
    assert pd.read_sql(sa.text(COUNTS), engine).equals(frame)
    assert [len(part) for part in pd.read_sql(COUNTS, engine, chunksize=2)] == [2, 1]
    assert spent(session) == 0.2
    with pytest.raises(Exception, match="DPQ-105"):
        pd.read_sql("calls", engine)
    assert spent(session) == 0.2


def test_constructs_are_charged_as_the_text_they_stand_for(
    engine: sa.Engine, calls: sa.Table, session: Session
) -> None:
    statement = (
        sa.select(calls.c.service, sa.func.count().label("n"))
        .where(calls.c.talk_s > sa.literal_column("5"), calls.c.answered.is_not(None))
        .group_by(calls.c.service)
        .order_by(sa.desc("n"))
        .limit(2)
    )
    with engine.connect() as connection:
        assert len(connection.execute(statement).all()) == 2
        assert len(connection.execute(statement.limit(1)).all()) == 1  # the statement's cached form took another limit
        connection.execute(
            sa.text(
                "SELECT service, COUNT(*) AS n FROM calls WHERE talk_s > 5 AND answered IS NOT NULL GROUP BY service "
                "ORDER BY n DESC LIMIT 2"
            )
        )
    assert spent(session) == 0.2


def test_named_bounds_can_stand_in_a_construct(engine: sa.Engine, calls: sa.Table) -> None:
    bounds: sa.ColumnClause[float] = sa.literal_column("contribution_bounds_per_row => (0, 30)")
    with engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.sum(calls.c.talk_s, bounds).label("s"))).scalar_one() is not None


def test_no_schema_is_written_and_values_can_be_literal(engine: sa.Engine) -> None:
    """Superset names the schema of its tables, and writes values into the text."""
    table = sa.table("calls", sa.column("service"), sa.column("day", sa.Date), schema="main")
    statement = sa.select(sa.func.count().label("n")).select_from(table).where(table.c.day < date(2026, 2, 1))
    text = str(statement.compile(engine, compile_kwargs={"literal_binds": True}))
    assert "main" not in text
    assert "'2026-02-01'" in text
    with engine.connect() as connection:
        assert connection.exec_driver_sql(text).scalar_one() is not None
    limited = str(statement.limit(10).offset(5).compile(engine, compile_kwargs={"literal_binds": True}))
    assert limited.split()[-4:] == ["LIMIT", "10", "OFFSET", "5"]


@pytest.mark.parametrize("text", superset_texts.ANSWERED)
def test_texts_of_superset_are_answered_under_their_labels(engine: sa.Engine, session: Session, text: str) -> None:
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(text)
        labels = list(rows.keys())
        assert all(label in text for label in labels)
        assert rows.all()
    assert spent(session) == 0.2


def test_what_superset_may_not_ask_is_refused_for_free(engine: sa.Engine, session: Session) -> None:
    with nothing_spent(session), engine.connect() as connection:
        for text, code in superset_texts.REFUSED:
            with pytest.raises(sa.exc.ProgrammingError, match=code):
                connection.exec_driver_sql(text)


def test_filter_choices_and_a_search_in_them_are_free(engine: sa.Engine, session: Session) -> None:
    with nothing_spent(session), engine.connect() as connection:
        asked = "SELECT DISTINCT cell_id AS cell_id FROM main.calls WHERE cell_id IN ('C1', 'C2') LIMIT 1000"
        assert connection.exec_driver_sql(asked).all() == [("C1",), ("C2",)]
        for text in superset_texts.CHOICES:
            assert ("C1",) in connection.exec_driver_sql(text).all()


def test_a_query_without_rows_is_described_for_free(engine: sa.Engine, session: Session) -> None:
    """Superset asks so for the columns of a query that is to be a dataset."""
    text = "SELECT\n  service,\n  COUNT(*) AS n,\n  AVG(talk_s) AS t\nFROM calls\nGROUP BY\n  service\nLIMIT 0"
    with nothing_spent(session), engine.connect() as connection:
        found = connection.exec_driver_sql(text)
        assert [column[:2] for column in found.cursor.description] == [
            ("service", "string"),
            ("n", "integer"),
            ("t", "number"),
        ]
        assert found.all() == []
        with pytest.raises(sa.exc.ProgrammingError, match="DPQ-105"):
            connection.exec_driver_sql(text.replace("service", "caller"))


def test_ilike_stays_itself(engine: sa.Engine, calls: sa.Table) -> None:
    """Superset searches the choices of a filter so; LOWER on both sides would be no pattern."""
    cell, service = calls.c.cell_id, calls.c.service
    found = cell.ilike("%1%") & service.not_ilike("s%") & service.ilike("a/_%", escape="/")
    text = str(sa.select(sa.func.count()).where(found).compile(engine, compile_kwargs={"literal_binds": True}))
    for part in ("cell_id ILIKE '%1%'", "service NOT ILIKE 's%'", "service ILIKE 'a/_%' ESCAPE '/'"):
        assert part in text


def test_pandas_passes_parameters(engine: sa.Engine, session: Session) -> None:
    text = "SELECT service, COUNT(*) AS n FROM calls WHERE day < :d AND talk_s > :t GROUP BY service"
    values: Any = {"d": date(2026, 2, 1), "t": 5}
    frame = pd.read_sql(text, engine, params=values)
    assert pd.read_sql_query(sa.text(text), engine, params=values).equals(frame)
    assert spent(session) == 0.2


def test_refusals_keep_their_text(engine: sa.Engine, session: Session) -> None:
    with nothing_spent(session), engine.connect() as connection:
        for text, code in (
            ("SELECT caller, COUNT(*) FROM calls GROUP BY caller", "DPQ-105"),
            ("SELECT * FROM calls", "DPQ-106"),
            ("INSERT INTO calls VALUES (1)", "DPQ-109"),
            ("SELECT * FROM calls LIMIT 10", "DPQ-106"),
        ):
            with pytest.raises(sa.exc.ProgrammingError) as caught:
                connection.execute(sa.text(text))
            assert isinstance(caught.value.orig, dbapi.ProgrammingError)
            assert caught.value.orig.code == code
            assert str(caught.value.orig) in str(caught.value)
        with pytest.raises(sa.exc.NotSupportedError):
            connection.execute(sa.text("SELECT COUNT(*) FROM calls WHERE talk_s > :x"), [{"x": 1}, {"x": 2}])


def test_rights_and_prices_are_checked(made: MadeStore, session: Session) -> None:
    with nothing_spent(session):
        for url, code in (
            (url_of(made, "&epsilon=99"), "DPQ-204"),
            (url_of(made).replace("analyst=ana", "analyst=eve"), "DPQ-303"),
            (url_of(made).replace("store?", "nowhere?"), "DPQ-501"),
        ):
            engine = sa.create_engine(url)
            with pytest.raises(sa.exc.OperationalError, match=code), engine.connect() as connection:
                connection.execute(sa.text(COUNTS))
            engine.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "dpquery://store?analyst=ana&purpose=network_planning",
        "dpquery://",
        "dpquery:///store?purpose=network_planning",
        "dpquery:///store?analyst=ana",
        "dpquery:///store?analyst=ana&analyst=ben&purpose=network_planning",
        "dpquery:///store?analyst=ana&purpose=network_planning&epsilon=much",
        "dpquery:///store?analyst=ana&purpose=network_planning&price=1",
    ],
)
def test_an_url_that_is_not_understood_says_what_to_write(url: str) -> None:
    with pytest.raises(dbapi.InterfaceError) as caught:
        sa.create_engine(url)
    assert caught.value.code == "DPQ-002"
    assert caught.value.fix


def test_within_in_the_url(made: MadeStore) -> None:
    engine = sa.create_engine(url_of(made, "&within=40"))
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert isinstance(raw, dbapi.Connection)
        assert (raw.within, raw.epsilon) == (40.0, None)
    engine.dispose()


def test_a_changed_policy_costs_one_error_and_not_the_pool(engine: sa.Engine, made: MadeStore) -> None:
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT 1"))
    policy = made.folder / "policy.toml"
    policy.write_text(POLICY.replace('text = "Plan capacity."', 'text = "Plan capacity well."'))
    policy.chmod(0o600)
    with pytest.raises(sa.exc.OperationalError, match="DPQ-516"), engine.connect() as connection:
        connection.execute(sa.text(COUNTS))
    with engine.connect() as connection:
        assert len(connection.execute(sa.text(COUNTS)).all()) == 3


def test_values_of_constructs_are_parameters(engine: sa.Engine, calls: sa.Table, session: Session) -> None:
    statement = (
        sa.select(calls.c.cell_id, sa.func.count().label("n"))
        .where(calls.c.service == "sms", calls.c.day < date(2026, 2, 1), calls.c.direction.in_(["p2p", "inbound"]))
        .group_by(calls.c.cell_id)
    )
    with engine.connect() as connection:
        rows = connection.execute(statement).all()
        written = sa.text(
            "SELECT cell_id, COUNT(*) AS n FROM calls WHERE service = :service AND day < '2026-02-01' "
            "AND direction IN ('p2p', 'inbound') GROUP BY cell_id"
        )
        assert connection.execute(written, {"service": "sms"}).all() == rows
    assert pd.read_sql(written, engine, params={"service": "sms"})["n"].tolist() == [row.n for row in rows]
    assert spent(session) == 0.2
