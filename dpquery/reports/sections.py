"""The report as headings, texts, facts, tables and charts, so that every form for people says the same."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dpquery.reports.amounts import number_text, percent_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dpquery.documents import (
        Bound,
        BudgetReport,
        ExhaustedOn,
        ForecastChart,
        ReportAccounting,
        ReportUse,
        Stated,
        UseRow,
    )

Value = str | int | float | bool | None
ColumnKind = Literal["text", "date", "number", "share"]

EACH_BLOCK = "each block"

STANDING_TEXT = {
    "dated": "after two years",
    "exhausted": "exhausted",
    "closed": "closed",
    "too little history": "too little history",
    "not within two years": "not within two years",
}

_BIDI_CONTROLS = frozenset(["LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"])


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph; a promise stands out, and a heading is of what follows it in a section."""

    text: str
    promise: bool = False
    heading: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """A list without an order."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Names with values."""

    facts: tuple[tuple[str, Value], ...]


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: ColumnKind = "text"
    absent: str = "none"
    """What stands for no value."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a caption; the first column names the row."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    folded: bool = False
    """Long, and seldom read."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A step line of shares by day, up to the cap, with the dates at which it is thought to get there."""

    title: str
    points: tuple[tuple[str, float], ...]
    median: str | None
    pessimistic: str | None
    summary: str
    """What it shows, in a sentence."""
    table: Table


Part = Text | Items | Facts | Table | Chart


@dataclass(frozen=True, slots=True)
class Section:
    anchor: str
    title: str
    parts: tuple[Part, ...]


def sections(report: BudgetReport) -> tuple[Section, ...]:
    """Every block of the report, in order."""
    return (
        *([Section("notes", "Before you read", (Items(report.notes),))] if report.notes else []),
        Section("budgets", "Budgets now", _budgets(report.accounting)),
        Section("guarantee", "What is promised", _guarantee(report)),
        Section("unit", "Who is protected", _unit(report)),
        Section("not-protected", "What is not protected", (Items(report.not_protected),)),
        Section("forecast", "How long it will last", _forecast(report)),
        Section("use", "What was asked", _use(report.use)),
        Section("accounting", "How it is accounted", _accounting(report.accounting)),
        Section("trust", "Who is trusted with what", _trust(report)),
        Section("identity", "Whose data, and what for", _identity(report)),
        Section("data", "The data", _data(report)),
        Section("implementation", "How it is made", _implementation(report)),
        Section("integrity", "Is this the whole ledger?", _integrity(report)),
    )


def shown(text: str) -> str:
    """Text on one line, with a mark for controls: they could turn the direction of what stands beside them."""
    line = " ".join(text.split())
    return "".join("?" if _is_control(sign) else sign for sign in line)


def cell_text(value: Value, column: Column) -> str:
    """A value as a table shows it."""
    if value is None:
        return column.absent
    if isinstance(value, float) and column.kind == "share":
        return percent_text(value)
    return value_text(value)


def value_text(value: Value) -> str:
    """A value by itself."""
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return number_text(value)
        case str():
            return shown(value)


def _is_control(sign: str) -> bool:
    return (
        unicodedata.category(sign) in {"Cc", "Cs", "Co", "Cn"}
        or unicodedata.bidirectional(sign) in _BIDI_CONTROLS
        or sign in {"\u200e", "\u200f", "\u061c"}
    )


def _block(block: str) -> str:
    return EACH_BLOCK if block == "*" else block


def _budgets(accounting: ReportAccounting) -> tuple[Part, ...]:
    columns = (
        Column("scope"),
        Column("block", "date"),
        Column("status"),
        Column("used", "share"),
        Column("cap epsilon", "number"),
        Column("spent epsilon", "number"),
        Column("left epsilon", "number"),
        Column("runs out", "date"),
        Column("as early as", "date", "no date"),
        Column("more like the last", "number", "nothing asked yet"),
    )
    rows = tuple(
        (
            each.scope,
            _block(each.block),
            each.status,
            each.used,
            each.cap.epsilon,
            each.spent.epsilon,
            each.left.epsilon,
            each.exhausted_on.median or STANDING_TEXT[each.exhausted_on.standing],
            each.exhausted_on.pessimistic,
            each.more_like_last,
        )
        for each in accounting.scopes
    )
    caption = (
        "Every scope and block. Spent and left are each by the filter that serves better, so they need not add up to "
        "the cap. Runs out: the expected day, and as early as in one future of 20."
    )
    return Text(_summary(accounting)), Table(caption, columns, rows)


