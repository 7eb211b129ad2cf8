"""What people see: aligned text, tables for notebooks and terminals, frames of other libraries, a citation."""

from __future__ import annotations

import io
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import polars as pl
import pytest
from releases import plenty
from rich.console import Console

from dpquery.errors import UsageError
from dpquery.faces.words import ends_text, percent_text, value_text

if TYPE_CHECKING:
    from dpquery.release import Release
    from dpquery.session import Session

HOSTILE = "<script>alert('x')</script>\"&"


class Tags(HTMLParser):
    """Fails on tags that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - the parser's own signature
        self.seen.append(tag)
        if tag not in {"br", "meta"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(text: str) -> Tags:
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    return tags


def hostile(release: Release) -> Release:
    """With a key that would be markup."""
    columns = ((HOSTILE, *release.answer.columns[0][1:]), *release.answer.columns[1:])
    return replace(release, answer=replace(release.answer, columns=columns), purpose=HOSTILE)


def test_printed_columns_are_aligned(release: Release) -> None:
    text = str(release)
    table = text.split("\n\n", maxsplit=1)[0].splitlines()
    values = release.sheet().values
    assert all(line.count("±") == len(values) for line in table[2 : 2 + min(60, len(release.rows()))])
    first = {line.index("±") for line in table[2:62] if "±" in line}
    assert len(first) == 1
    assert f"epsilon {release.cost.epsilon:g}" in text
    assert release.guarantee.sentence in text
    assert text.splitlines()[0].split()[: len(release.sheet().keys)] == [key.name for key in release.sheet().keys]


def test_useless_values_are_marked_and_explained(session: Session) -> None:
    vague = session.sql("SELECT service, COUNT(*) AS n FROM calls GROUP BY service").run(epsilon=1, fresh=True)
    sharp = plenty(vague, "r-1")
    assert all(not row["n_useful"] for row in vague.rows())
    for text in (str(vague), vague._repr_html_(), terminal(vague)):
        assert "(?)" in text
        assert "too wide for the value to be of use" in text
    for text in (str(sharp), sharp._repr_html_(), terminal(sharp)):
        assert "(?)" not in text


def test_long_answers_say_how_much_is_not_shown(session: Session) -> None:
    release = session.sql("SELECT day, local_hour, COUNT(*) AS n FROM calls GROUP BY day, local_hour").run(epsilon=1)
    assert "and 1,356 more rows" in str(release)
    assert "and 1,356 more rows" in terminal(release)
    assert "and 1,216 more rows" in release._repr_html_()


def terminal(release: Release, width: int = 120) -> str:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(release)
    return out.getvalue()


def test_rich_draws_a_table(small: Release) -> None:
    text = terminal(small)
    for word in ("voice", "NULL", "n and t by service", "±", "epsilon 50", "Adding or removing"):
        assert word in text
    assert HOSTILE in terminal(hostile(small))
    markup = replace(hostile(small), purpose="x")
    columns = (("[bold]b[/bold]", *small.answer.columns[0][1:]), *small.answer.columns[1:])
    markup = replace(markup, answer=replace(markup.answer, columns=columns))
    assert "[bold]b[/bold]" in terminal(markup)  # a key is no markup


def test_notebooks_get_a_table_and_text(small: Release) -> None:
    bundle = small._repr_mimebundle_(include=None, exclude=None)
    assert bundle == {"text/plain": str(small), "text/html": small._repr_html_()}
    tags = parsed(small._repr_html_())
    assert "script" not in tags.seen
    assert "caption" in tags.seen
    page = small._repr_html_()
    assert page.count('scope="col"') == 3
    assert page.count('scope="row"') == 3
    assert '<span class="price">epsilon 50' in page
    assert "95 %" in page
    # Nothing that a dark notebook would make unreadable: colours are the notebook's.
    assert not re.search(r"#[0-9a-f]{3,6}\b|: (white|black)", page.split("</style>")[0])


def test_markup_in_keys_is_text(small: Release) -> None:
    from dpquery.faces import html

    evil = hostile(small)
    for text in (evil._repr_html_(), html.page(evil.sheet(), evil.document().model_dump_json())):
        assert "<script" not in text
        assert "&lt;script&gt;" in text
        parsed(text)


def test_ipython_shows_the_bundle(small: Release) -> None:
    from IPython.core.interactiveshell import InteractiveShell

    formatter = InteractiveShell.instance().display_formatter
    try:
        assert formatter is not None
        shown, _ = formatter.format(small)  # type: ignore[no-untyped-call]
        chart, _ = formatter.format(small.plot("n"))  # type: ignore[no-untyped-call]
    finally:
        InteractiveShell.clear_instance()
    assert shown["text/html"] == small._repr_html_()
    assert shown["text/plain"] == str(small)
    assert chart["image/svg+xml"].startswith("<svg")


def test_polars_reads_it(release: Release) -> None:
    frame = release.to_polars()
    assert isinstance(frame, pl.DataFrame)
    assert frame.columns == release.to_arrow().column_names
    assert frame.rows() == [tuple(row.values()) for row in release.rows()]
    assert pl.DataFrame(release).equals(frame)


def test_a_missing_extra_says_how_to_get_it(small: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(UsageError) as caught:
        small.to_polars()
    assert caught.value.fix == 'pip install "dpquery[polars]"'
    for package in ("altair", "vl_convert"):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, package, None)
            with pytest.raises(UsageError) as caught:
                small.plot()
            assert caught.value.fix == 'pip install "dpquery[plot]"'


def test_the_citation_is_one_sentence(small: Release) -> None:
    sentence = small.cite()
    assert sentence.endswith(".")
    assert ". " not in sentence
    for part in (
        small.release_id,
        small.ledger.entry,
        small.ledger.at[:10],
        "epsilon 50",
        "dpquery ",
        "OpenDP ",
        "95 %",
    ):
        assert part in sentence


def test_the_receipt_names_the_ledger_entry(small: Release, session: Session) -> None:
    assert small.receipt["entry"] in {f"sha256:{entry.hash}" for entry in session.ledger.entries()}


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (77349, 76630, 78068, ("77,349", "719")),
        (23.4199, 22.8187, 24.0001, ("23.42", "0.61")),
        (0.5, 0.49988, 0.50011, ("0.50000", "0.00012")),
        (1234.5, 34.0, 2400.0, ("1,234", "1,201")),
        (198.4, 0.0, 390.0, ("198", "199")),
        (None, None, None, ("unknown", "unknown")),
        (3.25, None, None, ("3.25", "unknown")),
        (2.0, 2.0, 2.0, ("2", "0")),
    ],
)
def test_values_have_the_figures_that_their_interval_bears_out(
    value: float | None, low: float | None, high: float | None, shown: tuple[str, str]
) -> None:
    assert value_text(value, low, high) == shown


def test_printed_intervals_hold_the_computed_ones() -> None:
    assert ends_text(23.4199, 22.8187, 24.0001) == "22.81 to 24.01"
    assert ends_text(5, 3, 7) == "3 to 7"
    assert ends_text(None, None, None) == "no interval"
    assert percent_text(0.95) == "95 %"
    assert percent_text(0.9999) == "99.99 %"
    assert percent_text(0.907) == "90.7 %"
