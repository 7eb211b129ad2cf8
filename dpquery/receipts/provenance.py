"""What the ledger knows of a release, kept with it from the moment it is handed out, and its receipt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from dpquery.documents import AskedQuery, ExactLoss, Parameter, ReceiptDocument
from dpquery.errors import broken
from dpquery.plan.expressions import Value
from dpquery.plan.query import CountKept, RequestedBounds
from dpquery.receipts.digests import rows_digest, with_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dpquery.plan.query import LogicalPlan
    from dpquery.release import Release


@dataclass(frozen=True, slots=True)
class Provenance:
    """Which ledger keeps a release, as which charge, and what was asked."""

    dataset: str
    ledger: str
    steward: str
    charge: str
    analyst: str
    question: str
    record: str
    """Hash of the stored noisy integers."""
    sql: str
    params: Mapping[str, Value]


def receipt_of(release: Release) -> ReceiptDocument:
    """The receipt of a release, for its rows as they are now."""
    provenance, logical, loss = release.provenance, release.plan.bounded.logical, release.plan.loss
    query = AskedQuery(
        kind="bounding-loss" if isinstance(logical.aggregates[0], CountKept) else "answer",
        sql=provenance.sql,
        params={name: parameter(value) for name, value in sorted(provenance.params.items())},
        bounds=bounds_asked(logical),
        value_bounds=tuple(each.document() for each in release.chosen),
        confidence=release.confidence,
    )
    summary = release.summary
    return with_digest(
        ReceiptDocument(
            release=release.release_id,
            charge=provenance.charge,
            entry=release.ledger.entry,
            at=release.ledger.at,
            dataset=provenance.dataset,
            ledger=provenance.ledger,
            steward=provenance.steward,
            analyst=provenance.analyst,
            purpose=release.purpose,
            notice=release.notice,
            question=provenance.question,
            canonical=summary.canonical,
            data_version=summary.data_version,
            policy_version=summary.policy_version,
            consent_version=summary.consent_version,
            loss=ExactLoss(epsilon=loss.epsilon, rho=loss.rho, delta=loss.delta),
            record=provenance.record,
            query=query,
            table=logical.table,
            bounding=release.bounding,
            dpquery=release.versions["dpquery"],
            rows=rows_digest(release.json_rows()),
            digest="",
        )
    )


def bounds_asked(logical: LogicalPlan) -> dict[str, int]:
    """The contribution bounds that a request asks for, by name."""
    asked = logical.requested_bounds
    named = {
        "max_rows": asked.max_rows,
        "max_groups": asked.max_groups,
        "max_rows_per_group": asked.max_rows_per_group,
    }
    return {name: bound for name, bound in named.items() if bound is not None}


def requested_bounds(query: AskedQuery) -> RequestedBounds:
    """The reverse of `bounds_asked`."""
    rows, groups, each = (query.bounds.get(name) for name in ("max_rows", "max_groups", "max_rows_per_group"))
    return RequestedBounds(rows, groups, each)


def parameter(value: Value) -> Parameter:
    """A query's parameter as JSON has it."""
    plain = value.value
    return Parameter(type=value.type, value=plain.isoformat() if isinstance(plain, date) else plain)


def value_of(given: Parameter) -> Value:
    """The reverse of `parameter`; ValueError for a time that is none."""
    read: Any = given.value
    if read is not None and given.type == "date":
        read = date.fromisoformat(read)
    if read is not None and given.type == "timestamp":
        read = datetime.fromisoformat(read)
    if read is not None and given.type == "decimal":
        read = float(read)
    return Value(read, given.type)


def text_of(logical: LogicalPlan) -> str:
    """The text that a request was read from."""
    if logical.source is None:
        broken("what is asked was read from a text")
    return logical.source
