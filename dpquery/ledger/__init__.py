"""The budget ledger: grants, charges and releases in one append-only, hash-chained, durable record."""

from dpquery.ledger.adopting import Adoption
from dpquery.ledger.balances import Lifetime, ScopeBalance, Standing
from dpquery.ledger.checkpoints import Checkpoint, Cover, read_checkpoint, write_checkpoint
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
from dpquery.ledger.scopes import Member, Pair, Scope
from dpquery.ledger.steward_key import holds_key, make_steward_key
from dpquery.ledger.usage import Days, PastDecision, Usage, Use, usage_of
from dpquery.ledger.verification import Verification

__all__ = [
    "EACH_BLOCK",
    "Adoption",
    "CapAboveCeiling",
    "CapNotRaised",
    "Caps",
    "ChargeRequest",
    "Charged",
    "ChargedPair",
    "Checkpoint",
    "Cover",
    "Days",
    "Entry",
    "Grant",
    "Ledger",
    "Lifetime",
    "Member",
    "NoBudget",
    "OverBudget",
    "Pair",
    "PastDecision",
    "RecordedRequest",
    "RequestIdTaken",
    "RequestSpent",
    "Scope",
    "ScopeBalance",
    "ScopeLeft",
    "Standing",
    "StoredRelease",
    "Usage",
    "Use",
    "Verification",
    "holds_key",
    "make_steward_key",
    "read_checkpoint",
    "usage_of",
    "write_checkpoint",
]
