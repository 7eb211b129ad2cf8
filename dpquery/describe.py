"""A plan in words and documents: what is promised, what it costs, what is not protected."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING

from dpquery.documents import Cost, Guarantee, IntervalColumn, KeyColumn, PlanSummary, ScopeCharge, ValueColumn
from dpquery.noise.conversion import epsilon_of
from dpquery.plan.auto_bounds import waits_for_bounds
from dpquery.plan.expressions import Arithmetic, children
from dpquery.plan.loss import TIMES
from dpquery.plan.query import Average, Quantile, Sum, Variance, is_aggregate_column, shown
from dpquery.plan.released import released_columns
from dpquery.plan.unlisted import unlisted_values
from dpquery.postprocessing.estimates import part_half_width, values_threshold
from dpquery.postprocessing.expected import ASSUMED_ROWS, depends_on_rows, expected_half_width, step_unit
from dpquery.privacy.calibrate import NANO, PICO, one_row
from dpquery.privacy.measure import (
    EXTREMES,
    DistinctMeasurement,
    HistogramMeasurement,
    KeptMeasurement,
    PairsMeasurement,
    QuantileMeasurement,
    ValuesMeasurement,
)
from dpquery.privacy.question import canonical_plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Literal

    from dpquery.plan.catalog import NamedTable
    from dpquery.plan.expressions import Expression
    from dpquery.plan.query import LogicalPlan, Output
    from dpquery.policy.model import Column
    from dpquery.privacy.bound import BoundedPlan
    from dpquery.privacy.calibrate import CalibratedMeasurement, PrivacyPlan
    from dpquery.privacy.question import Versions

_KEY_TYPES: dict[str, Literal["string", "integer", "boolean", "date", "timestamp"]] = {
    "text": "string",
    "integer": "integer",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
}


@functools.cache
def versions_in_use() -> dict[str, str]:
    """Versions that an answer depends on."""
    return {name: importlib.metadata.version(name) for name in ("dpquery", "opendp", "phonenumbers")}


LIBRARIES = ("dpquery", "opendp", "duckdb", "sqlglot", "numpy", "numba", "pyarrow", "phonenumbers", "SQLAlchemy")
"""Libraries between the rows and an answer."""


@functools.cache
def versions_of_libraries() -> dict[str, str]:
    """Versions of Python and of the libraries that answers pass through."""
    return {"Python": platform.python_version(), **{name: importlib.metadata.version(name) for name in LIBRARIES}}


def column_names(output: Output) -> tuple[str, str, str]:
    """Names of an output's interval ends and its usefulness flag."""
    return f"{output.name}_low", f"{output.name}_high", f"{output.name}_useful"


def columns(
    plan: PrivacyPlan, *, expected: float | None = None
) -> tuple[KeyColumn | ValueColumn | IntervalColumn, ...]:
    """One entry per output; with `expected`, the reach of its interval at that confidence, where it can be known."""
    return tuple(_column(plan, output, expected=expected) for output in shown(plan.bounded.logical))


def _column(plan: PrivacyPlan, output: Output, *, expected: float | None) -> KeyColumn | ValueColumn | IntervalColumn:
    logical = plan.bounded.logical
    match output.kind:
        case "low" | "high" as end:
            of = logical.outputs[output.index]
            kind = value_type(plan, of) if of.kind == "aggregate" else "number"
            return IntervalColumn(name=output.name, type=kind, unit=of.unit, of=of.name, end=end)
    if output.kind == "key":
        return KeyColumn(name=output.name, type=_KEY_TYPES[logical.keys[output.index].type])
    low, high, _ = column_names(output)
    half_width = None if expected is None else expected_half_width(plan, output, expected)
    rows = ASSUMED_ROWS if half_width is not None and depends_on_rows(plan, output) else None
    if output.kind == "expression":
        return ValueColumn(
            name=output.name,
            type="number",
            unit=output.unit,
            aggregate=output.sql,
            low=low,
            high=high,
            mechanism=plan.mechanism,
            scale=None,
            expected_half_width=half_width,
            expected_if_rows=rows,
        )
    part = plan.parts[plan.readings[output.index].parts[0]]
    return ValueColumn(
        name=output.name,
        type=value_type(plan, output),
        unit=output.unit,
        aggregate=output.sql,
        low=low,
        high=high,
        mechanism=part.mechanism,
        scale=None if waits_for_bounds(logical, output) else _scale(part),
        expected_half_width=half_width,
        expected_if_rows=rows,
    )


