"""The budget ledger: grants, charges and releases in one append-only, hash-chained, durable record."""

from dpquery.ledger.balances import Lifetime, ScopeBalance, Standing
from dpquery.ledger.entries import EACH_BLOCK, Entry
from dpquery.ledger.grants import Caps, Grant
from dpquery.ledger.ledger import Ledger
from dpquery.ledger.refusals import (
    CapAboveCeiling,
    CapNotRaised,
    NoBudget,
    OverBudget,
    RequestIdTaken,
    RequestSpent,
    ScopeLeft,
)
from dpquery.ledger.requests import Charged, ChargedPair, ChargeRequest, RecordedRequest, StoredRelease
from dpquery.ledger.scopes import Pair, Scope
from dpquery.ledger.steward_key import make_steward_key
from dpquery.ledger.verification import Verification

__all__ = [
    "EACH_BLOCK",
    "CapAboveCeiling",
    "CapNotRaised",
    "Caps",
    "ChargeRequest",
    "Charged",
    "ChargedPair",
    "Entry",
    "Grant",
    "Ledger",
    "Lifetime",
    "NoBudget",
    "OverBudget",
    "Pair",
    "RecordedRequest",
    "RequestIdTaken",
    "RequestSpent",
    "Scope",
    "ScopeBalance",
    "ScopeLeft",
    "Standing",
    "StoredRelease",
    "Verification",
    "make_steward_key",
]
