"""What a query would cost at several losses, and what would cost less: for people, notebooks and programs."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from dpquery.documents import Instead, InsteadColumn, Interval, Price, PricesDocument, ValueColumn
from dpquery.faces.facts import Fact, Facts, aligned, html_table
from dpquery.faces.html import NOTEBOOK_STYLE
from dpquery.faces.words import percent_text

if TYPE_CHECKING:
    import pandas as pd

    from dpquery.preview import Preview


@dataclass(frozen=True, slots=True)
class Alternative:
    """A changed query with less noise, as its own plan says."""

    kind: str
    """`coarser time`, `fewer keys` or `narrower clamp`."""
    change: str
    sql: str
    """The whole changed text."""
    lines: tuple[str, ...]
    """The lines of it that were changed."""
    half_widths: tuple[tuple[str, float, float], ...]
    """Each value whose error is known: its name, its reach as asked, and its reach instead."""
    epsilon_for_same_error: float
    """The least at which no value is worse than as asked."""


@dataclass(frozen=True, slots=True)
class Prices:
    """One query at several losses, with alternatives that are cheaper. Free, and made without reading rows."""

    previews: tuple[Preview, ...]
    shares: tuple[float | None, ...]
    """Share of the asker's own budget that each would use, in the block where it is most; None without one."""
    alternatives: tuple[Alternative, ...]
    at_epsilon: float
    """The loss at which alternatives are compared."""

    def table(self) -> Facts:
        """A row per loss: what is charged, the expected reach of each value, the share of the budget."""
        costs = [preview.document().cost for preview in self.previews]
        columns = [
            Fact("epsilon", "number", tuple(cost.epsilon for cost in costs)),
            Fact("mechanism", "string", tuple(preview.plan.mechanism for preview in self.previews)),
            Fact("rho", "number", tuple(cost.rho for cost in costs)),
            Fact("delta", "number", tuple(cost.delta for cost in costs)),
        ]
        values = [self._values(preview) for preview in self.previews]
        for place, column in enumerate(values[0]):
            reaches = tuple(each[place].expected_half_width for each in values)
            columns.append(Fact(f"{column.name}_half_width", "number", reaches))
        left = tuple(None if p.left is None else p.left.more_like_this for p in self.previews)
        columns += [Fact("share_of_budget", "number", self.shares), Fact("more_like_this", "integer", left)]
        return Facts("preview", self._title(), tuple(columns), self._notes())

    @staticmethod
    def _values(preview: Preview) -> list[ValueColumn]:
        return [column for column in preview.document().columns if isinstance(column, ValueColumn)]

    def _title(self) -> str:
        blocks = self.previews[0].plan.bounded.blocks
        where = f"in {blocks[0]}" if len(blocks) == 1 else f"in each of {len(blocks)} blocks"
        return f"What is charged {where}, and how far intervals are expected to reach"

    def _notes(self) -> tuple[str, ...]:
        notes = [f"half-widths at {percent_text(self.previews[0].confidence)}; nothing is spent"]
        rows = {column.expected_if_rows for column in self._values(self.previews[0])} - {None}
        notes += [f"averages and variances in groups of {count:,} rows" for count in rows if count is not None]
        if any(column.expected_half_width is None for column in self._values(self.previews[0])):
            first = any(preview.first for preview in self.previews)
            unknown = (
                "on bounds that are yet to be chosen, or on the rows themselves" if first else "on the rows themselves"
            )
            notes.append(f"empty where the error depends {unknown}")
        return (*notes, *self.previews[0].warnings)

    def alternatives_table(self) -> Facts:
        """A row per alternative and value."""
        found = [(each, *reach) for each in self.alternatives for reach in each.half_widths]
        columns = (
            Fact("instead", "string", tuple(each.change for each, *_ in found)),
            Fact("value", "string", tuple(name for _, name, _, _ in found)),
            Fact("half_width", "number", tuple(before for *_, before, _ in found)),
            Fact("half_width_instead", "number", tuple(after for *_, after in found)),
            Fact("epsilon_for_same_error", "number", tuple(each.epsilon_for_same_error for each, *_ in found)),
            Fact("lines", "string", tuple("\n".join(each.lines) for each, *_ in found)),
        )
        return Facts("alternatives", f"What errs less at epsilon {self.at_epsilon:g}, or costs less", columns)

    def rows(self) -> list[dict[str, Any]]:
        """One mapping per loss."""
        return self.table().rows()

    def to_pandas(self) -> pd.DataFrame:
        """The losses as a pandas frame."""
        return self.table().to_pandas()

    def document(self) -> PricesDocument:
        """The object that `dpquery query --dry-run --json` prints for several losses."""
        return PricesDocument(
            interval=Interval(confidence=self.previews[0].confidence),
            prices=tuple(
                Price(
                    mechanism=preview.plan.mechanism,
                    cost=preview.document().cost,
                    columns=tuple(self._values(preview)),
                    share_of_budget=share,
                    left=preview.left,
                )
                for preview, share in zip(self.previews, self.shares, strict=True)
            ),
            at_epsilon=self.at_epsilon,
            alternatives=tuple(_instead(each) for each in self.alternatives),
            warnings=self.previews[0].warnings,
        )

    def __str__(self) -> str:
        lines = [str(self.table())]
        if self.alternatives:
            found = self.alternatives_table()
            lines += ["", found.title, *aligned(found.columns[:-1]), ""]
            for each in self.alternatives:
                lines += [f"{each.change}:", *(f"    {line}" for line in each.lines)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        table = self.table()
        parts = [html_table(table.title, table.columns)]
        parts += [f"<p><small>{escape(note)}</small></p>" for note in table.notes]
        if self.alternatives:
            found = self.alternatives_table()
            parts.append(html_table(found.title, found.columns))
        return f'<div class="dpquery"><style>{NOTEBOOK_STYLE}</style>{"".join(parts)}</div>'

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}


def _instead(alternative: Alternative) -> Instead:
    return Instead(
        kind=alternative.kind,
        change=alternative.change,
        sql=alternative.sql,
        lines=alternative.lines,
        epsilon_for_same_error=alternative.epsilon_for_same_error,
        columns=tuple(
            InsteadColumn(name=name, expected_half_width=before, instead=after)
            for name, before, after in alternative.half_widths
        ),
    )
