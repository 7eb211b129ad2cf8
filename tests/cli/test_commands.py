"""The commands, as other programs call them: streams, JSON, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import jsonschema
import pytest
from planning import POLICY
from stores import MadeStore, made_up_calls, make_store

from dpquery import __version__
from dpquery.cli import main
from dpquery.documents import DOCUMENTS

SCHEMAS = Path(sys.modules["dpquery"].__file__ or "").parent / "schemas"
ASK = ["--analyst", "ana", "--purpose", "network_planning"]


def dpquery(*words: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dpquery", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, input=stdin, check=False, timeout=300)


def valid(document: object, name: str) -> None:
    jsonschema.validate(document, json.loads((SCHEMAS / f"{name}.schema.json").read_text()))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    return make_store(tmp_path_factory.mktemp("cli"), POLICY, made_up_calls(300))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_shipped_schemas_are_those_of_the_documents(name: str) -> None:
    """To renew: python -m dpquery.schemas"""
    shipped = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    assert shipped == DOCUMENTS[name].model_json_schema(by_alias=True, mode="serialization")


def test_query_prints_json_alone_on_standard_output(made: MadeStore) -> None:
    done = dpquery("query", made.folder, "SELECT COUNT(*) FROM calls", *ASK, "--epsilon", "0.5", "--json")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    valid(document, "release")
    assert document["status"] == "released"
    assert set(document["rows"][0]) == {"count_star", "count_star_low", "count_star_high", "count_star_useful"}
    assert document["cost"]["epsilon"] == 0.5
    assert document["plan"]["owners"] == 2


def test_dry_run_spends_nothing(made: MadeStore) -> None:
    before = json.loads(dpquery("budget", made.folder, "--json").stdout)
    done = dpquery("query", made.folder, "SELECT SUM(talk_s) AS s FROM calls", *ASK, "--dry-run", "--json")
    document = json.loads(done.stdout)
    valid(document, "release")
    assert (document["status"], document["rows"], document["cost"]["charged"], document["ledger"]) == (
        "preview",
        [],
        [],
        None,
    )
    assert document["columns"][0]["expected_half_width"] > 0
    after = json.loads(dpquery("budget", made.folder, "--json").stdout)
    assert before["ledger"] == after["ledger"]
    text = dpquery("query", made.folder, "SELECT SUM(talk_s) AS s FROM calls", *ASK, "--dry-run").stdout
    assert "price" in text
    assert "expected ±" in text


def test_bounding_loss_is_priced_and_printed(made: MadeStore) -> None:
    sql = "SELECT cell_id, COUNT(*) AS n FROM calls GROUP BY cell_id"
    ask = ["query", made.folder, sql, *ASK, "--epsilon", "0.3", "--bounding-loss"]
    before = json.loads(dpquery("budget", made.folder, "--json").stdout)["ledger"]
    priced = json.loads(dpquery(*ask, "--dry-run", "--json").stdout)
    valid(priced, "release")
    assert before == json.loads(dpquery("budget", made.folder, "--json").stdout)["ledger"]
    document = json.loads(dpquery(*ask, "--json").stdout)
    valid(document, "bounding-loss")
    assert document["cost"]["epsilon"] == priced["cost"]["epsilon"] == 0.3
    table = dpquery(*ask, "--csv").stdout.splitlines()
    assert table[0].startswith("bounds,rows_kept,")
    assert len(table) == 1 + len(document["rows"])
    text = dpquery(*ask)
    assert "(as asked)" in text.stdout
    assert document["advice"][0] in text.stderr
    done = dpquery("query", made.folder, sql, *ASK, "--within", "5", "--bounding-loss")
    assert done.returncode == 2
    done = dpquery("query", made.folder, "SELECT COUNT(DISTINCT caller) FROM calls", *ASK, "--bounding-loss", "--json")
    assert (done.returncode, json.loads(done.stderr)["spent"]) == (2, 0)


def test_csv_file_and_standard_input(made: MadeStore, tmp_path: Path) -> None:
    sql = "SELECT cell_id, COUNT(*) AS n FROM calls GROUP BY cell_id"
    (tmp_path / "q.sql").write_text("\ufeff" + sql)  # as some editors write it
    by_file = dpquery("query", made.folder, "-f", tmp_path / "q.sql", *ASK, "--epsilon", 0.5, "--csv")
    by_stdin = dpquery("query", made.folder, "-", *ASK, "--epsilon", 0.5, "--csv", stdin=sql)
    assert by_file.stdout == by_stdin.stdout  # asked before: the same answer
    assert by_file.stdout.splitlines()[0] == "cell_id,n,n_low,n_high,n_useful"
    assert len(by_file.stdout.splitlines()) == 4
    plain = dpquery("query", made.folder, sql, *ASK, "--epsilon", 0.5)
    assert "C1" in plain.stdout
    assert "Adding or removing any one protected phone number" in plain.stderr


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["SELECT caller FROM calls", *ASK], 3, "DPQ-105"),
        (["SELECT COUNT(*) FROM calls", *ASK, "--epsilon", "9"], 4, "DPQ-204"),
        (["SELECT COUNT(*) FROM calls", "--analyst", "eve", "--purpose", "network_planning"], 6, "DPQ-303"),
        ([*ASK], 2, "DPQ-002"),
    ],
)
def test_refusals_are_json_on_standard_error(made: MadeStore, words: Sequence[str], status: int, code: str) -> None:
    done = dpquery("query", made.folder, *words, "--json")
    assert (done.returncode, done.stdout) == (status, "")
    document = json.loads(done.stderr)
    valid(document, "refusal")
    assert (document["code"], document["exit"], document["spent"]) == (code, status, 0)


def test_refusals_as_text_have_a_caret_a_fix_and_say_what_was_spent(made: MadeStore) -> None:
    done = dpquery("query", made.folder, "SELECT SUM(free_text) FROM calls", *ASK)
    assert done.returncode == 3
    assert "^" in done.stderr
    assert "fix" in done.stderr
    assert "spent  nothing" in done.stderr


def test_usage_errors_exit_two(tmp_path: Path) -> None:
    assert dpquery("query", tmp_path).returncode == 2
    assert dpquery("nothing").returncode == 2
    both = dpquery("query", tmp_path, "SELECT 1", *ASK, "--json", "--csv")
    assert (both.returncode, both.stdout) == (2, "")
    assert dpquery("policy", "check", tmp_path / "none.toml").returncode == 2
    bad = tmp_path / "bad.toml"
    bad.write_text(POLICY.replace("owners = 2", "owners = 9"))
    done = dpquery("policy", "check", bad)
    assert done.returncode == 2
    assert f"{bad}:" in done.stderr


def test_policy_check_and_schema(tmp_path: Path) -> None:
    good = tmp_path / "good.toml"
    good.write_text(POLICY)
    assert dpquery("policy", "check", good).returncode == 0
    assert json.loads(dpquery("policy", "schema").stdout)["title"] == "Policy"


def test_tables_lists_what_can_be_named(made: MadeStore) -> None:
    document = json.loads(dpquery("tables", made.folder, "--json").stdout)
    valid(document, "tables")
    calls = next(t for t in document["tables"] if t["name"] == "calls")
    columns = {c["name"]: c for c in calls["columns"]}
    assert columns["caller"]["role"] == "party"
    assert columns["day"]["keys"] == 59
    assert "COUNT(DISTINCT caller)" in dpquery("tables", made.folder).stdout


def test_budget_and_its_exit_status(made: MadeStore) -> None:
    dpquery("query", made.folder, "SELECT COUNT(*) FROM subscribers", *ASK, "--epsilon", 1)
    done = dpquery("budget", made.folder, "--json", "--fail-at", "99%")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    valid(document, "budget")
    assert {s["scope"] for s in document["scopes"]} >= {"dataset", "analyst:ana", "analyst:ben"}
    assert dpquery("budget", made.folder, "--fail-at", "1%").returncode == 4
    assert "analyst:ana" in dpquery("budget", made.folder).stdout


def test_init_ingest_query_from_files(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(POLICY)
    made_up_calls(100).to_csv(tmp_path / "calls.csv", index=False)
    (tmp_path / "cells.csv").write_text("cell_id,area,masts\nC1,north,1\nC2,south,2\n")
    store = tmp_path / "s"
    assert dpquery("init", store, "--policy", tmp_path / "policy.toml").returncode == 0
    for name in ("s", "s.key", "s.steward.key"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0
    assert dpquery("ingest", store, tmp_path / "cells.csv", "--table", "cells").returncode == 0
    done = dpquery("ingest", store, tmp_path / "calls.csv", "--table", "calls", "--period", "2026-01-01..2026-02-28")
    assert done.returncode == 0, done.stderr
    assert "100 of 100 rows stored" in done.stderr
    assert dpquery("query", store, "SELECT COUNT(*) FROM calls", *ASK, "--epsilon", 1).returncode == 0
    assert dpquery("init", store, "--policy", tmp_path / "policy.toml").returncode == 5


def test_much_quarantine_sets_the_exit_status_and_stores_the_rest(tmp_path: Path) -> None:
    made = make_store(tmp_path)
    calls = made_up_calls(100)
    calls.loc[:9, "caller"] = "not a number at all"
    calls.to_csv(tmp_path / "calls.csv", index=False)
    done = dpquery("ingest", made.folder, tmp_path / "calls.csv", "--table", "calls")
    assert done.returncode == 5
    assert "90 of 100 rows stored" in done.stderr
    assert "quarantined 10" in done.stderr
    again = dpquery("ingest", made.folder, tmp_path / "calls.csv", "--table", "calls", "--accept-quarantine")
    assert again.returncode == 0


def test_explain_and_version() -> None:
    assert "value" in dpquery("explain", "DPQ-102").stdout
    assert len({dpquery("explain", code).stdout for code in ("102", "dpq-102", "DPQ-102")}) == 1
    assert dpquery("explain", "DPQ-999").returncode == 2
    assert dpquery("--version").stdout.strip() == f"dpquery {__version__}"


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    script = (
        "import sys, dpquery; dpquery.__version__; "
        "print([m for m in ('opendp','duckdb','numba','pandas','pyarrow','sqlglot','phonenumbers','sqlalchemy') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("stopped", "code", "status"),
    [(OSError(28, "No space left"), "DPQ-514", 5), (KeyError("+442079460001"), "DPQ-001", 1)],
)
def test_what_nobody_foresaw_is_one_error_without_what_it_held(
    stopped: Exception, code: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> None:
        raise stopped

    monkeypatch.setattr("dpquery.cli.query.run_query", stop)
    monkeypatch.setattr("sys.argv", ["dpquery", "query", "x", "SELECT 1", "--analyst", "a", "--purpose", "p", "--json"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    said = capsys.readouterr()
    assert ended.value.code == status
    assert said.out == ""
    document = json.loads(said.err)
    valid(document, "refusal")
    assert (document["code"], document["exit"], document["spent"]) == (code, status, None)
    assert "+44" not in said.err


def test_statements_that_tell_are_printed_and_spend_nothing(made: MadeStore) -> None:
    before = json.loads(dpquery("budget", made.folder, "--json").stdout)["ledger"]
    count = "SELECT cell_id, COUNT(*) AS n FROM calls GROUP BY cell_id"
    explained = dpquery("query", made.folder, f"EXPLAIN PRIVACY {count}", *ASK, "--json")
    dry = dpquery("query", made.folder, count, *ASK, "--dry-run", "--json")
    assert json.loads(explained.stdout) == json.loads(dry.stdout)
    shown = dpquery("query", made.folder, "SHOW PRIVACY BUDGET FOR calls", *ASK, "--json")
    valid(json.loads(shown.stdout), "facts")
    as_csv = dpquery("query", made.folder, "SHOW PRIVACY BUDGET FOR calls", *ASK, "--csv").stdout.splitlines()
    assert as_csv[0].split(",")[:2] == ["scope", "block"]
    assert [line.split(",")[1] for line in as_csv[1:]] == ["2026-01", "2026-02"]
    refused = dpquery("query", made.folder, "SET dp.epsilon = 0.1", *ASK)
    assert (refused.returncode, "--epsilon" in refused.stderr) == (2, True)
    assert json.loads(dpquery("budget", made.folder, "--json").stdout)["ledger"] == before


def test_the_price_of_options_is_the_price(made: MadeStore) -> None:
    options = "WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = 0.45, confidence = 0.99)"
    sql = f"SELECT {options} COUNT(*) AS n FROM calls WHERE talk_s > 7"
    document = json.loads(dpquery("query", made.folder, sql, *ASK, "--json").stdout)
    assert (document["cost"]["epsilon"], document["interval"]["confidence"]) == (0.45, 0.99)
    assert dpquery("query", made.folder, sql, *ASK, "--epsilon", 0.4).returncode == 2
    over = dpquery("query", made.folder, sql.replace("0.45", "2.5"), *ASK, "--json")
    refusal = json.loads(over.stderr)
    assert (over.returncode, refusal["code"], refusal["where"]["column"]) == (4, "DPQ-204", 43)


def test_several_prices_are_compared_without_spending(made: MadeStore) -> None:
    sql = "SELECT cell_id, COUNT(*) AS n FROM calls GROUP BY cell_id"
    done = dpquery("query", made.folder, sql, *ASK, "--dry-run", "--json", "--epsilon", "0.1,0.5", "--epsilon", "1")
    document = json.loads(done.stdout)
    valid(document, "prices")
    assert [price["cost"]["epsilon"] for price in document["prices"]] == [0.1, 0.5, 1.0]
    assert {each["kind"] for each in document["alternatives"]} == {"fewer keys"}
    text = dpquery("query", made.folder, sql, *ASK, "--dry-run", "--epsilon", "0.1,0.5").stdout
    assert "share_of_budget" in text
    assert "without cell_id" in text
    for words in (("--epsilon", "0.1,0.5"), ("--epsilon", "much"), ("--dry-run", "--epsilon", "1,2", "--within", "9")):
        assert dpquery("query", made.folder, sql, *ASK, *words).returncode == 2


def test_budget_report_in_every_form(made: MadeStore, tmp_path: Path) -> None:
    document = json.loads(dpquery("report", "budget", made.folder, "--format", "json").stdout)
    valid(document, "budget-report")
    head = json.loads(dpquery("budget", made.folder, "--json").stdout)["ledger"]["head"]
    assert document["integrity"]["head"] == head
    for form, start in (("md", "# Budget report"), ("csv", "section,table,row"), ("registry-yaml", "url_slug:")):
        assert dpquery("report", "budget", made.folder, "--format", form).stdout.startswith(start)
    page = tmp_path / "budget.html"
    for _ in range(2):
        done = dpquery("report", "budget", made.folder, "--format", "html", "--out", page)
        assert (done.returncode, done.stdout) == (0, "")
        assert page.read_text().startswith("<!doctype html>")
    refused = dpquery("report", "budget", made.folder, "--format", "pdf")
    assert refused.returncode == 2
    assert "registry-yaml" in refused.stderr
    assert dpquery("report", "budget", made.folder, "--out", tmp_path / "no" / "such").returncode == 2
    assert "runs out" in dpquery("budget", made.folder).stdout
