"""What a difference between two policies does to the promises made to subscribers, and the kinds of rules for it.

A rule gives a direction and a plain sentence. *Weakens* means that somebody is promised less, or that more of them is
kept or told; *strengthens* is its reverse. What changes errors, words or the reading of files is neutral. Reversing a
change reverses its direction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal, cast

from pydantic import BaseModel

from dpquery.policy.differences import Difference
from dpquery.policy.model import Policy

Direction = Literal["weakens", "strengthens", "neutral"]
ORDER: tuple[Direction, ...] = ("weakens", "strengthens", "neutral")
REVERSE: dict[Direction, Direction] = {"weakens": "strengthens", "strengthens": "weakens", "neutral": "neutral"}


@dataclass(frozen=True, slots=True)
class Change:
    """One effect of a difference. Of lists, `before` and `after` hold only the entries that this effect is about."""

    place: str
    direction: Direction
    sentence: str
    before: Any
    after: Any


Rule = Callable[[Difference, Policy, Policy], Iterator[Change]]

LISTED_MAX = 5
"""How many entries of a list a sentence names."""


def neutral(sentence: str) -> Rule:
    """A field whose changes promise nobody less or more."""

    def rule(found: Difference, _before: Policy, _after: Policy) -> Iterator[Change]:
        yield change(found, "neutral", sentence)

    return rule


def entries(added: str, removed: str, *, more: Direction = "weakens") -> Rule:
    """A list without order: an effect for what was added, and one for what was removed."""

    def rule(found: Difference, _before: Policy, _after: Policy) -> Iterator[Change]:
        before, after = items(found.before), items(found.after)
        new, gone = [x for x in after if x not in before], [x for x in before if x not in after]
        if new:
            yield change(replace(found, before=(), after=tuple(new)), more, added)
        if gone:
            yield change(replace(found, before=tuple(gone), after=()), REVERSE[more], removed)
        if not new and not gone:
            yield change(found, "neutral", "{place} is written in another way, and means the same")

    return rule


def amount(up: str, down: str, *, absent: float, more: Direction = "weakens") -> Rule:
    """A number: more is `more`, less its reverse; `absent` is what a missing one means."""

    def rule(found: Difference, _before: Policy, _after: Policy) -> Iterator[Change]:
        before, after = (absent if side is None else float(cast("float", side)) for side in (found.before, found.after))
        if before == after:
            yield change(found, "neutral", "{place} is now written out, and means the same")
        else:
            yield change(found, more if after > before else REVERSE[more], up if after > before else down)

    return rule


def presence(given: str, taken: str, other: str, *, more: Direction = "weakens") -> Rule:
    """A field that may be missing: being given is `more`; another value is neutral."""

    def rule(found: Difference, _before: Policy, _after: Policy) -> Iterator[Change]:
        if found.before is None:
            yield change(found, more, given)
        elif found.after is None:
            yield change(found, REVERSE[more], taken)
        else:
            yield change(found, "neutral", other)

    return rule


def listed(given: str, taken: str, other: Rule) -> Rule:
    """A list of what is allowed, where a missing one means everything: being given strengthens."""

    def rule(found: Difference, before: Policy, after: Policy) -> Iterator[Change]:
        if found.before is None:
            yield change(found, "strengthens", given)
        elif found.after is None:
            yield change(found, "weakens", taken)
        else:
            yield from other(found, before, after)

    return rule


def switch(on: str, off: str, *, more: Direction = "weakens") -> Rule:
    """A field that is true or false: becoming true is `more`."""

    def rule(found: Difference, _before: Policy, _after: Policy) -> Iterator[Change]:
        yield change(found, more if found.after else REVERSE[more], on if found.after else off)

    return rule


def change(found: Difference, direction: Direction, sentence: str, **told: str) -> Change:
    """The effect of `found`. `sentence` takes the names in its place by number, {place}, {before}, {after}, {items}."""
    listed = some([str(x) for x in (*items(found.before), *items(found.after))])
    said = sentence.format(
        *found.names, place=found.name, before=shown(found.before), after=shown(found.after), items=listed, **told
    )
    return Change(found.name, direction, said, _plain(found.before), _plain(found.after))


def items(value: object) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else () if value is None else (value,)


def some(items: list[str]) -> str:
    shown = items if len(items) <= LISTED_MAX else [*items[:LISTED_MAX], f"{len(items) - LISTED_MAX:,} more"]
    return ", ".join(shown)


def shown(value: object) -> str:
    """A value in a sentence."""
    match value:
        case None:
            return "nothing"
        case tuple():
            return some([shown(one) for one in value]) or "nothing"
        case bool():
            return "yes" if value else "no"
        case float() | int():
            return f"{value:g}" if isinstance(value, float) else str(value)
        case BaseModel():
            given = value.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True)
            return ", ".join(f"{name} {one}" for name, one in given.items())
        case dict():
            return ", ".join(f"{name} {shown(one)}" for name, one in value.items()) or "nothing"
        case _:
            return str(value)


def _plain(value: object) -> Any:
    """A value as JSON has it."""
    match value:
        case BaseModel():
            return value.model_dump(mode="json", by_alias=True, exclude_none=True)
        case tuple():
            return [_plain(one) for one in value]
        case dict():
            return {name: _plain(one) for name, one in value.items()}
        case date():
            return value.isoformat()
        case _:
            return value
