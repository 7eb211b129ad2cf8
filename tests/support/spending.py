"""What an analyst has spent, as tests of faces need it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dpquery.session import Session


def spent(session: Session, block: str = "2026-01") -> float:
    """Epsilon that the analyst has spent in `block`; what sharing it out left unspent is rounded away."""
    scopes = {s["block"]: s["spent"]["epsilon"] for s in session.budget()["blocks"]}
    return round(float(scopes.get(block, 0.0)), 6)


@contextmanager
def nothing_spent(session: Session) -> Iterator[None]:
    """A block that leaves the ledger as it was: no entry at all, whether a charge or a repeat."""
    head = session.ledger.head()
    yield
    assert session.ledger.head() == head
