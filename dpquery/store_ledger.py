"""Where a store's ledger is, and the checkpoint that its policy names; how both are opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpquery.errors import LedgerError
from dpquery.ledger import Ledger, read_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

    from dpquery.policy import Policy
    from dpquery.store import Store


def ledger_place(store: Store) -> Path | str:
    """The file of the store's ledger, or the URL that its policy names."""
    return store.policy.ledger.url or store.folder / "ledger.sqlite"


def checkpoint_place(folder: Path, policy: Policy) -> Path | None:
    """The checkpoint that `policy` names, beside the store's folder unless it names a whole path; None for none."""
    named = policy.ledger.checkpoint
    return None if named is None else folder.parent / named


def open_ledger(store: Store) -> Ledger:
    """The store's ledger, which must account for the checkpoint that the policy names.

    LedgerError DPQ-809 if it does not, or is another dataset's, DPQ-810 if the checkpoint is missing or not this
    steward's.
    """
    # The checkpoint first: the ledger may grow in between, and never shrinks.
    place = checkpoint_place(store.folder, store.policy)
    ledger = Ledger.open(ledger_place(store), checkpoint=None if place is None else read_checkpoint(place))
    if ledger.dataset != store.policy.dataset:
        ledger.close()
        why = f"the ledger is of the dataset {ledger.dataset}, and the store of {store.policy.dataset}"
        raise LedgerError("DPQ-809", why, fix="name this store's own database in ledger.url of the policy")
    return ledger
