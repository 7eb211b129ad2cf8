"""`dpquery ledger`, as a steward uses it before and after a disk fails."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import pytest
from planning import POLICY
from stores import MadeStore, made_up_calls, make_store

import dpquery
from dpquery.cli import main
from dpquery.errors import LedgerError, PolicyError
from dpquery.ledger import Ledger, read_checkpoint
from dpquery.policy import parse_policy
from dpquery.stewardship import Steward, init
from dpquery.store_ledger import checkpoint_place, ledger_place

SCHEMAS = Path(dpquery.__file__).parent / "schemas"
ASK = ["--analyst", "ana", "--purpose", "network_planning", "--epsilon", "0.5"]
NAMED = '\n[ledger]\ncheckpoint = "kept/store.checkpoint.json"\n'


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


class Commands:
    """Commands in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *words: object) -> Done:
        self.monkeypatch.setattr(sys, "argv", ["dpquery", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main.main()
        said = self.capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    def refused(self, *words: object) -> tuple[int, str]:
        """Exit status and code."""
        done = self(*words)
        assert done.out == ""
        return done.status, done.err.split()[0]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Commands:
    return Commands(monkeypatch, capsys)


def made_store(folder: Path, more: str = "") -> MadeStore:
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "kept").mkdir(exist_ok=True)
    return make_store(folder, POLICY + more, made_up_calls(50))


def ledger_file(made: MadeStore) -> Path:
    place = ledger_place(made.steward.store)
    assert isinstance(place, Path)
    return place


def query(made: MadeStore, days: int) -> list[object]:
    """A question of its own for each number."""
    return ["query", made.folder, f"SELECT COUNT(*) AS n FROM calls WHERE talk_s > {days}", *ASK]


def test_a_disk_fails_and_the_ledger_goes_on(tmp_path: Path, run: Commands) -> None:
    made = made_store(tmp_path / "host", NAMED)
    kept = tmp_path / "host" / "kept" / "store.checkpoint.json"
    assert read_checkpoint(kept).decisions == 3  # written by init
    assert run(*query(made, 1)).status == 0
    backup = shutil.copy2(ledger_file(made), tmp_path / "backup")
    assert run(*query(made, 2)).status == 0
    assert (
        run("grant", made.folder, "--scope", "analyst:ben", "--epsilon", 1, "--reason", "less", "--actor", "eva").status
        == 0
    )
    taken = run("ledger", "checkpoint", made.folder, "--out", kept)
    assert (taken.status, taken.out) == (0, "")
    assert f"entry {read_checkpoint(kept).sequence}" in taken.err
    checked = run("ledger", "verify", made.folder, "--json")
    document = json.loads(checked.out)
    jsonschema.validate(document, json.loads((SCHEMAS / "ledger-verification.schema.json").read_text()))
    assert [each["accounted"] for each in document["checkpoints"]] == ["contained"]
    assert (document["verified"], document["decisions"], document["charges"]) == (True, 4, 2)

    shutil.copy2(backup, ledger_file(made))
    for words in (
        query(made, 3),
        ["budget", made.folder],
        ["grant", made.folder, "--scope", "dataset", "--epsilon", "1", "--reason", "r", "--actor", "a"],
        ["ledger", "verify", made.folder],
        ["ledger", "checkpoint", made.folder, "--out", kept],
        ["ledger", "checkpoint", made.folder, "--out", tmp_path / "another.json"],
    ):
        assert run.refused(*words) == (8, "DPQ-809"), words
    assert not (tmp_path / "another.json").exists()

    before = read_checkpoint(kept)
    done = run("ledger", "adopt", made.folder, "--checkpoint", kept, "--reason", "disk failed")
    assert done.status == 0
    assert "analyst:ana" in done.out
    assert "0.5" in done.out
    assert "up to 1 grants and closes" in done.err
    assert run(*query(made, 3)).status == 0
    scopes = json.loads(run("budget", made.folder, "--json").out)["scopes"]
    spent = {row["scope"]: row["spent"]["epsilon"] for row in scopes if row["block"] != "*"}
    assert spent["analyst:ana"] == pytest.approx(1.5)
    shown = run("ledger", "verify", made.folder, "--checkpoint", kept).out
    assert "was adopted" in shown
    assert run.refused("ledger", "adopt", made.folder, "--checkpoint", kept, "--reason", "again") == (2, "DPQ-002")
    assert run("ledger", "checkpoint", made.folder, "--out", kept).status == 0
    assert read_checkpoint(kept).ledger == before.ledger
    assert "is part of it" in run("ledger", "verify", made.folder).out


@pytest.mark.parametrize("how", ["missing", "cut", "foreign"])
def test_a_checkpoint_that_the_policy_names_is_never_passed_over(tmp_path: Path, run: Commands, how: str) -> None:
    made = made_store(tmp_path / "host", NAMED)
    kept = checkpoint_place(made.folder, made.steward.store.policy)
    assert kept is not None
    content = kept.read_text()
    code = "DPQ-810"
    match how:
        case "missing":
            kept.unlink()
        case "cut":
            kept.write_text(content[:-40])
        case _:
            other = made_store(tmp_path / "other", NAMED)
            shutil.copy2(other.folder.parent / "kept" / kept.name, kept)
            code = "DPQ-809"
    for words in (query(made, 1), ["budget", made.folder], ["ledger", "verify", made.folder]):
        assert run.refused(*words) == (8, code)
    assert run.refused("ledger", "checkpoint", made.folder, "--out", kept) == (8, code)
    with pytest.raises(LedgerError):
        made.connect()
    with Ledger.open(ledger_file(made)) as ledger:
        assert ledger.verify().charges == 0
    kept.write_text(content)
    assert run(*query(made, 1)).status == 0


def test_a_checkpoint_is_taken_without_a_policy_that_names_one(tmp_path: Path, run: Commands) -> None:
    made = made_store(tmp_path / "host")
    out = tmp_path / "c.json"
    assert run("ledger", "checkpoint", made.folder, "--out", out).status == 0
    older = out.read_text()
    assert run(*query(made, 1)).status == 0
    assert run("ledger", "checkpoint", made.folder, "--out", out).status == 0
    assert out.read_text() != older
    assert "older copy" in run("ledger", "verify", made.folder).err
    out.write_text("{}")
    assert run.refused("ledger", "checkpoint", made.folder, "--out", out) == (8, "DPQ-810")
    assert out.read_text() == "{}"
    json_refusal = run("ledger", "verify", made.folder, "--checkpoint", out, "--json")
    assert (json_refusal.status, json.loads(json_refusal.err)["code"]) == (8, "DPQ-810")


def test_what_does_not_hold_together_has_exit_status_8(tmp_path: Path, run: Commands) -> None:
    import sqlite3
    from contextlib import closing

    made = made_store(tmp_path / "host")
    with closing(sqlite3.connect(ledger_file(made))) as connection, connection:
        connection.execute("DROP TRIGGER entries_no_update")
        connection.execute("UPDATE entries SET at = '1999' WHERE sequence = 2")
    assert run.refused("ledger", "verify", made.folder) == (8, "DPQ-802")


def test_a_store_is_not_made_over_the_checkpoint_of_another(tmp_path: Path) -> None:
    made = made_store(tmp_path / "host", NAMED)
    kept = checkpoint_place(made.folder, made.steward.store.policy)
    assert kept is not None
    before = kept.read_text()
    shutil.rmtree(made.folder)
    with pytest.raises(LedgerError, match="DPQ-806"):
        init(made.folder, policy=tmp_path / "host" / "policy.toml")
    assert not made.folder.exists()
    assert kept.read_text() == before


def test_a_session_that_was_open_keeps_its_checkpoint(tmp_path: Path) -> None:
    made = made_store(tmp_path / "host", NAMED)
    backup = shutil.copy2(ledger_file(made), tmp_path / "backup")
    made.connect().sql("SELECT COUNT(*) FROM calls").run(epsilon=0.5)
    kept = checkpoint_place(made.folder, made.steward.store.policy)
    assert kept is not None
    Steward(made.steward.store).take_checkpoint(kept)
    with made.connect() as session:
        shutil.copy2(backup, ledger_file(made))
        with pytest.raises(LedgerError, match="DPQ-809"):
            session.sql("SELECT COUNT(*) AS m FROM calls WHERE talk_s > 3").run(epsilon=0.5)


@pytest.mark.parametrize(
    "line",
    [
        'url = "postgresql://ana:secret@db/ledger"',
        'url = "postgresql://db/ledger?password=secret"',
        'url = "sqlite:///x"',
        'checkpoint = ""',
        'checkpoint = "a\\nb"',
        'checkpiont = "x"',
    ],
)
def test_faults_in_the_section_of_the_ledger(line: str) -> None:
    with pytest.raises(PolicyError, match="DPQ-302"):
        parse_policy(f"{POLICY}\n[ledger]\n{line}\n")


def test_where_the_ledger_and_its_checkpoint_are() -> None:
    policy = parse_policy(POLICY + '\n[ledger]\nurl = "postgresql://ana@db:5432/ledger"\ncheckpoint = "/safe/c.json"\n')
    assert policy.ledger.url == "postgresql://ana@db:5432/ledger"
    assert checkpoint_place(Path("/data/store"), policy) == Path("/safe/c.json")
    beside = parse_policy(POLICY + NAMED)
    assert checkpoint_place(Path("/data/store"), beside) == Path("/data/kept/store.checkpoint.json")
    assert checkpoint_place(Path("/data/store"), parse_policy(POLICY)) is None
