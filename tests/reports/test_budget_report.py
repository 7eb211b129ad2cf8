"""The budget report: one document, the same numbers in every form, and nothing in a name that a page obeys."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from datetime import timedelta
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from ledger_histories import HISTORY_POLICY, History, pure, weeks_of_questions

import dpquery
from dpquery.accounting import Loss
from dpquery.budget import budget_document, read_usage
from dpquery.reports.amounts import down, number_text, percent_text, right_guesses, up
from dpquery.reports.budget_report import budget_report
from dpquery.reports.coverage import NO_VIEW
from dpquery.reports.report import FORMATS, Report

SCHEMA = json.loads(
    (Path(dpquery.__file__).parent / "schemas" / "budget-report.schema.json").read_text(encoding="utf-8")
)
VERSIONS = {"dpquery": "0.1.0", "opendp": "0.16.0"}
SHARES = {"used", "share", "low", "high"}
NUMBER = re.compile(r"(?<![\w.-])\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "=HYPERLINK(1)",
    "[link](https://evil.example) `code` | cell",
    "\u202e\u2066turned round\u2069",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "x" * 900,
)


def reported(history: History) -> Report:
    verification, usage = read_usage(history.ledger)
    return Report(
        budget_report(history.policy, usage, verification, versions=VERSIONS, at=history.now, coverage=NO_VIEW)
    )


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    return weeks_of_questions(History(tmp_path_factory.mktemp("history")))


@pytest.fixture(scope="module")
def report(history: History) -> Report:
    return reported(history)


def hostile(folder: Path) -> History:
    """A ledger and a policy in which everybody who may write text writes something nasty."""
    text = " ".join(HOSTILE)
    policy = HISTORY_POLICY.replace('"Plan capacity and coverage."', json.dumps(text)).replace(
        '"Acme Telecom"', json.dumps(text[:900])
    )
    history = History(folder, policy)
    for name in ("<script>alert(1)</script>", "=cmd|calc", "*_[x](y)|`"):
        history.grant(f"analyst:{name}", 3.0, reason=text[:1000], actor="<b>eva</b>")
        for _ in range(8):
            history.now += timedelta(days=1)
            history.ask(name, "network_planning", pure("0.2"), table="<i>calls</i>")
    return history


def empty(folder: Path) -> History:
    return History(folder)


def gaussian_only(folder: Path) -> History:
    history = History(folder)
    for _ in range(12):
        history.now += timedelta(days=1)
        history.ask("ana", "network_planning", Loss.of(None, Fraction(1, 100)))
    return history


def without_report_section(folder: Path) -> History:
    return History(folder, HISTORY_POLICY.split("[report]")[0].replace("[limits]\nmin_people = 15\n", ""))


MAKERS = [weeks_of_questions, hostile, empty, gaussian_only, without_report_section]


@pytest.fixture(scope="module", params=MAKERS, ids=lambda maker: maker.__name__)
def each(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("each")
    return reported(
        weeks_of_questions(History(folder)) if request.param is weeks_of_questions else request.param(folder)
    )


def numbers(value: Any, key: str = "") -> list[tuple[str, float]]:
    """Every number of a JSON value, under its key."""
    if isinstance(value, dict):
        return [found for name, inner in value.items() for found in numbers(inner, name)]
    if isinstance(value, list):
        return [found for inner in value for found in numbers(inner, key)]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [(key, value)]
    return []


class Page(HTMLParser):
    """Text of a page, with every tag closed in turn."""

    VOID = frozenset({"meta", "br", "line", "path", "circle"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs)
        if "id" in dict(attrs):
            self.ids.append(dict(attrs)["id"] or "")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data + " "


def test_the_record_is_of_its_schema(each: Report) -> None:
    jsonschema.validate(json.loads(each.to_json()), SCHEMA)


@pytest.mark.parametrize("form", ["html", "csv", "md"])
def test_every_number_of_the_record_is_in_every_form(each: Report, form: Any) -> None:
    text = each.to(form)
    if form == "html":
        text = Page(text).text
    if form == "csv":
        text = "\n".join(row[-1] for row in csv.reader(io.StringIO(text)))
    shown = {float(found) for found in NUMBER.findall(text)}
    for key, number in numbers(json.loads(each.to_json())):
        # A percentage has a number of its own; in CSV shares stay shares.
        wanted = float(percent_text(number).split()[0]) if key in SHARES and form != "csv" else number
        assert wanted in shown, (key, number)


def test_the_page_is_whole_and_loads_nothing(each: Report) -> None:
    text = each.to_html()
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    for tag, attributes in page.tags:
        assert tag not in {"script", "img", "iframe", "object", "embed", "base", "form", "link"}
        assert not any(name.startswith("on") or name in {"src", "srcset", "action"} for name in attributes)
        if "href" in attributes:
            assert (attributes["href"] or "").removeprefix("#") in page.ids
        if tag == "table":
            assert page.text
    style = text.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in text
    for needed in ('<html lang="en">', 'class="skip"', "prefers-color-scheme: dark", "@media print"):
        assert needed in text
    counts = [sum(tag == name for tag, _ in page.tags) for name in ("table", "caption")]
    assert counts[0] == counts[1] > 10
    charts = sum(tag == "svg" for tag, _ in page.tags)
    assert charts == len(each.document.forecast.charts)
    assert sum(tag == "figure" for tag, _ in page.tags) == charts


def test_nothing_that_people_wrote_is_obeyed(tmp_path: Path) -> None:
    report = reported(hostile(tmp_path))
    page = report.to_html()
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page
    markdown = report.to_markdown()
    assert not re.search(r"(?<!\\)<", markdown)
    assert not re.search(r"(?<!\\)\]\(", markdown)
    for row in re.findall(r"^\|.*\|$", markdown, re.MULTILINE):
        assert len(re.findall(r"(?<!\\)\|", row)) <= 12
    for text in (page, markdown, report.to_csv()):
        assert not set("\u202e\u2066\u2069") & set(text)
        assert "\u05e9\u05dc\u05d5\u05dd" in text
    for row in csv.reader(io.StringIO(report.to_csv())):
        assert not row[-1].startswith(("=", "+", "@"))
    assert yaml.safe_load(report.to_registry_yaml())["deployment"]["basic"]["data_curators"]


def test_an_entry_that_utf_8_cannot_hold_breaks_no_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such reasons are refused now; an entry that has one stays for ever."""
    history = History(tmp_path)
    monkeypatch.setattr("dpquery.ledger.grants.check_motive", lambda *_: None)
    history.grant("analyst:ana", 3.0, reason="caf\udce9 \x1b[31m")
    report = reported(history)
    for form in FORMATS:
        assert "caf? " in report.to(form) or form == "registry-yaml"  # type: ignore[arg-type]
        report.to(form).encode("utf-8")  # type: ignore[arg-type]
    jsonschema.validate(json.loads(report.to_json()), SCHEMA)


