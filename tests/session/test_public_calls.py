"""Whatever a public call is given, it answers, or raises an error of ours that is no bug."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores import MadeStore, generous, made_up_calls, make_store

import dpquery
from dpquery.cli.main import main
from dpquery.errors import DpqueryError, InternalError
from dpquery.release import Release
from dpquery.session import Query, Session

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")  # of the session, in a failure

ZONED = datetime(2026, 1, 5, tzinfo=timezone(timedelta(hours=2)))

numbers = st.one_of(
    st.sampled_from([0, -1, 1, 2, 10**400, -(10**400), 2**63, True, 0.5, -0.0, 1e308, 1e-320, 1e-9]),
    st.sampled_from([float("nan"), float("inf"), -float("inf"), Decimal("0.5"), Decimal("NaN"), Decimal("sNaN")]),
    st.sampled_from([Fraction(1, 3), 1j, np.float64(0.5), np.int64(3), np.bool_(True), np.datetime64("2026-01-05")]),
    st.integers(),
    st.floats(),
)
texts = st.one_of(
    st.sampled_from(["", " ", "calls", "talk_s", "n", "x", "ana", "network_planning", "service", "a0", "caller", "*"]),
    st.sampled_from(["\x00", "\ud800", "é", "0.5", "a" * 5000, "'", '"', "--", "1", "$p", "/", "..", "~", "CON"]),
    st.text(max_size=8),
)
others = st.sampled_from(
    [None, b"calls", object(), (), [], {}, set(), (0, 1), [1, 2], {"a": 1}, {1: 2}, int, print, Path(), iter(()), ...,
     date(2026, 1, 5), datetime(2026, 1, 5), ZONED, timedelta(1), pd.Timestamp("2026-01-05"), pd.NaT, pd.NA,
     np.array([1, 2]), np.array(["x"]), pd.DataFrame({"a": [1]}), NotImplemented, range(3), slice(1), bytearray(b"x"),
     ValueError("x")]
)  # fmt: skip
# Deferred, so that they are short where they are printed.
anything = st.deferred(lambda: st.one_of(numbers, texts, others))
values = st.deferred(
    lambda: st.one_of(anything, st.lists(anything, max_size=3), st.dictionaries(texts, anything, max_size=3))
)
# Errors far beyond any count are found by seconds of bisection.
errors = values.filter(lambda value: not (isinstance(value, float | int) and value > 1e4))
params = st.dictionaries(st.one_of(texts, st.sampled_from(["p", "q"]), st.integers()), anything, max_size=2)
COLUMNS = ("service", "talk_s", "cost", "day", "start_ts", "answered", "free_text", "caller")
columns = st.dictionaries(st.one_of(st.sampled_from(COLUMNS), texts), values, max_size=2)
pairs = st.one_of(st.tuples(anything, anything), values)
bounds = st.dictionaries(st.sampled_from(["max_rows", "max_groups", "max_rows_per_group"]), values, max_size=3)

quick = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True, slots=True)
class Doors:
    """What calls start from."""

    made: MadeStore = field(repr=False)
    session: Session = field(repr=False)
    query: Query = field(repr=False)
    release: Release = field(repr=False)
    folder: Path


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    folder = tmp_path_factory.mktemp("calls")
    made = make_store(folder, generous(), made_up_calls(100))
    with made.connect() as session:
        query = session.sql("SELECT service, COUNT(*) AS n, SUM(talk_s) AS s FROM calls GROUP BY service")
        yield Doors(made, session, query, query.run(0.5), folder)


def assert_ours(call: Callable[[], object]) -> None:
    """The call answers, or raises an error of ours; what it answers can be shown."""
    try:
        repr(call())
    except DpqueryError as error:
        refused = error
    else:
        return
    assert not isinstance(refused, InternalError), refused
    assert refused.fix
    assert str(refused)


CALLS: dict[str, Callable[[Doors, Callable[..., Any]], object]] = {
    # each draws what it is given
    "connect": lambda d, draw: dpquery.connect(
        draw(st.one_of(values, st.just(d.made.folder))), analyst=draw(values), purpose=draw(values)
    ),
    "connect as": lambda d, draw: dpquery.connect(d.made.folder, analyst="ana", purpose=draw(values)),
    "steward": lambda _, draw: dpquery.steward(draw(values)),
    "init": lambda d, draw: dpquery.init(
        draw(st.one_of(values, st.just(d.folder / "policy.toml"), st.just(d.folder / "no" / "such"))),
        policy=draw(st.one_of(values, st.just(d.folder / "policy.toml"))),
    ),
    "sql": lambda d, draw: d.session.sql(draw(values)),
    "params": lambda d, draw: d.session.sql(
        "SELECT COUNT(*) FROM calls WHERE service = :p OR talk_s > :q", params=draw(st.one_of(params, values))
    ),
    "params of a kind": lambda d, draw: d.session.sql(
        draw(st.sampled_from([f"SELECT COUNT(*) FROM calls WHERE {c} = :p" for c in COLUMNS])),
        params={"p": draw(values)},
    ).preview(),
    "table": lambda d, draw: d.session.table(draw(values)).query(),
    "where": lambda d, draw: d.session.table("calls").where(draw(values), **draw(columns)).count().query(),
    "equals": lambda d, draw: d.session.table("calls").where(**{draw(st.sampled_from(COLUMNS)): draw(values)}).query(),
    "group_by": lambda d, draw: d.session.table("calls").group_by(draw(values), draw(values)).count().query(),
    "count": lambda d, draw: d.session.table("calls").count(draw(values), name=draw(values)).query(),
    "count_distinct": lambda d, draw: d.session.table("calls").count_distinct(draw(values)).query(),
    "sum": lambda d, draw: d.session.table("calls").sum(draw(values), name=draw(values)).query(),
    "per_row": lambda d, draw: d.session.table("calls").sum("talk_s", per_row=draw(pairs)).query(),
    "per_group": lambda d, draw: d.session.table("legs").sum("talk_s", per_group=draw(pairs)).query(),
    "avg": lambda d, draw: d.session.table("calls").avg(draw(texts), per_row=draw(pairs)).query(),
    "bounded": lambda d, draw: d.session.table("calls").bounded(**draw(bounds)).query().preview(),
    "preview": lambda d, draw: d.query.preview(draw(values)),
    "run": lambda d, draw: d.query.run(draw(values), request_id=draw(values)),
    "run again": lambda d, draw: d.query.run(0.5, request_id=draw(values)),
    "within": lambda d, draw: d.query.run(within=draw(errors), fresh=draw(values)),
    "interval": lambda d, draw: d.release.interval(draw(values)),
    "ratio": lambda d, draw: d.release.ratio(draw(values), draw(st.one_of(values, st.just("n"))), name=draw(values)),
    "combine": lambda d, draw: d.release.combine(draw(st.one_of(values, st.just(d.release))), draw(values)),
    "plot": lambda d, draw: d.release.plot(draw(values), title=draw(values)),
    "save": lambda d, draw: d.release.save(draw(values), overwrite=draw(values)),
    "save in": lambda d, draw: d.release.save(
        d.folder / draw(texts.filter(lambda text: "/" not in text)) / f"{draw(texts)}.csv"
    ),
    "ingest": lambda d, draw: d.made.steward.ingest(draw(values), table=draw(st.one_of(values, st.just("calls")))),
    "ingest with": lambda d, draw: d.made.steward.ingest(
        made_up_calls(2), table="calls", period=draw(st.one_of(values, pairs)), region=draw(values)
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_public_call_answers_or_raises_an_error_of_ours(
    name: str, doors: Doors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where odd names of files go

    @settings(quick, max_examples=40 if "within" in name else 120)
    @given(st.data())
    def attempt(data: st.DataObject) -> None:
        assert_ours(lambda: CALLS[name](doors, data.draw))

    attempt()


# --- what the ledger must never be asked for ------------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [-1, 0, float("inf"), float("nan"), 1e308, 1e-320, "1e-3; DROP", True, int])
def test_no_odd_epsilon_is_charged(epsilon: Any, doors: Doors) -> None:
    before = doors.session.budget()
    with pytest.raises(DpqueryError):
        doors.query.run(epsilon, fresh=True)
    assert doors.session.budget() == before


# --- the command line -----------------------------------------------------------------------------------------------

WORDS = st.one_of(
    st.sampled_from(["query", "tables", "budget", "explain", "policy", "check", "schema", "init", "ingest", "-h"]),
    st.sampled_from(["--analyst", "--purpose", "--epsilon", "--within", "--param", "--json", "--csv", "--dry-run"]),
    st.sampled_from(["--fresh", "--request-id", "--fail-at", "--table", "--period", "--region", "--policy", "--file"]),
    st.sampled_from(["ana", "network_planning", "calls", "p=1", "p='x'", "80%", "2026-01-01..2026-01-02", "DPQ-105"]),
    st.sampled_from(["SELECT COUNT(*) FROM calls", "SELECT COUNT(*) FROM calls WHERE talk_s > :p", "STORE", "-"]),
    st.sampled_from(["nan", "inf", "-1", "0", "1e400", "0.5", "--version", "--key-file"]),
    texts.filter(lambda text: "\x00" not in text and text.isprintable()),
)
ASK = ["query", "STORE", "--analyst", "ana", "--purpose", "network_planning"]


@settings(quick, max_examples=200)
@given(words=st.lists(WORDS, max_size=4), asks=st.booleans())
def test_a_command_ends_with_a_status_that_is_no_bug(
    words: list[str], asks: bool, doors: Doors, tmp_path_factory: pytest.TempPathFactory
) -> None:
    said = [str(doors.made.folder) if word == "STORE" else word for word in [*(ASK if asks else []), *words]]
    errors = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()), redirect_stderr(errors):
        patch.chdir(tmp_path_factory.mktemp("commands"))
        patch.setattr(sys, "argv", ["dpquery", *said])
        patch.setattr(sys, "stdin", io.StringIO("SELECT 1"))
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code in {0, 2, 3, 4, 5, 6}, (said, errors.getvalue())
    assert "internal error" not in errors.getvalue()
