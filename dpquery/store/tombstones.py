"""Erased numbers: a keyed hash each, by which a later ingest knows them and leaves their rows out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import pyarrow as pa
import pyarrow.parquet as pq

from dpquery.store.secret import tombstone

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dpquery.store.store import Store

LABEL = "tombstone"
"""Of the key that makes them. With another key than pseudonyms have, neither tells the other."""

SCHEMA = pa.schema([pa.field("tombstone", pa.binary(32), nullable=False)])


@dataclass(frozen=True, slots=True)
class Tombstones:
    """Which numbers were erased from a store. Nothing lists them: a number can only be tried."""

    marks: frozenset[bytes] = field(repr=False)
    _key: bytes = field(repr=False)
    """Empty where there are no marks to compare with."""

    @classmethod
    def of(cls, store: Store) -> Self:
        """The tombstones that the manifest names. StoreError DPQ-511 if there are some, and the store's key is not."""
        if store.manifest.tombstones is None:
            return cls(frozenset(), b"")
        table = pq.read_table(store.folder / store.manifest.tombstones, schema=SCHEMA)
        return cls(frozenset(table.column("tombstone").to_pylist()), store.secret().key(LABEL))

    def __len__(self) -> int:
        return len(self.marks)

    def covers(self, canonical: str) -> bool:
        """Whether this canonical number was erased."""
        return bool(self.marks) and tombstone(self._key, canonical) in self.marks

    def covers_any(self, canonicals: Iterable[str]) -> bool:
        """Whether one of these was."""
        return any(map(self.covers, canonicals))


def with_tombstones(store: Store, canonicals: Iterable[str]) -> pa.Table | None:
    """The tombstones of all erased numbers and these, in the order of their bytes; None if they are there already."""
    before, key = Tombstones.of(store), store.secret().key(LABEL)
    missing = [tombstone(key, canonical) for canonical in canonicals if not before.covers(canonical)]
    return pa.table({"tombstone": sorted(before.marks.union(missing))}, schema=SCHEMA) if missing else None
