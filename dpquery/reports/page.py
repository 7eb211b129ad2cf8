"""The report as one HTML page: no script, nothing loaded from elsewhere."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from dpquery.faces.html import PAGE_STYLE
from dpquery.reports.amounts import percent_text
from dpquery.reports.charts import svg
from dpquery.reports.sections import Chart, Facts, Items, Table, Text, cell_text, shown, value_text

if TYPE_CHECKING:
    from jinja2 import Template

    from dpquery.reports.sections import Section

KINDS = {Text: "text", Items: "items", Facts: "facts", Table: "table", Chart: "chart"}

MARKS = {"open": "○", "half spent": "◐", "nearly spent": "▲", "spent": "■", "closed": "\u2715"}
MARKS |= {"over": "▲", "under": "○", "cannot tell": "?", "no limit": "\u00b7"}
"""A sign of its own for each status and verdict, beside its word."""


def page(title: str, lead: str, sections: tuple[Section, ...]) -> str:
    """The whole page."""
    return _template().render(title=title, lead=lead, sections=sections, page_style=PAGE_STYLE)


@functools.cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("dpquery.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": shown, "value": value_text, "cell": cell_text, "percent": percent_text}
    environment.globals |= {"svg": svg, "marks": MARKS, "kind": lambda part: KINDS[type(part)]}
    return environment.get_template("report.html")
