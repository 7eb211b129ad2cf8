"""Queries that ask for less than a given one: coarser times, fewer keys, narrower clamps. Texts alone are made here.

Whether one helps is for its plan to tell; one that does not read as a query is dropped there.
"""

from __future__ import annotations

import difflib
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sqlglot import TokenType, exp

from dpquery.plan.query import Average, Quantile, Sum, Variance
from dpquery.sql.clauses import unaliased
from dpquery.sql.parse import parse_select
from dpquery.sql.unwrapped import unwrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlglot import Token

    from dpquery.plan.query import Aggregate, LogicalPlan
    from dpquery.plan.ranges import ValueRange
    from dpquery.sql.request import Request
    from dpquery.sql.text import QueryText

Kind = Literal["coarser time", "fewer keys", "narrower clamp"]

UNITS = ("hour", "day", "week", "month")
"""Units of time, each coarser than the one before."""

Edit = tuple[int, int, str]
"""The characters from the first offset up to the second, and what stands there instead."""

_ENDS = {TokenType.HAVING, TokenType.ORDER_BY, TokenType.LIMIT, TokenType.SEMICOLON, TokenType.QUALIFY}


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A changed query: what was changed, in words, the whole text, and the lines of it that differ."""

    kind: Kind
    change: str
    text: str
    lines: tuple[str, ...]


def rewrites(request: Request, plan: LogicalPlan, time_column: str | None) -> tuple[Rewrite, ...]:
    """Every text that may ask for less than `request`, whose plan is `plan`."""
    select, text, _ = parse_select(request.source, request.select)
    if unwrapped(select) is not select:
        return ()  # the outer query only shows an inner one, whose text stands elsewhere
    clauses = _Clauses(text)
    found = [*_coarser(clauses, time_column), *_fewer(clauses, plan), *_narrower(select, text, plan)]
    return tuple(
        Rewrite(kind, change, changed, _changed_lines(request.source, changed))
        for kind, change, edits in found
        if (changed := _edited(request.source, edits)) != request.source
    )


def _edited(source: str, edits: Sequence[Edit]) -> str:
    for first, end, instead in sorted(edits, reverse=True):
        while not instead and source[first - 1].isspace() and (end == len(source) or source[end].isspace()):
            first -= 1  # noqa: PLW2901 - what is gone leaves no blank behind
        source = source[:first] + instead + source[end:]
    return source


def _changed_lines(before: str, after: str) -> tuple[str, ...]:
    """The lines of `after` that `before` does not have."""
    found = difflib.ndiff(before.splitlines(), after.splitlines())
    return tuple(line[2:].strip() for line in found if line.startswith("+ ") and line[2:].strip())


class _Clauses:
    """The lists of the outer SELECT, by their tokens: each item is a run of them."""

    def __init__(self, text: QueryText) -> None:
        depth, outer = 0, []
        for token in text.tokens:
            depth -= token.token_type is TokenType.R_PAREN
            outer.append(depth == 0)
            depth += token.token_type is TokenType.L_PAREN
        self.tokens, self._outer = text.tokens, outer
        start = max((i for i, t in enumerate(self.tokens) if outer[i] and t.token_type is TokenType.SELECT), default=0)
        self.select = self._items(start + 1, {TokenType.FROM})
        self.group = self._list(TokenType.GROUP_BY)
        self.order = self._list(TokenType.ORDER_BY)
        self.group_word = self._word(TokenType.GROUP_BY)
        self.order_word = self._word(TokenType.ORDER_BY)

    def _word(self, kind: TokenType) -> Token | None:
        outer = itertools.compress(self.tokens, self._outer)
        return next((token for token in outer if token.token_type is kind), None)

    def _list(self, kind: TokenType) -> list[list[Token]]:
        word = self._word(kind)
        return [] if word is None else self._items(self.tokens.index(word) + 1, _ENDS)

    def _items(self, start: int, ends: set[TokenType]) -> list[list[Token]]:
        items: list[list[Token]] = [[]]
        for index in range(start, len(self.tokens)):
            token = self.tokens[index]
            if self._outer[index] and token.token_type in ends:
                break
            if self._outer[index] and token.token_type is TokenType.COMMA:
                items.append([])
            else:
                items[-1].append(token)
        return [item for item in items if item]


def _span(item: Sequence[Token]) -> tuple[int, int]:
    return item[0].start, item[-1].end + 1


def _coarser(clauses: _Clauses, time_column: str | None) -> Iterator[tuple[Kind, str, list[Edit]]]:
    """date_trunc('day', ...) and `day` by week and month."""
    everywhere = [*clauses.select, *clauses.group, *clauses.order]
    truncated = [found for item in everywhere for found in _truncations(item)]
    for unit in dict.fromkeys(token.text.lower() for token in truncated):
        for coarser in UNITS[UNITS.index(unit) + 1 :]:
            edits = [(*_span([t]), f"'{coarser}'") for t in truncated if t.text.lower() == unit]
            yield "coarser time", f"{coarser}s instead of {unit}s", edits
    plain = [item for item in clauses.select if _is_day(item[:1])]
    days = [item for item in plain if len(item) == 1 or item[1].token_type is TokenType.ALIAS]
    if time_column is None or not any(_is_day(item) or item[0].text.isdecimal() for item in clauses.group):
        return
    for coarser in UNITS[2:]:
        call = f"date_trunc('{coarser}', {time_column})"
        edits = [(*_span(item[:1]), call if len(item) > 1 else f"{call} AS {coarser}") for item in days]
        named = coarser if any(len(item) == 1 for item in days) else call
        edits += [(*_span(item), call) for item in clauses.group if _is_day(item)]
        edits += [(*_span(item[:1]), named) for item in clauses.order if _is_day(item[:1])]
        yield "coarser time", f"{coarser}s instead of days", edits


def _truncations(item: Sequence[Token]) -> Iterator[Token]:
    for name, opening, unit in zip(item, item[1:], item[2:], strict=False):
        called = name.text.lower() == "date_trunc" and opening.token_type is TokenType.L_PAREN
        if called and unit.token_type is TokenType.STRING and unit.text.lower() in UNITS:
            yield unit


def _is_day(item: Sequence[Token]) -> bool:
    return len(item) == 1 and item[0].text.lower() == "day" and item[0].token_type is not TokenType.STRING


def _fewer(clauses: _Clauses, plan: LogicalPlan) -> Iterator[tuple[Kind, str, list[Edit]]]:
    """Each key left out of SELECT, GROUP BY and ORDER BY in turn; positions are counted anew."""
    if len(clauses.select) > len(plan.outputs):
        return
    everything = [item[0].text.upper() for item in clauses.group] == ["ALL"]
    for key in range(len(plan.keys)):
        gone = {p for p, o in enumerate(plan.outputs) if o.kind == "key" and o.index == key}
        selected = {place for place in gone if place < len(clauses.select)}
        sorting = {i for i, ordering in enumerate(plan.order) if ordering.output in gone}
        if not everything and len(clauses.group) != len(plan.keys):
            continue
        edits = _without(clauses.select, selected)
        if not everything:
            edits += _without(clauses.group, {key}, clauses.group_word)
            edits += _renumbered(clauses.group, {key}, selected)
        edits += _without(clauses.order, sorting, clauses.order_word)
        edits += _renumbered(clauses.order, sorting, selected)
        names = [plan.outputs[place].name for place in sorted(gone)]
        yield "fewer keys", f"without {names[0] if names else f'key {key + 1}'}", edits


def _without(items: Sequence[Sequence[Token]], gone: set[int], word: Token | None = None) -> list[Edit]:
    """A list without some items and their commas; with none left, without the words that open it, too."""
    if gone and len(gone) == len(items) and word is not None:
        return [(word.start, items[-1][-1].end + 1, "")]
    edits: list[Edit] = []
    kept = [place for place in range(len(items)) if place not in gone]
    for place in sorted(gone):
        later = next((other for other in kept if other > place), None)
        if later is not None:  # up to the next item, the comma between them included
            edits.append((items[place][0].start, items[place + 1][0].start, ""))
        else:
            before = items[place - 1][-1].end + 1 if place else items[place][0].start
            edits.append((before, items[place][-1].end + 1, ""))
    return edits


def _renumbered(items: Sequence[Sequence[Token]], gone: set[int], selected: set[int]) -> list[Edit]:
    """Positions that come after items of SELECT that are gone."""
    return [
        (*_span(item[:1]), str(int(item[0].text) - sum(place < int(item[0].text) - 1 for place in selected)))
        for index, item in enumerate(items)
        if index not in gone and item[0].token_type is TokenType.NUMBER and item[0].text.isdecimal()
    ]


def _narrower(select: exp.Select, text: QueryText, plan: LogicalPlan) -> Iterator[tuple[Kind, str, list[Edit]]]:
    """The upper half of each clamp cut off; of one on both sides of 0, half of each side."""
    for place, item in enumerate(select.expressions):
        node = unaliased(item)
        call = node.this if isinstance(node, exp.Filter) else node
        output = plan.outputs[place]
        if output.kind != "aggregate" or isinstance(call, exp.WithinGroup):
            continue
        clamp = _clamp(plan.aggregates[output.index])
        around = text.extent(call)
        if clamp is None or around is None or text.source[around[1]] != ")":
            continue
        low, high = (clamp.low / 2, clamp.high / 2) if clamp.low < 0.0 else (clamp.low, (clamp.low + clamp.high) / 2)
        if clamp.step == 1.0:
            low, high = float(int(low)), float(int(high))
        pair = f"({low:g}, {high:g})"
        given = _given_pair(text, *around)
        edit = (around[1], around[1], f", contribution_bounds_per_row => {pair}") if given is None else (*given, pair)
        change = f"{output.name} clamped to {low:g} to {high:g} instead of {clamp.low:g} to {clamp.high:g}"
        yield "narrower clamp", change, [edit]


def _clamp(aggregate: Aggregate) -> ValueRange | None:
    """The clamp that values have; none where it is yet to be chosen."""
    if isinstance(aggregate, Sum | Average | Variance | Quantile) and not aggregate.auto:
        return aggregate.clamp
    return None


def _given_pair(text: QueryText, first: int, last: int) -> tuple[int, int] | None:
    """Where the bounds stand that a call names already."""
    inside = [token for token in text.tokens if first <= token.start <= last]
    arrow = next((i for i, token in enumerate(inside) if token.token_type is TokenType.FARROW), None)
    if arrow is None:
        return None
    closing = next(token for token in inside[arrow + 1 :] if token.token_type is TokenType.R_PAREN)
    return inside[arrow + 1].start, closing.end + 1
