"""Each rule of canonicalise as rows of a table."""

from __future__ import annotations

import csv
import os
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from dpquery.errors import InternalError
from dpquery.numbers.canonical import LENGTH_MAX, LINE_TYPES, REASONS, Number, NumberScheme, Unparsed, canonicalise
from dpquery.numbers.places import country_domain, region_domain

PHONE = NumberScheme()
OPAQUE = NumberScheme(format="opaque")
LONDON = "+442079460000"


def read(raw: str, region: str | None = "GB", scheme: NumberScheme = PHONE) -> Number:
    found = canonicalise(raw, region, scheme)
    assert isinstance(found, Number), found
    return found


@pytest.mark.parametrize(
    "raw",
    [
        "+442079460000",
        "+44 20 7946 0000",
        "0044 20 7946 0000",
        "00442079460000",
        "000442079460000",
        "+00442079460000",
        "020 7946 0000",
        "02079460000",
        "2079460000",
        "442079460000",
        "442079460000.0",
        "442079460000.0 ",
        "tel:+44-20-7946-0000",
        "TEL:+44-20-7946-0000",
        "tel:020-7946-0000;phone-context=+44",
        "tel:2079460000;phone-context=+44",
        "(020) 7946-0000",
        "020.7946.0000",
        "\uff10\uff12\uff10\uff17\uff19\uff14\uff16\uff10\uff10\uff10\uff10",  # full-width digits
        "\uff0b44 20 7946 0000",
        "\u0660\u0662\u0660\u0667\u0669\u0664\u0666\u0660\u0660\u0660\u0660",  # Arabic-Indic digits
        "020\u00a07946\u00a00000",
        "020\u20117946\u20110000",
        "\u202a+44 20 7946 0000\u202c",  # marks of direction, as phones paste them
        "\ufeff02079460000",
        "02079460000\x00\x00",
        "+44 (0)20 7946 0000",
        "+44 (0) 20 7946 0000",
        "(+44) 20 7946 0000",
        "sip:+442079460000@host",
        "sip:02079460000@host;user=phone",
        "sip:%2B442079460000@host",
        "<sip:+442079460000@host>",
        '"Ann" <sip:+442079460000@host;transport=tcp>',
        "+442079460000@host",
        "Tel. 020 7946 0000",
        "phone: 020 7946 0000",
        "Ann Example <02079460000>",
        "'02079460000",
        '="02079460000"',
        "*31#02079460000",
    ],
)
def test_spellings_of_one_number(raw: str) -> None:
    found = read(raw)
    assert (found.canonical, found.kind, found.valid, found.extension) == (LONDON, "number", True, False)


@pytest.mark.parametrize(
    "raw",
    [
        "020 7946 0000 x23",
        "020 7946 0000x23",
        "02079460000 ext. 23",
        "02079460000 extension 23",
        "02079460000#23",
        "+442079460000;ext=23",
        "tel:+44-20-7946-0000;ext=23",
        "tel:020-7946-0000;ext=23;phone-context=+44",
        "sip:+442079460000;ext=23@host",
        "02079460000,,23",
    ],
)
def test_extension_belongs_to_the_main_number(raw: str) -> None:
    found = read(raw)
    assert (found.canonical, found.valid, found.extension) == (LONDON, True, True)


@pytest.mark.parametrize("raw", ["0034688886392", "+34688886392", "00034688886392", "+34 688 88 63 92"])
def test_freeswitch_zeros(raw: str) -> None:
    assert read(raw).canonical == "+34688886392"


@pytest.mark.parametrize(
    ("region", "expected"),
    [("ES", "+34688886392"), ("GB", Unparsed("too_long")), (None, Unparsed("no_region"))],
)
def test_without_plus_only_at_home(region: str | None, expected: str | Unparsed) -> None:
    found = canonicalise("34688886392", region, PHONE)
    assert (found.canonical if isinstance(found, Number) else found) == expected


def test_international_without_any_region() -> None:
    assert read("0044 20 7946 0000", None).canonical == LONDON
    assert read("+44 20 7946 0000", None).canonical == LONDON
    assert read("tel:020-7946-0000;phone-context=+44", None).canonical == LONDON
    assert read("0044 20 7946 0000", "US").canonical == LONDON
    assert read("011 44 20 7946 0000", "US").canonical == LONDON
    assert read("+442079460000", "ZZ").canonical == LONDON
    assert read("02079460000", "gb").canonical == LONDON


