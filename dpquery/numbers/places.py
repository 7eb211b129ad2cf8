"""Where a number is from: country, region, time zone; and every value that these can take.

Nothing here is where a person is: a number tells where it was given out.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    SUPPORTED_REGIONS,
    PhoneNumberType,
    country_mobile_token,
    is_number_type_geographical,
)

from dpquery.errors import PolicyError
from dpquery.numbers.number import OTHER
from dpquery.numbers.plans import Reading, calling_code, classify, code_of, main_plan, plan_of, supported

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dpquery.numbers.scheme import NumberScheme

_GEOGRAPHIC_TYPES: Final = {
    "fixed_line": PhoneNumberType.FIXED_LINE,
    "fixed_line_or_mobile": PhoneNumberType.FIXED_LINE_OR_MOBILE,
    "mobile": PhoneNumberType.MOBILE,
}
_UNKNOWN_ZONE: Final = "Etc/Unknown"

REGION_DIGITS_LEFT: Final = 3
"""So many digits a declared region leaves open at least: it stands for a thousand numbers or more."""


def region_domain(scheme: NumberScheme, default_region: str | None) -> tuple[str, ...]:
    """Every region a number of `scheme` can have: the declared names in order, then "other".

    Without declared regions: the areas of the home country ("GB London"), sorted, then "other". The home country is
    `scheme.home_region`, or else `default_region`. All numbers abroad are "other". Opaque tokens are all "other".
    """
    if scheme.format == "opaque":
        return (OTHER,)
    if scheme.regions:
        return (*(name for name, _ in scheme.regions), OTHER)
    home = supported(scheme.home_region or default_region)
    return (OTHER,) if home is None else (*sorted(_areas(home)), OTHER)


def country_domain(scheme: NumberScheme) -> tuple[str, ...]:
    """Every country a number of `scheme` can have, in declared or alphabetical order, then "other"."""
    if scheme.format == "opaque":
        return (OTHER,)
    return (*(scheme.countries or sorted(SUPPORTED_REGIONS)), OTHER)


def country_of(scheme: NumberScheme, region: str | None) -> str:
    """Country of a number that the numbering plans place in `region`; numbers of no country (+800) are "other"."""
    return scheme.declared_country(region if region in SUPPORTED_REGIONS else None)


def region_of(
    scheme: NumberScheme, default_region: str | None, reading: Reading, country: str | None, line_type: str
) -> str:
    """Region of a number; "other" where only its country is known."""
    if scheme.regions:
        return scheme.declared_region(reading.e164)
    home = supported(scheme.home_region or default_region)
    if home is None or country != home or not _is_geographic(line_type, reading.code):
        return OTHER
    region = f"{home} {_area(reading)}"
    return region if region in _areas(home) else OTHER


def time_zones_of(reading: Reading, line_type: str) -> tuple[str, ...]:
    """Time zones that a number may be in, as the library lists them; none if it is not valid or they are not known.

    They are listed by name, so the first is a convention, not a likelihood: a Spanish mobile number is in
    "Atlantic/Canary" or in "Europe/Madrid". The same number always gets the same zones.
    """
    if line_type == "unknown":
        return ()
    zones = _zones()
    digits = reading.code + reading.national if _is_geographic(line_type, reading.code) else reading.code
    for length in range(min(len(digits), _zone_prefix_length_max()), 0, -1):
        found = zones.get(digits[:length])
        if found is not None:
            return () if _UNKNOWN_ZONE in found else found
    return ()


def check_regions(regions: Mapping[str, Iterable[str]]) -> None:
    """PolicyError for a declared region so fine that it stands for few numbers, or for one: a place is not a name."""
    for name, prefixes in regions.items():
        for prefix in prefixes:
            code = code_of(prefix)
            if code is None:
                continue
            left = max(main_plan(code).general.lengths) + 1 + len(code) - len(prefix)
            if left < REGION_DIGITS_LEFT:
                raise PolicyError(
                    "DPQ-302",
                    f"numbers.regions.{name}: {len(prefix) - 1} digits stand for fewer than a thousand numbers",
                    fix=f"leave at least {REGION_DIGITS_LEFT} digits off the longest numbers that begin so",
                )


@cache
def _is_geographic(line_type: str, code: str) -> bool:
    number_type = _GEOGRAPHIC_TYPES.get(line_type)
    return number_type is not None and is_number_type_geographical(number_type, int(code))


@cache
def _zones() -> dict[str, tuple[str, ...]]:
    from phonenumbers.tzdata import TIMEZONE_DATA

    return TIMEZONE_DATA


@cache
def _zone_prefix_length_max() -> int:
    return max(map(len, _zones()))


@cache
def _area_names() -> dict[str, dict[str, str]]:
    from phonenumbers.geodata import GEOCODE_DATA

    return GEOCODE_DATA


@cache
def _area_prefix_length_max() -> int:
    return max(map(len, _area_names()))


def _area(reading: Reading) -> str:
    """English name of the area with the longest prefix of the number; empty if there is none."""
    names = _area_names()
    # A mobile number of Argentina has a 9 before its area code.
    national = reading.national.removeprefix(country_mobile_token(int(reading.code)))
    digits = reading.code + national
    for length in range(min(len(digits), _area_prefix_length_max()), 0, -1):
        name = names.get(digits[:length], {}).get("en")
        if name is not None:
            return name
    return ""


@cache
def _areas(home: str) -> frozenset[str]:
    """Names, with the country before them, of the areas of `home` that are not the whole country."""
    code = calling_code(home)
    shared = len(COUNTRY_CODE_TO_REGION_CODE[int(code)]) > 1
    found: set[str] = set()
    for prefix, languages in _area_names().items():
        name = languages.get("en")
        if name and name not in found and prefix.startswith(code) and (not shared or _can_be_in(home, code, prefix)):
            found.add(name)
    return frozenset(f"{home} {name}" for name in found - {_country_name(home)})


def _can_be_in(home: str, code: str, prefix: str) -> bool:
    """Whether some number with `prefix` is in `home`, where several countries share a calling code."""
    start = prefix.removeprefix(code)
    return any(
        classify(Reading(code, start.ljust(length, fill)))[0] == home
        for length in plan_of(home).general.lengths
        for fill in "234567890"
    )


def _country_name(home: str) -> str:
    from phonenumbers.geodata.locale import LOCALE_DATA

    names = LOCALE_DATA.get(home, {})
    name = names.get("en", "")
    return names.get(name[1:], "") if name.startswith("*") else name  # "*fr": as in French
