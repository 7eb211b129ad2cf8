"""The one path from private rows to noisy integers."""

from __future__ import annotations

from dataclasses import replace
from itertools import compress
from typing import TYPE_CHECKING, assert_never

import numpy as np

from dpquery.engines.embedded import execute, execute_selection
from dpquery.noise.sampler import add_noise, select_least

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dpquery.engines.scan import RowSource
    from dpquery.privacy.calibrate import CalibratedMeasurement, PrivacyPlan


GROUPS_MAX = 1_000_000
"""Groups that are selected at most: those with the largest noisy numbers."""


def measured(plan: PrivacyPlan, source: RowSource) -> tuple[PrivacyPlan, tuple[NDArray[np.int64], ...]]:
    """Noisy arrays (cells, width), one per part of `plan`; the plan comes back with the groups that were selected.

    Groups are selected first, by their noisy numbers. What is measured then is a request whose groups are those, as if
    somebody had declared them: bounding starts anew over their rows alone.
    """
    if plan.selection is None:
        return plan, _noisy(plan.parts, plan, source)
    plan, numbers = _selected(plan, plan.selection.threshold, source)
    return plan, (numbers, *_noisy(plan.parts[1:], plan, source))


def _selected(plan: PrivacyPlan, threshold: int, source: RowSource) -> tuple[PrivacyPlan, NDArray[np.int64]]:
    """The plan with the groups whose noisy numbers are strictly above the threshold, and these numbers."""
    first = plan.parts[0]
    groups, counts = execute_selection(plan, source).open_for_noise()
    noisy = add_noise(plan.mechanism, first.scale, counts)
    passing = noisy[:, 0] > threshold
    if passing.sum() > GROUPS_MAX:
        # By noisy counts alone: an answer too large to keep would fail once its noise was drawn, and be drawn again.
        most = np.argsort(-noisy[:, 0], kind="stable")[:GROUPS_MAX]
        passing = np.isin(np.arange(len(noisy)), most)
    logical = replace(plan.bounded.logical, groups=tuple(compress(groups, passing.tolist())))
    return replace(plan, bounded=replace(plan.bounded, logical=logical)), noisy[passing]


def _noisy(
    parts: tuple[CalibratedMeasurement, ...], plan: PrivacyPlan, source: RowSource
) -> tuple[NDArray[np.int64], ...]:
    if not parts:
        return ()
    if plan.bounded.cells == 0:
        return tuple(np.zeros((0, part.measurement.width), np.int64) for part in parts)
    exact = execute(replace(plan, parts=parts), source).open_for_noise()
    return tuple(with_noise(part, values) for part, values in zip(parts, exact, strict=True))


def with_noise(part: CalibratedMeasurement, exact: NDArray[np.int64]) -> NDArray[np.int64]:
    """What leaves of a part: its integers with noise, or the bins that were selected by their scores."""
    match part.mechanism:
        case "permute-and-flip" | "exponential" as mechanism:
            return select_least(mechanism, part.scale, exact)
        case "laplace" | "gaussian" as mechanism:
            return add_noise(mechanism, part.scale, exact)
        case _:
            assert_never(part.mechanism)
