"""The numbers whose rows count for a purpose at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dpquery.consent.regimes import silence_is_yes
from dpquery.consent.registry import read_records
from dpquery.consent.standing import YES, standing, statements
from dpquery.numbers.number import OTHER

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from dpquery.store import Store


@dataclass(frozen=True, slots=True)
class Allowance:
    """Who allows a purpose. Secret: it is about people, like the rows."""

    numbers: NDArray[np.bool_]
    """By code."""
    withheld: bool
    """Whether rows of numbers that were not shown count: nothing is known of them, so silence decides."""

    def signs(self) -> str:
        """0 and 1 as `engines.scan.StoredRows.allowed` has them: rows that nobody owns always count."""
        every = np.concatenate([np.array([True, self.withheld]), self.numbers])
        return (every.astype(np.uint8) + ord("0")).tobytes().decode("ascii")


def allowance(store: Store, purpose: str, at: datetime) -> Allowance | None:
    """Who allows `purpose` at `at`; None where everybody does, since consent is not asked."""
    declared = store.policy.purposes[purpose]
    if declared.is_duty:
        return None
    numbers = store.numbers()
    countries = numbers["country"].combine_chunks().dictionary_encode()
    silence = silence_is_yes(declared, [*countries.dictionary.to_pylist(), OTHER], at.date())
    records = read_records(store.folder)
    if not records.num_rows and all(silence.values()):
        return None
    by_country = np.array([silence[country] for country in countries.dictionary.to_pylist()], np.bool_)
    allowed = by_country[countries.indices.to_numpy()] if len(by_country) else np.zeros(0, np.bool_)
    found = statements(records, numbers["pseudonym"].combine_chunks(), purpose)
    stands = standing(found, at)
    allowed[found.code[stands]] = found.status[stands] == YES
    return Allowance(allowed, silence[OTHER])
