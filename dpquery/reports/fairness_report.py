"""The view model of the fairness report, from the noisy answers to its questions. Every form is made of it."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

import numpy as np

from dpquery.budget import clock_text
from dpquery.describe import upwards
from dpquery.documents import (
    FairnessPrice,
    FairnessReport,
    GroupOutcome,
    GroupOutcomes,
    GroupSize,
    GroupSizes,
    Interval,
)
from dpquery.errors import broken
from dpquery.noise.tails import deviations
from dpquery.postprocessing.intervals import CONFIDENCE
from dpquery.reports.fairness_statistics import (
    NOMINAL,
    compared,
    confidence_of_each,
    least_spread,
    means,
    relative,
    spread_of,
)
from dpquery.reports.fairness_words import METHOD, finding, guarantee, key_text, spread_warning, told_apart

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from dpquery.asking.bounding_loss import BoundingLoss
    from dpquery.reports.fairness_asking import Answered
    from dpquery.session import Session

Suppression = Literal["shown", "not of use", "perhaps too few"]


def fairness_report(session: Session, answers: Sequence[Answered], *, at: datetime) -> FairnessReport:
    """The report as of `at`. Computed from releases alone: free."""
    policy = session.store.policy
    intervals = sum(len(each.counts) for each in answers)
    confidence = confidence_of_each(intervals)
    limit, least = policy.report.fairness_ratio_max, policy.limits.min_people
    sizes = tuple(_sizes(each, confidence, limit, least) for each in answers if each.total is None)
    outcomes = tuple(_outcomes(each, confidence, limit, least) for each in answers if each.total is not None)
    both: tuple[GroupSizes | GroupOutcomes, ...] = (*sizes, *outcomes)
    made = [release for each in answers for release in (*each.releases, *(loss.release for loss in each.losses))]
    releases = list({release.release_id: release for release in made}.values())
    scopes = dict.fromkeys(charge.scope for release in releases for charge in release.cost.charged)
    return FairnessReport(
        at=clock_text(at),
        dataset=policy.dataset,
        policy_version=policy.version,
        purpose=session.purpose,
        notice=policy.purposes[session.purpose].notice,
        analyst=session.analyst,
        warnings=tuple(each.warning for each in both if each.warning is not None),
        findings=tuple(found for each in outcomes for found in each.findings),
        price=FairnessPrice(
            epsilon=_sum([release.cost.epsilon for release in releases]),
            charged=_sum([each.cost.epsilon for each in releases if any(charge.new for charge in each.cost.charged)]),
            delta=_sum([release.cost.delta + release.cost.epsilon_at_delta for release in releases]),
            scopes=tuple(scopes),
            questions=len(answers),
        ),
        guarantee=guarantee(releases),
        not_protected=tuple(dict.fromkeys(item for each in releases for item in each.guarantee.not_protected)),
        nominal=NOMINAL,
        intervals=intervals,
        confidence=confidence,
        ratio_max=limit,
        min_people=least,
        sizes=sizes,
        outcomes=outcomes,
        method=METHOD,
    )


def _sum(amounts: Sequence[float]) -> float:
    """Rounded up, as all that was spent."""
    return upwards(sum((Decimal(repr(amount)) for amount in amounts), Decimal(0)))


def _sizes(answer: Answered, confidence: float, limit: float, least: int | None) -> GroupSizes:
    question = answer.asked.question
    groups = tuple(_size(answer, place, least if question.people else None) for place in range(len(answer.counts)))
    # Where groups are asked apart the noise differs, and with it what relative errors are made of.
    at_least = None if answer.asked.apart else least_spread(answer.counts, answer.count_deviations, confidence)
    spread = spread_of([(each.group, each.achieved_error) for each in groups], at_least)
    bounding: Literal["bought", "not bought"] = "bought" if answer.losses else "not bought"
    return GroupSizes(
        name=question.name,
        column=question.column,
        counted=question.counted,
        sql=question.sql,
        apart=answer.asked.apart,
        epsilon=answer.asked.epsilon,
        releases=tuple(release.release_id for release in answer.releases),
        interval=Interval(confidence=CONFIDENCE),
        groups=groups,
        bounding="none left out" if question.people else bounding,
        worst=spread.worst,
        best=spread.best,
        worst_to_best=spread.times,
        at_least=spread.at_least,
        warning=spread_warning(f"The number of {question.counted} by {question.column}", spread, limit),
    )


def _size(answer: Answered, place: int, least: int | None) -> GroupSize:
    value = float(answer.counts[place])
    low, high = _count_ends(answer, place)
    loss: BoundingLoss | None = answer.losses[place] if answer.losses else None
    expected = answer.expected[place] / value if value > 0.0 else None
    return GroupSize(
        group=key_text(answer.asked.keys[place]),
        value=value,
        low=low,
        high=high,
        expected_error=expected,
        achieved_error=relative(value, low, high),
        suppression=_suppression(value, low, high, least),
        bounding_loss=None if loss is None else loss.share.value,
        bounding_loss_low=None if loss is None else loss.share.low,
        bounding_loss_high=None if loss is None else loss.share.high,
    )


def _count_ends(answer: Answered, place: int) -> tuple[float, float]:
    """The interval of a count, as its release has it."""
    release, row = (answer.releases[-1], place) if len(answer.count) == 1 else (answer.releases[place + 1], 0)
    series = release.sheet().values[-1]
    return float(series.low[row]), float(series.high[row])


def _suppression(value: float, low: float, high: float, least: int | None) -> Suppression:
    """Whether a group's values would be published: noise may hide it, or it may have too few people."""
    if least is not None and low < least:
        return "perhaps too few"
    found = relative(value, low, high)
    return "shown" if found is not None and found <= 0.5 else "not of use"


