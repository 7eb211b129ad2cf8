"""`target_error` and `within`: the least loss whose intervals reach so far, wherever that is known without rows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from planning import POLICY
from spending import nothing_spent
from stores import MadeStore, made_up_calls, make_store

from dpquery import dbapi
from dpquery.errors import BudgetRefused, DpqueryError, UsageError
from dpquery.plan.query import shown
from dpquery.postprocessing.expected import expected_half_width
from dpquery.preview import Preview
from dpquery.session import Session

SELECTS = [
    ("COUNT(*) AS n FROM calls", 25.0),
    ("cell_id, SUM(talk_s) AS s FROM calls GROUP BY cell_id", 4000.0),
    ("cell_id, SUM(talk_s) / 60 AS minutes FROM calls GROUP BY cell_id", 70.0),
    ("100 - 2 * COUNTIF(answered) + COUNT(*) AS x FROM calls", 250.0),
    ("AVG(talk_s) AS a, VARIANCE(talk_s) AS v FROM calls WHERE direction = 'inbound'", 90.0),
    ("COUNT(DISTINCT (caller, callee)) AS pairs FROM calls", 40.0),
    (
        "n, COUNT(*) AS m FROM (SELECT number, COUNT(*) AS n FROM either_party(calls) GROUP BY number) GROUP BY n",
        60.0,
    ),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    return make_store(tmp_path_factory.mktemp("target"), POLICY, made_up_calls(300))


@pytest.fixture
def session(made: MadeStore) -> Iterator[Session]:
    with made.connect() as session:
        yield session


def asked(select: str, options: str) -> str:
    return f"SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS ({options}) {select}"


def reach(preview: Preview, confidence: float) -> float:
    outputs = [output for output in shown(preview.plan.bounded.logical) if output.is_value]
    return max(expected_half_width(preview.plan, output, confidence) or 1e9 for output in outputs)


@pytest.mark.parametrize("confidence", [0.95, 0.8])
@pytest.mark.parametrize(("select", "target"), SELECTS)
def test_no_less_loss_reaches_the_target(select: str, target: float, confidence: float, session: Session) -> None:
    query = session.sql(asked(select, f"target_error = {target}, confidence = {confidence}"))
    preview = query.preview()
    assert reach(preview, confidence) <= target
    less = session.sql(asked(select, f"confidence = {confidence}"))
    epsilon = preview.plan.asked_epsilon / 1e9
    assert reach(less.preview(epsilon * 0.99), confidence) > target
    assert less.preview(within=target).plan.asked_epsilon == preview.plan.asked_epsilon
    assert f"at {confidence * 100:g} %" in str(preview)


def test_intervals_are_as_wide_as_was_expected(session: Session) -> None:
    """For counts, sums and sums of their multiples, at any confidence: the plan alone decides."""
    for select in (SELECTS[0][0], SELECTS[2][0], SELECTS[3][0]):
        for confidence in (0.95, 0.99):
            query = session.sql(asked(select, f"epsilon = 0.3, confidence = {confidence}"))
            wanted = reach(query.preview(), confidence)
            release = query.run()
            name = next(c.name for c in release.document().columns if c.role == "value")
            for row in release.rows():
                assert row[f"{name}_high"] - row[name] == pytest.approx(wanted)
                assert row[name] - row[f"{name}_low"] == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("select", "named"),
    [
        ("MEDIAN(talk_s) AS m FROM calls", "m"),
        ("COUNT(*) AS n, STDDEV(talk_s) AS d FROM calls", "d"),
        ("COUNT(*) AS n, 1.0 * COUNTIF(answered) / COUNT(*) AS share FROM calls", "share"),
        ("COUNT(DISTINCT service) AS services FROM calls", "services"),
    ],
)
def test_what_depends_on_rows_has_no_known_error(select: str, named: str, session: Session) -> None:
    for query, within in ((asked(select, "target_error = 9"), None), (f"SELECT {select}", 9.0)):
        with nothing_spent(session), pytest.raises(UsageError, match=f"interval of {named} ") as caught:
            session.sql(query).run(within=within)
        assert caught.value.fix == "epsilon = 0.5"


def test_a_target_out_of_reach_names_what_can_be_had(session: Session) -> None:
    with nothing_spent(session), pytest.raises(BudgetRefused) as caught:
        session.sql(asked(SELECTS[0][0], "target_error = 0.01")).run()
    assert caught.value.code == "DPQ-204"
    within = float((caught.value.fix or "").removeprefix("--within "))
    assert session.sql(asked(SELECTS[0][0], f"target_error = {within}")).preview().plan.asked_epsilon > 1.9e9


def test_calls_and_options_that_differ_are_refused(session: Session) -> None:
    query = session.sql(asked(SELECTS[0][0], "target_error = 25"))
    for epsilon, within in ((0.5, None), (None, 20.0)):
        with nothing_spent(session), pytest.raises(DpqueryError, match="target_error = 25"):
            query.run(epsilon, within=within)
    assert query.preview(within=25).plan.asked_epsilon == query.preview().plan.asked_epsilon


def test_a_connection_within_gives_way_to_options(made: MadeStore) -> None:
    with dbapi.connect(made.folder, analyst="ana", purpose="network_planning", within=40) as connection:
        cursor = connection.cursor()
        assert cursor.preview(asked(SELECTS[0][0], "epsilon = 0.4")).plan.asked_epsilon == 400_000_000
        assert reach(cursor.preview(f"SELECT {SELECTS[0][0]}"), 0.95) == 40
        assert "the least that gives ± 40" in str(cursor.execute("RESET dp.epsilon").fetchall())
