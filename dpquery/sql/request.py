"""What a text asks for, before it is parsed: its kind of statement, and the words that a stock parser does not know.

    EXPLAIN PRIVACY SELECT ...                               what it would cost; free
    SHOW PRIVACY BUDGET [FOR table]                          what is spent and left
    SELECT * FROM TABLE(ESTIMATE_REMAINING_DP_AGGREGATES('table'))
    SET dp.epsilon = 0.2, RESET dp.epsilon                   also dp.purpose, dp.confidence
    SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (...) ...       tunes one query

The words are overwritten with spaces, so that a stock parser reads the rest and every position stays true.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from sqlglot import TokenType

from dpquery.sql.text import TEXT_LENGTH_MAX, QueryText, tokenise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlglot import Token

    from dpquery.errors import QueryRefused, Span

Statement = Literal["select", "explain", "show budget", "remaining", "set", "reset"]

OptionValue: TypeAlias = float | str | tuple[str, ...]

SETTINGS = ("epsilon", "purpose", "confidence")
"""What SET and RESET may name, after `dp.`."""

NUMBERS = ("epsilon", "delta", "target_error", "confidence")
WHOLE_NUMBERS = ("max_groups_contributed", "max_rows_contributed", "max_rows_per_group")
NAMES = ("group_selection_strategy",)
COLUMNS = ("privacy_unit_column",)
OPTIONS = (*NUMBERS, *WHOLE_NUMBERS, *NAMES, *COLUMNS)

EXAMPLE = "SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 0.5) COUNT(*) FROM calls"

_GAP = r"(?:\s|--[^\n]*(?:\n|\Z)|/\*(?:[^*]|\*(?!/))*\*/)"
_EXPLAIN = re.compile(rf"{_GAP}*+(?P<words>EXPLAIN{_GAP}++PRIVACY)\b", re.IGNORECASE)
_RESET = re.compile(
    rf"{_GAP}*+RESET{_GAP}++dp\s*\.\s*(?P<name>[A-Za-z_]\w{{0,63}})\s*;?{_GAP}*+", re.IGNORECASE | re.ASCII
)
"""Words that make a tokeniser take the rest of the text for one piece."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of WITH DIFFERENTIAL_PRIVACY; None where the query does not say."""

    epsilon: float | None = None
    delta: float | None = None
    target_error: float | None = None
    confidence: float | None = None
    max_groups_contributed: int | None = None
    max_rows_contributed: int | None = None
    max_rows_per_group: int | None = None
    group_selection_strategy: str | None = None
    privacy_unit_column: tuple[str, ...] | None = None
    places: Mapping[str, Span] = field(default_factory=lambda: MappingProxyType({}), compare=False, hash=False)
    """Where each option stands."""


@dataclass(frozen=True, slots=True)
class Request:
    """One statement. For a query, `select` is the text that a parser reads: as long as `source`, words blanked."""

    statement: Statement
    source: str
    select: str
    options: Options = Options()
    name: str | None = None
    """The setting that SET and RESET name, or the table of SHOW and ESTIMATE_REMAINING_DP_AGGREGATES."""
    value: float | str | None = None
    """What SET sets."""


def read_request(source: str) -> Request:
    """The statement that `source` is; what is none of ours is a query, for the parser to read or refuse.

    QueryRefused for one of ours that is not understood, with its place.
    """
    if len(source) > TEXT_LENGTH_MAX:
        tokenise(source)  # refuses it
    reset = _RESET.fullmatch(source)
    if reset is not None:
        return Request("reset", source, "", name=_setting(reset["name"], QueryText(source, source, ()), None))
    explain = _EXPLAIN.match(source)
    text = source if explain is None else blanked(source, explain.start("words"), explain.end("words") - 1)
    tokens = tokenise(text)
    words = [_word(token) for token in tokens if token.token_type is not TokenType.SEMICOLON]
    told = QueryText(source, text, tokens)
    if explain is None and words[:3] == ["SET", "DP", "."]:
        return _set(tokens, told)
    if explain is None and words[:2] == ["SHOW", "PRIVACY"]:
        return _show(tokens, told)
    if "ESTIMATE_REMAINING_DP_AGGREGATES" in words:
        return _remaining(tokens, told)
    select, options = _lifted(told)
    return Request("select" if explain is None else "explain", source, select, options)


def blanked(text: str, first: int, last: int) -> str:
    """`text` with spaces in place of the characters `first` to `last` (from 0, inclusive); line ends stay."""
    return text[:first] + "".join(c if c.isspace() else " " for c in text[first : last + 1]) + text[last + 1 :]


def _word(token: Token) -> str:
    """A token's text in capitals; nothing for quoted text, which is no word."""
    return "" if token.token_type is TokenType.STRING else token.text.upper()


def _setting(name: str, text: QueryText, at: Span | None) -> str:
    if name.lower() not in SETTINGS:
        listed = ", ".join(f"dp.{known}" for known in SETTINGS)
        raise text.refuse("DPQ-130", f"there is no setting dp.{name.lower()[:64]}", listed, at)
    return name.lower()


