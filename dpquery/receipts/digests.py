"""Hashes of rows and documents, the same from whatever form of file they were read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from dpquery.documents import Seal

if TYPE_CHECKING:
    from dpquery.documents import BoundingLossDocument, DerivedDocument, ReceiptDocument, ReleaseDocument

    Sealed = TypeVar("Sealed", ReleaseDocument, DerivedDocument, BoundingLossDocument)


def rows_digest(rows: Iterable[Mapping[str, Any]]) -> str:
    """Hash of rows as JSON has them, in their order.

    A whole number counts as itself however it is typed, and an empty text as NULL, which CSV does not tell apart.
    """
    return _digest(["rows/1", plain_rows(rows)])


def plain_rows(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows as they are compared: what `rows_digest` takes for one value is one."""
    return [{name: None if value == "" else _plain(value) for name, value in row.items()} for row in rows]


def document_digest(document: Mapping[str, Any]) -> str:
    """Hash of a document as JSON has it, without its rows and the hash itself."""
    rest = {name: value for name, value in document.items() if name not in {"rows", "seal"}}
    rows = (document.get("seal") or {}).get("rows")
    return _digest(["document/1", _plain(rest), rows])


def receipt_digest(receipt: Mapping[str, Any]) -> str:
    """Hash of a receipt as JSON has it, without the hash itself."""
    return _digest(["receipt/1", _plain({name: value for name, value in receipt.items() if name != "digest"})])


def as_json(document: ReleaseDocument | DerivedDocument | BoundingLossDocument | ReceiptDocument) -> dict[str, Any]:
    """A document as its readers see it."""
    found: dict[str, Any] = json.loads(document.model_dump_json(by_alias=True))
    return found


def sealed(document: Sealed) -> Sealed:
    """The document with the hashes of its rows and of all the rest."""
    seal = Seal(rows=rows_digest(document.rows), document="")
    raw = as_json(document.model_copy(update={"seal": seal}))
    return document.model_copy(update={"seal": seal.model_copy(update={"document": document_digest(raw)})})


def with_digest(receipt: ReceiptDocument) -> ReceiptDocument:
    """The receipt with its own hash."""
    return receipt.model_copy(update={"digest": receipt_digest(as_json(receipt))})


def sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return sha256(text.encode("ascii"))


def _plain(value: Any) -> Any:
    """A number that is whole as an integer, at any depth."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
