"""What Superset finds of stores by an entry point: the grains of time, and how columns are described for free."""

from __future__ import annotations

from typing import ClassVar

from superset.db_engine_specs.base import BaseEngineSpec

UNITS = {"PT1H": "hour", "P1D": "day", "P1W": "week", "P1M": "month", "P3M": "quarter", "P1Y": "year"}
"""Superset's name for each grain, and the unit that date_trunc takes for it."""


class DpqueryEngineSpec(BaseEngineSpec):  # type: ignore[misc]
    """Charts of a store. Superset reads the attributes by these names."""

    engine = "dpquery"
    engine_name = "dpquery"
    sqlalchemy_uri_placeholder = "dpquery:////DIR?analyst=NAME&purpose=NAME&epsilon=0.1"
    _time_grain_expressions: ClassVar[dict[str | None, str]] = {
        None: "{col}",
        **{grain: f"date_trunc('{unit}', {{col}})" for grain, unit in UNITS.items()},
    }

    @classmethod
    def get_column_description_limit_size(cls) -> int:
        """Rows to ask for where only the columns of a query are wanted: none, which is free."""
        return 0
