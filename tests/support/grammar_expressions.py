"""Row expressions and conditions of generated queries."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from grammar_functions import FORMS, Form
from grammar_pieces import Choices, Kind, Pair, Scope, put, same

CONDITIONS = (
    "number comparison",
    "text comparison",
    "time comparison",
    "date comparison",
    "in list",
    "not in list",
    "between",
    "like",
    "is null",
    "is true",
    "and",
    "or",
    "not",
    "boolean column",
    "number list",
    "number not in list",
    "exists",
    "not exists",
    "per-number list",
    "public list",
)
NUMBERS = ("number column", "number literal", "arithmetic", "number case", "coalesce", "nullif", "number function")


@dataclass(slots=True)
class Expressions(Choices):
    """Row expressions of every kind, nested to a depth."""

    @abstractmethod
    def owner_condition(self, name: str, scope: Scope) -> Pair:
        """A test of whether an owner of the row is on a list: the production `name`."""

    def named(self, scope: Scope, kind: Kind, *, bounded: bool = False) -> Pair | None:
        found = [c.name for c in scope.columns if c.kind == kind and (c.bounded or not bounded)]
        return self.one(found) if found else None

    def number(self, scope: Scope, depth: int) -> Pair:
        column = self.named(scope, "number")
        leaves = ["number literal"] + (["number column"] * 3 if column is not None else [])
        more = ["arithmetic", "number case", "coalesce", "nullif"] + ["number function"] * 5
        match self.production(leaves + (more if depth > 0 else [])):
            case "number column" if column is not None:
                return column
            case "number literal":
                return same(self.one(["0", "1", "2", "3", "7", "30", "60", "0.5", "1.25", "12"]))
            case "arithmetic":
                left, right = self.number(scope, depth - 1), self.number(scope, depth - 1)
                if self.chance(4):
                    return put("({0} / {1})", left, right, plain="CASE WHEN {1} <> 0 THEN {0} / {1} END")
                return put(f"({{}} {self.one(['+', '-', '*'])} {{}})", left, right)
            case "number case":
                return put(
                    "CASE WHEN {} THEN {} ELSE {} END",
                    self.condition(scope, depth - 1),
                    self.number(scope, depth - 1),
                    self.number(scope, depth - 1),
                )
            case "coalesce":
                return put("COALESCE({}, {})", self.number(scope, depth - 1), self.number(scope, depth - 1))
            case "nullif":
                return put("NULLIF({}, {})", self.number(scope, depth - 1), self.number(scope, 0))
            case _:
                return self.function(scope, "number", depth)

    def bounded_number(self, scope: Scope, depth: int) -> Pair:
        """A number whose bounds follow from declared ones."""
        column = self.named(scope, "number", bounded=True) or same("1")
        if depth == 0 or self.chance(2):
            return column
        match self.one(["+", "*", "case", "case", "coalesce"]):
            case "case":
                return put(
                    "CASE WHEN {} THEN {} END", self.condition(scope, depth - 1), self.bounded_number(scope, depth - 1)
                )
            case "coalesce":
                return put("COALESCE({}, 2)", self.bounded_number(scope, depth - 1))
            case operator:
                return put(f"({{}} {operator} {{}})", column, self.bounded_number(scope, depth - 1))

    def text(self, scope: Scope, depth: int) -> Pair:
        column = self.named(scope, "text")
        choice = self.one(
            ["column", "column", "column", "literal", "case", "function", "function"][: 7 if depth > 0 else 4]
        )
        if choice == "column" and column is not None:
            return column
        if choice == "case":
            return put(
                "CASE WHEN {} THEN {} ELSE {} END",
                self.condition(scope, depth - 1),
                self.text(scope, depth - 1),
                self.text(scope, depth - 1),
            )
        if choice == "function":
            return self.function(scope, "text", depth)
        return same(self.one(["'voice'", "'sms'", "'inbound'", "'p2p'", "'C1'", "'GB-LND'", "'x'", "'young'", "'own'"]))

    def moment(self, scope: Scope, depth: int) -> Pair:
        column = self.named(scope, "time")
        if depth > 0 and self.chance(3):
            return self.function(scope, "time", depth)
        if column is not None and not self.chance(5):
            return column
        return same(self.one(["TIMESTAMP '2026-01-31 06:00:00'", "TIMESTAMP '2026-02-01 00:00:00'"]))

    def date(self, scope: Scope, depth: int) -> Pair:
        column = self.named(scope, "date")
        if depth > 0 and self.chance(3):
            return self.function(scope, "date", depth)
        if column is not None and not self.chance(5):
            return column
        return same(self.one(["DATE '2026-01-31'", "DATE '2026-02-02'"]))

    def function(self, scope: Scope, kind: Kind, depth: int) -> Pair:
        name = self.one(sorted(name for name, forms in FORMS.items() if any(form.kind == kind for form in forms)))
        self.used.add(f"function {name}")
        return self.form(self.one([form for form in FORMS[name] if form.kind == kind]), scope, depth)

    def form(self, form: Form, scope: Scope, depth: int) -> Pair:
        """One way to write a function, with arguments of the kinds it takes."""
        makers: dict[str, Callable[[], Pair]] = {
            "{n}": lambda: self.number(scope, depth - 1),
            "{i}": lambda: self.whole(scope),
            "{j}": lambda: same(self.one(["2", "7", "60"])),
            "{t}": lambda: self.text(scope, depth - 1),
            "{c}": lambda: self.named(scope, "text") or same("'2026-02-01'"),
            "{s}": lambda: self.moment(scope, depth - 1),
            "{d}": lambda: self.date(scope, depth - 1),
        }
        written = form.written
        for position, mark in enumerate(form.marks):
            written = written.replace(mark, f"{{{position}}}", 1)
        return put(written, *(makers[mark]() for mark in form.marks), plain=form.plain or written)

    def whole(self, scope: Scope) -> Pair:
        """A whole number."""
        found = [c.name for c in scope.columns if c.kind == "number" and c.whole]
        return self.one(found) if found and self.chance(2) else same("5")

    # --- conditions ---

    def condition(self, scope: Scope, depth: int) -> Pair:
        boolean = self.named(scope, "bool")
        options = ["number comparison"] * 2 + ["text comparison"] * 2 + ["in list", "not in list", "between", "like"]
        options += ["is null", "time comparison", "date comparison"] + (["boolean column"] if boolean else [])
        if depth > 0:
            options += ["and", "or", "not", "is true", "public list"]
            options += ["number list", "number not in list", "exists", "not exists", "per-number list"] * bool(
                scope.ids
            )
        match self.production(options):
            case "number comparison":
                operator = self.one(["=", "<>", "<", "<=", ">", ">="])
                return put(f"{{}} {operator} {{}}", self.number(scope, depth), self.number(scope, 0))
            case "text comparison":
                operator = self.one(["=", "<>", "<", ">="])
                return put(f"{{}} {operator} {{}}", self.text(scope, depth), self.text(scope, 0))
            case "time comparison":
                operator = self.one(["<", ">=", "="])
                return put(f"{{}} {operator} TIMESTAMP '2026-01-31 12:00:00'", self.moment(scope, depth))
            case "date comparison":
                operator = self.one(["<=", ">", "="])
                return put(f"{{}} {operator} DATE '2026-02-01'", self.date(scope, depth))
            case "in list":
                return put("{} IN ('voice', 'inbound', 'C2', 'GB-MAN')", self.text(scope, depth))
            case "not in list":
                return put("{} NOT IN (0, 5, 60)", self.number(scope, depth))
            case "between":
                return put("{} BETWEEN 1 AND {}", self.number(scope, depth), self.number(scope, 0))
            case "like":
                pattern = self.one(["'v%'", "'%o%'", "'C_'", "'GB-%'"])
                return put(f"{{}} {self.one(['LIKE', 'NOT LIKE'])} {pattern}", self.text(scope, depth))
            case "is null":
                item = self.number(scope, depth) if self.chance(2) else self.text(scope, depth)
                return put(f"{{}} IS {self.one(['', 'NOT '])}NULL", item)
            case "boolean column" if boolean is not None:
                return boolean
            case "is true":
                test = self.one(["IS TRUE", "IS NOT TRUE", "IS FALSE"])
                return put(f"({{}}) {test}", self.condition(scope, depth - 1))
            case "and" | "or" as word:
                parts = [self.condition(scope, depth - 1), self.condition(scope, depth - 1)]
                return put(f"(({{}}) {word.upper()} ({{}}))", *parts)
            case "not":
                return put("NOT ({})", self.condition(scope, depth - 1))
            case "public list":
                cells = [c.name for c in scope.columns if c.kind == "text" and c.name.ours.endswith("cell_id")]
                listed = f"SELECT cell_id FROM cells{self.one(['', ' WHERE masts > 1'])}"
                item = self.one(cells) if cells else self.text(scope, 0)
                return put(f"{{}} {self.one(['', 'NOT '])}IN ({listed})", item)
            case owners:
                return self.owner_condition(owners, scope)
