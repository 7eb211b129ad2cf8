"""Which entry of the policy bounds a request."""

from __future__ import annotations

from planning import POLICY, priced, small_catalog

from dpquery.policy import parse_policy
from dpquery.privacy.bound import ContributionBounds

BY_KEY = 'by_key = [{ keys = ["direction"], max_rows_per_group = 3 }]'
ONE_OWNER = " WHERE direction <> 'p2p' "


def bounds(sql: str, entry: str) -> ContributionBounds:
    assert BY_KEY in POLICY
    catalog = small_catalog(parse_policy(POLICY.replace(BY_KEY, f"by_key = [{entry}]")))
    return priced(sql, catalog).bounded.bounds


def test_rows_in_all_bound_rows_with_one_owner_and_leave_two_owners_their_k() -> None:
    entry = '{ keys = ["service"], max_rows = 2, max_groups = 2, max_rows_per_group = 5 }'
    one = bounds(f"SELECT service, COUNT(*) FROM calls {ONE_OWNER} GROUP BY service", entry)
    assert one == ContributionBounds(2, 2, 2)
    assert bounds("SELECT service, COUNT(*) FROM calls GROUP BY service", entry).max_rows_per_group == 5


def test_an_entry_without_rows_in_all_allows_what_it_allows_in_a_group() -> None:
    entry = '{ keys = ["service"], max_rows_per_group = 50 }'
    one = bounds(f"SELECT service, COUNT(*) FROM calls {ONE_OWNER} GROUP BY service", entry)
    assert (one.max_rows, one.max_rows_per_group) == (50, 50)


def test_a_key_of_rows_per_number_is_found_by_its_name() -> None:
    sql = f"""SELECT s, COUNT(*) FROM (SELECT service AS s, caller, COUNT(*) AS n FROM calls {ONE_OWNER} GROUP BY 1, 2)
    GROUP BY 1"""
    assert bounds(sql, '{ keys = ["service"], max_rows = 9, max_groups = 1 }') == ContributionBounds(1, 1, 1)
    assert bounds(sql, '{ keys = ["direction"], max_rows = 9, max_groups = 1 }').max_groups == 2
