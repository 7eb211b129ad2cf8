"""What the demo's made-up rows really say. Works on a demo store only: real rows are never compared with answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from dpquery.demo.marker import ensure_demo
from dpquery.engines import relations, render
from dpquery.engines.embedded import execute
from dpquery.engines.scan import connection
from dpquery.engines.stored import stored_rows
from dpquery.privacy.measure import CountMeasurement, HistogramMeasurement

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dpquery.plan.catalog import Catalog
    from dpquery.privacy.calibrate import PrivacyPlan
    from dpquery.store import Store


@dataclass(frozen=True, slots=True)
class Truth:
    """Rows per cell, all of them and those that the bounds keep; shape (cells,)."""

    rows: NDArray[np.int64]
    kept: NDArray[np.int64]

    @property
    def median_cell(self) -> int:
        """Index of the cell with the median number of rows."""
        order = np.argsort(self.rows, kind="stable")
        return int(order[len(order) // 2])

    @property
    def lost(self) -> float:
        """Share of rows that the bounds leave out of the median cell."""
        rows = int(self.rows[self.median_cell])
        return 1.0 - int(self.kept[self.median_cell]) / rows if rows else 0.0


def truth(store: Store, catalog: Catalog, plan: PrivacyPlan) -> Truth:
    """Exact rows per cell of a plan over a demo store, before and after bounding."""
    ensure_demo(store.folder)
    logical = plan.bounded.logical
    source = stored_rows(store, catalog, plan, purpose="network_planning", at=datetime.now(UTC))
    rows = np.zeros(plan.bounded.cells, np.int64)
    where = render.condition(logical.where)
    query = render.sql(
        "SELECT {} AS cell, COUNT(*) AS n FROM ({}) WHERE {} GROUP BY 1",
        render.cell(logical.keys),
        relations.rows(logical.relation, source.table),
        where,
    )
    with connection(store.folder) as con:
        for cell, count in con.execute(query.text, list(query.parameters)).fetchall():
            if cell >= 0:
                rows[cell] = count
    histogram = next((p for p in plan.parts if isinstance(p.measurement, HistogramMeasurement)), None)
    counted = next((p for p in plan.parts if isinstance(p.measurement, CountMeasurement)), None)
    part = counted or histogram or replace(plan.parts[0], measurement=CountMeasurement(None))
    exact = execute(replace(plan, parts=(part,)), source)
    return Truth(rows, exact.open_for_noise()[0].sum(axis=1))
