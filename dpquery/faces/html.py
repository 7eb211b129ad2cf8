"""A sheet as HTML: a table for notebooks, and a page of its own. No script, nothing loaded from elsewhere."""

from __future__ import annotations

from html import escape
from html.parser import HTMLParser
from typing import TYPE_CHECKING

from dpquery.faces.sheet import KeySeries
from dpquery.faces.words import USELESS_MARK, ends_text, key_text, listed, number_text, percent_text, value_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dpquery.faces.sheet import Sheet, ValueSeries

ROWS_SHOWN = 200
"""Rows of a table in a notebook; a longer answer says how many more there are."""

DOCUMENT = "dpquery"
"""Name of the element in a page's head that holds its document."""

NOTEBOOK_STYLE = """
.dpquery table { border-collapse: collapse; color: inherit; background: none; font-variant-numeric: tabular-nums; }
.dpquery caption { caption-side: top; text-align: left; color: inherit; padding: .3em 0; }
.dpquery th, .dpquery td { padding: .25em .7em; border: 0; border-bottom: 1px solid rgba(128, 128, 128, .4);
  color: inherit; background: none; vertical-align: baseline; }
.dpquery thead th { text-align: left; border-bottom-width: 2px; }
.dpquery tbody th { text-align: left; font-weight: 600; }
.dpquery td, .dpquery thead th.number { text-align: right; white-space: nowrap; }
.dpquery td.useless { font-style: italic; }
.dpquery .reach { opacity: .8; }
.dpquery .price { border: 1px solid currentColor; border-radius: 1em; padding: 0 .6em; font-weight: 600;
  white-space: nowrap; }
.dpquery .mark { font-style: normal; }
.dpquery .unmarked::after { content: " \\28 ?\\29"; visibility: hidden; }
.dpquery p { margin: .3em 0; max-width: 60em; }
"""
"""Colours come from the notebook, so that the table reads well in a dark one too."""

PAGE_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --soft: #57606a; --line: #d0d7de; --tint: #f3f6f9;
  --mark: #8a4b00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #0f1419; --soft: #9aa7b4; --line: #39424d; --tint: #182028; --mark: #f0b35e; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 60rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.05rem; margin: 1.75rem 0 .4rem; }
p, ul, dl { margin: .4rem 0; }
ul { padding-left: 1.2rem; }
.lead { color: var(--soft); }
.price { display: inline-block; border: 1px solid currentColor; border-radius: 1em; padding: 0 .7em;
  font-weight: 600; color: var(--ink); white-space: nowrap; }
