"""The fairness report's questions as priced releases: what they cost together, and their answers."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from dpquery import arguments
from dpquery.accounting import admits
from dpquery.asking import pricing
from dpquery.errors import BudgetRefused, UsageError, broken
from dpquery.plan.query import group_values
from dpquery.postprocessing.estimates import linear_noises
from dpquery.postprocessing.expected import expected_half_width
from dpquery.sql.request import read_request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dpquery.accounting import Loss
    from dpquery.asking.bounding_loss import BoundingLoss
    from dpquery.asking.query import Query
    from dpquery.ledger import Standing
    from dpquery.plan.expressions import Constant
    from dpquery.postprocessing.linear_forms import NoisyValue
    from dpquery.preview import Preview
    from dpquery.release import Release
    from dpquery.reports.fairness_questions import Question
    from dpquery.session import Session

SIZING_SHARE = 0.25
"""With equal errors: the part of a question's epsilon that finds out how large its groups are."""

STEP = Decimal("1e-6")
"""Prices of single groups are rounded down to this."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the report is asked to do beside its questions."""

    bounding_loss: bool = False
    """Buy the share that bounds leave out of each group."""
    equal_error: bool = False
    """Spend more on small groups, where that helps them."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question with its part of the price."""

    question: Question
    query: Query = field(repr=False)
    epsilon: float
    preview: Preview = field(repr=False)
    """Of the question as a whole, at `epsilon`; with equal errors at the part that finds out sizes."""
    apart: bool = False
    """Whether each group is asked by itself, for a part of `epsilon` that makes relative errors equal."""
    losses: tuple[tuple[Query, Preview], ...] = field(default=(), repr=False)
    """Queries whose bounding loss is bought, one per group, for `epsilon` each."""

    @property
    def keys(self) -> tuple[Constant, ...]:
        return tuple(group_values(self.query.logical, 0))

    @property
    def sizing_epsilon(self) -> float:
        return _floored(self.epsilon * SIZING_SHARE) if self.apart else self.epsilon

    @property
    def price(self) -> float:
        """Epsilon of everything that is asked for it, stored or not."""
        return self.epsilon * (1 + len(self.losses))

    @property
    def new_price(self) -> float:
        """Epsilon of what is not stored: at most this is charged."""
        whole = 0.0 if self.preview.repeat else self.sizing_epsilon
        apart = self.epsilon - self.sizing_epsilon
        return whole + apart + self.epsilon * sum(not preview.repeat for _, preview in self.losses)


