"""Queries from the grammar of what is answered: row expressions, keys, aggregates and every structure, nested freely.

Each piece is made twice, as analysts write it and as plain DuckDB says the same over stored rows, where numbers are
codes and a code below zero names nobody. Nothing here knows what the resolver accepts beyond names and types.
"""

from __future__ import annotations

from dataclasses import dataclass

from grammar_expressions import CONDITIONS, NUMBERS
from grammar_pieces import Made, Pair, Scope, columns_of, joined, put, same
from grammar_rows import CALLS, STRUCTURES, Rows
from hypothesis import strategies as st

AGGREGATES = (
    "count rows",
    "count values",
    "countif",
    "count filter",
    "sum",
    "sum filter",
    "sum bounds",
    "sum per group",
    "avg",
    "avg bounds",
    "variance",
    "stddev",
    "median",
    "quantile",
    "percentile",
    "min",
    "max",
    "distinct id",
    "distinct id filter",
    "distinct pairs",
    "distinct column",
)
KEYS = (
    "column key",
    "day key",
    "truncation key",
    "case key",
    "boolean key",
    "region key",
    "undeclared key",
    "several keys",
)
ANSWERS = ("having", "order by", "limit", "expression")
PRODUCTIONS = frozenset({*STRUCTURES, *CONDITIONS, *NUMBERS, *AGGREGATES, *KEYS, *ANSWERS})


