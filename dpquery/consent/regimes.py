"""What silence means for a purpose, under the law of each number's country: dated rules, which are data."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from dpquery.policy.model import Purpose

EU: Final = "EU"
EU_COUNTRIES: Final = frozenset(
    (
        *("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU"),
        *("IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"),
    )
)


@dataclass(frozen=True, slots=True)
class Rule:
    """From `start` on, silence in `country` (ISO, or EU) about a purpose of this kind is no."""

    country: str
    kind: str
    start: date
    source: str

    def covers(self, country: str) -> bool:
        return country == self.country or (self.country == EU and country in EU_COUNTRIES)


@functools.cache
def rules() -> tuple[Rule, ...]:
    """The rules of `regimes.toml`."""
    raw = tomllib.loads((files("dpquery.consent") / "regimes.toml").read_text(encoding="utf-8"))
    found = []
    for each in raw["rule"]:
        if each["regime"] != "opt-in":
            raise ValueError("a rule makes a purpose opt-in: every other regime is the policy's to choose")
        found.append(Rule(each["country"], each["kind"], each["from"], each["source"]))
    return tuple(found)


def in_force(purpose: Purpose, on: date) -> tuple[Rule, ...]:
    """The rules that bear on the purpose on that day; none on duties, for which nobody is asked."""
    if purpose.is_duty or purpose.kind is None:
        return ()
    return tuple(rule for rule in rules() if rule.kind == purpose.kind and rule.start <= on)


def silence_is_yes(purpose: Purpose, countries: Iterable[str], on: date) -> dict[str, bool]:
    """For each country (ISO), whether the rows of a number of which nothing is known count for the purpose.

    A country that is not told ("other") may be any: the strictest rule counts.
    """
    if purpose.is_duty:
        return dict.fromkeys(countries, True)
    found = in_force(purpose, on)
    return {
        country: purpose.regime == "opt-out"
        and not any(rule.covers(country) for rule in found)
        and not (found and not is_told(country))
        for country in countries
    }


def is_told(country: str) -> bool:
    """Whether it is one country, and not any of those that are not told apart."""
    return len(country) == 2 and country.isupper()
