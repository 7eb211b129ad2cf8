"""Weighted draws by a table of tickets: one random integer and one look-up per draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

Ints = np.ndarray[Any, np.dtype[np.signedinteger[Any]]]
Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Lottery:
    """Prizes 0, 1, 2, ... each with tickets in proportion to its weight (rounded to one ticket in 2^bits)."""

    tickets: Ints

    @classmethod
    def of(cls, weights: Sequence[float] | Floats, *, bits: int = 12) -> Lottery:
        return cls(tickets_for(np.asarray(weights, dtype=np.float64), bits=bits))

    def draw(self, rng: np.random.Generator, size: int) -> Ints:
        """`size` prizes, independent of each other."""
        return self.tickets[rng.integers(len(self.tickets), size=size, dtype=np.int32)]


@dataclass(frozen=True, slots=True)
class Lotteries:
    """Several lotteries over the same prizes; each draw names the one it takes part in."""

    tickets: Ints

    @classmethod
    def of(cls, rows: Sequence[Sequence[float]] | Floats, *, bits: int = 12) -> Lotteries:
        return cls(np.stack([tickets_for(np.asarray(row, dtype=np.float64), bits=bits) for row in rows]))

    def draw(self, rng: np.random.Generator, which: Ints) -> Ints:
        """One prize for each entry of `which`, the row of its lottery."""
        drawn: Ints = self.tickets[which, rng.integers(self.tickets.shape[1], size=len(which), dtype=np.int32)]
        return drawn


def tickets_for(weights: Floats, *, bits: int) -> Ints:
    """2^bits prizes, each prize as often as its weight says."""
    edges = np.rint(np.cumsum(weights) / weights.sum() * 2**bits).astype(np.int64)
    counts = np.diff(edges, prepend=0)
    return np.repeat(np.arange(len(weights), dtype=np.int32), counts)
