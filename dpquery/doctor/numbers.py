"""Whose numbers are looked for, and whether a stretch of text may be one of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias

import pyarrow.compute as pc

from dpquery.numbers.canonical import canonicalise
from dpquery.numbers.in_text import DIGITS_MIN, E164_DIGITS_MAX, Readings, candidates, masked, plain
from dpquery.numbers.number import Number
from dpquery.numbers.plans import code_of
from dpquery.numbers.scheme import scheme_of
from dpquery.store.dictionary import NOBODY
from dpquery.store.secret import pseudonym
from dpquery.store.tombstones import Tombstones

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dpquery.numbers.scheme import NumberScheme
    from dpquery.policy import Policy
    from dpquery.store import Store

Kind: TypeAlias = Literal["number", "erased number", "explained"]
"""A protected number of the store, or one that was named; one that was erased; one that the policy itself lists."""

COUNTRIES_MAX: Final = 12
"""Countries of the store's numbers in which national spellings are read: those with most numbers."""
KNOWN_MAX: Final = 1_000_000
"""Texts whose reading is remembered."""
_LONG_RUN: Final = re.compile(r"[0-9]{7,}")


@dataclass(frozen=True, slots=True)
class Hit:
    """A stretch of text that is a number of the store in some spelling; `shown` is what may be told of it."""

    kind: Kind
    start: int
    text: str = field(repr=False)
    lines: int = 0
    """Lines before it in the text that was searched."""

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    @property
    def shown(self) -> str:
        return masked(self.text)


@dataclass(slots=True)
class SoughtNumbers:
    """The numbers of a store, as pseudonyms; those that were erased; those that somebody named."""

    scheme: NumberScheme
    readings: Readings
    _key: bytes = field(repr=False)
    _pseudonyms: frozenset[bytes] = field(repr=False)
    _tombstones: Tombstones = field(repr=False)
    _explained: frozenset[str] = field(repr=False)
    _named: frozenset[str] = field(repr=False)
    _named_digits: frozenset[str] = field(repr=False)
    unreadable: int = 0
    """Of the numbers that somebody named, those that cannot be read."""
    candidates: int = 0
    """Different stretches of text that were tried."""
    _known: dict[str, Kind | None] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, store: Store, named: Iterable[str] = ()) -> Self:
        """Protected numbers of `store`, and those in `named`, in any spelling. StoreError DPQ-511 without its key."""
        policy, scheme = store.policy, scheme_of(store.policy)
        numbers = store.numbers()
        protected = numbers.filter(numbers["protected"])
        counted = pc.value_counts(protected["country"].combine_chunks())
        frequent = sorted(((one["counts"], one["values"]) for one in counted.to_pylist()), reverse=True)
        canonical, unreadable = _read(named, policy, scheme)
        codes = dict.fromkeys(code for number in canonical if (code := code_of(number)) is not None)
        return cls(
            scheme,
            Readings(scheme, [country for _, country in frequent[:COUNTRIES_MAX]], codes),
            store.secret().key("pseudonym"),
            frozenset(protected["pseudonym"].to_pylist()) - {NOBODY},
            Tombstones.of(store),
            frozenset(_listed(policy, store.public_lines, scheme)),
            canonical,
            frozenset(_national(canonical)),
            unreadable,
        )

    def __len__(self) -> int:
        return len(self._pseudonyms) + len(self._tombstones) + len(self._named)

    def hits(self, text: str, *, amounts: bool = False) -> list[Hit]:
        """What in `text` is one of them, the longest stretch of those that overlap.

        With `amounts`, bare numbers in JSON are amounts: they are numbers of people only if written in full.
        """
        text = plain(text)
        found = [
            Hit(kind, each.start, each.text)
            for each in candidates(text, self.scheme)
            if (kind := self._kind(each.text, bare=amounts and _is_bare(text, each.start, len(each.text)))) is not None
        ]
        found += self._named_in(text)
        found.sort(key=lambda hit: (hit.start, -hit.end))
        kept: list[Hit] = []
        for hit in found:
            if not kept or hit.start >= kept[-1].end:
                kept.append(replace(hit, lines=text.count("\n", 0, hit.start)))
        return kept

    def amount(self, value: int) -> Hit | None:
        """Whether a whole number where amounts stand is one of them, written in full."""
        text = str(abs(value))
        kind = self._kind(text, bare=True) if DIGITS_MIN <= len(text) <= E164_DIGITS_MAX else None
        return None if kind is None else Hit(kind, 0, text)

    def only_erased(self) -> SoughtNumbers:
        """Those that were erased alone."""
        nobody: frozenset[bytes] = frozenset()
        return SoughtNumbers(
            self.scheme, self.readings, self._key, nobody, self._tombstones, self._explained, frozenset(), frozenset()
        )

    def without(self, text: str) -> str:
        """`text` with what may be told of the numbers in it."""
        shown = plain(text)
        for hit in reversed([hit for hit in self.hits(text) if hit.kind != "explained"]):
            shown = shown[: hit.start] + hit.shown + shown[hit.end :]
        return shown

    def _kind(self, text: str, *, bare: bool) -> Kind | None:
        known = f"={text}" if bare else text
        if known not in self._known:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self.candidates += 1
            self._known[known] = self._kind_of([f"+{text}"] if bare else self.readings.of(text))
        return self._known[known]

    def _kind_of(self, canonicals: Iterable[str]) -> Kind | None:
        kinds: set[Kind] = set()
        for canonical in canonicals:
            if canonical in self._explained:
                kinds.add("explained")
            elif canonical in self._named or pseudonym(self._key, canonical) in self._pseudonyms:
                kinds.add("number")
            elif self._tombstones.covers(canonical):
                kinds.add("erased number")
        # A stretch that may be a line of the policy's and may be somebody's is taken for what is listed.
        order: tuple[Kind, ...] = ("explained", "number", "erased number")
        return next((kind for kind in order if kind in kinds), None)

    def _named_in(self, text: str) -> Iterator[Hit]:
        """Numbers that somebody named, also inside longer runs of digits."""
        if not self._named_digits:
            return
        lengths = {len(digits) for digits in self._named_digits}
        for run in _LONG_RUN.finditer(text):
            for length in lengths:
                for start in range(run.start(), run.end() - length + 1):
                    if text[start : start + length] in self._named_digits:
                        yield Hit("number", start, text[start : start + length])


