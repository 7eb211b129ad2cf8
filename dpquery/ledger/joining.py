"""Groups: who ever belonged to one, and what it takes over from who joins.

People who may pool answers share a group, so its balance is the union of the releases that anybody saw who ever was a
member. Each release counts once: a group that has paid for one does not pay again because another member saw it, too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from dpquery.errors import ensure
from dpquery.ledger.bodies import AdoptBody, JoinBody, Seen, decode
from dpquery.ledger.fold import broken_chain
from dpquery.ledger.rows import adoptions, charge_losses, read_balances, unpaid_pairs, write_balances, write_pairs
from dpquery.ledger.schema import members as members_table
from dpquery.ledger.scopes import Scope

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from sqlalchemy import Connection

    from dpquery.accounting import Loss
    from dpquery.ledger.scopes import Member
    from dpquery.ledger.writing import Writing

Groups = dict[str, frozenset[str]]
"""The groups of each analyst."""


def known_groups(connection: Connection) -> Groups:
    """The groups that each analyst ever joined."""
    return merged({}, [(row.group_name, row.analyst) for row in connection.execute(select(members_table))])


def merged(groups: Mapping[str, Collection[str]], members: Iterable[Member]) -> Groups:
    """`groups` and `members` together."""
    found = {analyst: frozenset(names) for analyst, names in groups.items()}
    for group, analyst in members:
        found[analyst] = found.get(analyst, frozenset()) | {group}
    return found


def joined(writing: Writing, members: Collection[Member]) -> Writing:
    """The transaction after all of `members` have joined whom the ledger does not know in their group."""
    joins = pending_joins(writing.connection, writing.fold.groups, members)
    if not joins:
        return writing
    writing = replace(writing, fold=writing.fold.fork())
    for body in joins:
        _join(writing, body)
    return writing


def pending_joins(
    connection: Connection, known: Mapping[str, Collection[str]], members: Collection[Member]
) -> tuple[JoinBody, ...]:
    """What would be written if those of `members` that are not `known` joined now, in order."""
    fresh = sorted({(group, analyst) for group, analyst in members if group not in known.get(analyst, ())})
    if not fresh:
        return ()
    lost = _lost(connection)
    taken_over: dict[str, set[tuple[int, str]]] = {}
    joins: list[JoinBody] = []
    for group, analyst in fresh:
        before = taken_over.setdefault(group, set())
        unpaid = unpaid_pairs(connection, Scope("analyst", analyst), Scope("group", group)) - before
        before |= unpaid
        losses = charge_losses(connection, {charge for charge, _ in unpaid})
        joins.append(JoinBody(group, analyst, seen_of(unpaid, losses), lost.get(analyst, ())))
    return tuple(joins)


def seen_of(unpaid: Iterable[tuple[int, str]], losses: Mapping[int, Loss]) -> tuple[Seen, ...]:
    """Charges and their blocks in the one order of an entry, with what each costs."""
    blocks: dict[int, tuple[str, ...]] = {}
    for charge, block in sorted(unpaid):
        blocks[charge] = (*blocks.get(charge, ()), block)
    return tuple(Seen(charge, found, losses[charge]) for charge, found in blocks.items())


def lost_to(sequence: int, body: AdoptBody) -> dict[str, tuple[Seen, ...]]:
    """By analyst: what the adoption `sequence` says that they saw in entries that are lost."""
    found: dict[str, tuple[Seen, ...]] = {}
    for (scope, block), loss in body.gap:
        if scope.kind == "analyst":
            found[scope.name] = (*found.get(scope.name, ()), Seen(sequence, (block,), loss))
    return found


def _lost(connection: Connection) -> dict[str, tuple[Seen, ...]]:
    found: dict[str, tuple[Seen, ...]] = {}
    for entry in adoptions(connection):
        body = decode(entry)
        ensure(isinstance(body, AdoptBody), "an entry says what its kind says")
        if isinstance(body, AdoptBody):
            for analyst, seen in lost_to(entry.sequence, body).items():
                found[analyst] = (*found.get(analyst, ()), *seen)
    return found


def _join(writing: Writing, body: JoinBody) -> None:
    """Write that somebody joins, and let the group spend what it takes over."""
    connection, fold, group = writing.connection, writing.fold, Scope("group", body.group)
    pairs = tuple(dict.fromkeys(pair for pair, _ in body.spent()))
    known = set(pairs) & set(fold.spent)
    for pair, spent in read_balances(connection, pairs).items():
        if spent != fold.spent_by(pair):
            broken_chain(fold.sequence, f"and those before do not add up to the balance of {group}")
    entry = writing.append("join", body)
    connection.execute(
        insert(members_table), {"group_name": body.group, "analyst": body.analyst, "entry": entry.sequence}
    )
    for seen in body.seen:
        write_pairs(connection, seen.entry, entry.sequence, [(group, block) for block in seen.blocks])
    fold.apply(entry)
    after = {pair: fold.spent_by(pair) for pair in pairs}
    write_balances(connection, after, dict.fromkeys(pairs), known)
    ensure(read_balances(connection, pairs) == after, "a balance is the fold of the entries")
