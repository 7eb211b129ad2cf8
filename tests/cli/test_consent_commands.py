"""The commands about consent: numbers on standard input, JSON on standard output, and no number anywhere else."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from planning import POLICY
from stores import MadeStore, make_store
from test_commands import dpquery, valid

from dpquery.consent.registry import read_records

TWO = POLICY.replace(
    "[analysts.", '[purposes.offers]\ntext = "Offers."\nnotice = "v1"\nregime = "opt-in"\n\n[analysts.', 1
)
ANNA, BERT = "+442079400001", "+442079400003"
DIGITS = re.compile(r"2079400|7940 000|\+44")


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    return make_store(tmp_path, TWO)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    return make_store(tmp_path_factory.mktemp("untouched"), TWO)


def rows(made: MadeStore) -> int:
    return len(read_records(made.folder).to_pylist())


def test_a_list_on_standard_input(made: MadeStore) -> None:
    take = ("consent", "import", made.folder, "-", "--format", "e164", "--purpose", "all", "--json")
    text = "".join(f"+4420794{n:05}\n" for n in range(1, 40)) + "hello 020 7940 0001 there\n"
    dry = json.loads(dpquery(*take, "--dry-run", stdin=text).stdout)
    valid(dry, "consent-import")
    assert (dry["statements"], dry["quarantined"], dry["dry_run"], rows(made)) == (39, 1, True, 0)
    done = dpquery(*take, stdin=text)
    document = json.loads(done.stdout)
    valid(document, "consent-import")
    assert (done.returncode, document["statements"], rows(made)) == (0, 39, 39)
    assert Path(document["quarantine_file"]).read_text().count("\n") == 2
    again = dpquery(*take[:-1], stdin=text)
    assert (again.returncode, "nothing was done" in again.stderr, rows(made)) == (0, True, 39)
    for output in (done.stdout, done.stderr, again.stdout, again.stderr):
        assert DIGITS.search(output) is None


def test_much_in_quarantine_is_told_by_the_exit_status(made: MadeStore) -> None:
    take = ("consent", "import", made.folder, "-", "--format", "e164", "--purpose", "offers", "--effect", "opt-out")
    done = dpquery(*take, stdin=f"{ANNA}\nhello\n")
    assert (done.returncode, "--accept-quarantine" in done.stderr, rows(made)) == (5, True, 1)
    assert dpquery(*take, "--accept-quarantine", stdin=f"{BERT}\nhello\n").returncode == 0
    csv = "Tel;Wish\n020 7940 0005;opt-in\n"
    mapped = [*take[:5], "csv", "--purpose", "offers", "--map", "phone=Tel,status=Wish", "--region", "GB"]
    mapped += ["--source", "partner", "--notice", "v1", "--basis", "consent", "--method", "web"]
    done = dpquery(*mapped, "--effective-at", "2026-01-05", "--expires-at", "2030-01-01", stdin=csv)
    assert (done.returncode, rows(made)) == (0, 3)


@pytest.mark.parametrize(
    "words",
    [
        ("import", "DIR", "-", "--format", "e164", "--purpose", "all", "--effect", "opt-in"),
        ("import", "DIR", "-", "--format", "csv", "--purpose", "offers", "--map", "phone"),
        ("import", "DIR", "-", "--format", "e164", "--purpose", "offers", "--effective-at", "soon"),
        ("import", "DIR", "-", "--format", "e164", "--purpose", "selling"),
        ("set", "DIR", "-", "--purpose", "all", "--opt-in"),
        ("set", "DIR", "-", "--purpose", "all", "--status", "given"),
        ("set", "DIR", "-", "--purpose", "offers"),
        ("set", "DIR", "-", "--purpose", "offers", "--opt-in", "--opt-out"),
        ("set", "DIR", "-", "--purpose", "offers", "--opt-in", "--method", "rang 020 7940 0001"),
        ("purge", "DIR"),
        ("purge", "DIR", "--expired", "--days", "5"),
    ],
)
def test_what_is_refused_changes_nothing(untouched: MadeStore, words: tuple[str, ...]) -> None:
    made = untouched
    done = dpquery("consent", *(made.folder if word == "DIR" else word for word in words), stdin=f"{ANNA}\n")
    assert (done.returncode, done.stdout, rows(made)) == (2, "", 0)
    assert DIGITS.search(done.stderr) is None


def test_one_person_from_set_to_purge(made: MadeStore, tmp_path: Path) -> None:
    told = ("consent", "set", made.folder, "-", "--purpose", "offers")
    done = json.loads(dpquery(*told, "--opt-in", "--notice", "v1", "--json", stdin=f"{ANNA}\n\n{BERT}\n").stdout)
    valid(done, "consent-set")
    assert done["status"] == {"given": 2}
    text = dpquery(*told, "--opt-out", "--method", "call", stdin="020 7940 0001\n")
    assert (text.returncode, "1 withdrawn: offers" in text.stderr) == (0, True)
    shown = dpquery("consent", "status", made.folder, "-", "--json", stdin=f"{ANNA}\n{BERT}\n")
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    for line in lines:
        valid(line, "consent-status")
    stands = [next(each for each in line["purposes"] if each["purpose"] == "offers") for line in lines]
    assert [(each["status"], each["counts"], each["source"]) for each in stands] == [
        ("withdrawn", False, "person"),
        ("given", True, "person"),
    ]
    table = dpquery("consent", "status", made.folder, "-", stdin=f"{ANNA}\n")
    assert ("ending in 01" in table.stdout, "left out" in table.stdout) == (True, True)
    file = tmp_path / "receipt.json"
    out = dpquery("consent", "receipt", made.folder, "-", "--out", file, stdin=f"{ANNA}\n")
    valid(json.loads(file.read_text()), "consent-receipt")
    straight = dpquery("consent", "receipt", made.folder, "-", stdin=f"{ANNA}\n").stdout
    valid(json.loads(straight), "consent-receipt")
    alone, with_store = (dpquery("consent", "verify", file, *store, "--json") for store in ((), (made.folder,)))
    for each in (alone, with_store):
        valid(json.loads(each.stdout), "consent-verification")
    assert (json.loads(alone.stdout)["this_store"], json.loads(with_store.stdout)["this_store"]) == (None, True)
    assert "this store's steward signed it" in dpquery("consent", "verify", file, made.folder).stdout
    exported = dpquery("consent", "export", made.folder, "--since", "2026-01-01")
    assert exported.stdout.count("\n") == 4
    to_file = dpquery("consent", "export", made.folder, "--out", tmp_path / "x.csv")
    assert (tmp_path / "x.csv").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "x.csv").read_text() == exported.stdout
    purged = dpquery("consent", "purge", made.folder, "--expired", "--json")
    valid(json.loads(purged.stdout), "consent-purge")
    assert json.loads(purged.stdout)["kept"] == 3
    for each in (text, shown, table, out, exported, to_file, alone, with_store, purged):
        assert DIGITS.search(each.stdout + each.stderr) is None
    assert DIGITS.search(straight + file.read_text()) is None
    file.write_text(file.read_text().replace('"withdrawn"', '"given"', 1))
    forged = dpquery("consent", "verify", file, "--json")
    assert (forged.returncode, forged.stdout, json.loads(forged.stderr)["code"]) == (5, "", "DPQ-519")


def test_who_holds_no_number_is_told_by_its_place(made: MadeStore) -> None:
    done = dpquery(
        "consent", "set", made.folder, "-", "--purpose", "offers", "--opt-out", stdin=f"{ANNA}\n+44207940x\n"
    )
    assert (done.returncode, "number 2" in done.stderr, rows(made)) == (5, True, 0)
    assert DIGITS.search(done.stderr) is None
    assert dpquery("consent", "status", made.folder, "-", stdin="\n").returncode == 2
    assert dpquery("consent", "receipt", made.folder, "-", stdin=f"{ANNA}\n{BERT}\n").returncode == 2


def test_the_help_says_where_numbers_belong() -> None:
    for command in ("set", "status", "receipt"):
        said = " ".join(dpquery("consent", command, "--help").stdout.split())
        assert "standard input" in said
        assert "history" in said


def test_the_command_line_alone_needs_no_data_libraries() -> None:
    """`dpquery --help` and `consent --help` stay quick."""
    code = "import sys, dpquery.cli.main; print('pyarrow' in sys.modules, 'duckdb' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