def test_many_zeros_need_a_valid_number() -> None:
    """Two zeros say "international"; three only do so if what follows is a number that may exist."""
    assert (read("0033999999999").canonical, read("0033999999999").valid) == ("+33999999999", True)
    assert (read("0033000000000").canonical, read("0033000000000").valid) == ("+33000000000", False)
    assert read("0033000000000", None).canonical == "+33000000000"
    assert canonicalise("00033000000000", None, PHONE) == Unparsed("no_region")


def test_valid_abroad_goes_before_possible_at_home() -> None:
    """Plans with many lengths would take prefix and code into the number: one number, two identities."""
    assert {read(raw, "SE").canonical for raw in ("00468123456", "+468123456", "08-123 456")} == {"+468123456"}
    assert read("0081312345678", "JP").canonical == "+81312345678"
    assert read("2342033123456", "NG").canonical == "+2342033123456"


@pytest.mark.parametrize(
    ("raw", "region", "canonical"),
    [
        ("07610039694", "GB", "+447610039694"),  # as pseudonymised files have them
        ("+447946000", "GB", "+447946000"),  # without an area code
        ("217201", "GB", "+44217201"),  # perhaps a neighbor's: never a public short code
        ("2172", "GB", "+442172"),
    ],
)
def test_possible_but_invalid_is_kept(raw: str, region: str, canonical: str) -> None:
    found = read(raw, region)
    assert (found.canonical, found.kind, found.valid, found.line_type) == (canonical, "number", False, "unknown")
    assert (found.country, found.region, found.time_zone) == ("other", "other", None)


@pytest.mark.parametrize(
    ("raw", "region", "reason"),
    [
        ("", "GB", "empty"),
        (" \t\u00a0\x00", "GB", "empty"),
        ("NULL", "GB", "empty"),
        ("NaN", "GB", "empty"),
        ("n/a", "GB", "empty"),
        ("-", "GB", "not_a_number"),
        ("+", "GB", "not_a_number"),
        ("()", "GB", "not_a_number"),
        ("9", "GB", "too_short"),
        ("43", "GB", "too_short"),
        ("+3761234567", "GB", "invalid_length"),
        ("+4420", "GB", "too_short"),
        ("02079460000123", "GB", "too_long"),
        ("0" * 30, "GB", "too_long"),
        ("+33123456789012", "GB", "too_long"),
        ("+999123456789", "GB", "invalid_country_code"),
        ("02079460000", None, "no_region"),
        ("02079460000", "ZZ", "no_region"),
        ("112", None, "no_region"),
        ("*72", None, "no_region"),
        ("sip:9007@pbx", "GB", "not_a_number"),
        ("sip:alice@pbx", "GB", "not_a_number"),
        ("sip:118118@pbx", "GB", "not_a_number"),
        ("9007@pbx", "GB", "not_a_number"),
        ("tel:9007;phone-context=pbx.example", "GB", "not_a_number"),
        ("4.47911E+11", "GB", "not_a_number"),
        ("*9812345678", "GB", "not_a_number"),
        ("the caller hung up", "GB", "not_a_number"),
        ("\u7530\u4e2d", "GB", "not_a_number"),
        ("+44 20 7946 0000 / +44 20 7946 0001", "GB", "not_a_number"),
        ("1" * (LENGTH_MAX + 1), "GB", "too_long"),
    ],
)
def test_unparsed(raw: str, region: str | None, reason: str) -> None:
    found = canonicalise(raw, region, PHONE)
    assert isinstance(found, Unparsed), found
    assert found.reason == reason
    assert reason in REASONS


