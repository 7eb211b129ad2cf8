"""The steward's commands, as a cron job or a script calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from planning import POLICY
from stores import MadeStore, made_up_calls, make_store
from test_commands import ASK, dpquery, valid

from dpquery.cli.budget import show_budget
from dpquery.documents import BudgetDocument

WHY = ("--reason", "a test", "--actor", "eva")
ROOMY = POLICY.replace("ana = { epsilon = 10.0", "ana = { ceiling = 20.0, epsilon = 10.0")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    return make_store(tmp_path_factory.mktemp("steward"), ROOMY, made_up_calls(60))


def test_grant_raise_and_close_print_before_and_after(made: MadeStore) -> None:
    ana = ("--scope", "analyst:ana")
    done = dpquery("grant", made.folder, *ana, "--epsilon", 4, *WHY, "--json")
    document = json.loads(done.stdout)
    valid(document, "decision")
    assert (document["before"]["cap"]["epsilon"], document["after"]["cap"]["epsilon"]) == (10.0, 4.0)
    assert document["ceiling"]["epsilon"] == 20.0
    text = dpquery("raise", made.folder, *ana, "--epsilon", 6, "--block", "2026-01", *WHY)
    assert (text.returncode, "2026-01" in text.stdout, "ledger entry sha256:" in text.stderr) == (0, True, True)
    closed = json.loads(dpquery("close", made.folder, *ana, "--block", "2026-02", *WHY, "--json").stdout)
    valid(closed, "decision")
    assert (closed["before"]["state"], closed["after"]["state"]) == ("open", "closed")
    budget = json.loads(dpquery("budget", made.folder, "--json").stdout)
    assert budget["ledger"]["head"] != closed["before"]
    shown = {(s["scope"], s["block"]): s for s in budget["scopes"]}
    assert shown["analyst:ana", "2026-01"]["cap"]["epsilon"] == 6.0


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (("raise", "--scope", "analyst:ben", "--epsilon", "9"), 4, "DPQ-207"),
        (("grant", "--scope", "analyst:ben", "--epsilon", "11"), 4, "DPQ-206"),
        (("grant", "--scope", "analyst:bem", "--epsilon", "5"), 2, "DPQ-002"),
        (("close", "--scope", "dataset", "--block", "2026"), 2, "DPQ-002"),
    ],
)
def test_refusals_have_their_exit_status(made: MadeStore, words: tuple[str, ...], status: int, code: str) -> None:
    action, *rest = words
    done = dpquery(action, made.folder, *rest, *WHY, "--json")
    assert (done.returncode, done.stdout, json.loads(done.stderr)["code"]) == (status, "", code)


def test_a_reason_and_an_actor_are_asked_for(made: MadeStore) -> None:
    for missing in (("--reason", "x"), ("--actor", "x")):
        assert dpquery("close", made.folder, "--scope", "analyst:ana", *missing).returncode == 2


def test_edited_budgets_are_noted_by_budget_tables_and_policy_check(tmp_path: Path) -> None:
    made = make_store(tmp_path)
    said = "caps are changed with grant and raise"
    assert said not in dpquery("budget", made.folder).stderr + dpquery("tables", made.folder).stderr
    path = made.folder / "policy.toml"
    path.write_text(path.read_text().replace("dataset = { epsilon = 30.0", "dataset = { epsilon = 300.0"))
    assert said in dpquery("budget", made.folder).stderr
    tables = dpquery("tables", made.folder, "--json")
    valid(json.loads(tables.stdout), "tables")
    assert said in tables.stderr
    assert said in dpquery("policy", "check", path).stderr


def used(document: BudgetDocument, share: float) -> BudgetDocument:
    (first, *rest) = document.scopes
    return document.model_copy(update={"scopes": (first.model_copy(update={"used": share}), *rest)})


@pytest.mark.parametrize(
    ("share", "fail_at", "status"),
    [
        (0.8, "80%", 0),
        (0.8000001, "80%", 4),
        (0.7999999, "80%", 0),
        (0.8, "0.8", 0),
        (1.0, "100%", 0),
        (1.01, "100%", 4),
        (0.0, "0", 0),
        (1e-9, "0%", 4),
        (0.999, None, 0),
    ],
)
def test_fail_at_fails_when_more_is_used(
    made: MadeStore, share: float, fail_at: str | None, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    document = used(made.steward.budget(), share)
    fresh = document.model_copy(update={"scopes": document.scopes[:1]})
    assert show_budget(fresh, json=True, fail_at=fail_at) == status
    valid(json.loads(capsys.readouterr().out), "budget")


def test_fail_at_looks_at_open_scopes_of_the_blocks_that_are_named(tmp_path: Path) -> None:
    """A month that is used up does not fail for ever."""
    made = make_store(tmp_path, POLICY.replace("ana = { epsilon = 10.0", "ana = { epsilon = 1.0"), made_up_calls(60))
    sql = "SELECT COUNT(*) FROM calls WHERE day = '2026-01-01'"
    assert dpquery("query", made.folder, sql, *ASK, "--epsilon", 0.95).returncode == 0
    failing = ["budget", made.folder, "--fail-at", "80%"]
    assert dpquery(*failing).returncode == dpquery(*failing, "--block", "2026-01").returncode == 4
    some = dpquery(*failing, "--block", "2026-02", "--block", "*", "--json")
    assert some.returncode == 0
    assert {scope["block"] for scope in json.loads(some.stdout)["scopes"]} == {"*"}
    assert dpquery("budget", made.folder, "--block", "2026-13").returncode == 2
    made.steward.close("analyst:ana", block="2026-01", reason="the study is over", actor="eva")
    closed = dpquery(*failing)
    assert closed.returncode == 0
    assert "closed" in closed.stdout


def test_fail_at_sees_the_filter_that_has_more_left(tmp_path: Path) -> None:
    """Eight of ten by the pure filter, and less by the other: the scope still has that to spend."""
    policy = POLICY.replace("ana = { epsilon = 10.0, delta = 1e-6 }", "ana = { epsilon = 1.0 }")
    made = make_store(tmp_path, policy, made_up_calls(60))
    for day, epsilon in (("01", 0.5), ("02", 0.3)):
        sql = f"SELECT COUNT(*) FROM calls WHERE day = '2026-01-{day}'"
        assert dpquery("query", made.folder, sql, *ASK, "--epsilon", epsilon).returncode == 0
    ana = next(s for s in made.steward.budget().scopes if s.scope == "analyst:ana" and s.block == "2026-01")
    dataset = next(s for s in made.steward.budget().scopes if s.scope == "dataset" and s.block == "2026-01")
    pure, zcdp = 0.8, dataset.filters.zcdp
    assert ana.used == pytest.approx(pure, abs=1e-6)
    assert zcdp.rho is not None
    assert dataset.used == pytest.approx(min(pure / 30, zcdp.rho / zcdp.rho_cap), abs=1e-6)
    assert dataset.used < pure / 30
    assert dpquery("budget", made.folder, "--fail-at", "80%").returncode == (4 if ana.used > 0.8 else 0)
    assert dpquery("budget", made.folder, "--fail-at", "79%").returncode == 4
    assert dpquery("budget", made.folder, "--fail-at", "81%").returncode == 0


def test_policy_diff_says_what_weakens_first(tmp_path: Path) -> None:
    old, new, faulty = (tmp_path / name for name in ("old.toml", "new.toml", "faulty.toml"))
    old.write_text(POLICY)
    new.write_text(POLICY.replace("epsilon_max = 2.0", "epsilon_max = 3.0").replace('["short_code"]', "[]"))
    faulty.write_text(POLICY.replace("owners = 2", "owners = 9"))
    done = dpquery("policy", "diff", old, new, "--json")
    document = json.loads(done.stdout)
    valid(document, "policy-diff")
    assert [(c["place"], c["direction"]) for c in document["changes"]] == [
        ("limits.epsilon_max", "weakens"),
        ("numbers.public_kinds", "strengthens"),
    ]
    assert (document["version_raised"], document["refused_under_rows"]) == (False, ["numbers"])
    text = dpquery("policy", "diff", old, new)
    assert text.returncode == 0
    assert text.stdout.index("up to epsilon 3") < text.stdout.index("short_code")
    assert "raise version" in text.stderr
    assert "say the same" in dpquery("policy", "diff", old, old).stdout
    for words in ((old, faulty), (faulty, new), (old, tmp_path / "none.toml")):
        assert dpquery("policy", "diff", *words).returncode == 2


def test_policy_simulate_replays_the_ledger(tmp_path: Path) -> None:
    made = make_store(tmp_path, POLICY, made_up_calls(60))
    for day in ("01", "02"):
        sql = f"SELECT COUNT(*) FROM calls WHERE day = '2026-01-{day}'"
        assert dpquery("query", made.folder, sql, *ASK, "--epsilon", 1).returncode == 0
    smaller = tmp_path / "smaller.toml"
    smaller.write_text(POLICY.replace("ana = { epsilon = 10.0, delta = 1e-6 }", "ana = { epsilon = 1.5 }"))
    document = json.loads(dpquery("policy", "simulate", made.folder, smaller, "--json").stdout)
    valid(document, "simulation")
    assert [(r["by"], r["block"], r["epsilon"]) for r in document["refused"]] == [("analyst:ana", "2026-01", 1.0)]
    assert document["replayed"] == {"charged": 2, "repeated": 0, "refused": 0, "decisions": 0}
    text = dpquery("policy", "simulate", made.folder, smaller)
    assert text.returncode == 0
    assert "analyst:ana would be over budget in 2026-01" in text.stdout
    assert "1 answered queries would have been refused" in text.stderr
    same = json.loads(dpquery("policy", "simulate", made.folder, made.folder / "policy.toml", "--json").stdout)
    assert same["refused"] == []
    assert dpquery("policy", "simulate", made.folder, tmp_path / "none.toml").returncode == 2
