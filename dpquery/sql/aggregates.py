"""One aggregate of SELECT, HAVING or ORDER BY to what is measured, with the clamp its values get."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, NoReturn

from sqlglot import exp

from dpquery.plan.auto_bounds import WIDEST
from dpquery.plan.expressions import (
    NUMERIC,
    And,
    Case,
    ColumnRef,
    Expression,
    IsNull,
    Not,
    Value,
    columns_in,
    nullable,
)
from dpquery.plan.query import (
    Aggregate,
    Average,
    CountDistinct,
    CountKept,
    CountNumbers,
    CountPairs,
    CountRows,
    CountValues,
    Quantile,
    Sum,
    Variance,
)
from dpquery.plan.ranges import Unbounded, ValueRange, value_range
from dpquery.sql.clauses import one_spelling
from dpquery.sql.functions import written_name
from dpquery.sql.ownership import NUMBER

if TYPE_CHECKING:
    from dpquery.plan.query import Bins
    from dpquery.sql.named_arguments import NamedBounds
    from dpquery.sql.row_expressions import RowResolver
    from dpquery.sql.scope import Rows
    from dpquery.sql.text import QueryText

BOUND_MAX, BOUND_WIDTH_MIN = 1e12, 1e-9
"""Value bounds that a query may give: far from where doubles lose whole numbers or vanish."""
VALUES_MAX = 10_000
"""Declared values of a column whose different values are counted."""

_VARIANCES: dict[type[exp.Expr], tuple[bool, bool]] = {
    exp.Variance: (True, False),
    exp.VariancePop: (False, False),
    exp.Stddev: (True, True),
    exp.StddevSamp: (True, True),
    exp.StddevPop: (False, True),
}
"""Whether the sample's variance is meant, and whether its root is."""

_QUANTILES = (exp.Median, exp.Quantile, exp.PercentileCont, exp.PercentileDisc, exp.ApproxQuantile)
_CLAMPING = (exp.Sum, exp.Avg, exp.Min, exp.Max, exp.WithinGroup, *_QUANTILES)
"""Aggregates whose values are clamped, so that they take bounds."""

_OFFERED = (
    "COUNT(*), COUNT(x), COUNT(DISTINCT caller), SUM(x), AVG(x), VARIANCE(x), STDDEV(x), MEDIAN(x), "
    "QUANTILE_CONT(x, 0.9), MIN(x), MAX(x), COUNTIF(test)"
)
_SPELLINGS = {
    "count": "COUNT(*)",
    "sum": "SUM(talk_s)",
    "avg": "AVG(talk_s)",
    "variance": "VARIANCE(talk_s)",
    "stddev": "STDDEV(talk_s)",
    "median": "MEDIAN(talk_s)",
    "quantile_cont": "QUANTILE_CONT(talk_s, 0.9)",
    "percentile_cont": "PERCENTILE_CONT(talk_s, 0.9)",
    "min": "MIN(talk_s)",
    "max": "MAX(talk_s)",
    "countif": "COUNTIF(talk_s > 60)",
    "fsum": "SUM(talk_s)",
    "approx_distinct": "COUNT(DISTINCT caller)",
}