@dataclass(frozen=True, slots=True)
class Answered:
    """A question with its noisy counts, and totals of an outcome."""

    asked: Asked
    releases: tuple[Release, ...]
    count: tuple[NoisyValue, ...]
    """One of all groups, or one of each."""
    total: NoisyValue | None
    expected: tuple[float, ...]
    """How far the interval of each group's count was expected to reach."""
    losses: tuple[BoundingLoss, ...]

    @property
    def counts(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.concatenate([each.value for each in self.count])

    @property
    def count_deviations(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """The standard deviation of the noise of each count."""
        return np.concatenate([np.full(len(each.value), each.deviation) for each in self.count])


def priced(session: Session, questions: Sequence[Question], epsilon: float | None, wishes: Wishes) -> tuple[Asked, ...]:
    """Every question at its part of `epsilon`; if None each at the policy's default. Free.

    BudgetRefused if the budgets do not admit all that is new together, or a part is beyond what one query may spend.
    """
    queries = [_query(session, question.sql) for question in questions]
    for question, query in zip(questions, queries, strict=True):
        if query.logical.selects_groups:
            raise UsageError(
                "DPQ-002", f"the groups of {question.column} are not declared", fix="declare keys in the policy"
            )
    of_losses = [
        _bounded_queries(session, each, query) if wishes.bounding_loss else ()
        for each, query in zip(questions, queries, strict=True)
    ]
    parts = sum(1 + len(losses) for losses in of_losses)
    each = session.store.policy.limits.epsilon_default if epsilon is None else _split(epsilon, parts)
    found = tuple(
        _asked(question, query, losses, each, apart=wishes.equal_error and _helps(question, query))
        for question, query, losses in zip(questions, queries, of_losses, strict=True)
    )
    _check_room(session, found)
    return found


def answered(session: Session, asked: Asked) -> Answered:
    """Ask it: stored answers are free, others are charged."""
    losses = tuple(query.bounding_loss(asked.epsilon, answer_epsilon=asked.epsilon) for query, _ in asked.losses)
    release = asked.query.run(asked.sizing_epsilon)
    noises = linear_noises(release.plan, release.answer.noisy)
    count = noises[-1] or broken("a count is one noisy number")
    if asked.apart:
        return _apart(session, asked, release, count, losses)
    total = noises[0] if asked.question.kind == "outcome" else None
    return Answered(asked, (release,), (count,), total, (_expected(release),) * len(count.value), losses)


def parts_of(sizes: Sequence[float], reach: float, epsilon: float) -> tuple[float, ...]:
    """Parts of `epsilon` that make relative errors equal: in inverse proportion to sizes, known to +- `reach`.

    Noise grows with 1/epsilon, so that noise / size is the same everywhere. A group whose size is not above its noise
    has as much as the smallest of the others: there may be nobody in it, and then no epsilon would be enough.
    """
    known = [size for size in sizes if size > reach]
    smallest = min(known, default=1.0)
    weights = [1.0 / (size if size > reach else smallest) for size in sizes]
    return tuple(_floored(epsilon * weight / sum(weights)) for weight in weights)


def _apart(
    session: Session, asked: Asked, sizing: Release, sizes: NoisyValue, losses: tuple[BoundingLoss, ...]
) -> Answered:
    """Each group by itself, for its part of the price. Rows have two owners, so the parts add up."""
    parts = parts_of(sizes.value.tolist(), _expected(sizing), _floored(asked.epsilon - asked.sizing_epsilon))
    queries = [_query(session, asked.question.of_group(key)) for key in asked.keys]
    releases = [query.run(part) for query, part in zip(queries, parts, strict=True)]
    counts = [linear_noises(each.plan, each.answer.noisy)[-1] for each in releases]
    found = tuple(each or broken("a count is one noisy number") for each in counts)
    return Answered(asked, (sizing, *releases), found, None, tuple(_expected(each) for each in releases), losses)


def _asked(question: Question, query: Query, losses: Sequence[Query], epsilon: float, *, apart: bool) -> Asked:
    sizing = _floored(epsilon * SIZING_SHARE) if apart else epsilon
    bought = tuple((each, each.preview_bounding_loss(epsilon)) for each in losses)
    return Asked(question, query, epsilon, query.preview(sizing), apart, bought)


def _bounded_queries(session: Session, question: Question, query: Query) -> tuple[Query, ...]:
    """The groups of a question whose rows bounds may leave out, each by itself."""
    if question.people:
        return ()
    return tuple(_query(session, question.of_group(key)) for key in group_values(query.logical, 0))


def _helps(question: Question, query: Query) -> bool:
    """Whether asking each group by itself can serve small groups better than one question about all.

    Where a number counts in one group, each group has the whole epsilon of one question: parts of it are less. Else
    the noise of one question grows with the number of groups, as it does where each has its part.
    """
    return question.kind == "size" and not question.people and query.logical.cells > 1


def _query(session: Session, sql: str) -> Query:
    return session.query_of(read_request(sql), None)


def _expected(release: Release) -> float:
    """How far the interval of the count, the last value, was expected to reach: from the plan alone."""
    found = expected_half_width(release.plan, release.plan.bounded.logical.outputs[-1])
    return found if found is not None else broken("the reach of a count is known")


def _split(epsilon: float, parts: int) -> float:
    asked = arguments.number(epsilon, "epsilon", example="epsilon=2.0")
    return float((Decimal(repr(asked)) / parts).quantize(STEP, rounding=ROUND_FLOOR)) if math.isfinite(asked) else asked


def _floored(epsilon: float) -> float:
    """Rounded down, so that parts never add up to more than the whole."""
    return float(Decimal(repr(epsilon)).quantize(STEP, rounding=ROUND_FLOOR))


def _check_room(session: Session, found: Sequence[Asked]) -> None:
    """BudgetRefused unless the budgets admit everything new together, before the first of it is charged."""
    new: dict[tuple[str, str], tuple[Standing, list[Loss]]] = {}
    for preview in _new(found):
        for standing in pricing.paying(session, preview.plan):
            new.setdefault((str(standing.scope), standing.block), (standing, []))[1].append(preview.plan.loss)
    for (scope, block), (standing, losses) in new.items():
        if standing.cap is not None and not admits(standing.cap, standing.spent, reduce(operator.add, losses)):
            price = sum(each.new_price for each in found)
            raise BudgetRefused(
                "DPQ-201",
                f"the report costs epsilon {price:.6g} in all, and {scope} has no room for it in block {block}",
                fix="--epsilon with less, or dpquery raise",
            )


def _new(found: Sequence[Asked]) -> Iterator[Preview]:
    """What is to be charged. Groups that are asked apart cost together what one question at that price would."""
    for each in found:
        if not each.preview.repeat:
            yield each.preview
        if each.apart:
            yield each.query.preview(_floored(each.epsilon - each.sizing_epsilon))
        yield from (preview for _, preview in each.losses if not preview.repeat)
