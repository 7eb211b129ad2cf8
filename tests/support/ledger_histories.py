"""Ledgers with a past: weeks of charges by several analysts, with a clock of their own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from dpquery.accounting import Loss
from dpquery.errors import BudgetRefused
from dpquery.first_grants import cap_of, first_grants
from dpquery.ledger import EACH_BLOCK, ChargeRequest, Grant, Ledger, Scope, make_steward_key
from dpquery.policy import parse_policy

if TYPE_CHECKING:
    from pathlib import Path

    from dpquery.policy import Policy

BEGIN = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)

HISTORY_POLICY = """
schema = 1
dataset = "acme-calls"
version = 3

[numbers]
default_region = "GB"

[tables.calls]
owners = 2
one_owner_when = "direction <> 'p2p'"
parties = { caller = "caller", callee = "callee" }
time = { column = "start_ts" }
period = [2026-01-01, 2026-03-31]
block = "month"
retention_days = 400
[tables.calls.columns]
direction = { type = "text", keys = ["outbound", "inbound", "p2p"] }
agent_id = { type = "text", selectable = false }
[tables.calls.bounds]
ungrouped = { max_rows = 100 }
grouped = { max_rows = 100, max_groups = 12, max_rows_per_group = 25 }
by_key = [{ keys = ["direction"], max_rows_per_group = 60 }]

[tables.subscribers]
owners = 1
parties = { number = "number" }
columns = { age_band = { type = "text", keys = ["18-29", "30+"] } }

[tables.cells]
public = true
key = "cell_id"
columns = { cell_id = { type = "text" } }

[purposes.network_planning]
text = "Plan capacity and coverage."
notice = "v1"
regime = "opt-out"
[purposes.marketing]
text = "Measure and improve campaigns."
notice = "v2"
regime = "opt-in"

[analysts.ana]
purposes = ["network_planning"]
group = "insights"
[analysts.ben]
purposes = ["marketing", "network_planning"]
group = "insights"
[analysts.cleo]
purposes = ["marketing"]

[budgets]
dataset = { epsilon = 30.0, delta = 1e-6 }
groups = { insights = { epsilon = 20.0, delta = 1e-6 } }
purposes = { network_planning = { epsilon = 20.0, delta = 1e-6 }, marketing = { epsilon = 12.0, delta = 1e-6 } }
[budgets.analysts]
ana = { epsilon = 10.0, delta = 1e-6 }
ben = { epsilon = 8.0, delta = 1e-6, ceiling = 16.0 }
cleo = { epsilon = 4.0, delta = 1e-6 }
[limits]
min_people = 15
[report]
curator = "Acme Telecom"
contact = "privacy@acme.example"
region = "United Kingdom"
"""


class History:
    """A ledger whose clock is set by hand."""

    def __init__(self, folder: Path, policy_text: str = HISTORY_POLICY) -> None:
        self.policy: Policy = parse_policy(policy_text)
        self.now = BEGIN
        self.key = folder / "steward.key"
        make_steward_key(self.key)
        self.ledger = Ledger.create(
            folder / "ledger.sqlite",
            dataset=self.policy.dataset,
            steward_key=self.key,
            grants=first_grants(self.policy),
            now=lambda: self.now,
        )
        self._asked = 0

    def ask(
        self,
        analyst: str,
        purpose: str,
        loss: Loss,
        *,
        blocks: tuple[str, ...] = ("2026-01",),
        table: str = "calls",
        question: str | None = None,
        end: str = "released",
    ) -> bool:
        """Charge once, answer it, fail it or leave it open; whether the budgets allowed it."""
        self._asked += 1
        group = self.policy.analysts[analyst].group if analyst in self.policy.analysts else None
        scopes = [Scope("analyst", analyst), Scope("purpose", purpose), Scope("dataset")]
        scopes += [Scope("group", group)] if group else []
        request = ChargeRequest(
            request_id=None,
            question=question or f"question {self._asked}",
            asker=analyst,
            purpose=purpose,
            charges=tuple((scope, block) for scope in scopes for block in blocks),
            loss=loss,
            body={"table": table, "mechanism": "laplace" if loss.epsilon is not None else "gaussian"},
        )
        if group:
            request = replace(request, members=((group, analyst),))
        stored = self.ledger.find_for(request)
        try:
            charged = self.ledger.charge(request) if stored is None else self.ledger.adopt(request, stored)
        except BudgetRefused:
            return False
        if charged.payload is None and end == "released":
            self.ledger.record(charged, b"an answer")
        elif charged.payload is None and end == "failed":
            self.ledger.fail(charged)
        return True

    def grant(self, scope: str, epsilon: float, *, block: str = EACH_BLOCK, reason: str, actor: str = "eva") -> None:
        cap = cap_of(epsilon, 1e-6, thresholds=True)
        self.ledger.grant(Grant(Scope.parse(scope), block, cap, reason, actor), steward_key=self.key)

    def close(self, scope: str, *, block: str = EACH_BLOCK, reason: str, actor: str = "eva") -> None:
        self.ledger.close_scope(Scope.parse(scope), block, reason=reason, actor=actor, steward_key=self.key)


def pure(epsilon: str) -> Loss:
    return Loss.pure(Fraction(epsilon))


def weeks_of_questions(history: History, weeks: int = 9, seed: int = 7) -> History:
    """Three analysts, two purposes, weekends off; repeats, refusals, failures, raises and a close."""
    rng = np.random.default_rng(seed)
    for day in range(7 * weeks):
        if day % 7 < 5:
            for analyst, purpose, rate in (
                ("ana", "network_planning", 1.1),
                ("ben", "marketing", 0.6),
                ("cleo", "marketing", 0.3),
            ):
                for _ in range(rng.poisson(rate)):
                    history.now = BEGIN + timedelta(days=day, minutes=int(rng.integers(0, 480)))
                    month = f"2026-{1 + min(2, int(day / 28 + rng.random())):02}"
                    epsilon = rng.choice(["0.1", "0.2", "0.2", "0.3", "0.5"])
                    loss = pure(str(epsilon))
                    if rng.random() < 0.15:
                        loss = Loss.of(None, Fraction(1, 250))
                    elif rng.random() < 0.1:
                        loss = Loss.of(Fraction(str(epsilon)), Fraction(str(epsilon)) ** 2 / 2, Fraction(1, 10**9))
                    table = "subscribers" if rng.random() < 0.2 else "calls"
                    end = "failed" if rng.random() < 0.03 else "open" if rng.random() < 0.01 else "released"
                    history.ask(analyst, purpose, loss, blocks=(month,), table=table, end=end)
                    if rng.random() < 0.2:
                        fixed = f"{purpose} {month}"
                        history.ask(analyst, purpose, pure("0.2"), blocks=(month,), question=fixed)
                        history.ask(analyst, purpose, pure("0.2"), blocks=(month,), question=fixed)
        history.now = BEGIN + timedelta(days=day, hours=9)
        if day == 20:
            history.ask("cleo", "marketing", pure("9"))
            history.grant("analyst:ben", 12.0, reason="campaign of the spring, approved by the board on 2026-01-20")
        if day == 40:
            history.close(
                "analyst:cleo", block="2026-01", reason="January is closed: its study has ended", actor="omar"
            )
            history.ask("cleo", "marketing", pure("0.1"))
            history.ask("zoe", "marketing", pure("0.1"))
    return history
