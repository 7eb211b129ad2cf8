"""`dpquery report budget`, `dpquery report fairness` and `dpquery report contact`."""

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
    from dpquery.reports.fairness import FairnessFormat
    from dpquery.reports.fairness_asking import Wishes
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
    if _written(report.to(cast("Format", form)), out):
        note(f"wrote {out}, ledger head {report.document.integrity.head[:23]}")


def show_fairness(
    steward: Steward,
    *,
    purpose: str | None,
    epsilon: float | None,
    wishes: Wishes,
    dry_run: bool,
    form: str,
    out: Path | None,
) -> None:
    """Say what the fairness report costs, ask it, and show it; with `dry_run` the price alone."""
    from dpquery.reports.fairness import FAIRNESS_FORMATS, fairness_of, fairness_prices, prices_shown

    if form not in FAIRNESS_FORMATS:
        raise UsageError("DPQ-002", f"{form[:20]!r} is not a format", fix=f"--format {', '.join(FAIRNESS_FORMATS)}")
    with steward.reporting_session(purpose) as session:
        asked = fairness_prices(session, epsilon, wishes)
        prices = prices_shown(asked)
        if dry_run:
            text = prices.document().model_dump_json(by_alias=True, indent=2) if form == "json" else str(prices)
            if _written(text + "\n", out):
                note(f"wrote {out}")
            return
        note(f"asks {len(asked)} questions: {prices.notes[0]}")
        report = fairness_of(session, asked)
    for warning in report.document.warnings:
        note(f"warning: {warning}")
    if _written(report.to(cast("FairnessFormat", form)), out):
        note(f"wrote {out}")


def _written(text: str, out: Path | None) -> bool:
    """Print the text, or write it to the file `out` in place of an older one; whether it was a file."""
    if out is None:
        print(text, end="")
        return False
    write_whole({out: text.encode("utf-8")}, overwrite=True)
    return True


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
    if _written(report.to(cast("ContactFormat", form)), out):
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