def _scale(part: CalibratedMeasurement) -> float | None:
    """Scale of the noise in the answer's unit; None for a selection, whose noise is on rows."""
    if isinstance(part.measurement, QuantileMeasurement):
        return None
    return float(f"{part.scale * step_unit(part.measurement):.12g}")


def value_type(plan: PrivacyPlan, output: Output) -> Literal["integer", "number"]:
    """Whether the values of an output are whole numbers."""
    aggregate = plan.bounded.logical.aggregates[output.index]
    if isinstance(aggregate, Average | Variance | Quantile) or (
        isinstance(aggregate, Sum) and aggregate.clamp.step != 1.0
    ):
        return "number"
    return "integer"


def noise_in_rows(plan: PrivacyPlan) -> float:
    """95 % half-width of the noise on one group of the first aggregate, in rows of its largest value."""
    parts = [plan.parts[index] for index in plan.readings[0].parts]
    part = next(part for part in parts if not isinstance(part.measurement, QuantileMeasurement))
    return part_half_width(part) / one_row(part.measurement, for_intervals=False)


def bounds_in_use(bounded: BoundedPlan) -> dict[str, int]:
    """The contribution bounds that apply, by their names in the policy."""
    bounds = bounded.bounds
    if not bounded.logical.bounded_keys:
        return {"max_rows": bounds.max_rows_per_group}
    if bounded.rule == "dual-greedy":
        return {"max_rows_per_group": bounds.max_rows_per_group}
    return {
        "max_rows": bounds.max_rows,
        "max_groups": bounds.max_groups,
        "max_rows_per_group": bounds.max_rows_per_group,
    }


def plan_summary(plan: PrivacyPlan, versions: Versions) -> PlanSummary:
    logical = plan.bounded.logical
    return PlanSummary(
        unit=plan.bounded.unit,
        owners=1 if plan.bounded.rule == "one-owner" else 2,
        bounding=plan.bounded.rule,
        bounds=bounds_in_use(plan.bounded),
        keys="selected" if logical.selects_groups else "declared" if logical.keys else "none",
        groups=plan.bounded.cells if _groups_known(logical) else None,
        threshold=None if plan.selection is None else plan.selection.threshold,
        canonical=canonical_plan(plan),
        data_version=versions.data,
        policy_version=versions.policy,
        consent_version=versions.consent,
        kept_from=dict(logical.kept_from),
    )


def _groups_known(logical: LogicalPlan) -> bool:
    return logical.groups is not None or not logical.selects_groups


def groups_in_words(plan: PrivacyPlan) -> str:
    """One line for the preview: which groups will be in the answer."""
    logical = plan.bounded.logical
    if plan.selection is not None:
        return f"those with more than {plan.selection.threshold:,} noisy numbers in them; others do not show"
    return f"{plan.bounded.cells:,} declared" if logical.keys else "one answer, no GROUP BY"


