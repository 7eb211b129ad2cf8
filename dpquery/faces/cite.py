"""A sentence for a paper."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpquery.faces.words import listed, percent_text

if TYPE_CHECKING:
    from dpquery.faces.sheet import Sheet


def citation(sheet: Sheet) -> str:
    """What was released, by which means, when, under which guarantee, and where the ledger keeps it."""
    terms = sheet.terms
    versions = dict(terms.versions)
    made = f"dpquery {versions['dpquery']} (noise by OpenDP {versions['opendp']})"
    receipts = [f"{receipt.release} of {receipt.at[:10]} (ledger entry {receipt.entry})" for receipt in terms.receipts]
    noun = "release" if len(receipts) == 1 else "releases"
    promise = terms.guarantee.sentence.rstrip(".")
    promise = promise[:1].lower() + promise[1:]
    return (
        f"{sheet.title[:1].upper()}{sheet.title[1:]} were computed from {terms.table} by {made}, {noun} "
        f"{listed(receipts)}, with differential privacy ({terms.price}): {promise}; "
        f"{percent_text(sheet.confidence)} intervals cover the noise only."
    )