.promise { border-left: .25rem solid #0072b2; background: var(--tint); padding: .6rem .9rem; margin: 1.25rem 0; }
.wide { overflow-x: auto; margin: 1rem 0; }
.wide:focus-visible { outline: 2px solid #0072b2; outline-offset: 2px; }
table { border-collapse: collapse; min-width: min(100%, 22rem); font-variant-numeric: tabular-nums; }
caption { caption-side: top; text-align: left; color: var(--soft); padding-bottom: .5rem; }
th, td { padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); vertical-align: baseline; }
thead th { text-align: left; border-bottom: 2px solid var(--line); vertical-align: bottom; overflow-wrap: normal; }
tbody th { text-align: left; font-weight: 600; overflow-wrap: normal; }
td, thead th.number { text-align: right; white-space: nowrap; padding-left: 1rem; }
thead th.number { white-space: normal; }
.reach { color: var(--soft); }
.ends { display: block; color: var(--soft); font-size: .8rem; white-space: nowrap; }
td.useless { font-style: italic; color: var(--soft); }
.mark, .unmarked { font-style: normal; font-weight: 700; color: var(--mark); }
.unmarked::after { content: " \\28 ?\\29"; visibility: hidden; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
dt { color: var(--soft); }
dd { margin: 0; }
code { font: .875em/1.4 ui-monospace, "DejaVu Sans Mono", monospace; }
@media (max-width: 34rem) {
  dl { display: block; }
  dt { margin-top: .5rem; }
  th, td, thead th.number { padding-right: .6rem; padding-left: 0; }
  td { white-space: normal; }
  .reach { display: block; white-space: nowrap; }
  .ends { font-size: .72rem; }
  caption { max-width: calc(100vw - 2rem); }
}
@media print {
  :root { color-scheme: light; --ink: #000; --paper: #fff; --soft: #333; --line: #999; --tint: #fff; --mark: #000; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  .wide { overflow: visible; }
  thead { display: table-header-group; }
  tr, .promise, dd, li { break-inside: avoid; }
  h2 { break-after: avoid; }
}
"""


def notebook(sheet: Sheet) -> str:
    """The table as a notebook shows it, with price and promise."""
    caption = (
        f"{escape(sheet.title)} {_badge(sheet)}<br>"
        f"± covers the noise at {percent_text(sheet.confidence)} · {escape(sheet.terms.paid)} · "
        f"{escape(sheet.terms.releases)}"
    )
    more = sheet.length - ROWS_SHOWN
    notes = [f"… and {more:,} more rows; <code>to_pandas()</code> has them all"] if more > 0 else []
    if sheet.any_useless:
        notes.append(f"{USELESS_MARK} the interval is too wide for the value to be of use")
    notes.append(escape(sheet.terms.guarantee.sentence))
    below = "".join(f"<p><small>{note}</small></p>" for note in notes)
    table = _table(sheet, caption, rows=ROWS_SHOWN, ends=False)
    return f'<div class="dpquery"><style>{NOTEBOOK_STYLE}</style>{table}{below}</div>'


def page(sheet: Sheet, document: str) -> str:
    """A whole page: the table, what its marks and intervals mean, what is promised and what is not, and the price.

    `document` is the JSON that the page stands for, exact values among it: kept in the head, for programs.
    """
    terms = sheet.terms
    title = escape(sheet.title)
    percent = percent_text(sheet.confidence)
    caption = f"{title}. Each value is followed by the reach of its {percent} interval; its two ends stand below."
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            # Nothing is to be loaded or run: not even by a browser extension's mistake.
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            f"<title>{title}</title>",
            f'<meta name="{DOCUMENT}" content="{escape(document)}">',
            f"<style>{PAGE_STYLE}</style>",
            "</head>",
            "<body>",
            "<main>",
            f"<h1>{title}</h1>",
            f'<p class="lead">From {escape(terms.table)}, with differential privacy. {_badge(sheet)}</p>',
            f'<div class="wide" role="region" aria-label="{title}" tabindex="0">',
            _table(sheet, caption, rows=sheet.length, ends=True),
            "</div>",
            f'<p class="promise">{escape(terms.guarantee.sentence)}</p>',
            "<h2>How to read the numbers</h2>",
            _list(_reading(sheet)),
            "<h2>What is not protected</h2>",
            _list(escape(item) for item in terms.guarantee.not_protected),
            "<h2>What was paid, and for what</h2>",
            _facts(sheet),
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


class _Head(HTMLParser):
    """Finds the document in a page's head."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "meta" and named.get("name") == DOCUMENT:
            self.found.append(named.get("content") or "")


def document_in(text: str) -> str | None:
    """The document that `page` was given; None if there is none, or more than one."""
    head = _Head()
    head.feed(text)
    return head.found[0] if len(head.found) == 1 else None


def _badge(sheet: Sheet) -> str:
    return f'<span class="price">{escape(sheet.terms.price)}</span>'


def _reading(sheet: Sheet) -> list[str]:
    bounding = escape(sheet.terms.bounding)
    found = [
        f"± is the reach of the {percent_text(sheet.confidence)} interval. It covers the noise that protects people.",
        f"It does not cover bounding ({bounding}): where rows were left out, counts and sums are too low.",
    ]
    if sheet.any_useless:
        found.append(
            f'<span class="mark">{USELESS_MARK}</span> marks a value whose interval reaches further than half the '
            "value: too wide to be of use."
        )
    for value in sheet.values:
        unit = f", in {escape(value.unit)}" if value.unit else ""
        found.append(f"{escape(value.name)}: <code>{escape(value.sql)}</code>{unit}")
    return [*found, *(escape(warning[:1].upper() + warning[1:]) for warning in sheet.terms.warnings)]


def _facts(sheet: Sheet) -> str:
    terms, cost = sheet.terms, sheet.terms.cost
    facts = [("Price", f"{terms.price}: {terms.paid}")]
    if cost.delta:
        facts.append(("Delta", f"{cost.delta:g}"))
    if cost.rho and cost.epsilon_at_delta:
        facts.append(("rho", number_text(cost.rho)))
    if cost.charged:
        scopes = dict.fromkeys(charge.scope for charge in cost.charged)
        blocks = {s: list(dict.fromkeys(c.block for c in cost.charged if c.scope == s)) for s in scopes}
        facts.append(("Charged to", "; ".join(f"{scope} in {listed(blocks[scope])}" for scope in scopes)))
    facts += [("Purpose", terms.purpose), ("Notice", terms.notice)]
    for receipt in terms.receipts:
        facts += [("Release", receipt.release), ("Ledger entry", receipt.entry), ("At", receipt.at)]
    facts.append(("Made with", ", ".join(f"{name} {version}" for name, version in terms.versions)))
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts)
    return f"<dl>{items}</dl>"


def _list(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"


def _table(sheet: Sheet, caption: str, *, rows: int, ends: bool) -> str:
    """`caption` is HTML; with `ends`, both ends of each interval stand below its value."""
    columns = [column.first(rows) for column in sheet.columns]
    head = "".join(_head(column) for column in columns)
    cells = [_cells(column, ends=ends) for column in columns]
    body = "\n".join("<tr>" + "".join(row) + "</tr>" for row in zip(*cells, strict=True))
    return f"<table><caption>{caption}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"


def _head(column: KeySeries | ValueSeries) -> str:
    if isinstance(column, KeySeries):
        return f'<th scope="col">{escape(column.name)}</th>'
    return f'<th scope="col" class="number">{escape(column.label)}</th>'


def _cells(column: KeySeries | ValueSeries, *, ends: bool) -> list[str]:
    if isinstance(column, KeySeries):
        return [f'<th scope="row">{escape(key_text(value))}</th>' for value in column.values]
    found = []
    # Keeps the room of a mark where others in the column have one, so that every ± stays in line.
    room = "" if all(column.useful) else '<span class="unmarked"></span>'
    for value, low, high, useful in zip(column.value, column.low, column.high, column.useful, strict=True):
        shown, reach = value_text(value, low, high)
        between = ends_text(value, low, high)
        mark = room if useful else f' <span class="mark" title="too wide to be of use">{USELESS_MARK}</span>'
        below = f'<span class="ends">{between}</span>' if ends else ""
        kind = "" if useful else ' class="useless"'
        found.append(f'<td{kind} title="{between}">{shown} <span class="reach">± {reach}{mark}</span>{below}</td>')
    return found
