"""What a killed ingest left behind: files that the manifest does not name."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dpquery.store import Store

TABLES, NUMBERS, WORK = "tables", "numbers", "work"
"""Folders inside the store; the last is there only while an ingest runs."""


def clean(store: Store) -> None:
    """Remove them. The caller holds the store's lock, so that nobody else is writing."""
    manifest = store.manifest
    named = {store.folder / name for name in manifest.number_segments}
    named |= {store.folder / entry.name for entries in manifest.tables.values() for entry in entries}
    shutil.rmtree(store.folder / WORK, ignore_errors=True)
    for folder in (store.folder / TABLES, store.folder / NUMBERS):
        for path in folder.rglob("*"):
            if path.is_file() and path not in named:
                path.unlink()
    for draft in store.folder.glob(".*.part"):
        draft.unlink()
    if not store.quarantine.is_dir():
        return
    for path in store.quarantine.iterdir():
        batch = path.name.lstrip(".").partition("-")[0]
        if path.name.endswith(".part") or (batch.isdigit() and int(batch) > manifest.data_version):
            path.unlink()