def _outcomes(answer: Answered, confidence: float, limit: float, least: int | None) -> GroupOutcomes:
    question = answer.asked.question
    names = [key_text(key) for key in answer.asked.keys]
    reference = int(np.argmax(answer.counts))
    groups = _outcome_groups(answer, names, reference, confidence, least)
    spread = spread_of([(each.group, each.achieved_error) for each in groups])
    label = f"{question.name} by {question.column}"
    return GroupOutcomes(
        name=question.name,
        column=question.column,
        unit=question.unit,
        clamp=question.clamp or broken("an outcome has a clamp"),
        sql=question.sql,
        epsilon=answer.asked.epsilon,
        releases=tuple(release.release_id for release in answer.releases),
        reference=names[reference],
        groups=groups,
        worst=spread.worst,
        best=spread.best,
        worst_to_best=spread.times,
        warning=spread_warning(f"The outcome {label}", spread, limit),
        findings=tuple(finding(label, each, names[reference]) for each in groups if told_apart(each)),
    )


def _outcome_groups(
    answer: Answered, names: Sequence[str], reference: int, confidence: float, least: int | None
) -> tuple[GroupOutcome, ...]:
    question, count, total = answer.asked.question, answer.count[0], answer.total
    if total is None or question.clamp is None:
        broken("an outcome has a total, of values within a clamp")
    settled, in_data, noise = (
        means(
            total.value,
            count.value,
            deviation_total=total.deviation,
            deviation_count=count.deviation,
            clamp=question.clamp,
            confidence=at,
            chance=chance,
        )
        for at, chance in ((confidence, True), (confidence, False), (CONFIDENCE, False))
    )
    groups = []
    for place, name in enumerate(names):
        found, here = compared(settled, place, reference), compared(in_data, place, reference)
        known = bool(noise.known[place])
        numbers, value = float(count.value[place]), float(noise.value[place])
        reach = deviations(CONFIDENCE) * total.deviation / numbers if known else math.inf
        ends = float(noise.low[place]), float(noise.high[place])
        groups.append(
            GroupOutcome(
                group=name,
                numbers=numbers,
                value=value if known else None,
                noise_low=float(in_data.low[place]),
                noise_high=float(in_data.high[place]),
                low=float(settled.low[place]),
                high=float(settled.high[place]),
                expected_error=reach / value if known and value > 0.0 else None,
                achieved_error=relative(value, *ends) if known else None,
                suppression=_suppression(numbers, *_count_ends(answer, place), least),
                ratio=here.ratio if in_data.known[place] and in_data.known[reference] else None,
                ratio_low=found.low,
                ratio_high=found.high,
                ratio_low_in_data=here.low,
                ratio_high_in_data=here.high,
                verdict=found.verdict,
                verdict_in_data=here.verdict,
            )
        )
    return tuple(groups)