def _set(tokens: Sequence[Token], text: QueryText) -> Request:
    """SET dp.name = value."""
    rest = [token for token in tokens if token.token_type is not TokenType.SEMICOLON]
    place = text.span_of(rest[0].start, rest[-1].end)
    example = "SET dp.epsilon = 0.2"
    if len(rest) < 6 or rest[4].text.upper() not in {"=", "TO"} or _semicolon_inside(tokens):
        raise text.refuse("DPQ-130", "SET takes one name and one value", example, place)
    name = _setting(rest[3].text, text, text.span_of(rest[1].start, rest[3].end))
    value = _value(rest[5:])
    wanted = str if name == "purpose" else float
    if not isinstance(value, wanted):
        fix = "SET dp.purpose = 'network_planning'" if name == "purpose" else f"SET dp.{name} = 0.9"
        raise text.refuse("DPQ-130", f"dp.{name} is {'a name' if wanted is str else 'a number'}", fix, place)
    return Request("set", text.source, "", name=name, value=value)


def _semicolon_inside(tokens: Sequence[Token]) -> bool:
    """Whether something follows a semicolon: another statement."""
    return any(token.token_type is TokenType.SEMICOLON for token in tokens[:-1])


def _show(tokens: Sequence[Token], text: QueryText) -> Request:
    """SHOW PRIVACY BUDGET, SHOW PRIVACY BUDGET FOR table."""
    rest = [token for token in tokens if token.token_type is not TokenType.SEMICOLON]
    words = [_word(token) for token in rest]
    named = len(rest) == 5 and words[3] == "FOR" and not isinstance(_value(rest[4:]), float)
    if words[2:3] != ["BUDGET"] or _semicolon_inside(tokens) or not (len(rest) == 3 or named):
        place = text.span_of(rest[0].start, rest[-1].end)
        raise text.refuse("DPQ-130", "this is not what SHOW PRIVACY takes", "SHOW PRIVACY BUDGET FOR calls", place)
    return Request("show budget", text.source, "", name=rest[4].text if named else None)


def _remaining(tokens: Sequence[Token], text: QueryText) -> Request:
    """SELECT * FROM TABLE(ESTIMATE_REMAINING_DP_AGGREGATES('calls')), with or without TABLE and a schema of its own."""
    rest = [token for token in tokens if token.token_type is not TokenType.SEMICOLON]
    words = [_word(token) for token in rest]
    call = words.index("ESTIMATE_REMAINING_DP_AGGREGATES")
    around = words[3:call]
    schema = [word for word in around if word not in {"TABLE", "("}]
    table = rest[call + 2] if len(rest) > call + 2 else rest[-1]
    closing = [")", ")"] if "TABLE" in around else [")"]
    shaped = (
        words[:3] == ["SELECT", "*", "FROM"]
        and around in (["TABLE", "(", *schema], schema)
        and schema in ([], ["SNOWFLAKE", ".", "DATA_PRIVACY", "."])
        and words[call + 1 : call + 2] == ["("]
        and table.token_type is TokenType.STRING
        and words[call + 3 :] == closing
    )
    if not shaped or _semicolon_inside(tokens):
        raise text.refuse(
            "DPQ-130",
            "ESTIMATE_REMAINING_DP_AGGREGATES is asked by itself",
            "SELECT * FROM TABLE(ESTIMATE_REMAINING_DP_AGGREGATES('calls'))",
            text.span_of(rest[call].start, rest[call].end),
        )
    return Request("remaining", text.source, "", name=table.text)


def _lifted(text: QueryText) -> tuple[str, Options]:
    """The text without WITH DIFFERENTIAL_PRIVACY OPTIONS (...), and those options."""
    tokens, depth = text.tokens, 0
    select, options, found = text.blanked, Options(), False
    for index, token in enumerate(tokens):
        depth += (token.token_type is TokenType.L_PAREN) - (token.token_type is TokenType.R_PAREN)
        following = [_word(word) for word in tokens[index : index + 4]]
        if token.token_type is not TokenType.SELECT or following[1:3] != ["WITH", "DIFFERENTIAL_PRIVACY"]:
            continue
        at = text.span_of(tokens[index + 1].start, tokens[index + 2].end)
        if depth or found:
            why = "the outer SELECT alone is answered privately" if depth else "the clause is given twice"
            raise text.refuse("DPQ-130", why, EXAMPLE, at)
        last, found = index + 2, True
        if following[3:] == ["OPTIONS"]:
            options, last = _options(index + 4, text)
        select = blanked(select, tokens[index + 1].start, tokens[last].end)
    return select, options


