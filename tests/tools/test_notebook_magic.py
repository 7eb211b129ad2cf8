"""`%load_ext dpquery`: a cell is a query, a refusal is a text, and looking is free."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from spending import nothing_spent, spent
from stores import MadeStore

from dpquery.errors import DpqueryError
from dpquery.release import Release
from dpquery.session import Session

COUNTS = "SELECT service, COUNT(*) AS n FROM calls GROUP BY service"


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    pytest.importorskip("IPython")
    from IPython.core import interactiveshell
    from traitlets.config import Config

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    config = Config()
    config.HistoryManager.enabled = False
    shell: Any = interactiveshell.InteractiveShell(config=config)  # type: ignore[no-untyped-call]
    shell.run_cell("%load_ext dpquery").raise_error()
    yield shell
    shell.restore_sys_module_state()


def connect(shell: Any, made: MadeStore) -> Any:
    return shell.run_cell(f"%dpq_connect '{made.folder}' --analyst ana --purpose network_planning")


def refused(shell: Any, cell: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What the notebook shows of a cell that is refused; the cell itself must fail, so that `Run all` stops."""
    capsys.readouterr()
    result = shell.run_cell(cell)
    assert isinstance(result.error_in_exec, DpqueryError)
    said = capsys.readouterr()
    shown = said.out + said.err
    assert "Traceback" not in shown
    assert str(result.error_in_exec) in shown
    return shown


def test_a_cell_runs_and_its_release_gets_a_name(shell: Any, made: MadeStore, session: Session) -> None:
    with nothing_spent(session):
        assert "small-calls, as ana" in repr(connect(shell, made).result)
    result: Any = shell.run_cell(f"%%dpq by_service --epsilon 0.3\n{COUNTS}\n").result
    assert isinstance(result, Release)
    assert shell.user_ns["by_service"] is result
    assert result.cost.epsilon == 0.3
    assert spent(session) == 0.3
    again = shell.run_cell(f"%%dpq --epsilon 0.3\n{COUNTS}").result
    assert again.status == "repeated"
    assert spent(session) == 0.3


def test_dry_shows_the_preview_for_free(shell: Any, made: MadeStore, session: Session) -> None:
    connect(shell, made)
    with nothing_spent(session):
        shown = repr(shell.run_cell(f"%%dpq nothing --epsilon 0.3 --dry\n{COUNTS}").result)
        assert "price     epsilon 0.3" in shown
        assert "nothing" not in shell.user_ns
        within = repr(shell.run_cell("%%dpq --within 40 --dry\nSELECT COUNT(*) AS n FROM calls").result)
        assert "price" in within


def test_within_and_the_policys_default(shell: Any, made: MadeStore, session: Session) -> None:
    connect(shell, made)
    wide: Any = shell.run_cell("%%dpq --within 40\nSELECT COUNT(*) AS n FROM calls").result
    row = wide.rows()[0]
    assert row["n_high"] - row["n"] <= 40
    default: Any = shell.run_cell(f"%%dpq\n{COUNTS}").result
    assert default.cost.epsilon == session.store.policy.limits.epsilon_default


def test_a_cell_may_name_the_store_itself(shell: Any, made: MadeStore) -> None:
    line = f"%%dpq r --dir '{made.folder}' --analyst ben --purpose network_planning --epsilon 0.1"
    shell.run_cell(f"{line}\n{COUNTS}").raise_error()
    assert isinstance(shell.user_ns["r"], Release)
    connect(shell, made)
    shell.run_cell(f"%%dpq s --analyst ben --epsilon 0.1\n{COUNTS}").raise_error()
    assert shell.user_ns["s"].status == "repeated"


def test_a_refusal_is_its_text_alone(
    shell: Any, made: MadeStore, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    connect(shell, made)
    with nothing_spent(session):
        shown = refused(shell, "%%dpq r\nSELECT caller, COUNT(*) FROM calls GROUP BY caller", capsys)
        assert "^^^" in shown
        assert "spent  nothing" in shown
        assert "r" not in shell.user_ns
        assert "DPQ-204" in refused(shell, f"%%dpq --epsilon 99\n{COUNTS}", capsys)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("%%dpq\nSELECT COUNT(*) FROM calls", "%dpq_connect DIR"),
        ("%%dpq --epsilon much\nSELECT 1", "--epsilon"),
        ("%%dpq --epsilon 1 --within 1\nSELECT 1", "not allowed with"),
        ("%%dpq --fresh\nSELECT 1", "--fresh"),
        ("%%dpq 'a name'\nSELECT 1", "is not a name"),
        ("%%dpq 'open\nSELECT 1", "a quote does not end"),
        ("%dpq_connect", "DIR"),
        ("%dpq_connect nowhere --analyst ana --purpose network_planning", "DPQ-501"),
    ],
)
def test_a_line_that_is_not_understood(shell: Any, capsys: pytest.CaptureFixture[str], cell: str, said: str) -> None:
    assert said in refused(shell, cell, capsys)


def test_help_stands_behind_a_question_mark(shell: Any) -> None:
    assert "--dry" in (shell.find_magic("dpq", "cell").__doc__ or "")
    assert "--purpose" in (shell.find_magic("dpq_connect").__doc__ or "")


def test_what_is_set_holds_for_the_cells_that_follow(shell: Any, made: MadeStore, session: Session) -> None:
    connect(shell, made)
    with nothing_spent(session):
        assert "0.3" in str(shell.run_cell("%%dpq\nSET dp.epsilon = 0.3").result)
        assert "price     epsilon 0.3" in repr(shell.run_cell(f"%%dpq --dry\n{COUNTS}").result)
        assert "epsilon 0.3," in str(shell.run_cell(f"%%dpq\nEXPLAIN PRIVACY {COUNTS}").result)
        shell.run_cell("%%dpq\nRESET dp.epsilon")
        assert "price     epsilon 0.2" in repr(shell.run_cell(f"%%dpq --dry\n{COUNTS}").result)
