"""One question however it is written: any spelling of it is the same one, and whatever changes it is another."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning import priced, priced_plan, small_catalog

from dpquery.plan.permission import Permission
from dpquery.plan.query import RequestedBounds
from dpquery.privacy.question import Versions, canonical_plan, question, unversioned
from dpquery.sql.resolve import resolve

CATALOG = small_catalog()
VERSIONS = Versions(3, 1, 1, "sha256:policy")

WORDS = {"SELECT", "FROM", "WHERE", "AND", "GROUP", "BY", "COUNT", "SUM", "AVG", "AS", "HAVING", "ORDER", "IN", "NOT"}

CONDITIONS = (
    "direction = 'p2p'",
    "talk_s > 7",
    "score BETWEEN -3 AND 4",
    "service IS NOT NULL",
    "(answered OR talk_s < 50)",
    "day < '2026-02-01'",
    "cell_id IN ('C1', 'C2')",
)
KEYS = ("service", "cell_id", "local_hour", "day")
AGGREGATES = ("COUNT(*)", "SUM(talk_s)", "AVG(score)", "COUNT(talk_s)", "COUNT(*) FILTER (WHERE talk_s > 9)")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked, apart from how it is written."""

    conditions: tuple[str, ...]
    keys: tuple[str, ...]
    aggregates: tuple[str, ...]


ASKED = st.builds(
    Asked,
    st.lists(st.sampled_from(CONDITIONS), max_size=4, unique=True).map(tuple),
    st.lists(st.sampled_from(KEYS), max_size=2, unique=True).map(tuple),
    st.lists(st.sampled_from(AGGREGATES), min_size=1, max_size=3, unique=True).map(tuple),
)


@st.composite
def spelling(draw: st.DrawFn, asked: Asked) -> str:
    """The question with its parts in any order, and with other names, brackets, gaps, comments and letters."""
    conditions = list(draw(st.permutations(asked.conditions)))
    if draw(st.booleans()) and conditions:
        conditions.append(draw(st.sampled_from(conditions)))  # said twice
    for _ in range(draw(st.integers(0, max(0, len(conditions) - 1)))):  # any bracketing of AND
        conditions[:2] = [f"({conditions[0]} AND {conditions[1]})"]
    for i, condition in enumerate(conditions):
        conditions[i] = f"(({condition}))" if draw(st.booleans()) else condition
    keys = draw(st.permutations(asked.keys))
    outputs = [(key, False) for key in keys] + [(a, True) for a in draw(st.permutations(asked.aggregates))]
    outputs = draw(st.permutations(outputs))
    named = [f"{text} AS name_{i}" if value or draw(st.booleans()) else text for i, (text, value) in enumerate(outputs)]
    alias = draw(st.sampled_from(["", " c", " AS somebody"]))
    text = f"SELECT {', '.join(named)} FROM calls{alias}"
    if conditions:
        text += f" WHERE {' AND '.join(conditions)}"
    if keys:
        by_place = draw(st.booleans())
        places = {key: str(1 + outputs.index((key, False))) for key in keys}
        text += f" GROUP BY {', '.join(places[key] if by_place else key for key in draw(st.permutations(keys)))}"
    if draw(st.booleans()):
        text += f" ORDER BY {draw(st.integers(1, len(outputs)))}"
    gaps = st.sampled_from([" ", "  ", "\n", "\t", " /* ; -- ' */ ", " -- anything ' (\n"])
    lower = draw(st.booleans())
    words = [word.lower() if lower and word in WORDS else word for word in text.split(" ")]
    quoted = 0
    pieces = []
    for word in words:  # gaps go where the text is in no literal
        pieces.append(word)
        quoted += word.count("'")
        two_words = word.upper() in {"GROUP", "ORDER"}  # with BY one word of the parser: no comment between
        pieces.append(" " if quoted % 2 or two_words else draw(gaps))
    return "".join(pieces).strip() + draw(st.sampled_from(["", ";", " "]))


@settings(max_examples=150, deadline=None)
@given(data=st.data(), asked=ASKED)
def test_spellings_of_one_question_are_one(data: st.DataObject, asked: Asked) -> None:
    one, other = data.draw(spelling(asked)), data.draw(spelling(asked))
    a, b = priced(one, CATALOG), priced(other, CATALOG)
    assert question(a, VERSIONS, "network_planning") == question(b, VERSIONS, "network_planning"), (one, other)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), one=ASKED, other=ASKED)
