"""The numbering plans of `phonenumbers`, compiled once per region, and reading digits by them.

`phonenumbers.parse` and `number_type` take some 55 microseconds together, mostly for text that was cleaned already.
`read` takes the common cases from the same metadata in a tenth of that, and hands every case it is not sure of to
the library. Tests hold both ways equal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, Literal

from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    SUPPORTED_REGIONS,
    NumberParseException,
    PhoneMetadata,
    national_significant_number,
    parse,
)

from dpquery.errors import broken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dpquery.numbers.number import Reason

NON_GEOGRAPHIC: Final = "001"
"""The library's region of numbers such as +800, which belong to no country."""

_DIGITS_MIN: Final = 7
"""Shorter numbers are left to the library, which has many rules for them."""
_NATIONAL_LENGTH: Final = range(3, 18)
_REASONS: Final[Mapping[int, Reason]] = {
    NumberParseException.INVALID_COUNTRY_CODE: "invalid_country_code",
    NumberParseException.NOT_A_NUMBER: "not_a_number",
    NumberParseException.TOO_SHORT_AFTER_IDD: "too_short",
    NumberParseException.TOO_SHORT_NSN: "too_short",
    NumberParseException.TOO_LONG: "too_long",
}
# The order is the library's: a number matching two patterns has the first type.
_SPECIAL_TYPES: Final = (
    "premium_rate",
    "toll_free",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
)
_CODES: Final = frozenset(str(code) for code in COUNTRY_CODE_TO_REGION_CODE)


@dataclass(frozen=True, slots=True)
class Reading:
    """Digits read by a numbering plan: calling code and national significant number, both as digits."""

    code: str
    national: str
    extension: bool = False

    @property
    def e164(self) -> str:
        return f"+{self.code}{self.national}"


@dataclass(frozen=True, slots=True)
class Pattern:
    """The numbers of one type: lengths in digits (empty: any) and a regular expression."""

    lengths: frozenset[int]
    expression: re.Pattern[str]

    def holds(self, national: str) -> bool:
        if self.lengths and len(national) not in self.lengths:
            return False
        return self.expression.fullmatch(national) is not None


@dataclass(frozen=True, slots=True)
class Plan:
    """The numbering plan of one region (or, for "001", of one calling code)."""

    region: str
    code: str
    general: Pattern
    lengths_local: frozenset[int]
    """Lengths in digits of numbers dialled without an area code."""
    types: tuple[tuple[str, Pattern], ...]
    fixed_line: Pattern | None
    mobile: Pattern | None
    fixed_line_and_mobile_alike: bool
    leading_digits: re.Pattern[str] | None
    international_prefix: re.Pattern[str] | None
    national_prefix: re.Pattern[str] | None
    national_prefix_is_plain: bool
    """The prefix is only taken off, never turned into something else."""

    def line_type(self, national: str) -> str:
        """One of LINE_TYPES; "unknown" means that the plan does not give out such numbers."""
        if not self.general.holds(national):
            return "unknown"
        for name, pattern in self.types:
            if pattern.holds(national):
                return name
        if self.fixed_line is not None and self.fixed_line.holds(national):
            both = self.fixed_line_and_mobile_alike or (self.mobile is not None and self.mobile.holds(national))
            return "fixed_line_or_mobile" if both else "fixed_line"
        if self.mobile is not None and not self.fixed_line_and_mobile_alike and self.mobile.holds(national):
            return "mobile"
        return "unknown"

    def length_fault(self, national: str) -> Reason | None:
        """Why no number of the plan has this length; None if some have, with or without area code."""
        length = len(national)
        if length in self.general.lengths or length in self.lengths_local:
            return None
        if length < min(self.general.lengths):
            return "too_short"
        return "too_long" if length > max(self.general.lengths) else "invalid_length"


@dataclass(frozen=True, slots=True)
class ShortPlan:
    """Short numbers of one region, as dialled there."""

    general: Pattern
    short_code: Pattern | None
    emergency: Pattern | None

    def kind(self, dialled: str) -> Literal["emergency", "short_code"] | None:
        if self.emergency is not None and self.emergency.expression.fullmatch(dialled):
            return "emergency"
        if self.short_code is not None and self.general.holds(dialled) and self.short_code.holds(dialled):
            return "short_code"
        return None


def supported(region: str | None) -> str | None:
    """`region` in capitals if numbering plans know it, else None."""
    if region is None:
        return None
    capitals = region.upper()
    return capitals if capitals in SUPPORTED_REGIONS else None


def calling_code(region: str) -> str:
    """Calling code of a supported region, as digits."""
    return plan_of(region).code


def code_of(e164: str) -> str | None:
    """The calling code that `e164` begins with; None where it is no E.164 number. No code begins with another."""
    return next((e164[1:end] for end in (2, 3, 4) if e164.startswith("+") and e164[1:end] in _CODES), None)


def read(dialled: str, region: str | None) -> Reading | Reason:
    """Read `dialled`, ASCII digits with or without one leading plus sign, as dialled in `region`."""
    quick = _read_quickly(dialled, region) if len(dialled) >= _DIGITS_MIN else None
    return read_text(dialled, region) if quick is None else quick


def read_text(text: str, region: str | None) -> Reading | Reason:
    """Read `text` by the library's own, lenient rules (words before the number, vanity letters, extensions)."""
    try:
        number = parse(text, region)
    except NumberParseException as fault:
        return _REASONS[fault.error_type]
    national = national_significant_number(number)
    return _settled(Reading(str(number.country_code), national, extension=bool(number.extension)))


