"""What leaves: values with intervals, price and promise."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from dpquery.describe import bounding_in_words, column_names, columns
from dpquery.documents import (
    Cost,
    Guarantee,
    KeyColumn,
    LedgerEntry,
    Left,
    PlanSummary,
    ReleaseDocument,
    ValueColumn,
)
from dpquery.postprocess import estimates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    import pandas as pd
    import pyarrow as pa
    from numpy.typing import NDArray

    from dpquery.plan.expressions import Constant
    from dpquery.privacy.calibrate import PrivacyPlan


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of a release, column by column, in the order asked."""

    names: tuple[str, ...]
    columns: tuple[tuple[Any, ...], ...]

    def rows(self) -> Iterator[dict[str, Any]]:
        """One mapping per row, with Python values."""
        for values in zip(*self.columns, strict=True):
            yield dict(zip(self.names, values, strict=True))


def answer(plan: PrivacyPlan, noisy: Sequence[NDArray[np.int64]]) -> Answer:
    """Noisy integers as named columns: each value with its interval and whether that is narrow enough to be of use."""
    logical = plan.bounded.logical
    found = estimates(plan, noisy)
    named: dict[str, list[Any]] = {}
    for output in logical.outputs:
        if output.kind == "key":
            named[output.name] = _key_column(logical.cells, [each.values for each in logical.keys], output.index)
            continue
        estimate = found[output.index]
        low, high, useful = column_names(output)
        named[output.name] = estimate.value.tolist()
        named[low], named[high] = estimate.low.tolist(), estimate.high.tolist()
        named[useful] = estimate.useful.tolist()
    positions = list(range(logical.cells))
    for ordering in reversed(logical.order):
        positions = _sorted(positions, named[logical.outputs[ordering.output].name], descending=ordering.descending)
    positions = positions[: logical.limit] if logical.limit is not None else positions
    return Answer(tuple(named), tuple(tuple(values[i] for i in positions) for values in named.values()))


def _key_column(cells: int, values: Sequence[Sequence[Constant]], index: int) -> list[Constant]:
    """The value of one key in every cell; the first key changes slowest."""
    after = 1
    for later in values[index + 1 :]:
        after *= len(later)
    own = values[index]
    return [own[(cell // after) % len(own)] for cell in range(cells)]


def _sorted(positions: list[int], column: Sequence[Any], *, descending: bool) -> list[int]:
    """Positions by their value in `column`, equal ones in their order; NULL stands last either way, as in DuckDB."""
    known = [i for i in positions if column[i] is not None]
    return sorted(known, key=lambda i: column[i], reverse=descending) + [i for i in positions if column[i] is None]


@dataclass(frozen=True, slots=True)
class Release:
    """An answer that has been paid for and recorded. Displaying it is free."""

    plan: PrivacyPlan = field(repr=False)
    answer: Answer = field(repr=False)
    status: str
    """`released`, or `repeated` for an answer that was stored already."""
    release_id: str
    summary: PlanSummary = field(repr=False)
    cost: Cost
    """Epsilon, delta, rho and the scopes charged."""
    guarantee: Guarantee = field(repr=False)
    left: Left | None = field(repr=False)
    purpose: str
    notice: str
    ledger: LedgerEntry = field(repr=False)
    versions: Mapping[str, str] = field(repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def bounding(self) -> str:
        """How much one number may add, in words."""
        return bounding_in_words(self.plan.bounded.logical, self.plan)

    @property
    def receipt(self) -> dict[str, str]:
        """Where the ledger keeps this release: its name, the entry that charged it, and when."""
        return {"release": self.release_id, "entry": self.ledger.entry, "at": self.ledger.at}

    def rows(self) -> list[dict[str, Any]]:
        """The rows as mappings with Python values; for every value x also x_low, x_high and x_useful."""
        return list(self.answer.rows())

    def to_arrow(self) -> pa.Table:
        """The rows as an Arrow table whose metadata carries price and promise."""
        import pyarrow as pa

        arrays = [pa.array(values, type=kind) for values, kind in zip(self.answer.columns, self._types(), strict=True)]
        metadata = {b"dpquery": self.document().model_dump_json(by_alias=True, exclude={"rows"}).encode()}
        return pa.table(dict(zip(self.answer.names, arrays, strict=True))).replace_schema_metadata(metadata)

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a pandas frame."""
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def document(self) -> ReleaseDocument:
        """The release as the object that `dpquery query --json` prints."""
        return ReleaseDocument(
            status="repeated" if self.status == "repeated" else "released",
            release=self.release_id,
            columns=columns(self.plan, expected=False),
            rows=tuple({name: json_value(value) for name, value in row.items()} for row in self.answer.rows()),
            plan=self.summary,
            cost=self.cost,
            left=self.left,
            guarantee=self.guarantee,
            purpose=self.purpose,
            notice=self.notice,
            ledger=self.ledger,
            versions=dict(self.versions),
            warnings=self.warnings,
        )

    def _types(self) -> list[pa.DataType]:
        import pyarrow as pa

        kinds = {"text": pa.string(), "integer": pa.int64(), "boolean": pa.bool_(), "date": pa.date32()}
        kinds["timestamp"] = pa.timestamp("us")
        types: list[pa.DataType] = []
        for output, column in zip(self.plan.bounded.logical.outputs, columns(self.plan, expected=False), strict=True):
            if isinstance(column, KeyColumn):
                types.append(kinds[self.plan.bounded.logical.keys[output.index].type])
            else:
                value = pa.int64() if column.type == "integer" else pa.float64()
                types += [value, value, value, pa.bool_()]
        return types

    def _repr_html_(self) -> str:
        """The rows as a table with caption, intervals and price; no script."""
        head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in self._shown())
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(text)}</td>" for text in row) + "</tr>" for row in self.shown_rows()
        )
        caption = f"epsilon {self.cost.epsilon:g} · {self.status} · {self.release_id} · 95 % intervals cover the noise"
        return (
            f"<table><caption>{html.escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f"<p><small>{html.escape(self.guarantee.sentence)}</small></p>"
        )

    def _shown(self) -> list[str]:
        return [output.name for output in self.plan.bounded.logical.outputs]

    def shown_rows(self) -> list[list[str]]:
        """Texts for people: each value with the reach of its interval, and a mark where that makes it useless."""
        shown: list[list[str]] = []
        for row in self.answer.rows():
            cells: list[str] = []
            for output in self.plan.bounded.logical.outputs:
                value = row[output.name]
                if output.kind == "key":
                    cells.append(key_text(value))
                    continue
                low, high, useful = (row[name] for name in column_names(output))
                mark = "" if useful else " (?)"
                cells.append(f"{number_text(value)} ± {number_text(max(high - value, value - low))}{mark}")
            shown.append(cells)
        return shown


def json_value(value: Any) -> Any:
    """A value as JSON has it: times as ISO text."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds") + "Z"
    return value.isoformat() if isinstance(value, date) else value


def key_text(value: Any) -> str:
    """A key for people: the start of a day or a month without its midnight."""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="minutes").removesuffix(" 00:00")
    return "NULL" if value is None else str(value)


def number_text(value: float) -> str:
    """A number for people: thousands set apart, and at most four figures after the point of a small one."""
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if size >= 100 else f"{value:.4g}"


def value_columns(release: Release) -> tuple[ValueColumn, ...]:
    """The value columns of a release."""
    return tuple(c for c in columns(release.plan, expected=False) if isinstance(c, ValueColumn))
