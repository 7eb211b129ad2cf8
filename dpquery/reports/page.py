"""Reports and notices as one HTML page each: no script, nothing loaded from elsewhere."""

from __future__ import annotations

import functools
from html import escape
from typing import TYPE_CHECKING, Literal

from dpquery.faces.html import PAGE_STYLE
from dpquery.reports.amounts import percent_text
from dpquery.reports.charts import svg
from dpquery.reports.sections import Chart, Facts, Items, Table, Text, cell_text, shown, value_text

if TYPE_CHECKING:
    from jinja2 import Template

    from dpquery.reports.sections import Section

Layout = Literal["report", "notice", "register"]

KINDS = {Text: "text", Items: "items", Facts: "facts", Table: "table", Chart: "chart"}

MARKS = {"open": "○", "half spent": "◐", "nearly spent": "▲", "spent": "■", "closed": "\u2715"}
MARKS |= {"over": "▲", "under": "○", "cannot tell": "?", "no limit": "\u00b7"}
"""A sign of its own for each status and verdict, beside its word."""


FRAME = 'style="width: 100%; height: 40rem; border: 1px solid rgba(128, 128, 128, .4)"'


def page(title: str, lead: str, sections: tuple[Section, ...], *, layout: Layout = "report") -> str:
    """The whole page."""
    return _template(layout).render(title=title, lead=lead, sections=sections, page_style=PAGE_STYLE)


def framed(title: str, text: str) -> str:
    """A page in a frame of its own, for notebooks, so that its style stays there."""
    return f'<iframe title="{escape(title)}" sandbox="" {FRAME} srcdoc="{escape(text)}"></iframe>'


@functools.cache
def _template(layout: Layout) -> Template:
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
    return environment.get_template(f"{layout}.html")