def _options(opening: int, text: QueryText) -> tuple[Options, int]:
    """The options in the parentheses that the token at `opening` opens, and the index of the one that closes them."""
    tokens = text.tokens
    if opening >= len(tokens) or tokens[opening].token_type is not TokenType.L_PAREN:
        place = text.span_of(tokens[opening - 1].start, tokens[opening - 1].end)
        raise text.refuse("DPQ-130", "OPTIONS is followed by options in parentheses", EXAMPLE, place)
    values: dict[str, OptionValue] = {}
    places: dict[str, Span] = {}
    items, last = _items(opening, text)
    for item in items:
        name = item[0].text.lower() if item else ""
        place = (
            text.span_of(item[0].start, item[-1].end) if item else text.span_of(tokens[last].start, tokens[last].end)
        )
        if len(item) < 3 or item[1].token_type is not TokenType.EQ:
            raise text.refuse("DPQ-130", "an option is NAME = VALUE", EXAMPLE, place)
        if name in values:
            raise text.refuse("DPQ-130", f"{name} is given twice", "give it once", place)
        values[name], places[name] = _option(name, item[2:], text, place), place
    if "epsilon" in values and "target_error" in values:
        why = "epsilon and target_error each decide the price"
        raise text.refuse("DPQ-130", why, "leave one out", places["target_error"])
    return Options(**values, places=MappingProxyType(places)), last  # type: ignore[arg-type]


def _items(opening: int, text: QueryText) -> tuple[list[list[Token]], int]:
    """The tokens between the commas of a list in parentheses, and the index of its end."""
    tokens = text.tokens
    items: list[list[Token]] = [[]]
    depth = 1
    for index in range(opening + 1, len(tokens)):
        kind = tokens[index].token_type
        depth += (kind is TokenType.L_PAREN) - (kind is TokenType.R_PAREN)
        if depth == 0:
            return (items if items != [[]] else []), index
        if kind is TokenType.COMMA and depth == 1:
            items.append([])
        else:
            items[-1].append(tokens[index])
    place = text.span_of(tokens[opening].start, tokens[opening].end)
    raise text.refuse("DPQ-101", "the parenthesis of OPTIONS does not close", EXAMPLE, place)


def _option(name: str, tokens: Sequence[Token], text: QueryText, place: Span) -> OptionValue:
    """The value of one option, of the type that its name has."""
    value = _value(tokens)
    if name in NUMBERS and isinstance(value, float):
        if 0.0 < value < math.inf or (name == "delta" and value == 0.0):
            return value
        raise text.refuse("DPQ-130", f"{name} is more than 0, and finite", f"{name} = {_EXAMPLES[name]}", place)
    if name in WHOLE_NUMBERS and isinstance(value, float) and value >= 1.0 and value.is_integer():
        return int(value)
    if name in NAMES and isinstance(value, str):
        return value.upper()
    if name in COLUMNS and isinstance(value, str | tuple):
        return (value,) if isinstance(value, str) else value
    if name in OPTIONS:
        kind = "a number" if name in NUMBERS else "a whole number from 1" if name in WHOLE_NUMBERS else "a name"
        raise text.refuse("DPQ-130", f"{name} is {kind}", f"{name} = {_EXAMPLES[name]}", place)
    raise _unknown(name, text, place)


_EXAMPLES = {
    "epsilon": "0.5",
    "delta": "1e-9",
    "target_error": "25",
    "confidence": "0.95",
    "max_groups_contributed": "2",
    "max_rows_contributed": "10",
    "max_rows_per_group": "5",
    "group_selection_strategy": "PUBLIC_GROUPS",
    "privacy_unit_column": "(caller, callee)",
}


def _unknown(name: str, text: QueryText, place: Span) -> QueryRefused:
    near = get_close_matches(name, OPTIONS, n=1, cutoff=0.6)
    fix = f"{near[0]} = {_EXAMPLES[near[0]]}" if near else ", ".join(OPTIONS)
    return text.refuse("DPQ-130", f"there is no option {name[:64]}", fix, place)


def _value(tokens: Sequence[Token]) -> OptionValue | None:
    """A number, a name or text, or names in parentheses; None for anything else."""
    kinds = [token.token_type for token in tokens]
    words = [token.text for token in tokens]
    if kinds and kinds[0] is TokenType.L_PAREN and kinds[-1] is TokenType.R_PAREN:
        names = words[1:-1:2]
        commas = all(kind is TokenType.COMMA for kind in kinds[2:-1:2])
        return tuple(names) if names and commas and len(kinds) % 2 else None
    sign = -1.0 if kinds[:1] == [TokenType.DASH] else 1.0
    if sign < 0.0:
        kinds, words = kinds[1:], words[1:]
    if TokenType.NUMBER in kinds and kinds in ([TokenType.NUMBER], [TokenType.DOT, TokenType.NUMBER]):
        try:
            return sign * float("".join(words))
        except ValueError:
            return None
    if len(words) == 1 and sign > 0.0 and kinds[0] not in {TokenType.L_PAREN, TokenType.R_PAREN}:
        return words[0]
    return None
