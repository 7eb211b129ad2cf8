"""What stands in the registry, as tables that the policy declares: for duties, and for nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dpquery.consent.records import EVERY_PURPOSE, PERSON, STATUSES
from dpquery.consent.registry import read_records
from dpquery.consent.standing import REFUSING, YES, standing, standing_by_source, statements

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from dpquery.store import Store


def registry_view(store: Store, table: str, at: datetime) -> pa.Table:
    """The rows of a policy's `table` that is a view, as of `at`: with `place`, in its order, and codes of numbers."""
    declared = store.policy.tables[table]
    records = read_records(store.folder)
    numbers = store.numbers()
    pseudonyms = numbers["pseudonym"].combine_chunks()
    if declared.registry == "consents":
        code, row, purposes = _consents(store, records, pseudonyms, at)
        columns = _consent_columns(records.take(pa.array(row)), purposes)
    else:
        code, row = _opt_outs(records, pseudonyms, at)
        columns = _opt_out_columns(records.take(pa.array(row)))
    protected = numbers["protected"].to_numpy()[code]
    party, *_ = declared.party_names
    derived = {"kind": "kind", "region": "region", "country": "country", "type": "line_type"}
    owners = numbers.take(pa.array(code))
    whole = pa.table(
        {
            "place": _lots(pseudonyms, code, row),
            party: code,
            **{f"{party}_{name}": owners[source] for name, source in derived.items()},
            **{name: columns[name] for name in declared.columns},
        }
    )
    return whole.filter(pa.array(protected)).sort_by("place")


def _consents(
    store: Store, records: pa.Table, pseudonyms: pa.Array, at: datetime
) -> tuple[NDArray[np.int32], NDArray[np.int64], list[str]]:
    """Codes, places among the records, and purposes of what stands."""
    codes, rows, purposes = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)], []
    for name, purpose in store.policy.purposes.items():
        if purpose.is_duty:
            continue
        found = statements(records, pseudonyms, name)
        stands = standing(found, at)
        codes.append(found.code[stands])
        rows.append(found.row[stands])
        purposes += [name] * len(stands)
    return np.concatenate(codes), np.concatenate(rows), purposes


def _opt_outs(records: pa.Table, pseudonyms: pa.Array, at: datetime) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Codes and places of what the lists say: one row for each number, list and purpose that the list is about."""
    codes, rows = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)]
    listed = pc.not_equal(records["source"], PERSON)
    for purpose in pc.unique(records["purpose"]).to_pylist():
        places = np.flatnonzero(pc.and_(listed, pc.equal(records["purpose"], purpose)).to_numpy())
        found = statements(records.take(pa.array(places)), pseudonyms, purpose)
        stands = standing_by_source(found, at)
        stands = stands[np.isin(found.status[stands], REFUSING)]
        codes.append(found.code[stands])
        rows.append(places[found.row[stands]])
    return np.concatenate(codes), np.concatenate(rows)


def _consent_columns(chosen: pa.Table, purposes: list[str]) -> dict[str, pa.ChunkedArray | pa.Array]:
    status, effective = chosen["status"], chosen["effective_at"].cast(pa.timestamp("us"))
    given = pc.equal(status, STATUSES[YES])
    return {
        "purpose": pa.array(purposes, pa.string()),
        "status": status,
        "basis": chosen["basis"],
        "granted_at": pc.if_else(given, effective, None),
        "withdrawn_at": pc.if_else(given, None, effective),
        "expires_at": chosen["expires_at"].cast(pa.timestamp("us")),
        "channel": chosen["method"],
        "notice_version": chosen["notice_version"],
    }


def _opt_out_columns(chosen: pa.Table) -> dict[str, pa.ChunkedArray | pa.Array]:
    return {
        "list_name": chosen["source"],
        "purpose": pc.replace_substring(chosen["purpose"], EVERY_PURPOSE, "all"),
        "added_on": chosen["effective_at"].cast(pa.timestamp("us")).cast(pa.date32()),
    }


def _lots(pseudonyms: pa.Array, code: NDArray[np.int32], row: NDArray[np.int64]) -> pa.Array:
    """A place for each row that depends on its own number and statement: mixed from the number's keyed pseudonym."""
    words = np.frombuffer(b"".join(pseudonyms.to_pylist()), np.uint64).reshape(-1, 2) if len(pseudonyms) else None
    own = np.zeros(len(code), np.uint64) if words is None else words[code, 0]
    # Which of a number's statements it is: counted within the number, so that nobody else's bear on it.
    order = np.lexsort((row, code))
    nth = np.zeros(len(code), np.uint64)
    if len(code):
        ordered = code[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        lengths = np.diff(np.r_[starts, len(ordered)])
        nth[order] = (np.arange(len(ordered)) - np.repeat(starts, lengths)).astype(np.uint64)
    mixed = own + (nth + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return pa.array(mixed ^ (mixed >> np.uint64(31)))
