"""The other tables of the demo: people, consents, lists, complaints, campaigns and cells."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dpquery.demo.calls import cell_names
from dpquery.demo.lottery import Flags, Ints, Lottery
from dpquery.demo.world import (
    AGE_BANDS,
    CAMPAIGNS,
    CELL_COUNTS,
    DAYS,
    FIRST_DAY,
    GENDERS,
    OTHER,
    PLANS,
    PURPOSES,
    REGIONS,
    day_of,
)

if TYPE_CHECKING:
    from dpquery.demo.population import People
    from dpquery.demo.spellings import Directory

CONSENT_STATUSES = ("given", "refused", "withdrawn", "expired")
CONSENT_BASES = ("consent", "contract", "legitimate_interest")
CHANNELS = ("web", "app", "call", "store", "letter")
DNC_LISTS = ("national", "own")
TOPICS = ("too_often", "out_of_hours", "silent_call", "opted_out", "rude", "other")
COMPLAINTS_PER_PERSON = 0.04

_REGION_NAMES = (*(region.name for region in REGIONS), OTHER)
_UTC_MS = pa.timestamp("ms", tz="UTC")
_EPOCH_DAY = (FIRST_DAY - date(1970, 1, 1)).days


def subscribers(rng: np.random.Generator, people: People, directory: Directory) -> Any:
    """One row per person, in no order."""
    order = rng.permutation(len(people)).astype(np.int32)
    joined = -rng.integers(1, 3_650, size=len(order))
    left = rng.integers(0, DAYS, size=len(order))
    region = np.where(people.mobile == 1, len(REGIONS), people.region)
    return pa.table(
        {
            "number": directory.spell(rng, order),
            "region": _named(_REGION_NAMES, region[order]),
            "number_type": _named(("fixed_line", "mobile"), people.mobile[order]),
            "age_band": _named(AGE_BANDS, people.age[order]),
            "gender": _named(GENDERS, people.gender[order]),
            "plan": _named(PLANS, people.plan[order]),
            "joined_on": _days(joined),
            "left_on": _days(left, rng.random(len(order)) >= 0.06),
        }
    )


def consents(rng: np.random.Generator, people: People, directory: Directory) -> Any:
    """At most one record per person and purpose; most people were never asked."""
    asked = {"network_planning": (0.030, (0.55, 0.25, 0.20, 0.0)), "marketing": (0.48, (0.74, 0.13, 0.09, 0.04))}
    parts = [
        _consents_for(rng, directory, np.flatnonzero(rng.random(len(people)) < share).astype(np.int32), purpose, status)
        for purpose, (share, status) in asked.items()
    ]
    table = pa.concat_tables(parts)
    table = table.take(pa.array(rng.permutation(len(table))))
    return table.append_column("record_id", pa.array([f"r{number:07d}" for number in range(1, len(table) + 1)]))


def _consents_for(
    rng: np.random.Generator, directory: Directory, person: Ints, purpose: str, shares: tuple[float, ...]
) -> Any:
    status = Lottery.of(shares).draw(rng, len(person))
    granted = -rng.integers(30, 700, size=len(person))
    withdrawn = np.minimum(granted + rng.integers(1, 700, size=len(person)), DAYS - 1)
    expires = np.where(status == 3, -rng.integers(1, 29, size=len(person)), granted + 1_460)
    return pa.table(
        {
            "number": directory.spell(rng, person),
            "purpose": pa.array([purpose] * len(person), pa.string()),
            "status": _named(CONSENT_STATUSES, status),
            "basis": _named(CONSENT_BASES, Lottery.of((0.8, 0.1, 0.1)).draw(rng, len(person))),
            "granted_at": _moments(rng, granted),
            "withdrawn_at": _moments(rng, withdrawn, status != 2),
            "expires_at": _moments(rng, expires, status == 1),
            "channel": _named(CHANNELS, Lottery.of((0.4, 0.25, 0.2, 0.1, 0.05)).draw(rng, len(person))),
            "notice_version": pa.array(["v1"] * len(person), pa.string()),
        }
    )


def dnc(rng: np.random.Generator, people: People, directory: Directory) -> Any:
    """People who asked not to be called; at most one row each."""
    person = np.flatnonzero(rng.random(len(people)) < 0.08).astype(np.int32)
    return pa.table(
        {
            "number": directory.spell(rng, person),
            "list_name": _named(DNC_LISTS, Lottery.of((0.7, 0.3)).draw(rng, len(person))),
            "added_on": _days(rng.integers(-1_500, DAYS, size=len(person))),
        }
    )


def complaints(rng: np.random.Generator, people: People, directory: Directory) -> Any:
    """Complaints about campaigns, most by people who are called most."""
    count = max(20, round(COMPLAINTS_PER_PERSON * len(people)))
    person = Lottery.of(people.contact, bits=22).draw(rng, count)
    running = np.array(
        [[item.optout_rate * (item.starts <= day_of(d) <= item.ends) for item in CAMPAIGNS] for d in range(DAYS)]
    )
    day = np.sort(rng.integers(DAYS, size=count))
    chosen = np.cumsum(running, axis=1)[day]
    campaign = (chosen < rng.random(count)[:, None] * chosen[:, -1:]).sum(axis=1)
    return pa.table(
        {
            "complaint_id": pa.array([f"k{number:06d}" for number in range(1, count + 1)], pa.string()),
            "number": directory.spell(rng, person),
            "campaign_id": _named([item.name for item in CAMPAIGNS], campaign),
            "ts": _moments(rng, day),
            "topic": _named(TOPICS, Lottery.of((0.35, 0.15, 0.15, 0.15, 0.05, 0.15)).draw(rng, count)),
        }
    )


def campaigns() -> Any:
    return pa.table(
        {
            "campaign_id": pa.array([item.name for item in CAMPAIGNS]),
            "kind": pa.array([PURPOSES[item.kind] for item in CAMPAIGNS]),
            "starts": pa.array([item.starts for item in CAMPAIGNS], pa.date32()),
            "ends": pa.array([item.ends for item in CAMPAIGNS], pa.date32()),
        }
    )


def cells() -> Any:
    """Cells in the order in which people's cells are numbered; a district has about five."""
    places = [(name, number) for name, count in zip(_REGION_NAMES, CELL_COUNTS, strict=True) for number in range(count)]
    return pa.table(
        {
            "cell_id": pa.array(cell_names()),
            "district": pa.array([f"{name.removeprefix('GB-').upper()}-{number // 5 + 1}" for name, number in places]),
            "region": pa.array([name for name, _ in places]),
        }
    )


def _named(names: tuple[str, ...] | list[str], codes: Ints) -> Any:
    return pa.array(names, pa.string()).take(pa.array(codes))


def _days(number: Ints, missing: Flags | None = None) -> Any:
    return pa.array((number + _EPOCH_DAY).astype(np.int32), mask=missing).cast(pa.date32())


def _moments(rng: np.random.Generator, day: Ints, missing: Flags | None = None) -> Any:
    """Some moment by day of each date, in UTC."""
    clock = rng.integers(8 * 3_600, 20 * 3_600, size=len(day))
    seconds = (day.astype(np.int64) + _EPOCH_DAY) * 86_400 + clock
    return pa.array(seconds * 1000, mask=missing).cast(_UTC_MS)
