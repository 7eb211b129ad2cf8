"""Parsed row expressions to ours. What is not matched here does not exist for an analyst."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, NoReturn, cast

from sqlglot import exp

from dpquery.plan.expressions import (
    NUMERIC,
    And,
    Arithmetic,
    ArithmeticOperator,
    Case,
    Coalesce,
    ColumnRef,
    Comparison,
    ComparisonOperator,
    Expression,
    InList,
    IsNull,
    Like,
    Not,
    Or,
    TimeTruncation,
    TimeUnit,
    Value,
    ValueType,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dpquery.plan.catalog import NamedColumn, NamedTable
    from dpquery.sql.text import QueryText

_ARITHMETIC: dict[type[exp.Expr], ArithmeticOperator] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/"}
_COMPARISON: dict[type[exp.Expr], ComparisonOperator] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
}
_FLIPPED: dict[ComparisonOperator, ComparisonOperator] = {
    "=": "=",
    "<>": "<>",
    "<": ">",
    "<=": ">=",
    ">": "<",
    ">=": "<=",
}
_UNITS: dict[str, TimeUnit] = {"HOUR": "hour", "DAY": "day", "WEEK": "week", "MONTH": "month"}

YEAR_FIRST, YEAR_LAST = 1900, 2999
"""Years that literals may name: far from the ends of the calendar, so that adding a day cannot overflow."""

WILDCARDS_MAX = 8
"""Wildcards of one LIKE: the time a pattern takes must not depend on a row by much."""

_VOLATILE = ("now", "current_date", "current_timestamp", "today", "random", "uuid", "get_current_time")


@dataclass(frozen=True, slots=True)
class RowResolver:
    """Resolves names against one table. `sensitive_allowed` are the sensitive columns that the purpose names."""

    table: NamedTable
    text: QueryText
    alias: str | None = None
    sensitive_allowed: frozenset[str] = frozenset()

    def condition(self, node: exp.Expr) -> Expression:
        """A boolean row expression."""
        resolved = self.value(node)
        if resolved.type != "boolean":
            raise self.text.refuse("DPQ-112", "this is not a condition", "compare it: talk_s > 0", node)
        return resolved

    def value(self, node: exp.Expr) -> Expression:
        """A row expression of any type; QueryRefused for anything outside the allow-list."""
        if isinstance(node, exp.Paren):
            return self.value(node.this)
        if type(node) in _ARITHMETIC:
            return self._arithmetic(cast("exp.Binary", node), _ARITHMETIC[type(node)])
        if type(node) in _COMPARISON:
            return self._comparison(cast("exp.Binary", node), _COMPARISON[type(node)])
        handler = _HANDLERS.get(type(node))
        if handler is None:
            self._refuse_construct(node)
        return handler(self, node)

    def column(self, node: exp.Column) -> NamedColumn:
        """The column that `node` names, whatever its role; QueryRefused if there is none."""
        name = node.name if node.this.args.get("quoted") else node.name.lower()
        qualifier = node.table.lower() if node.table else None
        if node.args.get("db") or (qualifier is not None and qualifier not in {self.table.name, self.alias}):
            raise self.text.refuse("DPQ-104", "there is no such table in this query", f"write {node.name} alone", node)
        if name not in self.table.columns:
            near = get_close_matches(name, self.table.columns, n=1, cutoff=0.5)
            offer = near[0] if near else "one of " + ", ".join(self.table.columns)
            raise self.text.refuse("DPQ-104", f"{self.table.name} has no column {name[:64]}", f"write {offer}", node)
        return self.table.columns[name]

    def _column_value(self, node: exp.Expr) -> Expression:
        column = self.column(cast("exp.Column", node))
        if column.role == "party":
            raise self.text.refuse(
                "DPQ-105",
                f"{column.name} is a privacy id: it cannot be selected, grouped, compared or aggregated",
                f"COUNT(DISTINCT {column.name}), or group by {column.name}_region",
                node,
            )
        if column.sensitive and column.name not in self.sensitive_allowed:
            raise self.text.refuse(
                "DPQ-118",
                f"{column.name} is sensitive, and this purpose does not name it",
                f'a steward adds sensitive = ["{self.table.name}.{column.name}"] to the purpose',
                node,
            )
        return ColumnRef(column.name, column.type)

    def _literal(self, node: exp.Expr) -> Expression:
        literal = cast("exp.Literal", node)
        if literal.is_string:
            return Value(literal.name, "text")
        try:
            whole = int(literal.name)
        except ValueError:
            number = float(literal.name)
            if not math.isfinite(number):
                raise self.text.refuse("DPQ-112", "this number is too large", "write a smaller one", node) from None
            return Value(number, "decimal")
        if abs(whole) >= 2**63:
            raise self.text.refuse("DPQ-112", "this number does not fit in 64 bits", "write a smaller one", node)
        return Value(whole, "integer")

    def _boolean(self, node: exp.Expr) -> Expression:
        return Value(bool(cast("exp.Boolean", node).this), "boolean")

    def _null(self, _node: exp.Expr) -> Expression:
        return Value(None, "boolean")

    def _cast(self, node: exp.Expr) -> Expression:
        """DATE '...', TIMESTAMP '...', and CAST(time AS DATE): no other cast is total in every engine."""
        target = cast("exp.Cast", node).to.this
        if isinstance(node, exp.TryCast) or target not in {exp.DType.DATE, exp.DType.TIMESTAMP, exp.DType.TIMESTAMPNTZ}:
            self._refuse_construct(node)
        kind: ValueType = "date" if target is exp.DType.DATE else "timestamp"
        return self._as_time(node.this, kind, node)

    def _date_function(self, node: exp.Expr) -> Expression:
        if node.args.get("expressions") or node.args.get("zone"):
            self._refuse_construct(node)
        return self._as_time(node.this, "date", node)

    def _as_time(self, inner: exp.Expr, kind: ValueType, node: exp.Expr) -> Expression:
        if isinstance(inner, exp.Literal) and inner.is_string:
            return self._time_constant(inner.name, kind, node)
        value = self.value(inner)
        if kind == "date" and value.type in {"timestamp", "date"}:
            return value if value.type == "date" else TimeTruncation("day", value, "date")
        if kind == value.type:
            return value
        self._refuse_construct(node)

    def _time_constant(self, text: str, kind: ValueType, node: exp.Expr) -> Value:
        try:
            moment = datetime.fromisoformat(text.strip())
        except ValueError:
            raise self.text.refuse(
                "DPQ-112",
                "this text is not a date or time",
                "DATE '2026-01-31' or TIMESTAMP '2026-01-31 09:00:00'",
                node,
            ) from None
        if moment.tzinfo is not None or not YEAR_FIRST <= moment.year <= YEAR_LAST:
            raise self.text.refuse(
                "DPQ-112", "times are UTC without an offset, from 1900 to 2999", "TIMESTAMP '2026-01-31 09:00:00'", node
            )
        return Value(moment.date() if kind == "date" else moment, kind)

    def _negation(self, node: exp.Expr) -> Expression:
        item = self.value(node.this)
        if isinstance(item, Value) and isinstance(item.value, (int, float)) and not isinstance(item.value, bool):
            return Value(-item.value, item.type)
        self._need_number(item, node.this)
        return Arithmetic("-", Value(0, "integer"), item, item.type)

    def _arithmetic(self, node: exp.Binary, operator: ArithmeticOperator) -> Expression:
        left, right = self.value(node.left), self.value(node.right)
        self._need_number(left, node.left)
        self._need_number(right, node.right)
        whole = operator != "/" and left.type == right.type == "integer"
        return Arithmetic(operator, left, right, "integer" if whole else "decimal")

    def _comparison(self, node: exp.Binary, operator: ComparisonOperator) -> Expression:
        left, right = self.value(node.left), self.value(node.right)
        left, right = self._alike(left, right, node)
        if isinstance(left, Value) and not isinstance(right, Value):
            left, right, operator = right, left, _FLIPPED[operator]
        return Comparison(operator, left, right)

    def _between(self, node: exp.Expr) -> Expression:
        if node.args.get("symmetric"):
            self._refuse_construct(node)
        item = self.value(node.this)
        low_item, low = self._alike(item, self.value(node.args["low"]), node)
        high_item, high = self._alike(item, self.value(node.args["high"]), node)
        return And((Comparison(">=", low_item, low), Comparison("<=", high_item, high)))

    def _in(self, node: exp.Expr) -> Expression:
        if node.args.get("query") or node.args.get("unnest") or node.args.get("field") or not node.expressions:
            self._refuse_construct(node)
        item = self.value(node.this)
        values: list[Value] = []
        for member in node.expressions:
            _, value = self._alike(item, self.value(member), member)
            if not isinstance(value, Value) or value.value is None:
                raise self.text.refuse(
                    "DPQ-108", "IN takes a list of constants", "queue IN ('sales', 'billing')", member
                )
            values.append(value)
        return InList(item, tuple(values))

    def _and(self, node: exp.Expr) -> Expression:
        return And(tuple(self.condition(part) for part in node.flatten()))

    def _or(self, node: exp.Expr) -> Expression:
        return Or(tuple(self.condition(part) for part in node.flatten()))

    def _not(self, node: exp.Expr) -> Expression:
        return Not(self.condition(node.this))

    def _is(self, node: exp.Expr) -> Expression:
        right = node.args["expression"]
        negated = isinstance(right, exp.Not)
        target = right.this if negated else right
        if not isinstance(target, exp.Null):
            self._refuse_construct(node)
        test = IsNull(self.value(node.this))
        return Not(test) if negated else test

    def _like(self, node: exp.Expr) -> Expression:
        item = self.value(node.this)
        pattern = node.args["expression"]
        if item.type != "text" or not (isinstance(pattern, exp.Literal) and pattern.is_string) or "\\" in pattern.name:
            raise self.text.refuse("DPQ-112", "LIKE compares text with a constant pattern", "queue LIKE 'sal%'", node)
        if sum(pattern.name.count(wildcard) for wildcard in "%_") > WILDCARDS_MAX:
            raise self.text.refuse(
                "DPQ-114", f"a pattern has at most {WILDCARDS_MAX} wildcards", "use fewer % and _", node
            )
        return Like(item, pattern.name)

    def _case(self, node: exp.Expr) -> Expression:
        operand = node.args.get("this")
        branches: list[tuple[Expression, Expression]] = []
        for branch in node.args["ifs"]:
            if operand is None:
                test = self.condition(branch.this)
            else:
                left, right = self._alike(self.value(operand), self.value(branch.this), branch)
                test = Comparison("=", left, right)
            branches.append((test, self.value(branch.args["true"])))
        default = node.args.get("default")
        return self._branches(branches, None if default is None else self.value(default), node)

    def _if(self, node: exp.Expr) -> Expression:
        otherwise = node.args.get("false")
        branch = (self.condition(node.this), self.value(node.args["true"]))
        return self._branches([branch], None if otherwise is None else self.value(otherwise), node)

    def _branches(
        self, branches: list[tuple[Expression, Expression]], default: Expression | None, node: exp.Expr
    ) -> Expression:
        kind = self._common_type([value for _, value in branches] + ([] if default is None else [default]), node)
        return Case(tuple(branches), default, kind)

    def _coalesce(self, node: exp.Expr) -> Expression:
        items = tuple(self.value(part) for part in (node.this, *node.expressions))
        return Coalesce(items, self._common_type(list(items), node))

    def _nullif(self, node: exp.Expr) -> Expression:
        item, other = self._alike(self.value(node.this), self.value(node.args["expression"]), node)
        return Case(((Comparison("=", item, other), Value(None, item.type)),), item, item.type)

    def _truncation(self, node: exp.Expr) -> Expression:
        unit = node.args.get("unit")
        item = self.value(node.this)
        name = unit.name.upper() if unit is not None else ""
        if name not in _UNITS or self.text.arguments(node) != 2 or item.type not in {"timestamp", "date"}:
            raise self.text.refuse(
                "DPQ-108", "date_trunc takes hour, day, week or month, and a time", "date_trunc('day', start_ts)", node
            )
        return TimeTruncation(_UNITS[name], item, "timestamp")

    def _common_type(self, items: list[Expression], node: exp.Expr) -> ValueType:
        kinds = {item.type for item in items if not (isinstance(item, Value) and item.value is None)}
        if not kinds:
            return "boolean"
        if kinds <= NUMERIC:
            return "integer" if kinds == {"integer"} else "decimal"
        if len(kinds) > 1:
            raise self.text.refuse("DPQ-112", "the branches have different types", "give them one type", node)
        return kinds.pop()

    def _alike(self, left: Expression, right: Expression, node: exp.Expr) -> tuple[Expression, Expression]:
        """Both sides in comparable types: text constants become dates or times beside one."""
        for item, other in ((left, right), (right, left)):
            if isinstance(item, Value) and isinstance(item.value, str) and other.type in {"date", "timestamp"}:
                kind: ValueType = "timestamp" if ":" in item.value else other.type
                constant = self._time_constant(item.value, kind, node)
                left, right = (constant, right) if item is left else (left, constant)
        kinds = {item.type for item in (left, right) if not (isinstance(item, Value) and item.value is None)}
        if len(kinds) == 1 or not kinds or kinds <= NUMERIC or kinds <= {"date", "timestamp"}:
            return left, right
        raise self.text.refuse(
            "DPQ-112", f"{left.type} and {right.type} cannot be compared", "compare values of one type", node
        )

    def _need_number(self, item: Expression, node: exp.Expr) -> None:
        if item.type not in NUMERIC:
            raise self.text.refuse(
                "DPQ-112", f"arithmetic needs numbers, this is {item.type}", "use a numeric column", node
            )

    def _refuse_construct(self, node: exp.Expr) -> NoReturn:
        if isinstance(node, exp.Placeholder | exp.Parameter | exp.SessionParameter):
            raise self.text.refuse("DPQ-113", "this parameter has no value", "write the value itself", node)
        if isinstance(node, exp.Star):
            raise self.text.refuse("DPQ-106", "* names rows, and rows never leave", "SELECT COUNT(*) FROM calls", node)
        if isinstance(node, exp.AggFunc):
            raise self.text.refuse("DPQ-108", "an aggregate cannot stand inside a row expression", "move it out", node)
        name = node.name.lower() if isinstance(node, exp.Anonymous) else node.key.replace("_", " ")
        if name.replace(" ", "_") in _VOLATILE or isinstance(node, exp.CurrentDate | exp.CurrentTimestamp | exp.Rand):
            why = "the answer must not depend on when or how often it is asked"
            raise self.text.refuse("DPQ-108", why, "write the date: DATE '2026-01-31'", node)
        raise self.text.refuse(
            "DPQ-108",
            f"{name[:64]} is not among the functions and operators that are known to be total",
            "use + - * /, comparisons, AND OR NOT, CASE, COALESCE, NULLIF, IN, BETWEEN, LIKE, IS NULL, date_trunc",
            node,
        )


_HANDLERS: Mapping[type[exp.Expr], Callable[[RowResolver, exp.Expr], Expression]] = {
    exp.Column: RowResolver._column_value,
    exp.Literal: RowResolver._literal,
    exp.Boolean: RowResolver._boolean,
    exp.Null: RowResolver._null,
    exp.Cast: RowResolver._cast,
    exp.Date: RowResolver._date_function,
    exp.TsOrDsToDate: RowResolver._date_function,
    exp.Neg: RowResolver._negation,
    exp.Between: RowResolver._between,
    exp.In: RowResolver._in,
    exp.And: RowResolver._and,
    exp.Or: RowResolver._or,
    exp.Not: RowResolver._not,
    exp.Is: RowResolver._is,
    exp.Like: RowResolver._like,
    exp.Case: RowResolver._case,
    exp.If: RowResolver._if,
    exp.Coalesce: RowResolver._coalesce,
    exp.Nullif: RowResolver._nullif,
    exp.TimestampTrunc: RowResolver._truncation,
    exp.DateTrunc: RowResolver._truncation,
}
"""The allow-list: a node whose class is not here is refused."""
