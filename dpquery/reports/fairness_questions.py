"""What the fairness report asks: the size of every declared group, and every outcome in every group.

An outcome is one value per number, counted in one group. So nobody weighs more than another, bounds leave out no rows,
each group has the whole epsilon of its question, and numbers are independent draws where chance is spoken of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dpquery.errors import UsageError, broken
from dpquery.policy.links import parties_of, table_of_group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dpquery.plan.expressions import Constant
    from dpquery.policy import Policy
    from dpquery.policy.model import Outcome, Table

ONE_GROUP = (
    "WITH DIFFERENTIAL_PRIVACY OPTIONS (max_rows_contributed = 1, max_groups_contributed = 1, max_rows_per_group = 1)"
)
"""A number is in one group, with one value."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question of the report in SQL: a group in `g`, then `n`, or `total` and `n`."""

    kind: Literal["size", "outcome"]
    name: str
    """`calls` for the rows of a table, else the outcome."""
    column: str
    """The group column, as the policy names it."""
    counted: str
    """What `n` counts, in the plural."""
    sql: str
    people: bool
    """Whether `n` counts numbers, each once, so that the policy's least number of people applies."""
    clamp: tuple[float, float] | None = None
    """Of an outcome: least and largest value of a number. `total` adds values less the middle of it."""
    unit: str | None = None

    @property
    def middle(self) -> float:
        """What was taken off each value; the noise of the total is then least."""
        return 0.0 if self.clamp is None else sum(self.clamp) / 2.0

    def of_group(self, key: Constant) -> str:
        """A question about size for one group alone."""
        _, _, name = self.column.rpartition(".")
        where = f"{name} IS NULL" if key is None else f"{name} = {_literal(key)}"
        return _size(self.name, name, f" WHERE {where}")


def questions(policy: Policy) -> tuple[Question, ...]:
    """Every question; UsageError if the policy declares no groups."""
    found = (*_sizes(policy), *_outcomes(policy))
    if not found:
        raise UsageError(
            "DPQ-002", "the policy names no groups to compare", fix='[report] with fairness_groups = ["caller_region"]'
        )
    return found


def _sizes(policy: Policy) -> Iterator[Question]:
    for column in policy.report.fairness_groups:
        table = table_of_group(policy, column) or broken("a policy's groups are columns")
        _, _, name = column.rpartition(".")
        people = _is_list_of_people(policy.tables[table])
        yield Question("size", table, column, f"rows of {table}", _size(table, name, ""), people)


def _size(table: str, column: str, where: str) -> str:
    return f"SELECT {column} AS g, COUNT(*) AS n FROM {table}{where} GROUP BY {column}"


def _is_list_of_people(table: Table) -> bool:
    """Whether a number has one row at most."""
    return table.legs_of is None and table.owners == 1 and table.contribution_bounds.ungrouped.max_rows == 1


def _outcomes(policy: Policy) -> Iterator[Question]:
    for name, outcome in policy.report.outcomes.items():
        asked = policy.report.fairness_groups if outcome.groups is None else outcome.groups
        for column in asked:
            source = _source(policy, outcome, column)
            if source is None:
                continue
            key, tables = source
            value, clamp, unit = _value(policy.tables[outcome.table], outcome)
            where = f" WHERE {outcome.where}" if outcome.where is not None else ""
            number = f"c.{_number(policy, outcome)}"
            middle = sum(clamp) / 2.0
            low, high = clamp[0] - middle, clamp[1] - middle
            sql = (
                f"SELECT {ONE_GROUP} g, "
                f"SUM(v - {middle!r}, contribution_bounds_per_row => ({low!r}, {high!r})) AS total, COUNT(v) AS n "
                f"FROM (SELECT {key} AS g, {number}, {value} AS v FROM {tables}{where} GROUP BY 1, 2) GROUP BY g"
            )
            yield Question("outcome", name, column, "numbers", sql, people=True, clamp=clamp, unit=unit)


def _source(policy: Policy, outcome: Outcome, column: str) -> tuple[str, str] | None:
    """The key and FROM; None where a group of the report is not one of this outcome's numbers."""
    table, dot, name = column.rpartition(".")
    if not dot or table == outcome.table:
        known = table_of_group(policy, f"{outcome.table}.{name}") is not None
        return (f"c.{name}", f"{outcome.table} c") if known else None
    people = policy.tables[table]
    if people.owners != 1:
        return None
    on = f"p.{people.party_names[0]} = c.{_number(policy, outcome)}"
    return f"p.{name}", f"{outcome.table} c JOIN {table} p ON {on}"


def _number(policy: Policy, outcome: Outcome) -> str:
    return outcome.number or parties_of(policy.tables[outcome.table])[0]


def _value(table: Table, outcome: Outcome) -> tuple[str, tuple[float, float], str | None]:
    """A number's value in SQL, what it is clamped to, and its unit."""
    if outcome.rate is not None:
        return f"AVG(CASE WHEN {outcome.rate} THEN 1 ELSE 0 END)", (0.0, 1.0), None
    if outcome.mean is not None:
        column = table.columns[outcome.mean]
        clamp = outcome.bounds or column.bounds or broken("a policy's means have bounds")
        return f"AVG(c.{outcome.mean})", (float(clamp[0]), float(clamp[1])), column.unit
    clamp = outcome.bounds or broken("a policy's numbers of rows have bounds")
    return "COUNT(*)", (float(clamp[0]), float(clamp[1])), "rows"


def _literal(key: Constant) -> str:
    """A declared key in SQL."""
    match key:
        case bool():
            return "TRUE" if key else "FALSE"
        case int() | float():
            return repr(key)
        case _:
            quoted = str(key).replace("'", "''")
            return f"'{quoted}'"
