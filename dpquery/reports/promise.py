"""What was promised to whom: the bound, in numbers and in words, and what it leaves out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dpquery.budget import lifetime
from dpquery.describe import not_protected
from dpquery.documents import (
    Bound,
    PersonBound,
    ReportGuarantee,
    ReportTrust,
    ReportUnit,
    TableBoundsRow,
    TableUnit,
    TrustedParty,
)
from dpquery.noise.conversion import epsilon_of
from dpquery.reports.amounts import number_text, right_guesses, up, up_or_none
from dpquery.reports.ever import ever_released

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from dpquery.documents import Lifetime
    from dpquery.ledger import Usage
    from dpquery.policy import Policy
    from dpquery.policy.model import Bounds, Table

PERSONS = (1, 2, 3)

SEVERAL_NUMBERS = (
    "A person with m protected numbers gets m times epsilon, m squared times rho, and delta times "
    "(e^(m epsilon) - 1) / (e^epsilon - 1). Every call with a withheld number counts as one more number of that person."
)


def guarantee(policy: Policy, usage: Usage) -> ReportGuarantee:
    """The bound of the dataset's scope, which every charge goes to, and what was spent of it."""
    ever = ever_released(policy, usage)
    delta = policy.limits.delta_release
    blocks = [lifetime(each) for each in usage.balances if each.scope.kind == "dataset"]
    so_far = _spent(next((lifetime(each) for each in usage.lifetimes if each.scope.kind == "dataset"), None), delta)
    most = max((_spent(block, delta) for block in blocks), key=_size, default=so_far)
    return ReportGuarantee(
        definition=_definition(so_far),
        sentence=_sentence(policy, ever.promised, ever.unless_raised),
        promised=ever.promised,
        unless_raised=ever.unless_raised,
        spent_in_one_block=most,
        spent=so_far,
        promised_in_words=f"If all of that were spent: {_odds(ever.promised.right_guesses)}",
        spent_in_words=(
            f"By what was spent so far in one block, where that is most: {_odds(most.right_guesses)}",
            f"By what was spent so far over all blocks together: {_odds(so_far.right_guesses)}",
        ),
    )


def unit(policy: Policy, promised: Bound) -> ReportUnit:
    """Who is protected, against which change, how far, and for how long."""
    return ReportUnit(
        unit="a phone number in its canonical form (E.164), "
        + ("as caller or callee" if _two_parties(policy) else "as owner of its rows"),
        neighbours=(
            f"Two histories of the store are neighbours if one is the other without {_rows(policy)} of one protected "
            "number, and without its own records and events. All batches, tables and times count."
        ),
        several_numbers=SEVERAL_NUMBERS,
        persons=()
        if promised.epsilon is None
        else tuple(_person(promised.epsilon, promised.delta, m) for m in PERSONS),
        tables=tuple(_table(name, table) for name, table in policy.tables.items()),
        bounds=tuple(row for name, table in policy.tables.items() for row in _bounds(name, table)),
        time_scope=_time_scope(policy),
    )


def unprotected(policy: Policy) -> tuple[str, ...]:
    """What the promise leaves out, over all tables."""
    found: list[str] = []
    for table in policy.tables.values():
        source = policy.tables[table.legs_of] if table.legs_of is not None else table
        if not table.public:
            found += not_protected(source.columns, halves=table.legs_of is not None)
    public = [name for name, table in policy.tables.items() if table.public]
    tables = [f"public tables, every row: {', '.join(public)}"] if public else []
    counted = ["when data, lists and consents were taken in, as counters of versions show it", *tables]
    return tuple(dict.fromkeys((*found, *counted)))


def trust() -> ReportTrust:
    """Who must be trusted with what."""
    return ReportTrust(
        parties=(
            TrustedParty(who="who runs the process and owns its files", sees="rows, keys, ledger: is trusted with all"),
            TrustedParty(who="steward", sees="policy, ledger, this report; changes caps with a signing key"),
            TrustedParty(who="analyst", sees="answers with noise, prices, their own budget; never rows"),
            TrustedParty(
                who="whoever gets an answer", sees="that answer; it may be passed on, so it was priced for all"
            ),
        ),
        assumptions=(
            (
                "Names of analysts are claims: they reach the store through the account of whoever runs it. Where the "
                "policy names an os_user, that user of the machine is checked."
            ),
            (
                "Only the dataset's cap holds whoever works together. The cap of an analyst, a group or a purpose "
                "holds as long as answers paid for by others do not reach its members, not even through what those ask."
            ),
            "A grant, a raise or a close counts only with the steward's signature, which the ledger checks.",
            (
                "A ledger that was replaced by an older copy of itself is found by comparing its head with one kept "
                "elsewhere, and only so."
            ),
        ),
    )


def _sentence(policy: Policy, promised: Bound, unless_raised: Bound) -> str:
    monthly = any(table.block == "month" for table in policy.tables.values())
    block = " about one block (a calendar month of the rows' own time)" if monthly else ""
    said = (
        f"Adding or removing any one protected phone number, with {_rows(policy)}, changes the distribution of "
        f"everything that is ever released{block} {_factor(promised)}."
    )
    if unless_raised == promised:
        return said
    return f"{said} Unless a steward raises a cap, it changes {_factor(unless_raised)}."


