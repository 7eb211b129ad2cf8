"""Error of every query in the demo's file: `python -m benchmarks.queries [--dir D] [--draws N] [--only Q7]`.

The error of a group is |answer - truth| / |truth|, where truth is what plain DuckDB says of all rows, before any bound;
groups whose truth is 0 have none. It is averaged over the groups of a column; the worst column counts; that is averaged
over the draws. The median group is printed too: a few small groups, which err most, can make an average large.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from dpquery.catalog import catalog_of
from dpquery.consent import registry_view
from dpquery.demo.marker import ensure_demo
from dpquery.demo.queries import demo_queries
from dpquery.demo.store import make_demo
from dpquery.describe import bounding_in_words
from dpquery.engines.embedded import execute
from dpquery.engines.stored import stored_rows
from dpquery.measuring import with_noise
from dpquery.noise.conversion import rho_within
from dpquery.noise.verify import verify
from dpquery.plan.permission import Permission
from dpquery.plan.query import shown
from dpquery.postprocessing.answer import answer
from dpquery.privacy.bound import bound
from dpquery.privacy.calibrate import NANO, calibrate
from dpquery.sql.parameters import parameters
from dpquery.sql.resolve import resolve
from dpquery.store import open_store

if TYPE_CHECKING:
    from dpquery.demo.queries import DemoQuery
    from dpquery.plan.catalog import Catalog
    from dpquery.privacy.calibrate import PrivacyPlan
    from dpquery.store import Store

EPSILON = 1.0
DUTY = "compliance"
GOOD = 0.10
"""Relative error below which an answer counts as good."""
LEGS = """CREATE VIEW legs AS
SELECT caller AS owner, 'caller' AS role, caller_region AS region, caller_type AS own_number_type, * FROM calls
WHERE caller >= 0 UNION ALL
SELECT callee, 'callee', callee_region, callee_type, * FROM calls WHERE callee >= 0"""


def plan_of(query: DemoQuery, store: Store, catalog: Catalog, epsilon: float = EPSILON) -> PrivacyPlan:
    """The plan the demo's analyst gets for `query`."""
    logical = resolve(
        query.sql,
        catalog,
        permission=Permission.of(store.policy, query.purpose),
        parameters=parameters(query.params),
    )
    limits = store.policy.limits
    plans = calibrate(
        bound(logical, catalog),
        int(epsilon * NANO),
        delta_release=limits.delta_release,
        gaussian_allowed=limits.gaussian,
        rho_within=rho_within,
    )
    return verify(plans[0])


def truth_of(query: DemoQuery, store: Store) -> list[dict[str, Any]]:
    """What plain DuckDB says of the store's rows; for made-up rows only."""
    ensure_demo(store.folder)
    with duckdb.connect(":memory:") as con:
        for name, table in store.policy.tables.items():
            files = [str(file.path) for file in store.files(name)] if table.legs_of is None else []
            if table.registry is not None:
                con.register(name, registry_view(store, name, datetime.now(UTC)))
            elif files:
                con.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({files!r})")
        con.execute(LEGS)
        text = query.plain or query.sql
        for name in query.params:
            text = text.replace(f":{name}", f"${name}")
        rows = con.execute(text, dict(query.params) or None)
        names = [column[0] for column in rows.description or ()]
        return [dict(zip(names, row, strict=True)) for row in rows.fetchall()]


@dataclass(frozen=True, slots=True)
class Errors:
    """Relative errors of the worst column, averaged over draws."""

    mean: float
    """Over groups."""
    median: float
    """Of the median group."""


def errors_of(
    query: DemoQuery, store: Store, catalog: Catalog, draws: int, epsilon: float = EPSILON
) -> tuple[Errors, PrivacyPlan]:
    """How far the answers of `query` are from the truth, and its plan."""
    plan = plan_of(query, store, catalog, epsilon)
    outputs = shown(plan.bounded.logical)
    keys = [output.name for output in outputs if output.kind == "key"]
    values = [output.name for output in outputs if output.kind != "key"]
    true = {tuple(row[k] for k in keys): row for row in truth_of(query, store)}
    # For a duty: whom consent leaves out is no error of the answer.
    exact = execute(plan, stored_rows(store, catalog, plan, purpose=DUTY, at=datetime.now(UTC))).open_for_noise()
    found = []
    for _ in range(draws):
        noisy = [with_noise(p, v) for p, v in zip(plan.parts, exact, strict=True)]
        rows = {tuple(row[k] for k in keys): row for row in answer(plan, noisy).rows()}
        columns = [_errors(rows, true, name) for name in values]
        found.append((max(map(statistics.fmean, columns)), max(map(statistics.median, columns))))
    return Errors(*(statistics.fmean(column) for column in zip(*found, strict=True))), plan


def _errors(rows: dict[Any, dict[str, Any]], true: dict[Any, dict[str, Any]], name: str) -> list[float]:
    """Each group's relative error; a group that was not released, or has no value, counts as wholly wrong."""
    groups = []
    for key, row in true.items():
        expected = float(row[name] or 0.0)
        if expected == 0.0:
            continue
        value = rows.get(key, {}).get(name)
        groups.append(1.0 if value is None else abs(float(value) - expected) / abs(expected))
    return groups


def main() -> None:
    """Print one line per query."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.queries", description=__doc__)
    parser.add_argument("--dir", type=Path, help="a demo store of 10^6 rows; made anew where missing")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--only", nargs="*", help="names of queries")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.dir or Path(scratch) / "demo"
        if not folder.exists():
            make_demo(folder, rows=1_000_000, seed=2026)
        store = open_store(folder)
        catalog = catalog_of(store)
        good = asked = 0
        for query in demo_queries():
            if arguments.only and query.name not in arguments.only:
                continue
            errors, plan = errors_of(query, store, catalog, arguments.draws)
            asked += query.name.startswith("Q")
            good += query.name.startswith("Q") and errors.mean < GOOD
            words = bounding_in_words(plan.bounded.logical, plan)
            print(f"{query.name:<4} {_shown(errors)}  {plan.mechanism:<8}  {words}", flush=True)
            if query.instead is not None:
                better = replace(query, sql=query.instead, plain=query.instead_plain)
                print(f"  or {_shown(errors_of(better, store, catalog, arguments.draws)[0])}", flush=True)
        print(f"{good} of {asked} below {GOOD:.0%} on average over groups")


def _shown(errors: Errors) -> str:
    return f"mean {errors.mean:8.3%}  median group {errors.median:8.3%}"


if __name__ == "__main__":
    main()
