"""Variances, quantiles, pairs, different values and numbers in any role move by no more than they claim."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_rows import prepare
from planning import POLICY, asking, priced_plan, small_catalog
from small_calls import NUMBERS, PARTIES, alike, assert_claims_hold_for_all, call_row, call_rows, changes, in_memory

from dpquery.bounding.codes import VALUE_MAX
from dpquery.errors import InternalError, QueryRefused
from dpquery.noise.verify import verify
from dpquery.plan.expressions import Case, ColumnRef, Comparison, Value
from dpquery.plan.keys import GroupKey
from dpquery.plan.query import (
    Aggregate,
    Average,
    CountDistinct,
    CountNumbers,
    CountPairs,
    CountRows,
    CountValues,
    Quantile,
    Variance,
)
from dpquery.plan.ranges import ValueRange
from dpquery.policy import parse_policy
from dpquery.postprocessing.estimates import estimates
from dpquery.privacy.calibrate import PrivacyPlan
from dpquery.privacy.measure import (
    SQUARE_MAX,
    HistogramMeasurement,
    QuantileMeasurement,
    SquaresMeasurement,
    SumMeasurement,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CATALOG = small_catalog()
ROOMY = small_catalog(parse_policy(POLICY.replace("max_rows_per_group = 2 }", "max_rows_per_group = 4 }")))

TALK, TALK_RANGE = ColumnRef("talk_s", "integer"), ValueRange(0, 60, 1.0)
SCORE, SCORE_RANGE = ColumnRef("score", "integer"), ValueRange(-8, 5, 1.0)
COST, COST_RANGE = ColumnRef("cost", "decimal"), ValueRange(0, 4, 0.25)
CELL = ColumnRef("cell_id", "text")
VOICE = Case(
    ((Comparison("=", ColumnRef("service", "text"), Value("voice", "text")), Value(1, "integer")),), None, "integer"
)
"""What FILTER (WHERE service = 'voice') makes of a count."""
SHARE = replace(VOICE, default=Value(0, "integer"))

ALL = "SELECT COUNT(*) FROM calls"
INBOUND = "SELECT COUNT(*) FROM calls WHERE direction <> 'p2p'"
BY_SERVICE = "SELECT service, COUNT(*) FROM calls GROUP BY service"
BY_CELL = "SELECT cell_id, COUNT(*) FROM calls GROUP BY cell_id"
INBOUND_BY_SERVICE = "SELECT service, COUNT(*) FROM calls WHERE direction <> 'p2p' GROUP BY service"
INBOUND_BY_CELL = "SELECT cell_id, COUNT(*) FROM calls WHERE direction <> 'p2p' GROUP BY cell_id"

READ_OFF_VALUES: tuple[Aggregate, ...] = (
    Average(TALK, TALK_RANGE, "log"),
    Variance(TALK, TALK_RANGE, "log", sample=True, root=True),
    Quantile(TALK, TALK_RANGE, 0.5, "log"),
    Quantile(TALK, TALK_RANGE, 1.0, "log"),
    Variance(SCORE, SCORE_RANGE),
    Quantile(COST, COST_RANGE, 0.9),
    Average(SHARE, ValueRange(0, 1, 1.0)),
)
PAIRS: tuple[Aggregate, ...] = (CountPairs(("caller", "callee")), CountPairs(("callee", "caller"), VOICE))
VALUES: tuple[Aggregate, ...] = (
    CountValues(CELL, ("C1", "C2", "C3")),
    CountValues(ColumnRef("answered", "boolean"), (False, True)),
)
PEOPLE: tuple[Aggregate, ...] = (
    CountNumbers(),
    CountNumbers(at_least=2),
    CountDistinct("caller", VOICE),
    CountDistinct("callee"),
)
REQUESTS = {
    "two owners": (ALL, READ_OFF_VALUES),
    "two owners by service": (BY_SERVICE, READ_OFF_VALUES),
    "two owners, pairs": (ALL, PAIRS),
    "two owners, pairs by cell": (BY_CELL, PAIRS),
    "two owners, values": (ALL, VALUES),
    "two owners, values by service": (BY_SERVICE, VALUES),
    "two owners, people": (ALL, PEOPLE),
    "two owners, people by cell": (BY_CELL, PEOPLE),
    "one owner": (INBOUND, READ_OFF_VALUES),
    "one owner by service": (INBOUND_BY_SERVICE, READ_OFF_VALUES),
    "one owner, pairs": (INBOUND, PAIRS),
    "one owner, pairs by cell": (INBOUND_BY_CELL, PAIRS),
    "one owner, values": (INBOUND, VALUES),
    "one owner, values by service": (INBOUND_BY_SERVICE, VALUES),
    "one owner, people": (INBOUND, PEOPLE),
    "one owner, people by cell": (INBOUND_BY_CELL, PEOPLE),
}


def plan_of(name: str) -> PrivacyPlan:
    """The plan of a request above, or of numbers by their rows up to what the policy allows."""
    if name in REQUESTS:
        sql, aggregates = REQUESTS[name]
        return priced_plan(asking(sql, CATALOG, *aggregates), CATALOG)
    catalog = ROOMY if "roomy" in name else CATALOG
    return numbers_by_rows(INBOUND if "one owner" in name else ALL, 4 if "roomy" in name else 2, catalog)


def numbers_by_rows(sql: str, most: int, catalog: object = CATALOG) -> PrivacyPlan:
    catalog = CATALOG if catalog is CATALOG else ROOMY
    logical = asking(sql, catalog, CountNumbers(by_rows=True))
    key = GroupKey(ColumnRef("rows", "integer"), tuple(range(1, most + 1)), "bounds")
    return priced_plan(replace(logical, keys=(key,)), catalog)


BY_ROWS = ["by rows, two owners", "by rows, two owners, roomy", "by rows, one owner", "by rows, one owner, roomy"]


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as opened:
        yield prepare(opened)


@pytest.mark.parametrize("name", [*REQUESTS, *BY_ROWS])
@settings(max_examples=12, deadline=None, derandomize=True)
@given(data=st.data())
def test_no_number_moves_a_table_by_more_than_claimed(
    name: str, data: st.DataObject, con: duckdb.DuckDBPyConnection
) -> None:
    plan, rows = plan_of(name), in_memory(con, data.draw(call_rows()))
    assert_claims_hold_for_all(plan, rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*REQUESTS, *BY_ROWS])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_number_moves_a_table_by_more_than_claimed_at_length(
    name: str, data: st.DataObject, con: duckdb.DuckDBPyConnection
) -> None:
    plan, rows = plan_of(name), in_memory(con, data.draw(call_rows()))
    assert_claims_hold_for_all(plan, rows)


# --- claims are attained --------------------------------------------------------------------------------------------

INBOUND_ROW = {"direction": "inbound"}


def placed(rows: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    return [{**row, "place": i + 1} for i, row in enumerate(rows)]


def groups(count: int, caller: int, callee: int, **values: object) -> list[dict[str, object]]:
    """Alike rows in each of the cells C1, C2 and C3."""
    return [row for cell in ("C1", "C2", "C3") for row in alike(count, caller, callee, cell_id=cell, **values)]


def star(count: int, **values: object) -> list[dict[str, object]]:
    """Number 0 calls as many public lines, so that each row is another pair."""
    return [row for i in range(count) for row in alike(1, 0, -5 - i, **values)]


ATTAINED: list[tuple[str, str, Aggregate, list[dict[str, object]]]] = [
    ("squares", INBOUND, Variance(TALK, TALK_RANGE), alike(9, 0, -5, **INBOUND_ROW, talk_s=60)),
    ("quantile, one owner", INBOUND, Quantile(TALK, TALK_RANGE, 0.5), alike(9, 0, -5, **INBOUND_ROW, talk_s=7)),
    (
        "quantile, two owners",
        ALL,
        Quantile(SCORE, SCORE_RANGE, 0.5),
        [row for score in range(-8, 6) for row in alike(9, 0, 1, score=score)],
    ),
    ("pairs, two owners", ALL, CountPairs(("caller", "callee")), star(9, direction="p2p")),
    (
        "pairs by cell",
        BY_CELL,
        CountPairs(("caller", "callee")),
        [row for cell in ("C1", "C2", "C3") for row in star(9, cell_id=cell)],
    ),
    ("pairs, one owner", INBOUND, CountPairs(("caller", "callee")), star(9, **INBOUND_ROW)),
    ("values, two owners", ALL, CountValues(CELL, ("C1", "C2", "C3")), groups(2, 0, 1)),
    ("values, one owner", INBOUND, CountValues(CELL, ("C1", "C2", "C3")), alike(9, 0, -5, **INBOUND_ROW)),
    ("numbers, one owner", INBOUND, CountNumbers(), alike(1, 0, -5, **INBOUND_ROW)),
    ("numbers with two rows, one owner", INBOUND_BY_CELL, CountNumbers(2), groups(2, 0, -5, **INBOUND_ROW)),
    ("numbers, two owners", ALL, CountNumbers(), [row for other in (1, 2, 3) for row in alike(1, 0, other)]),
    (
        "numbers with two rows, two owners",
        ALL,
        CountNumbers(2),
        [row for other in (1, 2, 3) for row in (*alike(1, other, -5), *alike(1, 0, other))],
    ),
]


@pytest.mark.parametrize(("sql", "aggregate", "rows"), [case[1:] for case in ATTAINED], ids=[c[0] for c in ATTAINED])
def test_the_claim_is_attained(
    sql: str, aggregate: Aggregate, rows: list[dict[str, object]], con: duckdb.DuckDBPyConnection
) -> None:
    """By exactly as much as claimed: a smaller claim would be false. The first part is the aggregate's own."""
    assert_attained(priced_plan(asking(sql, CATALOG, aggregate), CATALOG), placed(rows), con)


