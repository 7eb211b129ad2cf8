"""The contact report: priced answers about calls, each against its rule. It asks like anybody else, and pays."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from datetime import date
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any, Final

from dpquery.budget import clock_text
from dpquery.documents import (
    CallingRule,
    ContactFinding,
    ContactQuestion,
    ContactReport,
    LeftOut,
    ValueColumn,
)
from dpquery.errors import BudgetRefused, NotAllowed, UsageError
from dpquery.faces.shown import CONFIDENCE_MOST
from dpquery.postprocessing.intervals import CONFIDENCE
from dpquery.privacy.bound import bound
from dpquery.reports import prose
from dpquery.reports.contact_questions import Left, Question, questions
from dpquery.reports.contact_rules import jurisdictions
from dpquery.sql.request import read_request

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from dpquery.asking.query import Query
    from dpquery.documents import Verdict
    from dpquery.policy import Policy
    from dpquery.policy.model import Calling
    from dpquery.preview import Preview
    from dpquery.release import Release
    from dpquery.reports.contact_rules import Rule
    from dpquery.session import Session

WRONG_AT_MOST: Final = 0.05
"""Chance that noise alone makes any finding of a report over or under that is not."""

UNCERTAIN: Final = "uncertain hours"
"""Question of findings about calls that may be outside permitted hours, and may not."""

_SHARE_DIGITS: Final = Decimal("1e-6")


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question with its query, and what became of it."""

    question: Question
    query: Query
    release: Release | None = None
    left: str | None = None


def contact_report(
    session: Session,
    *,
    at: datetime,
    epsilon: float | None = None,
    until: date | None = None,
    dry_run: bool = False,
    fresh: bool = False,
) -> ContactReport:
    """Ask every question that the policy and the rules allow, and compare the answers with the limits.

    `epsilon`: for all of them together; if None the policy's default for each. `until`: last day that is looked at,
    at most the last of the table's period. `dry_run`: prices and expected errors, without asking. `fresh`: pay for
    answers with new noise. What a budget does
    not allow is left out, with the reason; BudgetRefused if it allows nothing. UsageError where the policy does not say
    how its rows tell of calls, or whose law applies.
    """
    session.refresh()
    policy = session.store.policy
    calling, jurisdiction = _declared(policy)
    last = _last_day(policy, calling, until, at.date())
    found, left = questions(policy, calling, jurisdiction, last)
    asked, refused = _understood(session, found)
    left = (*left, *refused)
    each = _each(policy, epsilon, len(asked))
    comparisons = sum(one.query.logical.cells for one in asked if one.question.limit is not None)
    confidence = min(CONFIDENCE_MOST, 1.0 - WRONG_AT_MOST / max(1, comparisons))
    if not dry_run:
        asked = _answers(asked, each, fresh=fresh)
    findings = tuple(finding for one in asked for finding in _findings(one, confidence))
    findings = (*findings, *_complaint_rates(asked))
    rules = tuple(dict.fromkeys(one.question.rule for one in asked if one.question.rule is not None))
    told = tuple(_told(one, each, confidence, rules) for one in asked)
    return ContactReport(
        at=clock_text(at),
        dataset=policy.dataset,
        policy_version=policy.version,
        data_version=session.store.data_version,
        purpose=session.purpose,
        jurisdiction=jurisdiction,
        until=last.isoformat(),
        dry_run=dry_run,
        summary=dict(Counter(finding.verdict for finding in findings)),
        comparisons=comparisons,
        wrong_at_most=_up(comparisons * (1.0 - confidence)),
        epsilon_asked=_total(each for _ in asked),
        epsilon_spent=0.0 if dry_run else _total(one.epsilon for one in told if one.status == "released"),
        guarantee=tuple(dict.fromkeys(one.release.guarantee.sentence for one in asked if one.release is not None)),
        findings=findings,
        questions=told,
        rules=tuple(_rule(rule) for rule in rules),
        left_out=tuple(LeftOut(part=one.name, reason=one.reason) for one in left),
        limits=prose.CONTACT_LIMITS,
    )


