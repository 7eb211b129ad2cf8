"""What in any text may be a telephone number, and which canonical numbers it may be.

For a search that must not miss one. It does not know the numbers it looks for: a store has keyed hashes only. So it
takes every run of digits that could be dialled, however it is cut up by spaces, dashes, dots and brackets, and names
every number that it could mean in any of some countries. That is more than ingest would read it as.

Numbers of fewer than DIGITS_MIN digits are not looked for: they cannot be told from years and amounts.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dpquery.numbers.canonical import canonicalise
from dpquery.numbers.number import Number
from dpquery.numbers.plans import calling_code, supported

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dpquery.numbers.scheme import NumberScheme

DIGITS_MIN: Final = 7
E164_DIGITS_MAX: Final = 15
DIGITS_MAX: Final = 20
"""A number with country code, and zeros before it."""
GROUPS_MAX: Final = 9
"""Groups of digits that one number is cut into: a German one in pairs has eight."""
TOKEN_MIN: Final = 6
"""Shortest opaque token that is looked for."""

_RUN: Final = re.compile(r"\+?[( ]{0,2}[0-9](?:[ ().\-/]{0,3}[0-9]){6,}")
_DIGITS: Final = re.compile(r"[0-9]+")
_HASHES: Final = re.compile(
    r"(?<![0-9a-z])(?=[0-9]*[a-f])(?:[0-9a-f]{16}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})(?![0-9a-z])"
)
"""Names that programs make up, in which ten digits in a row mean nothing."""
_TOKEN: Final = re.compile(r"[^\s\"'`,;|<>()\[\]{}=]+")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stretch of a text that may be a number."""

    text: str
    start: int
    """Where it begins in the text that was searched, after `plain`."""


class _Plain(dict[int, str]):
    """Signs of all scripts to those that numbers are written with here: digits, dashes, spaces, plus."""

    def __missing__(self, code: int) -> str:
        sign = chr(code)
        self[code] = found = _plain(sign)
        return found


def _plain(sign: str) -> str:
    category = unicodedata.category(sign)
    if category == "Nd":
        return str(unicodedata.decimal(sign))
    if category == "Cf":
        return ""
    if category == "Pd":
        return "-"
    if category == "Zs":
        return " "
    folded = unicodedata.normalize("NFKC", sign)
    return folded if len(folded) == 1 else sign


_TABLE: Final = _Plain()


def plain(text: str) -> str:
    """`text` with plain digits, dashes and spaces, and without signs that are not seen."""
    return text if text.isascii() else text.translate(_TABLE)


def candidates(text: str, scheme: NumberScheme) -> Iterator[Candidate]:
    """What in `text`, which is `plain`, may be a number; a stretch may lie inside a longer one."""
    if scheme.format == "opaque":
        yield from _tokens(text)
        return
    hidden = [found.span() for found in _HASHES.finditer(text)]
    for run in _RUN.finditer(text):
        if any(start <= run.start() and run.end() <= end for start, end in hidden):
            continue
        yield from _windows(text, run)


def _tokens(text: str) -> Iterator[Candidate]:
    stripped = text.strip()
    if " " in stripped and TOKEN_MIN <= len(stripped) <= 256:
        yield Candidate(stripped, text.index(stripped))
    for found in _TOKEN.finditer(text):
        if len(found[0]) >= TOKEN_MIN:
            yield Candidate(found[0], found.start())


def _windows(text: str, run: re.Match[str]) -> Iterator[Candidate]:
    """Every stretch of whole groups of digits that has the digits of a number."""
    groups = [found.span() for found in _DIGITS.finditer(text, run.start(), run.end())]
    for first, (start, _) in enumerate(groups):
        digits = 0
        for group_start, end in groups[first : first + GROUPS_MAX]:
            digits += end - group_start
            if digits > DIGITS_MAX:
                break
            if digits >= DIGITS_MIN:
                begin = _with_sign(text, start, run.start())
                yield Candidate(text[begin:end], begin)


def _with_sign(text: str, start: int, least: int) -> int:
    """Where a number begins whose first digit is at `start`: at a plus sign, if one stands just before it."""
    place = start
    while place > least and text[place - 1] in "( " and start - place < 2:
        place -= 1
    return place - 1 if place > least and text[place - 1] == "+" else start


class Readings:
    """Which canonical numbers a text may mean, for a caller in any of some countries."""

    __slots__ = ("_codes", "_home", "_scheme")

    def __init__(self, scheme: NumberScheme, regions: Iterable[str | None] = (), codes: Iterable[str] = ()) -> None:
        """National numbers are read as of the scheme's home, these `regions` (ISO), and these calling codes."""
        self._scheme = scheme
        self._home = supported(scheme.home_region)
        known = [supported(region) for region in (scheme.home_region, *regions)]
        own = [calling_code(region) for region in known if region is not None]
        self._codes = tuple(dict.fromkeys((*own, *codes)))

    def of(self, text: str) -> frozenset[str]:
        """Canonical forms that `text` may have been written for."""
        read = canonicalise(text, self._home, self._scheme)
        found = {read.canonical} if isinstance(read, Number) and read.kind != "withheld" else set()
        if self._scheme.format == "opaque":
            return frozenset(found)
        digits = "".join(sign for sign in text if "0" <= sign <= "9")
        bare = digits.lstrip("0")
        numbers = {bare}
        for code in self._codes:
            if bare.startswith(code):
                # As in +44 (0)20: the zero is dialled at home only.
                numbers.add(code + bare[len(code) :].lstrip("0"))
            numbers |= {code + bare, code + digits}
        return frozenset((*found, *(f"+{n}" for n in numbers if DIGITS_MIN <= len(n) <= E164_DIGITS_MAX)))

    def in_text(self, text: str) -> Iterator[frozenset[str]]:
        """The readings of each stretch of `text` that may be a number, and of the whole."""
        yield self.of(text)
        for candidate in candidates(plain(text), self._scheme):
            yield self.of(candidate.text)


def masked(text: str) -> str:
    """What may be shown of a text that may be a number: its first signs, and how many it has."""
    return f"{text[: min(4, len(text) // 3)]}... ({len(text)} signs)"
