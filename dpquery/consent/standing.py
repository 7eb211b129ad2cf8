"""Which statement stands for each number, at one moment.

Within a source (the person, or a list) the newest statement in effect stands; a source whose newest one lifts says
nothing. Between sources the newest stands. At equal times a refusal stands. What has expired counts as if it were not
there, so that an earlier refusal stands again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dpquery.consent.records import EVERY_PURPOSE, EXPIRED, GIVEN, LIFTED, REFUSED, STATUSES, WITHDRAWN

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

REFUSING = tuple(STATUSES.index(status) for status in (REFUSED, WITHDRAWN))
SILENT = tuple(STATUSES.index(status) for status in (EXPIRED, LIFTED))
YES = STATUSES.index(GIVEN)

_FOREVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Statements:
    """Statements about numbers of the store, column by column, in the order in which they were recorded."""

    code: NDArray[np.int32]
    source: NDArray[np.int32]
    """Numbered as they come; which is which does not matter for what stands."""
    status: NDArray[np.int8]
    """Place in STATUSES."""
    effective: NDArray[np.int64]
    expires: NDArray[np.int64]
    """Microseconds since 1970; the largest integer for never."""
    row: NDArray[np.int64]
    """Place among all records."""


def statements(records: pa.Table, pseudonyms: pa.Array, purpose: str) -> Statements:
    """The statements about `purpose`, or about all purposes, of the numbers whose `pseudonyms` are in code order."""
    wanted = pc.is_in(records["purpose"], value_set=pa.array([purpose, EVERY_PURPOSE]))
    rows = np.flatnonzero(_numpy(wanted))
    chosen = records.take(pa.array(rows))
    code = _places(chosen["pseudonym"], pseudonyms)
    known = code >= 0
    source = chosen["source"].combine_chunks()
    sources = pc.unique(source)
    return Statements(
        code=code[known],
        source=_places(source, sources)[known],
        status=_places(chosen["status"], pa.array(STATUSES)).astype(np.int8)[known],
        effective=_microseconds(chosen["effective_at"])[known],
        expires=_microseconds(chosen["expires_at"])[known],
        row=rows.astype(np.int64)[known],
    )


def standing(found: Statements, at: datetime) -> NDArray[np.int64]:
    """Places in `found` of the statements that stand at `at`, at most one for each number, by code."""
    return _newest(found, _by_source(found, at), found.code)


def standing_by_source(found: Statements, at: datetime) -> NDArray[np.int64]:
    """The same for each number and source: what every list, and the person, says now."""
    return _by_source(found, at)


def _by_source(found: Statements, at: datetime) -> NDArray[np.int64]:
    now = round(at.timestamp() * 1_000_000)
    ever = np.flatnonzero((found.effective <= now) & (found.expires > now))
    newest = _newest(found, ever, found.code, found.source)
    spoken: NDArray[np.int64] = newest[~np.isin(found.status[newest], SILENT)]
    return spoken


def _newest(found: Statements, places: NDArray[np.int64], *group: NDArray[np.int32]) -> NDArray[np.int64]:
    """Of `places` the last of each group: by time, then refusals last, then as recorded."""
    refusing = np.isin(found.status[places], REFUSING)
    keys = [column[places] for column in reversed(group)]
    order = np.lexsort((found.row[places], refusing, found.effective[places], *keys))
    ordered = places[order]
    if not len(ordered):
        return ordered
    last = np.ones(len(ordered), np.bool_)
    last[:-1] = False
    for column in group:
        last[:-1] |= column[ordered][1:] != column[ordered][:-1]
    return ordered[last]


def _places(values: pa.ChunkedArray | pa.Array, among: pa.Array) -> NDArray[np.int32]:
    found: NDArray[np.int32] = _numpy(pc.fill_null(pc.index_in(values, value_set=among), -1)).astype(np.int32)
    return found


def _microseconds(times: pa.ChunkedArray) -> NDArray[np.int64]:
    found: NDArray[np.int64] = _numpy(pc.fill_null(times.cast(pa.int64()), _FOREVER))
    return found


def _numpy(array: pa.ChunkedArray | pa.Array) -> NDArray[Any]:
    whole = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    found: NDArray[Any] = whole.to_numpy(zero_copy_only=False)
    return found
