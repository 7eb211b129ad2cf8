"""The file that says a store is a demo: made-up rows, which may be replaced and compared with their truth."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from dpquery.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

MARKER = "DEMO"
OWN = {MARKER, ".lock", "consent", "ledger.sqlite", "manifest.json", "numbers", "policy.toml", "tables", "work"}
"""What a store consists of; SQLite adds files such as ledger.sqlite-journal."""

TEXT = "A demo store made by `dpquery demo`: every row in it is made up, and the next `dpquery demo` replaces it.\n"


def mark(folder: Path) -> None:
    """Say that the store at `folder` is a demo."""
    (folder / MARKER).write_text(TEXT, encoding="utf-8")
    (folder / MARKER).chmod(0o600)


def is_demo(folder: Path) -> bool:
    return (folder / MARKER).is_file()


def ensure_demo(folder: Path) -> None:
    """StoreError unless the store's rows are made up."""
    if not is_demo(folder):
        raise StoreError("DPQ-515", f"{folder} is not a demo store", fix="dpquery demo DIR makes one")


def clear(folder: Path) -> None:
    """Remove an older demo at `folder` with its keys and quarantine; StoreError for any other folder."""
    if not folder.exists():
        return
    if any(folder.iterdir()) and not is_demo(folder):
        raise StoreError("DPQ-515", f"{folder} exists and is not a demo", fix="name a new folder: dpquery demo DIR")
    foreign = sorted(path.name for path in folder.iterdir() if path.name.split("-")[0] not in OWN)
    if foreign:
        why = f"the demo in {folder} holds what it did not write: {', '.join(foreign[:5])}"
        raise StoreError("DPQ-515", why, fix="move it away, or name a new folder: dpquery demo DIR")
    shutil.rmtree(folder)
    shutil.rmtree(folder.with_name(folder.name + ".quarantine"), ignore_errors=True)
    for suffix in (".key", ".steward.key"):
        folder.with_name(folder.name + suffix).unlink(missing_ok=True)
