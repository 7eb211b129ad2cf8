"""The files of the registry: added to whole or not at all, put together while others read, and closed to others."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import time
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from dpquery.consent import registry
from dpquery.consent.records import PERSON, REFUSED, SCHEMA
from dpquery.consent.registry import FOLDER, SMALL_FILES_MAX, append, read_records, read_registry, rewrite
from dpquery.errors import StoreError

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def said(*numbers: int) -> list[pa.RecordBatch]:
    rows = [
        {
            "pseudonym": number.to_bytes(16, "big"),
            "purpose": "*",
            "status": REFUSED,
            "source": PERSON,
            "effective_at": NOW,
            "recorded_at": NOW,
        }
        for number in numbers
    ]
    return list(pa.Table.from_pylist(rows, schema=SCHEMA).to_batches())


def numbers_in(folder: Path) -> list[int]:
    return [int.from_bytes(each, "big") for each in read_records(folder)["pseudonym"].to_pylist()]


def test_statements_keep_their_order_when_small_files_are_put_together(tmp_path: Path) -> None:
    for number in range(3 * SMALL_FILES_MAX):
        append(tmp_path, said(number))
    assert numbers_in(tmp_path) == list(range(3 * SMALL_FILES_MAX))
    named = {each.name for each in read_registry(tmp_path).segments}
    assert len(named) <= SMALL_FILES_MAX
    assert {file.name for file in (tmp_path / FOLDER).glob("*.parquet")} == named
    modes = {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / FOLDER).iterdir()}
    assert modes == {0o600}


def test_an_append_that_fails_leaves_nothing(tmp_path: Path) -> None:
    append(tmp_path, said(1, 2))

    def broken() -> object:
        yield from said(3)
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="DPQ-514"):
        append(tmp_path, broken())  # type: ignore[arg-type]
    assert numbers_in(tmp_path) == [1, 2]
    append(tmp_path, said(4))
    assert numbers_in(tmp_path) == [1, 2, 4]
    assert len(list((tmp_path / FOLDER).glob("*.parquet"))) == 2, "what the failure left is gone"


def write_for_ever(folder: Path) -> None:
    number = 0
    while True:
        append(folder, said(number))
        number += 1


def test_a_killed_writer_leaves_whole_statements_and_readers_always_read(tmp_path: Path) -> None:
    """Kills at any moment, also while small files are put together, with a reader beside."""
    context = multiprocessing.get_context("fork")
    for _ in range(12):
        before = len(numbers_in(tmp_path))
        writer = context.Process(target=write_for_ever, args=(tmp_path,))
        writer.start()
        until = time.monotonic() + 0.35
        most = before
        while time.monotonic() < until:
            found = len(numbers_in(tmp_path))
            assert found >= most, "statements are only added"
            most = found
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
    assert len(numbers_in(tmp_path)) > SMALL_FILES_MAX
    append(tmp_path, said(7))
    assert numbers_in(tmp_path)[-1] == 7


def test_damage_is_said_and_quotes_nothing(tmp_path: Path) -> None:
    append(tmp_path, said(1))
    (segment,) = read_registry(tmp_path).segments
    file = tmp_path / FOLDER / segment.name
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreError, match="DPQ-501"):
        read_records(tmp_path)
    file.unlink()
    with pytest.raises(StoreError, match="lacks statements"):
        read_records(tmp_path)
    (tmp_path / FOLDER / registry.REGISTRY_FILE).write_text("{")
    with pytest.raises(StoreError, match="damaged"):
        read_registry(tmp_path)


def test_a_rewrite_forgets_what_it_leaves_out(tmp_path: Path) -> None:
    append(tmp_path, said(1, 2, 3))
    rewrite(tmp_path, lambda _: pa.Table.from_batches(said(1, 3)))
    assert numbers_in(tmp_path) == [1, 3]
    left = b"".join(file.read_bytes() for file in (tmp_path / FOLDER).iterdir())
    assert (2).to_bytes(16, "big") not in left
