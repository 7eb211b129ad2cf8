"""How many numbers have said what about each purpose: one priced release, of which a report shows bands.

What people have said is about people, so even the steward reads it through noise. The release is an ordinary question
to the policy's view of the registry, asked under a duty; once it is paid for, reports show it for free.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from dpquery import record
from dpquery.asking import pricing
from dpquery.asking.charging import charge_request, versions_of
from dpquery.asking.older import newest_paid
from dpquery.documents import ConsentCoverage, CoverageBand
from dpquery.errors import NotAllowed, UsageError, broken
from dpquery.policy.model import STEWARD
from dpquery.postprocessing.answer import answer
from dpquery.session import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dpquery.asking.query import Query
    from dpquery.policy import Policy
    from dpquery.session import Session
    from dpquery.store import Store

NO_VIEW = 'the policy has no table with registry = "consents" and keys for purpose and status'
NO_DUTY = "no duty purpose of the steward may read the view of consents"
NOT_BOUGHT = "not asked yet: it is a priced release, which dpquery report budget --coverage 0.1 buys"


def consent_coverage(store: Store, *, epsilon: float | None = None) -> ConsentCoverage | str:
    """What the newest such release says, or why there is none; `epsilon` asks for one as of now, and pays for it.

    BudgetRefused or NotAllowed if the steward may not ask.
    """
    asked = _question(store.policy)
    if isinstance(asked, str):
        if epsilon is not None:
            raise UsageError("DPQ-002", asked, fix="docs/consent.md has the lines of the policy to add")
        return asked
    text, purpose = asked
    try:
        session = connect(store.folder, analyst=STEWARD, purpose=purpose)
    except NotAllowed as error:
        if epsilon is not None:
            raise
        return error.why
    with session:
        query = session.sql(text)
        if epsilon is not None:
            query.run(epsilon=epsilon)
        return _newest(session, query)


def _question(policy: Policy) -> tuple[str, str] | str:
    """The question and the purpose to ask it for, or why it cannot be asked."""
    view = next(
        (
            name
            for name, table in policy.tables.items()
            if table.registry == "consents"
            and all(name in table.columns and table.columns[name].keys is not None for name in ("purpose", "status"))
        ),
        None,
    )
    if view is None:
        return NO_VIEW
    steward = policy.analysts.get(STEWARD)
    purposes = () if steward is None else steward.purposes
    for purpose in purposes:
        declared = policy.purposes[purpose]
        if declared.is_duty and ("*" in declared.tables or view in declared.tables):
            return f"SELECT purpose, status, COUNT(*) AS numbers FROM {view} GROUP BY purpose, status", purpose
    return NO_DUTY


def _newest(session: Session, query: Query) -> ConsentCoverage | str:
    """The newest release that is paid for, whatever it cost; reads no rows and leaves no entry in the ledger."""
    least = pricing.calibrated(query, pricing.LEAST_NANO)[0]
    request = charge_request(query, least, versions_of(session), None)
    stored = newest_paid(session.ledger.find_versions(request.unversioned), request)
    if stored is None:
        return NOT_BOUGHT
    kept, noisy = record.unpack(session.ledger.payload_of(stored), least)
    found = answer(kept, noisy)
    return ConsentCoverage(
        release=stored.release,
        at=stored.at,
        epsilon=kept.asked_epsilon / 10**9,
        confidence=found.confidence,
        bands=tuple(
            CoverageBand(purpose=row["purpose"], status=row["status"], low=low, high=high)
            for row in found.rows()
            for low, high in [band(row["numbers_low"], row["numbers_high"])]
        ),
    )


def band(low: float, high: float) -> tuple[int, int]:
    """The narrowest band between 0 and round numbers (1, 2, 5, 10, 20, ...) that holds the interval from 0 on."""
    least, most = max(0.0, low), max(0.0, high)
    below = 0
    for edge in _round_numbers():
        if edge <= least:
            below = edge
        if edge >= most:
            return below, edge
    broken("round numbers go on")


def _round_numbers() -> Iterator[int]:
    for power in count():
        yield from (10**power, 2 * 10**power, 5 * 10**power)