def _declared(policy: Policy) -> tuple[Calling, str]:
    """How rows tell of calls, and the country whose rules hold."""
    calling, told = policy.report.calling, policy.report
    if calling is None:
        raise UsageError(
            "DPQ-002",
            "the policy does not say how its rows tell of calls",
            fix="[report.calling] with table, outbound and campaign; the demo's policy is a model to copy",
        )
    known = jurisdictions()
    named = told.jurisdiction or told.region
    if named not in known:
        which = named or "no jurisdiction"
        listed = ", ".join(f'"{each}"' for each in known)
        raise UsageError(
            "DPQ-002", f"the policy names {which}, for which there are no rules", fix=f"[report] jurisdiction: {listed}"
        )
    return calling, named


def _last_day(policy: Policy, calling: Calling, until: date | None, today: date) -> date:
    period = policy.tables[calling.table].period
    last = today if period is None else min(period[1], today)
    if until is None:
        return last
    if not isinstance(until, date):
        raise UsageError("DPQ-002", "until is a date", fix="until=date(2026, 3, 31)")
    if until > last or (period is not None and until < period[0]):
        raise UsageError("DPQ-002", f"{until} is not a past day of the table's period", fix=f"until {last}, or earlier")
    return until


def _understood(session: Session, found: Iterable[Question]) -> tuple[list[_Asked], tuple[Left, ...]]:
    """The questions as queries under the bounds that are wanted, and those that this purpose may not ask."""
    asked, left = [], []
    for question in found:
        try:
            query = _query(session, question)
        except NotAllowed as refused:
            left.append(Left(question.name, refused.why))
        else:
            asked.append(_Asked(question, query))
    return asked, tuple(left)


def _query(session: Session, question: Question) -> Query:
    query = session.query_of(read_request(question.sql()), None)
    own = bound(query.logical, session.catalog).bounds.max_rows
    return query if own <= question.rows else session.query_of(read_request(question.sql(question.rows)), None)


def _each(policy: Policy, epsilon: float | None, count: int) -> float:
    """Epsilon of each question: an equal part, rounded down to a billionth."""
    if epsilon is None or not count:
        return policy.limits.epsilon_default
    if not math.isfinite(epsilon) or epsilon <= 0:
        raise UsageError("DPQ-002", "epsilon is a number above 0", fix="epsilon=1.0, for all questions together")
    part = (Decimal(repr(float(epsilon))) / count).quantize(Decimal("1e-9"), rounding=ROUND_FLOOR)
    return float(part)


def _answers(asked: Sequence[_Asked], epsilon: float, *, fresh: bool) -> list[_Asked]:
    """Each question asked and paid for, in order; what no budget allows is left out. BudgetRefused if that is all."""
    answered, refused = [], None
    for one in asked:
        try:
            answered.append(_Asked(one.question, one.query, one.query.run(epsilon, fresh=fresh)))
        except BudgetRefused as error:
            refused = error
            answered.append(_Asked(one.question, one.query, left=f"{error.code}: {error.why}"))
    if refused is not None and all(one.release is None for one in answered):
        raise refused
    return answered


def _findings(asked: _Asked, confidence: float) -> Iterator[ContactFinding]:
    """One for each campaign, with the interval that its verdict is about."""
    if asked.release is None:
        return
    question = asked.question
    held = confidence if question.limit is not None else CONFIDENCE
    rows = asked.release.interval(held).rows()
    unsure = {_campaign(question, row): row for row in rows if question.certain and not row[question.certain]}
    for row in rows:
        campaign = _campaign(question, row)
        certain = question.certain is None or bool(row[question.certain])
        value, low, high = row[question.value], row[f"{question.value}_low"], row[f"{question.value}_high"]
        if question.unit != "share":
            low, high = max(0, low), max(0, high)
        elif low <= 0.0 and high >= 1.0:
            value = None  # it may be anything: the middle of nothing known is no estimate
        most = high
        if certain and campaign in unsure:  # what may break the rule may be all that does
            most += max(0, unsure[campaign][f"{question.value}_high"])
        about = question.asks if question.rule is None else question.rule.text
        limit = question.limit if certain else None
        yield ContactFinding(
            question=question.name if certain else UNCERTAIN,
            about=about,
            campaign=campaign,
            whole=question.campaign is None,
            unit=question.unit,
            value=_shown(value),
            low=_shown(low, ROUND_FLOOR),
            high=_shown(high, ROUND_CEILING),
            confidence=_up(held, ROUND_FLOOR),
            limit=limit,
            verdict=verdict(low, most, limit),
        )


