"""The numbers of the demo and the several ways in which systems write each of them.

All numbers are made up at random in ranges that are in use: that one of them is somebody's is chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dpquery.demo.lottery import Ints, Lottery
from dpquery.demo.world import ORGANISATION_LINES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SPELLING_WEIGHTS = (0.70, 0.19, 0.03, 0.03, 0.02, 0.015, 0.009, 0.004, 0.002)
"""How often a row has each of `uk_spellings`, in their order."""

FOREIGN_WEIGHTS = (0.22, 0.15, 0.13, 0.12, 0.11, 0.11, 0.06, 0.04, 0.03, 0.03)
_FOREIGN_RANGES = (
    ("+35387", 1_000_000, 9_999_999),
    ("+336", 10_000_000, 79_999_999),
    ("+49151", 10_000_000, 29_999_999),
    ("+1212", 2_220_000, 9_089_999),
    ("+346", 10_000_000, 99_999_999),
    ("+48501", 100_000, 999_999),
    ("+9198", 10_000_000, 99_999_999),
    ("+39347", 1_000_000, 9_999_999),
    ("+316", 10_000_000, 49_999_999),
    ("+35191", 1_000_000, 9_999_999),
)
"""Beginning, first and last of the digits after it, of a country each; the numbers are mobile where plans tell."""

HELPLINE = "08001111"
EMERGENCY = ("999", "112")
SHORT_CODES = ("60066", "62345", "63777", "66099", "70070", "78866", "80808", "84433", "86111", "88022", "118500")
SENDERS = ("DEMOBUS", "DEMOBANK", "DEMOPOST", "DEMOCLINIC", "DEMO-GYM", "DEMOPARCEL")
WITHHELD = ("anonymous", "Anonymous", "Restricted", "Withheld", "Private")
UNPARSABLE = ("++", "#ERROR!", "12345678901234567890", "sip:9007@pbx.example", "00000000000000000000")
TOLL_FREE = 40
"""How many freephone numbers there are."""


def uk_spellings(area: str, local: str, extension: int) -> tuple[str, ...]:
    """One number as nine systems write it; the last has an extension of the main number."""
    spaced = f"{local[:-4]} {local[-4:]}" if len(local) in {7, 8} else local
    return (
        f"+44{area}{local}",
        f"0{area}{local}",
        f"0044{area}{local}",
        f"0{area} {spaced}",
        f"+44 {area} {spaced}",
        f"tel:+44-{area}-{spaced.replace(' ', '-')}",
        f"(0{area}) {spaced}",
        f"+44 (0){area} {spaced}",
        f"0{area}{local} x{extension}",
    )


@dataclass(frozen=True, slots=True)
class Group:
    """Entries of the directory that are of one kind."""

    first: int
    size: int

    def draw(self, rng: np.random.Generator, size: int) -> Ints:
        """`size` entries, each as likely as the others."""
        return rng.integers(self.first, self.first + self.size, size=size, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class Directory:
    """Whoever may stand at an end of a call; people come first, so that a person's entry is the person's index."""

    strings: Any
    """Every spelling of every entry, as one Arrow array of text."""
    first: Ints
    """Where an entry's spellings begin."""
    spellings: Ints
    """How many an entry has."""
    people: Group
    lines: Group
    foreign: Group
    toll_free: Group
    helpline: Group
    emergency: Group
    short_codes: Group
    senders: Group
    withheld: Group
    unparsable: Group

    def spell(self, rng: np.random.Generator, entries: Ints) -> Any:
        """Each entry in one of its spellings, as Arrow text; a negative entry is nobody (NULL)."""
        present = np.maximum(entries, 0)
        choice = _SPELLINGS.draw(rng, len(entries)) % self.spellings[present]
        return self.strings.take(pa.array(self.first[present] + choice, mask=entries < 0))


_SPELLINGS = Lottery.of(SPELLING_WEIGHTS, bits=14)


def build_directory(rng: np.random.Generator, areas: Sequence[str], locals_: Sequence[str]) -> Directory:
    """The directory of people with these area codes and local numbers, and of everyone else they meet."""
    extensions = rng.integers(10, 9_999, size=len(areas)).tolist()
    people = [uk_spellings(a, n, x) for a, n, x in zip(areas, locals_, extensions, strict=True)]
    lines = [uk_spellings(line[3:5], line[5:], 100) for line in ORGANISATION_LINES]
    foreign = [(number, "00" + number[1:]) for number in _foreign(rng, max(40, len(areas) // 20))]
    toll_free = [(f"0800{digits}",) for digits in _distinct(rng, 2_000_000, 9_999_999, TOLL_FREE)]
    singles = (_singly(words) for words in ((HELPLINE,), EMERGENCY, SHORT_CODES, SENDERS, WITHHELD, UNPARSABLE))
    kinds: list[Sequence[tuple[str, ...]]] = [people, lines, foreign, toll_free, *singles]
    sizes = np.array([len(kind) for kind in kinds])
    starts = np.cumsum(sizes) - sizes
    groups = [Group(int(start), int(size)) for start, size in zip(starts, sizes, strict=True)]
    spellings = np.array([len(entry) for kind in kinds for entry in kind], dtype=np.int32)
    strings = pa.array([text for kind in kinds for entry in kind for text in entry], pa.string())
    return Directory(strings, np.cumsum(spellings, dtype=np.int32) - spellings, spellings, *groups)


def _singly(words: Iterable[str]) -> list[tuple[str, ...]]:
    return [(word,) for word in words]


def _foreign(rng: np.random.Generator, count: int) -> list[str]:
    countries = rng.permutation(_proportional(FOREIGN_WEIGHTS, count))
    numbers: list[str] = [""] * count
    for country, (beginning, low, high) in enumerate(_FOREIGN_RANGES):
        places = np.flatnonzero(countries == country)
        for place, digits in zip(places.tolist(), _distinct(rng, low, high, len(places)), strict=True):
            numbers[place] = f"{beginning}{digits}"
    return numbers


def _proportional(weights: Sequence[float], count: int) -> Ints:
    edges = np.rint(np.cumsum(weights) / sum(weights) * count).astype(np.int64)
    return np.repeat(np.arange(len(weights), dtype=np.int32), np.diff(edges, prepend=0))


def _distinct(rng: np.random.Generator, low: int, high: int, count: int) -> list[int]:
    drawn: list[int] = (low + rng.choice(high - low + 1, size=count, replace=False)).tolist()
    return drawn
