"""Statements that can bear on no answer any more, and have been kept for long enough."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dpquery.consent.registry import rewrite

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from numpy.typing import NDArray

_FOREVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Purged:
    """How many statements went, and how many stay."""

    expired: int
    superseded: int
    kept: int


def purge(folder: Path, *, now: datetime, days: int) -> Purged:
    """Remove what expired, or was replaced by a newer statement of its source, more than `days` ago.

    What stands, now and later, for any purpose, stays what it is.
    """
    counts = [0, 0, 0]

    def kept(records: pa.Table) -> pa.Table:
        cut = round((now - timedelta(days=days)).timestamp() * 1_000_000)
        expired, superseded = spent(records, cut)
        counts[:] = int(expired.sum()), int((superseded & ~expired).sum()), int((~expired & ~superseded).sum())
        return records.filter(pa.array(~expired & ~superseded))

    rewrite(folder, kept)
    return Purged(*counts)


def spent(records: pa.Table, cut: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which statements had expired by `cut` (microseconds), and which had been replaced for good by then.

    Replaced for good: by one of the same number, source and purpose, which never expires, or an earlier one would
    stand again.
    """
    expires = pc.fill_null(records["expires_at"].cast(pa.int64()), _FOREVER).to_numpy()
    effective = records["effective_at"].cast(pa.int64()).to_numpy()
    names = [records[name].combine_chunks().dictionary_encode() for name in ("pseudonym", "source", "purpose")]
    columns = [name.indices.to_numpy() for name in names]
    newest = np.where((expires == _FOREVER) & (effective <= cut), effective, np.iinfo(np.int64).min)
    order = np.lexsort((newest, *columns))
    last = np.ones(len(order), np.bool_)
    last[:-1] = False
    for column in columns:
        last[:-1] |= column[order][1:] != column[order][:-1]
    group = np.empty(len(order), np.int64)
    group[order] = np.cumsum(np.r_[False, last[:-1]]) if len(order) else 0
    return expires <= cut, effective < newest[order][last][group] if len(order) else np.zeros(0, np.bool_)
