"""The people of the demo: a number each, a home, habits and friends.

How much people call is heavy-tailed: a log-normal body and a Pareto tail of very busy numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dpquery.demo.lottery import Floats, Ints, Lottery
from dpquery.demo.world import CELL_COUNTS, MOBILE, MOBILE_SHARE, REGIONS

BODY_SIGMA = 0.75
TAIL_SHARE = 0.006
TAIL_FROM = 5.0
"""Where the tail begins, in times the mean of the body."""
TAIL_INDEX = 1.85
AGE_SHARES = (0.21, 0.36, 0.30, 0.13)
GENDER_SHARES = (0.505, 0.485, 0.010)
SAME_REGION = 0.6
"""Share of friends who live in one's own region."""
FRIENDS_MAX = 400


@dataclass(frozen=True, slots=True)
class People:
    """One entry per person in each array; people of one region are neighbours in them."""

    region: Ints
    """Where they live: an index of REGIONS, or its length for elsewhere."""
    mobile: Ints
    """1 where the number is a mobile one, which names no region."""
    areas: list[str]
    locals: list[str]
    age: Ints
    gender: Ints
    plan: Ints
    home_cell: Ints
    work_cell: Ints
    activity: Floats
    """How much they call each other, 1 on average."""
    contact: Floats
    """How much the organisation and they call each other, 1 on average."""
    friends: Ints
    """Friends of all people, one list after the other, the best friend first."""
    friends_first: Ints
    friends_count: Ints

    def __len__(self) -> int:
        return len(self.region)


def build_people(rng: np.random.Generator, count: int) -> People:
    """`count` people with distinct numbers."""
    shares = [region.share for region in REGIONS]
    mobile = _exact_share(rng, MOBILE_SHARE, count)
    homes = Lottery.of([*(share / (1 - MOBILE_SHARE) for share in shares), 0.0]).draw(rng, count)
    elsewhere = (mobile == 1) & (rng.random(count) < 0.3)
    region = np.where(elsewhere, np.int32(len(REGIONS)), homes)
    order = np.argsort(region, kind="stable")
    region, mobile = region[order], mobile[order]
    areas, local_numbers = _numbers(rng, region, mobile)
    activity = _activity(rng, count)
    contact = activity**0.7 * rng.lognormal(0.0, 0.5, count)
    friends, first, lengths = _friends(rng, region, activity)
    return People(
        region=region,
        mobile=mobile,
        areas=areas,
        locals=local_numbers,
        age=Lottery.of(AGE_SHARES).draw(rng, count),
        gender=Lottery.of(GENDER_SHARES).draw(rng, count),
        plan=Lottery.of((0.62, 0.38)).draw(rng, count),
        home_cell=_cells(rng, region),
        work_cell=_cells(rng, region),
        activity=activity,
        contact=contact / contact.mean(),
        friends=friends,
        friends_first=first,
        friends_count=lengths,
    )


def _exact_share(rng: np.random.Generator, share: float, count: int) -> Ints:
    return rng.permutation((np.arange(count) < round(share * count)).astype(np.int32))


def _numbers(rng: np.random.Generator, region: Ints, mobile: Ints) -> tuple[list[str], list[str]]:
    """Area code and local number of each person, all distinct."""
    areas, local_numbers = [""] * len(region), [""] * len(region)
    for index, plan in enumerate((*REGIONS, MOBILE)):
        here = mobile == 1 if plan is MOBILE else (region == index) & (mobile == 0)
        people = np.flatnonzero(here).tolist()
        drawn = (plan.first + rng.choice(plan.last - plan.first + 1, size=len(people), replace=False)).tolist()
        for person, digits in zip(people, drawn, strict=True):
            written = f"{plan.area}{digits}"
            cut = 4 if plan is MOBILE else len(plan.area)
            areas[person], local_numbers[person] = written[:cut], written[cut:]
    return areas, local_numbers


def _activity(rng: np.random.Generator, count: int) -> Floats:
    """Log-normal with mean 1; the tail takes evenly spaced quantiles of its Pareto law, so that it never fails."""
    body = rng.lognormal(-(BODY_SIGMA**2) / 2, BODY_SIGMA, count)
    busy = max(1, round(TAIL_SHARE * count))
    tail = TAIL_FROM * ((np.arange(busy) + 0.5) / busy) ** (-1 / TAIL_INDEX)
    body[rng.choice(count, size=busy, replace=False)] = tail
    activity: Floats = body / body.mean()
    return activity


def _cells(rng: np.random.Generator, region: Ints) -> Ints:
    counts = np.array(CELL_COUNTS)
    first = np.cumsum(counts) - counts
    cells: Ints = (first[region] + rng.integers(counts[region])).astype(np.int32)
    return cells


def _friends(rng: np.random.Generator, region: Ints, activity: Floats) -> tuple[Ints, Ints, Ints]:
    """Friends, where each list begins and how long it is; busy people are on more lists, and have longer ones."""
    count = len(region)
    lengths = np.clip(np.rint(4 + 4 * activity), 4, FRIENDS_MAX).astype(np.int32)
    owner = np.repeat(np.arange(count, dtype=np.int32), lengths)
    total = np.concatenate([[0.0], np.cumsum(activity)])
    begin = np.searchsorted(region, region[owner], side="left")
    end = np.searchsorted(region, region[owner], side="right")
    near = rng.random(len(owner)) < SAME_REGION
    low = np.where(near, total[begin], 0.0)
    high = np.where(near, total[end], total[-1])
    friends = np.searchsorted(total, low + rng.random(len(owner)) * (high - low), side="right") - 1
    friends = np.minimum(friends, count - 1).astype(np.int32)
    friends = np.where(friends == owner, (friends + 1) % count, friends).astype(np.int32)
    first = (np.cumsum(lengths) - lengths).astype(np.int32)
    return friends, first, lengths