def _summary(accounting: ReportAccounting) -> str:
    """How many budgets need a look, and which runs out first."""
    counts = Counter(each.status for each in accounting.scopes)
    found = ", ".join(f"{count} {status}" for status, count in counts.items()) or "none granted"
    text = f"Budgets of scopes and blocks: {found}."
    dated = [each for each in accounting.scopes if each.exhausted_on.standing == "dated"]
    if not dated:
        return text
    first = min(dated, key=lambda each: (each.exhausted_on.pessimistic or "", each.scope, each.block))
    return f"{text} First to run out: {first.scope} in {_block(first.block)}, {_dates(first.exhausted_on)}."


def _guarantee(report: BudgetReport) -> tuple[Part, ...]:
    found = report.guarantee
    columns = (
        Column("bound"),
        Column("epsilon", "number", "infinite: a Gaussian was used"),
        Column("delta", "number"),
        Column("rho", "number", "not stated"),
        Column("epsilon of that rho", "number", "not stated"),
        Column("at delta", "number", "not stated"),
        Column("right guesses of 100", "number", "no bound"),
    )
    rows = (
        ("promised, in one block", *_bound(found.promised)),
        ("the same unless a cap is raised", *_bound(found.unless_raised)),
        ("spent so far, in the block where that is most", *_bound(found.spent_in_one_block)),
        ("spent so far, all blocks together", *_bound(found.spent)),
    )
    caption = f"The promise and what was spent of it. What was released so far is {found.definition}."
    return (
        Text(found.sentence, promise=True),
        Text(found.promised_in_words),
        *(Text(text) for text in found.spent_in_words),
        Table(caption, columns, rows),
    )


def _bound(bound: Bound) -> tuple[Value, ...]:
    return (
        bound.epsilon,
        bound.delta,
        bound.rho,
        bound.epsilon_converted,
        bound.delta_converted,
        bound.right_guesses,
    )


def _unit(report: BudgetReport) -> tuple[Part, ...]:
    unit = report.unit
    persons = Table(
        "The promise for a person with several numbers. A delta of 1 is no promise.",
        (
            Column("numbers", "number"),
            Column("epsilon", "number"),
            Column("delta", "number"),
            Column("right guesses of 100", "number"),
        ),
        tuple((each.numbers, each.epsilon, each.delta, each.right_guesses) for each in unit.persons),
    )
    tables = Table(
        "Tables, and how one number's rows are bounded in each.",
        (
            Column("table"),
            Column("owners of a row", "number", "none"),
            Column("rule"),
            Column("first day", "date"),
            Column("last day", "date"),
            Column("budget block"),
        ),
        tuple(
            (
                each.table,
                each.owners,
                each.rule,
                each.period[0] if each.period else None,
                each.period[1] if each.period else None,
                each.block,
            )
            for each in unit.tables
        ),
    )
    bounds = Table(
        "Contribution bounds: the most that one number adds. With two owners per row, rows per group alone apply.",
        (
            Column("table"),
            Column("keys"),
            Column("rows", "number", "as above"),
            Column("groups", "number", "as above"),
            Column("rows per group", "number", "as above"),
        ),
        tuple((b.table, b.keys, b.max_rows, b.max_groups, b.max_rows_per_group) for b in unit.bounds),
        folded=True,
    )
    about = Facts((("Unit", unit.unit), ("Neighbours", unit.neighbours)))
    return about, Text(unit.several_numbers), persons, tables, bounds, Items(unit.time_scope)


def _forecast(report: BudgetReport) -> tuple[Part, ...]:
    found = report.forecast
    charts: tuple[Part, ...] = tuple(_chart(each) for each in found.charts)
    if not charts:
        charts = (Text("Nothing was spent yet, so there is nothing to draw."),)
    return (*charts, Text(found.method), Text(found.limits))


def _chart(chart: ForecastChart) -> Chart:
    title = f"{chart.scope}, {_block(chart.block)}"
    points = tuple((point.day, point.used) for point in chart.points)
    return Chart(
        title=title,
        points=points,
        median=chart.exhausted_on.median,
        pessimistic=chart.exhausted_on.pessimistic,
        summary=f"{percent_text(points[-1][1])} used by {points[-1][0]}; {_dates(chart.exhausted_on)}.",
        table=Table(
            f"{title}: share of the present cap used at the end of the day",
            (Column("day", "date"), Column("used", "share")),
            points,
            folded=True,
        ),
    )


def _dates(exhausted: ExhaustedOn) -> str:
    match exhausted.standing:
        case "exhausted":
            return f"exhausted since {exhausted.median}"
        case "dated":
            expected = exhausted.median or "a day after two years"
            return f"expected to run out on {expected}, as early as {exhausted.pessimistic} in one future of 20"
        case standing:
            return f"no date: {STANDING_TEXT[standing]}"