def assert_attained(plan: PrivacyPlan, rows: list[dict[str, object]], con: duckdb.DuckDBPyConnection) -> None:
    table = in_memory(con, rows)
    change = changes(plan.parts[0], table.exact(plan)[0], table.without(0, PARTIES).exact(plan)[0])
    claimed = plan.parts[0].sensitivity
    assert (change.sum(), (change**2).sum(), change.max()) == (claimed.l1, claimed.l2_squared, claimed.linf)


def test_numbers_by_their_rows_attain_their_claim(con: duckdb.DuckDBPyConnection) -> None:
    """Number 0 has k rows, one with each of k numbers of k - 1 further rows: it and they are the numbers with k rows.

    Without it they have one row less, so bin k loses k + 1 numbers and bin k - 1 gains k.
    """
    for name, k in (("by rows, two owners", 2), ("by rows, two owners, roomy", 4)):
        others = range(1, k + 1)
        rows = [row for other in others for row in (*alike(1, 0, other), *alike(k - 1, other, -5))]
        plan = plan_of(name)
        claimed = plan.parts[0].sensitivity
        assert (claimed.l1, claimed.l2_squared, claimed.linf) == (2 * k + 1, k * k + (k + 1) ** 2, k + 1)
        assert_attained(plan, placed(rows), con)
    plan = plan_of("by rows, one owner")
    assert_attained(plan, placed(alike(5, 0, -5, **INBOUND_ROW)), con)
    assert plan.parts[0].sensitivity.l1 == 1


