"""A store whose policy keeps its ledger in PostgreSQL."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from planning import POLICY
from postgres_server import server
from stores import MadeStore, made_up_calls, make_store

from dpquery.errors import BudgetRefused, LedgerError
from dpquery.session import connect
from dpquery.stewardship import init

SQL = "SELECT service, COUNT(*) AS n FROM calls GROUP BY service"


def with_ledger(url: str, dataset: str = "small-calls") -> str:
    text = POLICY.replace('dataset = "small-calls"', f'dataset = "{dataset}"')
    return f'{text}\n[ledger]\nurl = "{url}"\n'


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    return make_store(tmp_path, with_ledger(server().fresh_url()), made_up_calls(100))


def test_sessions_on_several_hosts_share_one_budget(made: MadeStore) -> None:
    assert not (made.folder / "ledger.sqlite").exists()
    with made.connect() as one, made.connect() as other:
        first = one.sql(SQL).run(epsilon=1.0)
        again = other.sql(SQL).run(epsilon=1.0)
        assert (first.status, again.status) == ("released", "repeated")
        assert first.rows() == again.rows()
        spending = [other, one]
        for number in range(8):
            spending[number % 2].sql(SQL).run(epsilon=1.0, fresh=True)
        with pytest.raises(BudgetRefused, match="DPQ-201"):
            for _ in range(4):
                one.sql(SQL).run(epsilon=2.0, fresh=True)
    document = made.steward.budget()
    assert document.ledger.verified
    (own,) = {
        scope.entries.released for scope in document.scopes if scope.scope == "analyst:ana" and scope.block != "*"
    }
    assert 9 <= own < 13


def test_the_commands_find_it(made: MadeStore) -> None:
    words = [sys.executable, "-m", "dpquery"]
    asked = ["query", str(made.folder), SQL, "--analyst", "ana", "--purpose", "network_planning", "--json"]
    answer = subprocess.run([*words, *asked], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout)["status"] == "released"
    verified = subprocess.run(
        [*words, "ledger", "verify", str(made.folder), "--json"], capture_output=True, text=True, check=True
    )
    assert json.loads(verified.stdout)["releases"] == 1


def test_another_dataset_s_ledger_is_refused(made: MadeStore, tmp_path: Path) -> None:
    other = with_ledger(server().fresh_url(), "other-calls")
    (tmp_path / "other.toml").write_text(other)
    init(tmp_path / "other", policy=tmp_path / "other.toml")
    policy = made.folder / "policy.toml"
    url = other.split('url = "')[1].split('"')[0]
    policy.write_text(with_ledger(url))
    with pytest.raises(LedgerError, match=r"DPQ-809.*other-calls"):
        connect(made.folder, analyst="ana", purpose="network_planning")


@pytest.mark.parametrize("taken", [True, False])
def test_init_leaves_nothing_behind_where_it_cannot_make_the_ledger(
    made: MadeStore, tmp_path: Path, *, taken: bool
) -> None:
    url = made.steward.store.policy.ledger.url if taken else "postgresql://nobody@127.0.0.1:1/nothing"
    assert url is not None
    (tmp_path / "again.toml").write_text(with_ledger(url))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(LedgerError, match="DPQ-806" if taken else "DPQ-801"):
        init(tmp_path / "again", policy=tmp_path / "again.toml")
    assert sorted(tmp_path.iterdir()) == before
    with made.connect() as session:
        assert session.sql(SQL).run(epsilon=0.5).status == "released"
