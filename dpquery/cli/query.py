"""`dpquery query`."""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dpquery.cli.output import note, print_table
from dpquery.errors import UsageError
from dpquery.faces.words import json_value
from dpquery.plan.query import shown
from dpquery.session import connect
from dpquery.sql.parameters import typed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from dpquery.bounding_loss import BoundingLoss
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
    epsilon: float | None
    within: float | None
    param: tuple[str, ...]
    json: bool
    csv: bool
    dry_run: bool
    fresh: bool
    request_id: str | None
    bounding_loss: bool


def run_query(folder: Path, asked: Asked) -> None:
    """Ask, and print the answer alone on standard output; price, promise and warnings go to standard error."""
    text = _text(asked)
    with connect(folder, analyst=asked.analyst, purpose=asked.purpose) as session:
        query = session.sql(text, params=_params(asked.param))
        if asked.bounding_loss and asked.within is not None:
            raise UsageError("DPQ-002", "a bounding loss is priced by its epsilon", fix="--epsilon 0.1")
        if asked.dry_run:
            preview = _preview(query, asked)
            print(preview.document().model_dump_json(by_alias=True) if asked.json else str(preview))
            return
        if not _agreed(query, asked):
            note("nothing was spent")
            return
        if asked.bounding_loss:
            _print_loss(query.bounding_loss(asked.epsilon, fresh=asked.fresh, request_id=asked.request_id), asked)
            return
        release = query.run(asked.epsilon, within=asked.within, fresh=asked.fresh, request_id=asked.request_id)
    if asked.json:
        print(release.document().model_dump_json(by_alias=True))
    elif asked.csv:
        _print_csv(release.answer.names, release.answer.rows())
    else:
        _print_release(release)


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
    if asked.epsilon is not None or asked.within is not None or not sys.stdin.isatty():
        return True
    note(str(_preview(query, asked)))
    sys.stderr.write("\nspend this? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _preview(query: Query, asked: Asked) -> Preview:
    if asked.bounding_loss:
        return query.preview_bounding_loss(asked.epsilon)
    return query.preview(asked.epsilon) if asked.within is None else query.preview_within(asked.within)


def _print_loss(loss: BoundingLoss, asked: Asked) -> None:
    if asked.json:
        print(loss.document().model_dump_json(by_alias=True))
    elif asked.csv:
        _print_csv([name for name, _, _ in loss.sheet().flat()], loss.rows())
    else:
        print_table([column.name for column in loss.sheet().columns], loss.shown_rows(), numeric=frozenset({1, 2}))
        paid = "asked before: free" if loss.status == "repeated" else f"spent epsilon {loss.cost.epsilon:g}"
        note(f"± covers the noise at 95 %; {paid}; {loss.release.release_id}")
        note(loss.guarantee.sentence)
        for text in (*loss.release.warnings, *loss.advice):
            note(f"note: {text}")


def _print_csv(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow(["" if value is None else json_value(value) for value in row.values()])


def _print_release(release: Release) -> None:
    outputs = shown(release.plan.bounded.logical)
    units = [f" ({o.unit})" if o.unit and o.unit != release.plan.bounded.logical.table else "" for o in outputs]
    headers = [output.name + unit for output, unit in zip(outputs, units, strict=True)]
    numeric = frozenset(i for i, output in enumerate(outputs) if output.kind != "key")
    print_table(headers, release.shown_rows(), numeric=numeric)
    price = release.cost
    paid = "asked before: free" if release.status == "repeated" else f"spent epsilon {price.epsilon:g}"
    note(f"± covers the noise at 95 %; {paid}; {release.release_id}")
    note(f"it does not cover bounding ({release.bounding}): where rows were left out, counts and sums are too low")
    if any(cell.endswith("(?)") for row in release.shown_rows() for cell in row):
        note("(?) marks values whose interval is too wide to be of use: spend more, or ask for fewer groups")
    if release.left is not None:
        note(f"left: epsilon {release.left.epsilon:g}, about {release.left.more_like_this:,} more like this")
    note(release.guarantee.sentence)
    for warning in release.warnings:
        note(f"note: {warning}")