def _use(use: ReportUse) -> tuple[Part, ...]:
    totals = Facts(
        (
            ("Charges", use.charges),
            ("Answered", use.released),
            ("Failed after the charge, which stays", use.failed),
            ("Charged, no answer and no failure noted", use.open_charges),
            ("Stored answers handed out again for free", use.repeated_free),
            ("Stored answers that a further scope paid for", use.repeated_paid),
            ("Most was spent by", ", ".join(use.top_spenders) or "nobody yet"),
            ("Error of the answers", _stated(use.expected_error)),
        )
    )
    refused = Table(
        "Requests that no budget allowed. They spent nothing.",
        (Column("code"), Column("title"), Column("requests", "number")),
        tuple((each.code, each.title, each.requests) for each in use.refused),
    )
    return (
        totals,
        _use_table("By analyst: what their own scope paid, over all blocks.", "analyst", use.analysts),
        _use_table("By purpose: what the dataset paid, over all blocks.", "purpose", use.purposes),
        _use_table("By table: what the dataset paid, over all blocks.", "table", use.tables),
        _use_table("By mechanism: what the dataset paid, over all blocks.", "mechanism", use.mechanisms),
        refused,
    )


def _use_table(caption: str, what: str, rows: Iterable[UseRow]) -> Table:
    columns = (
        Column(what),
        Column("answered", "number"),
        Column("no answer", "number"),
        Column("repeated", "number"),
        Column("refused", "number", "not known"),
        Column("epsilon", "number", "infinite"),
        Column("rho", "number", "infinite"),
        Column("delta", "number"),
        Column("share, by rho", "share"),
    )
    found = tuple(
        (
            row.name,
            row.released,
            row.unanswered,
            row.repeated,
            row.refused,
            row.epsilon,
            row.rho,
            row.delta,
            row.share,
        )
        for row in rows
    )
    return Table(caption, columns, found)


def _accounting(accounting: ReportAccounting) -> tuple[Part, ...]:
    deltas = Table(
        "Delta of every scope and block, and the ceiling that no later grant exceeds. All of a cap's delta is set "
        "aside for Gaussian noise, or a half where groups that are not declared may be asked for: these can spend half "
        "of the rest.",
        (
            Column("scope"),
            Column("block", "date"),
            Column("state"),
            Column("ceiling epsilon", "number"),
            Column("ceiling delta", "number"),
            Column("cap delta", "number"),
            Column("spent delta", "number"),
            Column("left delta", "number"),
        ),
        tuple(
            (
                each.scope,
                _block(each.block),
                each.state,
                each.ceiling.epsilon if each.ceiling else None,
                each.ceiling.delta if each.ceiling else None,
                each.cap.delta,
                each.spent.delta,
                each.left.delta,
            )
            for each in accounting.scopes
        ),
    )
    filters = Table(
        "Both filters of every scope and block. Charges are admitted while either holds.",
        (
            Column("scope"),
            Column("block", "date"),
            Column("pure filter holds"),
            Column("sum of epsilon", "number", "infinite"),
            Column("zCDP filter holds"),
            Column("sum of rho", "number", "infinite"),
            Column("cap of rho", "number"),
            Column("epsilon of that sum", "number", "none"),
        ),
        tuple(
            (
                each.scope,
                _block(each.block),
                each.filters.pure.open,
                each.filters.pure.epsilon,
                each.filters.zcdp.open,
                each.filters.zcdp.rho,
                each.filters.zcdp.rho_cap,
                each.filters.zcdp.epsilon,
            )
            for each in accounting.scopes
        ),
    )
    requests = Table(
        "Requests by scope and block, by how they ended.",
        (
            Column("scope"),
            Column("block", "date"),
            Column("answered", "number"),
            Column("failed", "number"),
            Column("no answer", "number"),
            Column("repeated", "number"),
            Column("refused", "number"),
        ),
        tuple(
            (
                each.scope,
                _block(each.block),
                each.entries.released,
                each.entries.failed,
                each.entries.charged,
                each.entries.repeated,
                each.entries.refused,
            )
            for each in accounting.scopes
        ),
    )
    lifetime = Table(
        "Lifetime sums: over all blocks, what a number that is active in each could have lost.",
        (
            Column("scope"),
            Column("epsilon", "number", "infinite"),
            Column("delta", "number"),
            Column("rho", "number", "infinite"),
            Column("epsilon of that rho", "number", "infinite"),
            Column("at delta", "number"),
        ),
        tuple(
            (each.scope, each.epsilon, each.delta, each.rho, each.epsilon_converted, each.delta_converted)
            for each in accounting.lifetime
        ),
    )
    decisions = Table(
        "Every grant, raise and close, signed by the steward.",
        (
            Column("when", "date"),
            Column("what"),
            Column("scope"),
            Column("block", "date"),
            Column("epsilon before", "number"),
            Column("delta before", "number"),
            Column("epsilon after", "number", "as before"),
            Column("delta after", "number", "as before"),
            Column("who"),
            Column("why"),
        ),
        tuple(
            (
                each.at,
                each.kind,
                each.scope,
                _block(each.block),
                each.before.epsilon if each.before else None,
                each.before.delta if each.before else None,
                each.after.epsilon if each.after else None,
                each.after.delta if each.after else None,
                each.actor,
                each.reason,
            )
            for each in accounting.decisions
        ),
    )
    found: tuple[Part, ...] = (Text(accounting.composition), deltas, filters, requests, lifetime, decisions)
    return (*found, *_adoptions(accounting), *_joins(accounting))


