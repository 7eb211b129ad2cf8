"""Names in a policy that must point at other names in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpquery.policy.model import REGISTRY_COLUMNS, STEWARD, KeyRange, KeysFromTable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dpquery.policy.model import Outcome, Policy, Purpose, Table

Fault = tuple[tuple[str | int, ...], str, str]
"""Where (path in the file), what is wrong, what to write."""


def broken_links(policy: Policy) -> list[Fault]:
    """Every reference that points nowhere, in the file's order of sections."""
    return [
        *(fault for name, table in policy.tables.items() for fault in _table(policy, name, table)),
        *_purposes(policy),
        *_analysts(policy),
        *_budgets(policy),
        *_limits(policy),
        *_calling(policy),
        *_report(policy),
        *_words(policy),
    ]


def _legs(policy: Policy, name: str, table: Table) -> Iterator[Fault]:
    """A view's table must exist and have two parties, and what it carries must not tell of the other one."""
    source = policy.tables.get(table.legs_of or "")
    if source is None or len(source.party_names) != 2:
        two = ", ".join(n for n, t in policy.tables.items() if len(t.party_names) == 2) or "none is declared"
        yield ("tables", name, "legs_of"), f"{table.legs_of} is not a table with two parties", f"name one of: {two}"
        return
    for column in table.carries:
        if column not in source.columns:
            yield (
                ("tables", name, "carries"),
                f"{column} is not a declared column of {table.legs_of}; derived ones come by themselves",
                "name declared columns: " + ", ".join(source.columns),
            )


def _registry(name: str, table: Table) -> Iterator[Fault]:
    """A view of the registry has its columns from there; the policy says which are used, and their keys."""
    if table.owners != 1 or len(table.party_names) != 1 or table.time is not None:
        yield (
            ("tables", name),
            "a view of the registry has one number in each row, and no time of its own",
            'owners = 1, parties = { number = "number" }, and no time',
        )
    known = REGISTRY_COLUMNS[table.registry or "consents"]
    for column_name, column in table.columns.items():
        if known.get(column_name) != column.type:
            yield (
                ("tables", name, "columns", column_name),
                f"the registry's view {table.registry} has no column {column_name} of type {column.type}",
                "columns are " + ", ".join(f"{each} ({kind})" for each, kind in known.items()),
            )


def _legs_columns(policy: Policy, table: Table) -> set[str]:
    """Columns of a legs view that keys of bounds may name."""
    source = policy.tables.get(table.legs_of or "")
    time = {source.time.column, "day", "local_hour", "local_dow"} if source is not None and source.time else set()
    return {*table.carries, "role", "region", "country", "own_number_type", *time}


def _table(policy: Policy, name: str, table: Table) -> Iterator[Fault]:
    if table.legs_of is not None:
        yield from _legs(policy, name, table)
    if table.registry is not None:
        yield from _registry(name, table)
    for column_name in table.sensitive:
        if column_name not in table.value_names:
            yield (
                ("tables", name, "sensitive"),
                f"there is no column {column_name} in {name}",
                "name declared or derived columns: " + ", ".join(table.value_names),
            )
    for column_name, column in table.columns.items():
        if not isinstance(column.keys, KeysFromTable):
            continue
        target = policy.tables.get(column.keys.table)
        if target is None or not target.public:
            public = ", ".join(n for n, t in policy.tables.items() if t.public) or "none is declared"
            yield (
                ("tables", name, "columns", column_name),
                f"keys name the table {column.keys.table}, which is not a public table",
                f"name a table with public = true ({public})",
            )
    if table.bounds is None:
        return
    known = set(table.value_names)
    known |= _legs_columns(policy, table) if table.legs_of is not None else set()
    for entry in table.bounds.by_key:
        for key in entry.keys:
            if key not in known:
                yield (
                    ("tables", name, "bounds", "by_key"),
                    f"by_key names {key}, which is not a column of {name}",
                    "name declared or derived columns: " + ", ".join(sorted(known)),
                )


