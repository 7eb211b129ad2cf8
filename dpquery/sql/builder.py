"""Requests built step by step in Python. They become SQL text and take the one path that text takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Generic, TypeVar

from dpquery import arguments
from dpquery.errors import UsageError
from dpquery.plan.query import RequestedBounds
from dpquery.sql.parameters import constant

if TYPE_CHECKING:
    from collections.abc import Callable

    from dpquery.plan.expressions import Constant

Made = TypeVar("Made")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


def literal(value: object) -> str:
    """A Python value as an SQL constant."""
    checked = constant("this value", value).value
    match checked:
        case None:
            return "NULL"
        case bool():
            return "TRUE" if checked else "FALSE"
        case int() | float():
            return repr(checked)
        case str():
            return "'" + checked.replace("'", "''") + "'"
        case datetime():
            return f"TIMESTAMP '{checked.isoformat(sep=' ')}'"
        case date():
            return f"DATE '{checked.isoformat()}'"


def equality(name: str, value: Constant | Sequence[Constant]) -> str:
    """The test that a column equals a value, or one of several."""
    if value is None:
        return f"{named(name)} IS NULL"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray):
        return f"{named(name)} IN ({', '.join(literal(member) for member in value)})"
    return f"{named(name)} = {literal(value)}"


def named(name: str) -> str:
    """A column or table name that needs no quotes."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError("DPQ-002", f"{str(name)[:64]!r} is not a name", fix="names are letters, digits and _")
    return name


@dataclass(frozen=True, slots=True)
class TableRequest(Generic[Made]):
    """`db.table("calls").where("direction = 'inbound'").group_by("queue").count(name="calls")`.

    Each step gives a new request. `.sql` is the text it stands for, and `.query()` the query to preview and run.
    """

    table: str
    make: Callable[[str, RequestedBounds | None], Made] = field(repr=False)
    conditions: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    aggregates: tuple[str, ...] = ()
    bounds: RequestedBounds | None = None

    def where(self, condition: str = "", **equals: Constant | Sequence[Constant]) -> TableRequest[Made]:
        """Keep rows that meet `condition` (SQL) and whose columns equal the keyword values, or one of a list."""
        # On lines of its own, so that a comment in it ends where it does.
        text = arguments.text(condition, "a condition", example="where(\"direction = 'inbound'\")")
        given = (f"(\n{text}\n)",) if text else ()
        tests = tuple(equality(name, value) for name, value in equals.items())
        return replace(self, conditions=(*self.conditions, *given, *tests))

    def group_by(self, *keys: str) -> TableRequest[Made]:
        """One answer for each combination of these keys."""
        named_keys = (arguments.text(key, "a key", example='group_by("queue")') for key in keys)
        return replace(self, keys=(*self.keys, *named_keys))

    def count(self, expression: str = "*", *, name: str | None = None) -> TableRequest[Made]:
        """COUNT of rows, or of rows where `expression` is not NULL."""
        return self._aggregate(f"COUNT({_expression(expression)})", name)

    def count_distinct(self, party: str, *, name: str | None = None) -> TableRequest[Made]:
        """COUNT of different protected numbers in the role `party`."""
        return self._aggregate(f"COUNT(DISTINCT {named(party)})", name)

    def sum(
        self,
        expression: str,
        *,
        per_row: tuple[float, float] | None = None,
        per_group: tuple[float, float] | None = None,
        name: str | None = None,
    ) -> TableRequest[Made]:
        """SUM, each value clamped to the policy's bounds or to `per_row`; `per_group` clamps a number's sum."""
        return self._aggregate(f"SUM({_expression(expression)}{_clamp(per_row, per_group)})", name)

    def avg(
        self, expression: str, *, per_row: tuple[float, float] | None = None, name: str | None = None
    ) -> TableRequest[Made]:
        """AVG, each value clamped to the policy's bounds or to `per_row`."""
        return self._aggregate(f"AVG({_expression(expression)}{_clamp(per_row, None)})", name)

    def bounded(
        self, *, max_rows: int | None = None, max_groups: int | None = None, max_rows_per_group: int | None = None
    ) -> TableRequest[Made]:
        """Ask for smaller contribution bounds than the policy's: less noise, more rows left out."""
        asked = RequestedBounds(
            _whole(max_rows, "max_rows"),
            _whole(max_groups, "max_groups"),
            _whole(max_rows_per_group, "max_rows_per_group"),
        )
        return replace(self, bounds=asked)

    @property
    def sql(self) -> str:
        """The SQL that this request stands for."""
        selected = ", ".join((*self.keys, *self.aggregates)) or "COUNT(*)"
        where = f" WHERE {' AND '.join(self.conditions)}" if self.conditions else ""
        group = f" GROUP BY {', '.join(self.keys)}" if self.keys else ""
        return f"SELECT {selected} FROM {named(self.table)}{where}{group}"

    def query(self) -> Made:
        """The query, checked; free."""
        return self.make(self.sql, self.bounds)

    def _aggregate(self, call: str, name: str | None) -> TableRequest[Made]:
        text = call if name is None else f"{call} AS {named(name)}"
        return replace(self, aggregates=(*self.aggregates, text))


def _clamp(per_row: tuple[float, float] | None, per_group: tuple[float, float] | None) -> str:
    if per_row is not None and per_group is not None:
        raise UsageError("DPQ-002", "give per_row or per_group, not both", fix="leave one out")
    if per_row is not None:
        return f", contribution_bounds_per_row => {_bounds(per_row, 'per_row')}"
    if per_group is not None:
        return f", contribution_bounds_per_group => {_bounds(per_group, 'per_group')}"
    return ""


def _bounds(given: object, name: str) -> str:
    example = f"{name}=(0, 60)"
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise UsageError("DPQ-002", f"{name} is a pair of numbers", fix=example)
    low, high = (arguments.finite(end, name, example=example) for end in given)
    return f"({low!r}, {high!r})"


def _whole(given: object, name: str) -> int | None:
    return None if given is None else arguments.whole(given, name, example=f"{name}=10")


def _expression(given: object) -> str:
    return arguments.text(given, "what is aggregated", example='sum("talk_s")')
