"""The store that is measured: the demo's generator and the real ingest, under a policy with room for many answers."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.works import KEY, LARGE_BOUNDS, POLICY_BOUNDS, TABLE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILES = "files"
STORE = "store"
BUDGET = 100_000.0
"""Epsilon of every budget, so that repeats are never refused."""
_PUBLIC_TABLES = ("campaigns", "cells")
"""Ingested before the calls, whose keys they hold."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """One ingest of the calls."""

    seconds: float
    rows_stored: int
    rows_quarantined: int
    stages: Mapping[str, float]
    """Seconds of each stage, as the ingest itself reports them."""


def generate_files(folder: Path, rows: int, seed: int) -> float:
    """Write the demo's tables under `folder`; gives the seconds it took."""
    from dpquery.demo import generate

    start = perf_counter()
    generate(folder / FILES, rows=rows, seed=seed)
    return perf_counter() - start


def ingest_files(folder: Path) -> Ingested:
    """Make the store under `folder` and ingest the calls, whose numbers are all new to it."""
    from dpquery.stewardship import init

    policy = folder / "policy.toml"
    policy.write_text(policy_text(), encoding="utf-8")
    steward = init(folder / STORE, policy=policy)
    for table in _PUBLIC_TABLES:
        steward.ingest(folder / FILES / f"{table}.parquet", table=table)
    start = perf_counter()
    summary = steward.ingest(folder / FILES / f"{TABLE}.parquet", table=TABLE)
    seconds = perf_counter() - start
    return Ingested(seconds, summary.rows_stored, summary.rows_quarantined, dict(summary.seconds))


def policy_text() -> str:
    """The demo's policy with larger budgets, and with the large bounds as the most that a query may ask for."""
    from dpquery.demo import POLICY_FILE

    lines = POLICY_FILE.read_text(encoding="utf-8").splitlines()
    opening, closing = lines.index(_line(lines, "[budgets]")), lines.index(_line(lines, "[limits]"))
    for number in range(opening, closing):
        lines[number] = _with_budget(lines[number])
    text = "\n".join(lines) + "\n"
    declared = f'{{ keys = ["{KEY}"], max_rows_per_group = {POLICY_BOUNDS.max_rows_per_group} }}'
    larger = (
        f'{{ keys = ["{KEY}"], max_rows = {LARGE_BOUNDS.max_rows}, '
        f"max_rows_per_group = {LARGE_BOUNDS.max_rows_per_group} }}"
    )
    if text.count(declared) != 1 or f"grouped   = {{ max_rows = {POLICY_BOUNDS.max_rows}," not in text:
        raise ValueError(f"the demo's policy no longer has the bounds {POLICY_BOUNDS}")
    return text.replace(declared, larger)


def _line(lines: list[str], beginning: str) -> str:
    return next(line for line in lines if line.startswith(beginning))


def _with_budget(line: str) -> str:
    """`line` with the number after each `epsilon = ` replaced."""
    first, *others = line.split("epsilon = ")
    return first + "".join(f"epsilon = {BUDGET}{other[other.index(',') :]}" for other in others)
