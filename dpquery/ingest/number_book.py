"""The numbers that an ingest meets: each spelling read once, each number with its code in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from dpquery.numbers.canonical import REASONS
from dpquery.numbers.number import OTHER, Number, Unparsed
from dpquery.numbers.public import PublicNumbers
from dpquery.numbers.services import facts_of, told_as
from dpquery.store.dictionary import NOBODY, SCHEMA, WITHHELD
from dpquery.store.secret import PSEUDONYM_BYTES, pseudonym

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dpquery.numbers.pool import NumberParser
    from dpquery.policy import Policy
    from dpquery.store.tombstones import Tombstones

Ints = np.ndarray[Any, np.dtype[np.int32]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Words = np.ndarray[Any, np.dtype[np.uint64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]

PROTECTED, ORG, SERVICE, HIDDEN, UNREADABLE, ERASED = range(6)
"""What a slot is. Hidden: withheld. Erased: rows with it are left out."""
KIND_NAMES: Final = ("protected", "org", "service", "withheld")

WITHHELD_SLOT: Final = len(REASONS)
"""Slots below are the ways in which a spelling is no number, in the order of REASONS."""
ERASED_SLOT: Final = WITHHELD_SLOT + 1
"""One slot for all of them; those above are numbers."""

_NO_CODE: Final = -2
_CODE, _WHAT, _FLAGS, _TYPE, _COUNTRY, _REGION, _ZONE = range(7)
_IS_VALID, _IS_STORED = 1, 2
_NO_ZONE: Final = ""
_BETWEEN_ZONES: Final = "&"


class NumberBook:
    """Slots: 32-bit names that this ingest gives to the numbers it meets, in order of appearance.

    A number gets a code only once a row with it is stored: what only stands on quarantined rows leaves no trace.
    """

    def __init__(
        self, policy: Policy, public_lines: str | None, parser: NumberParser, key: bytes, tombstones: Tombstones
    ) -> None:
        """`parser` reads by `scheme_of(policy)`; `key` makes pseudonyms; `tombstones` says who was erased."""
        self._parser = parser
        self._key = key
        self._tombstones = tombstones
        self._public = PublicNumbers.of(policy, public_lines)
        self._told = told_as(policy.numbers)
        self._slot_of_spelling: dict[str | None, dict[str, int]] = {}
        self._slot_of_canonical: dict[str, int] = {}
        self._words: dict[str, int] = {_NO_ZONE: 0}
        self._code_of_pseudonym: dict[bytes, int] = {}
        self._known = 0
        self._next_code = 0
        self._count = 0
        self._facts: Ints = np.empty((1024, 7), np.int32)
        self._pseudonyms: Bytes = np.zeros((1024, PSEUDONYM_BYTES), np.uint8)
        nobody = Number("withheld", "withheld", True, False, OTHER, OTHER, "withheld", ())
        for what in (*(UNREADABLE for _ in REASONS), HIDDEN, ERASED):
            self._add(WITHHELD, what, nobody, bytes(PSEUDONYM_BYTES))

    def load(self, numbers: pa.Table) -> None:
        """Know the numbers of the store's dictionary (in code order)."""
        self._known = self._next_code = numbers.num_rows
        pseudonyms = numbers.column("pseudonym").to_pylist()
        self._code_of_pseudonym = dict(zip(pseudonyms, range(len(pseudonyms)), strict=True))
        self._code_of_pseudonym.pop(NOBODY, None)

    def slots(self, spellings: Iterable[str], region: str | None) -> Ints:
        """The slot of each spelling, read as dialled in `region`."""
        known = self._slot_of_spelling.setdefault(region, {})
        spellings = list(spellings)
        new = [spelling for spelling in spellings if spelling not in known]
        if new:
            found = self._parser.parse([(spelling, region) for spelling in new])
            for spelling, result in zip(new, found, strict=True):
                known[spelling] = self._slot(result)
        return np.fromiter((known[spelling] for spelling in spellings), np.int32, len(spellings))

    def what(self, slots: Ints) -> Ints:
        """PROTECTED, ORG, ... of each slot."""
        what: Ints = self._facts[slots, _WHAT]
        return what

    def codes(self, slots: Ints) -> Ints:
        """Party codes as they are stored; every slot must have been given its code."""
        codes = self._facts[slots, _CODE]
        public = (self._facts[slots, _WHAT] == ORG) | (self._facts[slots, _WHAT] == SERVICE)
        stored: Ints = np.where(public, np.int32(-2) - codes, codes).astype(np.int32)
        return stored

    def mark_stored(self, slots: Ints) -> None:
        """Note that rows with these numbers are stored; new numbers get their codes, in order of appearance."""
        new = np.unique(slots[self._facts[slots, _CODE] == _NO_CODE])
        self._facts[new, _CODE] = np.arange(self._next_code, self._next_code + len(new), dtype=np.int32)
        self._facts[slots, _FLAGS] |= _IS_STORED
        self._next_code += len(new)

    def pseudonyms(self, slots: Ints) -> Words:
        """Two words for each slot; zeros for withheld."""
        words: Words = self._pseudonyms[slots].view(np.uint64)
        return words

    def derived(self, slots: Ints, what: str) -> pa.Array:
        """Kind, type, country or region of each slot, as text with a dictionary."""
        if what == "kind":
            # A row test also sees rows that are on their way to quarantine, whose numbers have no kind.
            shown = np.minimum(self.what(slots), HIDDEN)
            return pa.DictionaryArray.from_arrays(pa.array(shown), pa.array(KIND_NAMES))
        column = {"type": _TYPE, "country": _COUNTRY, "region": _REGION}[what]
        return pa.DictionaryArray.from_arrays(pa.array(self._facts[slots, column]), pa.array(list(self._words)))

    def zones(self, slots: Ints) -> Ints:
        """Index into `zone_names` of the time zones of each slot; 0 where they are not known."""
        zones: Ints = self._facts[slots, _ZONE]
        return zones

    @property
    def zone_names(self) -> list[tuple[str, ...]]:
        """Zones that a number may be in, at their index."""
        return [tuple(word.split(_BETWEEN_ZONES)) for word in self._words]

    @property
    def number_count(self) -> int:
        """Codes in the store after this ingest."""
        return self._next_code

    def stored_counts(self) -> tuple[int, int, int]:
        """Numbers on stored rows: new to the store, known to it, and possible but not valid."""
        facts = self._facts[ERASED_SLOT + 1 : self._count]
        stored = (facts[:, _FLAGS] & _IS_STORED) > 0
        new = stored & (facts[:, _CODE] >= self._known)
        invalid = stored & ((facts[:, _FLAGS] & _IS_VALID) == 0)
        return int(new.sum()), int(stored.sum() - new.sum()), int(invalid.sum())

    def segment(self) -> pa.Table:
        """The new numbers, in code order, for the store's dictionary."""
        facts = self._facts[: self._count]
        new = np.flatnonzero(facts[:, _CODE] >= self._known)
        new = new[np.argsort(facts[new, _CODE])]
        words = pa.array([*list(self._words)[1:]], pa.string())
        first = pa.array([word.partition(_BETWEEN_ZONES)[0] for word in list(self._words)[1:]], pa.string())
        facts = facts[new]

        def named(column: int, words: pa.Array = words) -> pa.Array:
            return words.take(pa.array(facts[:, column] - 1, mask=facts[:, column] == 0))

        return pa.table(
            [
                pa.array(facts[:, _CODE]),
                pa.array([bytes(row) for row in self._pseudonyms[new]], pa.binary(PSEUDONYM_BYTES)),
                pa.array(KIND_NAMES).take(pa.array(facts[:, _WHAT])),
                named(_TYPE),
                named(_COUNTRY),
                named(_REGION),
                named(_ZONE, first),
                pa.array((facts[:, _FLAGS] & _IS_VALID) > 0),
                pa.array(facts[:, _WHAT] == PROTECTED),
            ],
            schema=SCHEMA,
        )

    def _slot(self, found: Number | Unparsed) -> int:
        if isinstance(found, Unparsed):
            return REASONS.index(found.reason)
        if found.kind == "withheld":
            return WITHHELD_SLOT
        slot = self._slot_of_canonical.get(found.canonical)
        if slot is None and self._tombstones.covers(found.canonical):
            self._slot_of_canonical[found.canonical] = slot = ERASED_SLOT
        if slot is None:
            name = pseudonym(self._key, found.canonical)
            slot = self._add(self._code_of_pseudonym.get(name, _NO_CODE), self._what(found), found, name)
            self._slot_of_canonical[found.canonical] = slot
        return slot

    def _what(self, number: Number) -> int:
        return {"org": ORG, "service": SERVICE, None: PROTECTED}[self._public.kind_of(number)]

    def _add(self, code: int, what: int, number: Number, name: bytes) -> int:
        slot = self._count
        if slot == len(self._facts):
            self._facts = np.concatenate([self._facts, np.empty_like(self._facts)])
            self._pseudonyms = np.concatenate([self._pseudonyms, np.zeros_like(self._pseudonyms)])
        told = facts_of(number, self._told, is_service=what == SERVICE)
        zones = _BETWEEN_ZONES.join(told.time_zones) or _NO_ZONE
        words = (told.line_type, told.country, told.region, zones)
        flags = _IS_VALID if number.valid else 0
        self._facts[slot] = (code, what, flags, *(self._words.setdefault(word, len(self._words)) for word in words))
        self._pseudonyms[slot] = np.frombuffer(name, np.uint8)
        self._count += 1
        return slot
