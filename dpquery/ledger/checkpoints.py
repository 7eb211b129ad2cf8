"""Checkpoints: where the ledger once stood, signed by its steward, to be kept where the ledger is not.

A ledger that was replaced by an older copy of itself, or made anew, is whole. Only what is kept elsewhere shows it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Never

from dpquery.errors import DpqueryError, LedgerError, ensure
from dpquery.ledger.bodies import AdoptBody, decode, loss_from_json, loss_to_json, trail_to_json
from dpquery.ledger.canonical import canonical_text
from dpquery.ledger.entries import TRAIL_DIGITS, Trail, is_sealed
from dpquery.ledger.grants import check_signature
from dpquery.ledger.private_file import read_whole, replace_private
from dpquery.ledger.rows import adoptions, hashes_at, read_head
from dpquery.ledger.scopes import Pair, Scope, is_plain, pair_key
from dpquery.ledger.steward_key import is_signed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from sqlalchemy import Connection

    from dpquery.accounting import Loss
    from dpquery.ledger.bodies import GenesisBody
    from dpquery.ledger.canonical import Json

SCHEMA = "dpquery.checkpoint/1"

FILE_LENGTH_MAX = 16 * 1024 * 1024

TRAIL_DENSE = 1000
"""Entries before a checkpoint whose hashes it holds one by one; further back the distance doubles."""

Cover = Literal["contained", "adopted"]
"""How a ledger accounts for a checkpoint: it holds the entry, or the steward has charged what came up to it."""

_SIGNED = b"dpquery.checkpoint/1\n"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a ledger stood. Checks its own form; whose it is `check_signed` tells."""

    dataset: str
    ledger: str
    """The random name of the ledger, from its first entry."""
    sequence: int
    """Of the last entry."""
    head: str
    """Its hash, 64 hexadecimal digits."""
    at: str
    """Its label, UTC."""
    decisions: int
    """Grants and closes up to here."""
    spent: tuple[tuple[Pair, Loss], ...]
    """What every scope and block had spent, exactly; in the ledger's order."""
    trail: Trail = field(repr=False)
    """First digits of the hashes of some earlier entries, so that it shows where a restored ledger parted from this."""
    adopted: Trail = field(repr=False)
    """Likewise of the entries of other histories that adoptions account for."""
    signature: str = ""
    """By the steward's Ed25519 key, hexadecimal."""

    def __post_init__(self) -> None:
        for text in (self.dataset, self.ledger, self.head, self.at, self.signature):
            ensure(isinstance(text, str) and text.isascii(), "a checkpoint holds plain text")
        ensure(_is_hash(self.head, 64), "the head of a checkpoint is a hash")
        ensure(_is_whole(self.sequence) and self.sequence >= 1, "a checkpoint names an entry")
        ensure(_is_whole(self.decisions), "decisions are counted")
        pairs = [pair for pair, _ in self.spent]
        ensure(pairs == sorted(set(pairs), key=pair_key), "a checkpoint names each scope and block once, in order")
        ensure(all(is_plain(block) for _, block in pairs), "a checkpoint names plain blocks")
        places = [place for place, _ in self.trail]
        for place, digits in (*self.trail, *self.adopted):
            ensure(_is_whole(place) and place >= 1, "a trail has places")
            ensure(_is_hash(digits, TRAIL_DIGITS), "a trail holds hashes")
        ensure(all(place < self.sequence for place in places), "a trail lies before")
        ensure(places == sorted(set(places)), "a trail is in order")
        ensure(list(self.adopted) == sorted(set(self.adopted)), "what was adopted is in order")

    @property
    def name(self) -> str:
        """Of its head, as entries are named."""
        return f"sha256:{self.head}"

    def signed_by(self, key: Ed25519PrivateKey) -> Checkpoint:
        """The same with the signature of `key`."""
        return replace(self, signature=key.sign(self._message()).hex())

    def is_signed_by(self, steward: str) -> bool:
        """Whether the steward whose public key is `steward` signed it."""
        return is_signed(steward, self.signature, self._message())

    def to_json(self) -> str:
        """Canonical JSON text, with a line end."""
        return canonical_text({**self._content(), "signature": self.signature}) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Checkpoint:
        """What `to_json` wrote, whatever white space it has gained. LedgerError DPQ-810 for any other text."""
        try:
            return _read(json.loads(text))
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError, DpqueryError) as error:
            raise LedgerError(
                "DPQ-810", "this is no checkpoint of a ledger", fix="name a file that dpquery ledger checkpoint wrote"
            ) from error

    def _content(self) -> dict[str, Json]:
        spent: list[Json] = [[str(scope), block, loss_to_json(loss)] for (scope, block), loss in self.spent]
        return {
            "schema": SCHEMA,
            "dataset": self.dataset,
            "ledger": self.ledger,
            "sequence": self.sequence,
            "head": self.head,
            "at": self.at,
            "decisions": self.decisions,
            "spent": spent,
            "trail": trail_to_json(self.trail),
            "adopted": trail_to_json(self.adopted),
        }

    def _message(self) -> bytes:
        return _SIGNED + canonical_text(self._content()).encode("ascii")


