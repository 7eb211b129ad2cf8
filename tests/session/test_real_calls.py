"""On calls that people made: remove any number, and no exact table moves by more than claimed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from memory_rows import MemoryRows, prepare
from planning import priced
from real_data import CNS_POLICY, cns, needs_data
from small_calls import changes

from dpquery.catalog import catalog_of
from dpquery.engines.embedded import execute
from dpquery.engines.scan import StoredRows
from dpquery.ingest import ingest
from dpquery.plan.catalog import Catalog
from dpquery.privacy.calibrate import PrivacyPlan
from dpquery.stewardship import Steward, init
from dpquery.store import create_store
from dpquery.store.secret import read_secret

PARTIES = ("caller", "callee")

QUERIES = {
    "calls": [
        "SELECT COUNT(*), SUM(talk_s) FROM calls",
        "SELECT local_hour, COUNT(*) FROM calls GROUP BY local_hour",
        "SELECT AVG(talk_s), COUNT(DISTINCT caller) FROM calls WHERE talk_s >= 0",
    ],
    "sms": [
        "SELECT COUNT(*) FROM sms",
        "SELECT local_dow, COUNT(*), COUNT(DISTINCT callee) FROM sms GROUP BY local_dow",
    ],
}


def store_of(folder: Path, name: str, source: Path | pd.DataFrame) -> Steward:
    (folder / "policy.toml").write_text(CNS_POLICY)
    steward = init(folder / "store", policy=folder / "policy.toml")
    summary = steward.ingest(source, table=name)
    assert summary.rows_quarantined == 0
    steward.store.reload()
    return steward


def made_up(name: str) -> pd.DataFrame:
    """Calls as heavy-tailed as real ones: a few participants in most of the rows."""
    rng = np.random.default_rng(11)
    people = np.minimum(rng.zipf(1.4, (1500, 2)), 80)
    frame = pd.DataFrame({"timestamp": rng.integers(0, 20 * 86400, 1500), "a": people[:, 0], "b": people[:, 1]})
    frame["duration"] = rng.integers(-1, 900, 1500)
    names = {"calls": {"a": "caller", "b": "callee"}, "sms": {"a": "sender", "b": "recipient"}}
    return frame.rename(columns=names[name])


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as opened:
        yield prepare(opened)


def in_memory(con: duckdb.DuckDBPyConnection, steward: Steward, name: str) -> MemoryRows:
    files = steward.store.files(name)
    assert len(files) == 1
    return MemoryRows(con, pq.read_table(files[0].path), steward.store.number_count)


def assert_within(plan: PrivacyPlan, before: list[np.ndarray], after: list[np.ndarray]) -> None:
    for part, full, less in zip(plan.parts, before, after, strict=True):
        change = changes(part, full, less)
        assert change.sum() <= part.sensitivity.l1
        assert (change**2).sum() <= part.sensitivity.l2_squared
        assert change.max() <= part.sensitivity.linf


def check_every_number(con: duckdb.DuckDBPyConnection, steward: Steward, name: str, catalog: Catalog) -> None:
    rows = in_memory(con, steward, name)
    numbers = rows.owners(PARTIES)
    for sql in QUERIES[name]:
        plan = priced(sql, catalog)
        bound = plan.bounded.bounds.max_rows_per_group
        assert max(rows.rows_of(number, PARTIES) for number in numbers) > bound
        before = rows.exact(plan)
        for number in numbers:
            assert_within(plan, before, rows.without(number, PARTIES).exact(plan))


@needs_data
@pytest.mark.parametrize("name", ["calls", "sms"])
def test_every_participant_of_a_real_study_can_be_removed(
    name: str, tmp_path: Path, con: duckdb.DuckDBPyConnection
) -> None:
    steward = store_of(tmp_path, name, cns(name))
    check_every_number(con, steward, name, catalog_of(steward.store))


@pytest.mark.parametrize("name", ["calls", "sms"])
def test_every_made_up_participant_can_be_removed(name: str, tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    steward = store_of(tmp_path, name, made_up(name))
    check_every_number(con, steward, name, catalog_of(steward.store))


def through_the_engine(tmp_path: Path, name: str, source: pd.DataFrame) -> None:
    """Remove 20 sampled numbers and the heaviest from the *file*, ingest what is left anew, and run the engine."""
    (tmp_path / "all").mkdir()
    whole = store_of(tmp_path / "all", name, source)
    catalog = catalog_of(whole.store)
    plans = [priced(sql, catalog) for sql in QUERIES[name]]
    before = [list(execute(plan, stored(whole, name)).open_for_noise()) for plan in plans]
    first, second = {"calls": ("caller", "callee"), "sms": ("sender", "recipient")}[name]
    people = pd.concat([source[first], source[second]]).value_counts()
    rng = np.random.default_rng(3)
    chosen = [people.index[0], *rng.choice(people.index.to_numpy(), 20, replace=False)]
    for turn, number in enumerate(chosen):
        left = source[(source[first] != number) & (source[second] != number)]
        folder = tmp_path / f"without{turn}"
        # The same key, so that the remaining rows keep their places.
        rebuilt = store_with_key(folder, tmp_path / "all" / "store.key", name, left)
        for plan, full in zip(plans, before, strict=True):
            assert_within(plan, full, list(execute(plan, stored(rebuilt, name)).open_for_noise()))


def store_with_key(folder: Path, key: Path, name: str, rows: pd.DataFrame) -> Steward:
    """A store under the secret in `key`, as the first store would be had the missing number never called."""
    with pytest.MonkeyPatch.context() as patch:

        def same_secret(path: Path) -> object:
            path.write_bytes(key.read_bytes())
            path.chmod(0o600)
            return read_secret(path)

        patch.setattr("dpquery.store.store.make_secret", same_secret)
        store = create_store(folder, CNS_POLICY)
    ingest(store, pa.Table.from_pandas(rows, preserve_index=False), table=name)
    store.reload()
    return Steward(store)


def stored(steward: Steward, name: str) -> StoredRows:
    store = steward.store
    return StoredRows(store.folder, {name: tuple(f.path for f in store.files(name))}, store.number_count)


@needs_data
@pytest.mark.parametrize("name", ["calls", "sms"])
def test_sampled_participants_through_ingest_and_engine(name: str, tmp_path: Path) -> None:
    through_the_engine(tmp_path, name, pd.read_csv(cns(name)))


def test_sampled_made_up_participants_through_ingest_and_engine(tmp_path: Path) -> None:
    through_the_engine(tmp_path, "calls", made_up("calls"))
