"""Grants, raises and closes: what changes a cap, what cannot, and what is said about it."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning import POLICY
from stores import MadeStore, made_up_calls, make_store

from dpquery.accounting import ATTO, NANO, Cap
from dpquery.decisions import Amounts, checked_block, later_cap
from dpquery.errors import BudgetRefused, DpqueryError, LedgerError, PolicyError, QueryRefused, UsageError
from dpquery.first_grants import cap_of
from dpquery.ledger import Caps, Grant, Ledger, Scope, make_steward_key
from dpquery.ledger.bodies import GrantBody
from dpquery.noise.conversion import rho_within
from dpquery.policy import parse_policy
from dpquery.session import Session
from dpquery.stewardship import Steward, steward
from dpquery.store_ledger import ledger_place

ANA = "analyst:ana"
WHY: Any = {"reason": "a test", "actor": "eva"}
WITH_CEILING = POLICY.replace("ana = { epsilon = 10.0", "ana = { ceiling = 20.0, epsilon = 10.0")
IN_GROUP = WITH_CEILING.replace("[analysts.ben]", 'group = "insights"\n[analysts.ben]')
COUNT = "SELECT COUNT(*) AS n FROM calls WHERE day BETWEEN '2026-01-01' AND '2026-01-31'"


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    return make_store(tmp_path, IN_GROUP, made_up_calls(60))


def cap_in_force(door: Steward, scope: str, block: str = "*") -> Cap | None:
    with Ledger.open(ledger_place(door.store)) as ledger:
        ledger.verify()
        return ledger.caps().cap(Scope.parse(scope), block)


def refused(door: Steward, action: str, *words: object, **options: object) -> DpqueryError:
    with Ledger.open(ledger_place(door.store)) as ledger:
        before = ledger.head()
        with pytest.raises(DpqueryError) as caught:
            getattr(door, action)(*words, **{**WHY, **options})
        assert ledger.head() == before
    return caught.value


def test_a_ceiling_in_the_policy_is_the_first_grant_and_the_cap_the_second(made: MadeStore) -> None:
    cap, tied = cap_in_force(made.steward, ANA), cap_in_force(made.steward, "analyst:ben")
    assert cap is not None
    assert cap == tied
    with Ledger.open(ledger_place(made.steward.store)) as ledger:
        ceiling = ledger.caps().ceiling(Scope.parse(ANA), "2026-01")
    assert ceiling is not None
    assert (ceiling.epsilon, cap.epsilon) == (20 * NANO, 10 * NANO)
    raised = made.steward.raise_cap(ANA, 20.0, **WHY)
    assert (raised.before.cap.epsilon, raised.after.cap.epsilon, raised.ceiling.epsilon) == (10.0, 20.0, 20.0)  # type: ignore[union-attr]
    assert refused(made.steward, "raise_cap", ANA, 20.000001).code == "DPQ-206"
    assert refused(made.steward, "raise_cap", "analyst:ben", 10.5).code == "DPQ-206"
    with pytest.raises(PolicyError, match="ceiling is below"):
        parse_policy(POLICY.replace("ana = { epsilon = 10.0", "ana = { ceiling = 9.0, epsilon = 10.0"))


@pytest.mark.parametrize(
    ("epsilon", "delta"), [(10.0, None), (10.0, 1e-6), (9.0, None), (12.0, 1e-7), (9.0, 1e-6), (12.0, 0.0)]
)
def test_a_raise_goes_up(made: MadeStore, epsilon: float, delta: float | None) -> None:
    assert refused(made.steward, "raise_cap", ANA, epsilon, delta).code == "DPQ-207"


def test_a_raise_is_measured_by_the_cap_in_force_in_the_named_block(made: MadeStore) -> None:
    made.steward.grant(ANA, 3.0, block="2026-01", **WHY)
    assert made.steward.raise_cap(ANA, 4.0, block="2026-01", **WHY).after.cap.epsilon == 4.0  # type: ignore[union-attr]
    assert refused(made.steward, "raise_cap", ANA, 4.0, block="2026-02").code == "DPQ-207"
    each = made.steward.raise_cap(ANA, 12.0, **WHY)
    assert any("2026-01" in note and "stays as it is" in note for note in each.notes)
    assert cap_in_force(made.steward, ANA, "2026-01").epsilon == 4 * NANO  # type: ignore[union-attr]
    assert cap_in_force(made.steward, ANA, "2026-02").epsilon == 12 * NANO  # type: ignore[union-attr]
    assert refused(made.steward, "raise_cap", "group:insights", 1.0, 0.0).code == "DPQ-207"


def test_delta_is_that_of_the_cap_in_force_and_must_be_named_where_there_is_none(made: MadeStore) -> None:
    assert made.steward.grant(ANA, 4.0, 5e-7, **WHY).after.cap.delta == 5e-7  # type: ignore[union-attr]
    assert made.steward.grant(ANA, 5.0, **WHY).after.cap.delta == 5e-7  # type: ignore[union-attr]
    assert "--delta" in str(refused(made.steward, "grant", "group:insights", 5.0).fix)
    first = made.steward.grant("group:insights", 5.0, 0.0, **WHY)
    assert (first.before.cap, first.before.state, first.after.state) == (None, "open", "open")
    assert refused(made.steward, "grant", "group:insights", 5.5).code == "DPQ-206"
    assert refused(made.steward, "grant", ANA, 5.0, 2e-6).code == "DPQ-206"


def test_below_what_is_spent_nothing_more_fits_and_every_figure_stays_true(made: MadeStore) -> None:
    with made.connect() as session:
        session.sql(COUNT).run(epsilon=1.5)
        lowered = made.steward.grant(ANA, 1.0, **WHY)
        assert any("2026-01" in note and "nothing more fits" in note for note in lowered.notes)
        (held,) = lowered.scopes
        assert (held.block, held.left.epsilon) == ("2026-01", 0.0)
        assert held.spent.epsilon == pytest.approx(1.5)
        assert held.used == pytest.approx(1.5)
        for epsilon in (0.001, 1.0):
            with pytest.raises(BudgetRefused) as caught:
                session.sql(COUNT + " AND talk_s > 3").run(epsilon=epsilon)
            assert caught.value.code == "DPQ-201"
        assert session.sql(COUNT).run(epsilon=1.5).status == "repeated"
        assert session.sql(COUNT.replace("-01-", "-02-").replace("31", "28")).run(epsilon=0.9).left is not None
        opened = made.steward.grant(ANA, 10.0, **WHY)
        assert opened.scopes[0].left.epsilon == pytest.approx(8.5)
        assert session.sql(COUNT + " AND talk_s > 3").run(epsilon=1.0).status == "released"
    assert made.steward.budget().ledger.verified


def test_a_lower_delta_than_is_spent_closes_both_filters(tmp_path: Path) -> None:
    policy = POLICY.replace("epsilon_max = 2.0", "epsilon_max = 2.0\nmin_people = 1\ndelta_selection = 1e-7")
    made = make_store(tmp_path, policy, made_up_calls(60))
    sql = "SELECT free_text, COUNT(*) AS n FROM calls WHERE direction = 'inbound' GROUP BY free_text"
    with made.connect() as session:
        session.sql(sql).run(epsilon=1.0)
        for delta in (0.0, 1e-8):
            lowered = made.steward.grant(ANA, 10.0, delta, **WHY)
            for held in lowered.scopes:
                assert (held.left.epsilon, held.left.delta, held.filters.pure.open) == (0.0, 0.0, False)
                assert held.used >= 1.0
                assert held.spent.epsilon == pytest.approx(1.0)
            with pytest.raises(BudgetRefused) as caught:
                session.sql(COUNT).run(epsilon=0.1)
            assert caught.value.fix == "ask the steward for more"


def test_closing_stops_and_a_grant_that_applies_opens(made: MadeStore) -> None:
    with made.connect() as session:
        closed = made.steward.close(ANA, block="2026-01", **WHY)
        assert (closed.before.state, closed.after.state) == ("open", "closed")
        with pytest.raises(BudgetRefused) as caught:
            session.sql(COUNT).run(epsilon=0.1)
        assert caught.value.code == "DPQ-202"
        assert session.sql(COUNT.replace("-01-", "-02-").replace("31", "28")).run(epsilon=0.1).status == "released"
        opened = made.steward.grant(ANA, 10.0, **WHY)
        assert any("2026-01: was closed, and is open again" in note for note in opened.notes)
        assert session.sql(COUNT).run(epsilon=0.1).status == "released"
        made.steward.close("group:insights", **WHY)
        with pytest.raises(BudgetRefused):
            session.sql(COUNT + " AND talk_s > 3").run(epsilon=0.1)


@pytest.mark.parametrize(
    ("scope", "block", "fix"),
    [
        ("analyst:anna", "*", "--scope analyst:ana"),
        ("purpose:network_plannin", "*", "--scope purpose:network_planning"),
        ("group:insight", "*", "--scope group:insights"),
        ("user:ana", "*", "analyst:NAME"),
        ("dataset:small", "*", "dataset"),
        ("ana", "*", "analyst:NAME"),
        (ANA, "2026-13", "--block 2026-01"),
        (ANA, "2026-1", "--block 2026-01"),
        (ANA, "january", "--block 2026-01"),
        (ANA, "", "--block 2026-01"),
    ],
)
def test_names_that_do_not_exist_are_refused_with_the_nearest(
    made: MadeStore, scope: str, block: str, fix: str
) -> None:
    for action in ("grant", "raise_cap", "close"):
        amounts = () if action == "close" else (5.0, 1e-6)
        error = refused(made.steward, action, scope, *amounts, block=block)
        assert isinstance(error, UsageError)
        assert fix in str(error.fix)


UNSAID = ["", "   ", "\t", "x" * 1001, "caf\udce9", "two\nlines", "a\rb", "red \x1b[31m", "a\u2028b", "\U0010ffff"]


@pytest.mark.parametrize(
    "changed",
    [
        *({"reason": reason} for reason in UNSAID),
        {"actor": ""},
        {"actor": "init"},
        {"actor": " a "},
        {"actor": "ev\udce9"},
        {"actor": "a\nb"},
    ],
)
def test_every_decision_says_why_and_who(made: MadeStore, changed: dict[str, str]) -> None:
    assert isinstance(refused(made.steward, "grant", ANA, 5.0, **changed), UsageError)
    assert isinstance(refused(made.steward, "close", ANA, **changed), UsageError)


def test_a_reason_may_be_in_any_script(made: MadeStore) -> None:
    persian = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u06cc\u0645"
    for reason in ("étude du printemps\u00a0: «\u202fréseau\u202f»", "調査\u3000春", persian, "👩\u200d🔬"):
        assert made.steward.grant(ANA, 5.0, reason=reason, actor="Zoë").reason == reason
    assert json.loads(made.steward.report().to_json())


@pytest.mark.parametrize(
    ("epsilon", "delta"), [(0.0, None), (-1.0, None), (1e10, None), (float("nan"), None), (1.0, -0.1), (1.0, 0.01)]
)
def test_amounts_are_those_that_a_policy_could_say(made: MadeStore, epsilon: float, delta: float | None) -> None:
    assert isinstance(refused(made.steward, "grant", ANA, epsilon, delta), UsageError)


def test_blocks_are_months_all_or_each() -> None:
    assert [checked_block(text) for text in ("2026-01", "2026-12", "all", "*")] == ["2026-01", "2026-12", "all", "*"]


def test_an_analyst_that_left_the_policy_can_be_closed_but_not_granted(made: MadeStore) -> None:
    path = made.folder / "policy.toml"
    text = path.read_text().replace('[analysts.ben]\npurposes = ["network_planning"]\n', "")
    path.write_text(text.replace(", ben = { epsilon = 10.0, delta = 1e-6 }", ""))
    assert "analyst:ana" in str(refused(made.steward, "grant", "analyst:ben", 5.0).fix)
    assert made.steward.close("analyst:ben", **WHY).after.state == "closed"


exact = st.fractions(min_value=Fraction(1, 1000), max_value=30, max_denominator=1000)
small = st.sampled_from([0, 1, 3, 4, 10**6, 10**12, 10**15]).map(lambda units: Fraction(units, ATTO))


budgets = st.tuples(exact, small)


@settings(deadline=None)
@given(most=budgets, asked=budgets, split=st.booleans(), split_now=st.booleans())
def test_a_later_cap_of_no_larger_amounts_is_within_its_ceiling(
    most: tuple[Fraction, Fraction], asked: tuple[Fraction, Fraction], *, split: bool, split_now: bool
) -> None:
    """Whatever the policy says by now about thresholds: the delta was split once, by the first cap."""
    pair = (Scope("dataset"), "*")
    ceiling = cap_of(float(most[0]), most[1], thresholds=split)
    caps = Caps()
    caps.add(1, GrantBody(*pair, ceiling, "r", "a"))
    cap = later_cap(Amounts(float(asked[0]), float(asked[1])), caps, pair, thresholds=split_now)
    smaller = cap.epsilon <= ceiling.epsilon and cap.delta <= ceiling.delta
    assert cap.is_within(ceiling) == smaller
    if ceiling.delta_selection:
        assert cap.delta_selection == cap.delta // 4
    if cap.epsilon and cap.delta_conversion:
        assert cap.rho <= rho_within(cap.epsilon / NANO, cap.delta_conversion / ATTO) * 1e12 * (1 + 1e-9)
        assert cap.rho > 0 or not smaller or ceiling.rho == 0


def test_editing_the_budgets_of_the_policy_changes_no_cap_and_is_said(made: MadeStore) -> None:
    before = made.steward.budget()
    assert before.notes == ()
    path = made.folder / "policy.toml"
    path.write_text(
        path.read_text()
        .replace("ana = { ceiling = 20.0, epsilon = 10.0", "ana = { ceiling = 20.0, epsilon = 15.0")
        .replace("30.0", "1000.0")
    )
    after = steward(made.folder).budget()
    assert {s.scope: s.cap for s in after.scopes} == {s.scope: s.cap for s in before.scopes}
    assert cap_in_force(made.steward, ANA).epsilon == 10 * NANO  # type: ignore[union-attr]
    (note,) = after.notes
    assert "dataset, analyst:ana is not in force" in note
    assert "caps are changed with grant and raise" in note
    assert steward(made.folder).edited_budgets() == after.notes
    made.steward.grant(ANA, 15.0, **WHY)  # the policy says what is in force
    assert "analyst:ana" not in made.steward.budget().notes[0]
    path.write_text(path.read_text().replace("ceiling = 20.0", "ceiling = 25.0"))
    assert "analyst:ana" not in made.steward.budget().notes[0]


def test_a_cap_that_was_granted_is_no_edit_of_the_policy(made: MadeStore) -> None:
    made.steward.grant(ANA, 2.0, **WHY)
    made.steward.close("dataset", **WHY)
    assert made.steward.budget().notes == ()


def test_an_analyst_has_no_way_to_a_cap(made: MadeStore, tmp_path: Path) -> None:
    """No method or statement of a session grants; the ledger it holds takes signatures of the steward's key alone."""
    with made.connect() as session:
        public = {name for name in dir(Session) if not name.startswith("_")}
        assert not {name for name in public if any(word in name for word in ("grant", "raise", "close_", "cap"))}
        for statement in (
            "GRANT 100 TO ana",
            "SET dp.budget = 100",
            "ALTER PRIVACY BUDGET analyst:ana SET epsilon = 100",
            "CALL raise('analyst:ana', 100)",
        ):
            with pytest.raises((QueryRefused, UsageError)):
                session.sql(statement)
        make_steward_key(tmp_path / "own.key")
        other = cap_of(100.0, 0.0, thresholds=False)
        for sign in (session.ledger.grant, session.ledger.raise_cap):
            with pytest.raises(LedgerError) as caught:
                sign(Grant(Scope.parse(ANA), "*", other, "because", "ana"), steward_key=tmp_path / "own.key")
            assert caught.value.code == "DPQ-808"
        assert session.ledger.caps().cap(Scope.parse(ANA), "*").epsilon == 10 * NANO  # type: ignore[union-attr]


def test_without_the_steward_s_key_nobody_decides(made: MadeStore) -> None:
    key = made.folder.with_name("store.steward.key")
    key.rename(key.with_name("elsewhere"))
    with pytest.raises(DpqueryError):
        made.steward.grant(ANA, 5.0, **WHY)
    assert cap_in_force(made.steward, ANA).epsilon == 10 * NANO  # type: ignore[union-attr]


def test_the_ledger_holds_who_and_why(made: MadeStore) -> None:
    done = made.steward.close(ANA, reason="left the company", actor="eva")
    with Ledger.open(ledger_place(made.steward.store)) as ledger:
        head = ledger.head()
    assert head.name == done.ledger.entry
    body = json.loads(head.body)
    assert (body["reason"], body["actor"], body["block"]) == ("left the company", "eva", "*")