def classify(reading: Reading) -> tuple[str | None, str]:
    """Region and line type of a number, as the library finds them; the number is valid unless "unknown"."""
    regions = COUNTRY_CODE_TO_REGION_CODE[int(reading.code)]
    national = reading.national
    if len(regions) == 1:
        return regions[0], main_plan(reading.code).line_type(national)
    for region in regions:
        plan = plan_of(region)
        if plan.leading_digits is not None:
            if plan.leading_digits.match(national):
                return region, plan.line_type(national)
        elif (line_type := plan.line_type(national)) != "unknown":
            return region, line_type
    return None, "unknown"


def main_plan(code: str) -> Plan:
    """The plan by which numbers of a calling code are read where several regions share it."""
    region = COUNTRY_CODE_TO_REGION_CODE[int(code)][0]
    return plan_of(region, code if region == NON_GEOGRAPHIC else "")


@cache
def plan_of(region: str, code: str = "") -> Plan:
    """The plan of a supported region; `code` is needed for "001" only."""
    data = PhoneMetadata.metadata_for_region_or_calling_code(int(code or 0), region)
    general = None if data is None else _pattern(data, "general_desc")
    if data is None or data.general_desc is None or general is None:
        broken("each region of a calling code has a numbering plan")
    prefix = _compiled(data.national_prefix_for_parsing)
    plain = not data.national_prefix_transform_rule and (prefix is None or prefix.groups == 0)
    return Plan(
        region=region,
        code=str(data.country_code),
        general=general,
        lengths_local=frozenset(data.general_desc.possible_length_local_only),
        types=tuple((name, pattern) for name in _SPECIAL_TYPES if (pattern := _pattern(data, name)) is not None),
        fixed_line=_pattern(data, "fixed_line"),
        mobile=_pattern(data, "mobile"),
        fixed_line_and_mobile_alike=data.same_mobile_and_fixed_line_pattern,
        leading_digits=_compiled(data.leading_digits),
        international_prefix=_compiled(data.international_prefix),
        national_prefix=prefix,
        national_prefix_is_plain=plain,
    )


@cache
def short_plan_of(region: str) -> ShortPlan | None:
    """Short numbers of a supported region; None where the library knows none."""
    data = PhoneMetadata.short_metadata_for_region(region)
    general = None if data is None else _pattern(data, "general_desc")
    if data is None or general is None:
        return None
    return ShortPlan(general, _pattern(data, "short_code"), _pattern(data, "emergency"))


def _read_quickly(dialled: str, region: str | None) -> Reading | None:
    """The library's reading where it is certain; None where the library must be asked."""
    if dialled[0] == "+":
        return _international(dialled[1:])
    if region is None:
        return None
    plan = plan_of(region)
    abroad = None if plan.international_prefix is None else plan.international_prefix.match(dialled)
    if abroad is not None:
        return _international(dialled[abroad.end() :])
    if dialled.startswith(plan.code):
        return _without_plus(plan, dialled)
    return _national(plan, dialled)


def _international(digits: str) -> Reading | None:
    for length in (1, 2, 3):
        code = digits[:length]
        if code in _CODES:
            return _certain(code, digits[length:])
    return None


def _without_plus(plan: Plan, dialled: str) -> Reading | None:
    """Digits starting with the calling code of the plan's own country, so perhaps an E.164 number without plus."""
    national = dialled[len(plan.code) :]
    if plan.general.expression.fullmatch(dialled) or not plan.general.expression.fullmatch(national):
        return None
    if plan.national_prefix is not None and plan.national_prefix.match(national):
        return None
    return _certain(plan.code, national)


def _national(plan: Plan, dialled: str) -> Reading | None:
    prefix = None if plan.national_prefix is None else plan.national_prefix.match(dialled)
    if prefix is None:
        return _certain(plan.code, dialled)
    national = dialled[prefix.end() :]
    if not plan.national_prefix_is_plain or len(national) not in plan.general.lengths:
        return None
    if plan.general.expression.fullmatch(dialled) and not plan.general.expression.fullmatch(national):
        return None
    return _certain(plan.code, national)


def _certain(code: str, national: str) -> Reading | None:
    """A reading that the library would leave as it is; None if it might take a national prefix off."""
    if len(national) not in _NATIONAL_LENGTH:
        return None
    prefix = main_plan(code).national_prefix
    if prefix is not None and prefix.match(national):
        return None
    return Reading(code, national)


def _settled(reading: Reading) -> Reading | Reason:
    """`reading`, once its E.164 form reads as itself.

    The library takes one national prefix off. A number with two ("+49 00 30 123456") would have two canonical forms:
    another one each time it passes through a file, and so two identities.
    """
    for _ in range(len(reading.national)):
        try:
            again = parse(reading.e164)
        except NumberParseException as fault:
            return _REASONS[fault.error_type]
        following = Reading(str(again.country_code), national_significant_number(again), reading.extension)
        if following == reading:
            return reading
        reading = following
    return "not_a_number"


def _pattern(data: PhoneMetadata, name: str) -> Pattern | None:
    described = getattr(data, name)
    if described is None or not described.national_number_pattern:
        return None
    return Pattern(frozenset(described.possible_length), re.compile(described.national_number_pattern))


def _compiled(expression: str | None) -> re.Pattern[str] | None:
    return re.compile(expression) if expression else None
