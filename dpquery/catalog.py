"""The catalog of an open store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpquery.numbers.places import country_domain, region_domain
from dpquery.numbers.scheme import scheme_of
from dpquery.numbers.services import line_types, told_as
from dpquery.plan.catalog import Catalog, NumberingPlan

if TYPE_CHECKING:
    from dpquery.policy import Policy
    from dpquery.store import Store


def numbering_plan(policy: Policy) -> NumberingPlan:
    """Values that region, country and line type can have under `policy`."""
    scheme = scheme_of(policy)
    return NumberingPlan(
        regions=region_domain(scheme, policy.numbers.default_region),
        countries=country_domain(scheme),
        line_types=line_types(policy.numbers),
        told_as=told_as(policy.numbers),
    )


def catalog_of(store: Store) -> Catalog:
    """What can be named in queries over `store`; reads policy, numbering plan and public tables, no private rows."""
    public = {name: store.public_rows(name) for name, table in store.policy.tables.items() if table.public}
    return Catalog.build(store.policy, numbering_plan(store.policy), public)
