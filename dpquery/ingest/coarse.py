"""Values at the grain that the policy declares: what is finer never reaches disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dpquery.ingest.zones import SECOND_US
from dpquery.policy.model import TIME_GRAINS

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WITHIN: Final = 1e-6
"""A value so near below a step, in steps, is that step: as a decimal it is not written exactly."""


def coarsened(values: pa.Array, grain: str | float | None) -> pa.Array:
    """`values` of a declared column, cut to `grain`: a text to its first signs, all else down to a step. NULL stays.

    What is cut once stays as it is.
    """
    if grain is None:
        return values
    kind = values.type
    if pa.types.is_string(kind):
        return pc.utf8_rtrim_whitespace(pc.utf8_slice_codeunits(values, 0, int(grain)))
    if isinstance(grain, str):
        step = TIME_GRAINS[grain] * SECOND_US
        return _whole_steps(values.cast(pa.int64()), step).cast(kind)
    if pa.types.is_integer(kind):
        return _whole_steps(values, int(grain))
    return _decimal_steps(values, grain)


def _whole_steps(values: pa.Array, step: int) -> pa.Array:
    filled: NDArray[Any] = pc.fill_null(values, 0).to_numpy(zero_copy_only=False)
    # Down, also below zero; the least values have no step below them, and keep theirs.
    down = np.where(filled < np.iinfo(np.int64).min + step, filled, filled - filled % step)
    return pc.if_else(pc.is_valid(values), pa.array(down), pa.scalar(None, pa.int64()))


def _decimal_steps(values: pa.Array, step: float) -> pa.Array:
    filled: NDArray[Any] = pc.fill_null(values, 0.0).to_numpy(zero_copy_only=False)
    per_unit = round(1.0 / step)
    if per_unit and abs(per_unit * step - 1.0) < _WITHIN:
        down = np.floor(filled * per_unit + _WITHIN) / per_unit
    else:
        down = np.floor(filled / step + _WITHIN) * step
    down = np.where(np.isfinite(down), down, filled)
    return pc.if_else(pc.is_valid(values), pa.array(down), pa.scalar(None, pa.float64()))
