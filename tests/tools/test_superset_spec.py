"""The specification that Superset loads, against a stand-in for the one class of Superset that it needs."""

from __future__ import annotations

import importlib
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from spending import nothing_spent

from dpquery.session import Session

NAME = "dpquery.tools.superset_spec"


@pytest.fixture
def spec(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("superset", "superset.db_engine_specs", "superset.db_engine_specs.base"):
        module = ModuleType(name)
        module.BaseEngineSpec = type("BaseEngineSpec", (), {})  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    yield importlib.import_module(NAME).DpqueryEngineSpec
    sys.modules.pop(NAME, None)


def test_the_package_names_it(spec: Any) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["superset.db_engine_specs"] == {spec.engine: f"{NAME}:{spec.__name__}"}


def test_every_grain_is_a_key(spec: Any, session: Session) -> None:
    with nothing_spent(session):
        for grain, form in spec._time_grain_expressions.items():
            key = form.format(col="start_ts" if grain == "PT1H" else "day")
            text = f"SELECT {key} AS t, COUNT(*) AS n FROM calls WHERE day < '2026-02-01' GROUP BY {key}"
            assert session.sql(text).preview(), grain


def test_a_query_is_described_by_no_rows(spec: Any) -> None:
    assert spec.get_column_description_limit_size() == 0
