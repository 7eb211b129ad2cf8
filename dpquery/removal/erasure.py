"""Erasing a number: its rows at both ends, its pseudonym, its rows in quarantine; a keyed hash stays to keep it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow.parquet as pq

from dpquery.errors import UsageError
from dpquery.numbers.canonical import canonicalise
from dpquery.numbers.in_text import Readings, plain
from dpquery.numbers.number import Number
from dpquery.numbers.plans import code_of, supported
from dpquery.numbers.public import PublicNumbers
from dpquery.numbers.scheme import scheme_of
from dpquery.removal.quarantine import forget
from dpquery.removal.rows import remove
from dpquery.store.dictionary import SCHEMA, codes_of, without
from dpquery.store.tombstones import with_tombstones

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import pyarrow as pa

    from dpquery.policy import Table
    from dpquery.removal.rows import Flags, Removal
    from dpquery.store import Store

END_LENGTH = 6
"""Digits at the end of a number that every spelling of it has."""

ConsentHook: TypeAlias = "Callable[[Store, frozenset[bytes]], None]"
"""Forgets the consent records of these pseudonyms."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """What an erasure has done, in the same words whether the store had met the numbers or not."""

    dataset: str
    numbers: int
    """Different numbers that were named."""
    sentences: tuple[str, ...] = (
        "Its rows, at both ends of calls and in quarantine, and its pseudonym are gone, if there were any.",
        "A keyed hash of the number stays, so that later imports leave it out.",
        "Answers that were released stay released, and no budget comes back.",
    )


def erase(
    store: Store, spelled: Sequence[str], region: str | None = None, *, consent_records: ConsentHook | None = None
) -> Erasure:
    """Erase the numbers in `spelled`, in whatever spelling; without + they are read as dialled in `region`.

    Nothing of a store tells afterwards how many rows went. `consent_records` is called last, when no row is left that
    their absence could let count. UsageError DPQ-002 for what is no number, or nobody's; StoreError as `remove`: the
    store is then as it was, or has it all done, and the same call does the rest.
    """
    numbers = _numbers(store, spelled, region)
    names = frozenset(store.pseudonym(number) for number in numbers)

    def choose(removal: Removal) -> None:
        codes = [code for number in numbers if (code := code_of(number)) is not None]
        readings = Readings(scheme_of(store.policy), (region,), codes)
        # First, as it is no part of the step: once the tombstone stands, all is done.
        forget(store.quarantine, _named_by(numbers, readings))
        _choose(removal, numbers, names)

    remove(store, choose)
    if consent_records is not None:
        consent_records(store, names)
    return Erasure(store.manifest.dataset, len(numbers))


def _choose(removal: Removal, numbers: frozenset[str], names: frozenset[bytes]) -> None:
    store = removal.store
    tombstones = with_tombstones(store, numbers)
    if tombstones is not None:
        removal.put_tombstones(tombstones)
    codes: list[int] = []
    for name in store.manifest.number_segments:
        segment = pq.read_table(store.folder / name, schema=SCHEMA)
        found = codes_of(segment, names)
        if found:
            removal.put_segment(name, without(segment, found))
            codes += found
    if not codes:
        return
    for name, table in store.policy.tables.items():
        if not table.public and table.legs_of is None:
            removal.drop(name, table.party_names, _party_to(table, codes))


def _party_to(table: Table, codes: Collection[int]) -> Callable[[pa.RecordBatch], Flags]:
    """Whether a row has one of these numbers at either end."""
    wanted = np.array([*codes, *(-2 - code for code in codes)], np.int32)

    def gone(batch: pa.RecordBatch) -> Flags:
        found: Flags = np.zeros(batch.num_rows, np.bool_)
        for party in table.party_names:
            found |= np.isin(batch.column(party).to_numpy(), wanted)
        return found

    return gone


def _numbers(store: Store, spelled: Sequence[str], region: str | None) -> frozenset[str]:
    """Canonical forms; UsageError, which holds none of them, where one cannot be erased."""
    if region is not None and supported(region) is None:
        raise UsageError("DPQ-002", "region is no ISO country code", fix='region="GB"')
    policy, scheme = store.policy, scheme_of(store.policy)
    public = PublicNumbers.of(policy, store.public_lines)
    found = set()
    for place, spelling in enumerate(spelled, start=1):
        which = "the number" if len(spelled) == 1 else f"number {place}"
        number = canonicalise(spelling, region or policy.numbers.default_region, scheme)
        if not isinstance(number, Number):
            fix = "write it with + and country code"
            raise UsageError("DPQ-002", f"{which} cannot be read ({number.reason})", fix=fix)
        if number.kind == "withheld":
            raise UsageError("DPQ-002", f"{which} was not shown, and could be anybody's", fix="name the number itself")
        if public.kind_of(number) is not None:
            raise UsageError(
                "DPQ-002",
                f"{which} is public by the policy, and belongs to nobody who could ask for it",
                fix="[numbers] of the policy lists it; a store with another list is a new store",
            )
        found.add(number.canonical)
    return frozenset(found)


def _named_by(numbers: frozenset[str], readings: Readings) -> Callable[[str], bool]:
    """Whether a cell of the quarantine names one of the numbers, in any spelling."""
    ends = frozenset(number.rpartition(":")[2][-END_LENGTH:].casefold() for number in numbers)

    def named(cell: str) -> bool:
        # Most cells do not even have the last digits of one.
        joined = "".join(sign for sign in plain(cell).casefold() if sign.isalnum())
        if not any(end in joined or end in cell.casefold() for end in ends):
            return False
        return any(not numbers.isdisjoint(found) for found in readings.in_text(cell))

    return named
