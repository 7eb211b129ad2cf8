"""`dpquery budget`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpquery.cli.output import note, print_table
from dpquery.errors import UsageError

if TYPE_CHECKING:
    from dpquery.documents import BudgetDocument, ExhaustedOn

OK, OVER = 0, 4


def show_budget(document: BudgetDocument, *, json: bool, fail_at: str | None) -> int:
    """The budget of every scope and block; the exit status, 4 if `fail_at` is passed where a scope is open."""
    limit = None if fail_at is None else _share(fail_at)
    if json:
        print(document.model_dump_json(by_alias=True))
    else:
        _print(document)
    looked_at = [scope for scope in document.scopes if scope.state == "open"]
    over = [scope for scope in looked_at if limit is not None and scope.used > limit]
    for scope in over:
        note(f"{scope.scope} has used {scope.used:.0%} in {scope.block}")
    return OVER if over else OK


def _print(document: BudgetDocument) -> None:
    rows = [
        [
            scope.scope,
            scope.block,
            scope.state,
            f"{scope.cap.epsilon:g}",
            f"{scope.spent.epsilon:.6g}",
            f"{scope.left.epsilon:.6g}",
            f"{scope.used:.0%}",
            _runs_out(scope.exhausted_on),
            "" if scope.more_like_last is None else f"{scope.more_like_last:,}",
            f"{scope.entries.released:,}",
            f"{scope.entries.repeated:,}",
            f"{scope.entries.refused:,}",
            f"{scope.entries.charged + scope.entries.failed:,}",
        ]
        for scope in document.scopes
    ]
    headers = [
        "scope",
        "block",
        "state",
        "cap",
        "spent",
        "left",
        "used",
        "runs out",
        "more like last",
        "released",
        "repeated",
        "refused",
        "no answer",
    ]
    print_table(
        headers,
        rows,
        numeric=frozenset(range(3, len(headers))) - {headers.index("runs out")},
        title=f"{document.dataset}: epsilon per block",
    )
    note("spent and left are each by the filter that serves better, so they need not add up to the cap")
    note("runs out: the expected day if spending goes on as it was, and the day it lasts until in 19 of 20 futures")
    for text in document.notes:
        note(f"note: {text}")
    state = "verified" if document.ledger.verified else "NOT VERIFIED"
    note(f"ledger {state}: {document.ledger.entries:,} entries, head {document.ledger.head[:23]}")


def _runs_out(exhausted: ExhaustedOn) -> str:
    """The expected date and the pessimistic one, or why there is none."""
    if exhausted.standing == "exhausted":
        return f"exhausted {exhausted.median}"
    if exhausted.pessimistic is None:
        return exhausted.standing
    return f"{exhausted.median or 'after two years'}, from {exhausted.pessimistic}"


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / 100.0 if text.endswith("%") else float(text)
    except ValueError:
        share = -1.0
    if not 0.0 <= share <= 1.0:
        raise UsageError("DPQ-002", f"{text[:20]!r} is not a share", fix="--fail-at 80%")
    return share
