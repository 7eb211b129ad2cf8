"""A killed ingest, a full disk and two ingests at once: the store is as it was, or has the whole batch."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from ingest_samples import Stores, as_csv, made_up_numbers, made_up_row, stored

from dpquery.errors import StoreError
from dpquery.ingest import ingest
from dpquery.store import Store, open_store
from dpquery.store.lock import exclusive

if TYPE_CHECKING:
    from pathlib import Path

CHILD = """
import sys
from pathlib import Path
from dpquery.ingest import ingest
from dpquery.store import open_store
store = open_store(Path(sys.argv[1]))
print("ready", flush=True)
ingest(store, [Path(sys.argv[2])], table="calls", progress=lambda *one: print(*one, flush=True))
print("done", flush=True)
"""
ROWS = 4000
LONGEST = 1.5
"""Seconds after which an ingest of so many rows has ended, most times."""


def content(store: Store) -> dict[str, bytes]:
    """What the manifest names, and the manifest."""
    manifest = store.manifest
    named = [entry.name for entries in manifest.tables.values() for entry in entries]
    return {name: (store.folder / name).read_bytes() for name in (*named, *manifest.number_segments, "manifest.json")}


def killed_ingest(store: Store, file: Path, delay: float) -> bool:
    """Ingest in another process and kill it `delay` seconds after its start; whether it had said that it is done."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(store.folder), str(file)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        said = child.stdout.read()
    return "done" in said


def run_rounds(stores: Stores, rounds: int) -> None:
    rng = random.Random(8)
    numbers = made_up_numbers(rng, 300)
    rows = [made_up_row(rng, *rng.sample(numbers, 2)) for _ in range(ROWS)]
    for row in rows[::10]:
        row["start_ts"] = ""
    file, store = stores.file(as_csv(rows)), stores.make()
    ingest(store, [file], table="calls")
    for _ in range(rounds):
        store.reload()
        before, version, quarantined = content(store), store.data_version, set(store.quarantine.iterdir())
        done = killed_ingest(store, file, rng.random() * LONGEST)
        after = open_store(store.folder)
        assert after.data_version in ({version + 1} if done else {version, version + 1})
        assert (
            content(after).items() >= {name: data for name, data in before.items() if name != "manifest.json"}.items()
        )
        if after.data_version == version:
            assert content(after) == before
        else:
            assert len([p for p in store.quarantine.iterdir() if p not in quarantined and p.suffix == ".csv"]) == 1
        assert stored(after).num_rows == after.data_version * (ROWS - ROWS // 10)
    store.reload()
    last = ingest(store, [file], table="calls")
    assert last.rows_quarantined == ROWS // 10
    on_disk = {str(p.relative_to(store.folder)) for p in store.folder.rglob("*") if p.is_file()}
    assert on_disk == {*content(store), "policy.toml", ".lock"}
    assert sorted(p.name for p in store.quarantine.iterdir()) == [
        f"{n:06d}-calls.csv" for n in range(1, store.data_version + 1)
    ]


def test_killed_at_any_moment(stores: Stores) -> None:
    run_rounds(stores, 8)


@pytest.mark.slow
def test_killed_at_very_many_moments(stores: Stores) -> None:
    run_rounds(stores, 100)


STEPS = (
    "dpquery.ingest.run.write_manifest",
    "dpquery.ingest.run.move_into_place",
    "dpquery.ingest.quarantine.sync_folder",
    "dpquery.ingest.run.write_parquet",
    "dpquery.ingest.run.stored_rows",
    "dpquery.ingest.run.spool_rows",
)


@pytest.mark.parametrize("step", STEPS)
def test_a_disk_that_refuses_leaves_the_store_as_it_was(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    rng = random.Random(8)
    rows = [made_up_row(rng, *rng.sample(made_up_numbers(rng, 30), 2)) for _ in range(100)]
    rows[5]["start_ts"] = ""
    file, store = stores.file(as_csv(rows)), stores.make()
    ingest(store, [file], table="calls")
    before = content(store)
    rows[0]["caller"] = "+447400999999"
    file = stores.file(as_csv(rows), "more.csv")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(step, full)
        with pytest.raises(StoreError, match="DPQ-514"):
            ingest(store, [file], table="calls")
    assert content(open_store(store.folder)) == before
    assert not (store.folder / "work").exists()
    assert ingest(store, [file], table="calls").data_version == 2
    assert stored(store).num_rows == 198
    assert len(list(store.quarantine.iterdir())) == 2


def test_two_ingests_at_once(stores: Stores) -> None:
    store = stores.make()
    table = pa.table({"x": [1]})
    with exclusive(store.folder), pytest.raises(StoreError, match="DPQ-506"):
        ingest(store, table, table="calls")
    with exclusive(store.folder):
        pass


def test_files_are_private_whatever_the_umask(stores: Stores) -> None:
    before = os.umask(0)
    try:
        rng = random.Random(8)
        rows = [made_up_row(rng, *rng.sample(made_up_numbers(rng, 30), 2)) for _ in range(10)]
        rows[5]["start_ts"] = ""
        store = stores.make()
        ingest(store, [stores.file(as_csv(rows))], table="calls")
    finally:
        os.umask(before)
    for path in (
        store.folder,
        store.quarantine,
        *store.folder.rglob("*"),
        *store.quarantine.rglob("*"),
        store.key_file,
    ):
        assert path.stat().st_mode & 0o077 == 0, path
    store.quarantine.chmod(0o750)
    with pytest.raises(StoreError, match="DPQ-503"):
        ingest(store, [stores.file(as_csv(rows))], table="calls")
