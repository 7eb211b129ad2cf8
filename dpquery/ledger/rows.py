"""Statements that read and write single rows of the ledger's tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, exists, insert, select, tuple_, update

from dpquery.accounting import NOTHING, Loss
from dpquery.errors import LedgerError, ensure
from dpquery.ledger.bodies import ChargeBody, decode
from dpquery.ledger.entries import BEFORE_GENESIS, Entry, Kind, sealed
from dpquery.ledger.schema import balances, charged_pairs, entries, failures, head, releases
from dpquery.ledger.scopes import Pair, Scope, pair_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from dpquery.accounting import Cap

PAGE = 1000
PAIRS_PER_QUERY = 200

_ENTRY_COLUMNS = (entries.c.sequence, entries.c.kind, entries.c.at, entries.c.body, entries.c.previous, entries.c.hash)
_PAGE_OF_ENTRIES = (
    select(*_ENTRY_COLUMNS).where(entries.c.sequence > bindparam("after")).order_by(entries.c.sequence).limit(PAGE)
)


def entries_after(connection: Connection, sequence: int) -> Iterator[Entry]:
    """Entries that follow `sequence`, in order, a page at a time."""
    while True:
        page = entries_page(connection, sequence)
        yield from page
        if len(page) < PAGE:
            return
        sequence = page[-1].sequence


def entries_page(connection: Connection, sequence: int) -> list[Entry]:
    """The next PAGE entries after `sequence`."""
    return [Entry(*row) for row in connection.execute(_PAGE_OF_ENTRIES, {"after": sequence})]


def entry_at(connection: Connection, sequence: int) -> Entry:
    """The entry `sequence`; LedgerError DPQ-802 if there is none."""
    row = connection.execute(select(*_ENTRY_COLUMNS).where(entries.c.sequence == sequence)).one_or_none()
    if row is None:
        raise LedgerError(
            "DPQ-802", f"entry {sequence} of the ledger is missing", fix="restore the ledger from a copy that verifies"
        )
    return Entry(*row)


def decisions(connection: Connection) -> list[Entry]:
    """Grants and closes, in order, unchecked."""
    found = select(*_ENTRY_COLUMNS).where(entries.c.kind.in_(["grant", "close"])).order_by(entries.c.sequence)
    return [Entry(*row) for row in connection.execute(found)]


def adoptions(connection: Connection) -> list[Entry]:
    """Adoptions of checkpoints, in order, unchecked."""
    found = select(*_ENTRY_COLUMNS).where(entries.c.kind == "adopt").order_by(entries.c.sequence)
    return [Entry(*row) for row in connection.execute(found)]


def hashes_at(connection: Connection, sequences: Collection[int]) -> dict[int, str]:
    """Hashes of those of the entries `sequences` that exist."""
    found: dict[int, str] = {}
    for some in _chunks(sorted(sequences)):
        rows = connection.execute(select(entries.c.sequence, entries.c.hash).where(entries.c.sequence.in_(some)))
        found |= {row.sequence: row.hash for row in rows}
    return found


def charge_losses(connection: Connection, charges: Collection[int]) -> dict[int, Loss]:
    """What each of `charges` cost; LedgerError DPQ-802 if one is no charge."""
    found: dict[int, Loss] = {}
    for some in _chunks(sorted(charges)):
        for row in connection.execute(select(*_ENTRY_COLUMNS).where(entries.c.sequence.in_(some))):
            body = decode(Entry(*row))
            if isinstance(body, ChargeBody):
                found[row.sequence] = body.loss
    if len(found) != len(charges):
        raise LedgerError(
            "DPQ-802", "a charge of the ledger is missing", fix="restore the ledger from a copy that verifies"
        )
    return found


def _chunks(sequences: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(sequences), PAIRS_PER_QUERY):
        yield sequences[start : start + PAIRS_PER_QUERY]


def read_head(connection: Connection) -> tuple[int, str]:
    """Sequence and hash of the last entry; (0, zeros) before there is one."""
    row = connection.execute(select(head.c.sequence, head.c.hash)).one_or_none()
    return (0, BEFORE_GENESIS) if row is None else (row.sequence, row.hash)


def append(connection: Connection, kind: Kind, at: str, body: str | Callable[[int, str], str]) -> Entry:
    """Add an entry after the last. `body` is canonical JSON, or gives it for the entry's place (to be signed)."""
    last, previous = read_head(connection)
    text = body if isinstance(body, str) else body(last + 1, previous)
    entry = sealed(last + 1, kind, at, text, previous)
    connection.execute(
        insert(entries),
        {
            "sequence": entry.sequence,
            "kind": entry.kind,
            "at": entry.at,
            "body": entry.body,
            "previous": entry.previous,
            "hash": entry.hash,
        },
    )
    if last == 0:
        connection.execute(insert(head), {"one": 1, "sequence": entry.sequence, "hash": entry.hash})
    else:
        connection.execute(update(head), {"sequence": entry.sequence, "hash": entry.hash})
    return entry


