"""Makes the demo store: made-up files, ingested as real ones would be."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pyarrow.csv import write_csv
from pyarrow.parquet import read_table

from dpquery.demo import POLICY_FILE, generate
from dpquery.demo.consent_lists import consent_list, opt_out_list
from dpquery.demo.marker import clear, mark
from dpquery.stewardship import init

if TYPE_CHECKING:
    from collections.abc import Callable

    from dpquery.ingest import IngestSummary
    from dpquery.stewardship import Steward


def make_demo(
    folder: Path, *, rows: int, seed: int, progress: Callable[[str], None] = lambda _: None
) -> tuple[Steward, dict[str, IngestSummary]]:
    """Make up `rows` calls, and a store of them at `folder` in place of an older demo.

    Gives the steward's handle and what each table's ingest said. The files with made-up numbers are removed again.
    """
    folder = folder.absolute()
    clear(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        progress(f"making up {rows:,} calls")
        files = generate(Path(scratch), rows=rows, seed=seed)
        steward = init(folder, policy=POLICY_FILE)
        mark(folder)
        summaries = {}
        for table, file in files.by_table.items():
            if steward.store.policy.tables[table].registry is not None:
                progress(f"taking in {table}")
                _take_in(steward, table, file)
                continue
            progress(f"ingesting {table}")
            summaries[table] = steward.ingest(file, table=table)
    return steward, summaries


def _take_in(steward: Steward, table: str, file: Path) -> None:
    """What people said, and do-not-call lists, into the registry, as a list in our own format."""
    listed = file.with_suffix(".csv")
    write_csv((consent_list if table == "consents" else opt_out_list)(read_table(file)), listed)
    steward.consent.import_list(listed, format="dpquery", purpose="marketing")
