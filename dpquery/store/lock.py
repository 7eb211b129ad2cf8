"""One writer at a time."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dpquery.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the store's lock; StoreError DPQ-506 at once if somebody else does. A killed holder lets go of it."""
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                "DPQ-506",
                f"an ingest into {folder}, or a removal, is running",
                fix="wait until it has ended, then run this again",
            ) from None
        yield
    finally:
        os.close(descriptor)
