"""`dpquery ledger verify`, `dpquery ledger checkpoint`, `dpquery ledger adopt`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpquery.accounting import ATTO_DIGITS, NANO_DIGITS, PICO_DIGITS, exact_text
from dpquery.cli.output import note, print_table

if TYPE_CHECKING:
    from pathlib import Path

    from dpquery.documents import LedgerVerificationDocument
    from dpquery.ledger import Adoption, Checkpoint


def show_verification(document: LedgerVerificationDocument, *, json: bool) -> None:
    """What was found whole, and how the ledger accounts for checkpoints."""
    if json:
        print(document.model_dump_json(by_alias=True))
        return
    print(f"{document.dataset}: the ledger holds together, from its first entry to entry {document.entries:,}")
    print(f"head  {document.head}, {document.at}")
    print(
        f"holds {document.charges:,} charges, {document.releases:,} releases, "
        f"{document.decisions:,} signed decisions, {document.adoptions:,} adoptions"
    )
    for found in document.checkpoints:
        contained = found.accounted == "contained"
        how = "is part of it" if contained else "was adopted: what lost entries had spent is charged"
        print(f"checkpoint at entry {found.entries:,} ({found.file}) {how}")
    if not document.checkpoints:
        note("no checkpoint was given: an older copy of the whole ledger would be found whole, too")


def show_checkpoint(file: Path, made: Checkpoint) -> None:
    """Where the ledger stood."""
    note(f"wrote {file}: entry {made.sequence:,}, head {made.name[:23]}; keep it where the ledger is not")


def show_adoption(done: Adoption) -> None:
    """What was charged, by scope and block, and what is lost."""
    rows = [
        [
            str(scope),
            block,
            exact_text(loss.epsilon, NANO_DIGITS),
            exact_text(loss.rho, PICO_DIGITS),
            exact_text(loss.delta, ATTO_DIGITS),
        ]
        for (scope, block), loss in done.gap
    ]
    if rows:
        print_table(
            ["scope", "block", "epsilon", "rho", "delta"],
            rows,
            numeric=frozenset({2, 3, 4}),
            title="charged for what the lost entries had spent",
        )
    note(f"adopted as entry {done.entry.sequence:,}; lost are up to {done.entries_lost:,} entries")
    if done.decisions_lost:
        note(f"up to {done.decisions_lost:,} grants and closes are among them: make them again")
    note("take a new checkpoint: dpquery ledger checkpoint DIR --out FILE")
