"""Files that nobody else on the machine may read: the ledger, and the steward's key."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from dpquery.errors import LedgerError

if TYPE_CHECKING:
    from pathlib import Path

_SHARED = stat.S_IRWXG | stat.S_IRWXO


def create_private(path: Path, content: bytes = b"") -> None:
    """A new file of mode 0600 from its first byte on, on disk; FileExistsError if there is one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)  # whatever the umask took away
        while content:
            content = content[os.write(descriptor, content) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Wait until the names in the folder `path` are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_shared(path: Path, what: str) -> None:
    """LedgerError DPQ-803 if group or others have any right on `path`, or it is somebody else's; DPQ-801 if missing."""
    try:
        found = path.stat()
    except OSError as error:
        raise LedgerError("DPQ-801", f"{what} {path} cannot be reached: {error.strerror}", fix="check DIR") from error
    if found.st_mode & _SHARED:
        mode = "700" if stat.S_ISDIR(found.st_mode) else "600"
        raise LedgerError("DPQ-803", f"{what} {path} is open to others on this machine", fix=f"chmod {mode} {path}")
    if found.st_uid not in {os.geteuid(), 0}:
        raise LedgerError("DPQ-803", f"{what} {path} belongs to another user", fix="run as its owner, or chown it")
