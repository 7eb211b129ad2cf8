"""SQLAlchemy dialect `dpquery:///DIR?analyst=ana&purpose=network_planning&epsilon=0.2`.

Only statements that a caller executes spend. What SQLAlchemy asks by itself (ping, version, tables, columns) is
answered from the policy, without a statement.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy
from sqlalchemy import exc, types
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.sql.compiler import IdentifierPreparer, SQLCompiler

from dpquery.tools.dbapi_errors import InterfaceError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from sqlalchemy import URL, Connection
    from sqlalchemy.engine.interfaces import (
        ConnectArgsType,
        DBAPIConnection,
        DBAPICursor,
        DBAPIModule,
        IsolationLevel,
        ReflectedColumn,
        ReflectedPrimaryKeyConstraint,
        ReflectedTableComment,
    )
    from sqlalchemy.types import TypeEngine

    from dpquery.documents import TableColumn, TableEntry
    from dpquery.tools.dbapi_objects import AnyConnection

SCHEMA = "main"
"""The one schema that there is; statements do not name it."""

POLICY_CHANGED = "DPQ-516"
"""A session was checked by an older policy. The pool then lets it go, so that the next statement connects anew."""

FORM = "dpquery:///DIR?analyst=NAME&purpose=NAME  (four slashes before an absolute path)"

PYTHON = "DPQUERY_PYTHON"
"""Environment variable with the Python that asks the store, where this one has libraries that are too old for it."""

COLUMN_TYPES: Mapping[str, type[TypeEngine[Any]]] = {
    "text": types.String,
    "integer": types.BigInteger,
    "decimal": types.Float,
    "boolean": types.Boolean,
    "date": types.Date,
    "timestamp": types.DateTime,
}
"""Each type that a policy gives to a column, with SQLAlchemy's."""


def _no_schema(_table: Any, /) -> str:
    return ""


class DpqueryIdentifierPreparer(IdentifierPreparer):
    """Leaves the schema out: the engine reads the names of tables alone."""

    schema_for_object = staticmethod(_no_schema)


class DpqueryCompiler(SQLCompiler):
    """Statements as the engine reads them: LIMIT takes a number, never a parameter, and ILIKE is itself."""

    def limit_clause(self, select: Any, **kw: Any) -> str:
        limit, offset = select._limit_clause, select._offset_clause  # noqa: SLF001 - what compilers are given
        text = "" if limit is None else "\n LIMIT " + self.process(limit.render_literal_execute(), **kw)
        return text if offset is None else text + "\n OFFSET " + self.process(offset.render_literal_execute(), **kw)

    def visit_ilike_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        del operator
        return self._compared(binary, "ILIKE", **kw)

    def visit_not_ilike_op_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        del operator
        return self._compared(binary, "NOT ILIKE", **kw)

    def _compared(self, binary: Any, word: str, **kw: Any) -> str:
        text = f"{self.process(binary.left, **kw)} {word} {self.process(binary.right, **kw)}"
        escape = binary.modifiers.get("escape")
        return text if escape is None else f"{text} ESCAPE {self.render_literal_value(escape, types.STRINGTYPE)}"


