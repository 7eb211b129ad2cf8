"""`dpquery policy diff`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpquery.cli.output import note

if TYPE_CHECKING:
    from dpquery.documents import PolicyDiffDocument

HEADINGS = {
    "weakens": "Weakens a promise, or keeps or tells more",
    "strengthens": "Strengthens a promise, or keeps or tells less",
    "neutral": "Leaves promises as they are",
}


def show_diff(document: PolicyDiffDocument, *, json: bool) -> None:
    """Every change in a sentence, those that weaken a promise first; or the JSON object."""
    if json:
        print(document.model_dump_json(by_alias=True))
        return
    for direction, heading in HEADINGS.items():
        found = [change for change in document.changes if change.direction == direction]
        if found:
            print(f"{heading}:")
            for change in found:
                print(f"  {change.sentence}.\n      {change.place}")
    if not document.changes:
        print("The two policies say the same.")
    for text in document.notes:
        note(f"note: {text}")