def guarantee(plan: PrivacyPlan, table: NamedTable) -> Guarantee:
    """The promise, as it is printed with every release."""
    calls = "every row it owns" if len(plan.bounded.parties) < 2 else "every call it made or received"
    if table.legs_of is not None:
        calls = "its own half of every call"
    start = f"Adding or removing any one protected phone number, with {calls}, changes the distribution of this release"
    epsilon = plain(Decimal(plan.asked_epsilon) / NANO)
    hidden = not_protected((table.legs_of or table).policy.columns, halves=table.legs_of is not None)
    shown = upwards(Decimal(plan.loss.delta) / 10**18)
    group = f"delta = {shown:.3g}: the chance that a group shows which only that number is in"
    if plan.mechanism == "laplace" and plan.selection is None:
        return Guarantee(definition="pure", sentence=f"{start} by at most a factor e^{epsilon}.", not_protected=hidden)
    if plan.mechanism == "laplace":
        sentence = f"{start} by at most a factor e^{epsilon}, plus {group}."
        return Guarantee(definition="approximate", sentence=sentence, not_protected=hidden)
    rho = plain(Decimal(plan.loss.rho or 0) / PICO)
    sentence = f"{start} by at most a factor e^{epsilon}, plus delta = {plan.delta_release:g} (rho = {rho} zCDP)"
    sentence += "." if plan.selection is None else f", plus {group}."
    return Guarantee(definition="zero-concentrated", sentence=sentence, not_protected=hidden)


def not_protected(columns: Mapping[str, Column], *, halves: bool) -> tuple[str, ...]:
    """What the promise leaves out, where rows have `columns`; `halves`: each row is one party's half of a call."""
    trace = ("a number's trace in the other party's half of its calls",) if halves else ()
    people = tuple(
        f"people named in {name}" for name, column in columns.items() if column.type == "text" and not column.selectable
    )
    return (
        *trace,
        *people,
        "public numbers and lines, and rows that only they are on",
        "the policy: tables, keys, bounds and the period",
        "the number of queries and what was asked",
        "a person with m numbers has m times the loss",
    )


def caveats(plan: PrivacyPlan, table: NamedTable) -> tuple[str, ...]:
    """What a reader of the values should know, beyond the noise; follows from the request and the policy alone."""
    found = [
        f"rows of {name} before {first} are past retention, and left out"
        for name, first in plan.bounded.logical.kept_from
    ]
    found += unlisted_values(plan.bounded.logical, table)
    if plan.selection is not None:
        found.append(
            f"only groups with more than {plan.selection.threshold:,} noisy numbers show; those that just do have "
            "somewhat fewer than their count says"
        )
    for index, part in enumerate(plan.parts):
        match part.measurement:
            case HistogramMeasurement(width=width, edges=edges):
                if plan.bounded.rule == "dual-greedy" or edges[-1] - edges[0] > width:
                    found.append(_read_off(plan, index, width))
            case QuantileMeasurement(candidates=candidates):
                found.append(
                    f"quantiles over rows with one owner are selected from {candidates} bins, by {part.mechanism}"
                )
            case DistinctMeasurement(party=party):
                found.append(f"COUNT(DISTINCT {party}) counts protected numbers; public and withheld ones are left out")
            case PairsMeasurement(parties=parties):
                pair = ", ".join(parties)
                found.append(f"COUNT(DISTINCT ({pair})) leaves out pairs with a withheld number")
            case KeptMeasurement(present=None):
                found.append(
                    f"shares are of the rows that {TIMES[-1]:g} times the bounds keep; what these leave out is not seen"
                )
            case ValuesMeasurement(width=width):
                found.append(
                    f"of {width} values, those with more than {values_threshold(part)} noisy rows count as different "
                    "values; one with fewer rows may be missing, and no interval tells how many are"
                )
            case _:
                continue
    if bounded_apart(plan):
        logical = plan.bounded.logical
        divided = [o.name for o in logical.outputs if o.kind == "expression" and _divides(logical.expressions[o.index])]
        found += [not_the_mean(name) for name in divided]
    quantiles = [a.fraction for a in plan.bounded.logical.aggregates if isinstance(a, Quantile)]
    for fraction, name in ((0.0, "MIN"), (1.0, "MAX")):
        if fraction in quantiles:
            found.append(f"{name} is the {EXTREMES[fraction]:.1%} quantile: the exact one is one person's value")
    return tuple(dict.fromkeys(found))


