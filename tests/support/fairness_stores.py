"""Stores for the fairness report: three regions, one of few numbers, and two age bands that are treated differently."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from planning import POLICY

if TYPE_CHECKING:
    from stores import MadeStore

ORG = "020 7946 0000"
LONDON, MANCHESTER, GLASGOW = 1500, 900, 60
"""Numbers of each region: the last is the minority."""

REPORT = """
[report]
purpose = "duties"
fairness_groups = ["callee_region", "subscribers.age_band"]
[report.outcomes.contact]
table = "calls"
where = "direction = 'outbound'"
rate = "answered"
number = "callee"
[report.outcomes.attempts]
table = "calls"
where = "direction = 'outbound'"
number = "callee"
groups = ["subscribers.age_band"]
bounds = [0, 8]
[report.outcomes.talk]
table = "calls"
where = "direction = 'outbound'"
mean = "talk_s"
number = "callee"
groups = ["subscribers.age_band"]
"""


def with_report(policy: str = POLICY) -> str:
    """The small policy with a steward who asks, a third region, and outcomes."""
    text = policy.replace('"GB-MAN" = ["+44161"]', '"GB-MAN" = ["+44161"]\n"GB-GLG" = ["+44141"]')
    duties = (
        '[purposes.duties]\ntext = "Check."\nnotice = "v1"\nregime = "duty"\nsensitive = ["subscribers.age_band"]\n\n'
        '[analysts.steward]\npurposes = ["duties"]\n[analysts.ana]'
    )
    text = text.replace("[analysts.ana]", duties, 1)
    return text.replace("ben = { epsilon", "steward = { epsilon = 10.0, delta = 1e-6 }, ben = { epsilon") + REPORT


def numbers() -> list[str]:
    london = [f"+4420794{i:05}" for i in range(1, LONDON + 1)]
    return [
        *london,
        *(f"+44161496{i:04}" for i in range(MANCHESTER)),
        *(f"+44141496{i:04}" for i in range(GLASGOW)),
    ]


def is_old(place: int) -> bool:
    return place % 3 == 0


def calls() -> pd.DataFrame:
    """Four calls to each number. Of the young two are answered, of the old one; regions are alike."""
    return pd.DataFrame(
        [
            {
                "caller": ORG,
                "callee": number,
                "start_ts": f"2026-01-{1 + (place + call) % 28:02}T10:{call:02}:00Z",
                "service": "voice",
                "direction": "outbound",
                "talk_s": 30,
                "score": 0,
                "cost": 1.0,
                "cell_id": "C1",
                "answered": call < (1 if is_old(place) else 2),
                "free_text": "x",
                "agent_id": "a1",
            }
            for place, number in enumerate(numbers())
            for call in range(4)
        ]
    )


def people() -> pd.DataFrame:
    bands = ["old" if is_old(place) else "young" for place in range(len(numbers()))]
    return pd.DataFrame({"number": numbers(), "age_band": bands})


def charges(made: MadeStore) -> int:
    """Charges in the ledger."""
    return made.steward.report().document.use.charges
