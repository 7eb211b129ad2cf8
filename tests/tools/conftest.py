"""A small store, asked through tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from planning import POLICY
from stores import MadeStore, made_up_calls, make_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dpquery.session import Session


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    return make_store(tmp_path, POLICY, made_up_calls(200))


@pytest.fixture
def session(made: MadeStore) -> Iterator[Session]:
    """What the tools' spending is read from."""
    with made.connect() as session:
        yield session
