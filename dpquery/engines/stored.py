"""Which files of a store a plan reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpquery.consent import allowance, registry_view
from dpquery.engines.relations import empty_table
from dpquery.engines.scan import StoredRows
from dpquery.errors import ensure
from dpquery.plan.relations import leaves, tables_of
from dpquery.plan.retention import cutoffs, is_cut

if TYPE_CHECKING:
    from datetime import datetime

    from dpquery.plan.catalog import Catalog
    from dpquery.privacy.calibrate import PrivacyPlan
    from dpquery.store import Store


def stored_rows(
    store: Store,
    catalog: Catalog,
    plan: PrivacyPlan,
    *,
    purpose: str,
    at: datetime,
    data_version: int | None = None,
) -> StoredRows:
    """The rows a plan may read: files of the blocks that were charged, the predicate `block IN (...)` of the plan.

    Of these the rows that are not past retention at `at`, whatever the plan asks for, and that every owner allows to
    count for `purpose`, by what they have said up to `at`. Of an earlier `data_version` those that it had: rows of
    protected tables are only added, a batch for each version.
    """
    tables = tables_of(plan.bounded.logical.relation)
    allowed = allowance(store, purpose, at)
    cuts = cutoffs(store.policy, at.date())
    past = any(is_cut(leaf, cuts) for leaf in leaves(plan.bounded.logical.relation))
    ensure(not past, "a plan asks for no time that is past retention")
    views = {name: registry_view(store, name, at) for name in tables if store.policy.tables[name].registry is not None}
    latest = store.data_version if data_version is None else data_version
    files = {
        name: tuple(file.path for file in store.files(name, plan.bounded.blocks) if file.batch <= latest)
        for name in tables
    }
    empty = {name: empty_table(catalog.tables[name]) for name in tables if not files[name]}
    return StoredRows(
        store.folder,
        files,
        store.number_count,
        empty,
        parties={name: store.policy.tables[name].party_names for name in tables},
        kept_from={name: (catalog.tables[name].time_column or "", cuts[name]) for name in tables if name in cuts},
        allowed=None if allowed is None else allowed.signs(),
        views=views,
    )