class DpqueryDialect(DefaultDialect):
    """SQLAlchemy's view of a store, through dpquery.dbapi."""

    name = "dpquery"
    driver = "dpquery"
    default_paramstyle = "named"
    statement_compiler = DpqueryCompiler
    preparer = DpqueryIdentifierPreparer
    supports_statement_cache = True
    supports_native_boolean = True
    supports_native_decimal = False
    supports_alter = False
    supports_sequences = False
    supports_default_values = False
    insert_returning = False
    max_identifier_length = 128

    @classmethod
    def import_dbapi(cls) -> DBAPIModule:
        """dpquery.dbapi, or its like over another Python if DPQUERY_PYTHON names one."""
        module: ModuleType
        if os.environ.get(PYTHON):
            from dpquery.tools import other_python as module
        elif sqlalchemy.__version__.startswith("1."):
            raise InterfaceError(
                "DPQ-002",
                f"SQLAlchemy {sqlalchemy.__version__} is too old for the ledger",
                fix=f"{PYTHON}=/path/to/python, one in whose environment dpquery is installed with all it needs",
            )
        else:
            from dpquery import dbapi as module
        return cast("DBAPIModule", module)

    @classmethod
    def dbapi(cls) -> DBAPIModule:  # type: ignore[override]
        """What SQLAlchemy 1.4 calls `import_dbapi`; an instance has the module itself under this name."""
        return cls.import_dbapi()

    def create_connect_args(self, url: URL) -> ConnectArgsType:
        """Folder, analyst, purpose and price from the URL; InterfaceError for anything else in it."""
        if url.host or url.username or url.password or url.port or not url.database:
            raise InterfaceError("DPQ-002", "the URL does not name a folder and nothing else", fix=FORM)
        options = dict(url.query)
        named = {name: _text(options, name) for name in ("analyst", "purpose")}
        prices = {name: _number(options, name) for name in ("epsilon", "within")}
        if options:
            raise InterfaceError(
                "DPQ-002",
                f"the URL has an option that is not known: {', '.join(sorted(options))[:64]}",
                fix="analyst, purpose, epsilon, within",
            )
        return (url.database,), named | prices

    def do_ping(self, dbapi_connection: DBAPIConnection) -> bool:
        """Whether the connection is open; asks nothing of the store."""
        dbapi_connection.commit()
        return True

    def is_disconnect(self, e: Exception, connection: Any, cursor: DBAPICursor | None) -> bool:
        del connection, cursor
        return getattr(e, "code", None) == POLICY_CHANGED

    def do_begin(self, dbapi_connection: Any) -> None:
        """Do nothing: there are no transactions."""

    def do_rollback(self, dbapi_connection: Any) -> None:
        """Undo every SET; a pool does this with each connection that it gets back. A charge is final."""
        dbapi_connection.reset()

    def get_isolation_level_values(self, dbapi_conn: DBAPIConnection) -> list[IsolationLevel]:
        """AUTOCOMMIT alone: a charge is final as soon as it is made."""
        del dbapi_conn
        return ["AUTOCOMMIT"]

    def get_isolation_level(self, dbapi_connection: DBAPIConnection) -> IsolationLevel:
        del dbapi_connection
        return "AUTOCOMMIT"

    def set_isolation_level(self, dbapi_connection: DBAPIConnection, level: IsolationLevel) -> None:
        """Do nothing: SQLAlchemy has checked that it is the only level there is."""

    def get_default_isolation_level(self, dbapi_conn: DBAPIConnection) -> IsolationLevel:
        return self.get_isolation_level(dbapi_conn)

    def _get_server_version_info(self, connection: Connection) -> tuple[int, ...]:
        del connection
        return tuple(int(part) for part in version("dpquery").split(".") if part.isdigit())

    def _get_default_schema_name(self, connection: Connection) -> str:
        del connection
        return SCHEMA

    def get_schema_names(self, connection: Connection, **kw: Any) -> list[str]:
        del connection, kw
        return [SCHEMA]

    def has_schema(self, connection: Connection, schema_name: str, **kw: Any) -> bool:
        del connection, kw
        return schema_name == SCHEMA

    def get_table_names(self, connection: Connection, schema: str | None = None, **kw: Any) -> list[str]:
        """The tables that this purpose may ask; public ones hold no numbers and are not asked."""
        del kw
        return list(_tables(connection, schema))

    def has_table(self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any) -> bool:
        del kw
        return table_name in _tables(connection, schema)

    def get_columns(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[ReflectedColumn]:
        """The columns that the policy declares or derives; each comment says what a query may do with it."""
        del kw
        return [_column(column) for column in _table(connection, table_name, schema).columns]

    def get_table_comment(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> ReflectedTableComment:
        del kw
        period = _table(connection, table_name, schema).period
        return {"text": None if period is None else f"{period[0]} to {period[1]}"}

    def get_pk_constraint(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> ReflectedPrimaryKeyConstraint:
        """None: nothing names one row."""
        del kw
        _table(connection, table_name, schema)
        return {"constrained_columns": [], "name": None}

    def get_foreign_keys(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[Any]:
        return self._nothing(connection, table_name, schema, **kw)

    def get_indexes(self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any) -> list[Any]:
        return self._nothing(connection, table_name, schema, **kw)

    def get_unique_constraints(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[Any]:
        return self._nothing(connection, table_name, schema, **kw)

    def get_check_constraints(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> list[Any]:
        return self._nothing(connection, table_name, schema, **kw)

    def get_table_options(
        self, connection: Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> dict[str, Any]:
        del kw
        _table(connection, table_name, schema)
        return {}

    def get_view_names(self, connection: Connection, schema: str | None = None, **kw: Any) -> list[str]:
        del connection, schema, kw
        return []

    def get_materialized_view_names(self, connection: Connection, schema: str | None = None, **kw: Any) -> list[str]:
        del connection, schema, kw
        return []

    def get_view_definition(self, connection: Connection, view_name: str, schema: str | None = None, **kw: Any) -> str:
        del connection, schema, kw
        raise exc.NoSuchTableError(view_name)

    def get_temp_table_names(self, connection: Connection, schema: str | None = None, **kw: Any) -> list[str]:
        del connection, schema, kw
        return []

    def get_temp_view_names(self, connection: Connection, schema: str | None = None, **kw: Any) -> list[str]:
        del connection, schema, kw
        return []

    def get_sequence_names(self, connection: Connection, schema: str | None = None, **kw: Any) -> list[str]:
        del connection, schema, kw
        return []

    def _nothing(self, connection: Connection, table_name: str, schema: str | None, **kw: Any) -> list[Any]:
        """Nothing to tell of a table that exists."""
        del kw
        _table(connection, table_name, schema)
        return []


def _text(options: dict[str, Any], name: str) -> str:
    value = options.pop(name, None)
    if not isinstance(value, str) or not value:
        raise InterfaceError("DPQ-002", f"the URL names {name} once", fix=FORM)
    return value


def _number(options: dict[str, Any], name: str) -> float | None:
    value = options.pop(name, None)
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InterfaceError("DPQ-002", f"{name} in the URL is not a number", fix=f"{name}=0.2") from None


def _tables(connection: Connection, schema: str | None) -> Mapping[str, TableEntry]:
    """The tables that the connection's purpose may ask, by name; none in a schema that does not exist."""
    if schema not in {None, SCHEMA}:
        return {}
    return cast("AnyConnection", connection.connection.dbapi_connection).tables()


def _table(connection: Connection, name: str, schema: str | None) -> TableEntry:
    found = _tables(connection, schema).get(name)
    if found is None:
        raise exc.NoSuchTableError(name)
    return found


def _column(column: TableColumn) -> ReflectedColumn:
    return {
        "name": column.name,
        "type": COLUMN_TYPES[column.type](),
        "nullable": True,
        "default": None,
        "autoincrement": False,
        "comment": _comment(column),
    }


def _comment(column: TableColumn) -> str:
    """What a query may do with the column, in a few words."""
    if column.role == "party":
        return f"phone number: COUNT(DISTINCT {column.name}) and nothing else"
    facts = [] if column.keys is None else [f"key with {column.keys:,} values"]
    if column.bounds is not None:
        unit = f" {column.unit}" if column.unit else ""
        facts.append(f"clamped to {column.bounds[0]:g} to {column.bounds[1]:g}{unit}")
    if column.place is not None:
        facts.append(f"place ({column.place})")
    if column.sensitive:
        facts.append("sensitive")
    return "; ".join(facts) or "for conditions"