def test_the_report_says_what_the_budget_says(history: History, report: Report) -> None:
    budget = budget_document(history.policy, history.ledger, now=lambda: history.now)
    accounts = report.document.accounting.scopes
    assert len(budget.scopes) == len(accounts) > 15
    for plain, told in zip(budget.scopes, accounts, strict=True):
        assert (plain.scope, plain.block, plain.exhausted_on) == (told.scope, told.block, told.exhausted_on)
        assert told.entries == plain.entries
        assert 0 <= told.spent.epsilon - plain.spent.epsilon <= 1e-5 * plain.spent.epsilon
        assert 0 <= plain.left.epsilon - told.left.epsilon <= 1e-5 * plain.left.epsilon
        assert 0 <= told.used - plain.used <= 1e-4
    statuses = {each.status for each in accounts}
    assert statuses >= {"open", "nearly spent", "closed"}
    dates = [each.exhausted_on for each in accounts if each.exhausted_on.standing == "dated"]
    assert len(dates) > 10
    charts = report.document.forecast.charts
    assert [chart.exhausted_on.pessimistic for chart in charts] == sorted(each.pessimistic or "" for each in dates)[
        : len(charts)
    ]


def test_an_empty_ledger_has_a_report(tmp_path: Path) -> None:
    document = reported(empty(tmp_path)).document
    assert document.guarantee.spent.right_guesses == 50
    assert document.forecast.charts == ()
    assert document.identity.first_release.value is None
    assert document.use.charges == 0
    assert {each.exhausted_on.standing for each in document.accounting.scopes} == {"too little history"}
    assert {each.status for each in document.accounting.scopes} == {"open"}


def test_a_gaussian_has_no_epsilon_of_its_own(tmp_path: Path) -> None:
    document = reported(gaussian_only(tmp_path)).document
    assert document.guarantee.definition == "zero-concentrated"
    assert document.guarantee.spent.epsilon is None
    assert document.guarantee.spent.rho == 0.12
    assert document.use.analysts[0].epsilon is None
    (ana, *_) = document.accounting.scopes
    assert not ana.filters.pure.open
    assert ana.exhausted_on.standing == "dated"