def _purposes(policy: Policy) -> Iterator[Fault]:
    for name, purpose in policy.purposes.items():
        for table in purpose.tables:
            if table != "*" and table not in policy.tables:
                yield (
                    ("purposes", name, "tables"),
                    f"the table {table} does not exist",
                    "name tables of this policy: " + ", ".join(policy.tables),
                )
        for name_of_column in purpose.sensitive:
            table_name, _, column = name_of_column.partition(".")
            declared = policy.tables.get(table_name)
            if declared is None or column not in declared.value_names:
                yield (
                    ("purposes", name, "sensitive"),
                    f"there is no column {name_of_column}",
                    'name columns as "subscribers.age_band"',
                )
        yield from _purpose_columns(policy, name, purpose)
        yield from _purpose_joins(policy, name, purpose)
        yield from _purpose_rows(policy, name, purpose)


def _limited_table(policy: Policy, name: str, purpose: Purpose, field: str, table: str) -> Iterator[Fault]:
    """Limits are about tables with rows of their own that the purpose may read; those of a view are its table's."""
    declared = policy.tables.get(table)
    place = ("purposes", name, field)
    if declared is None:
        yield place, f"the table {table} does not exist", "name tables of this policy: " + ", ".join(policy.tables)
    elif declared.legs_of is not None:
        yield place, f"{table} is a view: what limits {declared.legs_of} limits it too", f"name {declared.legs_of}"
    elif "*" not in purpose.tables and table not in purpose.tables:
        yield place, f"{name} may not read {table} at all", f"leave it out, or add it to tables of {name}"


def _purpose_columns(policy: Policy, name: str, purpose: Purpose) -> Iterator[Fault]:
    for table, columns in purpose.columns.items():
        faults = list(_limited_table(policy, name, purpose, "columns", table))
        yield from faults
        if faults:
            continue
        declared = policy.tables[table]
        known = (*declared.party_names, *declared.value_names)
        for column in columns:
            if column not in known:
                yield (
                    ("purposes", name, "columns", table),
                    f"there is no column {column} in {table}",
                    "name declared or derived columns: " + ", ".join(known),
                )


def _purpose_joins(policy: Policy, name: str, purpose: Purpose) -> Iterator[Fault]:
    for pair in purpose.joins or ():
        for table in dict.fromkeys(pair):
            yield from _limited_table(policy, name, purpose, "joins", table)


def _purpose_rows(policy: Policy, name: str, purpose: Purpose) -> Iterator[Fault]:
    for table, limits in purpose.only.items():
        faults = list(_limited_table(policy, name, purpose, "only", table))
        yield from faults
        if faults:
            continue
        place = ("purposes", name, "only", table)
        declared = policy.tables[table]
        if declared.public:
            yield place, f"{table} is public: all its rows may be known", "name a protected table"
            continue
        for column, values in limits.items():
            yield from _listed_values(declared, (*place, column), column, values)
            if table in purpose.columns and column not in purpose.columns[table]:
                yield (*place, column), f"{name} may not use {column}", f"add {column} to columns of {table}"
            read = f"{table}.{column}"
            marked = column in declared.sensitive_names
            if marked and read not in purpose.sensitive:
                yield (*place, column), f"{read} is sensitive, and {name} does not name it", f'sensitive = ["{read}"]'


def _listed_values(table: Table, place: tuple[str, ...], column: str, values: tuple[object, ...]) -> Iterator[Fault]:
    """The values of a row limit are keys that the policy lists, so that nothing about them is for rows to tell."""
    declared = table.columns.get(column)
    keys = None if declared is None else declared.keys
    if isinstance(keys, KeyRange):
        keys = tuple(range(keys.low, keys.high + 1))
    if keys is None or isinstance(keys, KeysFromTable):
        listed = ", ".join(n for n, c in table.columns.items() if isinstance(c.keys, tuple | KeyRange))
        yield place, f"{column} is not a column whose keys this file lists", f"name one of: {listed or 'none has keys'}"
        return
    unknown = [str(value) for value in values if value not in keys]
    if unknown or not values:
        what = f"{', '.join(unknown)} is not among its keys" if unknown else "no value is listed: no row is left"
        yield place, what, f"list some of: {', '.join(map(str, keys[:20]))}"