def _adoptions(accounting: ReportAccounting) -> Iterable[Part]:
    if accounting.adoptions:
        yield Table(
            "Restores that a steward adopted: what a checkpoint showed as spent was charged anew.",
            (
                Column("when", "date"),
                Column("checkpoint at entry", "number"),
                Column("scopes and blocks charged", "number"),
                Column("decisions lost, at most", "number"),
                Column("who"),
                Column("why"),
            ),
            tuple((a.at, a.checkpoint, a.charged, a.decisions, a.actor, a.reason) for a in accounting.adoptions),
        )


def _joins(accounting: ReportAccounting) -> Iterable[Part]:
    if accounting.joins:
        yield Table(
            "Analysts who joined a group, which took over what they had seen, whatever its cap.",
            (Column("when", "date"), Column("analyst"), Column("group")),
            tuple((each.at, each.analyst, each.group) for each in accounting.joins),
        )


def _trust(report: BudgetReport) -> tuple[Part, ...]:
    found = report.trust
    parties = Table(
        "Who sees what.",
        (Column("who"), Column("sees")),
        tuple((each.who, each.sees) for each in found.parties),
    )
    return Facts((("Model", found.model), ("Access", found.access))), parties, Items(found.assumptions)


def _identity(report: BudgetReport) -> tuple[Part, ...]:
    found = report.identity
    facts = Facts(
        (
            ("Dataset", found.dataset),
            ("Policy version", found.policy_version),
            ("Curator", _stated(found.curator)),
            ("Contact", _stated(found.contact)),
            ("Intended use", _stated(found.intended_use)),
            ("Sector", _stated(found.sector)),
            ("Region", _stated(found.region)),
            ("Report covers", f"{found.period_from} to {found.period_to}"),
            ("First release", _stated(found.first_release)),
        )
    )
    purposes = Table(
        "Purposes, as subscribers were told.",
        (Column("purpose"), Column("in plain words"), Column("notice"), Column("regime")),
        tuple((each.name, each.text, each.notice, each.regime) for each in found.purposes),
    )
    return facts, purposes


def _stated(stated: Stated) -> str:
    return stated.value if stated.value is not None else f"not stated: {stated.reason}"


def _data(report: BudgetReport) -> tuple[Part, ...]:
    found = report.data
    coverage: Part = Facts((("Consent coverage", f"not stated: {found.consent_coverage_reason}"),))
    if found.consent_coverage is not None:
        asked = found.consent_coverage
        coverage = Table(
            f"Consent coverage: how many numbers have said what, by the noisy counts of {asked.release} "
            f"({asked.at[:10]}, epsilon {asked.epsilon:g}). A count lies in its band with a confidence of "
            f"{asked.confidence:.0%}. Who has said nothing is not counted.",
            (Column("purpose"), Column("said"), Column("from", "number"), Column("to", "number")),
            tuple((band.purpose, band.status, band.low, band.high) for band in asked.bands),
        )
    retention = Table(
        "How long rows may be kept, by the policy. It is recorded, not enforced.",
        (Column("table"), Column("days", "number", "no limit named")),
        tuple((each.table, each.days) for each in found.retention),
    )
    facts = Facts((("Source", found.source), ("Sampling", found.sampling), ("Quarantine", _stated(found.quarantine))))
    return facts, coverage, retention


def _implementation(report: BudgetReport) -> tuple[Part, ...]:
    found = report.implementation
    versions = Table("Versions in use.", (Column("library"), Column("version")), tuple(found.versions.items()))
    return (
        Text("Mechanisms:"),
        Items(found.mechanisms),
        Facts(
            (
                ("Noise", found.noise_source),
                ("Charges within value bounds that a paid release chose", found.bounds_from_data),
            )
        ),
        Text("Defences:"),
        Items(found.defences),
        Text("Before the noise:"),
        Items(found.preprocessing),
        versions,
    )


def _integrity(report: BudgetReport) -> tuple[Part, ...]:
    found = report.integrity
    facts = Facts(
        (
            ("Verified", found.verified),
            ("Head", found.head),
            ("Last entry at", found.last_entry_at),
            ("Entries", found.entries),
            ("Charges", found.charges),
            ("Releases", found.releases),
            ("Signed decisions", found.signed_decisions),
            ("Restores adopted", found.adoptions),
            ("Steward's public key", found.steward_key),
        )
    )
    return facts, Text(found.not_shown)
