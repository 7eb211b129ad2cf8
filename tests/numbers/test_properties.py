"""What holds for every text, every number and every numbering plan."""

from __future__ import annotations

from functools import cache

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import geocoder, timezone
from phonenumbers.shortnumberinfo import is_emergency_number, is_valid_short_number_for_region

from dpquery.numbers.canonical import KINDS, LINE_TYPES, REASONS, Number, NumberScheme, Unparsed, canonicalise
from dpquery.numbers.places import country_domain, region_domain
from dpquery.numbers.plans import Reading, classify, main_plan, plan_of, read, read_text, short_plan_of
from dpquery.numbers.spellings import spellings

AREAS = NumberScheme()
DECLARED = NumberScheme(regions=(("A", ("+4420", "+33")), ("B", ("+4416",))), countries=("GB", "FR"))
OPAQUE = NumberScheme(format="opaque")
REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)
HOMES = ["GB", "US", "FR", "DE", "IT", "ES", "IN", "BR", "AR", "MX", "AU", "JP", "RU", "IM", "CA", "SG", None, "ZZ"]
TYPES = [kind for kind in phonenumbers.PhoneNumberType.values() if kind != phonenumbers.PhoneNumberType.UNKNOWN]

near_numbers = st.text(
    alphabet="0123456789+*# ()-./x,;:=@<>~etlsipanoymuE\x00\u00a0\u200f\u202a\u0661\uff11\ud800", max_size=40
)
any_text = st.one_of(st.text(max_size=400), near_numbers, st.from_regex(r"\A\+?[0-9]{1,20}\Z"))
digits = st.from_regex(r"\A(\+|00|0|\+44|\+1|\+49|\+39|\+7|\+54|\+52|\+55|1|44|8)?[0-9]{3,14}\Z").filter(str.isascii)


regions = cache(lambda scheme, region: frozenset(region_domain(scheme, region)))
countries = cache(lambda scheme: frozenset(country_domain(scheme)))


@st.composite
def valid_numbers(draw: st.DrawFn) -> phonenumbers.PhoneNumber:
    """An example number of any region and type with its last digits changed, if it stays valid."""
    region = draw(st.sampled_from(REGIONS))
    number = phonenumbers.example_number_for_type(region, draw(st.sampled_from(TYPES)))
    number = number or phonenumbers.example_number(region)
    assert number is not None
    text = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    count = draw(st.integers(0, 5))
    tail = "".join(draw(st.lists(st.sampled_from("0123456789"), min_size=count, max_size=count)))
    try:
        changed = phonenumbers.parse(text[: len(text) - count] + tail)
    except phonenumbers.NumberParseException:
        return number
    return changed if phonenumbers.is_valid_number(changed) else number


