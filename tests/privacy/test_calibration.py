"""Prices and scales: the asked loss is never passed, is split exactly, and buys the smaller error."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning import priced, small_catalog

from dpquery.errors import BudgetRefused, InternalError
from dpquery.noise.allowlist import integer_noise
from dpquery.noise.verify import verify
from dpquery.privacy.calibrate import GAUSSIAN_95, LAPLACE_95, NANO, PICO, PrivacyPlan, l2_upwards
from dpquery.privacy.concentrated import rho_of_laplace

CATALOG = small_catalog()

QUERIES = [
    "SELECT COUNT(*) FROM calls",
    "SELECT COUNT(*), SUM(talk_s), AVG(score) FROM calls",
    "SELECT service, COUNT(*) FROM calls GROUP BY service",
    "SELECT cell_id, day, COUNT(*), SUM(cost) FROM calls GROUP BY cell_id, day",
    "SELECT AVG(talk_s), COUNT(DISTINCT caller) FROM calls WHERE direction = 'inbound'",
    "SELECT cell_id, AVG(talk_s), COUNT(*) FROM calls WHERE direction <> 'p2p' GROUP BY cell_id",
]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(sql=st.sampled_from(QUERIES), epsilon=st.floats(1e-3, 5.0), gaussian=st.booleans())
def test_parts_add_up_to_no_more_than_was_asked(sql: str, epsilon: float, gaussian: bool) -> None:
    plan = priced(sql, CATALOG, epsilon=epsilon, gaussian=gaussian)
    if plan.mechanism == "laplace":
        assert sum(part.loss.epsilon or 0 for part in plan.parts) == plan.asked_epsilon
        for part in plan.parts:
            mapped = integer_noise("laplace", part.scale).map(float(part.sensitivity.l1))
            assert Fraction(mapped) <= Fraction(part.loss.epsilon or 0, NANO)
            # And not a millionth more noise than needed.
            assert Fraction(mapped) >= Fraction(part.loss.epsilon or 0, NANO) * (1 - Fraction(1, 10**6))
    else:
        assert gaussian
        assert plan.loss.epsilon is None
        for part in plan.parts:
            mapped = integer_noise("gaussian", part.scale).map(l2_upwards(part.sensitivity))
            assert Fraction(mapped) <= Fraction(part.loss.rho or 0, PICO)
            assert Fraction(mapped) >= Fraction(part.loss.rho or 0, PICO) * (1 - Fraction(1, 10**6))


def total_error(plan: PrivacyPlan) -> float:
    factor = LAPLACE_95 if plan.mechanism == "laplace" else GAUSSIAN_95
    return sum((factor * part.scale) ** 2 for part in plan.parts)


@pytest.mark.parametrize("sql", [q for q in QUERIES if "SUM" not in q and "AVG" not in q])
@pytest.mark.parametrize("epsilon", [0.05, 0.5, 2.0])
def test_the_mechanism_with_the_smaller_error_is_taken(sql: str, epsilon: float) -> None:
    either = priced(sql, CATALOG, epsilon=epsilon)
    laplace = priced(sql, CATALOG, epsilon=epsilon, gaussian=False)
    assert total_error(either) <= total_error(laplace)


def test_both_mechanisms_are_taken_somewhere() -> None:
    assert priced(QUERIES[0], CATALOG, epsilon=0.5).mechanism == "laplace"
    assert priced(QUERIES[3], CATALOG, epsilon=0.5).mechanism == "gaussian"


def test_the_rho_of_laplace_is_that_of_its_coordinates() -> None:
    """As `concentrated` has it, and never more than L2^2 / (2 scale^2) and than epsilon^2 / 2."""
    for sql in QUERIES:
        for part in priced(sql, CATALOG, epsilon=1.0, gaussian=False).parts:
            epsilon, rho = Fraction(part.loss.epsilon or 0, NANO), part.loss.rho or 0
            exact = rho_of_laplace(part.scale, part.sensitivity) * PICO
            assert exact <= rho < exact + 1
            unit = Fraction(1, PICO)
            assert Fraction(rho, PICO) <= epsilon**2 / 2 + unit
            assert Fraction(rho, PICO) <= part.sensitivity.l2_squared / (2 * Fraction(part.scale) ** 2) + unit


def test_a_smaller_scale_does_not_verify() -> None:
    """The second route notices a plan that under-states its loss."""
    from dataclasses import replace

    for sql in QUERIES:
        plan = priced(sql, CATALOG)
        for index, part in enumerate(plan.parts):
            thinner = replace(part, scale=part.scale * 0.99)
            parts = (*plan.parts[:index], thinner, *plan.parts[index + 1 :])
            with pytest.raises(InternalError):
                verify(replace(plan, parts=parts))


def test_a_release_has_the_planned_distribution() -> None:
    """The noise that is added has the planned scale: within 3 % over many draws, far from half or twice."""
    from dpquery.measuring import with_noise
    from dpquery.noise.tails import standard_deviation

    for sql in QUERIES[:3]:
        for part in priced(sql, CATALOG).parts:
            drawn = with_noise(part, np.zeros(50_000, np.int64))
            assert math.isclose(drawn.std(), standard_deviation(part.mechanism, part.scale), rel_tol=0.03)


def test_an_epsilon_of_fewer_units_than_measurements_is_refused() -> None:
    sql = "SELECT COUNT(*), SUM(talk_s), AVG(score), COUNT(DISTINCT caller) FROM calls WHERE direction = 'inbound'"
    assert len(priced(sql, CATALOG, epsilon=6e-9).parts) == 5
    with pytest.raises(BudgetRefused, match="over 5 measurements"):
        priced(sql, CATALOG, epsilon=4e-9)
