"""`bounds => 'auto'`: two charges, bounds stored and reused, and nothing lost if the process ends between them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from planning import POLICY
from stores import MadeStore, generous, made_up_calls, make_store

from dpquery import measuring
from dpquery.errors import BudgetRefused, EngineError, UsageError
from dpquery.faces.facts import Facts
from dpquery.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

    from dpquery.ledger import Charged, ChargeRequest
    from dpquery.session import Session

BOUNDED = 'unit = "s", bounds = [0, 60], bins = "log"'
SUM = "SELECT SUM(talk_s, bounds => 'auto') AS s FROM calls WHERE direction = 'inbound'"
MEAN = (
    "SELECT service, AVG(talk_s, bounds => 'auto') AS t FROM calls WHERE direction = 'inbound' AND day < '2026-03-01' "
    "GROUP BY service"
)


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    return make_store(tmp_path, POLICY.replace(BOUNDED, 'unit = "s"'), made_up_calls(600, numbers=400))


@pytest.fixture
def session(made: MadeStore) -> Session:
    return made.connect()


def kinds(session: Session) -> list[str]:
    return [entry.kind for entry in session.ledger.entries() if entry.kind not in {"genesis", "grant"}]


def spent(session: Session) -> float:
    return float(session.budget()["blocks"][0]["filters"]["pure"]["epsilon"])


def test_answers_are_close_to_plain_duckdb_without_anybody_naming_bounds(tmp_path: Path) -> None:
    policy = generous(POLICY.replace(BOUNDED, 'unit = "s"').replace("bounds = [0, 4], grid = 0.25", ""))
    made = make_store(tmp_path, policy.replace('unit = "GBP",  }', 'unit = "GBP" }'), made_up_calls(2000))
    session = made.connect()
    for aggregate, near in (("SUM(talk_s{})", 2e-3), ("AVG(talk_s{})", 0.05), ("SUM(cost * 2{})", 0.01)):
        for where in ("", " WHERE direction = 'inbound'"):
            chosen, plain = aggregate.format(", bounds => 'auto'"), aggregate.format("")
            release = session.sql(f"SELECT {chosen} AS x FROM calls{where}").run(1e6)
            true = made.plain(f"SELECT {plain} FROM calls{where}")[0][0]
            assert release.rows()[0]["x"] == pytest.approx(float(str(true)), rel=near), (aggregate, where)
            assert release.chosen[0].clear
            assert release.chosen[0].high <= 128


def test_bounds_are_charged_first_and_named_by_the_release(session: Session) -> None:
    query = session.sql(SUM)
    preview = query.preview(1.0)
    assert preview.document().cost.epsilon == 1.0
    assert preview.document().columns[0].expected_half_width is None  # type: ignore[union-attr]
    assert "chosen first, for epsilon 0.15" in str(preview)
    assert kinds(session) == []
    release = query.run(1.0)
    assert kinds(session) == ["charge", "release", "charge", "release"]
    assert spent(session) == pytest.approx(1.0, abs=1e-9)
    [chosen] = release.chosen
    assert (chosen.aggregate, chosen.epsilon, chosen.new) == ("SUM(talk_s)", 0.15, True)
    assert release.cost.epsilon == 0.85
    assert "e^0.85." in release.guarantee.sentence
    assert chosen.release in release.guarantee.sentence
    assert "e^0.15" in release.guarantee.sentence
    assert any(f"{chosen.low:g} to {chosen.high:g}" in warning for warning in release.warnings)
    document = json.loads(release.document().model_dump_json(by_alias=True))
    assert document["value_bounds"][0]["release"] == chosen.release
    charges = [json.loads(entry.body) for entry in session.ledger.entries() if entry.kind == "charge"]
    assert charges[1]["plan"]["bounds_from"] == [chosen.release]
    session.ledger.verify()


def test_stored_bounds_are_reused_for_free_by_other_aggregates_and_keys(session: Session) -> None:
    first = session.sql(SUM).run(1.0)
    assert session.sql(SUM).preview(1.0).repeat
    again = session.sql(SUM).run(1.0)
    assert (again.status, again.release_id, again.rows()) == ("repeated", first.release_id, first.rows())
    both = first.combine(session.sql(SUM).run(1.0, fresh=True))
    assert both.guarantee.sentence.count(first.chosen[0].release) == 1
    assert "e^1.7." in both.guarantee.sentence
    before = spent(session)
    mean = session.sql(SUM.replace("SUM(", "AVG(").replace("SELECT ", "SELECT service, ") + " GROUP BY service")
    assert mean.preview(1.0).document().cost.epsilon == 0.85
    assert mean.preview(1.0).document().columns[1].expected_half_width is not None  # type: ignore[union-attr]
    other = mean.run(1.0)
    assert other.status == "released"
    assert (other.chosen[0].release, other.chosen[0].new) == (first.chosen[0].release, False)
    assert spent(session) == pytest.approx(before + 0.85, abs=1e-9)
    better = session.sql(SUM).run(1.5)  # asks for more than the stored bounds were chosen with
    assert better.chosen[0].release != first.chosen[0].release
    assert better.chosen[0].new


def test_another_analyst_pays_for_bounds_in_their_own_scope_only(made: MadeStore) -> None:
    first = made.connect("ana").sql(SUM).run(1.0)
    ben = made.connect("ben")
    assert ben.sql(SUM).preview(1.0).first  # what others have asked is not told
    second = ben.sql(SUM).run(1.0)
    assert (second.status, second.rows()) == ("repeated", first.rows())
    assert second.chosen[0].release == first.chosen[0].release
    assert spent(ben) == pytest.approx(1.0, abs=1e-9)
    ben.ledger.verify()


def test_new_rows_make_other_bounds(made: MadeStore) -> None:
    first = made.connect().sql(SUM).run(1.0)
    made.steward.ingest(made_up_calls(50, seed=9), table="calls")
    assert made.connect().sql(SUM).run(1.0).chosen[0].release != first.chosen[0].release


def test_a_query_that_fits_only_without_its_bounds_is_refused_before_either_is_charged(session: Session) -> None:
    few = session.sql("SELECT COUNT(*) AS n FROM calls WHERE direction = 'inbound'")
    for _ in range(5):
        few.run(1.8, fresh=True)
    head = kinds(session)
    with pytest.raises(BudgetRefused) as caught:
        session.sql(SUM).run(1.1)
    assert caught.value.code == "DPQ-201"
    assert "bounds and answer together" in caught.value.why
    assert kinds(session) == head
    assert session.sql(SUM).run(0.9).chosen[0].new


class _Killed(BaseException):
    """Stands for the end of the process: no handler of the program takes it for a failure."""


def test_a_process_that_ends_between_the_two_charges_loses_nothing(
    made: MadeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = made.connect()
    charge = Ledger.charge
    charged: list[str] = []

    def ending(ledger: Ledger, request: ChargeRequest) -> Charged:
        if charged:
            raise _Killed
        charged.append(request.question)
        return charge(ledger, request)

    with monkeypatch.context() as patch, pytest.raises(_Killed):
        patch.setattr(Ledger, "charge", ending)
        session.sql(SUM).run(1.0, request_id="weekly")
    assert kinds(session) == ["charge", "release"]
    assert spent(session) == pytest.approx(0.15, abs=1e-9)
    release = made.connect().sql(SUM).run(1.0, request_id="weekly")
    assert kinds(session)[2:] == ["charge", "release"]
    assert not release.chosen[0].new
    assert spent(session) == pytest.approx(1.0, abs=1e-9)
    again = made.connect().sql(SUM).run(1.0, request_id="weekly")
    assert (again.release_id, again.rows()) == (release.release_id, release.rows())
    assert spent(session) == pytest.approx(1.0, abs=1e-9)
    session.ledger.verify()


@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_failed_attempt_stays_charged_and_the_same_id_pays_once(
    fails_at: int, made: MadeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = made.connect()
    measured = measuring.measured
    calls: list[int] = []

    def failing(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == fails_at:
            raise EngineError("DPQ-701", "stopped")
        return measured(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(EngineError) as caught:
        patch.setattr("dpquery.asking.charging.measured", failing)
        session.sql(SUM).run(1.0, request_id="r")
    assert caught.value.spent == pytest.approx(0.15 if fails_at == 1 else 1.0)
    assert kinds(session)[-1] == "fail"
    assert spent(session) == pytest.approx(0.15 if fails_at == 1 else 1.0, abs=1e-9)
    session.sql(SUM).run(1.0, request_id="r")
    assert kinds(session).count("charge") == 2
    assert spent(session) == pytest.approx(1.0, abs=1e-9)
    session.ledger.verify()


def test_several_values_share_what_bounds_cost(session: Session) -> None:
    sql = (
        "SELECT SUM(talk_s, bounds => 'auto') AS s, AVG(talk_s, bounds => 'auto') AS t, "
        "MEDIAN(score, bounds => 'auto') AS m, COUNT(*) AS n FROM calls WHERE direction = 'inbound'"
    )
    release = session.sql(sql).run(1.0)
    assert kinds(session).count("charge") == 3
    assert [each.epsilon for each in release.chosen] == [0.075, 0.075, 0.075]
    assert len({each.release for each in release.chosen}) == 2
    assert spent(session) == pytest.approx(1.0, abs=1e-9)


def test_bounds_never_close_the_pure_filter(made: MadeStore) -> None:
    """A Gaussian among the bounds would close it for the answer."""
    session = made.connect()
    release = session.sql("SELECT AVG(talk_s, bounds => 'auto') AS t FROM calls").run(1.0)
    first = next(entry for entry in session.ledger.entries() if entry.kind == "charge")
    assert json.loads(first.body)["plan"]["mechanism"] == "laplace"
    assert release.chosen[0].low < release.chosen[0].high


def test_the_builder_and_errors_in_advance(session: Session) -> None:
    built = session.table("calls").where(direction="inbound").sum("talk_s", per_row="auto", name="s")
    assert built.sql == "SELECT SUM(talk_s, bounds => 'auto') AS s FROM calls WHERE direction = 'inbound'"
    assert built.query().run(1.0).release_id == session.sql(SUM).run(1.0).release_id
    for asked in (lambda: session.sql(SUM).run(within=5.0), lambda: session.sql(SUM).preview(within=5.0)):
        with pytest.raises(UsageError):
            asked()
    assert session.sql(SUM).bounding_loss(0.5).clamped == {}
    refused = session.sql(MEAN).preview(0.5)
    assert refused.first


def with_options(options: str, sql: str = SUM) -> str:
    return sql.replace("SELECT", f"SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS ({options})", 1)


def test_options_price_bounds_and_answer_together(session: Session) -> None:
    query = session.sql(with_options("epsilon = 1, delta = 0, confidence = 0.8", MEAN))
    assert query.preview().document().cost.epsilon == 1.0
    release = query.run()
    assert spent(session) == pytest.approx(1.0, abs=1e-9)
    assert (release.plan.mechanism, release.confidence, release.chosen[0].epsilon) == ("laplace", 0.8, 0.15)
    again = session.sql(with_options("epsilon = 1, confidence = 0.99", MEAN)).run(1.0)
    assert again.chosen[0].release == release.chosen[0].release  # whatever the answer's delta is
    with pytest.raises(UsageError, match="OPTIONS say epsilon = 1"):
        query.run(0.5)


def test_settings_of_the_session_hold(session: Session) -> None:
    session.sql("SET dp.epsilon = 0.8")
    session.sql("SET dp.confidence = 0.9")
    release = session.sql(SUM).run()
    assert spent(session) == pytest.approx(0.8, abs=1e-9)
    assert (release.confidence, release.chosen[0].epsilon) == (0.9, 0.12)
    assert session.sql(SUM).preview(0.8).repeat


def test_fewer_rows_are_asked_of_the_answer_only(session: Session) -> None:
    first = session.sql(SUM).run(1.0)
    fewer = session.sql(with_options("max_rows_contributed = 1")).run(1.0)
    assert fewer.chosen[0].release == first.chosen[0].release
    assert (fewer.status, fewer.plan.bounded.bounds.max_rows) == ("released", 1)


def test_a_target_error_waits_for_bounds_in_vain(session: Session) -> None:
    session.sql(SUM).run(1.0)
    for asked in (
        lambda: session.sql(with_options("target_error = 50")).run(),
        lambda: session.sql("EXPLAIN PRIVACY " + with_options("target_error = 50")),
    ):
        with pytest.raises(UsageError, match="not known before the bounds are chosen"):
            asked()
    assert spent(session) == pytest.approx(1.0, abs=1e-9)


def test_too_little_for_both_is_refused(session: Session) -> None:
    for asked in (session.sql(SUM).preview, session.sql(SUM).run):
        with pytest.raises(BudgetRefused, match="too little to share out between bounds and answer") as caught:
            asked(1e-6)
    fix = caught.value.fix or ""
    assert session.sql(SUM).preview(float(fix.removeprefix("--epsilon "))).first
    assert kinds(session) == []


BOTH = (
    "SELECT date_trunc('week', day) AS w, COUNT(*) AS n, SUM(talk_s, bounds => 'auto') / 60 AS m FROM calls "
    "WHERE direction = 'inbound' GROUP BY w"
)


def test_several_prices_tell_what_is_known_of_each(session: Session) -> None:
    query = session.sql(with_options("delta = 0", BOTH))
    prices = query.preview(epsilon=[0.5, 1.0])
    for row in prices.rows():
        alone = query.preview(row["epsilon"])
        assert alone.document().cost.epsilon == row["epsilon"]
        assert row["n_half_width"] is not None
        assert row["m_half_width"] is None
    assert "on bounds that are yet to be chosen" in str(prices)
    offered = {each.change: {name: after for name, _, after in each.half_widths} for each in prices.alternatives}
    assert "without w" in offered
    for name, widths in offered.items():
        assert widths.keys() == {"n"}, name
    for each in prices.alternatives:
        changed = session.sql(each.sql).preview(prices.at_epsilon).document().columns
        assert [c.expected_half_width for c in changed if c.name == "n"] == [offered[each.change]["n"]]  # type: ignore[union-attr]
    query.run(1.0)
    used = max(block["used"] for block in session.budget()["blocks"])
    assert prices.rows()[1]["share_of_budget"] == pytest.approx(used, rel=1e-4)  # of bounds and answer together
    cheap, dear = query.preview(epsilon=[1.0, 1.5]).rows()
    assert cheap["m_half_width"] is not None
    assert (cheap["epsilon"], dear["epsilon"]) == (0.85, 1.5)
    assert cheap["share_of_budget"] < used
    assert dear["m_half_width"] is None


def test_explaining_names_the_price_of_bounds(session: Session) -> None:
    told = session.statement("EXPLAIN PRIVACY " + BOTH)
    assert isinstance(told, Facts)
    lines = dict(told.tuples())
    assert "chosen first" in lines["bounds"]
    assert "scale unknown" not in lines["n"]
    assert "scale unknown until bounds are chosen" in lines["m"]
    assert "expected" not in lines["m"]
    assert kinds(session) == []
