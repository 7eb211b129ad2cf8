"""Stored answers to a question as it was asked of earlier data: which of them `as_of` names. Nothing here is new."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import TYPE_CHECKING, TypeAlias

from dpquery.errors import UsageError
from dpquery.privacy.calibrate import NANO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dpquery.accounting import Loss
    from dpquery.ledger import ChargeRequest, StoredRelease
    from dpquery.privacy.question import Versions

AsOf: TypeAlias = int | date | str
"""A data version; a day, for the newest answer charged on it or before (UTC); or the name of a release."""

EXAMPLE = 'as_of=3, as_of=date(2026, 1, 31), or as_of="r-..."'

AGE = "this is the answer of data version "
"""How a release says that it is of earlier versions."""

_RELEASE = re.compile(r"r-[0-9a-f]{16}")


def checked_as_of(given: object) -> AsOf:
    """`given` as one of the three that `as_of` takes, also from their texts; UsageError for anything else."""
    if isinstance(given, str):
        return _read(given)
    if isinstance(given, date) and not isinstance(given, datetime):
        return given
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return int(given)
    raise _not_understood()


def _read(text: str) -> AsOf:
    if _RELEASE.fullmatch(text):
        return text
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return int(text)
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise _not_understood() from None


def _not_understood() -> UsageError:
    return UsageError("DPQ-002", "as_of is a data version, a date, or the name of a release", fix=EXAMPLE)


def named(found: Sequence[StoredRelease], request: ChargeRequest, prices: Sequence[Loss], as_of: AsOf) -> StoredRelease:
    """The one of `found`, newest first, that `as_of` names.

    As for any repeat, it was asked for with at least the epsilon of `request`, unless it is named itself; and where
    the asker has not paid for it, it costs no more than one of `prices`. Of several answers to one question the one
    that the request owes least for. UsageError, which tells of the asker's own answers only, if there is none.
    """
    asked = request.asked_epsilon or 0
    free = {s.sequence for s in found if not s.owed(request.own)}
    fitting = [
        s
        for s in found
        if _is_meant(s, as_of)
        and (isinstance(as_of, str) or (s.asked_epsilon or 0) >= asked)
        and (s.sequence in free or any(s.loss.is_within(price) for price in prices))
    ]
    if not fitting:
        raise _none(as_of, asked, [s for s in found if s.sequence in free])
    same = [s for s in fitting if s.question == fitting[0].question]
    return min(same, key=lambda s: len(s.owed(request.charges)))


def newest_paid(found: Sequence[StoredRelease], request: ChargeRequest) -> StoredRelease | None:
    """The newest of `found` that this asker has paid for, asked for with the epsilon of `request` or more."""
    asked = request.asked_epsilon or 0
    return next((s for s in found if (s.asked_epsilon or 0) >= asked and not s.owed(request.own)), None)


def outdated(versions: Versions, now: Versions) -> tuple[str, ...]:
    """What a release of earlier versions says of itself."""
    if versions == now:
        return ()
    if versions.consent == now.consent:
        return (f"{AGE}{versions.data}; the store is at {now.data} now",)
    there = f"{versions.data} and consent version {versions.consent}"
    return (f"{AGE}{there}; the store is at {now.data} and {now.consent} now",)


def stored_text(stored: StoredRelease) -> str:
    """What a preview says of a stored answer that versions have left behind."""
    version = stored.plan["data_version"]
    return (
        f"{stored.release} of {stored.at[:10]} answers it for data version {version}: as_of={version} hands it out "
        "again, and costs you nothing"
    )


def _is_meant(stored: StoredRelease, as_of: AsOf) -> bool:
    if isinstance(as_of, str):
        return stored.release == as_of
    if isinstance(as_of, date):
        return stored.at[:10] <= as_of.isoformat()
    return bool(stored.plan["data_version"] == as_of)


def _none(as_of: AsOf, asked: int, own: Sequence[StoredRelease]) -> UsageError:
    what = "of that name" if isinstance(as_of, str) else f"as of {as_of} at epsilon {asked / NANO:g} or more"
    listed = dict.fromkeys(
        f"as_of={s.plan['data_version']} at epsilon {(s.asked_epsilon or 0) / NANO:g} ({s.release} of {s.at[:10]})"
        for s in own
    )
    return UsageError(
        "DPQ-002",
        f"there is no stored answer to this question under this policy {what}",
        fix="\n".join(list(listed)[:10]) or "leave as_of out: a new answer",
    )
