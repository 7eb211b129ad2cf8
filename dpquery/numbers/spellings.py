"""How a canonical number may stand in a file: for a scan that proves that none of them stands in the store."""

from __future__ import annotations

from typing import Final

from phonenumbers import PhoneNumber, PhoneNumberFormat, format_number, format_out_of_country_calling_number, parse

from dpquery.numbers.plans import calling_code, supported

_FORMATS: Final = (PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.RFC3966)


def spellings(canonical: str, default_region: str | None) -> tuple[str, ...]:
    """Common spellings of `canonical`, which comes first; no two are equal.

    National forms are given where the number belongs to the calling code of `default_region`. Each spelling of a valid
    number reads back as `canonical` there, with two exceptions, which are in the list since files have them: digits
    alone may be no number, or another valid one (canonical.py, rule 4), and so may "00" where it is not dialled.
    What is not an E.164 number ("GB:112", "alpha:MYBANK", "opaque:17") has itself and the token after the colon.
    """
    if not canonical.startswith("+"):
        token = canonical.partition(":")[2]
        return (canonical, token) if token else (canonical,)
    number = parse(canonical)
    region = supported(default_region)
    found = [canonical, canonical[1:], f"00{canonical[1:]}", *_international(number)]
    if region is not None:
        found += _from(number, region)
    return tuple(dict.fromkeys(found))


def _international(number: PhoneNumber) -> list[str]:
    spaced, rfc3966 = (format_number(number, form) for form in _FORMATS)
    return [spaced, spaced.replace(" ", "-"), spaced.replace(" ", "."), spaced.replace("+", "00", 1), rfc3966]


def _from(number: PhoneNumber, region: str) -> list[str]:
    """Spellings as dialled in `region`: national at home, with that region's prefix abroad."""
    if str(number.country_code) != calling_code(region):
        abroad = format_out_of_country_calling_number(number, region)
        return [abroad, _compact(abroad)]
    national = format_number(number, PhoneNumberFormat.NATIONAL)
    significant = format_number(number, PhoneNumberFormat.E164).removeprefix(f"+{number.country_code}")
    return [national, _compact(national), national.replace(" ", "-"), significant]


def _compact(spelling: str) -> str:
    return "".join(sign for sign in spelling if sign.isdigit() or sign == "+")
