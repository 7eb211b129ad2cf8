"""Every error a caller can meet, with its code, exit status and cure.

DpqueryError            code, title, why, fix, where; `exit_status` for the command line
    UsageError          2  a command or an argument that cannot be understood
    QueryRefused        3  the query cannot be answered privately as it stands
    BudgetRefused       4  the privacy budget does not allow it
    DataError           5  files that cannot be ingested, or too many rows in quarantine
    NotAllowed          6  this analyst, purpose or machine user may not
    EngineError         7  the engine failed; the message holds nothing of what it read
    LedgerError         8  the ledger cannot be trusted or reached
    PolicyError         2  a policy file that fails its check
    StoreError          5  a store that is missing, newer than this program, or open to others
    InternalError       1  a bug; nothing was released

No message may hold a phone number, a row, or anything else read from protected data.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import ClassVar, Never


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one line of a query or policy: `line` and `column` from 1, `end` one past the last column."""

    line: int
    column: int
    end: int


class DpqueryError(Exception):
    """What went wrong, where, why, and the line to write instead.

    `code` is `DPQ-` and three digits (its entry in the catalogue has the title); `why` one sentence; `fix` what to
    write or run instead; `where` the place in the text that was read, which is kept in `source`. `spent` is the epsilon
    that was charged before it happened: 0 for all that comes before a charge, None where only the ledger knows.

    Its text is the same wherever it is shown: in Python, on the command line, in notebooks and tools.
    """

    exit_status: ClassVar[int] = 1
    spends_nothing: ClassVar[bool] = False
    """Whether errors of this kind come before anything is charged."""

    def __init__(
        self, code: str, why: str, *, fix: str | None = None, where: Span | None = None, source: str | None = None
    ) -> None:
        super().__init__(code, why)
        self.code = code
        self.why = why
        self.fix = fix
        self.where = where
        self.source = source
        self.spent: float | None = 0.0 if self.spends_nothing else None

    def __str__(self) -> str:
        lines = [f"{self.code}  {self.why}"]
        if self.where is not None and self.source is not None:
            lines += ["", *_underlined(self.source.split("\n")[self.where.line - 1], self.where), ""]
        if self.fix is not None:
            first, *rest = self.fix.splitlines()
            lines += [f"  fix    {first}", *(f"         {line}" for line in rest)]
        if self.spent is not None:
            lines.append(f"  spent  epsilon {self.spent:g}, which stays spent" if self.spent else "  spent  nothing")
        return "\n".join([*lines, f"  more   dpquery explain {self.code}"])


LINE_WIDTH_MAX = 120
"""Columns of a line of text that are shown, with a mark where it was cut."""


def _underlined(text: str, where: Span) -> tuple[str, str]:
    """The line of `where` with carets under it, both cut around them if the line is long."""
    # A long line is cut some way before the carets, so that what leads to them can be read.
    first = 0 if len(text) <= LINE_WIDTH_MAX else max(0, where.column - 1 - LINE_WIDTH_MAX // 3)
    shown = text[first : first + LINE_WIDTH_MAX]
    before, after = ("... " if first else "", " ..." if first + LINE_WIDTH_MAX < len(text) else "")
    shown = printable(shown)
    start, end = where.column - 1 - first, max(where.column, where.end - 1) - first
    blank, marked = _columns(before + shown[:start]), _columns(shown[start:end])
    gutter = f"  {where.line} | "
    carets = " " * blank + "^" * max(1, marked)
    return gutter + before + shown + after, " " * (len(gutter) - 2) + "| " + carets


def printable(text: str) -> str:
    """`text` with a mark of one column for what a terminal would obey, or draw nowhere; a space for a tab."""
    return "".join(sign if sign.isprintable() else " " if sign == "\t" else "?" for sign in text)


def _columns(text: str) -> int:
    """How many columns of a terminal a text takes: letters of East Asia take two, combining marks none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


class UsageError(DpqueryError):
    exit_status = 2
    spends_nothing = True


class PolicyError(DpqueryError):
    exit_status = 2
    spends_nothing = True


class QueryRefused(DpqueryError):
    exit_status = 3
    spends_nothing = True


class BudgetRefused(DpqueryError):
    exit_status = 4
    spends_nothing = True


class DataError(DpqueryError):
    exit_status = 5
    spends_nothing = True


class StoreError(DpqueryError):
    exit_status = 5
    spends_nothing = True


class NotAllowed(DpqueryError):
    exit_status = 6
    spends_nothing = True


class EngineError(DpqueryError):
    exit_status = 7


class LedgerError(DpqueryError):
    exit_status = 8


class InternalError(DpqueryError):
    exit_status = 1


def ensure(condition: bool, invariant: str) -> None:
    """Stop with InternalError unless `condition`; unlike `assert` it also holds under `python -O`."""
    if not condition:
        broken(invariant)


def broken(invariant: str) -> Never:
    """Stop because `invariant`, which the program itself must keep, does not hold."""
    raise InternalError("DPQ-001", f"internal invariant broken: {invariant}", fix="report this; nothing was released")
