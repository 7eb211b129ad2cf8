"""`dpquery report budget`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from dpquery.cli.output import note
from dpquery.errors import UsageError
from dpquery.faces.save import write_whole
from dpquery.reports.report import FORMATS

if TYPE_CHECKING:
    from pathlib import Path

    from dpquery.reports.report import Format
    from dpquery.stewardship import Steward


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
