"""The fixed parts of the demo: regions, cells, campaigns, queues and the words that columns hold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

FIRST_DAY = date(2026, 1, 1)
LAST_DAY = date(2026, 3, 31)
DAYS = (LAST_DAY - FIRST_DAY).days + 1
SUMMER_TIME_FROM = (date(2026, 3, 29) - FIRST_DAY).days
"""The day on which clocks in the United Kingdom go forward."""

SERVICES = ("voice", "sms")
VOICE, SMS = range(2)
DIRECTIONS = ("outbound", "inbound", "p2p")
OUTBOUND, INBOUND, P2P = range(3)
PURPOSES = ("sales", "survey", "service", "collections", "p2p")
SALES, SURVEY, SERVICE, COLLECTIONS, BETWEEN_PEOPLE = range(5)
DISPOSITIONS = ("answered", "no_answer", "busy", "failed", "voicemail", "abandoned")
ANSWERED, NO_ANSWER, BUSY, FAILED, VOICEMAIL, ABANDONED = range(6)
OUTCOMES = ("sale", "refused", "callback", "optout", "wrong_number", "none")
SALE, REFUSED, CALLBACK, OPTOUT, WRONG_NUMBER, NO_OUTCOME = range(6)
QUEUES = ("sales", "billing", "support", "retention", "technical")
AGENTS = 150

AGE_BANDS = ("18-29", "30-49", "50-69", "70+")
GENDERS = ("female", "male", "other")
PLANS = ("basic", "plus")

ORGANISATION_LINES = ("+442079460000", "+442079460001")
"""The organisation's lines, from the block that the UK regulator keeps for drama."""


@dataclass(frozen=True, slots=True)
class Region:
    """A city: its share of people, and the national numbers that its lines have."""

    name: str
    share: float
    area: str
    first: int
    last: int
    """Local numbers, all valid for phonenumbers; `area` and the local digits make the national number."""


REGIONS = (
    Region("GB-LND", 0.170, "20", 70_000_000, 79_459_999),
    Region("GB-MAN", 0.090, "161", 2_000_000, 9_999_999),
    Region("GB-BIR", 0.085, "121", 2_000_000, 7_999_999),
    Region("GB-GLG", 0.070, "141", 2_000_000, 9_999_999),
    Region("GB-EDH", 0.060, "131", 2_000_000, 8_999_999),
    Region("GB-LIV", 0.060, "151", 2_000_000, 9_999_999),
    Region("GB-LDS", 0.070, "113", 2_000_000, 5_999_999),
    Region("GB-BST", 0.055, "117", 2_000_000, 4_999_999),
    Region("GB-SHF", 0.055, "114", 2_000_000, 5_999_999),
    Region("GB-CRF", 0.045, "29", 20_200_000, 20_999_999),
    Region("GB-BFS", 0.040, "28", 90_200_000, 90_999_999),
    Region("GB-NGM", 0.050, "115", 7_000_000, 9_999_999),
)
OTHER = "other"
MOBILE_SHARE = 0.15
"""People with a mobile number, which names no region."""
MOBILE = Region(OTHER, MOBILE_SHARE, "7", 300_000_000, 399_999_999)

CELL_COUNTS = (32, 18, 17, 15, 13, 13, 15, 12, 12, 11, 10, 12, 20)
"""Cells of each region in the order of REGIONS, then those elsewhere: 200 in all."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """A calling campaign, and how the people on its list respond."""

    name: str
    kind: int
    starts: date
    ends: date
    size: float
    """Share of the outbound calls while it runs, relative to the others."""
    listed: float
    """Share of all people on its list."""
    contact_rate: float
    abandoned_rate: float
    """Answered calls on which no agent was free."""
    sale_rate: float
    optout_rate: float


CAMPAIGNS = (
    Campaign("CMP-01", SALES, date(2025, 11, 3), date(2026, 3, 31), 1.3, 0.50, 0.34, 0.018, 0.070, 0.020),
    Campaign("CMP-02", SALES, date(2026, 1, 5), date(2026, 2, 27), 1.1, 0.40, 0.28, 0.041, 0.055, 0.034),
    Campaign("CMP-03", SALES, date(2026, 2, 2), date(2026, 3, 31), 1.2, 0.40, 0.31, 0.022, 0.090, 0.026),
    Campaign("CMP-04", SALES, date(2026, 1, 1), date(2026, 3, 31), 0.8, 0.30, 0.25, 0.029, 0.040, 0.045),
    Campaign("CMP-05", SURVEY, date(2026, 1, 12), date(2026, 3, 13), 0.8, 0.35, 0.39, 0.010, 0.000, 0.012),
    Campaign("CMP-06", SURVEY, date(2026, 1, 1), date(2026, 3, 31), 0.7, 0.35, 0.43, 0.008, 0.000, 0.010),
    Campaign("CMP-07", SERVICE, date(2025, 6, 2), date(2026, 12, 31), 1.0, 0.60, 0.56, 0.012, 0.010, 0.006),
    Campaign("CMP-08", SERVICE, date(2026, 1, 1), date(2026, 3, 31), 0.9, 0.60, 0.52, 0.014, 0.015, 0.007),
    Campaign("CMP-09", SERVICE, date(2026, 2, 16), date(2026, 3, 31), 0.8, 0.45, 0.48, 0.011, 0.012, 0.008),
    Campaign("CMP-10", COLLECTIONS, date(2025, 9, 1), date(2026, 12, 31), 0.6, 0.06, 0.22, 0.020, 0.000, 0.030),
    Campaign("CMP-11", COLLECTIONS, date(2026, 1, 1), date(2026, 3, 31), 0.5, 0.05, 0.19, 0.034, 0.000, 0.038),
    Campaign("CMP-12", SALES, date(2026, 3, 2), date(2026, 3, 31), 1.0, 0.40, 0.30, 0.025, 0.060, 0.030),
)


def day_of(number: int) -> date:
    """The day with this number, 0 for the first of the period."""
    return FIRST_DAY + timedelta(days=number)
