"""`dpquery demo`."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from dpquery.catalog import catalog_of
from dpquery.cli.output import note, print_table
from dpquery.demo.questions import ANALYST, PURPOSE, QUESTIONS
from dpquery.demo.store import make_demo
from dpquery.demo.truth import truth
from dpquery.describe import column_names
from dpquery.faces.words import number_text
from dpquery.plan.query import group_values, shown
from dpquery.session import connect

if TYPE_CHECKING:
    from pathlib import Path

    from dpquery.demo.questions import Question
    from dpquery.demo.truth import Truth
    from dpquery.release import Release


def run_demo(folder: Path, *, rows: int, seed: int) -> None:
    """Make the demo store and ask its five questions; never asks anything itself."""
    started = time.monotonic()
    steward, summaries = make_demo(folder, rows=rows, seed=seed, progress=lambda text: note(f"· {text}"))
    calls = summaries["calls"]
    note(
        f"· {calls.rows_stored:,} calls stored, {calls.rows_quarantined:,} in quarantine "
        f"({time.monotonic() - started:.0f} s)\n"
    )
    with connect(folder, analyst=ANALYST, purpose=PURPOSE) as session:
        for number, question in enumerate(QUESTIONS, start=1):
            release = session.sql(question.sql).run(epsilon=question.epsilon)
            _show(number, question, release, truth(steward.store, catalog_of(steward.store), release.plan))
    asker = f"--analyst {ANALYST} --purpose {PURPOSE} --epsilon 0.5"
    print(f'Ask your own:\n  dpquery query {folder} "SELECT COUNT(*) FROM calls" {asker}')
    print(f"See what is left:\n  dpquery budget {folder}")


def _show(number: int, question: Question, release: Release, found: Truth) -> None:
    """Question, answer with intervals, price and what is left; noise and bounding loss apart."""
    outputs = shown(release.plan.bounded.logical)
    print(f"{number}. {question.words}\n   {question.sql}")
    headers = [o.name + (f" ({o.unit})" if o.unit and o.unit != "calls" else "") for o in outputs]
    numeric = frozenset(i for i, output in enumerate(outputs) if output.kind != "key")
    print_table(headers, release.shown_rows(), numeric=numeric)
    left = release.left
    remaining = f"{left.epsilon:g}" if left is not None else "not shown (a shared budget decides)"
    print(
        f"   price epsilon {release.cost.epsilon:g}; left {remaining}\n"
        f"   in the middle group: {', '.join(_noise(release, found))}; rows lost to bounding {found.lost:.1%}\n"
    )
    sys.stdout.flush()


def _noise(release: Release, found: Truth) -> list[str]:
    """The 95 % half-width of each value as a share of it, in the group with the median number of rows."""
    logical = release.plan.bounded.logical
    keys = {k.name: _key_value(release, found.median_cell, k.index) for k in logical.outputs if k.kind == "key"}
    row = next(r for r in release.answer.rows() if all(r[name] == value for name, value in keys.items()))
    shares = []
    for output in shown(logical):
        if output.kind == "aggregate":
            low, high, _ = column_names(output)
            value = row[output.name]
            reach = max(row[high] - value, value - row[low])
            share = f"{reach / abs(value):.1%}" if value else number_text(reach)
            shares.append(f"noise on {output.name} ± {share}")
    return shares


def _key_value(release: Release, cell: int, index: int) -> object:
    return group_values(release.plan.bounded.logical, index)[cell]
