"""Plans without a store: a small policy, its catalog, and priced plans over it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dpquery.catalog import numbering_plan
from dpquery.noise.conversion import rho_within
from dpquery.noise.thresholds import threshold_of
from dpquery.noise.verify import verify
from dpquery.plan.catalog import Catalog
from dpquery.plan.query import Output
from dpquery.policy import parse_policy
from dpquery.privacy.bound import bound
from dpquery.privacy.calibrate import NANO, Thresholds, calibrate
from dpquery.sql.resolve import resolve

if TYPE_CHECKING:
    from dpquery.plan.expressions import Constant
    from dpquery.plan.query import Aggregate, LogicalPlan, RequestedBounds
    from dpquery.policy import Policy
    from dpquery.privacy.calibrate import MechanismName, PrivacyPlan

POLICY = """
schema = 1
dataset = "small-calls"
version = 1

[numbers]
default_region = "GB"
public_numbers = ["+442079460000"]
public_kinds = ["short_code"]
[numbers.regions]
"GB-LND" = ["+4420"]
"GB-MAN" = ["+44161"]

[tables.calls]
owners = 2
one_owner_when = "direction <> 'p2p'"
parties = { caller = "caller", callee = "callee" }
time = { column = "start_ts", format = "iso", zone = "UTC", grain = "minute" }
period = [2026-01-01, 2026-02-28]
block = "month"
[tables.calls.columns]
service = { type = "text", keys = ["voice", "sms"], null_key = true }
direction = { type = "text", keys = ["outbound", "inbound", "p2p"] }
talk_s = { type = "integer", unit = "s", bounds = [0, 60], bins = "log" }
score = { type = "integer", bounds = [-8, 5] }
cost = { type = "decimal", unit = "GBP", bounds = [0, 4], grid = 0.25 }
cell_id = { type = "text", keys = { table = "cells" } }
answered = { type = "boolean" }
free_text = { type = "text" }
agent_id = { type = "text", selectable = false }
[tables.calls.bounds]
ungrouped = { max_rows = 3 }
grouped = { max_rows = 4, max_groups = 2, max_rows_per_group = 2 }
by_key = [{ keys = ["direction"], max_rows_per_group = 3 }]

[tables.subscribers]
owners = 1
parties = { number = "number" }
columns = { age_band = { type = "text", keys = ["young", "old"], sensitive = true } }

[tables.dnc]
owners = 1
parties = { number = "number" }
columns = { list_name = { type = "text", keys = ["own", "national"] } }

[tables.legs]
legs_of = "calls"
carries = ["service", "direction", "talk_s", "score", "cell_id", "answered"]
[tables.legs.bounds]
ungrouped = { max_rows = 3 }
grouped = { max_rows = 4, max_groups = 2, max_rows_per_group = 2 }

[tables.cells]
public = true
key = "cell_id"
columns = { cell_id = { type = "text" }, area = { type = "text" }, masts = { type = "integer" } }

[purposes.network_planning]
text = "Plan capacity."
notice = "v1"
regime = "opt-out"

[analysts.ana]
purposes = ["network_planning"]
[analysts.ben]
purposes = ["network_planning"]

[budgets]
dataset = { epsilon = 30.0, delta = 1e-6 }
analysts = { ana = { epsilon = 10.0, delta = 1e-6 }, ben = { epsilon = 10.0, delta = 1e-6 } }

[limits]
epsilon_max = 2.0
"""

CELLS = ("C1", "C2", "C3")
CELL_ROWS: dict[str, tuple[Constant, ...]] = {"cell_id": CELLS, "area": ("north", "north", "south"), "masts": (1, 2, 4)}


def small_policy() -> Policy:
    return parse_policy(POLICY)


def small_catalog(policy: Policy | None = None) -> Catalog:
    policy = policy or small_policy()
    return Catalog.build(policy, numbering_plan(policy), {"cells": CELL_ROWS})


def priced(
    sql: str,
    catalog: Catalog,
    *,
    epsilon: float = 1.0,
    gaussian: bool = True,
    requested: RequestedBounds | None = None,
) -> PrivacyPlan:
    """The verified plan of `sql`."""
    return priced_plan(resolve(sql, catalog, requested_bounds=requested), catalog, epsilon=epsilon, gaussian=gaussian)


def priced_plan(
    logical: LogicalPlan,
    catalog: Catalog,
    *,
    epsilon: float = 1.0,
    gaussian: bool = True,
    mechanism: MechanismName | None = None,
) -> PrivacyPlan:
    """The verified plan of a resolved request: the one that errs least, or the one with `mechanism`."""
    limits = catalog.policy.limits
    plans = calibrate(
        bound(logical, catalog),
        int(epsilon * NANO),
        delta_release=1e-6,
        gaussian_allowed=gaussian,
        rho_within=rho_within,
        thresholds=Thresholds(limits.delta_selection, limits.min_people, threshold_of) if limits.min_people else None,
    )
    return verify(next(plan for plan in plans if mechanism in {None, plan.mechanism}))


def asking(sql: str, catalog: Catalog, *aggregates: Aggregate, requested: RequestedBounds | None = None) -> LogicalPlan:
    """The request `sql`, which selects COUNT(*) alone (and keys), with these aggregates in its place."""
    logical = resolve(sql, catalog, requested_bounds=requested)
    keys = tuple(output for output in logical.outputs if output.kind == "key")
    asked = tuple(Output(f"a{i}", "aggregate", i, type(a).__name__) for i, a in enumerate(aggregates))
    return replace(logical, aggregates=aggregates, outputs=(*keys, *asked))
