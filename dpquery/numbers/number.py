"""What one party of a call record is, once read. Reprs hold no number."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

OTHER: Final = "other"
"""The country or region of everything that has none, or none that the policy declares."""

Kind = Literal["number", "short_code", "emergency", "alphanumeric", "withheld", "opaque"]
KINDS: Final[tuple[Kind, ...]] = ("number", "short_code", "emergency", "alphanumeric", "withheld", "opaque")

LINE_TYPES: Final[tuple[str, ...]] = (
    "fixed_line",
    "mobile",
    "fixed_line_or_mobile",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "voip",
    "personal_number",
    "pager",
    "uan",
    "voicemail",
    "unknown",
    "short_code",
    "emergency",
    "alphanumeric",
    "withheld",
)

Reason = Literal[
    "empty", "not_a_number", "no_region", "invalid_country_code", "too_short", "too_long", "invalid_length"
]
REASONS: Final[tuple[Reason, ...]] = (
    "empty",
    "not_a_number",
    "no_region",
    "invalid_country_code",
    "too_short",
    "too_long",
    "invalid_length",
)


@dataclass(frozen=True, slots=True)
class Number:
    """A party with an identity. Two spellings of one number give equal `canonical`; other fields follow from it."""

    canonical: str = field(repr=False)
    """`+442079460000`; `GB:112` for what only a country's network understands; `alpha:MYBANK`; `opaque:<token>`;
    `withheld`, which is no identity at all: callers make a new one for each row."""
    kind: Kind
    valid: bool
    """False: nobody was ever given this number, as far as the numbering plans say. It is kept and protected all the
    same, since pseudonymised files consist of such numbers. True for kinds that no numbering plan describes."""
    extension: bool
    """True if an extension stood behind the number. It is dropped: it belongs to the owner of the main number."""
    country: str
    """ISO 3166-1 code, upper case, or "other"."""
    region: str
    """A name declared by the policy, or country and area ("GB London"), or "other"."""
    line_type: str
    """One of LINE_TYPES."""
    time_zones: tuple[str, ...]
    """IANA names of every zone that it may be in; none where the numbering plans do not know."""

    @property
    def time_zone(self) -> str | None:
        """The first of its zones."""
        return self.time_zones[0] if self.time_zones else None


@dataclass(frozen=True, slots=True)
class Unparsed:
    """A party that cannot be given an identity; its row goes to quarantine."""

    reason: Reason