def verdict(low: float | None, high: float | None, limit: float | None) -> Verdict:
    """What an interval says of a limit; one without an end says nothing on that side.

    >>> verdict(0.04, 0.09, 0.03), verdict(0.0, 0.02, 0.03), verdict(0.02, 0.09, 0.03), verdict(0, 9, None)
    ('over', 'under', 'cannot tell', 'no limit')
    """
    if limit is None:
        return "no limit"
    if low is not None and low > limit:
        return "over"
    return "under" if high is not None and high <= limit else "cannot tell"


def _complaint_rates(asked: Sequence[_Asked]) -> Iterator[ContactFinding]:
    """Complaints per answered call, where both were asked: computed of what was paid for."""
    by_name = {one.question.name: one for one in asked if one.release is not None}
    top, bottom = by_name.get("complaints"), by_name.get("opt-outs")
    if top is None or top.release is None or bottom is None or bottom.release is None:
        return
    whole = bottom.question.whole or ""
    # Each interval takes half of what may go wrong, so that both hold at once.
    held = 1.0 - (1.0 - CONFIDENCE) / 2.0
    answered = {_campaign(bottom.question, row): row for row in bottom.release.interval(held).rows()}
    for row in top.release.interval(held).rows():
        campaign = _campaign(top.question, row)
        under = answered.get(campaign)
        if under is None:
            continue
        low, high = max(0, row["complaints_low"]), max(0, row["complaints_high"])
        least, most = under[f"{whole}_low"], under[f"{whole}_high"]
        yield ContactFinding(
            question="complaint rate",
            about="complaints for each answered call",
            campaign=campaign,
            whole=False,
            unit="share",
            value=_shown(row["complaints"] / under[whole] if under[whole] > 0 else None),
            low=_shown(low / most if most > 0 else None, ROUND_FLOOR),
            high=_shown(high / least if least > 0 else None, ROUND_CEILING),
            confidence=CONFIDENCE,
            limit=None,
            verdict="no limit",
        )


def _told(asked: _Asked, epsilon: float, confidence: float, rules: Sequence[Rule]) -> ContactQuestion:
    question, release = asked.question, asked.release
    status, price, width = "released", epsilon, None
    if asked.left is not None:
        status, price = "left out", 0.0
    elif release is not None:
        status = release.status
        price = release.cost.epsilon if release.status == "released" else 0.0
    else:
        preview = asked.query.preview(epsilon)
        status, price = "preview", 0.0 if preview.repeat else preview.document().cost.epsilon
        width = _half_width(preview, question, confidence)
    own = bound(asked.query.logical, asked.query.session.catalog).bounds.max_rows
    return ContactQuestion(
        name=question.name,
        asks=question.asks,
        sql=asked.query.logical.source,
        first_day=question.first.isoformat(),
        last_day=question.last.isoformat(),
        rule=None if question.rule is None else rules.index(question.rule),
        rows_per_number=own,
        misses=question.misses,
        status=status,
        release=None if release is None else release.release_id,
        epsilon=price,
        expected_half_width=width,
        reason=asked.left,
    )


def _half_width(preview: Preview, question: Question, confidence: float) -> float | None:
    """Expected reach of the interval that the verdict will be about."""
    wanted = replace(preview, confidence=confidence if question.limit is not None else CONFIDENCE)
    columns = wanted.document().columns
    return next(
        (c.expected_half_width for c in columns if isinstance(c, ValueColumn) and c.name == question.value), None
    )


def _rule(rule: Rule) -> CallingRule:
    return CallingRule(
        kind=rule.kind,
        text=rule.text,
        source=rule.source,
        from_=rule.start.isoformat(),
        until=None if rule.end is None else rule.end.isoformat(),
        note=rule.note,
    )


def _campaign(question: Question, row: dict[str, Any]) -> str | None:
    found = None if question.campaign is None else row[question.campaign]
    return None if found is None else str(found)


def _shown(value: float | None, rounding: str | None = None) -> float | None:
    """A count as it is; a share to six places, its interval's ends away from it."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, int):
        return value
    return float(Decimal(repr(value)).quantize(_SHARE_DIGITS, rounding=rounding))


def _up(value: float, rounding: str = ROUND_CEILING) -> float:
    return float(Decimal(repr(value)).quantize(Decimal("1e-6"), rounding=rounding))


def _total(amounts: Iterable[float]) -> float:
    return float(sum((Decimal(repr(amount)) for amount in amounts), Decimal(0)))
