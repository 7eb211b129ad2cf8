"""Two policies compared in words: which promise weakens, for whom, and what else changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dpquery.policy.differences import differences
from dpquery.policy.effects import ORDER, Change
from dpquery.policy.rules import effects

if TYPE_CHECKING:
    from dpquery.policy.model import Policy


@dataclass(frozen=True, slots=True)
class PolicyDiff:
    """Every change from one policy to another: those that weaken a promise first."""

    changes: tuple[Change, ...]
    versions: tuple[int, int]

    @property
    def version_raised(self) -> bool:
        """Whether `version` went up, as it must with each change; True if nothing changed."""
        before, after = self.versions
        return after > before or not self.changes


def compare(before: Policy, after: Policy) -> PolicyDiff:
    """What changes from `before` to `after`; each difference has at least one sentence."""
    changes = [change for one in differences(before, after) for change in effects(one, before, after)]
    changes.sort(key=lambda change: ORDER.index(change.direction))  # stable: within a direction the file's order
    return PolicyDiff(tuple(changes), (before.version, after.version))
