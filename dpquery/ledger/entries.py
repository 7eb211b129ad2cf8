"""Entries of the ledger: a dense sequence of facts, each holding the hash of the one before."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, get_args

from dpquery.ledger.canonical import canonical_text

Kind = Literal["genesis", "grant", "close", "charge", "release", "fail", "repeat", "refuse", "join", "adopt"]
KINDS: tuple[str, ...] = get_args(Kind)
"""Meanings never change; what means something else gets another name."""

FORMAT = 1
"""Version of the entries' form, in the first of them. A larger one is refused."""

BEFORE_GENESIS = "0" * 64

EACH_BLOCK = "*"
"""In a grant or close: every block, present and future."""


TRAIL_DIGITS = 16
"""Hexadecimal digits of each hash in a trail: who could make another entry with the same could as well make a ledger in
which nothing was spent."""

Trail = tuple[tuple[int, str], ...]
"""Places of entries, and the first digits of their hashes; in order."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One fact. `hash` covers everything else, and through `previous` everything before."""

    sequence: int
    """Dense, from 1: the order of facts. `at` only labels them."""
    kind: str
    """One of KINDS."""
    at: str
    """UTC, ISO 8601, as the clock of the writer had it."""
    body: str
    """Canonical JSON."""
    previous: str
    """Hash of the entry before, 64 hexadecimal digits; zeros for the first."""
    hash: str

    @property
    def name(self) -> str:
        return f"sha256:{self.hash}"


def content(sequence: int, kind: str, at: str, body: str) -> bytes:
    """The canonical JSON of an entry without its hashes; `body` is canonical JSON already."""
    text = f'{{"at":{canonical_text(at)},"body":{body},"kind":{canonical_text(kind)},"sequence":{sequence}}}'
    return text.encode("ascii")


def chained_hash(previous: str, content_: bytes) -> str:
    """sha256(previous || content), in hexadecimal."""
    return hashlib.sha256(bytes.fromhex(previous) + content_).hexdigest()


def sealed(sequence: int, kind: Kind, at: str, body: str, previous: str) -> Entry:
    """A new entry with its hash."""
    return Entry(sequence, kind, at, body, previous, chained_hash(previous, content(sequence, kind, at, body)))


def is_sealed(entry: Entry) -> bool:
    """Whether the entry's hash is that of its content."""
    try:
        return entry.hash == chained_hash(entry.previous, content(entry.sequence, entry.kind, entry.at, entry.body))
    except ValueError:  # a hash that is not hexadecimal, or a body that is not ASCII
        return False


def release_name(charge_hash: str) -> str:
    """Name of the release that a charge pays for. It does not show how many there are."""
    return f"r-{charge_hash[:16]}"
