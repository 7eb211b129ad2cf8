"""What can be done with released values, whether they are a release or computed from releases. All of it is free."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from dpquery import arguments
from dpquery.errors import UsageError
from dpquery.faces import html, text
from dpquery.faces.cite import citation
from dpquery.faces.frames import Frames
from dpquery.faces.save import save
from dpquery.faces.words import json_value

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from rich.console import Group

    from dpquery.documents import BoundingLossDocument, DerivedDocument, ReleaseDocument
    from dpquery.faces.plot import Plot
    from dpquery.faces.sheet import Sheet

CONFIDENCE_LEAST, CONFIDENCE_MOST = 0.5, 0.9999
"""Between these an interval can be asked for."""


class Shown(Frames):
    """Released values that can be displayed, kept and handed on."""

    __slots__ = ()

    @abstractmethod
    def sheet(self) -> Sheet:
        """Columns with intervals, price and promise, as every face reads them."""

    @abstractmethod
    def sheet_at(self, confidence: float) -> Sheet:
        """The same with intervals at another confidence, from 0.5 to 0.99995."""

    @abstractmethod
    def document(self) -> ReleaseDocument | DerivedDocument | BoundingLossDocument:
        """The object that other programs read."""

    def rows(self) -> list[dict[str, Any]]:
        """The rows as mappings with Python values; for every value x also x_low, x_high and x_useful."""
        return self.sheet().rows()

    def to_arrow(self) -> pa.Table:
        """The rows as an Arrow table whose metadata carries price and promise."""
        import pyarrow as pa

        kinds = {"string": pa.string(), "integer": pa.int64(), "boolean": pa.bool_(), "date": pa.date32()}
        kinds |= {"timestamp": pa.timestamp("us"), "number": pa.float64()}
        arrays = {name: pa.array(values, type=kinds[kind]) for name, kind, values in self.sheet().flat()}
        metadata = {b"dpquery": self.document().model_dump_json(by_alias=True, exclude={"rows"}).encode()}
        return pa.table(arrays).replace_schema_metadata(metadata)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write to `path`, a `.parquet`, `.csv`, `.html` or `.json` file that carries the guarantee; returns the path.

        UsageError for another ending, or a file that exists and `overwrite` does not let go.
        """
        return save(self, path, overwrite=overwrite)

    def plot(self, value: str | None = None, *, title: str | None = None) -> Plot:
        """A chart with the interval of every value; of all value columns, or the one named `value`.

        UsageError without the extra `plot`, or for shapes that no chart shows well.
        """
        from dpquery.faces.plot import plot

        return plot(self.sheet(), value, title=title)

    def cite(self) -> str:
        """One sentence for a paper: what was released, when, and under which guarantee."""
        return citation(self.sheet())

    def json_rows(self) -> tuple[dict[str, Any], ...]:
        """The rows as JSON has them."""
        return tuple({name: json_value(value) for name, value in row.items()} for row in self.rows())

    def shown_rows(self) -> list[list[str]]:
        """Texts for people: each value with the reach of its interval, and a mark where that makes it useless."""
        return text.cells(self.sheet())

    def __str__(self) -> str:
        return text.plain(self.sheet())

    def __rich__(self) -> Group:
        return text.rich_table(self.sheet())

    def _repr_html_(self) -> str:
        """The rows as a table with caption, intervals and price; no script."""
        return html.notebook(self.sheet())

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """What notebooks and consoles show; some ask for this and nothing else."""
        sheet = self.sheet()
        return {"text/plain": text.plain(sheet), "text/html": html.notebook(sheet)}


def checked_confidence(confidence: float) -> float:
    """`confidence`, or UsageError outside of what intervals are made for."""
    asked = arguments.number(confidence, "confidence", example="confidence=0.99")
    if not CONFIDENCE_LEAST <= asked <= CONFIDENCE_MOST:
        raise UsageError(
            "DPQ-002", f"confidence lies between {CONFIDENCE_LEAST} and {CONFIDENCE_MOST}", fix="confidence=0.99"
        )
    return asked
