"""Making, opening and refusing stores."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import pytest

from dpquery.errors import PolicyError, StoreError
from dpquery.store import Manifest, Store, create_store, open_store
from dpquery.store.manifest import FORMAT_VERSION, BatchEntry, FileEntry, write_manifest
from dpquery.store.relied_on import digests

if TYPE_CHECKING:
    from pathlib import Path

POLICY = """
schema = 1
dataset = "test"
version = 1
[numbers]
default_region = "GB"
public_numbers = ["+442079460000"]
[tables.calls]
owners = 2
parties = { caller = "caller", callee = "callee" }
time = { column = "start_ts" }
period = [2026-01-01, 2026-03-31]
columns = { talk_s = { type = "integer", bounds = [0, 3600] } }
[tables.calls.bounds]
ungrouped = { max_rows = 100 }
grouped = { max_rows_per_group = 25 }
[purposes.planning]
text = "Plan."
notice = "v1"
regime = "opt-out"
[analysts.ana]
purposes = ["planning"]
[budgets]
dataset = { epsilon = 1.0 }
analysts = { ana = { epsilon = 1.0 } }
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return create_store(tmp_path / "store", POLICY)


def committed(store: Store) -> Manifest:
    """Pretend that an ingest into calls has taken place."""
    manifest = store.manifest.with_batch(
        BatchEntry(1, "calls", (date(2026, 1, 1), date(2026, 1, 31))),
        [FileEntry(1, "2026-02", "tables/calls/b"), FileEntry(1, "2026-01", "tables/calls/a")],
        replaces=False,
        segment=None,
        number_count=7,
        relied_on=digests(store.policy, "calls", store.public_lines),
        table_period=store.policy.tables["calls"].period,
    )
    write_manifest(store.folder, manifest)
    store.reload()
    return manifest


def test_a_new_store(store: Store) -> None:
    again = open_store(store.folder)
    assert again.manifest == store.manifest
    assert (again.data_version, again.number_count, again.files("calls")) == (0, 0, ())
    assert again.policy.dataset == again.manifest.dataset == "test"
    assert again.numbers().num_rows == 0
    assert store.folder.stat().st_mode & 0o777 == 0o700
    key = store.folder.with_name("store.key")
    assert store.key_file == key
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(bytes.fromhex(key.read_text().strip())) == 32
    assert not [path for path in store.folder.parent.iterdir() if path.name.endswith(".part")]
    assert key.read_text().strip() not in repr(store.secret()) + repr(store)


def test_manifest_survives_writing(store: Store) -> None:
    manifest = committed(store)
    found = open_store(store.folder)
    assert found.manifest == manifest
    assert [(file.batch, file.block) for file in found.files("calls")] == [(1, "2026-01"), (1, "2026-02")]
    assert [file.path for file in found.files("calls", ("2026-02",))] == [store.folder / "tables/calls/b"]
    assert found.number_count == 7


def test_subkeys_differ_and_last(store: Store) -> None:
    secret = store.secret()
    assert secret.key("a") == open_store(store.folder).secret().key("a") != secret.key("b")
    assert len(store.pseudonym("+442079460000")) == 16


def test_another_key_file(tmp_path: Path) -> None:
    key = tmp_path / "keys" / "k"
    store = create_store(tmp_path / "store", POLICY, key_file=key)
    assert open_store(store.folder).key_file == key
    assert not (tmp_path / "store.key").exists()
    with pytest.raises(StoreError, match="DPQ-510"):
        create_store(tmp_path / "other", POLICY, key_file=key)
    with pytest.raises(StoreError, match="DPQ-512"):
        create_store(tmp_path / "other", POLICY, key_file=tmp_path / "other" / "k")
    with pytest.raises(StoreError, match="DPQ-512"):
        create_store(tmp_path / "other", POLICY, key_file=tmp_path / "x" / ".." / "other" / "k")


def test_foreign_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").touch()
    with pytest.raises(StoreError, match="DPQ-510"):
        create_store(tmp_path / "foreign", POLICY)
    assert not (tmp_path / "foreign.key").exists()
    (tmp_path / "empty").mkdir()
    create_store(tmp_path / "empty", POLICY)
    for folder in ("foreign", "missing"):
        with pytest.raises(StoreError, match="DPQ-501"):
            open_store(tmp_path / folder)
    with pytest.raises(PolicyError):
        create_store(tmp_path / "faulty", "schema = 2")
    assert not (tmp_path / "faulty").exists()


