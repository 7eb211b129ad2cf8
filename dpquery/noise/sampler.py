"""Adds the noise. No switch turns it off and nothing here takes a seed."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from dpquery.errors import ensure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dpquery.noise.allowlist import MechanismName, SelectionName


def select_least(mechanism: SelectionName, scale: float, scores: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each row of `scores` (cells, candidates) the place of a low score, an array (cells, 1).

    Cells are selected one by one, each with noise of its own; the loss was computed once, over all of them.
    """
    from dpquery.noise.allowlist import least_score

    ensure(scores.ndim == 2 and scores.dtype == np.int64, "scores are 64-bit integers by cell and candidate")
    measurement = least_score(mechanism, scale)
    rows = [np.array(row, dtype=np.int64, copy=True) for row in np.clip(scores, -SATURATION, SATURATION)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        found = np.array(list(pool.map(measurement, rows)), np.int64).reshape(len(rows), 1)
    ensure(bool(np.all((found >= 0) & (found < scores.shape[1]))), "a candidate is selected in each cell")
    return found


CHUNK = 32_768
"""Values per native call: long enough to amortise it, short enough that an interrupt is heard."""

SATURATION = 2**62
"""Exact values are held within +/- this, so that noise cannot overflow."""


def add_noise(mechanism: MechanismName, scale: float, exact: NDArray[np.int64]) -> NDArray[np.int64]:
    """Independent discrete noise of `scale` on each integer of `exact` (any shape), in a new array.

    Splitting the vector over calls leaves the guarantee as it is: the noise is independent for each element, and the
    loss was computed once for the whole vector.
    """
    from dpquery.noise.allowlist import integer_noise

    ensure(not isinstance(exact, np.ma.MaskedArray), "exact values have no mask")
    ensure(exact.dtype == np.int64, "exact values are 64-bit integers")
    measurement = integer_noise(mechanism, scale)
    # OpenDP refuses read-only arrays, and must never be handed the caller's own memory.
    flat = np.array(np.clip(exact, -SATURATION, SATURATION), dtype=np.int64, copy=True).ravel()
    if flat.size == 0:
        return flat.reshape(exact.shape)
    chunks = [np.ascontiguousarray(flat[start : start + CHUNK]) for start in range(0, flat.size, CHUNK)]
    if len(chunks) == 1:
        noisy = [np.asarray(measurement(chunks[0]), dtype=np.int64)]
    else:
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            noisy = [np.asarray(part, dtype=np.int64) for part in pool.map(measurement, chunks)]
    result = np.concatenate(noisy)
    ensure(result.size == flat.size, "each exact value has one noisy value")
    return result.reshape(exact.shape)
