"""What stands for one number: for each purpose, since when, from which source, and what the regime makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dpquery.consent.records import STATUSES
from dpquery.consent.regimes import in_force, is_told, silence_is_yes
from dpquery.consent.registry import read_records
from dpquery.consent.standing import YES, standing, statements
from dpquery.errors import DataError
from dpquery.numbers.canonical import canonicalise
from dpquery.numbers.number import Unparsed
from dpquery.numbers.public import PublicNumbers
from dpquery.numbers.scheme import scheme_of
from dpquery.store.secret import PSEUDONYM_BYTES
from dpquery.store.tombstones import Tombstones

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any

    from dpquery.store import Store

SHOWN_DIGITS = 2
"""Last digits of a number that are shown, so that a person sees that it is theirs."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A number, without itself."""

    pseudonym: bytes
    ending: str
    """Its last digits."""
    country: str
    public: bool
    """Whether it is nobody's, so that no consent is asked."""
    erased: bool
    """Whether it was erased: it stays out, and nothing is recorded of it."""


@dataclass(frozen=True, slots=True)
class PurposeStanding:
    """What stands for one purpose at one moment."""

    purpose: str
    regime: str
    statement: dict[str, Any] | None
    """A row of `records.SCHEMA`; None: nothing stands."""
    counts: bool
    """Whether the number's own rows count for the purpose, so far as it depends on this number."""
    why: str
    rules: tuple[str, ...]
    """Sources of the laws that bear on it."""


def owner_of(store: Store, spelling: str, region: str | None, place: int = 1) -> Owner:
    """The number in any spelling. DataError DPQ-517, which never quotes it, if it is none."""
    found = canonicalise(spelling, region or store.policy.numbers.default_region, scheme_of(store.policy))
    if isinstance(found, Unparsed) or found.kind in {"withheld", "alphanumeric"}:
        reason = found.reason if isinstance(found, Unparsed) else found.kind
        raise DataError("DPQ-517", f"number {place} cannot be read ({reason})", fix="write it with + and country code")
    public = PublicNumbers.of(store.policy, store.public_lines).kind_of(found) is not None
    erased = Tombstones.of(store).covers(found.canonical)
    return Owner(store.pseudonym(found.canonical), found.canonical[-SHOWN_DIGITS:], found.country, public, erased)


def said_by(store: Store, pseudonym: bytes) -> pa.Table:
    """All statements of a number, in the order in which they were recorded."""
    records = read_records(store.folder)
    return records.filter(pc.equal(records["pseudonym"], pa.scalar(pseudonym, pa.binary(PSEUDONYM_BYTES))))


def standings(store: Store, owner: Owner, records: pa.Table, at: datetime) -> tuple[PurposeStanding, ...]:
    """What stands for each purpose, by the number's own statements."""
    known = pa.array([owner.pseudonym], pa.binary(PSEUDONYM_BYTES))
    found = []
    for name, purpose in store.policy.purposes.items():
        rules = tuple(r for r in in_force(purpose, at.date()) if r.covers(owner.country) or not is_told(owner.country))
        said = statements(records, known, name)
        stands = np.array([], np.int64) if purpose.is_duty else standing(said, at)
        statement = records.slice(int(said.row[stands[0]]), 1).to_pylist()[0] if len(stands) else None
        if owner.public:
            counts, why = True, "nobody's number: its consent is not asked"
        elif purpose.is_duty:
            counts, why = True, "a duty: consent is not asked"
        elif statement is not None:
            counts = statement["status"] == STATUSES[YES]
            why = f"{statement['status']}, as the {'person' if statement['source'] == 'person' else 'list'} said"
        else:
            counts = silence_is_yes(purpose, [owner.country], at.date())[owner.country]
            why = f"silence, which is {'yes' if counts else 'no'}"
            why += " by law" if purpose.regime == "opt-out" and not counts else f" ({purpose.regime})"
        found.append(PurposeStanding(name, purpose.regime, statement, counts, why, tuple(r.source for r in rules)))
    return tuple(found)
