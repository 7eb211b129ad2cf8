"""What to ask instead for less: changed queries whose own plans err less at the same loss. No rows are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpquery.errors import BudgetRefused, DpqueryError
from dpquery.faces.prices import Alternative
from dpquery.plan.query import shown
from dpquery.postprocessing.expected import expected_half_width
from dpquery.privacy.calibrate import NANO
from dpquery.sql.request import read_request
from dpquery.sql.rewrites import rewrites

if TYPE_CHECKING:
    from dpquery.privacy.calibrate import PrivacyPlan
    from dpquery.session import Query
    from dpquery.sql.rewrites import Rewrite

HELPS = 0.99
"""An alternative helps if some value errs less than this share of what it did, and none errs more."""


def alternatives(query: Query, epsilon_nano: int) -> tuple[Alternative, ...]:
    """Coarser times, fewer keys and narrower clamps that help, each compared at `epsilon_nano`."""
    source = query.logical.source
    before = _reaches(query, query.calibrated(epsilon_nano)[0])
    if source is None or not before:
        return ()
    found = rewrites(read_request(source), query.logical, query.table.time_column)
    helping = (_compared(query, rewrite, before, epsilon_nano) for rewrite in found)
    return tuple(each for each in helping if each is not None)


def _compared(query: Query, rewrite: Rewrite, before: dict[str, float], epsilon_nano: int) -> Alternative | None:
    """The changed query beside the asked one; None if it is no query, or does not help."""
    try:
        changed = query.changed(rewrite.text)
        after = _reaches(changed, changed.calibrated(epsilon_nano)[0])
    except DpqueryError:
        return None
    if after.keys() != before.keys() or any(after[name] > before[name] for name in before):
        return None
    if not any(after[name] < HELPS * before[name] for name in before):
        return None
    # Errors go about with 1 / epsilon, which says where to look.
    low, high = int(epsilon_nano * max(after[name] / before[name] for name in before)), epsilon_nano
    while low > 1 and _no_worse(changed, low, before):
        low, high = low // 2, low
    while high - low > max(1, high // 200):
        middle = (low + high) // 2
        low, high = (low, middle) if _no_worse(changed, middle, before) else (middle, high)
    return Alternative(
        rewrite.kind,
        rewrite.change,
        rewrite.text,
        rewrite.lines,
        tuple((name, before[name], after[name]) for name in before),
        high / NANO,
    )


def _no_worse(query: Query, epsilon_nano: int, before: dict[str, float]) -> bool:
    if epsilon_nano < query.least_nano:
        return False
    try:
        after = _reaches(query, query.calibrated(epsilon_nano)[0])
    except BudgetRefused:  # too little to share out
        return False
    return all(after[name] <= before[name] for name in before)


def _reaches(query: Query, plan: PrivacyPlan) -> dict[str, float]:
    """How far the noise of each value is expected to reach, where the plan alone tells; clamps do not cut it short."""
    confidence = query.terms.confidence
    found = {o.name: expected_half_width(plan, o, confidence, within_clamp=False) for o in shown(query.logical)}
    return {name: reach for name, reach in found.items() if reach is not None}
