"""One statement of one number about one purpose, and columns of many."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from dpquery.store.secret import PSEUDONYM_BYTES

GIVEN, REFUSED, WITHDRAWN, EXPIRED, LIFTED = STATUSES = ("given", "refused", "withdrawn", "expired", "lifted")
"""Given: yes. Refused, withdrawn: no. Expired and lifted: nothing any more, as if this source had never spoken."""

EVERY_PURPOSE: Final = "*"
"""The purpose of a refusal of all. Nobody can consent to all at once: a consent names what it is for."""

PERSON: Final = "person"
"""Source of what people said themselves; every other source is a list, by its name."""

_TIME = pa.timestamp("us", tz="UTC")

SCHEMA = pa.schema(
    [
        pa.field("pseudonym", pa.binary(PSEUDONYM_BYTES), nullable=False),
        pa.field("purpose", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("basis", pa.string()),
        pa.field("notice_version", pa.string()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("method", pa.string()),
        pa.field("effective_at", _TIME, nullable=False),
        pa.field("expires_at", _TIME),
        pa.field("recorded_at", _TIME, nullable=False),
    ]
)
"""Statements as they were recorded. `basis`: consent, contract, ...; `method`: web, call, letter, ...

No number, only its pseudonym. Times are in microseconds, UTC.
"""