def _analysts(policy: Policy) -> Iterator[Fault]:
    for name, analyst in policy.analysts.items():
        for purpose in analyst.purposes:
            if purpose not in policy.purposes:
                yield (
                    ("analysts", name, "purposes"),
                    f"the purpose {purpose} does not exist",
                    f"add [purposes.{purpose}], or name one of: " + ", ".join(policy.purposes),
                )
        duties = [
            purpose for purpose in analyst.purposes if purpose in policy.purposes and policy.purposes[purpose].is_duty
        ]
        if duties and name != STEWARD:
            yield (
                ("analysts", name, "purposes"),
                f"{duties[0]} is a duty purpose, for which consent is not asked: it is the steward's alone",
                f'[analysts.{STEWARD}] with purposes = ["{duties[0]}"], who asks with the steward\'s key',
            )
        if name == STEWARD and analyst.group is not None:
            yield (
                ("analysts", name, "group"),
                "the steward reads the ledger and what everybody asks, and is in no group of analysts",
                "remove group",
            )
        if name not in policy.budgets.analysts:
            yield (
                ("budgets", "analysts"),
                f"the analyst {name} has no budget",
                f"analysts = {{ {name} = {{ epsilon = 1.0, delta = 1e-6 }} }}",
            )


def _budgets(policy: Policy) -> Iterator[Fault]:
    groups = {analyst.group for analyst in policy.analysts.values() if analyst.group is not None}
    for kind, budgets, known in (
        ("analysts", policy.budgets.analysts, set(policy.analysts)),
        ("groups", policy.budgets.groups, groups),
        ("purposes", policy.budgets.purposes, set(policy.purposes)),
    ):
        for name in budgets:
            if name not in known:
                yield (
                    ("budgets", kind),
                    f"a budget for {name}, which no section declares",
                    f"declare it, or name one of: {', '.join(sorted(known)) or 'none'}",
                )


def _limits(policy: Policy) -> Iterator[Fault]:
    if policy.limits.epsilon_default > policy.limits.epsilon_max:
        yield (
            ("limits", "epsilon_default"),
            "epsilon_default is larger than epsilon_max",
            f"epsilon_default = {policy.limits.epsilon_max} or less",
        )


def _calling(policy: Policy) -> Iterator[Fault]:
    """Tables and columns that the contact report reads. What its row tests say is checked with the other row tests."""
    calling = policy.report.calling
    if calling is None:
        return
    place = ("report", "calling")
    calls = policy.tables.get(calling.table)
    if calls is None or calls.public or calls.legs_of is not None or calls.time is None:
        yield (*place, "table"), f"{calling.table} is no table of calls with a time", "name a protected table with time"
        return
    yield from _campaign(calling.table, calls, calling.campaign, (*place, "campaign"))
    complaints = policy.tables.get(calling.complaints or "")
    if calling.complaints is not None:
        if complaints is None or complaints.public or complaints.time is None:
            yield (*place, "complaints"), f"{calling.complaints} is no table with a time", "name a table of complaints"
        else:
            yield from _campaign(calling.complaints, complaints, calling.campaign, (*place, "complaints"))
    for name, named, registry in (
        ("lists", calling.lists, "opt_outs"),
        ("consents", calling.consents, "consents"),
    ):
        told = policy.tables.get(named or "")
        if named is None:
            continue
        if told is None or told.public or len(told.party_names) != 1 or told.registry not in {None, registry}:
            yield (
                (*place, name),
                f"{named} is no table of numbers",
                f'a table with one party, or registry = "{registry}"',
            )
    for name, test, needs in (("listed", calling.listed, "lists"), ("refused", calling.refused, "consents")):
        if test is not None and getattr(calling, needs) is None:
            yield (*place, name), f"{name} is about {needs}, which is not there", f"add {needs}, or remove {name}"


def _campaign(name: str, table: Table, column: str, place: tuple[str, ...]) -> Iterator[Fault]:
    declared = table.columns.get(column)
    if declared is None or declared.keys is None or not declared.selectable:
        listed = ", ".join(each for each, one in table.columns.items() if one.keys is not None) or "none has"
        yield place, f"{column} is no column of {name} with declared keys", f"campaign = one of: {listed}"


