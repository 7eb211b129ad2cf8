"""The rule for each field of a policy: what changing it does, for whom, in a sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from dpquery.policy.effects import (
    REVERSE,
    Change,
    Direction,
    Rule,
    amount,
    change,
    entries,
    items,
    listed,
    neutral,
    presence,
    shown,
    some,
    switch,
)
from dpquery.policy.model import PLACE_GRAINS, TIME_GRAINS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from dpquery.policy.differences import Difference, Place
    from dpquery.policy.model import Budget, PlaceGrain, Policy, Purpose, Table


def effects(difference: Difference, before: Policy, after: Policy) -> tuple[Change, ...]:
    """What the difference does; never empty."""
    for pattern, rule in RULES.items():
        if (names := _names(pattern, difference.place)) is not None:
            found = tuple(rule(replace(difference, names=names), before, after))
            if found:
                return found
    return (change(difference, "neutral", "{place} changes from {before} to {after}"),)


def _names(pattern: str, place: Place) -> tuple[str, ...] | None:
    """The names at the stars, if `place` is one that the pattern means."""
    parts = pattern.split(".")
    if len(parts) != len(place) or any(part not in {"*", name} for part, name in zip(parts, place, strict=True)):
        return None
    return tuple(name for part, name in zip(parts, place, strict=True) if part == "*")


def _format(found: Difference, _before: Policy, _after: Policy) -> Iterator[Change]:
    if found.after == "opaque":
        yield change(
            found,
            "weakens",
            "numbers are no longer read: each spelling of a number counts as a number of its own, so that its owner "
            "may lose several times what one number may",
        )
    else:
        yield change(found, "strengthens", "numbers are read, so that all spellings of a number are one")


def _table_entry(found: Difference, _before: Policy, _after: Policy) -> Iterator[Change]:
    table = cast("Table", found.before if found.after is None else found.after)
    direction: Direction = "neutral" if table.public else "weakens"
    if found.after is not None:
        yield change(found, direction, _NEW_TABLE[_kind(table)])
    else:
        yield change(found, REVERSE[direction], "the table {0} cannot be asked about any more; stored rows stay stored")


def _kind(table: Table) -> str:
    return "public" if table.public else "legs" if table.legs_of is not None else "protected"


_NEW_TABLE = {
    "public": "the public table {0} is new: all its rows may be known",
    "legs": "the view {0} is new: its answers protect a number's own half of each call, which is less than the call",
    "protected": "the table {0} is new: rows of the people in it are kept, and may be asked about",
}


def _parties(found: Difference, before: Policy, after: Policy) -> Iterator[Change]:
    """Numbers that stop being parties own no rows any more, whatever the mapping says."""
    name = found.place[1]
    was, now = before.tables[name].party_names, after.tables[name].party_names
    gone, new = tuple(p for p in was if p not in now), tuple(p for p in now if p not in was)
    if gone:
        said = "whoever is {items} in {0} loses the protection of these rows: they are no longer theirs"
        yield change(replace(found, before=gone, after=()), "weakens", said)
    if new:
        said = "whoever is {items} in {0} is protected: these rows are theirs too"
        yield change(replace(found, before=(), after=new), "strengthens", said)
    if not gone and not new:
        yield change(found, "neutral", "the numbers of {0} are read from other columns of the file, or in another way")


def _period(found: Difference, _before: Policy, _after: Policy) -> Iterator[Change]:
    was, now = (cast("tuple[date, date] | None", side) for side in (found.before, found.after))
    if was is None or now is None:
        yield change(found, "neutral", "the period of {0} changes from {before} to {after}")
        return
    if now[0] < was[0] or now[1] > was[1]:
        said = (
            "rows of further days are kept in {0}; with budgets per month, a number that is active in further months "
            "can lose a budget in each"
        )
        yield change(found, "weakens", said)
    if now[0] > was[0] or now[1] < was[1]:
        yield change(found, "strengthens", "rows of fewer days are taken into {0}: from {after}, not {before}")


def _block(found: Difference, _before: Policy, _after: Policy) -> Iterator[Change]:
    if found.after == "month":
        said = "budgets of {0} are held per month: a number that is active in several can lose a whole budget in each"
        yield change(found, "weakens", said)
    else:
        said = "{0} has one budget for all its time: in a lifetime a number can lose that once, and not once a month"
        yield change(found, "strengthens", said)


def _grain(found: Difference, _before: Policy, _after: Policy) -> Iterator[Change]:
    before, after = TIME_GRAINS[str(found.before)], TIME_GRAINS[str(found.after)]
    if after < before:
        yield change(found, "weakens", "finer times of calls in {0} are kept: to the {after}, not the {before}")
    else:
        yield change(found, "strengthens", "times in {0} are kept to the {after} only, not to the {before}")


def _column_grain(found: Difference, before: Policy, after: Policy) -> Iterator[Change]:
    """A text is finer the more signs it keeps, everything else the smaller its step is."""
    _, table, _, name, _ = found.place
    was, now = (_step(policy, table, name) for policy in (before, after))
    if was == now:
        yield change(found, "neutral", "{place} is now written out, or left out, and means the same")
    elif now < was:
        yield change(found, "weakens", "{1} of {0} is kept finer: {after}, not {before}")
    else:
        yield change(found, "strengthens", "{1} of {0} is kept coarser: {after}, not {before}")


def _step(policy: Policy, table: str, column: str) -> float:
    """How coarse a column is kept, for comparison with itself."""
    declared = policy.tables[table]
    grain = declared.stored_grain(column)
    if grain is None:
        return 0.0
    if isinstance(grain, str):
        return float(TIME_GRAINS[grain])
    return 1.0 / grain if declared.columns[column].type == "text" else grain


def _by_key(found: Difference, _before: Policy, _after: Policy) -> Iterator[Change]:
    was, now = items(found.before), items(found.after)
    new, gone = [_bounds_text(x) for x in now if x not in was], [_bounds_text(x) for x in was if x not in now]
    said = [f"{what} {'; '.join(each)}" for what, each in (("now", new), ("no longer", gone)) if each]
    told = ", ".join(said) or "the same entries in another order, and the first that fits wins"
    yield change(found, "neutral", f"contribution bounds by key of {{0}}: {{told}}. {_SAME_PRICE}", told=told)


_SAME_PRICE = "Same price and same promise; noise and the rows left out change"


def _bounds_text(bounds: Any) -> str:
    given = bounds.model_dump(exclude_none=True)
    keys = given.pop("keys")
    return f"({', '.join(keys)}: {', '.join(f'{name} = {value}' for name, value in given.items())})"


def _keys(found: Difference, _before: Policy, _after: Policy) -> Iterator[Change]:
    was, now = (side if isinstance(side, tuple) else () for side in (found.before, found.after))
    new, gone = [str(x) for x in now if x not in was], [str(x) for x in was if x not in now]
    lists = isinstance(found.before, tuple) and isinstance(found.after, tuple)
    told = [f"{what} {some(each)}" for what, each in (("also", new), ("no longer", gone)) if each and lists]
    said = "; ".join(told) or f"{shown(found.after)}, not {shown(found.before)}"
    yield change(found, "neutral", "the groups of {0}.{1} are others: {said}. More groups mean more noise", said=said)


def _purpose_entry(found: Difference, _before: Policy, _after: Policy) -> Iterator[Change]:
    purpose = cast("Purpose", found.before if found.after is None else found.after)
    # Only numbers whose owners said yes count towards an opt-in purpose: nobody else is used for more.
    direction: Direction = "neutral" if purpose.regime == "opt-in" else "weakens"
    if found.after is None:
        yield change(found, REVERSE[direction], "rows are no longer used for the purpose {0}")
    else:
        silence = {"opt-in": "of those who said yes", "opt-out": "of all who did not object", "duty": "of everybody"}
        said = f"rows {silence[purpose.regime]} may be used for a further purpose, {{0}}"
        yield change(found, direction, said)


_REGIMES = ("opt-in", "opt-out", "duty")
"""From the strictest on."""


def _regime(found: Difference, _before: Policy, _after: Policy) -> Iterator[Change]:
    said = {
        "opt-in": "only numbers whose owners said yes count for {0}; before it was {before}",
        "opt-out": "for {0} silence means yes; before it was {before}",
        "duty": "for {0} nobody is asked, and numbers whose owners said no count too; before it was {before}",
    }
    weaker = _REGIMES.index(str(found.after)) > _REGIMES.index(str(found.before))
    yield change(found, "weakens" if weaker else "strengthens", said[str(found.after)])


def _purpose_kind(found: Difference, _before: Policy, _after: Policy) -> Iterator[Change]:
    if found.before is not None:
        said = "laws about {before} do not make {0} stricter any more"
        yield change(replace(found, after=None), "weakens", said)
    if found.after is not None:
        said = "where a law about {after} wants people to have said yes, {0} counts only those who did"
        yield change(replace(found, before=None), "strengthens", said)


def _registry_view(found: Difference, _before: Policy, _after: Policy) -> Iterator[Change]:
    if found.after is None:
        yield change(found, "weakens", "{0} is no view of the registry of consents any more: every purpose may read it")
    elif found.before is None:
        yield change(found, "strengthens", "{0} is a view of the registry of consents, for duty purposes only")
    else:
        yield change(found, "neutral", "{0} shows {after} of the registry, not {before}")


def _purpose_tables(found: Difference, before: Policy, after: Policy) -> Iterator[Change]:
    was, now = set(items(found.before)), set(items(found.after))
    if "*" in was and "*" in now:
        yield change(found, "neutral", "{0} may read every table, as before")
    elif "*" in now:
        yield change(found, "weakens", "{0} may read every table, those of later versions too; before only {before}")
    elif "*" in was:
        yield change(found, "strengthens", "{0} may read {after} only; before every table")
    else:
        yield from _PURPOSE_TABLE_LISTS(found, before, after)


_PURPOSE_TABLE_LISTS = entries("{0} may read {items} too", "{0} may not read {items} any more")


def _group(found: Difference, _before: Policy, _after: Policy) -> Iterator[Change]:
    if found.before is not None:
        said = "{0} leaves the group {before}: if its members still pool what they learn, its cap no longer holds"
        yield change(replace(found, before=found.before, after=None), "weakens", said)
    if found.after is not None:
        said = "{0} joins the group {after}: what its members learn together stays within its cap"
        yield change(replace(found, before=None, after=found.after), "strengthens", said)


_FIRST_GRANT = "A new store starts so; in one that exists nothing changes, until `grant` or `raise`"


def _budget_entry(found: Difference, _before: Policy, _after: Policy) -> Iterator[Change]:
    if found.place[1] == "analysts":
        yield change(found, "neutral", f"the budget of analyst {{0}} comes and goes with the analyst. {_FIRST_GRANT}")
    elif found.after is None:
        yield change(found, "weakens", f"{_scope(found)} has no budget of its own, so nothing stops it. {_FIRST_GRANT}")
    else:
        yield change(found, "strengthens", f"{_scope(found)} gets a budget of its own. {_FIRST_GRANT}")


def _budget_amount(what: str) -> Rule:
    """Epsilon or delta of a budget."""

    def rule(found: Difference, _before: Policy, _after: Policy) -> Iterator[Change]:
        more = cast("float", found.after) > cast("float", found.before)
        said = (
            f"{_scope(found)} may {'lose' if more else 'lose no more than'} {what} {{after}} per block, not {{before}}"
        )
        yield change(found, "weakens" if more else "strengthens", f"{said}. {_FIRST_GRANT}")

    return rule


def _budget_ceiling(found: Difference, before: Policy, after: Policy) -> Iterator[Change]:
    was, now = (_ceiling(policy, found.place[1:-1]) for policy in (before, after))
    if was == now:
        yield change(found, "neutral", "{place} is now written out, or left out, and means the same")
        return
    said = f"the cap of {_scope(found)} may be raised to epsilon {now:g}, not {was:g}. {_FIRST_GRANT}"
    yield change(found, "weakens" if now > was else "strengthens", said)


def _ceiling(policy: Policy, place: Place) -> float:
    """The ceiling of a budget, or its epsilon where it has none."""
    kind, *name = place
    held = getattr(policy.budgets, kind)
    budget = cast("Budget", held[name[0]] if name else held)
    return budget.epsilon if budget.ceiling is None else budget.ceiling


def _scope(found: Difference) -> str:
    """Who a budget is for, in the words of `--scope`."""
    kind, *rest = found.place[1:]
    return "the dataset" if kind == "dataset" else f"{kind.removesuffix('s')}:{rest[0]}"


def _min_people(found: Difference, _before: Policy, _after: Policy) -> Iterator[Change]:
    if found.before is None:
        said = (
            "groups that nobody declared may show from {after} people on; a lone person's shows with a chance of delta"
        )
        yield change(found, "weakens", said)
    elif found.after is None:
        yield change(found, "strengthens", "groups that nobody declared do not show any more")
    elif cast("int", found.after) < cast("int", found.before):
        yield change(found, "weakens", "groups that nobody declared show from {after} people on, not from {before}")
    else:
        yield change(found, "strengthens", "groups that nobody declared show from {after} people on, not from {before}")


def _sensitive_numbers(found: Difference, before: Policy, after: Policy) -> Iterator[Change]:
    """Those who call them are promised more, and whoever owns the line less."""
    yield from _SENSITIVE_LINES(found, before, after)
    yield from _SENSITIVE_CALLS(found, before, after)


_SENSITIVE_LINES = entries(
    "{items} belong to nobody: whoever has these lines loses protection",
    "{items} belong to somebody, unless they are public: whoever has these lines is protected",
)
_SENSITIVE_CALLS = entries(
    "calls to {items} cannot be told from calls to other services",
    "calls to {items} may be told from others by what the numbering plan says",
    more="strengthens",
)


def _place(found: Difference, _before: Policy, _after: Policy) -> Iterator[Change]:
    """A finer place stands beside fewer columns; what is marked as none, beside all."""
    was, now = (
        len(PLACE_GRAINS) if side is None else PLACE_GRAINS.index(cast("PlaceGrain", side))
        for side in (found.before, found.after)
    )
    said = "{0}.{1} tells a place as finely as {after}, not {before}: nothing sensitive stands beside fine places"
    yield change(found, "strengthens" if now < was else "weakens", said)


def _place_with_sensitive(found: Difference, _before: Policy, _after: Policy) -> Iterator[Change]:
    finer = PLACE_GRAINS.index(cast("PlaceGrain", found.after)) < PLACE_GRAINS.index(cast("PlaceGrain", found.before))
    said = "what is sensitive may be asked for together with places as fine as a {after}, not a {before}"
    yield change(found, "weakens" if finer else "strengthens", said)


def _joins(found: Difference, before: Policy, after: Policy) -> Iterator[Change]:
    """Pairs of tables, in whatever order each is written."""
    yield from _JOINED(replace(found, before=_pairs(found.before), after=_pairs(found.after)), before, after)


def _pairs(side: object) -> tuple[str, ...] | None:
    return None if side is None else tuple(sorted({" with ".join(sorted(pair)) for pair in items(side)}))


_JOINED = listed(
    "{0} may bring tables together in these pairs only: {after}",
    "{0} may bring any tables together; before only {before}",
    entries("{0} may bring {items} together too", "{0} may not bring {items} together any more"),
)


def _ledger_url(found: Difference, _before: Policy, _after: Policy) -> Iterator[Change]:
    """Only what is in the ledger in use counts."""
    here, there = ("the store's own file" if side is None else str(side) for side in (found.before, found.after))
    lost = "what was spent in {left} counts no more: unless that ledger is moved to {used}, its budgets are given back"
    yield change(found, "weakens", lost, left=here, used=there)
    yield change(found, "strengthens", "what was spent in the ledger at {used} counts", used=there)


_ERROR = f"{{after}}, not {{before}}. {_SAME_PRICE}"
_READING = "Numbers that are read otherwise are other numbers"

RULES: dict[str, Rule] = {
    "schema": neutral("the form of the file is {after}, not {before}"),
    "dataset": neutral("the dataset is called {after}, not {before}"),
    "version": neutral("the version is {after}, not {before}"),
    "numbers.format": _format,
    "numbers.default_region": neutral(
        f"numbers without a country code are read as of {{after}}, not {{before}}. {_READING}"
    ),
    "numbers.public_numbers": entries(
        "{items} belong to nobody: whoever uses these lines loses protection",
        "{items} belong to somebody: whoever uses these lines is protected",
    ),
    "numbers.public_file": presence(
        "the numbers in {after} belong to nobody: whoever uses these lines loses protection",
        "the numbers in {before} belong to somebody: whoever uses these lines is protected",
        "public numbers are listed in {after}, not in {before}: compare the two files",
    ),
    "numbers.public_kinds": entries(
        "numbers of kind {items} belong to nobody: whoever uses them loses protection",
        "numbers of kind {items} belong to somebody: whoever uses them is protected",
    ),
    "numbers.sensitive_numbers": _sensitive_numbers,
    "numbers.regions.*": neutral("the region {0} stands for {after}, not {before}. Keys change, promises do not"),
    "numbers.countries": neutral("countries that are keys: {after}, not {before}. Promises stay"),
    "tables.*": _table_entry,
    "tables.*.public": switch(
        "the table {0} is public: every row may be known to everybody",
        "the table {0} is no longer public: its rows have owners",
    ),
    "tables.*.key": neutral("the key of {0} is {after}, not {before}"),
    "tables.*.owners": neutral(
        "a row of {0} has at most {after} protected numbers, not {before}; rows with more go to quarantine. "
        "Each number is protected as before, by other rules and with other noise"
    ),
    "tables.*.legs_of": presence(
        "{0} is a view of halves of {after}: its answers protect a number's own half of each call only",
        "{0} is no view of halves of {before} any more: whole calls are protected",
        "{0} is a view of {after}, not of {before}",
    ),
    "tables.*.carries": entries(
        "the view {0} shows {items} too, of calls whose other party it does not protect",
        "the view {0} no longer shows {items}",
    ),
    "tables.*.one_owner_when": neutral(
        "rows of {0} have one owner when {after}, not when {before}. Ingest checks it on every row: each number is "
        "protected as before, by other rules and with other noise"
    ),
    "tables.*.parties": _parties,
    "tables.*.third_party": presence(
        "rows of {0} with a third number, in {after}, go to quarantine, so that its owner is not in them unprotected",
        "rows of {0} with a third number are kept, and its owner is not protected in them",
        "the third number of {0} is read from {after}, not from {before}",
        more="strengthens",
    ),
    "tables.*.region_column": neutral(
        f"the country in which numbers of {{0}} are read is in {{after}}, not in {{before}}. {_READING}"
    ),
    "tables.*.time": presence("times of rows of {0} are kept", "times of rows of {0} are not kept", "{after}"),
    "tables.*.time.column": neutral("the time of {0} is called {after}, not {before}"),
    "tables.*.time.from": neutral("the time of {0} is read from {after}, not from {before}"),
    "tables.*.time.format": neutral("times of {0} are read as {after}, not as {before}"),
    "tables.*.time.zone": neutral("times of {0} that name no zone are read as of {after}, not of {before}"),
    "tables.*.time.grain": _grain,
    "tables.*.time.several_zones": switch(
        "rows of {0} keep the earliest and the latest hour by the clocks of their number's zones",
        "rows of {0} keep the hour by the clock of their number's first zone alone",
        more="neutral",
    ),
    "tables.*.period": _period,
    "tables.*.block": _block,
    "tables.*.retention_days": amount(
        "rows of {0} may be kept for longer: {after} days, not {before}",
        "rows of {0} may be kept for {after} days, not {before}; older ones are not read any more",
        absent=float("inf"),
    ),
    "tables.*.registry": _registry_view,
    "tables.*.columns.*": presence(
        "more is kept of each row of {0}, and may be asked about: {1}",
        "less is kept of each row of {0}: no {1}",
        "{after}",
    ),
    "tables.*.columns.*.grain": _column_grain,
    "tables.*.columns.*.type": neutral("{0}.{1} is stored as {after}, not as {before}"),
    "tables.*.columns.*.from": neutral("{0}.{1} is read from {after}, not from {before}"),
    "tables.*.columns.*.unit": neutral("the unit of {0}.{1} is {after}, not {before}"),
    "tables.*.columns.*.keys": _keys,
    "tables.*.columns.*.null_key": neutral("rows without {0}.{1} as a group of their own: {after}, not {before}"),
    "tables.*.columns.*.bounds": neutral(
        "values of {0}.{1} are clamped to {after}, not to {before}. Same promise; wider means more noise, "
        "narrower cuts more off"
    ),
    "tables.*.columns.*.grid": neutral("values of {0}.{1} are rounded to multiples of {after}, not of {before}"),
    "tables.*.columns.*.bins": neutral("bins of {0}.{1} are {after}, not {before}"),
    "tables.*.columns.*.selectable": switch(
        "{0}.{1} may be grouped by: whoever its values name can be singled out, and is not protected",
        "{0}.{1} may not be grouped by any more",
    ),
    "tables.*.columns.*.sensitive": switch(
        "{0}.{1} is sensitive: only purposes that name it may use it",
        "{0}.{1} is not sensitive any more: every purpose may use it",
        more="strengthens",
    ),
    "tables.*.columns.*.place": _place,
    "tables.*.sensitive": entries(
        "{items} of {0} is sensitive: only purposes that name it may use it",
        "{items} of {0} is not sensitive any more: every purpose may use it",
        more="strengthens",
    ),
    "tables.*.bounds": neutral(f"contribution bounds of {{0}}: {_ERROR}"),
    "tables.*.bounds.ungrouped.max_rows": neutral(f"rows of one number in {{0}} without GROUP BY: {_ERROR}"),
    "tables.*.bounds.grouped.max_rows": neutral(f"rows of one number in {{0}} over all groups: {_ERROR}"),
    "tables.*.bounds.grouped.max_groups": neutral(f"groups of one number in {{0}}: {_ERROR}"),
    "tables.*.bounds.grouped.max_rows_per_group": neutral(f"rows of one number in a group of {{0}}: {_ERROR}"),
    "tables.*.bounds.by_key": _by_key,
    "purposes.*": _purpose_entry,
    "purposes.*.text": neutral("{0} is described in other words; subscribers saw the old ones"),
    "purposes.*.notice": neutral("{0} refers to the notice {after}, not {before}"),
    "purposes.*.regime": _regime,
    "purposes.*.tables": _purpose_tables,
    "purposes.*.columns.*": listed(
        "{0} may use {after} of {1} only; before every column",
        "{0} may use every column of {1}; before only {before}",
        entries("{0} may use {items} of {1} too", "{0} may not use {items} of {1} any more"),
    ),
    "purposes.*.joins": _joins,
    "purposes.*.only.*": presence(
        "{0} sees rows of {1} with {after} only; before every row",
        "{0} sees every row of {1}; before only those with {before}",
        "{after}",
        more="strengthens",
    ),
    "purposes.*.only.*.*": listed(
        "{0} sees rows of {1} only where {2} is {after}",
        "{0} sees rows of {1} whatever {2} is; before only where it is {before}",
        entries(
            "{0} sees rows of {1} where {2} is {items} too", "{0} sees no rows of {1} any more where {2} is {items}"
        ),
    ),
    "purposes.*.sensitive": entries(
        "{0} may use the sensitive {items}", "{0} may not use the sensitive {items} any more"
    ),
    "purposes.*.secondary": neutral("{0} is marked as secondary: {after}, not {before} (recorded)"),
    "purposes.*.kind": _purpose_kind,
    "analysts.*": presence(
        "{0} may ask: one more person sees answers, within the budget of the dataset",
        "{0} may not ask any more",
        "{after}",
    ),
    "analysts.*.purposes": entries("{0} may ask for {items}", "{0} may not ask for {items} any more"),
    "analysts.*.group": _group,
    "analysts.*.os_user": presence(
        "only the machine user {after} can ask as {0}",
        "any machine user who can read the store can ask as {0}, not only {before}",
        "the machine user {after} asks as {0}, not {before}",
        more="strengthens",
    ),
    **{
        f"budgets.{scope}.{name}": rule
        for scope in ("dataset", "groups.*", "analysts.*", "purposes.*")
        for name, rule in {
            "epsilon": _budget_amount("epsilon"),
            "delta": _budget_amount("delta"),
            "ceiling": _budget_ceiling,
        }.items()
    },
    "budgets.groups.*": _budget_entry,
    "budgets.analysts.*": _budget_entry,
    "budgets.purposes.*": _budget_entry,
    "limits.epsilon_default": neutral("queries that name no epsilon spend {after}, not {before}"),
    "limits.epsilon_max": amount(
        "one answer may tell more of a number: up to epsilon {after}, not {before}",
        "one answer may tell less of a number: up to epsilon {after}, not {before}",
        absent=0.0,
    ),
    "limits.delta_release": amount(
        "the promise of a Gaussian answer may fail more often: delta {after}, not {before}",
        "the promise of a Gaussian answer fails less often: delta {after}, not {before}",
        absent=0.0,
    ),
    "limits.min_people": _min_people,
    "limits.delta_selection": amount(
        "a lone person's undeclared group may show more often: delta {after}, not {before}",
        "a lone person's undeclared group shows less often: delta {after}, not {before}",
        absent=0.0,
    ),
    "limits.place_with_sensitive": _place_with_sensitive,
    "limits.gaussian": switch(
        "answers may have Gaussian noise: their promise is e^epsilon plus delta, no longer e^epsilon alone",
        "answers have Laplace noise only: their promise is e^epsilon, without delta",
    ),
    "consent.tick": neutral(
        "stored answers grow old, because consents may have changed, each {after}, not each {before}. A refusal bears "
        "on what is computed after it; what is stored is handed out until then"
    ),
    "consent.retention_days": neutral(
        "statements that bear on nothing any more are kept {after} days, not {before}: what stands stays as it is"
    ),
    "ledger.url": _ledger_url,
    "ledger.checkpoint": presence(
        "every use of the ledger checks {after}: an older copy put in its place is noticed",
        "no use of the ledger checks {before} any more: an older copy in its place gives spent budget back unseen",
        "every use of the ledger checks {after}, not {before}",
        more="strengthens",
    ),
    "report.curator": neutral("reports name {after}, not {before}, as who answers for the data"),
    "report.contact": neutral("reports name {after}, not {before}, as where people can ask"),
    "report.sector": neutral("reports name the sector {after}, not {before}"),
    "report.region": neutral("reports name the region {after}, not {before}"),
    "report.intended_use": neutral("reports give the intended use as {after}, not {before}"),
    "report.fairness_groups": neutral("the fairness report compares {after}, not {before}"),
    "report.fairness_ratio_max": neutral("the fairness report warns from {after} on, not from {before}"),
    "report.jurisdiction": neutral("the contact report checks the rules of {after}, not of {before}"),
    "report.calling": neutral("the contact report reads calls as {after}, not as {before}"),
    "report.calling.*": neutral("the contact report takes {after} as {0}, not {before}"),
    "report.purpose": neutral("the steward's reports ask for the purpose {after}, not {before}"),
    "report.outcomes.*": neutral("the fairness report's outcome {0} changes from {before} to {after}"),
    "report.outcomes.*.table": neutral("the outcome {0} is of {after}, not {before}"),
    "report.outcomes.*.where": neutral("the outcome {0} is of rows with {after}, not {before}"),
    "report.outcomes.*.rate": neutral("the outcome {0} is the share with {after}, not {before}"),
    "report.outcomes.*.mean": neutral("the outcome {0} is the mean of {after}, not {before}"),
    "report.outcomes.*.number": neutral("the outcome {0} is of the {after}, not the {before}"),
    "report.outcomes.*.groups": neutral("the outcome {0} is compared between {after}, not {before}"),
    "report.outcomes.*.bounds": neutral("values of the outcome {0} are clamped to {after}, not {before}"),
    "report.opt_out": presence(
        "the notice says how to opt out: {after}",
        "the notice does not say any more how to opt out; it was: {before}",
        "the notice gives {after} as the way to opt out, not {before}",
        more="strengthens",
    ),
    "report.complaints": presence(
        "the notice says where to complain: {after}",
        "the notice does not say any more where to complain; it was: {before}",
        "the notice gives {after} as the place to complain, not {before}",
        more="strengthens",
    ),
    "report.transfers": neutral("what notice and register say of other countries is {after}, not {before}"),
    "report.words.*": neutral("the notice calls {0} {after}, not {before}"),
}
"""For each field of a policy, by its place; `*` stands for a name."""
