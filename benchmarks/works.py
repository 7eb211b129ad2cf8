"""The queries that are measured, the bounds they run with, and how fast they should be."""

from __future__ import annotations

from dataclasses import dataclass

TABLE = "calls"
KEY = "caller_region"
"""13 regions; the plain query gives the same cells."""
EPSILON = 1.0
"""Privacy loss of each answer."""
HUNDRED_MILLION = 100_000_000


@dataclass(frozen=True, slots=True)
class Bounds:
    """Contribution bounds of one number: rows in all (one owner only), rows in each group."""

    label: str
    max_rows: int
    max_rows_per_group: int


POLICY_BOUNDS = Bounds("policy", max_rows=100, max_rows_per_group=50)
"""Those of the demo's policy, made for about 10 rows a number; 10^7 rows have about 100."""
LARGE_BOUNDS = Bounds("large", max_rows=500, max_rows_per_group=500)
ALL_BOUNDS = (POLICY_BOUNDS, LARGE_BOUNDS)


@dataclass(frozen=True, slots=True)
class Work:
    """One query over the calls, and the most time it may take."""

    name: str
    where: str
    """SQL that both systems understand; empty for all rows."""
    reach: tuple[float, float]
    """Ratio to the plain query's time to be reached: below 10^8 rows, and from there on."""
    stretch: float
    """A ratio still better, below 10^8 rows."""

    def reach_at(self, rows: int) -> float:
        return self.reach[0] if rows < HUNDRED_MILLION else self.reach[1]

    @property
    def plain_sql(self) -> str:
        """The query without privacy; its parameter is the list of files."""
        where = f" WHERE {self.where}" if self.where else ""
        return f"SELECT {KEY}, COUNT(*) FROM read_parquet(?){where} GROUP BY {KEY}"


WORKS = (
    Work("W1", "direction <> 'p2p'", reach=(2.0, 2.0), stretch=1.5),
    Work("W6", "", reach=(4.5, 6.0), stretch=3.0),
)
"""W1: COUNT(*) by region of rows with one owner. W6: the same of rows with two owners."""