def test_public_lines_come_with_the_policy(tmp_path: Path) -> None:
    text = POLICY.replace("public_numbers =", 'public_file = "lines.txt"\npublic_numbers =')
    with pytest.raises(StoreError, match="DPQ-513"):
        create_store(tmp_path / "store", text)
    assert create_store(tmp_path / "store", text, public_lines="+442079460001\n").public_lines == "+442079460001\n"


@pytest.mark.parametrize("what", ["folder", "key", "manifest", "quarantine"])
def test_open_to_others(store: Store, what: str) -> None:
    store.quarantine.mkdir(mode=0o700)
    path = {
        "folder": store.folder,
        "key": store.key_file,
        "manifest": store.folder / "manifest.json",
        "quarantine": store.quarantine,
    }[what]
    mode = path.stat().st_mode & 0o777
    for shared in (0o040, 0o004, 0o010):
        path.chmod(mode | shared)
        with pytest.raises(StoreError, match="DPQ-503") as raised:
            open_store(store.folder)
        assert raised.value.fix == f"chmod {mode:o} {path}"
    path.chmod(mode)
    open_store(store.folder)


def test_newer_and_damaged_manifests(store: Store) -> None:
    path = store.folder / "manifest.json"
    good = json.loads(path.read_text())
    for changed, code in (
        ({**good, "format_version": FORMAT_VERSION + 1}, "DPQ-502"),
        ({**good, "format": "other"}, "DPQ-501"),
        ({**good, "tables": 1}, "DPQ-501"),
        ({k: v for k, v in good.items() if k != "batches"}, "DPQ-501"),
        ([], "DPQ-501"),
    ):
        path.write_text(json.dumps(changed))
        with pytest.raises(StoreError, match=code):
            open_store(store.folder)
    path.write_text("{")
    with pytest.raises(StoreError, match="DPQ-501"):
        open_store(store.folder)


def test_missing_and_wrong_keys(store: Store) -> None:
    content = store.key_file.read_text()
    store.key_file.write_text("0" * 64)
    open_store(store.folder)
    for wrong in ("0" * 64, "short", "\xff"):
        store.key_file.write_text(wrong)
        with pytest.raises(StoreError, match="DPQ-511"):
            store.secret()
    store.key_file.unlink()
    with pytest.raises(StoreError, match="DPQ-511"):
        open_store(store.folder).secret()
    store.key_file.touch(mode=0o600)
    store.key_file.write_text(content)
    store.secret()


@pytest.mark.parametrize(
    ("old", "new", "section"),
    [
        ("+442079460000", "+442079460001", "[numbers]"),
        ('default_region = "GB"', 'default_region = "FR"', "[numbers]"),
        ("owners = 2", "owners = 1", "[tables.calls]"),
        ('callee = "callee"', 'callee = "called"', "[tables.calls]"),
        ('{ column = "start_ts" }', '{ column = "start_ts", zone = "Europe/Paris" }', "[tables.calls]"),
        ('type = "integer"', 'type = "decimal"', "[tables.calls]"),
        ("[2026-01-01, 2026-03-31]", "[2026-01-02, 2026-03-31]", "[tables.calls (period)]"),
    ],
)
def test_a_policy_that_changed_under_the_rows(store: Store, old: str, new: str, section: str) -> None:
    path = store.folder / "policy.toml"
    path.write_text(POLICY.replace(old, new))
    open_store(store.folder)  # nothing was ingested under it
    path.write_text(POLICY)
    committed(store)
    path.write_text(POLICY.replace(old, new))
    with pytest.raises(StoreError, match="DPQ-504") as raised:
        open_store(store.folder)
    assert section in raised.value.why


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[2026-01-01, 2026-03-31]", "[2025-12-01, 2026-06-30]"),
        ("bounds = [0, 3600]", "bounds = [0, 7200]"),
        ("max_rows = 100", "max_rows = 50"),
        ("version = 1", "version = 2"),
        ("epsilon = 1.0", "epsilon = 2.0"),
    ],
)
def test_changes_that_rows_do_not_mind(store: Store, old: str, new: str) -> None:
    committed(store)
    (store.folder / "policy.toml").write_text(POLICY.replace(old, new))
    open_store(store.folder)


def test_a_table_that_rows_were_ingested_into_cannot_vanish(store: Store) -> None:
    committed(store)
    (store.folder / "policy.toml").write_text(POLICY.replace("tables.calls", "tables.events"))
    with pytest.raises(StoreError, match="DPQ-504"):
        open_store(store.folder)


def test_manifests_are_values(store: Store) -> None:
    assert replace(store.manifest, data_version=3).data_version == 3
    assert store.data_version == 0
