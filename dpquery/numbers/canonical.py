"""One spelling of a party to its canonical form: a total function, pure, the same on every machine and day.

How a spelling is read, in this order; the first that fits decides.

1.  Nothing, or a mark for nothing ("null", "nan"): Unparsed("empty"). A word for a hidden number: withheld.
2.  `tel:` and `sip:` addresses, labels ("Tel.") and extensions are taken apart; the number is read alone.
3.  Emergency numbers of the default region.
4.  A valid number, as the library reads it in the default region. Without a plus sign and of another country
    ("34688886392" in GB) it is not guessed: the same digits may be a number at home. In a few countries even a home
    number without plus is a valid national one as well (Indonesia: "62218350123"); the library's reading stands.
5.  A valid short number of the default region.
6.  A valid number, read as international: behind "00" and more zeros (FreeSWITCH writes them) where the default
    region dials another prefix or none is known, and behind the home country's own calling code without a plus sign.
7.  A possible number: of a length that the numbering plan uses, with or without area code. Local numbers of 4 to 6
    digits stay protected numbers, as somebody may own them.
8.  A possible number, read as international behind exactly two zeros.
9.  Three to six digits: a short code the plans do not know. "*72": a feature code.
10. A sender name: letters where a number would be, unless they spell a valid number ("1800FLOWERS").

Identity may only be lost by merging, not by splitting: a number under two canonical forms would cost twice.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from dpquery.numbers import tokens
from dpquery.numbers.number import KINDS, LINE_TYPES, OTHER, REASONS, Kind, Number, Reason, Unparsed
from dpquery.numbers.places import country_of, region_of, time_zones_of
from dpquery.numbers.plans import Reading, calling_code, classify, main_plan, read, read_text, short_plan_of, supported
from dpquery.numbers.scheme import NumberScheme

__all__ = ["KINDS", "LENGTH_MAX", "LINE_TYPES", "REASONS", "Number", "NumberScheme", "Unparsed", "canonicalise"]

LENGTH_MAX: Final = 256
"""Longest spelling that is read, in characters."""

_EMERGENCY_DIGITS_MAX: Final = 6
_SHORT_CODE_DIGITS: Final = range(3, 7)
_NAME_DIGITS_MAX: Final = 6
"""A word with more digits than these may be a label and a number."""
_WITHHELD: Final = Number("withheld", "withheld", True, False, OTHER, OTHER, "withheld", ())


def canonicalise(raw: str, default_region: str | None, scheme: NumberScheme) -> Number | Unparsed:
    """What `raw` names, read as dialled in `default_region` (ISO 3166-1; None or an unknown one: no region).

    Never raises, for any text. For kind "number", `canonicalise(number.canonical, ...)` gives an equal number but for
    `extension`.
    """
    if len(raw) > LENGTH_MAX:
        return Unparsed("too_long")
    if scheme.format == "opaque":
        return _opaque(raw)
    region = supported(default_region)
    digits = tokens.dialled_digits(raw)
    if digits is not None and ".0" not in raw:  # "447700900123.0" is a float, not a longer number
        return _Reader(region, scheme).dialled(digits)
    return _Reader(region, scheme).text(raw)


class _Reader:
    """The default region and scheme of one call, and the steps that need them."""

    __slots__ = ("region", "scheme")

    def __init__(self, region: str | None, scheme: NumberScheme) -> None:
        self.region = region
        self.scheme = scheme

    def text(self, raw: str) -> Number | Unparsed:
        """Steps 1, 2, 9 and 10: what is not digits and punctuation alone."""
        text = tokens.cleaned(raw)
        if tokens.is_missing(text):
            return Unparsed("empty")
        party = tokens.party(text)
        if tokens.is_withheld(text) or tokens.is_withheld(party.text):
            return _WITHHELD
        digits = tokens.dialled_digits(party.text)
        if party.internal:
            return self.valid_only(party.text, digits, extension=party.extension)
        if digits is not None:
            return self.dialled(digits, extension=party.extension)
        main = tokens.without_extension(party.text)
        main_digits = None if main is None else tokens.dialled_digits(main)
        if main_digits is not None:
            return self.dialled(main_digits, extension=True)
        if party.text[:1] in ("*", "#"):
            return self.feature(party.text)
        return self.letters(party.text)

    def dialled(self, digits: str, *, extension: bool = False) -> Number | Unparsed:
        """Steps 3 to 9: digits, perhaps after a plus sign."""
        local = digits[0] != "+"
        short = short_plan_of(self.region) if local and self.region is not None else None
        if short is not None and len(digits) <= _EMERGENCY_DIGITS_MAX and short.kind(digits) == "emergency":
            return self.service("emergency", digits, extension=extension)
        reading: Reading | Reason = read(digits, self.region) if self.region or not local else "no_region"
        place, line_type = (None, "unknown") if isinstance(reading, str) else classify(reading)
        if not isinstance(reading, str) and line_type != "unknown":
            return self.number(reading, place, line_type, extension=extension)
        if short is not None and short.kind(digits) == "short_code":
            return self.service("short_code", digits, extension=extension)
        abroad = self.as_international(digits)
        abroad_place, abroad_type = (None, "unknown") if abroad is None else classify(abroad)
        if abroad is not None and abroad_type != "unknown":
            return self.number(abroad, abroad_place, abroad_type, extension=extension)
        fault = reading if isinstance(reading, str) else main_plan(reading.code).length_fault(reading.national)
        if not isinstance(reading, str) and fault is None:
            return self.number(reading, place, line_type, extension=extension)
        exactly_two_zeros = digits.removeprefix("+")[:3].rstrip("123456789") == "00"
        if abroad is not None and exactly_two_zeros and main_plan(abroad.code).length_fault(abroad.national) is None:
            return self.number(abroad, abroad_place, abroad_type, extension=extension)
        if local and self.region is not None and len(digits) in _SHORT_CODE_DIGITS:
            return self.service("short_code", digits, valid=False, extension=extension)
        return Unparsed(_digits_fault(digits, fault or "not_a_number"))

    def as_international(self, digits: str) -> Reading | None:
        """Steps 6 and 8: digits behind two zeros or more, or starting with the home country's own calling code."""
        bare = digits.removeprefix("+")
        number = bare.lstrip("0")
        home = self.region is not None and digits.startswith(calling_code(self.region))
        if not number or (len(bare) - len(number) < 2 and not home):
            return None
        reading = read(f"+{number}", self.region)
        return None if isinstance(reading, str) else reading

    def valid_only(self, text: str, digits: str | None, *, extension: bool) -> Number | Unparsed:
        """A number inside an address of some host: "sip:9007@pbx" is a desk, not somebody's local number."""
        if digits is None:
            return Unparsed("not_a_number" if text else "empty")
        found = self.dialled(digits, extension=extension)
        if isinstance(found, Number) and found.kind == "number" and found.valid:
            return found
        return Unparsed("not_a_number")

    def feature(self, text: str) -> Number | Unparsed:
        """Step 9: "*72"; and the valid number behind a code, as in "*31#07700900123"."""
        code = tokens.feature_code(text)
        if code is not None:
            return Unparsed("no_region") if self.region is None else self.service("short_code", code, extension=False)
        number = tokens.number_behind_feature(text)
        return Unparsed("not_a_number") if number is None else self.valid_only(number, number, extension=False)

    def letters(self, text: str) -> Number | Unparsed:
        """Step 10: vanity numbers, sender names, and whatever else the library can find a number in."""
        has_letters = any(map(str.isalpha, text))
        name = tokens.sender_name(text)
        if name is not None and text[0].isalpha() and sum(map(str.isdigit, text)) <= _NAME_DIGITS_MAX:
            return _sender(name)
        reading = read_text(text, self.region)
        if not isinstance(reading, str):
            place, line_type = classify(reading)
            fault = main_plan(reading.code).length_fault(reading.national)
            # With letters in it, "a possible length" would make a number of any word behind a few digits.
            believable = fault is None and (not has_letters or reading.extension)
            if line_type != "unknown" or believable:
                return self.number(reading, place, line_type, extension=reading.extension)
        if name is not None:
            return _sender(name)
        if has_letters or reading == "invalid_country_code":
            return Unparsed("not_a_number")
        return Unparsed(reading if isinstance(reading, str) else fault or "not_a_number")

    def number(self, reading: Reading, place: str | None, line_type: str, *, extension: bool) -> Number:
        return Number(
            canonical=reading.e164,
            kind="number",
            valid=line_type != "unknown",
            extension=extension,
            country=country_of(self.scheme, place),
            region=region_of(self.scheme, self.region, reading, place, line_type),
            line_type=line_type,
            time_zones=time_zones_of(reading, line_type),
        )

    def service(self, kind: Kind, dialled: str, *, extension: bool, valid: bool = True) -> Number:
        """A number that only the network of the default region understands."""
        country = self.scheme.declared_country(self.region)
        return Number(f"{self.region}:{dialled}", kind, valid, extension, country, OTHER, kind, ())


def _sender(name: str) -> Number:
    return Number(f"alpha:{name}", "alphanumeric", True, False, OTHER, OTHER, "alphanumeric", ())


def _opaque(raw: str) -> Number | Unparsed:
    token = unicodedata.normalize("NFC", raw.strip())
    if not token:
        return Unparsed("empty")
    # Half of a surrogate pair cannot be written in UTF-8, so no pseudonym could be made of it.
    if any("\ud800" <= sign <= "\udfff" for sign in token):
        return Unparsed("not_a_number")
    return Number(f"opaque:{token}", "opaque", True, False, OTHER, OTHER, "unknown", ())


def _digits_fault(digits: str, fault: Reason) -> Reason:
    # The library calls one digit "not a number"; to whoever mends the file it is one that is too short.
    return "too_short" if fault == "not_a_number" and len(digits) < 3 and digits != "+" else fault
