"""What a session and the text of a query say about price and intervals, beside what `run` and `preview` are given."""

from __future__ import annotations

from dataclasses import dataclass, field

from dpquery.errors import UsageError
from dpquery.postprocessing.intervals import CONFIDENCE


@dataclass(frozen=True, slots=True)
class Settings:
    """What SET has set in a session; nothing of it is kept on disk. The purpose is the session's own."""

    epsilon: float | None = None
    """Price of queries that name none; None: the policy's default."""
    within: float | None = None
    """Instead: the reach that intervals are to have."""
    confidence: float = CONFIDENCE


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for one query: its OPTIONS, and the settings of the session at the time it was asked."""

    epsilon: float | None = None
    within: float | None = None
    delta: float | None = None
    confidence: float = CONFIDENCE
    settings: Settings = field(default_factory=Settings)
    laplace: bool = False
    """Whether groups are to be selected by Laplace noise."""

    @property
    def names_price(self) -> bool:
        """Whether the query or the session says what it is to cost."""
        named = (self.epsilon, self.within, self.settings.epsilon, self.settings.within)
        return any(value is not None for value in named)

    def price(self, epsilon: float | None, within: float | None) -> tuple[float | None, float | None]:
        """The epsilon, or the reach, that holds: of the call, of OPTIONS, of the session; both None for the default.

        UsageError if a call and OPTIONS differ, or a call names both.
        """
        if within is not None and epsilon is not None:
            raise UsageError("DPQ-002", "give epsilon or within, not both", fix="leave one out")
        if self.epsilon is not None or self.within is not None:
            if epsilon not in {None, self.epsilon} or within not in {None, self.within}:
                option = f"epsilon = {self.epsilon:g}" if self.within is None else f"target_error = {self.within:g}"
                given = f"epsilon = {epsilon:g}" if within is None else f"within = {within:g}"
                raise UsageError("DPQ-002", f"OPTIONS say {option}, and the call {given}", fix="leave one of them out")
            return self.epsilon, self.within
        if epsilon is None and within is None:
            return self.settings.epsilon, self.settings.within
        return epsilon, within
