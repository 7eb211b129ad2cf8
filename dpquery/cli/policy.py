"""`dpquery policy diff` and `dpquery policy simulate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpquery.cli.output import note, print_table

if TYPE_CHECKING:
    from dpquery.documents import PolicyDiffDocument, SimulatedScope, SimulationDocument

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


REFUSED_SHOWN = 20
"""Queries that are listed; the JSON object has all."""


def show_simulation(document: SimulationDocument, *, json: bool) -> None:
    """Queries that would have been refused, and every budget as it would be; or the JSON object."""
    if json:
        print(document.model_dump_json(by_alias=True))
        return
    version = f"version {document.policy_version}"
    refused = document.refused
    rows = [
        [each.at, each.analyst, each.purpose, each.table, "" if each.epsilon is None else f"{each.epsilon:g}", each.why]
        for each in refused[:REFUSED_SHOWN]
    ]
    if rows:
        headers = ["at", "analyst", "purpose", "table", "epsilon", "refused because"]
        print_table(headers, rows, numeric=frozenset({4}), title=f"answered then, refused under {version}")
    if len(refused) > REFUSED_SHOWN:
        note(f"and {len(refused) - REFUSED_SHOWN:,} more; --json lists all")
    headers = ["scope", "block", "cap", "spent", "left", "left now", "used", "ran out"]
    numeric = frozenset(range(2, 7))
    print_table(headers, [_scope_row(each) for each in document.scopes], numeric=numeric, title=f"under {version}")
    asked = document.replayed
    note(f"{asked.charged:,} charges, {asked.repeated:,} repeats and {asked.refused:,} refusals replayed")
    note(f"{len(refused):,} answered queries would have been refused")
    note(f"{document.could_be_asked:,} refused queries could be asked")
    for text in document.notes:
        note(f"note: {text}")


def _scope_row(scope: SimulatedScope) -> list[str]:
    return [
        scope.scope,
        scope.block,
        f"{scope.cap.epsilon:g}",
        f"{scope.spent.epsilon:.6g}",
        f"{scope.left.epsilon:.6g}",
        "no cap" if scope.left_now is None else f"{scope.left_now.epsilon:.6g}",
        f"{scope.used:.0%}",
        scope.ran_out_at or ("closed" if scope.state == "closed" else ""),
    ]
