"""The steward's Ed25519 key: it signs whatever changes a cap, and lives outside the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from dpquery.errors import LedgerError
from dpquery.ledger.private_file import create_private, refuse_shared, sync_folder

if TYPE_CHECKING:
    from pathlib import Path

KEY_LENGTH_MAX = 4096


def make_steward_key(path: Path) -> None:
    """Write a new key at `path` (PEM, PKCS 8, mode 0600); LedgerError DPQ-806 if something is there."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        create_private(path, pem)
    except FileExistsError:
        raise LedgerError("DPQ-806", f"there is a steward key at {path} already", fix="keep it, or move it") from None
    except OSError as error:
        raise LedgerError("DPQ-801", f"{path} cannot be written: {error.strerror}", fix="check its folder") from error
    sync_folder(path.parent)


def read_steward_key(path: Path) -> Ed25519PrivateKey:
    """The key at `path`. LedgerError DPQ-803 if others may read it, DPQ-801 if it is no such key."""
    refuse_shared(path, "the steward key")
    try:
        with path.open("rb") as file:
            key = load_pem_private_key(file.read(KEY_LENGTH_MAX), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise LedgerError("DPQ-801", f"{path} is not a readable steward key", fix="restore it") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise LedgerError("DPQ-801", f"{path} is not an Ed25519 key", fix="restore it")
    return key


def holds_key(path: Path, public: str) -> bool:
    """Whether the file at `path` holds the key of `public`. LedgerError DPQ-803 if others may read it."""
    try:
        return public_text(read_steward_key(path)) == public
    except LedgerError as error:
        if error.code != "DPQ-801":
            raise
        return False


def public_text(key: Ed25519PrivateKey) -> str:
    """The public half, hexadecimal."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def is_signed(public: str, signature: str, message: bytes) -> bool:
    """Whether the holder of `public` signed `message`."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True
