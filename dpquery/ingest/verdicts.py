"""Why rows are not stored."""

from __future__ import annotations

from collections import Counter
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


LeftOut = Literal["erased", "past_retention"]
"""Why rows are neither stored nor put in quarantine, which holds numbers."""


class Verdicts:
    """The first fault found in each row of a batch, and the rows that are to leave no trace at all."""

    def __init__(self, rows: int) -> None:
        self.faults: list[Fault] = []
        self.left_out: Counter[LeftOut] = Counter()
        self._fault_of_row: Shorts = np.full(rows, -1, np.int16)
        self._gone: Flags = np.zeros(rows, np.bool_)

    def mark(self, rows: Flags, reason: QuarantineReason, about: str = "") -> None:
        """Quarantine `rows`, except those that have a fault already."""
        new = rows & (self._fault_of_row < 0)
        if new.any():
            self._fault_of_row[new] = len(self.faults)
            self.faults.append((reason, about))

    def leave_out(self, rows: Flags, why: LeftOut) -> None:
        """Neither store `rows` nor put them in quarantine, whatever else is found in them, before or after."""
        new = rows & ~self._gone
        self.left_out[why] += int(new.sum())
        self._gone |= new

    @property
    def kept(self) -> Flags:
        """Rows to be stored."""
        return (self._fault_of_row < 0) & ~self._gone

    def bad(self) -> tuple[Longs, list[Fault]]:
        """Indices of the rows for the quarantine, in order, and the fault of each."""
        rows = np.flatnonzero((self._fault_of_row >= 0) & ~self._gone)
        return rows, [self.faults[fault] for fault in self._fault_of_row[rows].tolist()]