@dataclass(slots=True)
class AggregateResolver:
    """Aggregates over the rows of the outer SELECT."""

    resolver: RowResolver
    bounds: tuple[NamedBounds, ...] = ()
    used: set[int] = field(default_factory=set)
    """Calls whose named bounds were taken."""

    @property
    def rows(self) -> Rows:
        return self.resolver.rows

    @property
    def text(self) -> QueryText:
        return self.resolver.text

    def aggregate(self, node: exp.Expr) -> Aggregate:
        """The aggregate that `node` asks for; QueryRefused for one that is not known or has no bounds."""
        where, call = self._split(node)
        given = self._given_bounds(call)
        auto = given is not None and given.auto
        match call:
            case exp.Count() if isinstance(call.this, exp.Distinct):
                return self._count_distinct(call, call.this, where)
            case exp.Count():
                counted = self._count(call, where)
                return counted if given is None or not given.per_group else self._count_clamped(counted, given, call)
            case exp.Sum():
                argument = self._filtered(self._number(call), where)
                per_group = given is not None and given.per_group
                return Sum(argument, self._clamp(argument, given, call), per_group, auto)
            case exp.Avg():
                argument = self._filtered(self._number(call), where)
                return Average(argument, self._clamp_rows(argument, given, call), self._bins(argument), auto)
            case exp.Min() | exp.Max() if not call.expressions:
                argument = self._filtered(self._number(call), where)
                fraction = 0.0 if isinstance(call, exp.Min) else 1.0
                clamp = self._clamp_rows(argument, given, call)
                return Quantile(argument, clamp, fraction, self._bins(argument), auto)
            case _ if type(call) in _VARIANCES:
                sample, root = _VARIANCES[type(call)]
                argument = self._filtered(self._number(call), where)
                clamp = self._clamp_rows(argument, given, call)
                return Variance(argument, clamp, self._bins(argument), sample, root, auto)
            case exp.WithinGroup() | exp.Median() | exp.Quantile() | exp.PercentileCont() | exp.PercentileDisc():
                return self._quantile(call, given, where)
            case exp.ApproxQuantile():
                return self._quantile(call, given, where)
            case _:
                self._refuse(call)

    def _split(self, node: exp.Expr) -> tuple[Expression | None, exp.Expr]:
        """The condition of FILTER or COUNTIF, and the call it leaves."""
        if isinstance(node, exp.CountIf):
            if isinstance(node.this, exp.Distinct):
                self._refuse(node)
            star = exp.Count(this=exp.Star())
            star.update_positions(node)
            return self.resolver.condition(node.this), star
        if isinstance(node, exp.Filter):
            where, call = self._split(node.this)
            own = self.resolver.condition(node.expression.this)
            return own if where is None else And((where, own)), call
        return None, node

    def _filtered(self, argument: Expression, where: Expression | None) -> Expression:
        """FILTER keeps the values of some rows: the value where the condition is true, else NULL."""
        return argument if where is None else Case(((where, argument),), None, argument.type)

    def _present(self, where: Expression | None) -> Expression | None:
        return None if where is None else Case(((where, Value(1, "integer")),), None, "integer")

    def _given_bounds(self, node: exp.Expr) -> NamedBounds | None:
        start = node.meta.get("start", node.this.meta.get("start") if isinstance(node.this, exp.Expr) else None)
        found = [bounds for bounds in self.bounds if bounds.call == start]
        if len(found) > 1:
            raise self.text.refuse("DPQ-102", "bounds are given twice", "give them once", node)
        counted = (
            isinstance(node, exp.Count) and not isinstance(node.this, exp.Distinct) and found and found[0].per_group
        )
        if found and (isinstance(node, _CLAMPING) or type(node) in _VARIANCES or counted):
            self.used.add(found[0].call)
        return found[0] if found else None

    def _count(self, node: exp.Count, where: Expression | None) -> CountRows:
        if self.rows.either_party:
            raise self.text.refuse(
                "DPQ-119",
                "either_party shows each row under both of its numbers, so it would count twice",
                f"SELECT COUNT(*) FROM {self.rows.table.name}, or COUNT(DISTINCT number)",
                node,
            )
        if node.expressions:
            raise self.text.refuse("DPQ-108", "COUNT takes one argument", "COUNT(*)", node)
        if node.this is None or isinstance(node.this, exp.Star):
            return CountRows(self._present(where))
        party = self.resolver.party(node.this)
        if party is not None:
            raise self.text.refuse(
                "DPQ-105", f"{node.this.name} is a privacy id", f"COUNT(*), or COUNT(DISTINCT {node.this.name})", node
            )
        argument = self._filtered(self.resolver.value(node.this), where)
        return CountRows(argument if nullable(argument) else None)

    def _count_clamped(self, counted: CountRows, given: NamedBounds, node: exp.Expr) -> Sum:
        """COUNT with bounds per group: the sum of ones, what a number adds to a group clamped."""
        if not (given.low <= 0.0 and given.high >= 1.0 and given.high.is_integer() and given.high <= BOUND_MAX):
            why = "a number's rows in a group are clamped to 0 and a whole number"
            raise self.text.refuse("DPQ-102", why, "contribution_bounds_per_group => (0, 10)", node)
        one = Value(1, "integer")
        argument = one if counted.present is None else Case(((Not(IsNull(counted.present)), one),), None, "integer")
        return Sum(argument, ValueRange(0.0, given.high, 1.0), per_group=True)

    def _count_distinct(self, node: exp.Count, distinct: exp.Distinct, where: Expression | None) -> Aggregate:
        items = list(distinct.expressions)
        if len(items) == 1 and isinstance(items[0], exp.Tuple | exp.Paren):
            items = list(items[0].expressions) if isinstance(items[0], exp.Tuple) else [items[0].this]
        parties = [self.resolver.party(item) for item in items]
        names = tuple(party.name for party in parties if party is not None)
        if len(names) != len(items) and names:
            raise self.text.refuse(
                "DPQ-108", "numbers are counted alone, or in pairs", f"COUNT(DISTINCT {self.rows.privacy_ids[0]})", node
            )
        if len(names) == 1:
            return self._count_numbers(names[0], where, node)
        if len(names) == 2 and set(names) == set(self.rows.parties):
            return CountPairs((names[0], names[1]), self._present(where))
        if len(items) == 1:
            return self._count_values(self._filtered(self.resolver.value(items[0]), where), node)
        example = f"COUNT(DISTINCT {self.rows.privacy_ids[0]})"
        if len(self.rows.parties) == 2:
            example += f", or COUNT(DISTINCT ({', '.join(self.rows.parties)}))"
        raise self.text.refuse("DPQ-108", "COUNT(DISTINCT ...) counts numbers, pairs or one column", example, node)

    def _count_numbers(self, name: str, where: Expression | None, node: exp.Expr) -> Aggregate:
        if name == NUMBER and self.rows.either_party:
            if where is not None:
                raise self.text.refuse("DPQ-108", "put the condition in WHERE", "COUNT(DISTINCT number)", node)
            return CountNumbers()
        return CountDistinct(name, self._present(where))

    def _count_values(self, argument: Expression, node: exp.Expr) -> CountValues:
        from dpquery.plan.domains import values_of

        inner = _unfiltered(argument)
        self._check_countable(inner, node)
        known = values_of(inner, self.rows.columns)
        values = () if known is None else tuple(value for value in known.values if value is not None)
        if not values or len(values) > VALUES_MAX:
            raise self.text.refuse(
                "DPQ-108",
                "different values are counted only of a column whose keys the policy declares",
                f"COUNT(DISTINCT {self.rows.privacy_ids[0]}), or a column with declared keys",
                node,
            )
        return CountValues(argument, values)

    def _check_countable(self, argument: Expression, node: exp.Expr) -> None:
        for name in sorted(columns_in(argument)):
            column = self.rows.columns.get(name)
            if column is not None and not column.selectable:
                raise self.text.refuse(
                    "DPQ-118",
                    f"{self.rows.written(name)} may be filtered on, but its values are not counted",
                    "COUNT(*)",
                    node,
                )

    def _quantile(self, node: exp.Expr, given: NamedBounds | None, where: Expression | None) -> Quantile:
        """MEDIAN(x), QUANTILE_CONT(x, f), PERCENTILE_CONT(x, f), PERCENTILE_CONT(f) WITHIN GROUP (ORDER BY x)."""
        call, value, fraction = node, node.this, node.args.get("quantile") or node.args.get("expression")
        if isinstance(node, exp.WithinGroup):
            call, order = node.this, node.expression
            of_a_quantile = isinstance(call, exp.PercentileCont | exp.PercentileDisc)
            if not of_a_quantile or not isinstance(order, exp.Order) or len(order.expressions) != 1:
                self._refuse(call)
            item = order.expressions[0]
            value, fraction = item.this, call.this
            if item.args.get("desc"):
                raise self.text.refuse("DPQ-108", "values are ordered upwards", "ORDER BY talk_s", node)
        share = 0.5 if isinstance(node, exp.Median) else self._fraction(fraction, node)
        argument = self._filtered(self._numeric(value, node), where)
        clamp = self._clamp_rows(argument, given, call)
        return Quantile(argument, clamp, share, self._bins(argument), given is not None and given.auto)

    def _fraction(self, node: exp.Expr | None, call: exp.Expr) -> float:
        value = self.resolver.value(node) if node is not None else None
        share = value.value if isinstance(value, Value) else None
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0.0 <= share <= 1.0:
            raise self.text.refuse(
                "DPQ-108", "a quantile's fraction is a constant from 0 to 1", "QUANTILE_CONT(talk_s, 0.9)", call
            )
        return float(share)

    def _number(self, node: exp.Expr) -> Expression:
        if isinstance(node.this, exp.Distinct):
            raise self.text.refuse(
                "DPQ-108", "DISTINCT looks at other rows, so it is only counted", f"{node.key.upper()}(talk_s)", node
            )
        return self._numeric(node.this, node)

    def _numeric(self, node: exp.Expr | None, call: exp.Expr) -> Expression:
        if node is None:
            self._refuse(call)
        if self.rows.either_party:
            raise self.text.refuse(
                "DPQ-119",
                "either_party shows each row under both of its numbers, so its values would count twice",
                f"ask {self.rows.table.name} itself",
                call,
            )
        if self.resolver.party(node) is not None:
            raise self.text.refuse(
                "DPQ-105", f"{node.name} is a privacy id: it has no sum or order", f"COUNT(DISTINCT {node.name})", call
            )
        argument = self.resolver.value(node)
        if argument.type not in NUMERIC:
            raise self.text.refuse(
                "DPQ-112",
                f"this is {argument.type}, not a number",
                "COUNTIF(x), or AVG(CASE WHEN x THEN 1 ELSE 0 END)"
                if argument.type == "boolean"
                else "COUNT(x), or CASE WHEN ... THEN 1 ELSE 0 END",
                node,
            )
        return argument

    def _clamp_rows(self, argument: Expression, given: NamedBounds | None, node: exp.Expr) -> ValueRange:
        """The clamp of an aggregate that clamps each value."""
        if given is not None and given.per_group:
            bounds = f"contribution_bounds_per_row => ({given.low:g}, {given.high:g})"
            inside = one_spelling(node.this) if isinstance(node.this, exp.Expr) else "talk_s"
            name = node.key.upper()
            raise self.text.refuse("DPQ-108", f"{name} clamps each value", f"{name}({inside}, {bounds})", node)
        return self._clamp(argument, given, node)

    def _clamp(self, argument: Expression, given: NamedBounds | None, node: exp.Expr) -> ValueRange:
        if given is not None and not given.auto:
            clamp = ValueRange(given.low, given.high, self._grid(argument))
            if not (clamp.high - clamp.low >= BOUND_WIDTH_MIN and max(abs(clamp.low), abs(clamp.high)) <= BOUND_MAX):
                raise self.text.refuse("DPQ-102", "bounds are two numbers, the lower first", "=> (0, 3600)", node)
            return self._with_steps(clamp, node)
        try:
            found = value_range(argument, self.rows.value_ranges)
        except Unbounded as unbounded:
            if given is not None:
                return WIDEST[argument.type]
            raise self._unbounded(unbounded.column, node) from None
        if found.low >= found.high:  # a constant
            found = ValueRange(min(found.low, 0.0), max(found.high, 1.0), found.grid)
        return self._with_steps(found, node)

    def _unbounded(self, column: str | None, node: exp.Expr) -> Exception:
        name = node.key.upper()
        inside = one_spelling(node.this) if isinstance(node.this, exp.Expr) else "talk_s"
        fix = f"{name}({inside}, contribution_bounds_per_row => (0, 3600))"
        known = self.rows.columns.get(column or "")
        written = self.rows.written(column) if column is not None else "this expression"
        if known is not None and known.declared:
            table, _, declared = known.declared.partition(".")
            fix += f"\nor a steward sets  [tables.{table}.columns.{declared}] bounds = [0, 3600]"
        return self.text.refuse(
            "DPQ-102", f"{written} has no bounds, so {name} could reveal one large value", fix, node
        )

    def _with_steps(self, clamp: ValueRange, node: exp.Expr) -> ValueRange:
        """The clamp, given or derived, if two steps of its grid lie within; there is nothing to sum otherwise."""
        if clamp.steps[0] >= clamp.steps[1]:
            why = "no two steps of the grid (whole numbers, for whole numbers) lie within the bounds"
            raise self.text.refuse("DPQ-102", why, "=> (0, 3600)", node)
        return clamp

    def _grid(self, argument: Expression) -> float | None:
        """The grid of an argument whose bounds are given: its own if it is made of whole numbers, else by width."""
        return 1.0 if argument.type == "integer" else None

    def _bins(self, argument: Expression) -> Bins:
        column = self.rows.column_of(_unfiltered(argument))
        return "log" if column is not None and column.bins == "log" else "linear"

    def unit(self, aggregate: Aggregate) -> str | None:
        """The unit shown beside the values of an aggregate."""
        match aggregate:
            case CountRows() | CountKept() | Sum(argument=Value(1) | Case(branches=((_, Value(1)),)), per_group=True):
                return self.rows.table.name if self.rows.per_number is None else "numbers"
            case CountDistinct() | CountNumbers():
                return "numbers"
            case CountPairs():
                return "pairs"
            case CountValues():
                return "values"
            case Variance(root=False):
                return None
            case Sum(argument=argument) | Average(argument=argument) | Quantile(argument=argument):
                return self._unit_of(argument)
            case Variance(argument=argument):
                return self._unit_of(argument)

    def _unit_of(self, argument: Expression) -> str | None:
        column = self.rows.columns.get(argument.name) if isinstance(argument, ColumnRef) else None
        return None if column is None else column.unit

    def _refuse(self, node: exp.Expr) -> NoReturn:
        name = node.name if isinstance(node, exp.AnonymousAggFunc) else written_name(self.text, node)
        near = get_close_matches(name.lower(), _SPELLINGS, n=1, cutoff=0.6)
        raise self.text.refuse(
            "DPQ-108",
            f"{name.upper()[:64]} is not among the supported aggregates",
            _SPELLINGS[near[0]] if near else _OFFERED,
            node,
        )


def _unfiltered(argument: Expression) -> Expression:
    """The values of an argument: where one condition decides between a value and NULL, as FILTER does, the value."""
    if isinstance(argument, Case) and argument.default is None and len(argument.branches) == 1:
        return argument.branches[0][1]
    return argument
