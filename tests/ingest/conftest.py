from __future__ import annotations

import os
from pathlib import Path

import pytest
from ingest_samples import Stores


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(tmp_path)


@pytest.fixture
def real_data() -> Path:
    folder = os.environ.get("DPQUERY_TEST_DATA")
    if folder is None:
        pytest.skip("DPQUERY_TEST_DATA does not name the folder of real call data")
    return Path(folder)
