"""`dpquery ingest`."""

from __future__ import annotations

import sys
from datetime import date
from typing import TYPE_CHECKING

from dpquery.cli.output import note
from dpquery.errors import UsageError
from dpquery.stewardship import steward

if TYPE_CHECKING:
    from pathlib import Path

    from dpquery.ingest import IngestSummary

OK, QUARANTINED = 0, 5

QUARANTINED_SHARE_MAX = 0.05
"""Above it the exit status says so, unless the steward has accepted it."""


def run_ingest(
    folder: Path, files: list[Path], table: str, period: str | None, region: str | None, *, accept_quarantine: bool
) -> int:
    """Ingest, and say what happened; good rows are stored whatever the share of bad ones."""
    summary = steward(folder).ingest(
        files, table=table, period=_period(period), region=region, progress=_progress if sys.stderr.isatty() else None
    )
    show_summary(summary)
    if summary.quarantined_share > QUARANTINED_SHARE_MAX and not accept_quarantine:
        note(f"over {QUARANTINED_SHARE_MAX:.0%} of the rows are in quarantine; --accept-quarantine says that is fine")
        return QUARANTINED
    return OK


def show_summary(summary: IngestSummary) -> None:
    """Counts, reasons and cures, on standard error: they depend on rows and are for the steward."""
    seconds = sum(summary.seconds.values())
    note(
        f"{summary.table}: {summary.rows_stored:,} of {summary.rows_read:,} rows stored as data version "
        f"{summary.data_version}, {summary.numbers_new:,} new numbers ({seconds:.1f} s)"
    )
    if summary.numbers_invalid:
        note(f"  {summary.numbers_invalid:,} numbers are possible but not given out; they are kept and protected")
    if summary.erased:
        note(f"  erased {summary.erased:,}: rows of numbers that were erased are left out")
    if summary.past_retention:
        note(f"  left out {summary.past_retention:,}: rows older than retention_days of the policy")
    for reason, rows in summary.by_reason.items():
        note(f"  quarantined {rows:,}: {reason.replace('_', ' ')}")
    for cure in summary.cures:
        note(f"  cure  {cure}")
    for column, rows in summary.undeclared_values.items():
        note(f"  note  {column}: {rows:,} rows hold values that are not among its keys, so no group returns them")
    if summary.quarantine_file is not None:
        note(f"  see   {summary.quarantine_file}")


def _progress(stage: str, rows: int) -> None:
    sys.stderr.write(f"\r{stage}: {rows:,} rows\x1b[K")
    sys.stderr.flush()


def _period(text: str | None) -> tuple[date, date] | None:
    if text is None:
        return None
    first, _, last = text.partition("..")
    try:
        return date.fromisoformat(first), date.fromisoformat(last)
    except ValueError:
        raise UsageError("DPQ-002", f"{text[:40]!r} is not a period", fix="--period 2026-01-01..2026-01-31") from None