def read_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in the file at `path`, whoever may read it. LedgerError DPQ-810 if there is none."""
    try:
        text = read_whole(path, FILE_LENGTH_MAX).decode("ascii")
    except OSError as error:
        raise LedgerError(
            "DPQ-810",
            f"the checkpoint {path} cannot be read: {error.strerror}",
            fix="bring it back from where copies of it are kept; dpquery ledger verify DIR shows the ledger without it",
        ) from error
    except ValueError:
        raise LedgerError("DPQ-810", f"{path} is no checkpoint of a ledger", fix="bring it back from a copy") from None
    try:
        return Checkpoint.from_json(text)
    except LedgerError as error:
        raise LedgerError("DPQ-810", f"{path} is no checkpoint of a ledger", fix="bring it back from a copy") from error


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Put the checkpoint at `path`, whole and durable or not at all, in place of an older one. DPQ-801 if it cannot be.

    A link stays, and the file that it names is written. Does not look at what is there: a checkpoint that the ledger
    does not cover must stay, which is up to the caller.
    """
    try:
        replace_private(path, checkpoint.to_json().encode("ascii"))
    except OSError as error:
        raise LedgerError("DPQ-801", f"{path} cannot be written: {error.strerror}", fix="check its folder") from error


def check_signed(genesis: GenesisBody, checkpoint: Checkpoint) -> None:
    """LedgerError DPQ-809 if the checkpoint is of another ledger, DPQ-810 if this one's steward did not sign it."""
    if checkpoint.ledger != genesis.ledger:
        _not_covered("the checkpoint is of another ledger: this one was made anew, or either was misplaced")
    if checkpoint.dataset != genesis.dataset or not checkpoint.is_signed_by(genesis.steward):
        raise LedgerError(
            "DPQ-810", "the steward of this ledger did not sign the checkpoint", fix="bring it back from a copy"
        )


def covered_by(connection: Connection, genesis: GenesisBody, checkpoint: Checkpoint) -> Cover:
    """How the ledger accounts for the checkpoint. LedgerError DPQ-809 if it does not, or DPQ-810.

    Reads the one entry, and adoptions. That everything before it is there too is for a fold of the chain to say.
    """
    check_signed(genesis, checkpoint)
    found = hashes_at(connection, [checkpoint.sequence]).get(checkpoint.sequence)
    if found == checkpoint.head:
        return "contained"
    later = False
    for entry in adoptions(connection):
        body = decode(entry)
        later |= isinstance(body, AdoptBody) and body.sequence > checkpoint.sequence
        if isinstance(body, AdoptBody) and body.accounts_for(checkpoint.sequence, checkpoint.head):
            ensure(is_sealed(entry), "an entry holds its own hash")
            check_signature(entry, genesis.steward)
            return "adopted"
    if later:
        why = "the ledger does not hold this checkpoint, and that it came before one that was adopted is not known"
        _not_covered(why, fix="if it is older, put the adopted one in its place; else adopt it, too")
    if found is None:
        last, _ = read_head(connection)
        _not_covered(f"the ledger is an older copy: it ends at entry {last}, the checkpoint at {checkpoint.sequence}")
    _not_covered(f"entry {checkpoint.sequence} of the ledger is not the one that the checkpoint names")


