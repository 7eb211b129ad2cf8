"""Erasure of what a number has said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from dpquery.consent.registry import rewrite
from dpquery.store.secret import PSEUDONYM_BYTES

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


def forget(folder: Path, pseudonyms: Collection[bytes]) -> None:
    """Remove every statement of these numbers from the registry of the store at `folder`.

    Whoever calls it has removed their rows: without a statement, silence decides. StoreError DPQ-506 while somebody
    else writes, DPQ-514 if the disk refused; the registry is then as it was.
    """
    gone = pa.array(list(pseudonyms), pa.binary(PSEUDONYM_BYTES))
    rewrite(folder, lambda records: records.filter(pc.invert(pc.is_in(records["pseudonym"], value_set=gone))))