def bounded_apart(plan: PrivacyPlan) -> bool:
    """Whether each aggregate keeps rows of its own choice, so that two of them are not about the same rows."""
    return plan.bounded.rule == "dual-greedy"


def not_the_mean(name: str) -> str:
    """What a quotient of such aggregates is not. A sum keeps the rows with large values, a count any."""
    return (
        f"{name} is no mean: over rows with two owners each aggregate is bounded by itself, and a sum keeps the "
        "largest values, so that it comes out too high where rows are left out; AVG(x) is the mean, and "
        "AVG(CASE WHEN test THEN 1 ELSE 0 END) a share"
    )


def _divides(expression: Expression) -> bool:
    """Whether one aggregate is divided by another."""
    if isinstance(expression, Arithmetic) and expression.operator == "/":
        above, below = (
            {name for name in released_columns(side) if is_aggregate_column(name)}
            for side in (expression.left, expression.right)
        )
        if above and below and above != below:
            return True
    return any(_divides(part) for part in children(expression))


def _read_off(plan: PrivacyPlan, index: int, width: int) -> str:
    """What is read off a histogram, and how finely."""
    owners = "two owners" if plan.bounded.rule == "dual-greedy" else "one owner"
    kinds = {reading.kind for reading in plan.readings if index in reading.parts}
    names = {
        "histogram mean": "averages",
        "histogram variance": "variances",
        "quantile": "quantiles",
        "selected quantile": "intervals of quantiles",
    }
    things = " and ".join(name for kind, name in names.items() if kind in kinds)
    text = f"{things} over rows with {owners} are read off a histogram of {width} bins"
    ends = {"quantile", "selected quantile"} & kinds
    return text + "; the interval of a quantile runs to the ends of bins" if ends else text


def cost(plan: PrivacyPlan, charged: Iterable[ScopeCharge]) -> Cost:
    """The price; what was spent is rounded up."""
    loss = plan.loss
    return Cost(
        epsilon=upwards(Decimal(plan.asked_epsilon if loss.epsilon is None else loss.epsilon) / NANO),
        delta=upwards(Decimal(loss.delta) / 10**18),
        rho=upwards(Decimal(loss.rho or 0) / PICO),
        epsilon_at_delta=0.0 if plan.mechanism == "laplace" else plan.delta_release,
        charged=tuple(charged),
    )


def upwards(amount: Decimal) -> float:
    """A float that is not below `amount` by more than its own rounding, to 18 decimal places."""
    return float(amount.quantize(Decimal("1e-18"), rounding=ROUND_CEILING))


def upwards_of(epsilon_nano: int) -> float:
    """Whole billionths of epsilon as a release shows them."""
    return upwards(Decimal(epsilon_nano) / NANO)


def plain(amount: Decimal) -> str:
    """A short decimal text without trailing zeros or exponent."""
    text = f"{amount:.9f}".rstrip("0").rstrip(".")
    return text or "0"


def bounding_in_words(logical: LogicalPlan, plan: PrivacyPlan) -> str:
    """One line for the preview: which rule, and how much one number may add."""
    bounds = plan.bounded.bounds
    if plan.bounded.rule == "dual-greedy":
        each = "in each group" if logical.bounded_keys else "in all"
        return f"two owners per row (dual-greedy): a number keeps at most {bounds.max_rows_per_group} rows {each}"
    if not logical.bounded_keys:
        return f"one owner per row: a number keeps at most {bounds.max_rows} rows"
    return (
        f"one owner per row: a number keeps at most {bounds.max_rows} rows, in at most {bounds.max_groups} groups, "
        f"{bounds.max_rows_per_group} in each"
    )


def epsilon_of_rho(rho_pico: int, delta: float) -> float:
    """Epsilon that a Gaussian of this rho is described by at `delta`."""
    return epsilon_of(rho_pico / PICO, delta)
