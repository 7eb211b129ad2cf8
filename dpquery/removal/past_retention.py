"""Removing rows that are past retention. They were unreadable from the day on that the policy names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dpquery.documents import PurgeDocument, PurgedTable
from dpquery.plan.retention import cutoffs
from dpquery.removal.rows import remove
from dpquery.store.manifest import WHOLE_TABLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import pyarrow as pa

    from dpquery.removal.rows import Flags, Removal
    from dpquery.store import Store
    from dpquery.store.manifest import FileEntry


def purge(store: Store, at: datetime) -> PurgeDocument:
    """Remove the rows that are past retention at `at` (UTC). Once more on the same day, it finds none.

    StoreError as `remove`.
    """
    cuts = {}

    def choose(removal: Removal) -> None:
        cuts.update(cutoffs(store.policy, at.date()))
        for name, first in cuts.items():
            time = store.policy.tables[name].time
            if time is not None:
                removal.drop(name, [time.column], _before(time.column, first), within=_may_hold(first))

    removed = remove(store, choose)
    return PurgeDocument(
        dataset=store.manifest.dataset,
        at=at.isoformat(timespec="seconds"),
        tables=tuple(
            PurgedTable(
                table=name,
                retention_days=store.policy.tables[name].retention_days or 0,
                kept_from=first.date(),
                rows_removed=removed[name],
            )
            for name, first in cuts.items()
        ),
    )


def _may_hold(first: datetime) -> Callable[[FileEntry], bool]:
    """Whether a file can have rows of times before `first`: those of later months cannot."""
    return lambda entry: entry.block == WHOLE_TABLE or entry.block <= f"{first:%Y-%m}"


def _before(column: str, first: datetime) -> Callable[[pa.RecordBatch], Flags]:
    cut = np.datetime64(first, "us")

    def gone(batch: pa.RecordBatch) -> Flags:
        found: Flags = batch.column(column).to_numpy(zero_copy_only=False) < cut
        return found

    return gone