@pytest.mark.parametrize(
    ("raw", "region", "canonical", "kind", "valid"),
    [
        ("112", "GB", "GB:112", "emergency", True),
        ("999", "GB", "GB:999", "emergency", True),
        ("911", "US", "US:911", "emergency", True),
        ("15", "FR", "FR:15", "emergency", True),
        ("87007", "GB", "GB:87007", "short_code", True),
        ("118 118", "GB", "GB:118118", "short_code", True),
        ("043", "GB", "GB:043", "short_code", False),
        ("45347", "CA", "CA:45347", "short_code", False),
        ("043.0", "GB", "GB:043", "short_code", False),
        ("*72", "GB", "GB:*72", "short_code", True),
        ("*#06#", "GB", "GB:*#06#", "short_code", True),
        ("* 72", "GB", "GB:*72", "short_code", True),
    ],
)
def test_numbers_of_a_network(raw: str, region: str, canonical: str, kind: str, valid: bool) -> None:
    found = read(raw, region)
    assert (found.canonical, found.kind, found.valid) == (canonical, kind, valid)
    assert (found.line_type, found.country, found.region) == (kind, region, "other")


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("MYBANK", "alpha:MYBANK"),
        ("mybank", "alpha:MYBANK"),
        (" My Bank ", "alpha:MY BANK"),
        ("O2", "alpha:O2"),
        ("3Mobile", "alpha:3MOBILE"),
        ("INFO2000", "alpha:INFO2000"),
        ("A&B_c.d+e-f", "alpha:A&B_C.D+E-F"),
        ("\uff2d\uff39\uff22\uff21\uff2e\uff2b", "alpha:MYBANK"),
        ("1800FLOWERS", "alpha:1800FLOWERS"),  # spells no British number
    ],
)
def test_sender_names(raw: str, canonical: str) -> None:
    found = read(raw)
    assert (found.canonical, found.kind, found.line_type) == (canonical, "alphanumeric", "alphanumeric")
    assert (found.country, found.region, found.time_zone) == ("other", "other", None)


@pytest.mark.parametrize(
    ("raw", "region", "canonical"),
    [
        ("1800FLOWERS", "US", "+18003569377"),
        ("0800 REVERSE", "GB", "+448007383773"),
        ("1-800-FLOWERS", "US", "+18003569377"),
    ],
)
def test_vanity_numbers_are_numbers(raw: str, region: str, canonical: str) -> None:
    found = read(raw, region)
    assert (found.canonical, found.kind, found.line_type) == (canonical, "number", "toll_free")


@pytest.mark.parametrize(
    "raw",
    [
        "anonymous",
        "Anonymous",
        "RESTRICTED",
        " withheld ",
        "unknown",
        "Private",
        "private number",
        "Number Withheld",
        "No Caller ID",
        "unavailable",
        "blocked",
        "<unknown>",
        "*anonymous*@anonymous.invalid",
        "anonymous@anonymous.invalid",
        "sip:anonymous@anonymous.invalid",
        '"Anonymous" <sip:anonymous@anonymous.invalid>',
    ],
)
def test_withheld(raw: str) -> None:
    expected = Number("withheld", "withheld", True, False, "other", "other", "withheld", ())
    assert canonicalise(raw, "GB", PHONE) == canonicalise(raw, None, PHONE) == expected


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("17", "opaque:17"),
        (" 17\n", "opaque:17"),
        ("017", "opaque:017"),
        ("anonymous", "opaque:anonymous"),
        ("null", "opaque:null"),
        ("e\u0301", "opaque:\u00e9"),
        ("Ab", "opaque:Ab"),
    ],
)
def test_opaque(raw: str, canonical: str) -> None:
    expected = Number(canonical, "opaque", True, False, "other", "other", "unknown", ())
    assert canonicalise(raw, "GB", OPAQUE) == canonicalise(raw, None, OPAQUE) == expected


@pytest.mark.parametrize(("raw", "reason"), [("", "empty"), (" ", "empty"), ("\ud800", "not_a_number")])
def test_opaque_unparsed(raw: str, reason: str) -> None:
    assert canonicalise(raw, "GB", OPAQUE) == Unparsed(reason)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "line_type", "country", "zone"),
    [
        ("+442079460000", "fixed_line", "GB", "Europe/London"),
        ("+447400123456", "mobile", "GB", "Europe/Guernsey"),  # the first of the library's list
        ("+12125551234", "fixed_line_or_mobile", "US", "America/New_York"),
        ("+14165551234", "fixed_line_or_mobile", "CA", "America/Toronto"),
        ("+448001111111", "toll_free", "GB", "Europe/Guernsey"),
        ("+441534456789", "fixed_line", "JE", "Europe/Jersey"),
        ("+80012345678", "toll_free", "other", None),
        ("+390669812345", "fixed_line", "VA", "Europe/Vatican"),
    ],
)
def test_derived(raw: str, line_type: str, country: str, zone: str | None) -> None:
    found = read(raw)
    assert (found.valid, found.line_type, found.country) == (True, line_type, country)
    assert found.time_zone == zone
    assert line_type in LINE_TYPES


