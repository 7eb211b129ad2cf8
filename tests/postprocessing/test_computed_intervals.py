"""Intervals of arithmetic over noisy values hold the truth as often as they say, over many draws of our own noise."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from planning import priced, small_catalog

from dpquery.noise.allowlist import MechanismName
from dpquery.noise.sampler import add_noise
from dpquery.noise.tails import half_width, standard_deviation
from dpquery.plan.expressions import Arithmetic, ArithmeticOperator, Coalesce, ColumnRef, Expression, Value
from dpquery.postprocessing.answer import answer
from dpquery.postprocessing.computed import computed
from dpquery.postprocessing.intervals import Estimates, around
from dpquery.postprocessing.linear_forms import NoisyValue

DRAWS = 6_000
A, B, C = (ColumnRef(name, "integer") for name in "abc")
HUNDRED, SIXTY = Value(100, "integer"), Value(60, "integer")


def op(sign: ArithmeticOperator, left: Expression, right: Expression) -> Expression:
    return Arithmetic(sign, left, right, "decimal")


FORMS: dict[str, Expression] = {
    "difference": op("-", A, B),
    "sum of three": op("+", op("-", A, op("*", HUNDRED, B)), op("/", C, SIXTY)),
    "ratio": op("/", A, B),
    "percentage": op("/", op("*", HUNDRED, A), B),
    "percentage, written the other way": op("*", op("/", A, B), HUNDRED),
    "share of a whole": op("/", A, op("+", A, B)),
    "change": op("/", op("-", A, B), B),
    "per minute": op("/", A, op("/", B, SIXTY)),
}
BOXES: dict[str, Expression] = {
    "product": op("*", A, B),
    "ratio of a ratio": op("/", op("/", A, B), C),
    "one or the other": op("-", Coalesce((A, B), "integer"), B),
}


At = Callable[[float], dict[str, Estimates]]


def drawn(
    mechanism: MechanismName, truth: dict[str, int], scales: dict[str, float]
) -> tuple[dict[str, NoisyValue], At]:
    zeros = np.zeros(DRAWS, np.int64)
    noisy = {name: truth[name] + add_noise(mechanism, scales[name], zeros) for name in truth}
    columns = {
        name: NoisyValue(noisy[name].astype(np.float64), i, standard_deviation(mechanism, scales[name]))
        for i, name in enumerate(noisy)
    }

    def at(confidence: float) -> dict[str, Estimates]:
        return {n: around(noisy[n], half_width(mechanism, scales[n], confidence)) for n in noisy}

    return columns, at


def truth_of(expression: Expression, truth: dict[str, int]) -> float:
    match expression:
        case ColumnRef(name=name):
            return truth[name]
        case Value(value=value):
            return float(value)  # type: ignore[arg-type]
        case Coalesce(items=items):
            return truth_of(items[0], truth)
        case Arithmetic(operator=sign, left=left, right=right):
            x, y = truth_of(left, truth), truth_of(right, truth)
            return {"+": x + y, "-": x - y, "*": x * y}[sign] if sign != "/" else x / y
    raise AssertionError(expression)


@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
@pytest.mark.parametrize("confidence", [0.6, 0.95, 0.99])
@pytest.mark.parametrize("bottom", [-300, 45, 10_000])
@pytest.mark.parametrize("form", [*FORMS, *BOXES])
def test_the_truth_is_within(form: str, bottom: int, confidence: float, mechanism: MechanismName) -> None:
    """Also where the denominator is negative or hardly stands out; no interval (NaN) leaves nothing out."""
    expression = (FORMS | BOXES)[form]
    truth = {"a": 500, "b": bottom, "c": 90}
    columns, at = drawn(mechanism, truth, {"a": 12.0, "b": 20.0, "c": 3.0})
    found = computed(expression, at(confidence), {}, noisy=columns, at=at, confidence=confidence)
    true = truth_of(expression, truth)
    held = np.isnan(found.low) | ((found.low <= true) & (true <= found.high))
    assert held.mean() >= confidence - 5 * math.sqrt(confidence * (1 - confidence) / DRAWS)
    known = ~np.isnan(found.low)
    assert np.all((found.low <= found.value)[known] & (found.value <= found.high)[known])


@pytest.mark.parametrize("form", FORMS)
def test_forms_are_narrower_than_boxes(form: str) -> None:
    """What the box would be: without knowing which noise is in each value."""
    columns, at = drawn("laplace", {"a": 5_000, "b": 9_000, "c": 90}, {"a": 12.0, "b": 20.0, "c": 3.0})
    exact = computed(FORMS[form], at(0.95), {}, noisy=columns, at=at, confidence=0.95)
    box = computed(FORMS[form], at(0.95), {}, noisy={}, at=at, confidence=0.95)
    assert np.array_equal(exact.value, box.value)
    assert np.all(exact.high - exact.low < box.high - box.low)


def test_null_has_no_interval() -> None:
    columns, at = drawn("laplace", {"a": 5, "b": 9}, {"a": 1.0, "b": 1.0})
    keys = {"k": [None, 0, *([2] * (DRAWS - 2))]}
    by_key = op("/", op("-", A, B), ColumnRef("k", "integer"))
    found = computed(by_key, at(0.95), keys, noisy=columns, at=at, confidence=0.95)
    assert np.isnan([found.value[:2], found.low[:2], found.high[:2]]).all()
    assert np.isfinite([found.value[2:], found.low[2:], found.high[2:]]).all()


def test_there_may_be_more_expressions_than_aggregates() -> None:
    plan = priced("SELECT COUNT(*) / 2 AS a, COUNT(*) / 3 AS b, COUNT(*) / 4 AS c FROM calls", small_catalog())
    found = answer(plan, [np.full((1, 1), 120)])
    assert found.names[::4] == ("a", "b", "c")
    assert [column[0] for column in found.columns[::4]] == [60.0, 40.0, 30.0]