def _is_bare(text: str, start: int, length: int) -> bool:
    """Whether a stretch of digits is a whole value of JSON, without quotes."""
    end = start + length
    if not text[start:end].isdigit():
        return False
    before = text[max(0, start - 4) : start].rstrip()
    return before[-1:] in {":", ",", "["} and text[end : end + 1] in {",", "}", "]", "\n", " "}


def _read(named: Iterable[str], policy: Policy, scheme: NumberScheme) -> tuple[frozenset[str], int]:
    found, unreadable = set(), 0
    for line in named:
        number = canonicalise(line.strip(), policy.numbers.default_region, scheme)
        if isinstance(number, Number) and number.kind != "withheld":
            found.add(number.canonical)
        elif line.strip():
            unreadable += 1
    return frozenset(found), unreadable


def _national(canonicals: Iterable[str]) -> Iterator[str]:
    """The digits that every spelling of a number has, where they are enough to tell it."""
    for canonical in canonicals:
        code = code_of(canonical)
        if code is not None and len(canonical) - 1 - len(code) >= DIGITS_MIN:
            yield canonical[1 + len(code) :]


def _listed(policy: Policy, public_lines: str | None, scheme: NumberScheme) -> Iterator[str]:
    """Numbers that the policy itself has in the clear: lines of the organisation, helplines, whom to ask."""
    lines = [line.partition("#")[0] for line in (public_lines or "").splitlines()]
    listed: Sequence[str] = (*policy.numbers.public_numbers, *policy.numbers.sensitive_numbers, *lines)
    contacts = [text for text in (policy.report.contact, policy.report.curator) if text is not None]
    stretches = [each.text for text in contacts for each in candidates(plain(text), scheme)]
    for spelling in (*listed, *stretches):
        number = canonicalise(spelling, policy.numbers.default_region, scheme)
        if isinstance(number, Number):
            yield number.canonical
