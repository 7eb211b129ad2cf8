"""Files and folders that group and others cannot read, and writes that are whole or not there."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, BinaryIO

from dpquery.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

_SHARED = stat.S_IRWXG | stat.S_IRWXO


def make_private_folder(path: Path) -> None:
    """Make `path` and missing folders above it (mode 0700); existing ones are left as they are."""
    if not path.parent.exists():
        make_private_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)


def open_private(path: Path) -> BinaryIO:
    """A new file (mode 0600) for writing; FileExistsError if something has that name."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "wb")


def refuse_shared(path: Path, what: str) -> None:
    """StoreError DPQ-503 if group or others have any right on `path`, or if it is somebody else's."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    if found.st_mode & _SHARED:
        mode = "700" if stat.S_ISDIR(found.st_mode) else "600"
        raise StoreError("DPQ-503", f"{what} {path} is open to other users of this machine", fix=f"chmod {mode} {path}")
    if found.st_uid not in {os.geteuid(), 0}:
        raise StoreError(
            "DPQ-503", f"{what} {path} belongs to another user of this machine", fix="run as its owner, or chown it"
        )


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step: after a crash the file is the old one or the new one, on disk."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    draft.unlink(missing_ok=True)
    with open_private(draft) as file:
        file.write(content)
        sync_file(file)
    draft.replace(path)
    sync_folder(path.parent)


def sync_file(file: BinaryIO) -> None:
    """Wait until what was written to `file` is on disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Wait until the names in the folder `path` are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