def trail_places(sequence: int) -> tuple[int, ...]:
    """Entries before `sequence` that go into a trail: many that are near, few that are far, and the first."""
    near = range(max(1, sequence - TRAIL_DENSE), sequence)
    far, distance = set(), TRAIL_DENSE
    while distance < sequence:
        far.add(sequence - distance)
        distance *= 2
    first = {1} if sequence > 1 else set()
    return tuple(sorted({*near, *far, *first}))


def parted_at(connection: Connection, checkpoint: Checkpoint) -> int:
    """The last entry that the ledger is known to share with the checkpoint's; 0 if none is.

    Entries share all that came before them with whoever has the same hash.
    """
    own = hashes_at(connection, [place for place, _ in checkpoint.trail])
    shared = (place for place, digits in checkpoint.trail if own.get(place, "")[:TRAIL_DIGITS] == digits)
    return max(shared, default=0)


def lost_since(checkpoint: Checkpoint, spent: Mapping[Pair, Loss]) -> tuple[tuple[Pair, Loss], ...]:
    """What the checkpoint's ledger spent after the entry by which `spent` had been."""
    gaps = ((pair, loss.beyond(spent[pair]) if pair in spent else loss) for pair, loss in checkpoint.spent)
    return tuple((pair, gap) for pair, gap in gaps if not gap.is_nothing)


def adopted_with(checkpoint: Checkpoint, parted: int) -> Trail:
    """What an adoption of the checkpoint accounts for besides, where the two ledgers parted after `parted`."""
    lost = (each for each in checkpoint.trail if each[0] > parted)
    return tuple(sorted({*lost, *checkpoint.adopted}))


def all_adopted(adoptions: Iterable[AdoptBody]) -> Trail:
    """Everything of other histories that a ledger with these adoptions accounts for."""
    found = {place for each in adoptions for place in ((each.sequence, each.head[:TRAIL_DIGITS]), *each.covers)}
    return tuple(sorted(found))


def not_covered_yet(sequence: int) -> Never:
    """LedgerError DPQ-809 about a chain that was read to its end without meeting the checkpoint at `sequence`."""
    _not_covered(f"the ledger does not hold what it held when the checkpoint at entry {sequence} was taken")


_BRING_BACK = "bring the ledger back; after a restore: dpquery ledger adopt DIR --checkpoint NEWEST --reason TEXT"


def _not_covered(why: str, *, fix: str = _BRING_BACK) -> Never:
    raise LedgerError("DPQ-809", why, fix=fix)


_FIELDS = {
    *("schema", "dataset", "ledger", "sequence", "head", "at", "decisions"),
    *("spent", "trail", "adopted", "signature"),
}


def _read(raw: Any) -> Checkpoint:
    ensure(isinstance(raw, dict) and set(raw) == _FIELDS and raw["schema"] == SCHEMA, "a checkpoint has its fields")
    made = Checkpoint(
        dataset=raw["dataset"],
        ledger=raw["ledger"],
        sequence=raw["sequence"],
        head=raw["head"],
        at=raw["at"],
        decisions=raw["decisions"],
        spent=tuple(((Scope.parse(scope), block), loss_from_json(loss)) for scope, block, loss in raw["spent"]),
        trail=tuple((place, digits) for place, digits in raw["trail"]),
        adopted=tuple((place, digits) for place, digits in raw["adopted"]),
        signature=raw["signature"],
    )
    ensure(made.to_json() == canonical_text(raw) + "\n", "a checkpoint says no more than it is read as")
    return made


def _is_whole(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_hash(value: object, digits: int) -> bool:
    return isinstance(value, str) and len(value) == digits and not value.strip("0123456789abcdef")
