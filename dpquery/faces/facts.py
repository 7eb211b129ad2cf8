"""Small tables of what is public or the asker's own: previews, budgets, settings. No row decides anything in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from dpquery.documents import FactColumn, FactsDocument
from dpquery.faces.frames import Frames
from dpquery.faces.html import NOTEBOOK_STYLE
from dpquery.faces.words import json_value, number_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from dpquery.preview import Preview

FactType = Literal["string", "integer", "number", "boolean"]
GAP = "   "


@dataclass(frozen=True, slots=True)
class Fact:
    """One column: its name, its type, a value per row; None where there is none."""

    name: str
    type: FactType
    values: tuple[Any, ...]

    @property
    def texts(self) -> list[str]:
        """The values for people."""
        return ["" if v is None else v if isinstance(v, str) else number_text(v) for v in self.values]


@dataclass(frozen=True, slots=True)
class Facts(Frames):
    """The answer to EXPLAIN PRIVACY, SHOW PRIVACY BUDGET, ESTIMATE_REMAINING_DP_AGGREGATES, SET and RESET. Free."""

    statement: str
    """The words that asked for it, such as `SHOW PRIVACY BUDGET`."""
    title: str
    columns: tuple[Fact, ...]
    notes: tuple[str, ...] = ()
    preview: Preview | None = field(default=None, repr=False)
    """What EXPLAIN PRIVACY explains."""

    def rows(self) -> list[dict[str, Any]]:
        """One mapping per row."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, row, strict=True)) for row in self.tuples()]

    def tuples(self) -> tuple[tuple[Any, ...], ...]:
        """One tuple per row."""
        return tuple(zip(*(column.values for column in self.columns), strict=True))

    def to_arrow(self) -> pa.Table:
        """The rows as an Arrow table."""
        import pyarrow as pa

        kinds = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
        return pa.table({c.name: pa.array(c.values, type=kinds[c.type]) for c in self.columns})

    def document(self) -> FactsDocument:
        """The object that `dpquery query --json` prints."""
        return FactsDocument(
            statement=self.statement,
            title=self.title,
            columns=tuple(FactColumn(name=column.name, type=column.type) for column in self.columns),
            rows=tuple({name: json_value(value) for name, value in row.items()} for row in self.rows()),
            notes=self.notes,
        )

    def __str__(self) -> str:
        return "\n".join([self.title, *aligned(self.columns), *self.notes])

    def _repr_html_(self) -> str:
        notes = "".join(f"<p><small>{escape(note)}</small></p>" for note in self.notes)
        table = html_table(self.title, self.columns)
        return f'<div class="dpquery"><style>{NOTEBOOK_STYLE}</style>{table}{notes}</div>'

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}


def aligned(columns: Sequence[Fact]) -> list[str]:
    """Lines of a table: names, then rows; numbers to the right."""
    parts: list[list[str]] = []
    for column in columns:
        texts = [column.name, *column.texts]
        width = max(len(text) for text in texts)
        left = column.type == "string"
        parts.append([text.ljust(width) if left else text.rjust(width) for text in texts])
    lines = [GAP.join(row).rstrip() for row in zip(*parts, strict=True)]
    return [lines[0], "─" * max(len(line) for line in lines), *lines[1:]]


def html_table(title: str, columns: Sequence[Fact]) -> str:
    """The same as HTML."""
    head = "".join(f'<th scope="col"{_kind(column)}>{escape(column.name)}</th>' for column in columns)
    cells = [[_cell(text, first=place == 0) for text in column.texts] for place, column in enumerate(columns)]
    body = "\n".join("<tr>" + "".join(row) + "</tr>" for row in zip(*cells, strict=True))
    caption = f"<caption>{escape(title)}</caption>"
    return f"<table>{caption}\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"


def _kind(column: Fact) -> str:
    return "" if column.type == "string" else ' class="number"'


def _cell(text: str, *, first: bool) -> str:
    return f'<th scope="row">{escape(text)}</th>' if first else f"<td>{escape(text)}</td>"
