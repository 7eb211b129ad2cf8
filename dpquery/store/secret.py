"""The store's secret: one key file outside the store, and a key of its own for each use."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dpquery.errors import StoreError
from dpquery.store.private_files import open_private, refuse_shared, sync_file

if TYPE_CHECKING:
    from pathlib import Path

PSEUDONYM_BYTES = 16

_KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Secret:
    """The 32 bytes of a key file. They never leave this object; uses get keys made from them."""

    _bytes: bytes = field(repr=False)

    def key(self, label: str) -> bytes:
        """32 bytes for the use named `label`: HMAC-SHA-256 of the label."""
        return hmac.digest(self._bytes, f"dpquery/{label}".encode(), "sha256")

    @property
    def check(self) -> str:
        """Tells this secret from others without giving anything away about it."""
        return hashlib.sha256(self.key("key-check")).hexdigest()[:32]


def pseudonym(key: bytes, canonical: str) -> bytes:
    """The pseudonym of a canonical number under `key`, the secret's key for "pseudonym"."""
    return hmac.digest(key, canonical.encode(), "sha256")[:PSEUDONYM_BYTES]


def tombstone(key: bytes, canonical: str) -> bytes:
    """What stays of an erased number, under the secret's key for "tombstone": nothing else is made with that key."""
    return hmac.digest(key, canonical.encode(), "sha256")


def make_secret(path: Path) -> Secret:
    """A new secret in a new file (mode 0600); StoreError DPQ-510 if the file exists."""
    content = secrets.token_bytes(32)
    try:
        with open_private(path) as file:
            file.write(content.hex().encode() + b"\n")
            sync_file(file)
    except FileExistsError:
        raise StoreError(
            "DPQ-510",
            f"there is a file at {path} already, and a key is never written over",
            fix="name another with --key-file, or remove it if no store needs it",
        ) from None
    return Secret(content)


def read_secret(path: Path) -> Secret:
    """The secret in the file `path`; StoreError DPQ-503 if others can read it, DPQ-511 if it is no key file."""
    refuse_shared(path, "the key file")
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(
            "DPQ-511",
            f"the key file {path} cannot be read ({type(error).__name__})",
            fix="put the store's key file back",
        ) from None
    if _KEY.fullmatch(text) is None:
        raise StoreError("DPQ-511", f"{path} is not a key file", fix="put the store's key file back")
    return Secret(bytes.fromhex(text))