# --- false friends --------------------------------------------------------------------------------------------------


def greedy(rows: Sequence[tuple[int, int]], k: int) -> Counter[int]:
    used: Counter[int] = Counter()
    for a, b in rows:
        owners = {owner for owner in (a, b) if owner >= 0}
        if all(used[owner] < k for owner in owners):
            used.update(owners)
    return used


def test_numbers_by_their_rows_with_a_greedy_for_each_bin() -> None:
    """Bins of raw counts, each bounded to k by itself, move by every number that 0 calls: nothing like 2k + 1."""
    k, others = 2, 50
    table = [row for other in range(1, others + 1) for row in ((0, other), (other, -5))]

    def raw(rows: Sequence[tuple[int, int]]) -> Counter[int]:
        degree: Counter[int] = Counter()
        for a, b in rows:
            degree.update({owner for owner in (a, b) if owner >= 0})
        return Counter(degree.values())

    def kept(rows: Sequence[tuple[int, int]]) -> Counter[int]:
        return Counter(greedy(rows, k).values())

    without = [row for row in table if 0 not in row]

    def moved(before: Counter[int], after: Counter[int]) -> int:
        return sum(abs(before[n] - after[n]) for n in {*before, *after})

    assert moved(raw(table), raw(without)) > 2 * others
    assert moved(kept(table), kept(without)) <= 2 * k + 1


