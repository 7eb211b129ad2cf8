"""How a dataset's numbers are read: the [numbers] table of a policy, without its lists of numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from dpquery.errors import ensure
from dpquery.numbers.number import OTHER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dpquery.policy import Policy

_PREFIX: Final = re.compile(r"\+[1-9][0-9]{0,14}")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")


@dataclass(frozen=True, slots=True)
class NumberScheme:
    """Format of the numbers, and the regions and countries that are told apart.

    Values come from a checked policy: a bad one here is a bug (InternalError). Hashable and picklable.
    """

    format: Literal["phone", "opaque"] = "phone"
    regions: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(name, E.164 prefixes such as "+4420") in declared order; the longest prefix wins."""
    countries: tuple[str, ...] = ()
    """Countries told apart; the others are "other". Empty: all countries."""
    home_region: str | None = None
    """The policy's own default region. It matters only where no regions are declared: then the areas of this country
    are the regions, also in files with another default region. None: the default region of each call."""
    _region_by_prefix: Mapping[str, str] = field(init=False, repr=False, compare=False)
    _prefix_length_max: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = [name for name, _ in self.regions]
        prefixes = [prefix for _, own in self.regions for prefix in own]
        ensure(self.format in {"phone", "opaque"}, "the format of numbers is phone or opaque")
        ensure(len({*names, OTHER}) == len(names) + 1, "region names differ from each other and from 'other'")
        ensure(len(set(prefixes)) == len(prefixes), "a prefix belongs to one region")
        ensure(all(_PREFIX.fullmatch(prefix) for prefix in prefixes), "a region's prefix is a plus sign and digits")
        ensure(len(set(self.countries)) == len(self.countries), "a country is named once")
        ensure(all(_COUNTRY.fullmatch(country) for country in self.countries), "countries are two capital letters")
        by_prefix = {prefix: name for name, own in self.regions for prefix in own}
        object.__setattr__(self, "_region_by_prefix", by_prefix)
        object.__setattr__(self, "_prefix_length_max", max(map(len, prefixes), default=0))

    def declared_region(self, e164: str) -> str:
        """The declared region of `e164`, by its longest declared prefix, or "other"."""
        for length in range(self._prefix_length_max, 1, -1):
            name = self._region_by_prefix.get(e164[:length])
            if name is not None:
                return name
        return OTHER

    def declared_country(self, country: str | None) -> str:
        """`country` if it is told apart, else "other"."""
        if country is None or (self.countries and country not in self.countries):
            return OTHER
        return country


def scheme_of(policy: Policy) -> NumberScheme:
    """How the policy's numbers are read."""
    numbers = policy.numbers
    return NumberScheme(
        format=numbers.format,
        regions=tuple(numbers.regions.items()),
        countries=numbers.countries,
        home_region=numbers.default_region,
    )
