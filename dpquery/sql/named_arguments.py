"""`SUM(x, contribution_bounds_per_group => (0, 60))`: lifted out of the text, so that a stock parser reads the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import TokenType

from dpquery.sql.text import QueryText, tokenise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlglot import Token

NAMES = ("contribution_bounds_per_row", "contribution_bounds_per_group")
AUTO = ("bounds", "auto")
"""`bounds => 'auto'`: a private release chooses them."""


@dataclass(frozen=True, slots=True)
class NamedBounds:
    """Value bounds given in the call whose name token starts at `call` (offset from 0)."""

    call: int
    per_group: bool
    low: float = 0.0
    high: float = 0.0
    auto: bool = False


def lift(source: str, select: str | None = None) -> tuple[QueryText, tuple[NamedBounds, ...]]:
    """Take named bounds out of a text, overwriting them with spaces so that every position stays true.

    `select` is `source` where other words have been blanked already.
    """
    tokens = tokenise(source if select is None else select)
    blanked = list(source if select is None else select)
    lifted: list[NamedBounds] = []
    for index, token in enumerate(tokens):
        following = tokens[index + 1 : index + 2]
        if not following or following[0].token_type is not TokenType.FARROW:
            continue
        text = QueryText(source, source, tokens)
        at = text.span_of(token.start, following[0].end)
        name = token.text.lower()
        numbers, last = _pair(tokens, index + 2)
        call = _enclosing_call(tokens, index)
        auto = name == AUTO[0] and _is_auto(tokens, index + 2)
        last = index + 2 if auto else last
        known = auto or (name in NAMES and numbers is not None)
        if not known or call is None or tokens[index - 1].token_type is not TokenType.COMMA:
            if name in NAMES and numbers is None:
                raise text.refuse("DPQ-101", f"{name} takes two numbers", f"{name} => (0, 600)", at)
            raise text.refuse(
                "DPQ-101",
                f"the named argument {name} is not understood here",
                "SUM(talk_s, contribution_bounds_per_group => (0, 3600)), or SUM(talk_s, bounds => 'auto')",
                at,
            )
        lifted.append(NamedBounds(call, name == NAMES[1], *(numbers or (0.0, 0.0)), auto=auto))
        start, end = tokens[index - 1].start, tokens[last].end
        blanked[start : end + 1] = [c if c.isspace() else " " for c in blanked[start : end + 1]]
    return QueryText(source, "".join(blanked), tokens), tuple(lifted)


def _pair(tokens: Sequence[Token], index: int) -> tuple[tuple[float, float] | None, int]:
    """The two numbers of `( number , number )` from `index` on, and the index of its last token."""
    position = index
    values: list[float] = []
    for opening in (TokenType.L_PAREN, TokenType.COMMA):
        if position >= len(tokens) or tokens[position].token_type is not opening:
            return None, index
        position += 1
        sign = 1.0
        if position < len(tokens) and tokens[position].token_type is TokenType.DASH:
            sign, position = -1.0, position + 1
        if position >= len(tokens) or tokens[position].token_type is not TokenType.NUMBER:
            return None, index
        try:
            values.append(sign * float(tokens[position].text))
        except ValueError:
            return None, index
        position += 1
    if position >= len(tokens) or tokens[position].token_type is not TokenType.R_PAREN:
        return None, index
    return (values[0], values[1]), position


def _is_auto(tokens: Sequence[Token], index: int) -> bool:
    """Whether the token at `index` is the text 'auto'."""
    found = tokens[index : index + 1]
    return bool(found) and found[0].token_type is TokenType.STRING and found[0].text.lower() == AUTO[1]


def _enclosing_call(tokens: Sequence[Token], index: int) -> int | None:
    """Offset of the name of the call whose parentheses hold the token at `index`."""
    depth = 0
    for position in range(index - 1, 0, -1):
        kind = tokens[position].token_type
        if kind is TokenType.R_PAREN:
            depth += 1
        elif kind is TokenType.L_PAREN:
            if depth == 0:
                return int(tokens[position - 1].start)
            depth -= 1
    return None
