"""Ratios and combinations: their intervals cover the truth, they cost nothing, and what is not sound is refused."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from releases import SHAPES, plenty, redrawn
from stores import generous, made_up_calls, make_store

from dpquery.errors import UsageError
from dpquery.faces.derive import Combined, Ratio
from dpquery.faces.sheet import AdditiveNoise, KeySeries, Sheet, ValueSeries
from dpquery.noise.sampler import add_noise
from dpquery.noise.tails import half_width, standard_deviation

if TYPE_CHECKING:
    from pathlib import Path

    from dpquery.faces.sheet import Terms
    from dpquery.noise.allowlist import MechanismName
    from dpquery.release import Release
    from dpquery.session import Session

ROWS = 4000
COUNTS = "SELECT day, local_hour, COUNT(*) AS n, SUM(talk_s) AS s FROM calls GROUP BY day, local_hour"


@dataclass(frozen=True)
class Simulated:
    """Rows with one truth and noise of our own, in place of a release."""

    terms: Terms
    noisy: dict[str, np.ndarray]
    mechanism: MechanismName
    scale: float
    drawn: dict[str, frozenset[tuple[str, int]] | None]

    def sheet_at(self, confidence: float) -> Sheet:
        reach = half_width(self.mechanism, self.scale, confidence)
        deviation = standard_deviation(self.mechanism, self.scale)
        columns: list[KeySeries | ValueSeries] = [KeySeries("k", "integer", tuple(range(ROWS)))]
        for name, values in self.noisy.items():
            drawn = self.drawn[name]
            noise = None if drawn is None else AdditiveNoise(deviation, drawn)
            value = tuple(values.tolist())
            low, high = tuple((values - reach).tolist()), tuple((values + reach).tolist())
            columns.append(ValueSeries(name, name, None, True, value, low, high, (True,) * ROWS, noise))
        return Sheet(tuple(columns), ROWS, confidence, self.terms)

    def sheet(self) -> Sheet:
        return self.sheet_at(0.95)


def covered(ratio: Ratio, truth: float) -> float:
    rows = ratio.rows()
    name = ratio.name
    return float(
        np.mean([row[f"{name}_low"] is None or row[f"{name}_low"] <= truth <= row[f"{name}_high"] for row in rows])
    )


@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
@pytest.mark.parametrize("dependent", [False, True])
@pytest.mark.parametrize("confidence", [0.6, 0.95, 0.99])
@pytest.mark.parametrize("bottom", [60, 400, 10_000])
def test_ratios_cover_the_truth(
    small: Release, mechanism: MechanismName, dependent: bool, confidence: float, bottom: int
) -> None:
    """Also where the denominator hardly stands out, and where both columns carry the very same noise."""
    scale, top = 20.0, 500
    noise = [add_noise(mechanism, scale, np.zeros(ROWS, np.int64)) for _ in range(2)]
    noisy = {"a": top + noise[0], "b": bottom + noise[0 if dependent else 1]}
    drawn = {"a": frozenset({("r", 0)}), "b": frozenset({("r", 0 if dependent else 1)})}
    source = Simulated(small.sheet().terms, noisy, mechanism, scale, dict(drawn))
    ratio = Ratio(source, "a", "b", "a_per_b", confidence)  # type: ignore[arg-type]
    assert covered(ratio, top / bottom) >= confidence - 5 * math.sqrt(confidence * (1 - confidence) / ROWS)


def test_a_ratio_of_what_is_computed_is_a_box(small: Release) -> None:
    noise = add_noise("laplace", 20.0, np.zeros(ROWS, np.int64))
    source = Simulated(
        small.sheet().terms, {"a": 500 + noise, "b": 900 - noise}, "laplace", 20.0, {"a": None, "b": frozenset()}
    )
    assert covered(Ratio(source, "a", "b", "x"), 500 / 900) >= 0.95 - 0.02  # type: ignore[arg-type]


def test_a_ratio_within_a_release(session: Session) -> None:
    sql = "SELECT cell_id, SUM(talk_s) AS s, COUNT(*) AS n, AVG(talk_s) AS t FROM calls GROUP BY cell_id"
    release = plenty(session.sql(sql).run(epsilon=50), "r-1")
    ratio = release.ratio("s", "n")
    for row, own in zip(ratio.rows(), release.rows(), strict=True):
        assert row["cell_id"] == own["cell_id"]
        assert row["s_per_n"] == pytest.approx(own["s"] / own["n"])
        assert row["s_per_n_low"] < row["s_per_n"] < row["s_per_n_high"]
        assert row["s_per_n_useful"]
    assert ratio.cost == release.cost
    assert ratio.guarantee == release.guarantee
    assert ratio.sheet().terms.paid == "nothing new spent"
    narrow, wide = ratio.interval(0.6).rows()[0], ratio.interval(0.99).rows()[0]
    assert narrow["s_per_n_high"] < wide["s_per_n_high"]
    box = release.ratio("t", "n", name="what")
    assert set(box.rows()[0]) == {"cell_id", "what", "what_low", "what_high", "what_useful"}
    assert release.interval(0.99).ratio("s", "n").confidence == 0.99
    same = release.ratio("n", "n").rows()[0]  # one noise in both: the true ratio, 1, is within
    assert same["n_per_n_low"] <= 1 <= same["n_per_n_high"]
    with pytest.raises(UsageError) as caught:
        release.ratio("s", "cell_id")
    assert caught.value.fix == "one of: s, n, t"


def test_a_denominator_within_its_noise_gives_no_interval(session: Session) -> None:
    asked = session.sql("SELECT SUM(talk_s) AS s, COUNT(*) AS n FROM calls").run(epsilon=1)
    nothing = redrawn(asked, [np.zeros((1, 1)), np.zeros((1, 1))], "r-1").ratio("s", "n").interval(0.9999)
    row = nothing.rows()[0]
    assert (row["s_per_n_low"], row["s_per_n_high"], row["s_per_n_useful"]) == (None, None, False)
    assert "± unknown (?)" in str(nothing)
    assert nothing.interval(0.5).rows()[0]["s_per_n"] == row["s_per_n"]
    nothing.plot().svg()
    nothing._repr_html_()


@pytest.mark.parametrize("epsilons", [(1.0, 1.0), (0.5, 2.0), (1.0, 1.0, 3.0)])
@pytest.mark.parametrize("confidence", [0.7, 0.95, 0.99])
def test_combinations_cover_the_truth_and_are_narrower(
    session: Session, epsilons: tuple[float, ...], confidence: float
) -> None:
    asked = [session.sql(COUNTS).run(epsilon=epsilon, fresh=True) for epsilon in epsilons]
    cells = asked[0].plan.bounded.cells
    exact = [np.full((cells, part.measurement.width), 70_000) for part in asked[0].plan.parts]
    drawn = [redrawn(release, exact, f"r-{i}") for i, release in enumerate(asked)]
    both = drawn[0].combine(*drawn[1:]).interval(confidence)
    alone = [release.interval(confidence) for release in drawn]
    for name in ("n", "s"):
        rows = both.rows()
        within = np.mean([row[f"{name}_low"] <= 70_000 <= row[f"{name}_high"] for row in rows])
        assert within >= confidence - 5 * math.sqrt(confidence * (1 - confidence) / cells)
        reach = rows[0][f"{name}_high"] - rows[0][name]
        assert np.std([row[name] for row in rows]) <= min(
            np.std([row[name] for row in release.rows()]) for release in alone
        )
        if confidence == 0.95 and len(set(epsilons)) == 1:
            assert all(reach < release.rows()[0][f"{name}_high"] - release.rows()[0][name] for release in alone)


def test_a_combination_costs_what_was_spent(session: Session) -> None:
    sql = SHAPES["two categories"]
    first, second = (session.sql(sql).run(epsilon=epsilon, fresh=True) for epsilon in (0.5, 0.75))
    both = first.combine(second)
    assert isinstance(both, Combined)
    assert not any(charge.new for charge in both.cost.charged)
    assert both.document().releases == (first.release_id, second.release_id)
    assert [entry.entry for entry in both.document().ledger] == [first.ledger.entry, second.ledger.entry]
    if first.cost.epsilon_at_delta:
        assert both.cost.rho == pytest.approx(first.cost.rho + second.cost.rho)
        assert max(first.cost.epsilon, second.cost.epsilon) < both.cost.epsilon <= 1.25 + 1e-9
    else:
        assert both.cost.epsilon == 1.25
        assert "these 2 releases together by at most a factor e^1.25." in both.guarantee.sentence
    values = [row["n"] for row in both.rows()]
    for value, a, b in zip(values, first.rows(), second.rows(), strict=True):
        assert min(a["n"], b["n"]) <= value <= max(a["n"], b["n"])
    third = session.sql(sql).run(epsilon=0.5, fresh=True)
    assert len(both.combine(third).releases) == 3
    for here, there in zip(both.combine(third).rows(), third.combine(both).rows(), strict=True):
        assert here["n"] == pytest.approx(there["n"])


def test_losses_of_both_kinds_are_added_as_rho(session: Session) -> None:
    """A Laplace and a Gaussian release of one question, as budgets may leave no other choice."""
    few = session.sql("SELECT COUNT(*) AS n FROM calls").run(epsilon=0.5, fresh=True)
    many = session.sql(COUNTS).run(epsilon=0.5, fresh=True)
    assert (few.plan.mechanism, many.plan.mechanism) == ("laplace", "gaussian")
    mixed = plenty(few, "r-2")
    mixed = replace(
        mixed,
        plan=replace(
            few.plan,
            mechanism="gaussian",
            parts=(replace(few.plan.parts[0], mechanism="gaussian", loss=many.plan.parts[0].loss),),
        ),
    )
    both = few.combine(mixed)
    assert both.cost.epsilon_at_delta == few.plan.delta_release
    assert both.cost.rho == pytest.approx(
        float(few.plan.loss.rho or 0) / 1e12 + float(many.plan.parts[0].loss.rho or 0) / 1e12
    )
    assert both.guarantee.definition == "zero-concentrated"
    assert "zCDP" in both.guarantee.sentence


def test_what_cannot_be_combined_is_refused_with_the_reason(session: Session, small: Release, tmp_path: Path) -> None:
    counts = session.sql(SHAPES["whole number"])
    one = counts.run(epsilon=1, fresh=True)
    other = counts.run(epsilon=1, fresh=True)

    def refused(*releases: Release | Combined) -> str:
        with pytest.raises(UsageError) as caught:
            releases[0].combine(*releases[1:])
        return caught.value.why

    assert "does not average out" in refused(one, one)
    assert "does not average out" in refused(one.combine(other), one)
    assert "does not average out" in refused(
        counts.run(epsilon=1), counts.run(epsilon=1)
    )  # a repeated release is the same one
    assert "different questions" in refused(one, small)
    averages = session.sql(SHAPES["category"]).run(epsilon=50, fresh=True)
    assert "t is not additive" in refused(small, averages)
    cut = [session.sql(SHAPES["whole number"] + " ORDER BY n LIMIT 3").run(epsilon=1, fresh=True) for _ in range(2)]
    assert "keep rows by their noise" in refused(*cut)
    unnamed = [
        session.sql("SELECT COUNT(*) AS n FROM calls GROUP BY local_hour").run(epsilon=1, fresh=True) for _ in range(2)
    ]
    assert "matched by their keys" in refused(*unnamed)
    renamed = session.sql(SHAPES["whole number"].replace("AS n", "AS m")).run(epsilon=1, fresh=True)
    assert "different columns" in refused(one, renamed)
    later = replace(other, summary=other.summary.model_copy(update={"data_version": 99}))
    assert "different data versions" in refused(one, later)
    wider = replace(other, summary=other.summary.model_copy(update={"bounds": {"max_rows_per_group": 7}}))
    assert "different contribution bounds" in refused(one, wider)
    assert "different purposes" in refused(one, replace(other, purpose="another"))
    for nothing in ((), (one.ratio("n", "n"),), ("r-1",)):
        with pytest.raises(UsageError):
            one.combine(*nothing)
    grown = make_store(tmp_path, generous(), made_up_calls(60))
    with grown.connect() as elsewhere:
        before = elsewhere.sql(SHAPES["whole number"]).run(epsilon=1)
        grown.steward.ingest(made_up_calls(30, seed=8), table="calls")
        after = elsewhere.sql(SHAPES["whole number"]).run(epsilon=1)
    assert "different data versions" in refused(before, after)


def test_combined_rows_are_sorted_by_combined_values(session: Session) -> None:
    for order, descending in (("n DESC", True), ("n", False)):
        query = session.sql(f"{SHAPES['whole number']} ORDER BY {order}")
        both = query.run(epsilon=1, fresh=True).combine(query.run(epsilon=1, fresh=True))
        values = [row["n"] for row in both.rows()]
        assert values == sorted(values, reverse=descending)


def test_a_ratio_of_a_combination(session: Session) -> None:
    sql = "SELECT cell_id, SUM(talk_s) AS s, COUNT(*) AS n FROM calls GROUP BY cell_id"
    first, second = (plenty(session.sql(sql).run(epsilon=50, fresh=True), name) for name in ("r-1", "r-2"))
    both = first.combine(second)
    ratio = both.ratio("s", "n", name="seconds")
    assert ratio.cost == both.cost
    assert json.loads(ratio.document().model_dump_json(by_alias=True))["schema"] == "dpquery.derived/1"
    assert ratio.document().derived == "ratio"
    assert all(row["seconds_low"] < row["seconds"] < row["seconds_high"] for row in ratio.rows())
    for derived in (both, ratio):
        assert "nothing new spent" in str(derived)
        assert derived.to_arrow().num_rows == 3
        assert "2 releases together" in derived._repr_html_()
        assert derived.plot().svg().startswith("<svg")
        assert derived.cite().count("ledger entry sha256:") == 2