def _factor(bound: Bound) -> str:
    if bound.epsilon is None:
        return "by a factor that nothing bounds: restores have charged more than any cap"
    return f"by at most a factor e^{number_text(bound.epsilon)}, plus delta = {number_text(bound.delta)}"


def _spent(spent: Lifetime | None, delta: float) -> Bound:
    if spent is None:
        return Bound(epsilon=0.0, delta=0.0, rho=0.0, epsilon_converted=0.0, delta_converted=delta, right_guesses=50)
    converted = None if spent.rho is None else epsilon_of(spent.rho, delta)
    guesses = [] if spent.epsilon is None else [right_guesses(spent.epsilon, spent.delta)]
    if converted is not None:
        guesses.append(right_guesses(converted, spent.delta + delta))
    return Bound(
        epsilon=up_or_none(spent.epsilon),
        delta=up(spent.delta),
        rho=up_or_none(spent.rho),
        epsilon_converted=up_or_none(converted),
        delta_converted=None if converted is None else delta,
        right_guesses=min(guesses, default=None),
    )


def _size(bound: Bound) -> float:
    """Bounds in order: by rho, which each kind of noise has."""
    return math.inf if bound.rho is None else bound.rho


def _definition(spent: Bound) -> Literal["pure", "approximate", "zero-concentrated"]:
    if spent.epsilon is None:
        return "zero-concentrated"
    return "approximate" if spent.delta else "pure"


def _odds(guesses: int | None) -> str:
    start = "whoever would guess at even odds (50 in 100) whether a given number is in the data"
    if guesses is None:
        return "no bound holds for this sum; look at each block by itself."
    if guesses == 100:
        return f"{start} may then be right in up to 100 in 100 cases. That is no limit at all."
    if guesses == 50:
        return f"{start} can do no better, since nothing was released."
    return f"{start} is then right in at most {guesses} in 100 cases, from all answers together."


def _person(epsilon: float, delta: float, numbers: int) -> PersonBound:
    together = _delta_of_several(epsilon, delta, numbers)
    return PersonBound(
        numbers=numbers,
        epsilon=up(epsilon * numbers),
        delta=up(together),
        right_guesses=right_guesses(epsilon * numbers, together),
    )


def _delta_of_several(epsilon: float, delta: float, numbers: int) -> float:
    """The sum: delta (e^(m epsilon) - 1) / (e^epsilon - 1), i.e. delta times each e^(i epsilon), i < m."""
    total = 0.0
    for i in range(numbers):
        if i * epsilon > 700.0:
            return 1.0 if delta else 0.0
        total += math.exp(i * epsilon)
    return min(1.0, delta * total)


def _two_parties(policy: Policy) -> bool:
    return any(len(table.party_names) == 2 for table in policy.tables.values() if not table.public)


def _rows(policy: Policy) -> str:
    return "every call it made or received" if _two_parties(policy) else "every row it owns"


def _table(name: str, table: Table) -> TableUnit:
    period = None if table.period is None else (table.period[0].isoformat(), table.period[1].isoformat())
    owners = 1 if table.legs_of is not None else table.owners
    return TableUnit(table=name, owners=owners, rule=_rule(table), period=period, block=table.block)


def _rule(table: Table) -> str:
    if table.public:
        return "public: nobody's data"
    if table.legs_of is not None:
        return f"each party's own half of a row of {table.legs_of}; the other half is not protected"
    if table.owners == 1:
        return "each number keeps at most its bound of rows, chosen by a keyed lot"
    one = f"; one owner where {table.one_owner_when}" if table.one_owner_when else ""
    return f"dual-greedy: each number keeps at most its bound of rows in each group, at both ends of a call{one}"


def _bounds(name: str, table: Table) -> Iterator[TableBoundsRow]:
    if table.public:
        return
    bounds = table.contribution_bounds
    yield TableBoundsRow(
        table=name, keys="no GROUP BY", max_rows=bounds.ungrouped.max_rows, max_groups=None, max_rows_per_group=None
    )
    yield _bounds_row(name, "any keys", bounds.grouped)
    for keyed in bounds.by_key:
        yield _bounds_row(name, ", ".join(keyed.keys), keyed)


def _bounds_row(name: str, keys: str, bounds: Bounds) -> TableBoundsRow:
    return TableBoundsRow(
        table=name,
        keys=keys,
        max_rows=bounds.max_rows,
        max_groups=bounds.max_groups,
        max_rows_per_group=bounds.max_rows_per_group,
    )


def _time_scope(policy: Policy) -> tuple[str, ...]:
    if all(table.block == "none" for table in policy.tables.values()):
        return ("One budget holds for all rows, for ever. It does not renew.",)
    return (
        (
            "Budgets are held for each UTC month of the rows' own time. They renew because new rows arrive, never "
            "because the calendar turned over the same rows."
        ),
        (
            "A number whose rows all lie in some months loses at most what was released about these months. For one "
            "month of a number that is active in others too, the same holds for queries inside one month, and 2 "
            "epsilon, 4 rho, (1 + e^epsilon) delta for queries over several."
        ),
        "Rows without a time are one more block, which never renews.",
    )
