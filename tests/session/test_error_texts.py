"""An error has one text, wherever it is shown, and it says what was spent."""

from __future__ import annotations

import json
import pickle

import pytest
from planning import POLICY
from spending import nothing_spent, spent
from stores import MadeStore, made_up_calls, make_store

from dpquery import dbapi
from dpquery.catalogue import CATALOGUE
from dpquery.cli.output import refusal, show_error
from dpquery.errors import DpqueryError, EngineError, QueryRefused, Span
from dpquery.tools import dbapi_errors
from dpquery.tools.magic import ShownError

COUNTS = "SELECT COUNT(*) AS n FROM calls"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    return make_store(tmp_path_factory.mktemp("errors"), POLICY, made_up_calls(50))


def everywhere(error: DpqueryError, capsys: pytest.CaptureFixture[str]) -> str:
    """The text of an error, which every face shows as it is."""
    text = str(error)
    show_error(error, json=False)
    assert capsys.readouterr().err == text + "\n"
    assert "\n".join(ShownError(error)._render_traceback_()) == text
    with pytest.raises(dbapi.Error) as translated, dbapi_errors.translated():
        raise error
    assert str(translated.value) == text
    assert str(pickle.loads(pickle.dumps(translated.value))) == text  # noqa: S301 - our own bytes
    assert json.loads(refusal(error).model_dump_json())["spent"] == error.spent
    return text


def test_a_refusal_says_what_where_why_and_that_nothing_was_spent(
    made: MadeStore, capsys: pytest.CaptureFixture[str]
) -> None:
    with made.connect() as asked, nothing_spent(asked), pytest.raises(QueryRefused) as caught:
        asked.sql("SELECT caller FROM calls")
    assert everywhere(caught.value, capsys).splitlines() == [
        "DPQ-105  caller is a privacy id: it cannot be selected, grouped, compared or aggregated",
        "",
        "  1 | SELECT caller FROM calls",
        "    |        ^^^^^^",
        "",
        "  fix    COUNT(DISTINCT caller), or group by phone_region(caller)",
        "  spent  nothing",
        "  more   dpquery explain DPQ-105",
    ]


def test_an_error_after_the_charge_says_what_was_spent(
    made: MadeStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object) -> None:
        raise EngineError("DPQ-701", "the engine stopped while reading")

    with made.connect() as asked:
        before = spent(asked)
        with monkeypatch.context() as broken, pytest.raises(EngineError) as caught:
            broken.setattr("dpquery.asking.charging.measured", stopped)
            asked.sql(COUNTS).run(epsilon=0.25, request_id="once")
        assert spent(asked) == before + 0.25
        assert caught.value.spent == 0.25
        assert "  spent  epsilon 0.25, which stays spent\n" in everywhere(caught.value, capsys)
        # The same request is answered for what it has paid.
        assert asked.sql(COUNTS).run(epsilon=0.25, request_id="once").cost.epsilon == 0.25
        assert spent(asked) == before + 0.25
        # A stored answer that cannot be handed out costs nothing.
        with monkeypatch.context() as broken, pytest.raises(EngineError) as caught:
            broken.setattr("dpquery.record.unpack", stopped)
            asked.sql(COUNTS).run(epsilon=0.25)
        assert caught.value.spent == 0.0


@pytest.mark.parametrize(
    ("line", "where", "shown"),
    [
        ("a\tb", Span(1, 3, 4), ["  1 | a b", "    |   ^"]),
        ("x'\x1b[2J' b", Span(1, 9, 10), ["  1 | x'?[2J' b", "    |         ^"]),
        ("'東京' b", Span(1, 6, 7), ["  1 | '東京' b", "    |        ^"]),
        ("a\x0bb\u2028c", Span(1, 5, 6), ["  1 | a?b?c", "    |     ^"]),
        ("b", Span(1, 2, 2), ["  1 | b", "    |  ^"]),
        (
            "a" * 100 + "B" + "c" * 100,
            Span(1, 101, 102),
            ["  1 | ... " + "a" * 40 + "B" + "c" * 79 + " ...", "    |     " + " " * 40 + "^"],
        ),
    ],
)
def test_carets_stand_under_what_they_mean(line: str, where: Span, shown: list[str]) -> None:
    error = QueryRefused("DPQ-101", "why", where=where, source=line)
    assert str(error).splitlines()[2:4] == shown


def test_the_second_line_is_the_second_line() -> None:
    error = QueryRefused("DPQ-101", "why", where=Span(2, 1, 4), source="one\x0cpage\ntwo three")
    assert "  2 | two three\n    | ^^^\n" in str(error)
    assert error.code in CATALOGUE
