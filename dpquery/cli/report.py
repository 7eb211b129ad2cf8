"""`dpquery report budget` and `dpquery report contact`."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, cast

from dpquery.cli.output import note
from dpquery.errors import UsageError
from dpquery.faces.save import write_whole
from dpquery.reports.contact_sections import CONTACT_FORMATS
from dpquery.reports.report import FORMATS

if TYPE_CHECKING:
    from pathlib import Path

    from dpquery.reports.contact_sections import ContactFormat
    from dpquery.reports.report import Format
    from dpquery.stewardship import Steward

OK, FAILED = 0, 4

FAIL_ON = {"over": ("over",), "unsure": ("over", "cannot tell")}
"""Verdicts that each value of `--fail-on` is about."""


def show_report(steward: Steward, *, form: str, out: Path | None, coverage: float | None) -> None:
    """The budget report on standard output, or in the file `out`, which is replaced."""
    if form not in FORMATS:
        raise UsageError("DPQ-002", f"{form[:20]!r} is not a format", fix=f"--format {', '.join(FORMATS)}")
    report = steward.report(coverage=coverage)
    text = report.to(cast("Format", form))
    if out is None:
        print(text, end="")
        return
    write_whole({out: text.encode("utf-8")}, overwrite=True)
    note(f"wrote {out}, ledger head {report.document.integrity.head[:23]}")


def show_contact(
    steward: Steward,
    *,
    purpose: str | None,
    epsilon: float | None,
    until: str | None,
    dry_run: bool,
    form: str,
    out: Path | None,
    fail_on: str | None,
) -> int:
    """The contact report on standard output or in the file `out`; the exit status, 4 where `fail_on` is met."""
    if form not in CONTACT_FORMATS:
        raise UsageError("DPQ-002", f"{form[:20]!r} is not a format", fix=f"--format {', '.join(CONTACT_FORMATS)}")
    if fail_on is not None and fail_on not in FAIL_ON:
        raise UsageError("DPQ-002", f"--fail-on {fail_on[:20]!r} is no verdict", fix="--fail-on over, or unsure")
    report = steward.contact_report(purpose=purpose, epsilon=epsilon, until=_day(until), dry_run=dry_run)
    found = report.document
    text = report.to(cast("ContactFormat", form))
    if out is None:
        print(text, end="")
    else:
        write_whole({out: text.encode("utf-8")}, overwrite=True)
        note(f"wrote {out}")
    note(f"spent epsilon {found.epsilon_spent:g} of {found.epsilon_asked:g} asked for, for {found.purpose}")
    counted = [one for one in found.findings if one.verdict in FAIL_ON.get(fail_on or "", ())]
    return FAILED if counted else OK


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError("DPQ-002", f"--until {text[:20]!r} is no day", fix="--until 2026-03-31") from None
