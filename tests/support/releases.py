"""Releases of each shape, and of tables of our making."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dpquery.engines.one_owner import scores
from dpquery.measuring import with_noise
from dpquery.postprocessing.answer import answer
from dpquery.privacy.measure import QuantileMeasurement, SquaresMeasurement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dpquery.privacy.measure import Measurement
    from dpquery.release import Release

SHAPES = {
    "alone": "SELECT COUNT(*) AS n, SUM(talk_s) AS s FROM calls",
    "category": "SELECT service, COUNT(*) AS n, AVG(talk_s) AS t FROM calls GROUP BY service",
    "whole number": "SELECT local_hour, COUNT(*) AS n FROM calls GROUP BY local_hour",
    "time": "SELECT day, COUNT(*) AS n FROM calls WHERE day < '2026-02-01' GROUP BY day",
    "time and category": "SELECT day, service, COUNT(*) AS n FROM calls WHERE day < '2026-01-20' GROUP BY day, service",
    "two categories": "SELECT cell_id, direction, COUNT(*) AS n FROM calls GROUP BY cell_id, direction",
    "many columns": "SELECT cell_id, local_hour, COUNT(*) AS n FROM calls GROUP BY cell_id, local_hour",
}


def redrawn(release: Release, exact: Sequence[NDArray[Any]], release_id: str) -> Release:
    """The release of other exact values, with noise of its own: what the session makes, over tables of our making."""
    noisy = [with_noise(part, values.astype(np.int64)) for part, values in zip(release.plan.parts, exact, strict=True)]
    return replace(release, answer=answer(release.plan, noisy), release_id=release_id)


def plenty(release: Release, release_id: str) -> Release:
    """A release of so many rows that its noise is small beside them."""
    cells = release.plan.bounded.cells
    return redrawn(release, [_plenty(part.measurement, cells) for part in release.plan.parts], release_id)


def _plenty(measurement: Measurement, cells: int) -> NDArray[np.int64]:
    if isinstance(measurement, QuantileMeasurement):
        return scores(np.full((cells, measurement.candidates), 10**7, np.int64), measurement)
    # Squares of as many rows as values would leave a variance of 0, whose interval noise may cut off.
    rows = 10**9 if isinstance(measurement, SquaresMeasurement) else 10**7
    return np.full((cells, measurement.width), rows, np.int64)
