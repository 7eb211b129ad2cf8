"""`dpquery query`."""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dpquery.cli.output import note, print_table
from dpquery.errors import UsageError
from dpquery.faces.facts import Facts
from dpquery.faces.words import json_value, percent_text
from dpquery.plan.query import shown
from dpquery.session import connect
from dpquery.sql.parameters import typed
from dpquery.sql.request import read_request

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from dpquery.asking.bounding_loss import BoundingLoss
    from dpquery.plan.expressions import Constant
    from dpquery.preview import Preview
    from dpquery.release import Release
    from dpquery.session import Query


@dataclass(frozen=True, slots=True)
class Asked:
    """The command's options."""

    sql: str | None
    file: Path | None
    analyst: str
    purpose: str
    epsilons: tuple[float, ...]
    within: float | None
    param: tuple[str, ...]
    json: bool
    csv: bool
    dry_run: bool
    fresh: bool
    request_id: str | None
    as_of: str | None
    bounding_loss: bool

    @property
    def epsilon(self) -> float | None:
        """The one price that is asked for."""
        return self.epsilons[0] if self.epsilons else None


def epsilons(given: Sequence[str]) -> tuple[float, ...]:
    """The values of `--epsilon 0.1,0.5 --epsilon 1`; UsageError for what is no number."""
    try:
        return tuple(float(number) for text in given for number in text.split(","))
    except ValueError:
        raise UsageError(
            "DPQ-002", "--epsilon takes numbers", fix="--epsilon 0.5, or --dry-run --epsilon 0.1,0.5,1"
        ) from None


def run_query(folder: Path, asked: Asked) -> None:
    """Ask, and print the answer alone on standard output; price, promise and warnings go to standard error."""
    text = _text(asked)
    several = len(asked.epsilons) > 1
    if several and not asked.dry_run:
        raise UsageError("DPQ-002", "a release has one epsilon", fix="--dry-run compares several; --epsilon 0.5 spends")
    if asked.json and asked.csv:
        raise UsageError("DPQ-002", "give --json or --csv, not both", fix="leave one out")
    with connect(folder, analyst=asked.analyst, purpose=asked.purpose) as session:
        _check_lasts(text)
        query = session.statement(text, params=_params(asked.param))
        if isinstance(query, Facts):
            _print_facts(query, asked)
            return
        if asked.bounding_loss and asked.within is not None:
            raise UsageError("DPQ-002", "a bounding loss is priced by its epsilon", fix="--epsilon 0.1")
        if asked.as_of is not None and (asked.dry_run or asked.bounding_loss):
            raise UsageError("DPQ-002", "--as-of hands out the answer to a query that was asked", fix="leave one out")
        if asked.dry_run:
            if several and (asked.within is not None or asked.bounding_loss):
                other = "epsilon or within, not both" if asked.within is not None else "one epsilon"
                raise UsageError("DPQ-002", f"give {other}", fix="leave one out")
            preview = query.preview(asked.epsilons) if several else _preview(query, asked)
            print(preview.document().model_dump_json(by_alias=True) if asked.json else str(preview))
            return
        if not _agreed(query, asked):
            note("nothing was spent")
            return
        if asked.bounding_loss:
            _print_loss(query.bounding_loss(asked.epsilon, fresh=asked.fresh, request_id=asked.request_id), asked)
            return
        release = query.run(
            asked.epsilon, within=asked.within, fresh=asked.fresh, request_id=asked.request_id, as_of=asked.as_of
        )
    if asked.json:
        print(release.document().model_dump_json(by_alias=True))
    elif asked.csv:
        _print_csv(release.answer.names, release.answer.rows())
    else:
        _print_release(release)


def _check_lasts(text: str) -> None:
    """UsageError for SET and RESET: a command is a session of its own."""
    if read_request(text).statement in {"set", "reset"}:
        raise UsageError(
            "DPQ-002",
            "SET holds until its session ends, and each command is a session of its own",
            fix="--epsilon 0.2, --purpose NAME, or OPTIONS (confidence = 0.99)",
        )


