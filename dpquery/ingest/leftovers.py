"""What a killed ingest or removal left behind: files that the manifest does not name."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from dpquery.store import Store

TABLES, NUMBERS, TOMBSTONES, WORK = "tables", "numbers", "tombstones", "work"
"""Folders inside the store; the last is there only while an ingest or a removal runs."""


def clean(store: Store) -> None:
    """Remove them. The caller holds the store's lock, so that nobody else is writing."""
    shutil.rmtree(store.folder / WORK, ignore_errors=True)
    for path in unnamed(store):
        path.unlink()
    if not store.quarantine.is_dir():
        return
    for path in store.quarantine.iterdir():
        batch = path.name.lstrip(".").partition("-")[0]
        if path.name.endswith(".part") or (batch.isdigit() and int(batch) > store.data_version):
            path.unlink()


def unnamed(store: Store) -> tuple[Path, ...]:
    """Files among those of the store that its manifest does not name, and drafts."""
    named = {store.folder / name for name in store.manifest.names}
    found = [path for folder in (TABLES, NUMBERS, TOMBSTONES) for path in (store.folder / folder).rglob("*")]
    return (
        *(path for path in found if path.is_file() and path not in named),
        *store.folder.glob(".*.part"),
    )
