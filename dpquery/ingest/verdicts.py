"""Why rows are not stored."""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

import numpy as np

Flags = np.ndarray[Any, np.dtype[np.bool_]]
Shorts = np.ndarray[Any, np.dtype[np.int16]]
Longs = np.ndarray[Any, np.dtype[np.int64]]

QuarantineReason = Literal[
    "bad_row",
    "bad_direction",
    "missing_party",
    "unparsed_number",
    "missing_time",
    "bad_time",
    "outside_period",
    "third_party",
    "bad_value",
    "too_many_owners",
    "empty_key",
    "duplicate_key",
]
QUARANTINE_REASONS: Final[tuple[QuarantineReason, ...]] = get_args(QuarantineReason)

Fault = tuple[QuarantineReason, str]
"""A reason and what it is about: a party and how its number fails, a column, or nothing."""


class Verdicts:
    """The first fault found in each row of a batch."""

    def __init__(self, rows: int) -> None:
        self.faults: list[Fault] = []
        self._fault_of_row: Shorts = np.full(rows, -1, np.int16)

    def mark(self, rows: Flags, reason: QuarantineReason, about: str = "") -> None:
        """Quarantine `rows`, except those that have a fault already."""
        new = rows & (self._fault_of_row < 0)
        if new.any():
            self._fault_of_row[new] = len(self.faults)
            self.faults.append((reason, about))

    @property
    def kept(self) -> Flags:
        """Rows without a fault."""
        return self._fault_of_row < 0

    def bad(self) -> tuple[Longs, list[Fault]]:
        """Indices of the rows with a fault, in order, and the fault of each."""
        rows = np.flatnonzero(self._fault_of_row >= 0)
        return rows, [self.faults[fault] for fault in self._fault_of_row[rows].tolist()]
