"""`dpquery receipt verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpquery.errors import LedgerError
from dpquery.receipts.verify import check_file
from dpquery.stewardship import steward

if TYPE_CHECKING:
    from pathlib import Path


def verify_receipt(file: Path, folder: Path | None) -> int:
    """What was looked at in a saved release, and the exit status; LedgerError DPQ-811 if anything differs."""
    checked = check_file(file) if folder is None else steward(folder).verify_receipt(file)
    print(checked)
    if checked.differing:
        raise LedgerError("DPQ-811", checked.differing[0].text, fix="ask for the release again: a repeat is free")
    return checked.exit_status