def test_odds_are_those_of_the_smaller_bound(tmp_path: Path) -> None:
    """Epsilon 1 once: e/(1 + e) is 73.1 of 100. Ten times 0.1: rho is 0.05, whose epsilon is larger than 1."""
    history = History(tmp_path)
    history.ask("ana", "network_planning", pure("1"))
    guarantee = reported(history).document.guarantee
    assert guarantee.spent.right_guesses == 74
    assert "at most 74 in 100" in guarantee.spent_in_words[1]
    assert guarantee.promised.right_guesses == 100


def test_delta_that_is_used_up_is_used(tmp_path: Path) -> None:
    """A quarter of the cap's delta is there for groups that are not declared; epsilon is hardly touched."""
    history = History(tmp_path)
    for spent, status in ((5, "open"), (15, "nearly spent"), (5, "spent")):
        assert history.ask("cleo", "marketing", Loss.of(Fraction(1, 10), Fraction(1, 200), Fraction(spent, 10**8)))
        found = {(each.scope, each.block): each for each in reported(history).document.accounting.scopes}
        cleo = found["analyst:cleo", "2026-01"]
        assert cleo.status == status
    assert (cleo.used, cleo.spent.delta, cleo.more_like_last) == (1.0, 2.5e-7, 0)
    assert cleo.left.epsilon > 3.0
    assert cleo.left.delta == 5e-7  # what is set aside for Gaussian noise
    (budget,) = [
        each
        for each in budget_document(history.policy, history.ledger, blocks=["2026-01"]).scopes
        if each.scope == "analyst:cleo"
    ]
    assert budget.used == 1.0


def test_a_person_with_two_numbers(tmp_path: Path) -> None:
    text = HISTORY_POLICY.replace("dataset = { epsilon = 30.0", "dataset = { epsilon = 1.0")
    one, two, _ = reported(History(tmp_path, text)).document.unit.persons
    assert (one.epsilon, one.delta, two.epsilon) == (1.0, 1e-6, 2.0)
    assert two.delta == up(1e-6 * (math.exp(2) - 1) / (math.e - 1))


def test_the_registry_record_states_what_is_known_and_nothing_else(report: Report, tmp_path: Path) -> None:
    record = yaml.safe_load(report.to_registry_yaml())
    basic = record["deployment"]["basic"]
    assert basic["data_curators"] == ["Acme Telecom"]
    assert basic["publication_date"] == "2026-01-05"
    assert basic["intended_use"] is None
    assert "intended_use is not stated" in record["deployment"]["administrative"]["notes"]
    assert "data_product_sector" not in basic
    assert record["deployment"]["privacy_loss"]["privacy_parameters"] == {"epsilon": 30.0, "delta": 1e-6}
    nobody = yaml.safe_load(reported(without_report_section(tmp_path)).to_registry_yaml())["deployment"]
    assert nobody["basic"]["data_curators"] is None
    assert nobody["basic"]["publication_date"] is None
    for name in ("data_curators", "data_product_region", "publication_date"):
        assert f"{name}" in nobody["administrative"]["notes"]


def test_the_same_ledger_has_the_same_report(history: History, report: Report) -> None:
    again = reported(history)
    for form in FORMATS:
        assert again.to(form) == report.to(form)  # type: ignore[arg-type]


def test_a_notebook_shows_the_page_in_a_frame(report: Report) -> None:
    (frame,) = [attributes for tag, attributes in Page(report._repr_html_()).tags if tag == "iframe"]
    assert frame["sandbox"] == ""
    assert frame["srcdoc"] == report.to_html()


@given(st.floats(1e-15, 1e12))
def test_spent_rounds_up_and_left_down(amount: float) -> None:
    assert down(amount) <= amount <= up(amount)
    assert up(amount) <= amount * (1 + 1.1e-5)
    assert down(amount) >= amount * (1 - 1.1e-5)
    assert float(number_text(up(amount))) == up(amount)


def test_the_page_says_from_where_on_odds_are_no_limit() -> None:
    page = (Path(dpquery.__file__).parents[1] / "docs" / "reports.md").read_text(encoding="utf-8")
    (first,) = re.findall(r"from epsilon (\d\.\d) on it is 100", page)
    assert (right_guesses(float(first) - 0.1, 0.0), right_guesses(float(first), 0.0)) == (99, 100)


@given(st.floats(0, 40), st.floats(0, 1))
def test_guesses_bound_the_best_test(epsilon: float, delta: float) -> None:
    """The best guesser is right with chance (1 + advantage) / 2, its advantage that of the formula below."""
    advantage = (math.expm1(epsilon) + 2 * delta) / (math.exp(epsilon) + 1)
    exact = 50 * (1 + min(1.0, advantage))
    assert exact - 1e-6 <= right_guesses(epsilon, delta) < exact + 1 + 1e-6
