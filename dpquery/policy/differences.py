"""Where two policies differ: every field, found by a walk over the models, so that none can be forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel

from dpquery.policy.model import KeyRange, KeysFromTable

if TYPE_CHECKING:
    from collections.abc import Iterator

Place = tuple[str, ...]
"""Names from the top of the file down."""

WHOLE = ("parties",)
"""Sections that are compared as one: what their entries mean depends on each other."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One field, or one whole section or entry, that two policies have differently. None: not there."""

    place: Place
    before: object
    after: object
    names: tuple[str, ...] = ()
    """The names in the place that the policy chose: of a table, a column, an analyst."""

    @property
    def name(self) -> str:
        return ".".join(self.place)


def differences(before: object, after: object, place: Place = ()) -> Iterator[Difference]:
    """Every difference, in the order of the file's sections; both sides are values of one field, or whole policies."""
    if before == after:
        return
    if _is_section(before) and type(before) is type(after) and isinstance(before, BaseModel):
        for name, field in type(before).model_fields.items():
            yield from differences(getattr(before, name), getattr(after, name), (*place, field.alias or name))
    elif isinstance(before, dict) and isinstance(after, dict) and place[-1] not in WHOLE:
        for name in dict.fromkeys((*before, *after)):
            yield from differences(before.get(name), after.get(name), (*place, name))
    else:
        yield Difference(place, before, after)


def _is_section(value: object) -> bool:
    return not isinstance(value, KeysFromTable | KeyRange)
