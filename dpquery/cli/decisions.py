"""`dpquery grant`, `dpquery raise` and `dpquery close`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpquery.cli.output import note, print_table

if TYPE_CHECKING:
    from dpquery.documents import CapState, DecisionDocument


def show_decision(document: DecisionDocument, *, json: bool) -> None:
    """The cap before and after, or the JSON object; what to know besides goes to standard error."""
    if json:
        print(document.model_dump_json(by_alias=True))
        return
    where = "each block" if document.block == "*" else document.block
    rows = [[when, *_cells(state)] for when, state in (("before", document.before), ("after", document.after))]
    print_table(["", "state", "epsilon", "delta"], rows, numeric=frozenset({2, 3}), title=f"{document.scope}, {where}")
    for scope in document.scopes:
        note(f"{scope.block}: spent {scope.spent.epsilon:.6g}, left {scope.left.epsilon:.6g}, {scope.state}")
    if document.ceiling is not None:
        note(f"ceiling: epsilon {document.ceiling.epsilon:g}, delta {document.ceiling.delta:g}")
    note(f"ledger entry {document.ledger.entry}, {document.ledger.at}")
    for text in document.notes:
        note(f"note: {text}")


def _cells(state: CapState) -> tuple[str, str, str]:
    if state.cap is None:
        return state.state, "none", "none"
    return state.state, f"{state.cap.epsilon:g}", f"{state.cap.delta:g}"
