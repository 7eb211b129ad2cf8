"""`dpquery notice`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpquery.cli.output import note
from dpquery.errors import UsageError
from dpquery.faces.save import write_whole
from dpquery.reports.notices.written import NOTICE_FORMATS, REGISTER_FORMATS

if TYPE_CHECKING:
    from pathlib import Path

    from dpquery.stewardship import Steward


def show_notice(steward: Steward, *, register: bool, form: str, out: Path | None) -> None:
    """The notice or the register on standard output, or in the file `out`, which is replaced."""
    formats = REGISTER_FORMATS if register else NOTICE_FORMATS
    if form not in formats:
        raise UsageError("DPQ-002", f"{form[:20]!r} is not a format", fix=f"--format {', '.join(formats)}")
    made = steward.register() if register else steward.notice()
    text = made.to(form)
    if out is None:
        print(text, end="")
    else:
        write_whole({out: text.encode("utf-8")}, overwrite=True)
        note(f"wrote {out}, policy version {made.document.policy_version}")
    if made.missing:
        note(f"note: people are not told all they need: [report] of the policy lacks {', '.join(made.missing)}")
