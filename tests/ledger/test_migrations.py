"""The steps make the tables that the code reads and writes, and take older ledgers along."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from postgres_server import server
from sqlalchemy import create_engine, text

from dpquery.errors import LedgerError
from dpquery.ledger import Ledger, make_steward_key, migrations
from dpquery.ledger.schema import metadata


@pytest.fixture
def key(tmp_path: Path) -> Path:
    make_steward_key(tmp_path / "key")
    return tmp_path / "key"


def in_sqlite(path: Path) -> dict[str, str]:
    """Every table and index as SQLite has it, in one spelling."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'index')").fetchall()
    return {name: " ".join(str(sql).split()) for name, sql in found if "alembic_version" not in name}


CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = current_schema()::regnamespace
"""
COLUMNS = """
SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
WHERE table_schema = current_schema()
"""
INDEXES = """
SELECT tablename, replace(indexdef, current_schema() || '.', '') FROM pg_indexes WHERE schemaname = current_schema()
"""


def in_postgres(url: str) -> set[tuple[Any, ...]]:
    found = {row for query in (CONSTRAINTS, COLUMNS, INDEXES) for row in server().run(query, url)}
    return {row for row in found if "alembic_version" not in row[0]}


def test_steps_make_in_sqlite_what_the_schema_says(tmp_path: Path, key: Path) -> None:
    Ledger.create(tmp_path / "made.sqlite", dataset="d", steward_key=key).close()
    engine = create_engine(f"sqlite:///{tmp_path / 'said.sqlite'}")
    metadata.create_all(engine)
    engine.dispose()
    assert in_sqlite(tmp_path / "made.sqlite") == in_sqlite(tmp_path / "said.sqlite")


def test_steps_make_in_postgres_what_the_schema_says(key: Path) -> None:
    made, said = server().fresh_url(), server().fresh_url()
    Ledger.create(made, dataset="d", steward_key=key).close()
    engine = create_engine(said.replace("postgresql://", "postgresql+psycopg://"))
    metadata.create_all(engine)
    engine.dispose()
    assert in_postgres(made)
    assert in_postgres(made) == in_postgres(said)


def test_the_code_knows_every_step() -> None:
    config = Config()
    config.set_main_option("script_location", "dpquery.ledger:migrations")
    steps = [step.revision for step in ScriptDirectory.from_config(config).walk_revisions()]
    assert steps == [migrations.REVISION, *reversed(migrations.OLDER)]


def test_an_older_ledger_is_brought_up_to_date_when_it_is_opened(
    place: Path | str, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a step of a version to come in place of the real one."""
    with Ledger.create(place, dataset="d", steward_key=key) as made:
        head = made.head()
    taken: list[str] = []

    def step(connection: Any) -> None:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        taken.append("9999")

    monkeypatch.setattr(migrations, "REVISION", "9999")
    monkeypatch.setattr(migrations, "OLDER", ("0001",))
    monkeypatch.setattr("dpquery.ledger.ledger.migrate", step)
    for _ in range(2):
        with Ledger.open(place) as opened:
            assert opened.head() == head
            assert opened.verify().verified
    assert taken == ["9999"]


def test_a_ledger_of_a_later_version_is_refused(place: Path | str, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Ledger.create(place, dataset="d", steward_key=key).close()
    monkeypatch.setattr(migrations, "REVISION", "0000")
    with pytest.raises(LedgerError, match="DPQ-804"):
        Ledger.open(place)
