"""Structures of generated queries: tables, and queries, joins and unions over them, nested freely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from grammar_expressions import Expressions
from grammar_pieces import Column, Kind, Pair, Scope, columns_of, joined, put, same

CALLS = (
    "service:t:k direction:t:k talk_s:n:bi score:n:bi cost:n:b cell_id:t:k answered:b:k free_text:t agent_id:t "
    "start_ts:s day:d:k local_hour:n:kbi local_dow:n:kbi caller_region:t:k callee_region:t:k caller_kind:t:k "
    "callee_type:t"
)
LEGS = (
    "role:t:k region:t:k own_number_type:t service:t:k direction:t:k talk_s:n:bi score:n:bi cell_id:t:k answered:b:k "
    "start_ts:s day:d:k local_hour:n:kbi local_dow:n:kbi"
)
SUBSCRIBERS = "age_band:t:k number_region:t:k"
DNC = "list_name:t:k number_region:t:k"
CELLS = "area:t:k masts:n:bi"

ONE_OWNER = (
    "{}direction = 'inbound'",
    "{}direction IN ('inbound')",
    "{}direction <> 'p2p'",
    "{}direction IN ('outbound', 'inbound')",
)

STRUCTURES = (
    "calls",
    "one owner",
    "legs",
    "subscribers",
    "dnc",
    "cte",
    "projection",
    "renamed ids",
    "union all",
    "people join",
    "people left join",
    "public join",
    "public left join",
    "public using",
    "per number",
    "per number keys",
    "per number having",
    "per number distinct",
    "nested per number",
    "per number join",
    "calls per number",
    "thresholded calls per number",
    "numbers in any role",
)
MEASURES = ("count", "count value", "count filter", "count distinct", "sum", "avg", "min", "max", "mode")


@dataclass(slots=True)
class Rows(Expressions):
    """Rows to aggregate."""

    def rows(self, depth: int) -> Scope:
        """Rows to aggregate: a table, or a structure over other rows."""
        simple = ["calls"] * 3 + ["one owner"] * 3 + ["legs"] * 2 + ["subscribers", "dnc"]
        nested = ["cte", "projection", "renamed ids", "union all", "people join", "people left join", "public join"]
        nested += ["public left join", "public using", "per number", "per number", "per number keys"]
        nested += ["per number having", "per number distinct", "nested per number", "per number join"]
        match self.production(simple + (nested * 2 if depth > 0 else [])):
            case "calls" | "one owner" | "legs" | "subscribers" | "dnc" as name:
                return self.table(name)
            case "cte" | "projection" | "renamed ids" as name:
                return self.derived(self.rows(depth - 1), name)
            case "union all":
                return self.union(depth)
            case "people join" | "people left join" as name:
                return self.with_people(self.rows(depth - 1), left="left" in name)
            case "public join" | "public left join" | "public using" as name:
                return self.with_cells(self.rows(depth - 1), name)
            case "per number join":
                return self.with_per_number(self.rows(depth - 1))
            case "nested per number":
                return self.per_number(self.per_number(self.one_owner_rows(0)))
            case name:
                return self.per_number(
                    self.one_owner_rows(depth - 1),
                    keys="keys" in name,
                    having="having" in name,
                    distinct="distinct" in name,
                )

    def table(self, name: str) -> Scope:
        if name == "calls":
            alias = self.alias("c")
            return Scope(same(f"calls {alias}"), columns_of(f"{alias}.", CALLS), (f"{alias}.caller", f"{alias}.callee"))
        if name == "one owner":
            made = self.table("calls")
            test = same(self.one(ONE_OWNER).format(made.ids[0].removesuffix("caller")))
            return replace(made, where=(test,), one_owner=True)
        alias = self.alias("c")
        if name == "legs":
            columns = columns_of(f"{alias}.", LEGS)
            return Scope(same(f"legs {alias}"), columns, (f"{alias}.owner",), one_owner=True, legs=True)
        columns = columns_of(f"{alias}.", SUBSCRIBERS if name == "subscribers" else DNC)
        return Scope(same(f"{name} {alias}"), columns, (f"{alias}.number",), one_owner=True)

    def one_owner_rows(self, depth: int, *, legs: bool | None = None) -> Scope:
        names = {None: ["one owner", "legs", "legs", "dnc"], True: ["legs"], False: ["one owner", "one owner", "dnc"]}
        made = self.table(self.production(names[legs]))
        if depth > 0 and self.chance(2):
            return self.derived(made, self.production(["cte", "projection"]))
        if depth > 0 and self.chance(3):
            return self.with_people(made, left=False)
        return made

    def query(self, scope: Scope, items: Sequence[Pair], tail: str = "") -> Pair:
        """SELECT items FROM the scope, with its conditions and perhaps one more."""
        conditions = list(scope.where)
        if self.chance(2):
            conditions.append(put("({})", self.condition(scope, 1)))
        where = put(" WHERE {}", joined(" AND ", conditions)) if conditions else same("")
        return put(
            "SELECT {} FROM {}{}" + tail.replace("{", "{{").replace("}", "}}"), joined(", ", items), scope.source, where
        )

    def derived(self, scope: Scope, how: str) -> Scope:
        """An inner query that keeps the owners: * or some columns, some of them computed or renamed."""
        alias = self.alias("t")
        kept = [c for c in scope.columns if c.keyed or c.bounded or self.chance(2)]
        items: list[Pair] = []
        columns: list[Column] = []
        ids: list[str] = []
        for i, name in enumerate(scope.ids):
            label = name.rpartition(".")[2] if how != "renamed ids" else f"who{len(scope.ids) - i}"
            items.append(same(f"{name} AS {label}"))
            ids.append(f"{alias}.{label}")
        if how == "renamed ids" and len(scope.ids) == 2 and self.chance(2):
            first, second = (name.rpartition(".")[2] for name in scope.ids)
            items = [same(f"{scope.ids[0]} AS {second}"), same(f"{scope.ids[1]} AS {first}")]
            ids = [f"{alias}.{second}", f"{alias}.{first}"]
        for number, column in enumerate(kept):
            label = column.name.ours.rpartition(".")[2] if self.chance(2) else f"x{number}_{alias}"
            if any(c.name.ours == f"{alias}.{label}" for c in columns) or f"{alias}.{label}" in ids:
                label = f"x{number}_{alias}"
            items.append(put(f"{{}} AS {label}", column.name))
            columns.append(replace(column, name=same(f"{alias}.{label}")))
        if self.chance(2):
            items.append(put("{} AS made", self.number(scope, 1)))
            columns.append(Column(same(f"{alias}.made"), "number"))
        if self.chance(3):
            items.append(put("{} AS test", self.condition(scope, 1)))
            columns.append(Column(same(f"{alias}.test"), "bool", keyed=True))
        text = self.query(replace(scope, ctes=()), items)
        ctes = scope.ctes
        if how == "cte":
            ctes = (*ctes, put(f"{alias} AS ({{}})", text))
            source = same(alias)
        else:
            source = put(f"({{}}) {alias}", text)
        return Scope(source, tuple(columns), tuple(ids), (), scope.one_owner, scope.legs, ctes)

    def union(self, depth: int) -> Scope:
        """UNION ALL of two or three queries with the same columns, which need not mean the same."""
        alias = self.alias("u")
        first = self.rows(depth - 1) if self.chance(2) else self.table(self.one(["calls", "one owner", "legs"]))
        sides = [first]
        others = ["legs"] if first.legs else ["calls"] if len(first.ids) == 2 else ["dnc", "subscribers"]
        sides += [self.table(self.one(others)) for _ in range(self.one([1, 1, 2]))]
        ids = [f"who{i}" for i in range(len(first.ids))]
        kinds: tuple[tuple[str, Kind], ...] = (
            ("k", "text"),
            ("v", "number"),
            ("w", "number"),
            ("moment", "time"),
            ("day", "date"),
        )
        kinds = tuple(item for item in kinds if all(self.named(side, item[1]) is not None for side in sides))
        texts: list[Pair] = []
        for side in sides:
            owned = list(side.ids)
            if len(owned) == 2 and self.chance(3):
                owned.reverse()
            items = [same(f"{name} AS {label}") for name, label in zip(owned, ids, strict=True)]
            for label, kind in kinds:
                keyed = [c.name for c in side.columns if c.kind == kind and (c.keyed or c.bounded or kind == "time")]
                item = (
                    self.one(keyed)
                    if keyed
                    else same({"number": "1", "text": "'x'", "time": "NULL", "date": "NULL"}.get(kind, "NULL"))
                )
                items.append(put(f"{{}} AS {label}", item))
            texts.append(self.query(replace(side, ctes=()), items))
        columns = tuple(
            Column(same(f"{alias}.{label}"), kind, kind in {"text", "date"}, kind == "number") for label, kind in kinds
        )
        return Scope(
            put(f"({{}}) {alias}", joined(" UNION ALL ", texts)),
            columns,
            tuple(f"{alias}.{name}" for name in ids),
            (),
            all(side.one_owner for side in sides),
            any(side.legs for side in sides),
            tuple(cte for side in sides for cte in side.ctes),
        )

    def with_people(self, scope: Scope, *, left: bool) -> Scope:
        table = self.one(["subscribers", "dnc"])
        alias = self.alias("s")
        spec = SUBSCRIBERS if table == "subscribers" else DNC
        records = same(f"{table} {alias}")
        if self.chance(3):
            inner = Scope(same(table), columns_of("", spec), ())
            records = put(f"(SELECT * FROM {table} WHERE {{}}) {alias}", self.condition(inner, 0))
        sides = [self.one(scope.ids), f"{alias}.number"]
        on = " = ".join(sides if self.chance(2) else sides[::-1])
        joining = put(f"{{}} {'LEFT ' if left else ''}JOIN {{}} ON {on}", scope.source, records)
        return replace(scope, source=joining, columns=(*scope.columns, *columns_of(f"{alias}.", spec)))

    def with_cells(self, scope: Scope, how: str) -> Scope:
        alias = self.alias("p")
        texts = [c.name for c in scope.columns if c.kind == "text"]
        if not texts:
            self.used.discard(how)
            return scope
        cells = [c.name for c in scope.columns if c.kind == "text" and c.name.ours.endswith("cell_id")]
        word = "LEFT JOIN" if "left" in how else "JOIN"
        if how == "public using" and len(cells) == 1 and "JOIN cells" not in scope.source.ours:
            joining = put(f"{{}} {word} cells {alias} USING (cell_id)", scope.source)
        else:
            item = self.one(cells or texts)
            joining = put(f"{{}} {word} cells {alias} ON {alias}.cell_id = {{}}", scope.source, item)
        return replace(scope, source=joining, columns=(*scope.columns, *columns_of(f"{alias}.", CELLS)))

    def with_per_number(self, scope: Scope) -> Scope:
        """A join with rows that another query makes per number."""
        alias = self.alias("k")
        rows, number = self.per_number_query(legs=scope.legs, measure="n")
        word = self.one(["JOIN", "LEFT JOIN"])
        joining = put(f"{{}} {word} ({{}}) {alias} ON {alias}.{number} = {self.one(scope.ids)}", scope.source, rows)
        return replace(
            scope, source=joining, columns=(*scope.columns, Column(same(f"{alias}.n"), "number", True, True, True))
        )

    def per_number_query(self, *, legs: bool, measure: str | None = None) -> tuple[Pair, str]:
        """A query with one row per number, and the name of its privacy id."""
        base = self.one_owner_rows(0, legs=legs)
        who = base.ids[0] if "inbound" in str(base.where) or len(base.ids) == 1 else self.one(base.ids)
        label = who.rpartition(".")[2]
        items = [same(who)] + ([same(f"COUNT(*) AS {measure}")] if measure else [])
        having = self.one(["", " HAVING COUNT(*) > 1", " HAVING COUNT(*) <= 2"])
        owned = replace(base, where=(*base.where, Pair("TRUE", f"{who} >= 0")))
        return self.query(owned, items, f" GROUP BY {who}{having}"), label

    def per_number(self, base: Scope, *, keys: bool = False, having: bool = False, distinct: bool = False) -> Scope:
        """One row per number, and further key, with measures of the number's own rows."""
        alias = self.alias("n")
        who = self.one(base.ids)
        keyed = [c for c in base.columns if c.keyed and c.kind != "date"]
        columns: list[Column] = []
        items = [same(f"{who} AS who")]
        groups = [same(who)]
        if (keys or distinct) and keyed:
            for label in ("key1", "key2")[: self.one([1, 1, 2])]:
                column = self.one(keyed)
                items.append(put(f"{{}} AS {label}", column.name))
                groups.append(column.name)
                columns.append(replace(column, name=same(f"{alias}.{label}")))
        owned = replace(base, ctes=(), where=(*base.where, Pair("TRUE", f"{who} >= 0")))
        if distinct:
            text = put("SELECT DISTINCT {}", Pair(*(part.removeprefix("SELECT ") for part in self.query(owned, items))))
            return Scope(
                put(f"({{}}) {alias}", text), tuple(columns), (f"{alias}.who",), (), True, base.legs, base.ctes
            )
        for position in range(self.one([1, 2, 3])):
            made, column = self.measure(base, f"{alias}.m{position}")
            items.append(put(f"{{}} AS m{position}", made))
            columns.append(column)
        tail = put(" GROUP BY {}", joined(", ", groups))
        if having:
            made, column = self.measure(base, "")
            test = self.one(["> 1", "<= 3", "= 2", "<> 0"]) if column.kind == "number" else "IS NOT NULL"
            tail = put(f"{{}} HAVING {{}} {test}", tail, made)
        text = put("{}{}", self.query(owned, items), tail)
        return Scope(put(f"({{}}) {alias}", text), tuple(columns), (f"{alias}.who",), (), True, base.legs, base.ctes)

    def measure(self, base: Scope, name: str) -> tuple[Pair, Column]:
        """An aggregate over a number's own rows."""
        kind = self.one(MEASURES)
        self.used.add(f"measure {kind}")
        number = self.named(base, "number", bounded=True) or same("1")
        keyed = [c for c in base.columns if c.keyed and c.kind == "text"]
        column = self.one(keyed) if keyed else Column(same("'x'"), "text")
        counted = Column(same(name), "number", keyed=True, bounded=True, whole=True)
        match kind:
            case "count":
                return same("COUNT(*)"), counted
            case "count value":
                return put("COUNT({})", number), counted
            case "count filter":
                return put("COUNT(*) FILTER (WHERE {})", self.condition(replace(base, ids=()), 0)), counted
            case "count distinct":
                return put("COUNT(DISTINCT {})", column.name), counted
            case "sum" | "avg":
                return put(f"{kind.upper()}({{}})", number), Column(same(name), "number", bounded=number.ours != "1")
            case "min" | "max":
                return put(f"{kind.upper()}({{}})", number), Column(same(name), "number", bounded=number.ours != "1")
            case _:
                made = put("MODE({})", column.name, plain="mode({0} ORDER BY {0})")
                return made, Column(same(name), "text", keyed=column.keyed)

    # --- lists of numbers ---

    def owner_condition(self, name: str, scope: Scope) -> Pair:
        who = self.one(scope.ids)
        table = self.one(["dnc", "subscribers"])
        spec = DNC if table == "dnc" else SUBSCRIBERS
        match name:
            case "number list" | "number not in list":
                some = same("")
                if self.chance(2):
                    some = put(" WHERE {}", self.condition(Scope(same(""), columns_of("", spec), ()), 0))
                word = "NOT IN" if "not" in name else "IN"
                return put(f"{who} {word} (SELECT number FROM {table}{{}})", some)
            case "exists" | "not exists":
                alias = self.alias("d")
                some = same("")
                if self.chance(2):
                    some = put(" AND ({})", self.condition(Scope(same(""), columns_of(f"{alias}.", spec), ()), 0))
                return put(f"{name.upper()} (SELECT 1 FROM {table} {alias} WHERE {alias}.number = {who}{{}})", some)
            case _:
                rows, number = self.per_number_query(legs=scope.legs)
                only = put(f"SELECT {number} FROM ({{}}) {self.alias('q')}", rows)
                return put(f"{who} {self.one(['', 'NOT '])}IN ({{}})", only)
