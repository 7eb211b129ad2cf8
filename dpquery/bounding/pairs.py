"""Which pairs of numbers were met already, cell by cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from dpquery.bounding.codes import ROWS_MAX, codes, column, count_of
from dpquery.errors import ensure

if TYPE_CHECKING:
    from dpquery.bounding.codes import Codes, Flags, Lots

    _Slots: TypeAlias = tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32]]

SLOTS_MIN = 2**12


class PairTable:
    """A hash table of (cell, pair), at most half full: 24 to 48 bytes for each pair it holds once it has grown."""

    def __init__(self) -> None:
        self.held = 0
        self._slots = _empty(SLOTS_MIN)

    def with_room_for(self, rows: int) -> _Slots:
        """The table's arrays, grown until `rows` more pairs fit; whoever adds to them adds to `held`."""
        from dpquery.bounding import kernels  # numba loads when a kernel is first used

        size = len(self._slots[0])
        wanted = size
        while 2 * (self.held + rows) > wanted:
            wanted *= 2
        if wanted > size:
            larger = _empty(wanted)
            kernels.move_pairs(*self._slots, *larger)
            self._slots = larger
        return self._slots


class FirstPairs:
    """Tells the first row of each pair in each cell from the rows that follow it. Holds every pair of the query once.

    A pair is of two codes in their roles, so (a, b) is not (b, a). Public numbers (codes below -1) have codes of their
    own; a withheld number (-1) makes no pair, for nobody can tell whether two of them are one.
    """

    def __init__(self, numbers: int, cells: int) -> None:
        self._numbers = count_of(numbers, 0, "numbers")
        self._cells = count_of(cells, 1, "cells")
        self._table = PairTable()

    def add(self, first: Codes, second: Codes, cell: Codes) -> Flags:
        """Flags for the next batch, in the order of the store; never set for a row in no cell."""
        from dpquery.bounding import kernels

        rows = len(cell)
        first = codes(first, self._numbers, rows, "first owner")
        second = codes(second, self._numbers, rows, "second owner")
        cell = codes(cell, self._cells, rows, "cell")
        ensure(self._table.held + rows <= ROWS_MAX, f"at most {ROWS_MAX} rows in one query")
        new = np.zeros(rows, np.bool_)
        pairs, cells_of = self._table.with_room_for(rows)
        self._table.held += kernels.first_pairs(first, second, cell_of_pairs(first, second, cell), pairs, cells_of, new)
        return new


def cell_of_pairs(first: Codes, second: Codes, cell: Codes) -> Codes:
    """The cell of each row whose numbers are both known, -1 (no cell) where one is withheld."""
    return column(np.where((first == -1) | (second == -1), np.int32(-1), cell), np.int32, len(cell), "cell")


def pair_lots(lots: Lots) -> Lots:
    """Lots of pairs from those of their first rows: mixed anew, so that a pair of many rows has no better chance.

    Rows are ordered by lot where their times are equal, so the first of several has a low one; after mixing (the
    finaliser of MurmurHash3, a bijection) that says nothing.
    """
    mixed = lots.copy()
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        mixed ^= mixed >> np.uint32(shift)
        mixed *= np.uint32(factor)
    return mixed


def _empty(slots: int) -> _Slots:
    return np.zeros(slots, np.uint64), np.full(slots, -1, np.int32)