def test_pairs_after_the_greedy() -> None:
    """Different pairs among the rows that a greedy kept: half of them hang on one number, however many there are.

    Every second pair of a path has two rows. With number 0 at its start one of the two is refused, which leaves a slot
    for the next pair; without it both are kept, and the next pair is not. Pairs first, then the greedy: at most k.
    """
    k, length = 2, 40
    table = [(0, 1)]
    for i in range(1, length, 2):
        table += [(i, i + 1), (i, i + 1), (i + 1, i + 2)]
    without = [row for row in table if 0 not in row]

    def pairs_kept(rows: Sequence[tuple[int, int]]) -> int:
        used: Counter[int] = Counter()
        found: set[tuple[int, int]] = set()
        for a, b in rows:
            if used[a] < k and used[b] < k:
                used.update({a, b})
                found.add((a, b))
        return len(found)

    assert pairs_kept(table) - pairs_kept(without) >= length // 2
    assert 0 <= pairs_kept(list(dict.fromkeys(table))) - pairs_kept(list(dict.fromkeys(without))) <= k


def test_numbers_by_their_rows_share_their_cells_with_nothing() -> None:
    logical = asking(ALL, CATALOG, CountNumbers(by_rows=True), CountRows())
    key = GroupKey(ColumnRef("rows", "integer"), (1, 2), "bounds")
    with pytest.raises(InternalError):
        priced_plan(replace(logical, keys=(key,)), CATALOG)
    other = replace(key, values=(2, 3))
    alone = replace(logical, aggregates=logical.aggregates[:1], outputs=logical.outputs[:1], keys=(other,))
    with pytest.raises(InternalError):
        priced_plan(alone, CATALOG)


# --- prices ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*REQUESTS, *BY_ROWS])
def test_parts_stay_within_what_was_asked_and_a_smaller_scale_does_not_verify(name: str) -> None:
    plan = plan_of(name)
    if plan.mechanism == "laplace":
        assert sum(part.loss.epsilon or 0 for part in plan.parts) == plan.asked_epsilon
    for index, part in enumerate(plan.parts):
        thinner = replace(part, scale=part.scale * 0.99)
        with pytest.raises(InternalError):
            verify(replace(plan, parts=(*plan.parts[:index], thinner, *plan.parts[index + 1 :])))


def test_the_loss_is_shared_by_the_error_of_each_answer() -> None:
    """In rows: no part of a plan errs by more than a few times another, whatever the units of their integers."""
    plan = priced_plan(asking(INBOUND, CATALOG, *READ_OFF_VALUES[:3]), CATALOG, gaussian=False)
    rows = []
    for part in plan.parts:
        match part.measurement:
            case HistogramMeasurement(width=width):
                rows.append(part.scale * width**0.5 / 2)
            case SumMeasurement(largest=largest) | SquaresMeasurement(largest=largest):
                rows.append(part.scale / largest)
            case QuantileMeasurement(whole=whole):
                rows.append(part.scale / whole)
            case _:
                rows.append(part.scale)
    assert len(rows) == 5
    assert max(rows) < 3 * min(rows)


# --- what is measured -----------------------------------------------------------------------------------------------


def test_everything_of_one_expression_is_read_off_one_histogram() -> None:
    plan = priced_plan(asking(BY_SERVICE, CATALOG, *READ_OFF_VALUES[:4]), CATALOG)
    assert len(plan.parts) == 1
    assert [reading.kind for reading in plan.readings] == [
        "histogram mean",
        "histogram variance",
        "quantile",
        "quantile",
    ]
    one = priced_plan(asking(INBOUND, CATALOG, *READ_OFF_VALUES[:4]), CATALOG)
    # One owner: squares, the centred sum and the rows, shared by mean and variance; the median is selected, and one
    # histogram has its interval and the extreme.
    assert sorted(type(part.measurement).__name__ for part in one.parts) == [
        "CountMeasurement",
        "HistogramMeasurement",
        "QuantileMeasurement",
        "SquaresMeasurement",
        "SumMeasurement",
    ]


def test_a_share_of_rows_costs_what_a_count_costs() -> None:
    """One owner: each row is in one of two bins. A sum beside a count would move twice as much in all."""
    share = Average(SHARE, ValueRange(0, 1, 1.0))
    for sql in (INBOUND, INBOUND_BY_SERVICE):
        plan, count = (priced_plan(asking(sql, CATALOG, one), CATALOG) for one in (share, CountRows()))
        assert [part.sensitivity for part in plan.parts] == [part.sensitivity for part in count.parts]
        assert plan.parts[0].scale == count.parts[0].scale
    rows = np.array([[30, 10], [0, 5], [7, 0]])
    found = estimates(priced_plan(asking(INBOUND, CATALOG, share), CATALOG, epsilon=1e4), [rows])[0]
    assert found.value.tolist() == [0.25, 1.0, 0.0]


