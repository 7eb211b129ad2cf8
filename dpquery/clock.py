"""The clock: what depends on the time of day gets it from whoever asks, who reads it here, once."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)