def test_declared_regions_by_longest_prefix() -> None:
    scheme = NumberScheme(regions=(("GB-LND", ("+4420", "+44207")), ("GB", ("+44",)), ("City", ("+442079",))))
    assert [
        read(raw, "GB", scheme).region for raw in ("+442079460000", "+442081234567", "+447400123456", "+33142685300")
    ] == [
        "City",
        "GB-LND",
        "GB",
        "other",
    ]
    assert region_domain(scheme, "GB") == ("GB-LND", "GB", "City", "other")


def test_declared_countries() -> None:
    scheme = NumberScheme(countries=("GB", "FR"))
    countries = [read(raw, "GB", scheme).country for raw in ("+442079460000", "+33142685300", "+34688886392", "112")]
    assert countries == ["GB", "FR", "other", "GB"]
    assert country_domain(scheme) == ("GB", "FR", "other")


def test_areas_of_the_home_country() -> None:
    assert read("+442079460000").region == "GB London"
    assert read("+33142685300").region == "other"
    assert read("+33142685300", "GB", NumberScheme(home_region="FR")).region == "FR Paris"
    assert read("+442079460000", "GB", NumberScheme(home_region="FR")).region == "other"
    assert read("+447400123456").region == "other"
    assert read("+441534456789").region == "other"  # Jersey is not GB
    assert read("+6565211234", "SG").region == "other"  # the area is the whole country


def test_region_domain_without_declared_regions() -> None:
    domain = region_domain(PHONE, "GB")
    assert "GB London" in domain
    assert domain[-1] == "other"
    assert list(domain[:-1]) == sorted(set(domain[:-1]))
    assert not any(name in domain for name in ("GB Jersey", "GB United Kingdom"))
    assert "US Toronto, ON" not in region_domain(PHONE, "US")
    assert region_domain(PHONE, None) == region_domain(PHONE, "ZZ") == region_domain(OPAQUE, "GB") == ("other",)
    assert country_domain(OPAQUE) == ("other",)
    assert country_domain(PHONE)[0] == "AC"
    assert len(country_domain(PHONE)) > 240


@pytest.mark.parametrize(
    "fields",
    [
        {"format": "paper"},
        {"regions": (("A", ("+44",)), ("A", ("+33",)))},
        {"regions": (("other", ("+44",)),)},
        {"regions": (("A", ("+44",)), ("B", ("+44",)))},
        {"regions": (("A", ("44",)),)},
        {"countries": ("GB", "GB")},
        {"countries": ("gb",)},
    ],
)
def test_scheme_checks_itself(fields: dict[str, object]) -> None:
    with pytest.raises(InternalError):
        NumberScheme(**fields)  # type: ignore[arg-type]


def test_values_are_plain() -> None:
    scheme = NumberScheme(regions=(("GB-LND", ("+4420",)),), countries=("GB",))
    copy = pickle.loads(pickle.dumps(scheme))  # noqa: S301 - our own bytes
    assert copy == scheme
    assert hash(copy) == hash(scheme)
    assert copy.declared_region(LONDON) == "GB-LND"
    assert "442079" not in repr(read(LONDON))


def test_importing_the_package_is_cheap() -> None:
    """The package alone brings nothing; reading a number does not bring the area names."""
    script = (
        "import sys, dpquery.numbers; assert 'phonenumbers' not in sys.modules;"
        "from dpquery.numbers.canonical import NumberScheme, canonicalise;"
        "canonicalise('+442079460000', 'GB', NumberScheme(regions=(('L', ('+4420',)),)));"
        "assert 'phonenumbers.geodata' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


def test_nodobo() -> None:
    """Every distinct number of a real, dirty, pseudonymised file is a Number or has a reason."""
    folder = os.environ.get("DPQUERY_TEST_DATA")
    if folder is None:
        pytest.skip("DPQUERY_TEST_DATA does not name a folder with test data")
    with (Path(folder) / "nodobo" / "calls.csv").open(newline="") as file:
        distinct = {number for row in csv.DictReader(file) for number in (row["user"], row["other"])}
    counts: Counter[str] = Counter()
    for raw in distinct:
        found = canonicalise(raw, "GB", PHONE)
        counts[found.reason if isinstance(found, Unparsed) else f"{found.kind} {'' if found.valid else 'in'}valid"] += 1
    print(f"nodobo: {len(distinct)} distinct, {dict(counts.most_common())}")  # noqa: T201 - counts of a public file
    assert counts.total() == len(distinct)
    assert counts["number valid"] > 200
    assert counts["empty"] == 1