def test_bins_are_finer_where_a_number_has_fewer_rows() -> None:
    """One owner: the sensitivity does not depend on the bins, so their number follows the noise."""
    wide = ValueRange(0, 7200, 1.0)
    widths = []
    for rows in (3, 200):
        text = POLICY.replace("ungrouped = { max_rows = 3 }", f"ungrouped = {{ max_rows = {rows} }}")
        catalog = small_catalog(parse_policy(text))
        for sql in (INBOUND, ALL):
            plan = priced_plan(asking(sql, catalog, Quantile(TALK, wide, 0.5, "log")), catalog)
            measurement = plan.parts[-1].measurement
            assert isinstance(measurement, HistogramMeasurement)
            if sql == INBOUND:
                widths.append(measurement.width)
                assert plan.parts[-1].sensitivity.l1 == rows
            else:
                assert plan.parts[0].sensitivity.l1 == measurement.width * measurement.capacity
    assert widths[0] > 3 * widths[1] > 30


def test_more_integers_than_are_released_are_refused() -> None:
    values = tuple(f"v{i}" for i in range(10_000))
    hours = GroupKey(ColumnRef("hour", "integer"), tuple(range(4000)), "policy")
    logical = replace(asking(ALL, CATALOG, CountValues(CELL, values)), keys=(hours,))
    with pytest.raises(QueryRefused, match="noisy integers"):
        priced_plan(logical, CATALOG)


@pytest.mark.parametrize(
    "clamp", [ValueRange(0, 1e6, 1.0), ValueRange(-1e9, 1e9, None), ValueRange(0, 4, 2.0**-20), ValueRange(-8, 5, 1.0)]
)
def test_squares_fit_the_kernel(clamp: ValueRange, con: duckdb.DuckDBPyConnection) -> None:
    assert SQUARE_MAX == VALUE_MAX
    plan = priced_plan(asking(INBOUND, CATALOG, Variance(COST, clamp)), CATALOG)
    squares = plan.parts[0].measurement
    assert isinstance(squares, SquaresMeasurement)
    assert squares.largest <= VALUE_MAX
    # And no coarser than that takes: half the steps would do for a grid twice as fine.
    assert squares.grid == clamp.step or 4 * squares.largest > 0.9 * VALUE_MAX
    rows = [{**row, "cost": 1e300 if i % 2 else -1e300} for i, row in enumerate(star(2, **INBOUND_ROW))]
    assert in_memory(con, placed(rows)).exact(plan)[0].item() <= 2 * squares.largest


# --- kernels against plain Python -----------------------------------------------------------------------------------


def rows_in_order(seed: int, count: int = 60) -> list[dict[str, object]]:
    rng = np.random.default_rng(seed)
    drawn = [call_row(int(a), int(b), int(s) + 9) for a, b, s in rng.integers(-2, 6, (count, 3))]
    for row in drawn:
        for party in PARTIES:
            row[party] = -5 if row[party] == -2 else row[party]
        row["direction"] = call_row(int(str(row["caller"])), int(str(row["callee"])), seed)["direction"]
    return sorted(drawn, key=lambda row: int(str(row["place"])))


@pytest.mark.parametrize("seed", range(8))
def test_two_owner_totals_equal_plain_python(seed: int, con: duckdb.DuckDBPyConnection) -> None:
    rows = rows_in_order(seed)
    table = in_memory(con, rows)
    ends = [(int(str(row["caller"])), int(str(row["callee"]))) for row in rows]
    k = 3
    pairs = list(dict.fromkeys(end for end in ends if -1 not in end))
    used: Counter[int] = Counter()
    kept = 0
    for pair in pairs:
        owners = {owner for owner in pair if owner >= 0}
        if all(used[owner] < k for owner in owners):
            used.update(owners)
            kept += 1
    plan = priced_plan(asking(ALL, CATALOG, PAIRS[0], CountNumbers(2), *VALUES[:1]), CATALOG)
    found = table.exact(plan)
    assert found[0].item() == kept
    degrees = greedy(ends, k)
    assert found[1].item() == sum(rows_kept >= 2 for rows_kept in degrees.values())
    for place, cell in enumerate(("C1", "C2", "C3")):
        listed = [end for end, row in zip(ends, rows, strict=True) if row["cell_id"] == cell]
        nobody = sum(max(end) < 0 for end in listed)
        matched = [end for end in listed if max(end) >= 0]
        busy: set[int] = set()
        count = 0
        for end in matched:
            owners = {owner for owner in end if owner >= 0}
            if not owners & busy:
                busy |= owners
                count += 1
        assert found[2][0, place] == count + nobody
    by_rows = table.exact(numbers_by_rows(ALL, 2))[0][:, 0]
    degrees = greedy(ends, 2)
    assert by_rows.tolist() == [sum(n == rows_kept for rows_kept in degrees.values()) for n in (1, 2)]


