"""What may ever be learned about one number, as odds that people can picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dpquery.documents import NoticeOdds, Odds, SeveralOdds
from dpquery.reports import promise
from dpquery.reports.amounts import right_guesses, up
from dpquery.reports.notices.data import months, without_months

if TYPE_CHECKING:
    from dpquery.documents import Bound
    from dpquery.policy import Policy

NO_LIMIT = 100
EVEN = 50


def notice_odds(policy: Policy, promised: Bound) -> NoticeOdds:
    """`promised`: in one block."""
    monthly = months(policy)
    blocks = (*monthly, *(["all"] if without_months(policy) else []))
    ever = tuple(_several(promised, count) for count in sorted({1, min(2, len(blocks)), len(blocks)}))
    one = _one_answer(policy)
    return NoticeOdds(
        one_answer=one,
        ever=ever,
        numbers=_numbers(policy, promised),
        blocks=blocks,
        sentence=_sentence(ever[0], monthly=bool(monthly)),
        further=(_single(one, ever[0]), *_further(policy, ever, monthly), *_delta(ever[0]), *_persons(policy)),
    )


def _one_answer(policy: Policy) -> Odds:
    limits = policy.limits
    delta = limits.delta_release if limits.gaussian else 0.0
    delta += limits.delta_selection if limits.min_people is not None else 0.0
    epsilon = up(limits.epsilon_max)
    return Odds(epsilon=epsilon, delta=up(delta), right_guesses=right_guesses(epsilon, delta))


def _several(promised: Bound, count: int) -> SeveralOdds:
    """Losses of blocks add up. Where nothing bounds the loss, neither are the odds."""
    delta = up(min(1.0, promised.delta * count))
    if promised.epsilon is None:
        return SeveralOdds(count=count, epsilon=None, delta=delta, right_guesses=NO_LIMIT)
    epsilon = up(promised.epsilon * count)
    return SeveralOdds(count=count, epsilon=epsilon, delta=delta, right_guesses=right_guesses(epsilon, delta))


def _numbers(policy: Policy, promised: Bound) -> tuple[SeveralOdds, ...]:
    if promised.epsilon is None:
        return ()
    return tuple(
        SeveralOdds(count=each.numbers, epsilon=each.epsilon, delta=each.delta, right_guesses=each.right_guesses)
        for each in promise.unit(policy, promised).persons
    )


def _sentence(one: SeveralOdds, *, monthly: bool) -> str:
    answers = "every answer that we may ever give about one month" if monthly else "every answer that we may ever give"
    if one.right_guesses >= NO_LIMIT:
        return (
            f"Somebody who sees {answers} might find out whether your phone number is in our records: so many answers "
            "are allowed that we can promise no limit."
        )
    return (
        f"If somebody guesses from our answers whether your phone number is in our records, they are right at most "
        f"{one.right_guesses} times in 100 instead of {EVEN}, even if they see {answers}."
    )


def _further(policy: Policy, ever: tuple[SeveralOdds, ...], monthly: tuple[str, ...]) -> tuple[str, ...]:
    """How months add up."""
    if not monthly:
        return ("There is one budget for all answers. It does not renew.",)
    rest = without_months(policy)
    lists = ", ".join(policy.report.words.get(name, name.replace("_", " ")) for name in rest)
    said = [
        (
            "Each month of records counts by itself. If you are in the records of several months, what can be "
            "learned adds up."
        )
    ]
    if rest:
        said.append(f"What we keep without a month counts like one more month, if you are in it: {lists}.")
    if ever[0].right_guesses < NO_LIMIT:
        said += [
            f"If you are in {each.count} of these: {_odds(each.right_guesses)}, from everything together."
            for each in ever[1:]
        ]
    return tuple(said)


def _odds(guesses: int) -> str:
    if guesses >= NO_LIMIT:
        return "we can promise no limit"
    return f"right at most {guesses} times in 100"


def _single(one: Odds, ever: Odds) -> str:
    """A single answer's odds are no promise: the policy may change, the ceiling may not."""
    if one.right_guesses >= NO_LIMIT:
        return "For a single answer the rules set no useful limit."
    said = (
        f"From a single answer alone they are right up to {one.right_guesses} times in 100, by the rules of today, "
        "which can change."
    )
    return (
        said
        if ever.right_guesses >= NO_LIMIT
        else f"{said} The limit above is fixed in our ledger and cannot be raised."
    )


def _delta(ever: Odds) -> tuple[str, ...]:
    if not ever.delta or ever.right_guesses >= NO_LIMIT:
        return ()
    return (
        (
            f"This includes a margin (delta) of 1 in {math.floor(1 / ever.delta):,}, for the rare case that the "
            "noise hides less than it should. It adds up too."
        ),
    )


def _persons(policy: Policy) -> tuple[str, ...]:
    withheld = "each call that you make with your number withheld counts as one more number"
    if policy.numbers.format == "opaque":
        withheld = "each way in which your number is written counts as one more number"
    return (f"With several phone numbers the limits are weaker: what can be learned adds up, and {withheld}.",)
