"""Which statement stands, against a plain reading of the rules, one number at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpquery.consent.records import EVERY_PURPOSE, PERSON, SCHEMA, STATUSES
from dpquery.consent.regimes import rules, silence_is_yes
from dpquery.consent.registry import ListImport, Registry
from dpquery.consent.standing import standing, statements
from dpquery.policy.model import Purpose

START = datetime(2026, 1, 1, tzinfo=UTC)
NUMBERS = [bytes([n]) * 16 for n in range(3)]

days = st.integers(0, 6)
records = st.lists(
    st.tuples(
        st.sampled_from([*NUMBERS, b"?" * 16]),
        st.sampled_from(["marketing", "research", EVERY_PURPOSE]),
        st.sampled_from(STATUSES),
        st.sampled_from([PERSON, "national", "own"]),
        days,
        st.none() | days,
    ),
    max_size=14,
)


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def as_table(rows: Sequence[tuple[bytes, str, str, str, int, int | None]]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "pseudonym": number,
                "purpose": purpose,
                "status": status,
                "source": source,
                "effective_at": day(start),
                "expires_at": None if end is None else day(end),
                "recorded_at": START,
            }
            for number, purpose, status, source, start, end in rows
        ],
        schema=SCHEMA,
    )


def read_plainly(rows: list[tuple[bytes, str, str, str, int, int | None]], number: bytes, now: int) -> str | None:
    """The status that stands for `number` and marketing on day `now`, by the words of the module."""
    about = [
        (place, row)
        for place, row in enumerate(rows)
        if row[0] == number
        and row[1] in {"marketing", EVERY_PURPOSE}
        and row[4] <= now
        and (row[5] is None or row[5] > now)
    ]

    def order(entry: tuple[int, tuple[bytes, str, str, str, int, int | None]]) -> tuple[int, bool, int]:
        place, row = entry
        return row[4], row[2] in {"refused", "withdrawn"}, place

    spoken = []
    for source in {row[3] for _, row in about}:
        newest = max((entry for entry in about if entry[1][3] == source), key=order)
        if newest[1][2] not in {"expired", "lifted"}:
            spoken.append(newest)
    return max(spoken, key=order)[1][2] if spoken else None


@given(records, days)
@settings(max_examples=400, deadline=None)
def test_the_newest_statement_stands(rows: list[tuple[bytes, str, str, str, int, int | None]], now: int) -> None:
    found = statements(as_table(rows), pa.array(NUMBERS, pa.binary(16)), "marketing")
    stands = standing(found, day(now))
    says = dict(zip(found.code[stands].tolist(), [STATUSES[s] for s in found.status[stands]], strict=True))
    assert len(says) == len(stands), "one for each number"
    assert [says.get(code) for code in range(3)] == [read_plainly(rows, number, now) for number in NUMBERS]
    for place, row in zip(stands, found.row[stands], strict=True):
        assert STATUSES[found.status[place]] == rows[row][2]


def test_a_number_that_is_erased_has_no_statement() -> None:
    """Its pseudonym is gone from the dictionary: nothing is looked up under the code that it had."""
    gone = pa.array([NUMBERS[0], None, NUMBERS[2]], pa.binary(16))
    rows = [(number, "marketing", "given", PERSON, 0, None) for number in NUMBERS]
    found = statements(as_table(rows), gone, "marketing")
    assert sorted(found.code) == [0, 2]


def purpose(regime: str, kind: str | None = None) -> Purpose:
    return Purpose.model_validate({"text": "x", "notice": "v1", "regime": regime, "kind": kind})


@pytest.mark.parametrize(
    ("regime", "kind", "on", "yes"),
    [
        ("opt-out", None, "2026-12-01", {"GB", "FR", "US", "other"}),
        ("opt-in", None, "2026-12-01", set()),
        ("duty", "telemarketing", "2026-12-01", {"GB", "FR", "US", "other"}),
        # A country that is not told may be France.
        ("opt-out", "telemarketing", "2026-08-10", {"GB", "FR", "US"}),
        ("opt-out", "telemarketing", "2026-08-11", {"GB", "US"}),
        ("opt-out", "traffic_data", "2026-12-01", {"US"}),
        ("opt-out", "traffic_data", "1999-12-31", {"GB", "FR", "US", "other"}),
    ],
)
def test_laws_make_silence_stricter_from_their_day_on(regime: str, kind: str | None, on: str, yes: set[str]) -> None:
    found = silence_is_yes(purpose(regime, kind), ["GB", "FR", "US", "other"], datetime.fromisoformat(on).date())
    assert {country for country, silent_yes in found.items() if silent_yes} == yes


def test_every_rule_cites_its_law_and_has_a_day() -> None:
    assert all(rule.source and rule.start.year > 1990 and len(rule.country) == 2 for rule in rules())


@pytest.mark.parametrize(
    ("tick", "now", "version"),
    [
        ("day", "2026-01-01T23:59", 1),
        ("day", "2026-01-02T00:00", 2),
        ("week", "2026-01-07T00:00", 1),
        ("week", "2026-01-08T00:00", 2),
        ("month", "2026-02-01T00:00", 2),
        ("never", "2027-02-01T00:00", 1),
        ("day", "2025-12-01T00:00", 1),
    ],
)
def test_the_version_follows_the_calendar(tick: str, now: str, version: int) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert tick in {"day", "week", "month", "never"}
    made = START.date()
    assert Registry().version(made, tick, at) == version  # type: ignore[arg-type]
    listed = Registry(imports=(ListImport("sha256:0", "national", 0, now),))
    assert listed.version(made, tick, at) == version + 1, "an empty list ticks too"  # type: ignore[arg-type]


def test_statuses_are_those_that_stand_for_yes_no_and_silence() -> None:
    assert np.array_equal(STATUSES, ("given", "refused", "withdrawn", "expired", "lifted"))
