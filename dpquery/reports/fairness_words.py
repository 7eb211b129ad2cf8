"""What the fairness report says in sentences."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from dpquery.describe import plain
from dpquery.reports.amounts import number_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dpquery.documents import GroupOutcome
    from dpquery.plan.expressions import Constant
    from dpquery.release import Release
    from dpquery.reports.fairness_statistics import Spread

METHOD = (
    (
        "Everything here is computed from noisy answers that were charged like any others. Nothing else of the rows "
        "is in it."
    ),
    (
        "A relative error is how far the 95 % interval of the noise reaches, over the value. Expected: from the plan, "
        "before anything is asked. The same noise on every group is a larger share of a small one."
    ),
    (
        "An outcome is one value per number: the share or the mean over its rows, or how many it has. So nobody "
        "weighs more than another, and bounds leave out no rows of it. Numbers without such a row are not in it."
    ),
    (
        "Two questions are asked of an outcome. In these data: do the numbers in the data differ? Its interval covers "
        "the noise alone. Beyond chance: would other numbers of the same groups differ too? Its interval covers the "
        "noise, and the chance of which numbers happened to be in the data, as if each were drawn by itself."
    ),
    (
        "All intervals of a kind in the report hold at once with 95 %. So in 19 of 20 reports no group is called "
        "higher or lower where none is: in these data where all means are the same there, beyond chance where all "
        "groups are alike."
    ),
    (
        "Higher and lower are said of a group whose interval lies beyond that of the largest group. Not "
        "distinguishable says that these answers cannot tell: it does not say that the groups are equal. How far "
        "values spread is not bought, but taken as the most that is possible around their mean, so that beyond chance "
        "is said late, not early."
    ),
    "A difference tells nothing of its cause. People of a group may differ in what else decides the outcome.",
)


def key_text(key: Constant) -> str:
    """A group's name."""
    return "no value" if key is None else str(key)


def spread_warning(what: str, spread: Spread, limit: float) -> str | None:
    """A warning if relative errors differ beyond the limit, or noise hides a group; else None."""
    worst, best, times = spread.worst, spread.best, spread.times
    if worst is None or best is None:
        return f"{what}: noise hides every group. More epsilon would help."
    if times is None:
        return f"{what}: noise hides {worst}, while {best} is known. Its people are not seen in such answers."
    if times <= limit:
        return None
    sure = "" if spread.at_least is None else f" (at least {short(spread.at_least)} times)"
    return (
        f"{what}: the relative error is {short(times)} times as large for {worst} as for {best}{sure}; the policy's "
        f"limit is {number_text(limit)}. What is decided by such answers is decided worse for {worst}."
    )


def told_apart(group: GroupOutcome) -> bool:
    """Whether there is something to say about the group."""
    return {group.verdict, group.verdict_in_data} & {"higher", "lower"} != set()


def finding(what: str, group: GroupOutcome, reference: str) -> str:
    """A group that is higher or lower, in a sentence."""
    times = "" if group.ratio is None else f"{short(group.ratio)} times, "
    if group.verdict in {"higher", "lower"}:
        reach = _reach(group.ratio_low, group.ratio_high)
        return f"{what}: {group.group} is {group.verdict} than {reference}, {times}{reach}. That is more than chance."
    reach = _reach(group.ratio_low_in_data, group.ratio_high_in_data)
    found = f"{what}: {group.group} is {group.verdict_in_data} than {reference} in these data, {times}{reach}."
    return f"{found} It may be chance."


def _reach(low: float, high: float | None) -> str:
    return f"at least {short(low)}" if high is None else f"{short(low)} to {short(high)}"


def short(number: float) -> str:
    """Three figures."""
    return number_text(float(f"{number:.3g}"))


def guarantee(releases: Sequence[Release]) -> str:
    """What holds for all of the releases together: epsilons and deltas add up."""
    epsilon = sum((Decimal(repr(each.cost.epsilon)) for each in releases), Decimal(0))
    delta = sum(each.cost.delta + each.cost.epsilon_at_delta for each in releases)
    plus = f", plus delta = {delta:.3g}" if delta else ""
    return (
        "Adding or removing any one protected phone number, with all the rows that it owns, changes the distribution "
        f"of these {len(releases)} releases together by at most a factor e^{plain(epsilon)}{plus}."
    )
