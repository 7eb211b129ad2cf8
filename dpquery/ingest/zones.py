"""Time zones over whole columns, by the standard library's zone data.

Offsets change only at full quarters of an hour, so each distinct quarter is looked up once.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

Longs = np.ndarray[Any, np.dtype[np.int64]]

SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US
DAY_US = 24 * HOUR_US
_QUARTER_US = 900 * SECOND_US
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a wall clock's reading
_ALWAYS_UTC = frozenset({"UTC", "Etc/UTC", "Etc/GMT", "GMT", "Zulu"})


def zone_named(name: str) -> ZoneInfo | None:
    """The zone, None if there is no such zone."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        return None


def local_times(micros: Longs, zone: ZoneInfo) -> Longs:
    """What clocks in `zone` show at instants (both in microseconds since 1970)."""
    if zone.key in _ALWAYS_UTC:
        return micros
    quarters, inverse = np.unique(micros // _QUARTER_US, return_inverse=True)
    offsets = [
        _micros(
            (_EPOCH + timedelta(seconds=900 * quarter)).replace(tzinfo=ZoneInfo("UTC")).astimezone(zone).utcoffset()
        )
        for quarter in quarters.tolist()
    ]
    return micros + np.array(offsets, np.int64)[inverse]


def utc_times(micros: Longs, zone: ZoneInfo) -> Longs:
    """Instants at which clocks in `zone` show `micros`.

    Times that a clock shows twice are taken as the first; times that it skips as if it had not been put forward.
    """
    if zone.key in _ALWAYS_UTC:
        return micros
    quarters, inverse = np.unique(micros // _QUARTER_US, return_inverse=True)
    offsets = [
        _micros((_EPOCH + timedelta(seconds=900 * quarter)).replace(tzinfo=zone).utcoffset())
        for quarter in quarters.tolist()
    ]
    return micros - np.array(offsets, np.int64)[inverse]


def _micros(offset: timedelta | None) -> int:
    return 0 if offset is None else round(offset.total_seconds()) * SECOND_US
