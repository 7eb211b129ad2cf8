"""Policies are checked as a whole, and each fault is named with its line and cure."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import jsonschema
import pytest
from planning import POLICY

from dpquery.demo import POLICY_FILE
from dpquery.errors import PolicyError
from dpquery.policy import load_policy, parse_policy, policy_schema
from dpquery.row_test import check_row_tests


def faulty(change: str, to: str) -> PolicyError:
    assert change in POLICY
    with pytest.raises(PolicyError) as caught:
        policy = parse_policy(POLICY.replace(change, to, 1))
        check_row_tests(policy)
    return caught.value


FAULTS = [
    ("owners = 2", "ownerz = 2", "no such field", "remove ownerz"),
    ("owners = 2\none", "one", "owners is missing", "owners = 1, or owners = 2"),
    ('bounds = [0, 60], bins = "log"', "bounds = [60, 0]", "lower first", "bounds = [0, 3600]"),
    ("grid = 0.25", "grid = 0.3", "not a power of two", "0.015625"),
    ("bounds = [0, 4], grid", "grid", "grid needs bounds", "bounds ="),
    ('keys = ["voice", "sms"]', 'keys = ["voice", "voice"]', "listed twice", "once"),
    ('{ table = "cells" }', '{ table = "cellz" }', "not a public table", "cells"),
    ('keys = ["direction"]', 'keys = ["directions"]', "not a column", "name declared"),
    ("period = [2026-01-01, 2026-02-28]\n", "", "needs time and period", "period ="),
    (
        "grouped = { max_rows = 4, max_groups = 2, max_rows_per_group = 2 }",
        "grouped = {}",
        "max_rows_per_group",
        "grouped =",
    ),
    ('parties = { caller = "caller", callee = "callee" }', "", "parties is missing", "parties ="),
    ('public = true\nkey = "cell_id"', "public = true", "key column", "key ="),
    ('purposes = ["network_planning"]', 'purposes = ["sales"]', "does not exist", "network_planning"),
    ("analysts = { ana =", "analysts = { eve =", "no budget", "ana"),
    ("\nepsilon_max = 2.0", "\nepsilon_max = 0.1", "larger than epsilon_max", "epsilon_default ="),
    ("one_owner_when = \"direction <> 'p2p'\"", 'one_owner_when = "directions = 1"', "one_owner_when", "direction"),
    ('regime = "opt-out"', 'regime = "opt-out"\nsecondary = true', "opt-in under every law", 'regime = "opt-in"'),
    ('keys = ["voice", "sms"]', "keys = [1, 2]", "not text", 'keys = ["a", "b"]'),
    (
        'answered = { type = "boolean"',
        'answered = { type = "boolean", keys = [0, 1]',
        "boolean's are known",
        "remove keys",
    ),
    ('score = { type = "integer",', 'score = { type = "integer", keys = ["1"],', "not integer", "keys = [1, 2]"),
    ('cell_id = { type = "text"', 'cell_id = { type = "integer"', "these keys are text", 'type = "text"'),
    ("bounds = [0, 4], grid = 0.25", "bounds = [0.1, 0.4], grid = 1", "no two steps", "smaller grid"),
    ("bounds = [0, 4], grid = 0.25", "bounds = [-1e308, 1e308]", "10^15", "bounds ="),
    ('zone = "UTC"', 'zone = "London"', "no time zone", "Europe/London"),
    ("\ndataset = { epsilon = 30.0, delta = 1e-6 }", "\ndataset = { epsilon = 30.0, delta = 0.5 }", "0.001", "delta"),
    ("version = 1\n", 'version = "one"\n', "version", "policy schema"),
]


@pytest.mark.parametrize(("change", "to", "complaint", "cure"), FAULTS)
def test_faults_are_named_with_line_and_cure(change: str, to: str, complaint: str, cure: str) -> None:
    error = faulty(change, to)
    assert error.code in {"DPQ-301", "DPQ-302"}
    assert complaint in error.why
    assert cure in str(error.fix)


def test_the_line_is_the_one_at_fault() -> None:
    error = faulty("grid = 0.25", "grid = 0.3")
    line = int(re.search(r":(\d+):", error.why).group(1))  # type: ignore[union-attr]
    assert "grid = 0.3" in POLICY.replace("grid = 0.25", "grid = 0.3").splitlines()[line - 1]


def test_all_faults_are_listed_at_once() -> None:
    text = POLICY.replace("grid = 0.25", "grid = 0.3").replace("bounds = [0, 60]", "bounds = [9, 1]")
    with pytest.raises(PolicyError) as caught:
        parse_policy(text)
    assert len(caught.value.why.splitlines()) == 2


def test_text_that_is_no_toml_and_files_that_are_missing(tmp_path: Path) -> None:
    with pytest.raises(PolicyError):
        parse_policy("= =")
    with pytest.raises(PolicyError):
        load_policy(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"dataset = '\xff'")
    with pytest.raises(PolicyError):
        load_policy(tmp_path / "latin.toml")


def test_the_demo_policy_meets_the_schema() -> None:
    text = POLICY_FILE.read_text()
    check_row_tests(load_policy(POLICY_FILE))
    document = tomllib.loads(text)
    for table in document["tables"].values():
        if "period" in table:
            table["period"] = [day.isoformat() for day in table["period"]]  # JSON has no dates
    jsonschema.validate(document, policy_schema())


def test_a_one_owner_table_without_bounds_has_one_row_per_number() -> None:
    bounds = parse_policy(POLICY).tables["subscribers"].contribution_bounds
    assert bounds.ungrouped.max_rows == 1
    assert bounds.grouped.max_rows == bounds.grouped.max_groups == bounds.grouped.max_rows_per_group == 1
