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
    write or run instead; `where` the place in the text that was read, which is kept in `source`.
    """

    exit_status: ClassVar[int] = 1

    def __init__(
        self, code: str, why: str, *, fix: str | None = None, where: Span | None = None, source: str | None = None
    ) -> None:
        super().__init__(code, why)
        self.code = code
        self.why = why
        self.fix = fix
        self.where = where
        self.source = source

    def __str__(self) -> str:
        lines = [f"{self.code}  {self.why}"]
        if self.where is not None and self.source is not None:
            # Lines as places count them; what a terminal would act on keeps its width and does nothing.
            line = self.source.split("\n")[self.where.line - 1]
            text = "".join(letter if letter.isprintable() else " " for letter in line)
            gutter = f"  {self.where.line} | "
            carets = " " * (self.where.column - 1) + "^" * max(1, self.where.end - self.where.column)
            lines += ["", gutter + text, " " * (len(gutter) - 2) + "| " + carets, ""]
        if self.fix is not None:
            first, *rest = self.fix.splitlines()
            lines += [f"  fix    {first}", *(f"         {line}" for line in rest)]
        return "\n".join(lines)


class UsageError(DpqueryError):
    exit_status = 2


class PolicyError(DpqueryError):
    exit_status = 2


class QueryRefused(DpqueryError):
    exit_status = 3


class BudgetRefused(DpqueryError):
    exit_status = 4


class DataError(DpqueryError):
    exit_status = 5


class StoreError(DpqueryError):
    exit_status = 5


class NotAllowed(DpqueryError):
    exit_status = 6


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
