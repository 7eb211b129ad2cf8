"""Helplines, clinics and emergency numbers: nothing that a query can read tells them from other services."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ingest_samples import BOUNDS, CALLS, NUMBERS, Stores, as_csv, made_up_numbers, made_up_row, policy

from dpquery.catalog import catalog_of
from dpquery.errors import DataError, PolicyError, QueryRefused
from dpquery.ingest import ingest
from dpquery.numbers.number import LINE_TYPES
from dpquery.numbers.services import line_types, told_as
from dpquery.plan.query import LogicalPlan
from dpquery.policy import parse_policy
from dpquery.row_test import check_row_tests
from dpquery.sql.resolve import resolve
from dpquery.store import Store

HELPLINE, CLINIC, MOBILE_CLINIC, LINE = "+448001111", "+442079461234", "+447400123456", "+442079460000"
LISTED = NUMBERS + f'sensitive_numbers = ["{HELPLINE}", "020 7946 1234", "{MOBILE_CLINIC}"]\n'
SENSITIVE = ("0800 1111", "999", "112", "020 7946 1234", "07400 123456")
ORDINARY = ("0800 123 4567", "85258", "101", "0808 157 0192", "0800 654 3210")
"""Services that are none of these, one for each."""
HOME = 'default_region = "GB"\n'


def calls_to(callees: tuple[str, ...], seed: int = 3) -> str:
    """Made-up calls, some of them to (and from) the numbers given, in the same places whatever these are."""
    rng = random.Random(seed)
    people = made_up_numbers(rng, 12)
    rows = []
    for _ in range(300):
        row = made_up_row(rng, rng.choice(people), rng.choice(people))
        which, party = rng.randrange(len(callees) * 3), rng.choice(("callee", "callee", "caller"))
        rows.append(row if which >= len(callees) else {**row, party: callees[which]})
    return as_csv(rows)


def at_rest(store: Store, table: str = "calls") -> pa.Table:
    return pa.concat_tables([pq.read_table(file.path) for file in store.files(table)])


def by_content(table: pa.Table) -> list[tuple[Any, ...]]:
    """Rows without which public number is meant, and the order that follows from it."""
    rows = table.to_pylist()
    for row in rows:
        row["place"] >>= 40
        for party in ("caller", "callee"):
            row[party] = min(row[party], -1) if row[party] < -1 else row[party]
            row[party] = "nobody's" if isinstance(row[party], int) and row[party] < -1 else "somebody's"
    return sorted(tuple(map(repr, row.values())) for row in rows)


def test_rows_are_the_same_whichever_service_was_called(stores: Stores) -> None:
    """In everything that a query can read: helplines, clinics, emergencies, and services like any other."""
    sensitive, ordinary = stores.make(policy(numbers=LISTED), "one"), stores.make(policy(numbers=LISTED), "other")
    ingest(sensitive, [stores.file(calls_to(SENSITIVE), "sensitive.csv")], table="calls")
    ingest(ordinary, [stores.file(calls_to(ORDINARY), "ordinary.csv")], table="calls")
    found = at_rest(sensitive)
    assert by_content(found) == by_content(at_rest(ordinary))
    services = [row for row in found.to_pylist() if row["callee_kind"] == "service"]
    assert len(services) > 30
    told = {(r["callee_type"], r["callee_region"], r["callee_country"], r["callee"] < -1) for r in services}
    assert told == {("service", "other", "other", True)}


def test_the_dictionary_does_not_tell_them_either(stores: Stores) -> None:
    store = stores.make(policy(numbers=LISTED))
    ingest(store, [stores.file(calls_to((*SENSITIVE, *ORDINARY)))], table="calls")
    rows = [row for row in store.numbers().to_pylist() if row["kind"] == "service"]
    assert len(rows) == 10
    assert {(row["line_type"], row["country"], row["region"], row["time_zone"]) for row in rows} == {
        ("service", "other", "other", None)
    }


def test_a_sensitive_line_of_the_organisation_is_a_service_too(stores: Stores) -> None:
    """It would be one of few lines of its own."""
    store = stores.make(policy(numbers=NUMBERS + f'sensitive_numbers = ["{LINE}"]\n'))
    ingest(store, [stores.file(calls_to((LINE,)))], table="calls")
    assert set(at_rest(store).column("callee_kind").to_pylist()) == {"protected", "service"}


def test_people_keep_their_numbers_facts_and_so_do_the_organisation_s_lines(stores: Stores) -> None:
    numbers = NUMBERS.replace(f'["{LINE}"]', f'["{LINE}", "0800 765 4321"]')
    store = stores.make(policy(numbers=numbers))
    ingest(store, [stores.file(calls_to((LINE, "0800 765 4321")))], table="calls")
    found = {(r["callee_kind"], r["callee_type"], r["callee_country"]) for r in at_rest(store).to_pylist()}
    assert ("org", "fixed_line", "GB") in found
    assert ("org", "service", "GB") in found  # toll-free numbers are services, whoever has them
    assert ("protected", "mobile", "GB") in found


def test_where_short_codes_are_somebody_s_emergency_numbers_are_short_codes(stores: Stores) -> None:
    store = stores.make(policy(numbers=f"[numbers]\n{HOME}"))
    ingest(store, [stores.file(calls_to(("999", "112", "85258")))], table="calls")
    found = [row for row in at_rest(store).to_pylist() if row["callee_type"] == "short_code"]
    assert {(row["callee_kind"], row["callee"] >= 0) for row in found} == {("protected", True)}
    assert len({row["callee"] for row in found}) == 3
    assert "emergency" not in at_rest(store).column("callee_type").to_pylist()


@pytest.mark.parametrize(
    ("kinds", "services"),
    [
        ("[]", set()),
        ('["alphanumeric"]', {"alphanumeric"}),
        ('["toll_free"]', {"toll_free"}),
        ('["short_code"]', {"short_code", "emergency"}),
        ('["emergency", "toll_free"]', {"emergency", "toll_free"}),
    ],
)
def test_line_types_that_columns_tell(kinds: str, services: set[str]) -> None:
    """No policy lets a column say emergency, and none makes it a word for emergencies alone."""
    numbers = parse_policy(policy(numbers=f"[numbers]\n{HOME}public_kinds = {kinds}\n")).numbers
    told = told_as(numbers)
    assert {kind for kind, word in told.items() if word == "service"} == services
    assert told["emergency"] == ("service" if "emergency" in services else "short_code")
    assert set(line_types(numbers)) == {*LINE_TYPES, *(["service"] if services else [])} - services - {"emergency"}
    company = [kind for kind, word in told.items() if word == told["emergency"] and kind != "emergency"]
    assert company or told["emergency"] in line_types(numbers)


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        ('public_kinds = ["emergency"]\n', "the only services that people call"),
        ('public_kinds = ["emergency", "alphanumeric"]\n', "the only services that people call"),
        ('sensitive_numbers = ["+448001111"]\n', "the only services that people call"),
        ('public_kinds = ["alphanumeric"]\nsensitive_numbers = ["+448001111"]\n', "the only services"),
        ('format = "opaque"\npublic_kinds = ["short_code"]\nsensitive_numbers = ["a"]\n', "the only service"),
    ],
)
def test_sensitive_numbers_need_others_to_stand_among(numbers: str, says: str) -> None:
    with pytest.raises(PolicyError, match="DPQ-302") as caught:
        parse_policy(policy(numbers=f"[numbers]\n{HOME}{numbers}"))
    assert says in caught.value.why
    assert caught.value.fix


def test_a_sensitive_number_that_is_none_is_named_by_its_place(stores: Stores) -> None:
    store = stores.make(policy(numbers=NUMBERS + 'sensitive_numbers = ["0800 1111", "12"]\n'))
    with pytest.raises(DataError, match="DPQ-509") as caught:
        ingest(store, [stores.file(calls_to(ORDINARY))], table="calls")
    assert caught.value.why == "entry 2 of the sensitive numbers is no number"


# --- queries --------------------------------------------------------------------------------------------------------


def planned(store: Store, sql: str) -> LogicalPlan:
    return resolve(sql, catalog_of(store))


def test_no_key_and_no_condition_names_them(stores: Stores) -> None:
    store = stores.make(policy(numbers=LISTED))
    keys = planned(store, "SELECT callee_type, COUNT(*) FROM calls GROUP BY 1").keys[0].values
    assert "service" in keys
    assert not {"emergency", "toll_free", "short_code"} & set(keys)
    for condition, fix in (
        ("callee_type = 'emergency'", "callee_type = 'service'"),
        ("'toll_free' = callee_type", "callee_type = 'service'"),
        ("callee_type <> 'emergency'", "callee_type <> 'service'"),
        ("callee_type IN ('emergency', 'short_code')", "callee_type = 'service'"),
        ("callee_type IN ('mobile', 'emergency')", "callee_type IN ('mobile', 'service')"),
        ("phone_type(callee) = 'emergency'", "callee_type = 'service'"),
        ("CASE callee_type WHEN 'emergency' THEN TRUE END", "callee_type = 'service'"),
        ("NOT (answered OR caller_type = 'emergency')", "caller_type = 'service'"),
    ):
        with pytest.raises(QueryRefused, match="DPQ-125") as caught:
            planned(store, f"SELECT COUNT(*) FROM calls WHERE {condition}")
        assert caught.value.fix == fix
        assert caught.value.where is not None
        planned(store, f"SELECT COUNT(*) FROM calls WHERE {fix}")


def test_a_row_test_of_a_policy_cannot_name_them_either() -> None:
    tables = policy(
        numbers=LISTED,
        tables="""
[tables.calls]
owners = 2
one_owner_when = "callee_type = 'emergency'"
parties = { caller = "caller", callee = "callee" }
[tables.calls.bounds]
ungrouped = { max_rows = 100 }
grouped = { max_rows_per_group = 25 }
""",
    )
    with pytest.raises(PolicyError, match="one_owner_when") as caught:
        check_row_tests(parse_policy(tables))
    assert caught.value.fix == "callee_type = 'service'"


def test_numbers_that_are_listed_meet_no_list_and_no_record(stores: Stores) -> None:
    """A table that names helplines cannot pick the calls to them: nobody's number has no record."""
    people = """
[tables.customers]
owners = 1
parties = { number = "number" }
columns = { segment = { type = "text", keys = ["clinic", "person"] } }
"""
    store = stores.make(policy(numbers=LISTED, tables=CALLS + BOUNDS + people))
    ingest(store, [stores.file(calls_to(SENSITIVE))], table="calls")
    listed = pa.table({"number": list(SENSITIVE), "segment": ["clinic"] * len(SENSITIVE)})
    ingest(store, listed, table="customers")
    assert set(at_rest(store, "customers").column("number").to_numpy() < -1) == {True}
