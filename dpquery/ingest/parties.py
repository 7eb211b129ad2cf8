"""Who calls whom: the numbers of a batch as slots of the number book."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dpquery.ingest.number_book import ERASED, HIDDEN, PROTECTED, UNREADABLE
from dpquery.ingest.text_columns import as_text, text_objects
from dpquery.numbers.number import REASONS

if TYPE_CHECKING:
    from dpquery.ingest.batches import SourceBatch
    from dpquery.ingest.mapping import Direction, Mapping
    from dpquery.ingest.number_book import NumberBook
    from dpquery.ingest.verdicts import Verdicts

Ints = np.ndarray[Any, np.dtype[np.int32]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

_EMPTY = REASONS.index("empty")


def party_slots(
    batch: SourceBatch,
    *,
    mapping: Mapping,
    region: str | None,
    book: NumberBook,
    names: tuple[str, ...],
    verdicts: Verdicts,
) -> tuple[Ints, ...]:
    """Slots of the parties, in the order of `names`.

    Rows whose parties cannot be told get a verdict; rows of an erased number, at either end, are left out.
    """
    # All parties at once: most numbers stand in both columns, and a process pool wants much work in one piece.
    together = pa.concat_arrays([as_text(batch.columns[source]) for source in mapping.parties])
    own_regions = None if mapping.region is None else as_text(batch.columns[mapping.region])
    found = np.split(_slots(together, own_regions, region, book), len(mapping.parties))
    if mapping.direction is not None:
        found = _by_direction(batch, mapping.direction, found, verdicts)
    for name, slots in zip(names, found, strict=True):
        verdicts.leave_out(book.what(slots) == ERASED, "erased")
        verdicts.mark(slots == _EMPTY, "missing_party", name)
        unreadable = book.what(slots) == UNREADABLE
        if unreadable.any():
            for place, reason in enumerate(REASONS):
                verdicts.mark(slots == place, "unparsed_number", f"{name}: {reason}")
    return tuple(found)


def owner_counts(parties: tuple[Ints, ...], book: NumberBook) -> Ints:
    """Owners of each row: its distinct protected numbers, and each number that was not shown."""
    counts = np.zeros(len(parties[0]), np.int32)
    for slots in parties:
        what = book.what(slots)
        counts += (what == PROTECTED) | (what == HIDDEN)
    if len(parties) == 2:
        first, second = parties
        counts -= (first == second) & (book.what(first) == PROTECTED)
    return counts


def _slots(spelled: pa.Array, own_regions: pa.Array | None, region: str | None, book: NumberBook) -> Ints:
    """Slots of `spelled`, which holds each row once for each party; `own_regions` holds each row once."""
    encoded = spelled.dictionary_encode()
    spellings = text_objects(encoded.dictionary)
    indices = encoded.indices.to_numpy(zero_copy_only=False)
    if own_regions is None:
        found: Ints = book.slots(spellings, region)[indices]
        return found
    regions = pc.utf8_upper(pc.utf8_trim_whitespace(own_regions)).dictionary_encode()
    region_of_row = np.resize(regions.indices.to_numpy(zero_copy_only=False), len(indices))
    slots = np.empty(len(indices), np.int32)
    for place, own in enumerate(text_objects(regions.dictionary)):
        rows = region_of_row == place
        present, inverse = np.unique(indices[rows], return_inverse=True)
        slots[rows] = book.slots([spellings[index] for index in present.tolist()], own or region)[inverse]
    return slots


def _by_direction(batch: SourceBatch, direction: Direction, found: list[Ints], verdicts: Verdicts) -> list[Ints]:
    encoded = pc.utf8_trim_whitespace(as_text(batch.columns[direction.source])).dictionary_encode()
    words = text_objects(encoded.dictionary)
    indices = encoded.indices.to_numpy(zero_copy_only=False)
    out = np.array([word in direction.outgoing for word in words], np.bool_)
    known = np.array(
        [bool(word) and (direction.incoming is None or word in direction.incoming) for word in words], np.bool_
    )
    verdicts.mark(~(out | known)[indices], "bad_direction", direction.source)
    own, other = found
    return [np.where(out[indices], own, other), np.where(out[indices], other, own)]
