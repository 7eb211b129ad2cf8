"""The five questions of the demo, with the loss each spends."""

from __future__ import annotations

from dataclasses import dataclass

ANALYST = "ana"
PURPOSE = "network_planning"


@dataclass(frozen=True, slots=True)
class Question:
    """One question in words and in SQL, and the epsilon that is spent on it."""

    words: str
    sql: str
    epsilon: float


QUESTIONS: tuple[Question, ...] = (
    Question(
        "How busy is the network through the day?",
        "SELECT local_hour, COUNT(*) AS calls FROM calls GROUP BY local_hour",
        0.5,
    ),
    Question(
        "Which regions do calls come from?",
        "SELECT caller_region, COUNT(*) AS calls FROM calls GROUP BY caller_region ORDER BY calls DESC",
        0.8,
    ),
    Question(
        "How long does an answered call last?",
        "SELECT COUNT(*) AS calls, AVG(talk_s) AS seconds FROM calls "
        "WHERE disposition = 'answered' AND service = 'voice'",
        0.5,
    ),
    Question(
        "How long do callers wait in each queue before somebody answers?",
        "SELECT queue, COUNT(wait_s) AS calls, AVG(wait_s, contribution_bounds_per_row => (0, 120)) AS wait "
        "FROM calls WHERE direction = 'inbound' AND disposition = 'answered' AND queue IS NOT NULL GROUP BY queue",
        0.6,
    ),
    Question(
        "How many people did each campaign reach?",
        "SELECT campaign_id, COUNT(*) AS attempts, COUNT(DISTINCT callee) AS people, "
        "AVG(CASE WHEN disposition = 'answered' THEN 1 ELSE 0 END) AS answered "
        "FROM calls WHERE direction = 'outbound' AND campaign_id IS NOT NULL GROUP BY campaign_id",
        0.8,
    ),
)
"""Together 3.2, less than a third of what `ana` may spend in each month."""