def read_balances(connection: Connection, pairs: Sequence[Pair] | None, *, lock: bool = False) -> dict[Pair, Loss]:
    """What `pairs` have spent (nothing where there is no row), or every row if None.

    With `lock`, their rows are locked in the order of `pair_key` until the transaction ends (SQLite locks the file).
    """
    columns = select(balances.c.scope, balances.c.block, balances.c.epsilon, balances.c.rho, balances.c.delta)
    if pairs is None:
        return {_pair(row.scope, row.block): _loss(row) for row in connection.execute(columns)}
    found: dict[Pair, Loss] = dict.fromkeys(pairs, NOTHING)
    names = [pair_key(pair) for pair in pairs]
    for start in range(0, len(names), PAIRS_PER_QUERY):
        some = columns.where(tuple_(balances.c.scope, balances.c.block).in_(names[start : start + PAIRS_PER_QUERY]))
        if lock:
            some = some.order_by(balances.c.scope, balances.c.block).with_for_update()
        found |= {_pair(row.scope, row.block): _loss(row) for row in connection.execute(some)}
    return found


def write_balances(
    connection: Connection, after: Mapping[Pair, Loss], caps: Mapping[Pair, Cap | None], known: Collection[Pair]
) -> None:
    """Put down what each pair has spent, with the cap that admitted it; the table itself refuses to pass that cap.

    `known`: pairs that have spent before.
    """
    rows = [
        {
            "of_scope": str(scope),
            "of_block": block,
            "epsilon": loss.epsilon,
            "rho": loss.rho,
            "delta": loss.delta,
            "cap_epsilon": None if cap is None else cap.epsilon,
            "cap_rho": None if cap is None else cap.rho,
            "cap_delta": None if cap is None else cap.delta_selection,
        }
        for (scope, block), loss in after.items()
        for cap in [caps[scope, block]]
    ]
    fresh = [row for row, pair in zip(rows, after, strict=True) if pair not in known]
    held = [row for row, pair in zip(rows, after, strict=True) if pair in known]
    if fresh:
        connection.execute(insert(balances).values(scope=bindparam("of_scope"), block=bindparam("of_block")), fresh)
    if held:
        here = (balances.c.scope == bindparam("of_scope")) & (balances.c.block == bindparam("of_block"))
        connection.execute(update(balances).where(here), held)


def write_pairs(connection: Connection, charge: int, entry: int, pairs: Sequence[Pair]) -> None:
    """Put down that `pairs` have paid for the release of `charge`; the table refuses to let one pay twice."""
    rows = [{"charge": charge, "scope": str(scope), "block": block, "entry": entry} for scope, block in pairs]
    connection.execute(insert(charged_pairs), rows)


def paid_pairs(connection: Connection, charge: int) -> frozenset[Pair]:
    """Who has paid for the release of `charge`."""
    found = select(charged_pairs.c.scope, charged_pairs.c.block).where(charged_pairs.c.charge == charge)
    return frozenset(_pair(row.scope, row.block) for row in connection.execute(found))


def unpaid_pairs(connection: Connection, seen_by: Scope, payer: Scope) -> set[tuple[int, str]]:
    """Charges and blocks that `seen_by` has paid for and `payer` has not."""
    theirs = charged_pairs.alias()
    paid = exists().where(
        theirs.c.charge == charged_pairs.c.charge,
        theirs.c.block == charged_pairs.c.block,
        theirs.c.scope == str(payer),
    )
    found = select(charged_pairs.c.charge, charged_pairs.c.block).where(charged_pairs.c.scope == str(seen_by), ~paid)
    return {(row.charge, row.block) for row in connection.execute(found)}


def failed_attempts(connection: Connection, charge: int) -> int:
    """How many attempts at an answer have failed."""
    found = select(failures.c.attempt).where(failures.c.charge == charge)
    attempts = sorted(row.attempt for row in connection.execute(found))
    ensure(attempts == list(range(1, len(attempts) + 1)), "attempts are numbered from one")
    return len(attempts)


def is_released(connection: Connection, charge: int) -> bool:
    """Whether the answer to `charge` is stored."""
    return connection.execute(select(releases.c.entry).where(releases.c.charge == charge)).one_or_none() is not None


def _pair(scope: str, block: str) -> Pair:
    return Scope.parse(scope), block


def _loss(row: object) -> Loss:
    return Loss(row.epsilon, row.rho, row.delta)  # type: ignore[attr-defined]
