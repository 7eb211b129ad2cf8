"""What a budget is held for: an analyst, a group, a purpose, or the whole dataset, in one time block."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast, get_args

from dpquery.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

ScopeKind = Literal["analyst", "group", "purpose", "dataset"]

UNCONDITIONAL: frozenset[ScopeKind] = frozenset({"analyst", "dataset"})
"""Kinds that refuse charges until they are granted a budget; the others bind only once they are."""

NAME_LENGTH_MAX = 128


@dataclass(frozen=True, slots=True)
class Scope:
    """Who spends. Its text is `kind:name`, or `dataset`."""

    kind: ScopeKind
    name: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(ScopeKind):
            raise UsageError("DPQ-002", f"{self.kind!r} is not a kind of scope", fix="analyst:NAME, or dataset")
        if self.kind == "dataset":
            if self.name:
                raise UsageError("DPQ-002", "the scope of the dataset has no name", fix="dataset")
            return
        if not is_plain(self.name):
            raise UsageError("DPQ-002", f"a scope of kind {self.kind} needs a plain name", fix=f"{self.kind}:NAME")

    def __str__(self) -> str:
        return self.kind if self.kind == "dataset" else f"{self.kind}:{self.name}"

    @staticmethod
    def parse(text: str) -> Scope:
        """The scope that `text` names; UsageError DPQ-002 if it names none."""
        return _parse(text)


Pair = tuple[Scope, str]
"""A scope and one of its blocks: where amounts are held."""


def pair_key(pair: Pair) -> tuple[str, str]:
    """Order in which scopes and blocks are read, written and, where a database locks rows, locked."""
    return (str(pair[0]), pair[1])


Member = tuple[str, str]
"""Names of a group and of an analyst in it."""


def with_groups(pairs: Collection[Pair], groups: Mapping[str, Collection[str]]) -> tuple[Pair, ...]:
    """`pairs` and the groups of each analyst among them, by `groups`, in the same blocks; in the ledger's order."""
    of_groups = {
        (Scope("group", group), block)
        for scope, block in pairs
        if scope.kind == "analyst"
        for group in groups.get(scope.name, ())
    }
    return tuple(sorted({*pairs, *of_groups}, key=pair_key))


def is_plain(text: str) -> bool:
    """Whether `text` may name a scope or a block: short, printable, no space around it."""
    return 0 < len(text) <= NAME_LENGTH_MAX and text.isprintable() and text == text.strip()


@functools.lru_cache(maxsize=4096)
def _parse(text: str) -> Scope:
    kind, _, name = text.partition(":")
    return Scope(cast("ScopeKind", kind), name)
