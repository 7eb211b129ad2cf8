"""One store with ample budgets, and releases of each shape, for all tests here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from releases import SHAPES
from stores import generous, made_up_calls, make_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dpquery.release import Release
    from dpquery.session import Session


@pytest.fixture(scope="package")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    made = make_store(tmp_path_factory.mktemp("release"), generous(), made_up_calls(300))
    with made.connect() as session:
        yield session


@pytest.fixture(params=SHAPES)
def release(request: pytest.FixtureRequest, session: Session) -> Release:
    return session.sql(SHAPES[request.param]).run(epsilon=50)


@pytest.fixture
def small(session: Session) -> Release:
    return session.sql(SHAPES["category"]).run(epsilon=50)
