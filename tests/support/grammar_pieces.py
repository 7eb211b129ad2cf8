"""Pieces of generated SQL, each made twice, what brings them names, and the choices that a query is made by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeVar

from hypothesis import strategies as st

Kind = Literal["number", "text", "bool", "time", "date"]
Chosen = TypeVar("Chosen")


class Pair(NamedTuple):
    """A piece of SQL: ours, and what plain DuckDB takes for it."""

    ours: str
    plain: str

    def __str__(self) -> str:
        return self.ours


def same(text: str) -> Pair:
    return Pair(text, text)


def put(template: str, *parts: Pair, plain: str | None = None) -> Pair:
    """`template` with `{}` or `{0}` for each part; `plain` where plain DuckDB writes it differently."""
    return Pair(
        template.format(*(part.ours for part in parts)), (plain or template).format(*(part.plain for part in parts))
    )


def joined(separator: str, parts: Sequence[Pair]) -> Pair:
    return Pair(separator.join(part.ours for part in parts), separator.join(part.plain for part in parts))


@dataclass(frozen=True, slots=True)
class Column:
    """A name of a scope. `keyed`: its values are declared; `bounded`: it has value bounds; `whole`: an integer."""

    name: Pair
    kind: Kind
    keyed: bool = False
    bounded: bool = False
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """What stands in FROM, and the names it brings."""

    source: Pair
    columns: tuple[Column, ...]
    ids: tuple[str, ...]
    """Privacy ids, as they are written."""
    where: tuple[Pair, ...] = ()
    """Conditions that must stand in WHERE, so that rows have one owner or plain DuckDB leaves nobody's rows out."""
    one_owner: bool = False
    legs: bool = False
    ctes: tuple[Pair, ...] = ()


@dataclass(frozen=True, slots=True)
class Made:
    """A query, its plain twin, and the productions it is made of."""

    sql: str
    plain: str
    keys: int
    aggregates: tuple[str, ...]
    used: frozenset[str]
    exact: bool
    """Whether the twin says the same to within rounding."""


_KINDS: dict[str, Kind] = {"n": "number", "t": "text", "b": "bool", "s": "time", "d": "date"}


def columns_of(prefix: str, spec: str) -> tuple[Column, ...]:
    """Columns from name:kind:marks, with k for declared keys, b for value bounds, i for whole numbers."""
    found = []
    for item in spec.split():
        name, kind, *marks = item.split(":")
        marked = marks[0] if marks else ""
        found.append(Column(same(prefix + name), _KINDS[kind], "k" in marked, "b" in marked, "i" in marked))
    return tuple(found)


@dataclass(slots=True)
class Choices:
    """One query in the making: what was drawn, and the names given so far."""

    draw: st.DrawFn
    used: set[str] = field(default_factory=set)
    aliases: int = 0
    exact: bool = True

    def one(self, items: Sequence[Chosen]) -> Chosen:
        return items[self.draw(st.sampled_from(range(len(items))))]

    def chance(self, one_in: int) -> bool:
        return self.draw(st.sampled_from(range(one_in))) == 0

    def production(self, names: Sequence[str]) -> str:
        """One of the productions, noted as used."""
        name = self.one(names)
        self.used.add(name)
        return name

    def alias(self, start: str) -> str:
        self.aliases += 1
        return f"{start}{self.aliases}"
