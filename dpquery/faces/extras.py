"""Packages that only some faces need."""

from __future__ import annotations

from dpquery.errors import UsageError


def missing(extra: str, what: str) -> UsageError:
    """The error for an optional package that is not installed."""
    return UsageError("DPQ-002", f"{what} need the extra {extra}", fix=f'pip install "dpquery[{extra}]"')
