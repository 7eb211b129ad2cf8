"""Files that nobody else on the machine may read: the ledger, the steward's key, checkpoints."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from pathlib import Path

from dpquery.errors import LedgerError

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


def replace_private(path: Path, content: bytes) -> None:
    """A file of mode 0600 with `content` at `path`, in place of what was there; on disk, and never a part of it.

    Where `path` is a link, at the place that it names.
    """
    path = Path(os.path.realpath(path))
    if path.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        create_private(draft, content)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def read_whole(path: Path, length_max: int) -> bytes:
    """What a plain file holds; OSError if it cannot be read or is longer than `length_max`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe does not hold us up
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no plain file")
        content = file.read(length_max + 1)
    if len(content) > length_max:
        raise OSError(errno.EFBIG, "it is too long")
    return content


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
