"""The parts of a policy that stored rows depend on. They cannot change under the rows.

How numbers are read, who owns a row and which columns exist was settled when the rows were written; with another
policy the owners of a row would not be those that its answers are charged for.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from dpquery.errors import StoreError

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from dpquery.policy import Policy, Table
    from dpquery.store.manifest import Manifest

_TABLE_FIELDS = {
    "public",
    "key",
    "owners",
    "one_owner_when",
    "parties",
    "third_party",
    "region_column",
    "time",
    "block",
}


def digests(policy: Policy, table: str, public_lines: str | None) -> dict[str, str]:
    """What an ingest into `table` depends on, as section name to digest."""
    section = _section(table)
    return {"numbers": _numbers_digest(policy, public_lines), section: _table_digest(policy.tables[table])}


def refuse_changed(folder: Path, policy: Policy, public_lines: str | None, manifest: Manifest) -> None:
    """StoreError DPQ-504 if a part that ingested rows depend on is no longer what it was.

    A period may grow: what was stored lies in the longer one too.
    """
    then = manifest.relied_on
    changed = [section for section in then if _now(section, policy, public_lines) != then[section]]
    for table, (first, last) in manifest.periods.items():
        declared = policy.tables[table].period if table in policy.tables else None
        if not _covers(declared, (first, last)):
            changed.append(f"{_section(table)} (period)")
    if changed:
        raise StoreError(
            "DPQ-504",
            f"{folder / 'policy.toml'} has changed in [{'], ['.join(dict.fromkeys(changed))}], "
            "and rows were ingested under what stood there",
            fix="put the section back; for other lists or columns make a new store and ingest the files again",
        )


def refused_changes(before: Policy, after: Policy) -> tuple[str, ...]:
    """Sections that a store with rows under `before` would refuse to see as `after` has them, whatever was ingested.

    The text of `numbers.public_file` is not compared: only the name is in a policy.
    """
    numbers = _numbers_digest(before, None) != _numbers_digest(after, None)
    found = ["numbers"] if numbers else []
    for name, table in before.tables.items():
        now = after.tables.get(name)
        if table.legs_of is not None:
            continue
        if now is None or _table_digest(now) != _table_digest(table):
            found.append(_section(name))
        elif table.period is not None and not _covers(now.period, table.period):
            found.append(f"{_section(name)} (period)")
    return tuple(found)


def _covers(period: tuple[date, date] | None, then: tuple[date, date]) -> bool:
    return period is not None and period[0] <= then[0] and period[1] >= then[1]


def _section(table: str) -> str:
    return f"tables.{table}"


def _now(section: str, policy: Policy, public_lines: str | None) -> str | None:
    if section == "numbers":
        return _numbers_digest(policy, public_lines)
    table = policy.tables.get(section.partition(".")[2])
    return None if table is None else _table_digest(table)


def _numbers_digest(policy: Policy, public_lines: str | None) -> str:
    # Sensitive numbers too: rows do not tell them. Nor did they so far, in stores that this digest refuses.
    return _digest([policy.numbers.model_dump(mode="json"), public_lines])


def _table_digest(table: Table) -> str:
    columns = {
        # What has no grain of its own reads as before there were any.
        name: [column.type, column.source, *([] if column.grain is None else [column.grain])]
        for name, column in table.columns.items()
    }
    fields = table.model_dump(mode="json", include=_TABLE_FIELDS)
    if table.time is not None and not table.time.several_zones:
        del fields["time"]["several_zones"]  # as it was before there was this field
    return _digest([fields, columns])


def _digest(content: object) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
