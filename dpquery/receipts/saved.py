"""Saved releases read back: the document and the rows of every form that `save` and `--json` write."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from dpquery.documents import (
    BoundingLossDocument,
    DerivedDocument,
    IntervalColumn,
    KeyColumn,
    ReceiptDocument,
    ReleaseDocument,
)
from dpquery.errors import UsageError
from dpquery.faces.html import DOCUMENT, document_in
from dpquery.faces.redrawn import receipts_in
from dpquery.faces.words import json_value

if TYPE_CHECKING:
    from pathlib import Path

    from dpquery.faces.redrawn import SavedDocument

Form = Literal["json", "parquet", "csv", "html", "receipt"]

SIZE_MAX = 2**31

_KINDS: dict[str, type[ReleaseDocument | DerivedDocument | BoundingLossDocument]] = {
    "dpquery.release/1": ReleaseDocument,
    "dpquery.derived/1": DerivedDocument,
    "dpquery.bounding-loss/1": BoundingLossDocument,
}


@dataclass(frozen=True, slots=True)
class Saved:
    """What a file holds, as JSON, and what it is if it has the form of its schema."""

    form: Form
    raw: dict[str, Any]
    """The document, rows among it, or the bare receipt."""
    document: SavedDocument | None
    """None: a bare receipt, or a document that does not have the form of its schema."""
    receipts: tuple[ReceiptDocument, ...]
    fault: str | None
    """Why it does not have that form."""
    page: str | None = None
    """The text of an HTML page."""
    names: tuple[str, ...] | None = None
    """The columns of a table, which has them also where it has no rows."""


def read_saved(path: Path) -> Saved:
    """The release that is saved at `path`; UsageError if there is none that can be read."""
    content = _content(path)
    if content.startswith(b"PAR1"):
        raw, names = _parquet(content)
        return replace(_saved("parquet", raw), names=names)
    text = _text(content, path)
    if text.lstrip()[:1] == "{":
        raw = _json(text, path)
        if raw.get("schema") in _KINDS and "rows" not in raw:
            raise _unreadable(f"{path} describes rows that are in another file", fix=f"name {path.stem}")
        return _saved("json", raw)
    if text[:15].lower() == "<!doctype html>":
        return _saved("html", _json(_in_head(text), path), text)
    beside = path.with_name(path.name + ".json")
    raw = _json(_text(_content(beside), beside), beside)
    header, *cells = _csv_cells(text)
    kinds = {} if (document := _document_of(raw)) is None else column_kinds(document)
    rows = [{name: _cell(cell, kinds.get(name)) for name, cell in zip(header, row, strict=True)} for row in cells]
    return replace(_saved("csv", raw | {"rows": rows}), names=tuple(header))


def column_kinds(document: SavedDocument) -> dict[str, str]:
    """The columns of a document's rows, each with the type of its values."""
    kinds: dict[str, str] = {}
    for column in document.columns:
        kinds[column.name] = column.type
        if not isinstance(column, KeyColumn | IntervalColumn):
            kinds |= {column.low: column.type, column.high: column.type, f"{column.name}_useful": "boolean"}
    return kinds


def _saved(form: Form, raw: dict[str, Any], page: str | None = None) -> Saved:
    schema = raw.get("schema")
    if schema == "dpquery.receipt/1":
        receipt, fault = _shaped(ReceiptDocument, raw)
        return Saved("receipt", raw, None, () if receipt is None else (receipt,), fault)
    kind = _KINDS.get(schema) if isinstance(schema, str) else None
    if kind is None:
        raise _unreadable("the file holds no release that was saved")
    document, fault = _shaped(kind, raw)
    if document is None:
        return Saved(form, raw, None, (), fault, page)
    receipts = receipts_in(document)
    if not receipts or document.seal is None:
        raise _unreadable("the file has no receipt: it is a preview, or of an older dpquery")
    return Saved(form, raw, document, receipts, None, page)


def _shaped(kind: Any, raw: dict[str, Any]) -> tuple[Any, str | None]:
    try:
        return kind.model_validate_json(json.dumps(raw), strict=True), None
    except ValueError as error:
        places: list[dict[str, Any]] = getattr(error, "errors", list)()
        named = ".".join(str(part) for part in places[0]["loc"]) if places else "the whole"
        return None, f"{named[:80]} is not as {raw.get('schema')} has it"


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > SIZE_MAX:
            raise _unreadable(f"{path} is too large for a release")
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(f"{path} cannot be read: {error.strerror}") from None


def _text(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _unreadable(f"{path} is no text and no Parquet file") from None


def _json(text: str, path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(text, parse_constant=_finite, parse_float=_finite, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise _unreadable(f"{path} holds no readable JSON") from None
    if not isinstance(raw, dict):
        raise _unreadable(f"{path} holds no object")
    return raw


def _finite(text: str) -> float:
    """A number of JSON; ValueError for one beyond any float, which no release has."""
    found = float(text)
    if not math.isfinite(found):
        raise ValueError(text)
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; ValueError for a name that it has twice, of which readers would take one or the other."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _parquet(content: bytes) -> tuple[dict[str, Any], tuple[str, ...]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(content))
        rows = [{name: json_value(value) for name, value in row.items()} for row in table.to_pylist()]
        raw = json.loads((table.schema.metadata or {}).get(DOCUMENT.encode(), b"null"))
    except (pa.ArrowException, OSError, ValueError, OverflowError):
        raise _unreadable("the Parquet file is damaged") from None
    if not isinstance(raw, dict):
        raise _unreadable("the Parquet file holds no release that was saved")
    return raw | {"rows": rows}, tuple(table.column_names)


def _in_head(page: str) -> str:
    document = document_in(page)
    if document is None:
        raise _unreadable("the page holds no release that was saved")
    return document


def _csv_cells(text: str) -> list[list[str]]:
    """A header of different names, and rows of as many cells."""
    try:
        read = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        raise _unreadable("the CSV file is damaged") from None
    if not read or len(set(read[0])) != len(read[0]) or any(len(row) != len(read[0]) for row in read):
        raise _unreadable("the CSV file is damaged")
    return read


def _document_of(raw: dict[str, Any]) -> SavedDocument | None:
    """The document that stands beside rows; None if it does not have the form of its schema."""
    kind = _KINDS.get(str(raw.get("schema")))
    found: SavedDocument | None = None if kind is None else _shaped(kind, raw | {"rows": []})[0]
    return found


def _cell(text: str, kind: str | None) -> Any:
    if text == "":
        return None
    match kind:
        case "integer" if re.fullmatch(r"-?[0-9]{1,30}", text):
            return int(text)
        case "number" if re.fullmatch(r"-?[0-9]{1,30}(\.[0-9]{1,30})?(e[+-]?[0-9]{1,3})?", text):
            return float(text) if math.isfinite(float(text)) else text
        case "boolean" if text in {"true", "false"}:
            return text == "true"
        case "timestamp":
            return text.replace(" ", "T") + "Z"
        case _:
            return text


def _unreadable(why: str, fix: str = "name a file that save() or --json wrote") -> UsageError:
    return UsageError("DPQ-002", why, fix=fix)
