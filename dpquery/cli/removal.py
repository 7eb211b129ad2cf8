"""`dpquery purge` and `dpquery consent purge --number`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpquery.cli.output import note
from dpquery.documents import ErasureDocument

if TYPE_CHECKING:
    from dpquery.documents import PurgeDocument
    from dpquery.removal.erasure import Erasure


def show_erasure(done: Erasure, *, json: bool) -> None:
    """What is gone and what stays; or the JSON object."""
    if json:
        document = ErasureDocument(dataset=done.dataset, numbers=done.numbers, sentences=done.sentences)
        print(document.model_dump_json(by_alias=True))
        return
    for sentence in done.sentences:
        note(sentence)


def show_purge(done: PurgeDocument, *, json: bool) -> None:
    """What was removed, on standard error, as it depends on rows; or the JSON object."""
    if json:
        print(done.model_dump_json(by_alias=True))
        return
    for each in done.tables:
        kept = f"rows are kept for {each.retention_days:,} days, now from {each.kept_from} on"
        note(f"{each.table}: {kept}; {each.rows_removed:,} older rows removed")
    if not done.tables:
        note("no table of the policy has retention_days: rows are kept for ever")
