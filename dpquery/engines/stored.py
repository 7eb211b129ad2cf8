"""Which files of a store a plan reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpquery.engines.relations import empty_table
from dpquery.engines.scan import StoredRows
from dpquery.plan.relations import tables_of

if TYPE_CHECKING:
    from dpquery.plan.catalog import Catalog
    from dpquery.privacy.calibrate import PrivacyPlan
    from dpquery.store import Store


def stored_rows(store: Store, catalog: Catalog, plan: PrivacyPlan, data_version: int | None = None) -> StoredRows:
    """The rows a plan may read: files of the blocks that were charged, the predicate `block IN (...)` of the plan.

    Of an earlier `data_version` those that it had: rows of protected tables are only added, a batch for each version.
    """
    tables = tables_of(plan.bounded.logical.relation)
    latest = store.data_version if data_version is None else data_version
    files = {
        name: tuple(file.path for file in store.files(name, plan.bounded.blocks) if file.batch <= latest)
        for name in tables
    }
    empty = {name: empty_table(catalog.tables[name]) for name in tables if not files[name]}
    return StoredRows(store.folder, files, store.number_count, empty)
