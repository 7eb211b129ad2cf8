"""What makes two requests the same question: the measurements they need, not how their answers are named or sorted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from dpquery.plan.canonical import canonical, digest, in_any_order, sort_key

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dpquery.plan.keys import GroupKey
    from dpquery.privacy.calibrate import PrivacyPlan
    from dpquery.privacy.measure import Measurement


@dataclass(frozen=True, slots=True)
class Versions:
    """Counters that tick when an answer could change; public by construction."""

    data: int
    policy: int
    consent: int
    policy_digest: str = ""
    """Digest of the whole policy, for a change whose version number was forgotten."""
    at: str = field(default="", compare=False)
    """When it is asked (ISO, UTC): what people allow, and what is past retention, is read as of then.

    Not part of the question: `consent` is, and the times that retention leaves in the plan.
    """

    @property
    def asked_at(self) -> datetime:
        """When it is asked."""
        return datetime.fromisoformat(self.at)


def canonical_plan(plan: PrivacyPlan) -> str:
    """Digest of what is measured: table, filter, keys, bounds and measurements, in one order."""
    logical = plan.bounded.logical
    return digest(
        [
            "plan/1",
            logical.table,
            canonical(logical.relation),
            in_any_order(logical.where),
            in_any_order(_plain(key) for key in logical.keys),
            plan.bounded.rule,
            canonical(plan.bounded.bounds),
            list(plan.bounded.blocks),
            in_any_order(part.measurement for part in plan.parts),
        ]
    )


def question(plan: PrivacyPlan, versions: Versions, purpose: str) -> str:
    """Digest of the whole question: its plan, the versions it is asked of, and the purpose (consent depends on it)."""
    asked_of = [versions.data, versions.policy, versions.consent, versions.policy_digest]
    return digest(["question/1", canonical_plan(plan), asked_of, purpose])


def unversioned(plan: PrivacyPlan, versions: Versions, purpose: str) -> str:
    """Digest of the question under this policy, whatever data and consents it is asked of: older answers share it."""
    policy = [versions.policy, versions.policy_digest]
    return digest(["unversioned/1", canonical_plan(plan), policy, purpose])


def measurement_id(measurement: Measurement) -> str:
    """Name under which a measurement is stored with its release."""
    return digest(["measurement/1", canonical(measurement)])


def canonical_keys(plan: PrivacyPlan) -> list[int]:
    """Positions of the request's keys, in the canonical order of keys."""
    return _order(plan.bounded.logical.keys)


def to_canonical_order(plan: PrivacyPlan, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cells of an array (cells, width) in the canonical order of keys; selected groups stay where they are."""
    keys = plan.bounded.logical.keys
    if plan.bounded.logical.groups is not None:
        return values
    shape = [len(key.values) for key in keys]
    order = _order(keys)
    cube = values.reshape(*shape, values.shape[1])
    return cube.transpose(*order, len(keys)).reshape(values.shape)


def from_canonical_order(plan: PrivacyPlan, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The reverse of to_canonical_order, for the order in which this request names its keys."""
    keys = plan.bounded.logical.keys
    if plan.bounded.logical.groups is not None:
        return values
    order = _order(keys)
    shape = [len(keys[i].values) for i in order]
    back = [order.index(i) for i in range(len(keys))]
    cube = values.reshape(*shape, values.shape[1])
    return cube.transpose(*back, len(keys)).reshape(values.shape)


def _order(keys: tuple[GroupKey, ...]) -> list[int]:
    return sorted(range(len(keys)), key=lambda i: sort_key(_plain(keys[i])))


def _plain(key: GroupKey) -> GroupKey:
    """A key without what does not change its cells."""
    return replace(key, origin="")
