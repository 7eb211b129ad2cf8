"""The fairness report as headings, texts and tables, so that every form for people says the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dpquery.reports.amounts import number_text, percent_text
from dpquery.reports.fairness_words import short
from dpquery.reports.sections import Column, Facts, Items, Section, Table, Text

if TYPE_CHECKING:
    from dpquery.documents import FairnessReport, GroupOutcomes, GroupSize, GroupSizes
    from dpquery.reports.sections import Part, Value

HIDDEN = "hidden by noise"
NOTHING_FOUND = "No group is told apart from the one that it is compared with. That does not say that groups are equal."
ALL_WITHIN = "Relative errors of all groups are within the policy's limit of each other."


def sections(report: FairnessReport) -> tuple[Section, ...]:
    """Every block of the report, in order."""
    warnings = Items(report.warnings) if report.warnings else Text(ALL_WITHIN)
    findings = Items(report.findings) if report.findings else Text(NOTHING_FOUND)
    sizes = (
        Section(f"size-{_anchor(each.name)}-{_anchor(each.column)}", f"Size: {_label(each)}", _size(each))
        for each in report.sizes
    )
    outcomes = (
        Section(f"outcome-{_anchor(each.name)}-{_anchor(each.column)}", f"Outcome: {_label(each)}", _outcome(each))
        for each in report.outcomes
    )
    return (
        Section("warnings", "Whose answers are worse", (warnings,)),
        *([Section("findings", "Who is treated differently", (findings,))] if report.outcomes else []),
        *sizes,
        *outcomes,
        Section("price", "What it cost", _price(report)),
        Section("method", "How to read it", (Items(report.method),)),
    )


def _label(each: GroupSizes | GroupOutcomes) -> str:
    """What is told, and by which column; that its table has it stands in the text."""
    return f"{each.name} by {each.column.rpartition('.')[2]}"


def _anchor(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower())


def _size(sizes: GroupSizes) -> tuple[Part, ...]:
    columns = (
        Column("group", "date"),
        Column("count", "number"),
        Column("from", "number"),
        Column("to", "number"),
        Column("expected error", "share", HIDDEN),
        Column("achieved error", "share", HIDDEN),
        Column("would be"),
        *([Column("left out by bounds")] if sizes.bounding == "bought" else []),
    )
    rows = tuple(
        (
            each.group,
            _whole(each.value),
            _whole(each.low),
            _whole(each.high),
            _share(each.expected_error),
            _share(each.achieved_error),
            each.suppression,
            *([_loss(each)] if sizes.bounding == "bought" else []),
        )
        for each in sizes.groups
    )
    bounding = {
        "bought": "What bounds leave out was bought for each group.",
        "not bought": "What bounds leave out of each group was not bought: --bounding-loss buys it.",
        "none left out": "Each number has one row, so that bounds leave out nothing.",
    }
    apart = " Each group was asked by itself, for equal relative errors." if sizes.apart else ""
    caption = f"Noisy counts of {sizes.counted} by {sizes.column}, with 95 % intervals of the noise.{apart}"
    return (
        Text(_spread(sizes.worst_to_best, sizes.worst, sizes.best)),
        Table(caption, columns, rows),
        Text(bounding[sizes.bounding]),
    )


def _outcome(outcome: GroupOutcomes) -> tuple[Part, ...]:
    return (_means(outcome), Text(_spread(outcome.worst_to_best, outcome.worst, outcome.best)), _errors(outcome))


def _means(outcome: GroupOutcomes) -> Table:
    """Who is told apart."""
    columns = (
        Column("group", "date"),
        Column("in these data", "date"),
        Column(f"times {outcome.reference}", "date"),
        Column("beyond chance", "date"),
        Column("with chance", "date"),
        Column("mean", "number", HIDDEN),
        Column("with noise", "date"),
        Column("with noise and chance", "date"),
    )
    rows = tuple(
        (
            each.group,
            each.verdict_in_data,
            _range(each.ratio, each.ratio_low_in_data, each.ratio_high_in_data),
            each.verdict,
            _interval(each.ratio_low, each.ratio_high),
            None if each.value is None else float(short(each.value)),
            _interval(each.noise_low, each.noise_high),
            _interval(each.low, each.high),
        )
        for each in outcome.groups
    )
    unit = f" in {outcome.unit}" if outcome.unit else ""
    clamp = f"{number_text(outcome.clamp[0])} to {number_text(outcome.clamp[1])}"
    caption = (
        f"The mean over numbers{unit}, by {outcome.column}; each number's value is clamped to {clamp}. Compared with "
        f"{outcome.reference}, the largest group. All intervals of a kind in the report hold at once, with 95 %."
    )
    return Table(caption, columns, rows)


def _errors(outcome: GroupOutcomes) -> Table:
    """Whose mean is known worse."""
    columns = (
        Column("group", "date"),
        Column("numbers", "number"),
        Column("expected error", "share", HIDDEN),
        Column("achieved error", "share", HIDDEN),
        Column("would be"),
    )
    rows = tuple(
        (
            each.group,
            _whole(each.numbers),
            _share(each.expected_error),
            _share(each.achieved_error),
            each.suppression,
        )
        for each in outcome.groups
    )
    return Table("How well each mean is known: relative errors of the noise, at 95 %.", columns, rows)


def _price(report: FairnessReport) -> tuple[Part, ...]:
    facts = Facts(
        (
            ("Asked by", report.analyst),
            ("Purpose", f"{report.purpose} (notice {report.notice})"),
            ("Epsilon of all answers", report.price.epsilon),
            ("Charged for this report", report.price.charged),
            ("Delta of all answers", report.price.delta),
            ("Charged to", ", ".join(report.price.scopes)),
        )
    )
    both: tuple[GroupSizes | GroupOutcomes, ...] = (*report.sizes, *report.outcomes)
    columns = (Column("question"), Column("epsilon", "number"), Column("releases"), Column("SQL"))
    rows = tuple((f"{each.name} by {each.column}", each.epsilon, ", ".join(each.releases), each.sql) for each in both)
    return (
        Text(report.guarantee, promise=True),
        facts,
        Table("What was asked.", columns, rows, folded=True),
        Text("Not protected by it:"),
        Items(report.not_protected),
    )


def _spread(spread: float | None, worst: str | None, best: str | None) -> str:
    if worst is None or best is None:
        return "Noise hides every group."
    if spread is None:
        return f"Noise hides {worst}; {best} is known best."
    if worst == best:
        return "There is one group."
    return f"The relative error is {short(spread)} times as large for {worst} as for {best}."


def _range(value: float | None, low: float, high: float | None) -> str:
    if low == high == 1.0:
        return "1"
    return f"{'unknown' if value is None else short(value)} ({_interval(low, high)})"


def _interval(low: float, high: float | None) -> str:
    if low == high:
        return short(low)
    return f"{short(low)} to {'no end' if high is None else short(high)}"


def _loss(size: GroupSize) -> Value:
    if size.bounding_loss is None or size.bounding_loss_low is None or size.bounding_loss_high is None:
        return None
    low, high = (percent_text(_percent(each)) for each in (size.bounding_loss_low, size.bounding_loss_high))
    return f"{percent_text(_percent(size.bounding_loss))} ({low} to {high})"


def _whole(value: float) -> int:
    return round(value)


def _share(share: float | None) -> float | None:
    return None if share is None else _percent(share)


def _percent(share: float) -> float:
    """To a tenth of a percent."""
    return round(share, 3)
