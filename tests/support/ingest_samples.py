"""Stores to ingest into, and made-up calls, for the tests beside this file."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from dpquery.store import Store, create_store
from dpquery.store.manifest import read_manifest, write_manifest
from dpquery.store.secret import read_secret

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence
    from pathlib import Path

HEAD = """
schema = 1
dataset = "test"
version = 1
"""
TAIL = """
[purposes.planning]
text = "Plan."
notice = "v1"
regime = "opt-out"
[analysts.ana]
purposes = ["planning"]
[budgets]
dataset = { epsilon = 1.0 }
analysts = { ana = { epsilon = 1.0 } }
"""
BOUNDS = """
[tables.calls.bounds]
ungrouped = { max_rows = 100 }
grouped = { max_rows_per_group = 25 }
"""
NUMBERS = """
[numbers]
default_region = "GB"
public_numbers = ["+442079460000"]
public_kinds = ["short_code", "emergency", "toll_free"]
"""
CALLS = """
[tables.calls]
owners = 2
parties = { caller = "caller", callee = "callee" }
third_party = "third_party"
time = { column = "start_ts", zone = "Europe/London", grain = "minute" }
period = [2026-01-01, 2026-03-31]
block = "month"
[tables.calls.columns]
service = { type = "text", keys = ["voice", "sms"] }
talk_s = { type = "integer", bounds = [0, 3600] }
cost = { type = "decimal", bounds = [0, 16], from = "price" }
answered = { type = "boolean" }
billed_on = { type = "date" }
ended_at = { type = "timestamp" }
"""
FIELDS = (
    "caller",
    "callee",
    "third_party",
    "start_ts",
    "service",
    "talk_s",
    "price",
    "answered",
    "billed_on",
    "ended_at",
    "note",
)
"""Columns of made-up files; `note` is in no policy."""


def policy(tables: str = CALLS + BOUNDS, numbers: str = NUMBERS) -> str:
    return HEAD + numbers + tables + TAIL


@dataclass(frozen=True)
class Stores:
    """Makes stores in a folder of the test's own."""

    folder: Path

    def make(self, text: str | None = None, name: str = "store", **options: Any) -> Store:
        return create_store(self.folder / name, policy() if text is None else text, **options)

    def file(self, content: str | bytes, name: str = "calls.csv") -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path


def made_up_numbers(rng: random.Random, count: int) -> list[str]:
    """Canonical numbers: valid mobiles and landlines of two countries."""
    heads = ("+447400", "+447700", "+4420794", "+44161496", "+34612")
    width = {"+447400": 6, "+447700": 6, "+4420794": 5, "+44161496": 4, "+34612": 6}
    found: dict[str, None] = {}
    while len(found) < count:
        head = rng.choice(heads)
        found[head + str(rng.randrange(10 ** width[head])).zfill(width[head])] = None
    return list(found)


def made_up_row(rng: random.Random, caller: str, callee: str) -> dict[str, str]:
    month = rng.choice((1, 2, 3))
    when = f"2026-{month:02d}-{rng.randint(1, 28):02d}"
    return {
        "caller": caller,
        "callee": callee,
        "third_party": "",
        "start_ts": f"{when}T{rng.randrange(24):02d}:{rng.randrange(60):02d}:{rng.randrange(60):02d}Z",
        "service": rng.choice(("voice", "sms", "")),
        "talk_s": rng.choice(("", str(rng.randrange(4000)))),
        "price": f"{rng.random() * 9:.3f}",
        "answered": rng.choice(("true", "false", "")),
        "billed_on": rng.choice(("", when)),
        "ended_at": rng.choice(("", f"{when} 12:00:00.5")),
        "note": "undeclared-secret",
    }


def as_csv(rows: Sequence[dict[str, str]], fields: Sequence[str] = FIELDS) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def stored(store: Store, table: str = "calls") -> pa.Table:
    """All rows of a table in the store's order, codes replaced by pseudonyms."""
    tables = [pq.read_table(file.path) for file in store.files(table)]
    rows = pa.concat_tables(tables)
    names = store.numbers().column("pseudonym").to_pylist()

    def named(code: int) -> str:
        return (
            "withheld"
            if code == -1
            else ("public " if code < -1 else "") + names[code if code >= 0 else -2 - code].hex()
        )

    for party in store.policy.tables[table].party_names:
        column = pa.array([named(code) for code in rows.column(party).to_pylist()])
        rows = rows.set_column(rows.column_names.index(party), party, column)
    return rows


def share_key(store: Store, key: bytes) -> None:
    """Give a store another store's key, so that their pseudonyms and order can be compared."""
    store.key_file.write_bytes(key)
    check = read_secret(store.key_file).check
    write_manifest(store.folder, replace(read_manifest(store.folder), key_check=check))
    store.reload()
