"""What the registry of consents costs at query time: `python -m benchmarks.consent [--rows N] [--statements N]`.

The same queries over the same store in one run: without a registry, and with one that holds a statement of every tenth
number of the store among many of numbers that never called. Each query is charged, measured and noised as ever.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import pyarrow as pa

from dpquery.catalog import catalog_of
from dpquery.consent.records import PERSON, REFUSED, SCHEMA
from dpquery.consent.registry import append
from dpquery.demo.store import make_demo
from dpquery.engines.embedded import execute
from dpquery.engines.stored import stored_rows
from dpquery.noise.conversion import rho_within
from dpquery.privacy.bound import bound
from dpquery.privacy.calibrate import NANO, PrivacyPlan, calibrate
from dpquery.sql.resolve import resolve
from dpquery.store import Store, open_store

PURPOSE = "network_planning"
QUERIES = {
    "two owners, by region": "SELECT caller_region, COUNT(*) AS n FROM calls GROUP BY 1",
    "one owner, by campaign": "SELECT campaign_id, COUNT(*) AS n FROM calls WHERE direction = 'outbound' GROUP BY 1",
    "one owner, mean": "SELECT campaign_id, AVG(talk_s) AS s FROM calls WHERE direction = 'outbound' GROUP BY 1",
}
RUNS = 5


def plan_of(sql: str, store: Store) -> PrivacyPlan:
    catalog = catalog_of(store)
    bounded = bound(resolve(sql, catalog), catalog)
    return calibrate(bounded, NANO, delta_release=1e-6, gaussian_allowed=True, rho_within=rho_within)[0]


def seconds(plan: PrivacyPlan, store: Store) -> float:
    """From the files to the exact table, with the registry read anew, as a new process would."""
    start = perf_counter()
    execute(plan, stored_rows(store, catalog_of(store), plan, purpose=PURPOSE, at=datetime.now(UTC)))
    return perf_counter() - start


def fill(store: Store, statements: int) -> None:
    """Refusals of a tenth of the store's numbers, and of strangers."""
    known = store.numbers()["pseudonym"].to_pylist()[::10][:statements]
    strangers = np.random.default_rng(1).bytes(16 * (statements - len(known)))
    pseudonyms = [*known, *(strangers[i : i + 16] for i in range(0, len(strangers), 16))]
    now, rows = datetime(2026, 1, 1, tzinfo=UTC), len(pseudonyms)
    columns = {
        "pseudonym": pseudonyms,
        "purpose": ["*"] * rows,
        "status": [REFUSED] * rows,
        "source": [PERSON] * rows,
        "effective_at": [now] * rows,
        "recorded_at": [now] * rows,
    }
    arrays = [pa.array(columns.get(field.name, [None] * rows), field.type) for field in SCHEMA]
    append(store.folder, [pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--statements", type=int, default=100_000)
    parser.add_argument(
        "--store", type=Path, help="a demo store to use, instead of a new one; it is left with the registry"
    )
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="dpquery-consent-"))
    try:
        store = open_store(asked.store) if asked.store else make_demo(folder / "demo", rows=asked.rows, seed=1)[0].store
        store.reload()
        plans = {name: plan_of(sql, store) for name, sql in QUERIES.items()}
        for plan in plans.values():
            seconds(plan, store)  # kernels are compiled, files are in memory
        without = {name: median(seconds(plan, store) for _ in range(RUNS)) for name, plan in plans.items()}
        fill(store, asked.statements)
        print(f"{store.number_count:,} numbers, {asked.statements:,} statements")
        for name, plan in plans.items():
            found = median(seconds(plan, store) for _ in range(RUNS))
            print(f"{name:<26} {without[name]:7.3f} s  {found:7.3f} s with the registry  x {found / without[name]:.2f}")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
