"""Amounts are integers from the plan to the ledger: no float is near them, and no way leads past the cap of a query."""

from __future__ import annotations

import ast
import json
import math
import os
import re
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ledgers import fresh_place, newest_stored, pure_grants
from planning import POLICY
from stores import MadeStore, made_up_calls, make_store

import dpquery
from dpquery.accounting import NANO, PICO, Loss
from dpquery.errors import BudgetRefused, DpqueryError
from dpquery.ledger import ChargeRequest, Scope
from dpquery.ledger.bodies import ChargeBody, decode
from dpquery.noise.conversion import rho_within

ROOT = Path(dpquery.__file__).parent
EXACT_DIVISIONS = {("cap.py", "split_delta"): 2, ("loss.py", "pure"): 1}
"""Of Fractions, by file and function."""
MOST = 2.0
"""The policy's epsilon_max."""
SQL = "SELECT COUNT(*) FROM calls"


def inexact(source: str, file: str) -> tuple[list[str], Counter[tuple[str, str]]]:
    """Float literals and conversions, and true divisions by the function they are in."""
    floats: list[str] = []
    divisions: Counter[tuple[str, str]] = Counter()

    def walk(node: ast.AST, function: str) -> None:
        name = node.name if isinstance(node, ast.FunctionDef) else function
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            floats.append(f"{file}:{node.lineno} {node.value}")
        if isinstance(node, ast.Name) and node.id in {"float", "sum_of_floats", "round"}:
            floats.append(f"{file}:{node.lineno} {node.id}")
        if isinstance(node, ast.Attribute) and node.attr in {"fsum", "sqrt", "log", "exp", "pow"}:
            floats.append(f"{file}:{node.lineno} {node.attr}")
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            divisions[file, name] += 1
        for child in ast.iter_child_nodes(node):
            walk(child, name)

    walk(ast.parse(source), "")
    return floats, divisions


def test_no_float_is_near_the_ledger() -> None:
    found: Counter[tuple[str, str]] = Counter()
    for path in [*(ROOT / "ledger").glob("*.py"), *(ROOT / "accounting").glob("*.py")]:
        floats, divisions = inexact(path.read_text(), path.name)
        assert floats == []
        found += divisions
    assert found == EXACT_DIVISIONS


def test_floats_and_divisions_are_noticed() -> None:
    floats, divisions = inexact("def f(a):\n    a /= 3\n    return float(a) * 0.5 + math.sqrt(a)", "x.py")
    assert len(floats) == 3
    assert divisions == {("x.py", "f"): 1}


def test_every_number_in_a_ledger_is_a_whole_one(tmp_path: Path) -> None:
    pairs = ((Scope("dataset"), "a"), (Scope("analyst", "ana"), "a"))
    asked = ChargeRequest("one", "q", "ana", "p", pairs, Loss.of(1, rho=None), {"cells": 3})
    with fresh_place(tmp_path).create(pure_grants(10 * NANO, "ana")) as ledger:
        ledger.record(ledger.charge(asked), b"answer")
        found = newest_stored(ledger, "q")
        assert found is not None
        ledger.adopt(asked, found)
        with pytest.raises(BudgetRefused):
            ledger.charge(ChargeRequest(None, "q2", "ana", "p", pairs, Loss.of(100)))
        for entry in ledger.entries():
            json.loads(entry.body, parse_float=lambda text: pytest.fail(f"a float: {text}"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    generous = re.sub(r"epsilon = \d+\.0", "epsilon = 1000.0", POLICY)
    return make_store(tmp_path_factory.mktemp("cap"), generous, made_up_calls(50))


BEYOND = [math.nextafter(MOST, math.inf), 2.000001, 50.0, 1e300, math.inf, math.nan, -1.0]


@pytest.mark.parametrize("epsilon", BEYOND)
def test_no_argument_passes_the_cap_of_a_query(made: MadeStore, epsilon: float) -> None:
    """Neither of the call, nor in the text, nor of the session; none of them leaves a charge."""
    options = f"SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (epsilon = {epsilon!r}) COUNT(*) FROM calls"
    with made.connect() as session:
        head = session.ledger.head()
        ways: list[Any] = [
            lambda: session.sql(SQL).run(epsilon=epsilon),
            lambda: session.sql(SQL).run(epsilon=epsilon, fresh=True, request_id="x"),
            lambda: session.sql(options).run(),
            lambda: session.table("calls").count().query().run(epsilon=epsilon),
            lambda: session.sql(f"SET dp.epsilon = {epsilon!r}"),
        ]
        for way in ways:
            with pytest.raises(DpqueryError):
                way()
        assert session.ledger.head() == head


def test_an_error_to_reach_does_not_pass_the_cap_of_a_query(made: MadeStore) -> None:
    with made.connect() as session:
        for within in (1e-9, 0.5, 3.0, 10.0, 1000.0):
            with suppress(BudgetRefused):
                session.sql(SQL).run(within=within, fresh=True)
        session.sql(SQL).run(epsilon=MOST, fresh=True)
        losses = [body.loss for body in map(decode, session.ledger.entries()) if isinstance(body, ChargeBody)]
    assert losses
    most_rho = math.floor(rho_within(MOST, 1e-6) * PICO)
    for loss in losses:
        assert (loss.epsilon or 0) <= MOST * NANO
        assert loss.epsilon is not None or (loss.rho or 0) <= most_rho


def test_no_environment_passes_the_cap_of_a_query(made: MadeStore) -> None:
    """Nothing that prices or charges reads the environment; a variable that sounds as if it did changes nothing."""
    for path in ROOT.rglob("*.py"):
        if "os.environ" in path.read_text() or "getenv" in path.read_text():
            assert path.parent.name == "tools", path
    words = ["query", str(made.folder), SQL, "--analyst", "ana", "--purpose", "network_planning", "--epsilon", "2.5"]
    raised = dict.fromkeys(("DPQUERY_EPSILON_MAX", "DPQUERY_LIMITS_EPSILON_MAX", "EPSILON_MAX"), "1e6")
    done = subprocess.run(
        [sys.executable, "-m", "dpquery", *words], env={**os.environ, **raised}, capture_output=True, check=False
    )
    assert done.returncode == 4
    assert done.stdout == b""