def e164(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(raw=any_text, region=st.sampled_from(HOMES), scheme=st.sampled_from([AREAS, DECLARED, OPAQUE]))
def test_total_and_closed(raw: str, region: str | None, scheme: NumberScheme) -> None:
    found = canonicalise(raw, region, scheme)
    if isinstance(found, Unparsed):
        assert found.reason in REASONS
        return
    assert found.kind in KINDS
    assert found.line_type in LINE_TYPES
    assert found.country in countries(scheme)
    assert found.region in regions(scheme, region)
    assert found.canonical.encode()
    assert "canonical" not in repr(found)


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(raw=st.one_of(near_numbers, digits), region=st.sampled_from(HOMES), other=st.sampled_from(HOMES))
def test_idempotent(raw: str, region: str | None, other: str | None) -> None:
    """A canonical number is its own canonical form, whatever region a second file is read in."""
    scheme = NumberScheme(home_region="GB")
    found = canonicalise(raw, region, scheme)
    if not isinstance(found, Number) or found.kind != "number":
        return
    again = canonicalise(found.canonical, other, scheme)
    assert isinstance(again, Number)
    assert again.canonical == found.canonical
    assert (again.valid, again.country, again.region, again.time_zone) == (
        found.valid,
        found.country,
        found.region,
        found.time_zone,
    )


@settings(max_examples=600, deadline=None, derandomize=True)
@given(number=valid_numbers(), abroad=st.sampled_from(HOMES))
def test_spellings_read_back(number: phonenumbers.PhoneNumber, abroad: str | None) -> None:
    canonical = e164(number)
    for home in (phonenumbers.region_code_for_number(number), abroad):
        for spelling in spellings(canonical, home):
            found = canonicalise(spelling, home, DECLARED)
            if isinstance(found, Number) and found.canonical == canonical:
                continue
            another_valid_one = isinstance(found, Number) and found.valid
            assert spelling == canonical[1:] or (spelling.startswith("00") and another_valid_one)


@settings(max_examples=3000, deadline=None, derandomize=True)
@given(dialled=digits, region=st.sampled_from(HOMES[:-2]))
def test_quick_reading_is_the_library_s(dialled: str, region: str) -> None:
    assert read(dialled, region) == read_text(dialled, region)


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(number=st.one_of(valid_numbers(), digits.map(lambda text: "+" + text.lstrip("+0"))))
def test_classes_are_the_library_s(number: phonenumbers.PhoneNumber | str) -> None:
    try:
        parsed = phonenumbers.parse(number) if isinstance(number, str) else number
    except phonenumbers.NumberParseException:
        return
    reading = Reading(str(parsed.country_code), phonenumbers.national_significant_number(parsed))
    region, line_type = classify(reading)
    assert region == phonenumbers.region_code_for_number(parsed)
    assert line_type == phonenumbers.PhoneNumberType.to_string(phonenumbers.number_type(parsed)).lower()
    assert (line_type != "unknown") == phonenumbers.is_valid_number(parsed)
    fault = main_plan(reading.code).length_fault(reading.national)
    assert (fault is None) == phonenumbers.is_possible_number(parsed)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(number=valid_numbers())
def test_places_are_the_library_s(number: phonenumbers.PhoneNumber) -> None:
    region = phonenumbers.region_code_for_number(number)
    found = canonicalise(e164(number), region, AREAS)
    assert isinstance(found, Number)
    zone = timezone.time_zones_for_number(number)[0]
    assert found.time_zone == (None if zone == timezone.UNKNOWN_TIMEZONE else zone)
    area = geocoder.description_for_number(number, "en")
    country = geocoder.country_name_for_number(number, "en")
    assert found.region == (f"{region} {area}" if area not in {"", country} else "other")


@pytest.mark.parametrize("region", REGIONS)
def test_each_numbering_plan(region: str) -> None:
    """Examples of every plan, dialled at home: numbers are numbers, emergency numbers are not taken for others."""
    example = phonenumbers.example_number(region)
    assert example is not None
    for spelling in spellings(e164(example), region):
        found = canonicalise(spelling, region, DECLARED)
        assert isinstance(found, Number)
        assert found.valid
        # Without a plus sign these are valid national numbers as well, and the library reads them so.
        assert found.canonical == e164(example) or (region in {"ID", "SE", "XK"} and spelling == e164(example)[1:])
    assert plan_of(region).code == str(example.country_code)
    short = short_plan_of(region)
    for dialled in ("110", "112", "911", "999", "15", "118118", "1234"):
        kind = short.kind(dialled) if short is not None else None
        assert (kind == "emergency") == is_emergency_number(dialled, region)
        numobj = phonenumbers.PhoneNumber(country_code=example.country_code, national_number=int(dialled))
        assert (kind is not None) or not is_valid_short_number_for_region(numobj, region)
        if kind == "emergency":
            found = canonicalise(dialled, region, DECLARED)
            assert isinstance(found, Number)
            assert (found.kind, found.canonical) == ("emergency", f"{region}:{dialled}")


def test_doubled_national_prefix_settles() -> None:
    """German numbers have many lengths, so that each reading could take one more zero off."""
    forms = [
        canonicalise(raw, "DE", AREAS) for raw in ("+49 00 30 123456", "+49 030 123456", "+4930123456", "030123456")
    ]
    assert len({form.canonical for form in forms if isinstance(form, Number)}) == 1
