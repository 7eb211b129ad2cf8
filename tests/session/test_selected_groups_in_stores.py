"""Groups that nobody declared, through a whole store: what shows, what it costs, and that asking again is free."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from planning import POLICY
from stores import MadeStore, generous, made_up_calls, make_store

from dpquery.errors import BudgetRefused, UsageError
from dpquery.session import Session

PEOPLE = 5
EPSILON = 1e6
INBOUND = "FROM calls WHERE direction = 'inbound'"
LOOSE = POLICY.replace("[limits]", f"[limits]\nmin_people = {PEOPLE}").replace("delta = 1e-6", "delta = 1e-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    """Texts of many and of few calls; some rows have none, and one a text that would move a terminal's cursor."""
    calls = made_up_calls(3000, numbers=60)
    chosen = (np.random.default_rng(3).pareto(1.0, len(calls)) * 2).astype(int)
    calls["free_text"] = np.array([f"camp {i}" for i in chosen], object)
    calls.loc[::17, "free_text"] = None
    calls.loc[calls["direction"] == "outbound", "free_text"] = "up\x1b[2A"
    return make_store(tmp_path_factory.mktemp("groups"), generous(LOOSE), calls)


@pytest.fixture(scope="module")
def session(made: MadeStore) -> Session:
    return made.connect()


@pytest.mark.parametrize(
    ("keys", "order"),
    [
        ("free_text", "free_text NULLS LAST"),
        ("talk_s", "talk_s NULLS LAST"),
        ("service, free_text", "service = 'sms', service NULLS LAST, free_text NULLS LAST"),
        ("free_text, direction, local_dow", "free_text NULLS LAST, direction, local_dow"),
        ("day + 1", "1 NULLS LAST"),
    ],
)
def test_groups_of_enough_numbers_show_with_their_values(
    keys: str, order: str, session: Session, made: MadeStore
) -> None:
    """At a huge epsilon the threshold is the policy's least number of people, which a group must exceed."""
    asked = f"SELECT {keys}, COUNT(*) AS n, SUM(score) AS s, COUNT(DISTINCT caller) AS c {INBOUND} GROUP BY {keys}"
    query = session.sql(asked)
    plan = query.preview(EPSILON).plan
    assert plan.selection is not None
    assert plan.selection.threshold == PEOPLE
    release = query.run(EPSILON)
    expected = made.plain(f"{asked} HAVING COUNT(DISTINCT caller) > {PEOPLE} ORDER BY {order}")
    names = [output.name for output in query.logical.outputs]
    found = [tuple(row[name] for name in names) for row in release.rows()]
    assert len(found) > 3
    assert found == [tuple(int(v) if isinstance(v, np.integer) else v for v in row) for row in expected]


def test_texts_that_cannot_be_shown_are_in_no_group(session: Session) -> None:
    asked = "SELECT free_text, COUNT(*) AS n FROM calls WHERE direction = 'outbound' GROUP BY free_text"
    release = session.sql(asked).run(EPSILON)
    texts = [row["free_text"] for row in release.rows()]
    assert all(text is None or text.isprintable() for text in texts)
    assert "\x1b" not in str(release) + release._repr_html_()


def test_asking_again_in_another_order_is_free_and_the_same(session: Session) -> None:
    first = session.sql(f"SELECT free_text, service, COUNT(*) AS n {INBOUND} GROUP BY free_text, service").run(50_000)
    again = session.sql(f"SELECT COUNT(*) AS n, service, free_text {INBOUND} GROUP BY service, free_text").run(50_000)
    assert (first.status, again.status) == ("released", "repeated")
    values = [{(row["free_text"], row["service"]): row["n"] for row in each.rows()} for each in (first, again)]
    assert values[0] == values[1]
    assert len(values[0]) > 3
    services = [row["service"] for row in again.rows()]
    assert services == sorted(services, key=["voice", "sms", None].index)
    assert first.plan.selection == again.plan.selection


def test_the_answer_says_what_showed_and_what_it_cost(session: Session) -> None:
    query = session.sql(f"SELECT free_text, COUNT(*) AS n {INBOUND} GROUP BY free_text")
    preview = query.preview(500)
    document = preview.document()
    assert (document.plan.keys, document.plan.groups) == ("selected", None)
    assert document.plan.threshold is not None
    assert 0 < document.cost.delta <= 1e-9
    assert f"more than {document.plan.threshold:,} noisy numbers" in str(preview)
    release = query.run(500)
    told = release.document()
    assert told.plan.groups == len(release.rows())
    assert told.plan.threshold == document.plan.threshold
    assert told.cost.delta == document.cost.delta
    assert "the chance that a group shows" in told.guarantee.sentence
    assert any("only groups with more than" in warning for warning in told.warnings)


def test_answers_whose_groups_were_selected_are_not_combined(session: Session) -> None:
    """Each shows groups of its own, and is bounded over these."""
    query = session.sql(f"SELECT free_text, COUNT(*) AS n {INBOUND} GROUP BY free_text")
    one, other = (query.run(EPSILON, fresh=True) for _ in range(2))
    with pytest.raises(UsageError, match="not declared"):
        one.combine(other)


def test_an_answer_without_groups_is_an_answer(session: Session, tmp_path: Path) -> None:
    release = session.sql(f"SELECT cost * 4 > 99 AS c, talk_s, COUNT(*) {INBOUND} GROUP BY 1, 2").run(0.001)
    assert list(release.rows()) == []
    assert release.document().plan.groups == 0
    assert "no rows\nonly groups with more than" in str(release)
    assert len(release.to_pandas()) == 0
    assert release.plot()
    for name in ("a.csv", "a.parquet", "a.html", "a.json"):
        assert release.save(tmp_path / name).exists()


def test_delta_runs_out(tmp_path: Path) -> None:
    """A quarter of the budget's delta is for selections: two of 1e-9 fit in 1e-8 / 4, a third does not."""
    policy = LOOSE.replace("epsilon = 10.0", "epsilon = 1e6").replace("epsilon = 30.0", "epsilon = 1e6")
    session = make_store(tmp_path, policy, made_up_calls(200)).connect()
    asked = f"SELECT free_text, COUNT(*) AS n {INBOUND} AND day < '2026-02-01' GROUP BY free_text"
    for _ in range(2):
        session.sql(asked).run(0.5, fresh=True)
    with pytest.raises(BudgetRefused, match="no delta left"):
        session.sql(asked).run(0.5, fresh=True)
    session.sql(f"SELECT service, COUNT(*) {INBOUND} AND day < '2026-02-01' GROUP BY service").run(0.5)
