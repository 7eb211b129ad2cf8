"""The numbers of a store: a code and a pseudonym each, and what the numbering plans say. No number, no spelling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from dpquery.store.secret import PSEUDONYM_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence
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
"""One row per number. `kind`: protected, org or service; `time_zone` is NULL where the plans do not know."""

WITHHELD = -1
"""Party code of a number that was not shown."""


def read_segments(paths: Sequence[Path]) -> pa.Table:
    """The dictionary in `paths`, one table in code order."""
    return pa.concat_tables([SCHEMA.empty_table(), *(pq.read_table(path, schema=SCHEMA) for path in paths)])