def _report(policy: Policy) -> Iterator[Fault]:
    report = policy.report
    if report.purpose is not None and report.purpose not in policy.purposes:
        yield (
            ("report", "purpose"),
            f"the purpose {report.purpose} does not exist",
            "name one of: " + ", ".join(policy.purposes),
        )
    for column in report.fairness_groups:
        if table_of_group(policy, column) is None:
            yield (
                ("report", "fairness_groups"),
                f"there is no column {column}",
                'name columns as "subscribers.age_band"',
            )
    for name, outcome in report.outcomes.items():
        yield from _outcome(policy, name, outcome)


def table_of_group(policy: Policy, column: str) -> str | None:
    """The table that a group column is of: the named one, else the first protected table that has it."""
    table, dot, name = column.rpartition(".")
    if dot:
        return table if table in policy.tables and name in columns_of(policy, policy.tables[table]) else None
    protected = (each for each, declared in policy.tables.items() if not declared.public and declared.registry is None)
    return next((each for each in protected if name in columns_of(policy, policy.tables[each])), None)


def columns_of(policy: Policy, table: Table) -> set[str]:
    """Columns that keys may name."""
    own = {*table.columns, *table.derived_names} | ({table.time.column} if table.time else set())
    return own | _legs_columns(policy, table) if table.legs_of is not None else own


def parties_of(table: Table) -> tuple[str, ...]:
    """Columns that hold numbers."""
    return ("owner",) if table.legs_of is not None else table.party_names


def _outcome(policy: Policy, name: str, outcome: Outcome) -> Iterator[Fault]:
    place = ("report", "outcomes", name)
    table = policy.tables.get(outcome.table)
    if table is None or table.public:
        protected = ", ".join(each for each, declared in policy.tables.items() if not declared.public)
        yield (*place, "table"), f"{outcome.table} is no table with numbers", f"name one of: {protected}"
        return
    parties = parties_of(table)
    if outcome.number not in {None, *parties} or (outcome.number is None and len(parties) > 1):
        yield (
            (*place, "number"),
            f"which party of {outcome.table} is compared is not said",
            f"number = one of: {', '.join(parties)}",
        )
    if outcome.mean is not None:
        declared = table.columns.get(outcome.mean)
        low = None if declared is None or declared.bounds is None else declared.bounds[0]
        if declared is None or declared.type not in {"integer", "decimal"}:
            yield (*place, "mean"), f"{outcome.mean} is no column of numbers in {outcome.table}", 'mean = "wait_s"'
        elif outcome.bounds is None and (low is None or low < 0.0):
            yield (*place, "bounds"), f"{outcome.mean} has no bounds from 0 up", "bounds = [0, 300]"
    for column in outcome.groups or ():
        if not _joins(policy, outcome.table, column):
            yield (
                (*place, "groups"),
                f"{column} is neither a column of {outcome.table} nor of a table with one row per number",
                'name columns as "callee_region" or "subscribers.age_band"',
            )
    if outcome.groups is None and not any(
        _joins(policy, outcome.table, each) for each in policy.report.fairness_groups
    ):
        yield (*place, "groups"), "none of fairness_groups is a group of these numbers", 'groups = ["callee_region"]'


def _joins(policy: Policy, table: str, column: str) -> bool:
    """Whether a group column is of the table's rows, or of a table with one number per row that can be joined."""
    owner, dot, name = column.rpartition(".")
    if not dot or owner == table:
        return name in columns_of(policy, policy.tables[table])
    people = policy.tables.get(owner)
    return people is not None and not people.public and people.owners == 1 and name in people.columns


def _words(policy: Policy) -> Iterator[Fault]:
    """Words are for what there is."""
    for name in policy.report.words:
        table_name, _, column = name.partition(".")
        table = policy.tables.get(table_name)
        if table is None or (column and column not in _named(policy, table)):
            yield (
                ("report", "words"),
                f"there is no table or column {name[:64]}",
                'name a table as calls = "...", a column as "calls.talk_s" = "..."',
            )


def _named(policy: Policy, table: Table) -> set[str]:
    """Every column that a table has a name for."""
    if table.legs_of is not None:
        return _legs_columns(policy, table)
    time = {table.time.column} if table.time is not None else set()
    return {*table.party_names, *table.columns, *table.derived_names, *time}