@pytest.mark.parametrize("seed", range(4))
def test_one_owner_totals_without_bounds_equal_plain_python(seed: int, con: duckdb.DuckDBPyConnection) -> None:
    """Where no bound bites, totals are those of all rows."""
    text = POLICY.replace("ungrouped = { max_rows = 3 }", "ungrouped = { max_rows = 500 }")
    text = text.replace(
        "max_rows = 4, max_groups = 2, max_rows_per_group = 2", "max_rows = 500, max_rows_per_group = 500"
    )
    catalog = small_catalog(parse_policy(text))
    rows = [row for row in rows_in_order(seed, 200) if row["direction"] in {"inbound", "outbound"}]
    rows = [{**row, "service": str(row["service"] or "sms")} for row in rows]
    table = in_memory(con, rows)
    aggregates = (*PAIRS[:1], *VALUES[:1], CountNumbers(2), CountDistinct("caller", VOICE), Variance(TALK, TALK_RANGE))
    plan = priced_plan(asking(INBOUND, catalog, *aggregates), catalog)
    found = [array.ravel().tolist() for array in table.exact(plan)]
    ends = [(int(str(row["caller"])), int(str(row["callee"]))) for row in rows]
    assert found[0] == [len({end for end in ends if -1 not in end})]
    assert found[1] == [sum(row["cell_id"] == cell for row in rows) for cell in ("C1", "C2", "C3")]
    degrees = Counter(max(end) for end in ends if max(end) >= 0)
    assert found[2] == [sum(n >= 2 for n in degrees.values())]
    voices = {end[0] for end, row in zip(ends, rows, strict=True) if row["service"] == "voice" and end[0] >= 0}
    assert found[3] == [len(voices)]
    talk = np.clip([int(str(row["talk_s"])) for row in rows if row["talk_s"] is not None], 0, 60) - 30
    assert found[4:] == [[(talk**2).sum()], [talk.sum()], [len(talk)]]
    assert max(max(end) for end in ends) < NUMBERS


def test_pairs_of_one_number_are_bounded_as_rows(con: duckdb.DuckDBPyConnection) -> None:
    """Many rows of few pairs take no more room than few rows: a pair is kept once."""
    rows = placed([row for _ in range(6) for row in star(3, **INBOUND_ROW)])
    plan = priced_plan(asking(INBOUND, CATALOG, CountPairs(("caller", "callee")), CountRows()), CATALOG)
    pairs, kept = (array.item() for array in in_memory(con, rows).exact(plan))
    assert (pairs, kept) == (3, 3)
    withheld = placed(alike(4, 0, -1, direction="p2p"))
    everything = priced_plan(asking(ALL, CATALOG, CountPairs(("caller", "callee"))), CATALOG)
    assert in_memory(con, withheld).exact(everything)[0].item() == 0


def test_no_pair_of_a_number_has_a_better_chance_for_its_rows(con: duckdb.DuckDBPyConnection) -> None:
    """Of six pairs three stay, one of them with 30 rows within the hour: it stays half of the time, like the others.

    Its first row has the least place of 30, and places decide. The pair is alone in its group, so that it can be told.
    """
    rng = np.random.default_rng(4)
    text = POLICY.replace(
        "grouped = { max_rows = 4, max_groups = 2, max_rows_per_group = 2 }",
        "grouped = { max_rows = 3, max_groups = 3, max_rows_per_group = 3 }",
    )
    catalog = small_catalog(parse_policy(text))
    plan = priced_plan(asking(INBOUND_BY_SERVICE, catalog, CountPairs(("caller", "callee"))), catalog)
    stays = 0
    for _ in range(200):
        rows = alike(30, 0, -5, **INBOUND_ROW)
        rows += [row for i in range(5) for row in alike(1, 0, -6 - i, **INBOUND_ROW, service="sms")]
        rows = [{**row, "place": int(rng.integers(0, 2**40))} for row in rows]
        stays += int(in_memory(con, rows).exact(plan)[0][0, 0])
    assert 75 <= stays <= 125