def _print_facts(facts: Facts, asked: Asked) -> None:
    """The answer to EXPLAIN PRIVACY, SHOW PRIVACY BUDGET and ESTIMATE_REMAINING_DP_AGGREGATES."""
    if asked.json:
        document = facts.document() if facts.preview is None else facts.preview.document()
        print(document.model_dump_json(by_alias=True))
    elif asked.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(column.name for column in facts.columns)
        writer.writerows(["" if value is None else value for value in row] for row in facts.tuples())
    else:
        print(facts if facts.preview is None else facts.preview)


def _text(asked: Asked) -> str:
    if (asked.sql is None) == (asked.file is None):
        raise UsageError(
            "DPQ-002", "give the query as text, as - for standard input, or with -f FILE", fix="one of them"
        )
    if asked.file is not None:
        try:
            return asked.file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            missing = isinstance(error, FileNotFoundError)
            why = f"there is no file {asked.file}" if missing else f"{asked.file} cannot be read as UTF-8 text"
            raise UsageError("DPQ-002", why, fix="name a text file") from None
    return sys.stdin.read() if asked.sql == "-" else asked.sql or ""


def _params(given: tuple[str, ...]) -> dict[str, Constant]:
    """The values of `--param name=value`, each typed by how it looks."""
    found: dict[str, Constant] = {}
    for item in given:
        name, separator, text = item.partition("=")
        if not separator or name.strip() in found:
            raise UsageError("DPQ-002", "a parameter is NAME=VALUE, each name once", fix="--param d=2026-01-05")
        found[name.strip()] = typed(text)
    return found


def _agreed(query: Query, asked: Asked) -> bool:
    """Whether to spend: asked only on a terminal, and only if no loss was named."""
    named = asked.epsilon is not None or asked.within is not None or query.terms.names_price
    if named or not sys.stdin.isatty():
        return True
    note(str(_preview(query, asked)))
    sys.stderr.write("\nspend this? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _preview(query: Query, asked: Asked) -> Preview:
    if asked.bounding_loss:
        return query.preview_bounding_loss(asked.epsilon)
    return query.preview(asked.epsilon, within=asked.within)


def _print_loss(loss: BoundingLoss, asked: Asked) -> None:
    if asked.json:
        print(loss.document().model_dump_json(by_alias=True))
    elif asked.csv:
        _print_csv([name for name, _, _ in loss.sheet().flat()], loss.rows())
    else:
        print_table([column.name for column in loss.sheet().columns], loss.shown_rows(), numeric=frozenset({1, 2}))
        paid = "asked before: free" if loss.status == "repeated" else f"spent epsilon {loss.cost.epsilon:g}"
        note(f"± covers the noise at {percent_text(loss.release.confidence)}; {paid}; {loss.release.release_id}")
        note(loss.guarantee.sentence)
        for text in (*loss.release.warnings, *loss.advice):
            note(f"note: {text}")


def _print_csv(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow(["" if value is None else json_value(value) for value in row.values()])


def _print_release(release: Release) -> None:
    outputs = [output for output in shown(release.plan.bounded.logical) if not output.is_end]
    units = [f" ({o.unit})" if o.unit and o.unit != release.plan.bounded.logical.table else "" for o in outputs]
    headers = [output.name + unit for output, unit in zip(outputs, units, strict=True)]
    numeric = frozenset(i for i, output in enumerate(outputs) if output.kind != "key")
    print_table(headers, release.shown_rows(), numeric=numeric)
    price = release.cost
    paid = "asked before: free" if release.status == "repeated" else f"spent epsilon {price.epsilon:g}"
    note(f"± covers the noise at {percent_text(release.confidence)}; {paid}; {release.release_id}")
    note(f"it does not cover bounding ({release.bounding}): where rows were left out, counts and sums are too low")
    if any(cell.endswith("(?)") for row in release.shown_rows() for cell in row):
        note("(?) marks values whose interval is too wide to be of use: spend more, or ask for fewer groups")
    if release.left is not None:
        note(f"left: epsilon {release.left.epsilon:g}, about {release.left.more_like_this:,} more like this")
    note(release.guarantee.sentence)
    for warning in release.warnings:
        note(f"note: {warning}")
