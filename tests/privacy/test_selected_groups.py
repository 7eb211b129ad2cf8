"""Groups that nobody declared show by the noisy count of their numbers, and cost the delta that they claim."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal, localcontext
from fractions import Fraction

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_rows import MemoryRows, prepare
from planning import POLICY, priced, small_catalog
from small_calls import NUMBERS, PARTIES, SCHEMA, call_row, call_rows, changes, exact_groups, in_memory

from dpquery.accounting import ATTO, Loss
from dpquery.engines.embedded import execute
from dpquery.errors import BudgetRefused, InternalError, QueryRefused
from dpquery.measuring import measured
from dpquery.noise.conversion import rho_within
from dpquery.noise.tails import chance_above
from dpquery.noise.thresholds import threshold_of
from dpquery.noise.verify import verify
from dpquery.policy import parse_policy
from dpquery.privacy.bound import bound
from dpquery.privacy.calibrate import NANO, MechanismName, Selection, Thresholds, calibrate
from dpquery.sql.resolve import resolve

SELECTING_POLICY = POLICY.replace("[limits]", "[limits]\nmin_people = 2")
CATALOG = small_catalog(parse_policy(SELECTING_POLICY))
INBOUND = "FROM calls WHERE direction <> 'p2p'"
REQUESTS = [
    f"SELECT talk_s, COUNT(*), COUNT(DISTINCT caller), AVG(score) {INBOUND} GROUP BY talk_s",
    f"SELECT score, service, SUM(talk_s), MEDIAN(talk_s) {INBOUND} GROUP BY score, service",
    f"SELECT answered, talk_s, COUNT(DISTINCT (caller, callee)) {INBOUND} GROUP BY answered, talk_s",
    f"SELECT CAST(start_ts AS DATE) + 1 AS d, COUNT(cost) {INBOUND} GROUP BY 1",
    "SELECT first, COUNT(*), SUM(n) FROM (SELECT caller, MIN(start_ts)::DATE - 3 AS first, COUNT(*) AS n "
    f"{INBOUND} AND direction = 'inbound' GROUP BY caller) GROUP BY first",
    "SELECT k, m, COUNT(*) FROM (SELECT caller, talk_s * score AS k, MIN(score * 0) AS m "
    f"{INBOUND} AND direction = 'inbound' GROUP BY caller, talk_s * score) GROUP BY k, m",
]


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as opened:
        yield prepare(opened)


@settings(max_examples=60, deadline=None)
@given(rows=call_rows(), number=st.integers(0, NUMBERS - 1), request_=st.sampled_from(REQUESTS), cut=st.integers(0, 99))
def test_one_number_moves_few_groups_by_one(
    rows: list[dict[str, object]], number: int, request_: str, cut: int, con: duckdb.DuckDBPyConnection
) -> None:
    """Selection: at most L0 groups change, each by 1, and a group that comes or goes had that number alone.

    After it: whatever groups were selected, every other part moves within its claim over them.
    """
    plan = priced(request_, CATALOG)
    full = in_memory(con, rows)
    less = full.without(number, PARTIES)
    before, after = exact_groups(plan, full), exact_groups(plan, less)
    changed = [abs(before.get(group, 0) - after.get(group, 0)) for group in before.keys() | after.keys()]
    claim = plan.parts[0].sensitivity
    assert sum(changed) <= claim.l1
    assert max(changed, default=0) <= claim.linf == 1
    assert set(after) <= set(before)
    assert all(before[group] == 1 for group in before.keys() - after.keys())
    assert min(before.values(), default=1) >= 1

    selected = tuple(sorted(before, key=repr))[: max(1, cut * len(before) // 99)]
    if selected and plan.parts[1:]:
        logical = replace(plan.bounded.logical, groups=selected)
        chosen = replace(plan, bounded=replace(plan.bounded, logical=logical), parts=plan.parts[1:])
        totals = (execute(chosen, each).open_for_noise() for each in (full, less))
        for part, one, other in zip(chosen.parts, *totals, strict=True):
            change = changes(part, one, other)
            assert change.sum() <= part.sensitivity.l1
            assert (change**2).sum() <= part.sensitivity.l2_squared
            assert change.max(initial=0) <= part.sensitivity.linf


def test_groups_that_bounding_empties_are_not_there(con: duckdb.DuckDBPyConnection) -> None:
    """One number with many groups of its own would else be in more of them than delta was charged for."""
    plan = priced(REQUESTS[0], CATALOG)
    rows = in_memory(
        con, [{**call_row(0, -5, i), "direction": "outbound", "place": i + 1, "talk_s": i} for i in range(30)]
    )
    assert len(exact_groups(plan, rows)) == plan.parts[0].sensitivity.l1 == 2


def test_rows_of_nobody_make_no_group(con: duckdb.DuckDBPyConnection) -> None:
    rows = in_memory(con, [{**call_row(-1, -5, 1), "direction": "inbound", "talk_s": 7}])
    assert exact_groups(priced(REQUESTS[0], CATALOG), rows) == {}


def outbound_rows(*values: Mapping[str, object]) -> list[dict[str, object]]:
    """One call for each of `values`, of numbers 0, 1, ... in turn."""
    calls = enumerate(values)
    return [{**call_row(i % NUMBERS, -5, 3), "direction": "outbound", "place": i + 1, **value} for i, value in calls]


@pytest.mark.parametrize("talks", [3, 4])
def test_no_number_of_different_values_stops_an_answer(talks: int, con: duckdb.DuckDBPyConnection) -> None:
    """31 keys of four values each have 2^62 combinations: stopping there would tell that a fourth value occurs."""
    keys = ", ".join(f"talk_s + {i} AS k{i}" for i in range(31))
    plan = priced(f"SELECT {keys}, COUNT(*) {INBOUND} GROUP BY ALL", CATALOG)
    found = exact_groups(plan, in_memory(con, outbound_rows(*({"talk_s": i} for i in range(talks)))))
    assert found == {tuple(talk + i for i in range(31)): 1 for talk in range(talks)}


@pytest.mark.parametrize("place", [1, 1000])
def test_a_number_with_a_negative_zero_hides_nobody_else(place: int, con: duckdb.DuckDBPyConnection) -> None:
    """Products are computed in double precision, where 0 has two signs: which one is seen first decides nothing."""
    sql = (
        "SELECT m, COUNT(*) FROM (SELECT caller, talk_s * score AS m, COUNT(*) AS n FROM calls "
        "WHERE direction = 'outbound' GROUP BY caller, talk_s * score) GROUP BY m"
    )
    rows = [{**row, "place": 100 + i} for i, row in enumerate(outbound_rows(*[{"talk_s": 0, "score": 3}] * 5))]
    minus = {**rows[0], "caller": 6, "score": -3, "place": place}
    assert exact_groups(priced(sql, CATALOG), in_memory(con, [*rows, minus])) == {(0,): 6}


def test_texts_that_do_not_show_as_what_they_are_make_no_group(con: duckdb.DuckDBPyConnection) -> None:
    texts = ["plain", "a\u00a0b", "a\u3000b", "\u00e9", "e\u0301", "x" * 200, None]
    hidden = ["\x1b[2A", "a\tb", "a\x00b", "a\u202eb", "a\u200bb", "x" * 201]
    rows = outbound_rows(*({"service": text} for text in [*texts, *hidden]))
    plan = priced(f"SELECT service || '' AS s, COUNT(*) {INBOUND} GROUP BY 1", CATALOG)
    assert exact_groups(plan, in_memory(con, rows)).keys() == {(text,) for text in texts}


# --- thresholds -----------------------------------------------------------------------------------------------------


def exact_chance(mechanism: str, scale: float, bound_: int) -> Decimal:
    """P(noise > bound), summed with 60 digits."""
    with localcontext(prec=60):
        s = Decimal(scale)
        if mechanism == "laplace":
            ratio = (-1 / s).exp()
            return ratio ** (bound_ + 1) / (1 + ratio)
        weights = [(-(Decimal(x) ** 2) / (2 * s * s)).exp() for x in range(math.ceil(40 * scale) + bound_ + 2)]
        return sum(weights[bound_ + 1 :], Decimal(0)) / (2 * sum(weights, Decimal(0)) - 1)


@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
@pytest.mark.parametrize("scale", [0.4, 1.0, 3.7, 30.0, 130.0])
@pytest.mark.parametrize("groups", [1, 5, 40])
@pytest.mark.parametrize("delta", [1e-3, 1e-9])
def test_thresholds_cost_no_more_than_their_delta(
    mechanism: MechanismName, scale: float, groups: int, delta: float
) -> None:
    found = threshold_of(mechanism, scale, groups, delta, 1)
    passing = exact_chance(mechanism, scale, found.value - 1)
    with localcontext(prec=60):
        shown = 1 - (1 - passing) ** groups
        assert shown <= Decimal(found.delta.numerator) / Decimal(found.delta.denominator)
        assert found.delta <= Fraction(delta)
        # Not much higher than it must be: a Laplace threshold is the least one, a Gaussian one the map's.
        lower = 1 - (1 - exact_chance(mechanism, scale, found.value - 2)) ** groups
        assert mechanism == "gaussian" or found.value == 1 or lower > Decimal(delta) * Decimal("0.999")


@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
@pytest.mark.parametrize("scale", [1e9, 1e14])
def test_noise_of_any_scale_has_a_threshold(mechanism: MechanismName, scale: float) -> None:
    """At such scales noise is continuous, and its tails are exp(-T / scale) / 2 and erfc(T / (sqrt(2) scale)) / 2."""
    found = threshold_of(mechanism, scale, 1000, 1e-9, 1)
    tail = math.exp(-found.value / scale) / 2
    if mechanism == "gaussian":
        tail = math.erfc(found.value / scale / math.sqrt(2)) / 2
    assert tail * 1000 == pytest.approx(1e-9, rel=1e-3)
    assert tail * 1000 < found.delta <= Fraction(1e-9)


def test_a_delta_that_no_threshold_keeps_is_refused() -> None:
    with pytest.raises(BudgetRefused, match="no threshold"):
        threshold_of("laplace", 1.0, 100_000, 1e-12, 1)


def test_thresholds_are_never_below_the_least_people() -> None:
    free = threshold_of("laplace", 1.0, 1, 1e-3, 1)
    raised = threshold_of("laplace", 1.0, 1, 1e-3, 50)
    assert free.value < 50 == raised.value
    assert raised.delta < free.delta


@pytest.mark.parametrize(("mechanism", "scale"), [("laplace", 2.5), ("laplace", 150.0), ("gaussian", 4.0)])
def test_tails_are_those_of_the_exact_noise(mechanism: str, scale: float) -> None:
    for bound_ in (0, 1, 7, 40):
        exact = float(exact_chance(mechanism, scale, bound_))
        assert chance_above(mechanism, scale, bound_) == pytest.approx(exact, rel=1e-9)
    large = float(exact_chance("gaussian", 120.0, 300))
    assert large <= chance_above("gaussian", 120.0, 300) <= large * 1.03


@pytest.mark.parametrize("gaussian", [False, True])
def test_a_group_of_one_number_shows_as_often_as_delta_says(gaussian: bool, con: duckdb.DuckDBPyConnection) -> None:
    """40,000 groups of one number each; were counts equal to the threshold shown too, far more of them would be."""
    count = 40_000
    plans = calibrate(
        bound(resolve(f"SELECT talk_s, COUNT(*) {INBOUND} GROUP BY talk_s", CATALOG), CATALOG),
        2 * NANO,
        delta_release=1e-2 if gaussian else 1e-6,
        gaussian_allowed=gaussian,
        rho_within=rho_within,
        thresholds=Thresholds(0.05, 1, threshold_of),
    )
    plan = verify(next(plan for plan in plans if (plan.mechanism == "gaussian") == gaussian))
    assert plan.selection is not None
    one = {**call_row(0, -5, 1), "direction": "outbound"}
    table = pa.Table.from_pylist([one], schema=SCHEMA).take(pa.array(np.zeros(count, np.int64)))
    numbers = np.arange(count)
    table = table.set_column(0, "place", pa.array(numbers + 1, pa.uint64()))
    table = table.set_column(1, "caller", pa.array(numbers, pa.int32()))
    table = table.set_column(table.schema.get_field_index("talk_s"), "talk_s", pa.array(numbers, pa.int64()))
    chosen, arrays = measured(plan, MemoryRows(con, table, count))
    assert chosen.bounded.logical.groups is not None
    shown = len(chosen.bounded.logical.groups)
    assert arrays[0].min(initial=10**9) > plan.selection.threshold
    first = plan.parts[0]
    chance = chance_above(first.mechanism, first.scale, plan.selection.threshold - 1)
    spread = math.sqrt(count * chance)
    assert abs(shown - count * chance) < 5 * spread
    assert (
        count * chance_above(first.mechanism, first.scale, plan.selection.threshold - 2) - count * chance > 6 * spread
    )
    assert chance * first.sensitivity.l1 <= first.loss.delta / ATTO <= 0.05


def test_of_too_many_groups_those_with_the_largest_noisy_numbers_show(
    con: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = priced(REQUESTS[0], CATALOG, epsilon=1e6)
    members = {1: range(7), 2: range(4), 3: range(4, 7)}
    rows = [
        {**call_row(number, -5, 1), "direction": "outbound", "talk_s": group}
        for group, numbers in members.items()
        for number in numbers
    ]
    table = in_memory(con, [{**row, "place": i + 1} for i, row in enumerate(rows)])
    everything, (numbers, *_) = measured(plan, table)
    assert everything.bounded.cells == 3
    monkeypatch.setattr("dpquery.measuring.GROUPS_MAX", 2)
    chosen, (largest, *others) = measured(plan, table)
    assert chosen.bounded.cells == 2
    assert sorted(largest[:, 0]) == sorted(numbers[:, 0])[-2:]
    assert all(len(values) == 2 for values in others)


def test_a_plan_that_shows_more_than_it_pays_for_stops() -> None:
    plan = priced(REQUESTS[0], CATALOG)
    assert plan.selection is not None
    first, *others = plan.parts
    assert plan.loss.delta == first.loss.delta > 0
    lower = replace(plan, selection=Selection(plan.selection.threshold - 1))
    unpaid = replace(plan, parts=(replace(first, loss=replace(first.loss, delta=0)), *others))
    without = replace(plan, selection=None)
    paid_twice = replace(plan, parts=(first, replace(others[0], loss=others[0].loss + Loss(0, 0, 1)), *others[1:]))
    swapped = replace(plan, parts=(replace(first, measurement=others[0].measurement), *others))
    for wrong in (lower, unpaid, without, paid_twice, swapped):
        with pytest.raises(InternalError):
            verify(wrong)


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT free_text, COUNT(*) FROM calls GROUP BY free_text", "two owners"),
        (f"SELECT cost, COUNT(*) {INBOUND} GROUP BY cost", "too fine"),
        (f"SELECT start_ts, COUNT(*) {INBOUND} GROUP BY start_ts", "too fine"),
        (f"SELECT agent_id, COUNT(*) {INBOUND} GROUP BY agent_id", "never a key"),
        (f"SELECT caller, COUNT(*) {INBOUND} GROUP BY caller", "caller"),
    ],
)
def test_what_cannot_be_selected_is_refused(sql: str, said: str) -> None:
    with pytest.raises(QueryRefused, match=said):
        priced(sql, CATALOG)


def test_the_policy_decides_whether_groups_are_selected() -> None:
    sql = f"SELECT free_text, COUNT(*) {INBOUND} GROUP BY free_text"
    with pytest.raises(QueryRefused, match="min_people"):
        priced(sql, small_catalog())
    unbounded = SELECTING_POLICY.replace("max_rows = 4, max_groups = 2,", "max_rows = 4,")
    with pytest.raises(QueryRefused, match="how many groups"):
        priced(sql, small_catalog(parse_policy(unbounded)))
