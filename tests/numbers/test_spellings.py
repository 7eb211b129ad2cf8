from __future__ import annotations

import pytest

from dpquery.numbers.spellings import spellings

EVERYWHERE = (
    "+442079460000",
    "442079460000",
    "00442079460000",
    "+44 20 7946 0000",
    "+44-20-7946-0000",
    "+44.20.7946.0000",
    "0044 20 7946 0000",
    "tel:+44-20-7946-0000",
)


@pytest.mark.parametrize(
    ("region", "more"),
    [
        ("GB", ("020 7946 0000", "02079460000", "020-7946-0000", "2079460000")),
        ("US", ("011 44 20 7946 0000", "011442079460000")),
        (None, ()),
        ("ZZ", ()),
    ],
)
def test_spellings(region: str | None, more: tuple[str, ...]) -> None:
    assert spellings("+442079460000", region) == EVERYWHERE + more


@pytest.mark.parametrize(
    ("canonical", "expected"),
    [
        ("GB:112", ("GB:112", "112")),
        ("alpha:MYBANK", ("alpha:MYBANK", "MYBANK")),
        ("opaque:a:b", ("opaque:a:b", "a:b")),
        ("withheld", ("withheld",)),
    ],
)
def test_others_have_their_token(canonical: str, expected: tuple[str, ...]) -> None:
    assert spellings(canonical, "GB") == expected
