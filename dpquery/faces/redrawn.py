"""A saved document as a sheet again, so that what was drawn of it can be drawn anew and compared."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any, assert_never

from dpquery.documents import (
    BoundingLossDocument,
    DerivedColumn,
    DerivedDocument,
    IntervalColumn,
    KeyColumn,
    ReleaseDocument,
    ValueColumn,
)
from dpquery.errors import broken
from dpquery.faces.sheet import KeySeries, Receipt, Sheet, Terms, ValueSeries

if TYPE_CHECKING:
    from dpquery.documents import ReceiptDocument
    from dpquery.faces.sheet import KeyType

SavedDocument = ReleaseDocument | DerivedDocument | BoundingLossDocument


def receipts_in(document: SavedDocument) -> tuple[ReceiptDocument, ...]:
    """The receipt of each release that a document is made of; none in a preview."""
    match document:
        case DerivedDocument():
            return document.receipts
        case ReleaseDocument():
            return () if document.receipt is None else (document.receipt,)
        case BoundingLossDocument():
            return (document.receipt,)
        case _:
            assert_never(document)


def sheet_of_document(document: SavedDocument) -> Sheet:
    """The sheet that `document` was made from, without what a page does not show.

    LookupError, TypeError or ValueError for rows that are not of its columns.
    """
    receipts = receipts_in(document)
    if not receipts:
        broken("what is saved has receipts")
    table = receipts[0].table
    found: list[KeySeries | ValueSeries] = []
    for column in document.columns:
        match column:
            case KeyColumn():
                values = tuple(_key(row[column.name], column.type) for row in document.rows)
                found.append(KeySeries(column.name, column.type, values))
            case ValueColumn() | DerivedColumn():
                value, low, high, useful = (
                    tuple(row[name] for row in document.rows)
                    for name in (column.name, column.low, column.high, f"{column.name}_useful")
                )
                unit = None if column.unit == table else column.unit
                whole = column.type == "integer"
                found.append(ValueSeries(column.name, column.aggregate, unit, whole, value, low, high, useful, None))
            case IntervalColumn():
                continue
            case _:
                assert_never(column)
    return Sheet(tuple(found), len(document.rows), document.interval.confidence, _terms(document, receipts))


def _terms(document: SavedDocument, receipts: tuple[ReceiptDocument, ...]) -> Terms:
    warnings = document.warnings
    paid = "nothing new spent"
    if not isinstance(document, DerivedDocument):
        paid = "asked before, free now" if document.status == "repeated" else "spent"
    if isinstance(document, BoundingLossDocument):
        warnings = (*warnings, *document.advice)
    return Terms(
        cost=document.cost,
        paid=paid,
        guarantee=document.guarantee,
        receipts=tuple(Receipt(receipt.release, receipt.entry, receipt.at) for receipt in receipts),
        table=receipts[0].table,
        bounding=receipts[0].bounding,
        purpose=document.purpose,
        notice=document.notice,
        versions=tuple(document.versions.items()),
        warnings=warnings,
    )


def _key(value: Any, kind: KeyType) -> Any:
    if value is None:
        return None
    if kind == "date":
        return date.fromisoformat(value)
    return datetime.fromisoformat(value.removesuffix("Z")) if kind == "timestamp" else value
