"""Rules for calling people, by country and dated: data of `contact_rules.toml`, with its sources."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

if TYPE_CHECKING:
    from datetime import date

Kind = Literal["hours", "frequency", "abandonment", "lists", "refusals"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
ABOUT: Final = ("sales", "collections")
"""Calls that a rule can be about: the names of row tests in the policy."""

WEEK_HOURS: Final = 7 * 24
DAY_NAMES: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Hours:
    """On these weekdays (1 is Monday) from hour `start` on, and no longer from `end` on."""

    days: tuple[int, ...]
    start: int
    end: int

    def __str__(self) -> str:
        whole = self.days == tuple(range(1, 8))
        days = "every day" if whole else ", ".join(DAY_NAMES[day - 1] for day in self.days)
        return f"{days} {self.start}:00 to {self.end}:00"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of one country, in force from `start` to `end`, both days included."""

    jurisdiction: str
    kind: Kind
    start: date
    end: date | None
    source: str
    note: str
    about: tuple[str, ...]
    permitted: tuple[Hours, ...] = ()
    calls: int = 0
    days: int = 0
    per: Literal["campaign", "caller"] = "campaign"
    share: float = 0.0
    age_days: int = 0
    """From how many days after they were told lists and refusals bear at the latest."""

    def is_in_force(self, on: date) -> bool:
        return self.start <= on and (self.end is None or on <= self.end)

    @property
    def runs(self) -> tuple[tuple[int, int], ...]:
        """Permitted hours of the week as runs from the first hour to the one after the last, from Monday's midnight on.

        A run over the end of the week ends past 168.
        """
        return _runs([self._is_permitted(hour) for hour in range(WEEK_HOURS)])

    @property
    def breaches(self) -> tuple[tuple[int, int], ...]:
        """The hours between them, in the same way."""
        return _runs([not self._is_permitted(hour) for hour in range(WEEK_HOURS)])

    def _is_permitted(self, week_hour: int) -> bool:
        day, hour = divmod(week_hour, 24)
        return any(day + 1 in hours.days and hours.start <= hour < hours.end for hours in self.permitted)

    @property
    def text(self) -> str:
        """What it says, in a sentence."""
        calls = f"{' and '.join(self.about)} calls" if self.about else "calls"
        match self.kind:
            case "hours":
                return f"{calls} only {' and '.join(map(str, self.permitted))}, by the clock of who is called"
            case "frequency":
                whose = "a campaign" if self.per == "campaign" else "the caller"
                return f"at most {self.calls} {calls} by {whose} to one number in {self.days} days"
            case "abandonment":
                days = f"{self.days} days" if self.days > 1 else "a day"
                return f"at most {100 * self.share:g} % of answered {calls} abandoned in {days}, per campaign"
            case "lists" | "refusals":
                whom = "numbers on a list" if self.kind == "lists" else "numbers whose owner refused"
                grace = f", from {self.age_days} days after it was told" if self.age_days else ""
                return f"no {calls} to {whom}{grace}"


@functools.cache
def rules() -> tuple[Rule, ...]:
    """Every rule of the file. ValueError if one is not written as the file says."""
    raw = tomllib.loads((files("dpquery.reports") / "contact_rules.toml").read_text(encoding="utf-8"))
    return tuple(_rule(each) for each in raw["rule"])


def jurisdictions() -> tuple[str, ...]:
    """Countries of which there is a rule."""
    return tuple(dict.fromkeys(rule.jurisdiction for rule in rules()))


def in_force(jurisdiction: str, on: date) -> tuple[Rule, ...]:
    """The country's rules that hold on that day."""
    return tuple(rule for rule in rules() if rule.jurisdiction == jurisdiction and rule.is_in_force(on))


def _runs(met: list[bool]) -> tuple[tuple[int, int], ...]:
    """Longest runs of hours that are met, the week taken as a circle."""
    starts = [hour for hour in range(WEEK_HOURS) if met[hour] and not met[hour - 1]]
    found = []
    for start in starts:
        end = start
        while met[end % WEEK_HOURS]:
            end += 1
        found.append((start, end))
    return tuple(found)


def _rule(raw: dict[str, Any]) -> Rule:
    own = dict(raw)
    permitted = tuple(Hours(tuple(one["days"]), one["from"], one["to"]) for one in own.pop("permitted", ()))
    rule = Rule(
        start=own.pop("from"),
        end=own.pop("until", None),
        about=tuple(own.pop("about", ())),
        note=own.pop("note", ""),
        permitted=permitted,
        **own,
    )
    needs = {
        "hours": bool(permitted) and all(1 <= d <= 7 for h in permitted for d in h.days),
        "frequency": rule.calls >= 1 and rule.days >= 1,
        "abandonment": 0 < rule.share < 1 and rule.days >= 1,
        "lists": rule.age_days >= 0,
        "refusals": rule.age_days >= 0,
    }
    known = set(rule.about) <= set(ABOUT) and rule.per in {"campaign", "caller"}
    if not needs[rule.kind] or not known or any(not 0 <= h.start < h.end <= 24 for h in permitted):
        raise ValueError(f"a rule of {rule.jurisdiction} about {rule.kind} is not written as the file says")
    return rule
