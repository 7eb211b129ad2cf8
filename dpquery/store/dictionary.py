"""The numbers of a store: a code and a pseudonym each, and what the numbering plans say. No number, no spelling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dpquery.store.secret import PSEUDONYM_BYTES

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

SCHEMA = pa.schema(
    [
        pa.field("code", pa.int32(), nullable=False),
        pa.field("pseudonym", pa.binary(PSEUDONYM_BYTES), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("line_type", pa.string(), nullable=False),
        pa.field("country", pa.string(), nullable=False),
        pa.field("region", pa.string(), nullable=False),
        pa.field("time_zone", pa.string()),
        pa.field("valid", pa.bool_(), nullable=False),
        pa.field("protected", pa.bool_(), nullable=False),
    ]
)
"""One row per number. `kind`: protected, org, service, or erased; `time_zone` is NULL where the plans do not know."""

WITHHELD = -1
"""Party code of a number that was not shown."""

ERASED = "erased"
"""Kind of a code whose number was erased: its pseudonym is NOBODY's, and nothing else is known of it."""
NOBODY = bytes(PSEUDONYM_BYTES)

_ERASED_ROW = {
    "pseudonym": NOBODY,
    "kind": ERASED,
    "line_type": "unknown",
    "country": "other",
    "region": "other",
    "time_zone": None,
    "valid": False,
    "protected": False,
}


def codes_of(segment: pa.Table, pseudonyms: Collection[bytes]) -> list[int]:
    """The codes that a segment gives to numbers with these pseudonyms."""
    rows = pc.is_in(segment["pseudonym"], value_set=pa.array(list(pseudonyms), segment["pseudonym"].type))
    codes: list[int] = segment["code"].filter(rows).to_pylist()
    return codes


def without(segment: pa.Table, codes: Collection[int]) -> pa.Table:
    """The segment with nothing left of the numbers that have these codes; codes of others stay what they are."""
    gone = pc.is_in(segment["code"], value_set=pa.array(list(codes), pa.int32()))
    columns = [
        pc.if_else(gone, pa.scalar(_ERASED_ROW[field.name], field.type), segment[field.name])
        if field.name in _ERASED_ROW
        else segment[field.name]
        for field in SCHEMA
    ]
    return pa.table(columns, schema=SCHEMA)


def read_segments(paths: Sequence[Path]) -> pa.Table:
    """The dictionary in `paths`, one table in code order."""
    return pa.concat_tables([SCHEMA.empty_table(), *(pq.read_table(path, schema=SCHEMA) for path in paths)])
