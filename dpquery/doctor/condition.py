"""How a store is kept: modes, its key, leftovers, rows past retention, the quarantine."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow.compute as pc
import pyarrow.parquet as pq

from dpquery.documents import DoctorFinding, QuarantineFound
from dpquery.errors import StoreError
from dpquery.ingest import leftovers
from dpquery.plan.retention import cutoffs
from dpquery.store.lock import exclusive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dpquery.store import Store

_SHARED = stat.S_IRWXG | stat.S_IRWXO


def open_to_others(paths: Iterator[Path]) -> Iterator[tuple[Path, str]]:
    """Those of `paths` that group or others have any right on, and the mode that they should have."""
    for path in paths:
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        if found.st_mode & _SHARED and not stat.S_ISLNK(found.st_mode):
            yield path, "700" if stat.S_ISDIR(found.st_mode) else "600"


def key_faults(store: Store, copies: list[str]) -> Iterator[DoctorFinding]:
    """The key lies outside the store, and no copy of it inside: `copies` are the files that hold it."""
    folder = store.folder.resolve()
    if store.key_file.resolve().is_relative_to(folder):
        yield DoctorFinding(
            kind="key",
            place=store.key_file.name,
            why="the key lies inside the store, where a copy of the store takes it along",
            fix="move it out, and name its place in key_file of manifest.json",
        )
    for name in copies:
        yield DoctorFinding(
            kind="key",
            place=name,
            why="it holds the store's key, with which every number of a country can be tried",
            fix="delete it; the key belongs in one file outside the store",
        )


def leftover_faults(store: Store) -> Iterator[DoctorFinding]:
    """Files of rows and numbers that the manifest does not name; none while somebody is writing."""
    try:
        with exclusive(store.folder):
            store.reload()
            found = leftovers.unnamed(store)
            work = store.folder / leftovers.WORK
            found = (*found, *((work,) if work.exists() else ()))
    except StoreError as error:
        if error.code != "DPQ-506":
            raise
        return
    public = {name for name, table in store.policy.tables.items() if table.public}
    for path in found:
        # The rows that a public table had before stay until the next ingest, for whoever is reading them.
        if not (path.parent.name in public and path.parent.parent.name == leftovers.TABLES):
            yield DoctorFinding(
                kind="leftover",
                place=str(path.relative_to(store.folder)),
                why="an ingest or a removal that was killed has left it",
                fix=f"dpquery purge {store.folder} removes it, and so does the next ingest",
            )


def retention_faults(store: Store, at: datetime) -> Iterator[DoctorFinding]:
    """Rows past retention that are still on disk."""
    for name, first in cutoffs(store.policy, at.date()).items():
        time = store.policy.tables[name].time
        for file in store.files(name):
            if time is None or not file.path.exists():
                continue
            times = pq.read_table(file.path, columns=[time.column]).column(0)
            oldest = pc.min(times).as_py()
            if oldest is not None and oldest < first:
                yield DoctorFinding(
                    kind="retention",
                    place=str(file.path.relative_to(store.folder)),
                    why=f"it has rows before {first.date()}, which are past retention of {name}; nobody can read them",
                    fix=f"dpquery purge {store.folder}",
                )


def quarantine_found(store: Store) -> QuarantineFound | None:
    """The quarantine: the one place that may hold numbers. None if it is empty."""
    if not store.quarantine.is_dir():
        return None
    files = [path for path in store.quarantine.rglob("*") if path.is_file()]
    if not files:
        return None
    oldest = min(path.stat().st_mtime for path in files)
    return QuarantineFound(
        place=str(store.quarantine),
        mode=f"{stat.S_IMODE(os.stat(store.quarantine).st_mode):04o}",  # noqa: PTH116 - one call for one number
        files=len(files),
        bytes=sum(path.stat().st_size for path in files),
        oldest=datetime.fromtimestamp(oldest, UTC).date(),
    )
