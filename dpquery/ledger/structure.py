"""What the ledger's tables are made of, against `schema` and `triggers`: columns, constraints, indexes, triggers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Never

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, UniqueConstraint, inspect, text

from dpquery.errors import LedgerError
from dpquery.ledger.schema import metadata
from dpquery.ledger.triggers import POSTGRES_TRIGGERS, SQLITE_TRIGGERS

if TYPE_CHECKING:
    from sqlalchemy import Connection, Dialect, Inspector, Table

Parts = dict[str, object]
"""What each part is made of, by the name that messages give it."""

VERSION_TABLE = "alembic_version"

_SQLITE_PARTS = "SELECT type, name, sql FROM sqlite_master WHERE type IN ('trigger', 'view')"

_POSTGRES_TABLES = """
SELECT relname, relkind::text, relpersistence::text, relrowsecurity, relhasrules FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relname = ANY(:names)
"""
_POSTGRES_TRIGGERS = """
SELECT pg_get_triggerdef(t.oid), t.tgenabled::text, f.prosrc
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc f ON f.oid = t.tgfoid
WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace AND c.relname = ANY(:names)
"""
_KEPT = ("r", "p", False, False)
"""An ordinary table that outlives a crash, without rules and without rows that are hidden from some."""

_TRIGGER = re.compile(
    r"CREATE TRIGGER (?P<name>\w+) BEFORE (?P<acts>[A-Z ]+) ON (?:\S+\.)?(?P<table>\w+)"
    r"(?: FOR EACH (?P<each>ROW|STATEMENT))? EXECUTE FUNCTION (?:\S+\.)?(?P<function>\w+)\(\)"
)
_FUNCTION = re.compile(r"CREATE FUNCTION (?P<name>\w+)\(\) .*\$\$(?P<body>.*)\$\$", re.DOTALL)


def check_structure(connection: Connection) -> None:
    """LedgerError DPQ-802 where a part of the tables is missing, changed, or not of dpquery's making.

    In PostgreSQL other tables of the schema are not looked at, and of a CHECK its name only: the server keeps it in
    words of its own.
    """
    sqlite = connection.dialect.name == "sqlite"
    wanted = _wanted(connection.dialect, exact=sqlite) | (_sqlite_triggers() if sqlite else _postgres_triggers())
    found = _found(connection, exact=sqlite) | (_others_in_sqlite if sqlite else _others_in_postgres)(connection)
    for part in sorted(wanted.keys() | found.keys()):
        if part not in found:
            _differs(part, "is missing")
        if part not in wanted:
            _differs(part, "was not made by dpquery")
        if wanted[part] != found[part]:
            _differs(part, "is not as dpquery made it")


def _wanted(dialect: Dialect, *, exact: bool) -> Parts:
    return {part: made for table in metadata.sorted_tables for part, made in _said(table, dialect, exact=exact).items()}


def _said(table: Table, dialect: Dialect, *, exact: bool) -> Parts:
    """A table of `schema`."""
    checks = [each for each in table.constraints if isinstance(each, CheckConstraint)]
    uniques = [each for each in table.constraints if isinstance(each, UniqueConstraint)]
    foreign = [each for each in table.constraints if isinstance(each, ForeignKeyConstraint)]
    whole: Parts = {f"table {table.name}": {"sqlite_strict": True} if exact else _KEPT}
    return whole | _parts(
        table.name,
        columns={c.name: (c.type.compile(dialect), c.nullable, None) for c in table.columns},
        checks={str(each.name): str(each.sqltext) if exact else "" for each in checks},
        indexes={str(each.name): [column.name for column in each.columns] for each in table.indexes},
        keys={
            "primary key": [column.name for column in table.primary_key.columns],
            "unique": sorted([column.name for column in each.columns] for each in uniques),
            "foreign keys": sorted(([c.name for c in e.columns], e.elements[0].target_fullname) for e in foreign),
        },
    )


def _found(connection: Connection, *, exact: bool) -> Parts:
    """Tables as the database describes them: of SQLite all, of PostgreSQL those of the ledger."""
    inspector = inspect(connection)
    names = [name for name in inspector.get_table_names() if name != VERSION_TABLE]
    parts: Parts = {}
    for name in names:
        if name in metadata.tables:
            parts |= _described(inspector, name, exact=exact)
        elif exact:
            parts[f"table {name}"] = None
    return parts


def _described(inspector: Inspector, name: str, *, exact: bool) -> Parts:
    whole: Parts = {f"table {name}": inspector.get_table_options(name)} if exact else {}
    return whole | _parts(
        name,
        columns={
            c["name"]: (str(c["type"]), c["nullable"], c.get("default") or c.get("computed"))
            for c in inspector.get_columns(name)
        },
        checks={str(c["name"]): c["sqltext"] if exact else "" for c in inspector.get_check_constraints(name)},
        indexes={
            str(i["name"]): [*i["column_names"], *["unique"] * bool(i["unique"])]
            for i in inspector.get_indexes(name)
            if "duplicates_constraint" not in i
        },
        keys={
            "primary key": inspector.get_pk_constraint(name)["constrained_columns"],
            "unique": sorted(each["column_names"] for each in inspector.get_unique_constraints(name)),
            "foreign keys": sorted(
                (f["constrained_columns"], f"{f['referred_table']}.{f['referred_columns'][0]}")
                for f in inspector.get_foreign_keys(name)
            ),
        },
    )


def _parts(
    table: str, columns: dict[str, Any], checks: dict[str, str], indexes: dict[str, Any], keys: dict[str, Any]
) -> Parts:
    """A table in parts that messages can name."""
    return {
        **{f"column {name} of the table {table}": made for name, made in columns.items()},
        **{f"constraint {name} of the table {table}": _plain(said) for name, said in checks.items()},
        **{f"index {name} of the table {table}": made for name, made in indexes.items()},
        **{f"{name} of the table {table}": made for name, made in keys.items()},
    }


def _plain(sql: str) -> str:
    return " ".join(sql.split())


def _sqlite_triggers() -> Parts:
    return {f"trigger {made.split()[2]}": _plain(made) for made in SQLITE_TRIGGERS}


def _others_in_sqlite(connection: Connection) -> Parts:
    rows = connection.execute(text(_SQLITE_PARTS))
    return {f"{row.type} {row.name}": _plain(row.sql) for row in rows}


def _postgres_triggers() -> Parts:
    functions = {found["name"]: found["body"] for found in map(_FUNCTION.match, POSTGRES_TRIGGERS) if found}
    triggers = [found for found in map(_TRIGGER.match, POSTGRES_TRIGGERS) if found]
    return {f"trigger {each['name']}": (*_shape(each), functions[each["function"]]) for each in triggers}


def _others_in_postgres(connection: Connection) -> Parts:
    """The triggers on the ledger's tables, and what kind of tables these are."""
    names = {"names": list(metadata.tables)}
    parts: Parts = {f"table {name}": tuple(kind) for name, *kind in connection.execute(text(_POSTGRES_TABLES), names)}
    for made, enabled, body in connection.execute(text(_POSTGRES_TRIGGERS), names):
        found = _TRIGGER.fullmatch(made)
        name = made.split()[2]
        parts[f"trigger {name}"] = (*_shape(found), body) if found and enabled in {"O", "A"} else made
    return parts


def _shape(trigger: re.Match[str]) -> tuple[object, ...]:
    acts = frozenset(trigger["acts"].split(" OR "))
    return trigger["table"], acts, trigger["each"] or "STATEMENT", trigger["function"]


def _differs(part: str, how: str) -> Never:
    raise LedgerError(
        "DPQ-802",
        f"the {part} of the ledger {how}",
        fix="put it back as it was, or restore the ledger from a copy that verifies",
    )