def test_other_parts_are_another_question(data: st.DataObject, one: Asked, other: Asked) -> None:
    """Unless the same parts were drawn: any set of conditions, keys or aggregates is a question of its own."""
    a, b = (priced(data.draw(spelling(asked)), CATALOG) for asked in (one, other))
    parts = [tuple(map(frozenset, (x.conditions, x.keys, x.aggregates))) for x in (one, other)]
    assert (canonical_plan(a) == canonical_plan(b)) == (parts[0] == parts[1])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "SELECT COUNT(*) AS n FROM (SELECT * FROM calls WHERE talk_s > 7 AND score < 2) x",
            "SELECT count(*) FROM (SELECT * FROM calls WHERE (score < 2) AND talk_s > 7) y",
        ),
        (
            "SELECT COUNT(*) AS n FROM calls JOIN subscribers s ON s.number = caller AND s.age_band = 'old' "
            "WHERE direction = 'outbound'",
            "SELECT COUNT(*) AS m FROM calls c JOIN subscribers p ON p.age_band = 'old' AND c.caller = p.number "
            "WHERE c.direction = 'outbound'",
        ),
        (
            "SELECT COUNT(*) AS n FROM (SELECT caller, COUNT(*) AS k FROM calls "
            "WHERE direction = 'outbound' AND talk_s > 7 GROUP BY caller HAVING COUNT(*) > 1 AND COUNT(*) < 9) x",
            "SELECT COUNT(*) AS n FROM (SELECT caller, COUNT(*) AS k FROM calls "
            "WHERE talk_s > 7 AND direction = 'outbound' GROUP BY caller HAVING COUNT(*) < 9 AND COUNT(*) > 1) x",
        ),
        (
            "WITH late AS (SELECT * FROM calls WHERE talk_s > 7 AND answered) SELECT COUNT(*) AS n FROM late",
            "WITH l AS (SELECT * FROM calls WHERE answered AND talk_s > 7) SELECT COUNT(*) AS n FROM l",
        ),
    ],
)
def test_inner_queries_too(one: str, other: str) -> None:
    permission = Permission(sensitive=frozenset({"subscribers.age_band"}))
    plans = [priced_plan(resolve(sql, CATALOG, permission=permission), CATALOG) for sql in (one, other)]
    assert canonical_plan(plans[0]) == canonical_plan(plans[1])


BASE = "SELECT service, SUM(talk_s) AS s FROM calls WHERE talk_s > 7 AND direction = 'p2p' GROUP BY service"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("> 7", "> 8"),
        ("> 7", ">= 7"),
        ("'p2p'", "'inbound'"),
        ("talk_s > 7 AND", "talk_s > 7 OR"),
        ("SUM(talk_s)", "SUM(score)"),
        ("SUM(talk_s)", "COUNT(talk_s)"),
        ("SUM(talk_s)", "SUM(talk_s, contribution_bounds_per_row => (0, 30))"),
        ("service", "cell_id"),
        ("GROUP BY service", "GROUP BY service, cell_id"),
        ("AND direction", "AND NOT answered AND direction"),
    ],
)
def test_any_change_of_what_is_measured_is_another_question(before: str, after: str) -> None:
    changed = BASE.replace(before, after)
    assert changed != BASE
    assert canonical_plan(priced(changed, CATALOG)) != canonical_plan(priced(BASE, CATALOG))


def test_bounds_versions_and_purpose_are_part_of_the_question() -> None:
    plan = priced(BASE, CATALOG)
    tighter = priced(BASE, CATALOG, requested=RequestedBounds(max_rows_per_group=1))
    assert canonical_plan(tighter) != canonical_plan(plan)
    whole = question(plan, VERSIONS, "network_planning")
    for other in (
        replace(VERSIONS, data=4),
        replace(VERSIONS, consent=2),
        replace(VERSIONS, policy=2),
        replace(VERSIONS, policy_digest="sha256:another"),
    ):
        assert question(plan, other, "network_planning") != whole
    assert question(plan, VERSIONS, "marketing") != whole


def test_without_versions_only_data_and_consent_are_left_out() -> None:
    plan = priced(BASE, CATALOG)
    whole = unversioned(plan, VERSIONS, "network_planning")
    assert unversioned(plan, replace(VERSIONS, data=9, consent=5), "network_planning") == whole
    assert unversioned(plan, replace(VERSIONS, policy=2), "network_planning") != whole
    assert unversioned(plan, replace(VERSIONS, policy_digest="sha256:another"), "network_planning") != whole
    assert unversioned(plan, VERSIONS, "marketing") != whole
    assert unversioned(priced(BASE.replace("7", "8"), CATALOG), VERSIONS, "network_planning") != whole
