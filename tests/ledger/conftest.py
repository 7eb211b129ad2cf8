"""The same tests in every database that a ledger may live in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from postgres_server import server

from dpquery.ledger import postgres

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["sqlite", "postgresql", "postgresql at read committed"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path | str:
    """Where a ledger may be made."""
    if request.param == "sqlite":
        return tmp_path / "ledger.sqlite"
    if "read committed" in request.param:
        monkeypatch.setattr(postgres, "ISOLATION", "READ COMMITTED")
    return server().fresh_url()