@dataclass(slots=True)
class Maker(Rows):
    """Whole queries."""

    def aggregate(self, scope: Scope) -> tuple[str, Pair]:
        options = [name for name in AGGREGATES if name not in {"sum per group", "distinct pairs"}]
        options += ["sum per group"] * scope.one_owner + ["distinct pairs"] * (len(scope.ids) == 2) + ["count rows"] * 3
        name = self.production(options)
        return name, self._aggregate(scope, name)

    def _aggregate(self, scope: Scope, name: str) -> Pair:
        condition = self.condition(scope, 1) if "filter" in name or name == "countif" else same("TRUE")
        match name:
            case "count rows":
                return same("COUNT(*)")
            case "count values":
                return put("COUNT({})", self.number(scope, 1))
            case "countif":
                return put("COUNTIF({})", condition)
            case "count filter":
                return put("COUNT(*) FILTER (WHERE {})", condition)
            case "sum":
                return put("SUM({})", self.bounded_number(scope, 1))
            case "sum filter":
                return put("SUM({}) FILTER (WHERE {})", self.bounded_number(scope, 0), condition)
            case "sum bounds" | "avg bounds":
                function = name[:3].upper()
                bounds = self.one(["(0, 60)", "(-10, 20)", "(0, 1)", "(-3, 7)"])
                low, high = bounds.strip("()").split(", ")
                clamped = f"CASE WHEN {{0}} < {low} THEN {low} WHEN {{0}} > {high} THEN {high} ELSE {{0}} END"
                return put(
                    f"{function}({{0}}, contribution_bounds_per_row => {bounds})",
                    self.number(scope, 1),
                    plain=f"{function}({clamped})",
                )
            case "sum per group":
                bounds = self.one(["(0, 70)", "(-9, 7)", "(3, 20)"])
                self.exact = False  # plain DuckDB knows no such clamp
                return put(f"SUM({{}}, contribution_bounds_per_group => {bounds})", self.number(scope, 0))
            case "avg":
                return put("AVG({})", self.bounded_number(scope, 1))
            case "variance":
                return put(f"{self.one(['VARIANCE', 'VAR_POP', 'VAR_SAMP'])}({{}})", self.bounded_number(scope, 0))
            case "stddev":
                return put(f"{self.one(['STDDEV', 'STDDEV_POP'])}({{}})", self.bounded_number(scope, 0))
            case "median":
                return put("MEDIAN({})", self.bounded_number(scope, 0))
            case "quantile":
                return put(f"QUANTILE_CONT({{}}, {self.one(['0.1', '0.5', '0.9'])})", self.bounded_number(scope, 0))
            case "percentile":
                return put("PERCENTILE_CONT(0.75) WITHIN GROUP (ORDER BY {})", self.bounded_number(scope, 0))
            case "min" | "max":
                return put(f"{name.upper()}({{}})", self.bounded_number(scope, 0))
            case "distinct id" | "distinct id filter":
                who = self.one(scope.ids)
                counted = Pair(who, f"CASE WHEN {who} >= 0 THEN {who} END")
                only = put(" FILTER (WHERE {})", condition) if "filter" in name else same("")
                return put("COUNT(DISTINCT {}){}", counted, only)
            case "distinct pairs":
                first, second = scope.ids
                known = f"{first} <> -1 AND {second} <> -1"
                return Pair(
                    f"COUNT(DISTINCT ({first}, {second}))",
                    f"COUNT(DISTINCT CASE WHEN {known} THEN ({first}, {second}) END)",
                )
            case _:
                keyed = [c.name for c in scope.columns if c.keyed and c.kind == "text"]
                return put("COUNT(DISTINCT {})", self.one(keyed) if keyed else same("'x'"))

    def key(self, scope: Scope) -> Pair:
        keyed = [c for c in scope.columns if c.keyed and c.kind != "date"]
        times = [c.name for c in scope.columns if c.kind == "time"]
        days = [c.name for c in scope.columns if c.kind == "date" and c.keyed]
        regions = [name for name in scope.ids if name.endswith(("caller", "callee"))]
        options = ["column key"] * 3 * bool(keyed) + ["day key"] * bool(days) + ["truncation key"] * bool(times)
        options += ["case key", "boolean key"] + ["region key"] * bool(regions)
        open_ = [c for c in scope.columns if not c.keyed and (c.kind in {"text", "date"} or c.whole)]
        options += ["undeclared key"] * (scope.one_owner and bool(open_))
        match self.production(options):
            case "column key":
                return self.one(keyed).name
            case "day key":
                return self.one(days)
            case "truncation key":
                return put(
                    f"date_trunc('{self.one(['day', 'week', 'month', 'quarter', 'year'])}', {{}})", self.one(times)
                )
            case "case key":
                return put(
                    "CASE WHEN {} THEN 'yes' WHEN {} THEN 'maybe' END",
                    self.condition(scope, 1),
                    self.condition(scope, 0),
                )
            case "boolean key":
                return put("({})", self.condition(scope, 1))
            case "undeclared key":
                self.exact = False  # which groups show is for their numbers to tell
                column = self.one(open_)
                forms = {"text": ["{}", "upper({})"], "date": ["{}", "{} + 3"], "number": ["{}", "CAST({} AS VARCHAR)"]}
                return put(self.one(forms[column.kind]), column.name)
            case _:
                who = self.one(regions)
                return Pair(f"phone_region({who})", f"{who}_region")

    def select(self) -> Made:
        """A whole query."""
        if self.chance(12):
            return self.calls_per_number()
        scope = self.rows(2)
        keys = [self.key(scope) for _ in range(self.one([0, 0, 1, 1, 2]))]
        if len(keys) > 1:
            self.used.add("several keys")
        made = [self.aggregate(scope) for _ in range(self.one([1, 1, 2, 3]))]
        names = tuple(name for name, _ in made)
        items = [put(f"{{}} AS g{i}", key) for i, key in enumerate(keys)]
        items += [put(f"{{}} AS a{i}", aggregate) for i, (_, aggregate) in enumerate(made)]
        shown = len(made)
        if self.chance(5):
            self.used.add("expression")
            items.append(same(f"COUNT(*) {self.one(['+', '-', '*'])} 2 AS e"))
            names = (*names, "expression")
            shown += 1
        tail = f" GROUP BY {self.one(['ALL', ', '.join(str(i + 1) for i in range(len(keys)))])}" if keys else ""
        if keys and self.chance(6):
            self.used.add("having")
            tail += " HAVING COUNT(*) >= 3"
        plain_tail = tail
        if self.chance(6):
            self.used.add("order by")
            tail += f" ORDER BY {self.one(['a0 DESC', '1', 'COUNT(*)'] if keys else ['a0'])}"
            if self.chance(2):
                self.used.add("limit")
                tail += " LIMIT 5000000"
        text = self.query(scope, items)
        prefix = put("WITH {} ", joined(", ", scope.ctes)) if scope.ctes else same("")
        return Made(
            prefix.ours + text.ours + tail,
            prefix.plain + text.plain + plain_tail,
            len(keys),
            names,
            frozenset(self.used),
            self.exact,
        )

    def calls_per_number(self) -> Made:
        """What rows of two owners allow per number: in any role, how many have so many rows."""
        shape = self.production(["calls per number", "thresholded calls per number", "numbers in any role"])
        scope = Scope(
            Pair(
                "either_party(calls) e",
                "(SELECT caller AS number, * FROM calls WHERE caller >= 0 UNION ALL "
                "SELECT callee, * FROM calls WHERE callee >= 0 AND callee <> caller) e",
            ),
            columns_of("e.", CALLS),
            (),
        )
        if shape == "numbers in any role":
            text = self.query(scope, [same("COUNT(DISTINCT e.number) AS a0")])
            return Made(text.ours, text.plain, 0, (shape,), frozenset(self.used), self.exact)
        items = [same("e.number"), same("COUNT(*) AS n")]
        if shape == "calls per number":
            inner = self.query(scope, items, " GROUP BY e.number")
            text = put("SELECT n AS g0, COUNT(*) AS a0 FROM ({}) t GROUP BY n", inner)
            return Made(text.ours, text.plain, 1, (shape,), frozenset(self.used), self.exact)
        least = self.one([1, 2, 3])
        inner = self.query(scope, items, f" GROUP BY e.number HAVING COUNT(*) >= {least}")
        text = put("SELECT COUNT(*) AS a0 FROM ({}) t", inner)
        return Made(text.ours, text.plain, 0, (shape,), frozenset(self.used), self.exact)


@st.composite
def queries(draw: st.DrawFn) -> Made:
    """Queries of the whole grammar."""
    return Maker(draw).select()
