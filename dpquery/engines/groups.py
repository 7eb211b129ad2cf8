"""Groups that are not declared: those that the rows have, and in each its different numbers. Secret until selected."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Never

import numpy as np

from dpquery.engines import render
from dpquery.errors import broken, ensure
from dpquery.plan.keys import in_order
from dpquery.plan.query import group_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dpquery.engines.scan import RowSource
    from dpquery.plan.expressions import Constant
    from dpquery.plan.keys import Group
    from dpquery.plan.query import LogicalPlan

TEXT_MAX = 200
"""Characters of a text that can be a key; rows with longer ones, or with unprintable ones, are in no group."""


class ExactGroups:
    """Groups with their exact numbers; opened once, by the step that adds noise."""

    __slots__ = ("__counts", "__groups")

    def __init__(self, groups: tuple[Group, ...], counts: NDArray[np.int64]) -> None:
        ensure(counts.shape == (len(groups), 1), "each group has a count")
        self.__groups: tuple[Group, ...] | None = groups
        self.__counts = counts

    def open_for_noise(self) -> tuple[tuple[Group, ...], NDArray[np.int64]]:
        """The groups and their numbers, an array (groups, 1); a second call stops, so that nothing else reads them."""
        if self.__groups is None:
            broken("exact groups are opened once")
        groups, self.__groups = self.__groups, None
        return groups, self.__counts

    def __repr__(self) -> str:
        return "ExactGroups(secret)"

    def __reduce__(self) -> Never:
        broken("exact groups never leave their process")


def occurring(logical: LogicalPlan, source: RowSource) -> tuple[Group, ...]:
    """The groups of rows with a protected owner, in the order of the answer. Secret."""
    owned = [render.sql("{} >= 0", render.identifier(party)) for party in logical.parties]
    where = render.sql("{} AND ({})", render.condition(logical.where), render.join(" OR ", owned))
    found = source.distinct(logical.relation, [render.key_value(key.expression) for key in logical.keys], where)
    declared = [frozenset(key.values) if key.declared else None for key in logical.keys]
    return in_order(logical.keys, [group for group in found if _can_show(declared, group)])


def _can_show(declared: Sequence[frozenset[Constant] | None], group: Group) -> bool:
    """Whether every value of a group is one that can be shown, or declared."""
    for values, value in zip(declared, group, strict=True):
        if not (_is_printable(value) if values is None else value in values):
            return False
    return True


def _is_printable(value: Constant) -> bool:
    """Whether a value shows as what it is: no control or format characters; spaces of any kind."""
    if not isinstance(value, str):
        return True
    return len(value) <= TEXT_MAX and (
        value.isprintable() or all(c.isprintable() or unicodedata.category(c) == "Zs" for c in value)
    )


@dataclass(frozen=True, slots=True)
class GroupIndex:
    """The cell of each row among listed groups.

    Groups are found key by key: those that begin alike are one number, which fits 64 bits whatever values rows have. An
    index that stopped at some number of combinations would tell whether the rows have that many.
    """

    listed: tuple[tuple[Constant, ...], ...]
    """For each key its values in the groups, NULL last."""
    beginnings: tuple[NDArray[np.int64], ...]
    """For each key, rising: the place of the groups' beginning before it, times its values, plus the value's place."""
    cells: NDArray[np.int32]
    """The cell of each of the last `beginnings`, which are whole groups."""

    @classmethod
    def of(cls, logical: LogicalPlan) -> GroupIndex:
        """The index of the plan's selected groups."""
        columns = [group_values(logical, i) for i in range(len(logical.keys))]
        listed = tuple(tuple(dict.fromkeys(column)) for column in columns)
        beginnings: list[NDArray[np.int64]] = []
        before = np.zeros(logical.cells, np.int64)
        for column, values in zip(columns, listed, strict=True):
            places = {value: i for i, value in enumerate(values)}
            numbers = before * len(values) + np.array([places[value] for value in column], np.int64)
            found, before = np.unique(numbers, return_inverse=True)
            beginnings.append(found)
        return cls(listed, tuple(beginnings), np.argsort(before, kind="stable").astype(np.int32))

    def cells_of(self, positions: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
        """The cell of each row from the positions of its keys (-1: not listed); -1 for a row in no group."""
        before = np.zeros(len(positions[0]), np.int64)
        inside = np.ones(len(positions[0]), np.bool_)
        for position, values, beginnings in zip(positions, self.listed, self.beginnings, strict=True):
            numbers = before * len(values) + position
            before = np.searchsorted(beginnings, numbers)
            before[before == len(beginnings)] = 0
            inside &= (position >= 0) & (beginnings[before] == numbers)
        return np.where(inside, self.cells[before], np.int32(-1))
