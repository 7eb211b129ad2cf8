"""Who may ask what: analysts, purposes, tables, and the machine user a policy may tie an analyst to."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

from dpquery.errors import NotAllowed
from dpquery.ledger import holds_key
from dpquery.plan.permission import Permission
from dpquery.policy.model import STEWARD

if TYPE_CHECKING:
    from pathlib import Path

    from dpquery.ledger import Ledger
    from dpquery.policy import Policy, Purpose


def check_analyst(policy: Policy, analyst: str) -> None:
    """NotAllowed unless the policy names the analyst and this process runs as the user it ties them to."""
    declared = policy.analysts.get(analyst)
    if declared is None and analyst == STEWARD:
        raise NotAllowed(
            "DPQ-303",
            "the policy does not say what the steward may ask for",
            fix='[analysts.steward] with purposes = ["..."], and steward = { epsilon = 1.0 } in budgets.analysts',
        )
    if declared is None:
        raise NotAllowed(
            "DPQ-303", f"the policy names no analyst {analyst[:64]!r}", fix="ask the steward to add them to the policy"
        )
    user = pwd.getpwuid(os.geteuid()).pw_name if declared.os_user is not None else None
    if declared.os_user is not None and user != declared.os_user:
        raise NotAllowed(
            "DPQ-306", f"{analyst} may only ask as another user of this machine", fix="log in as that user"
        )


def check_steward(ledger: Ledger, key_file: Path) -> None:
    """NotAllowed unless the key in `key_file` is that of the ledger's steward; LedgerError if others can read it."""
    if not holds_key(key_file, ledger.steward):
        raise NotAllowed(
            "DPQ-402",
            f"{key_file} is not the key of this ledger's steward",
            fix="ask as an analyst, or put the key back",
        )


def check_purpose(policy: Policy, analyst: str, purpose: str) -> Purpose:
    """The purpose, if this analyst may use it."""
    allowed = policy.analysts[analyst].purposes
    if purpose not in allowed or purpose not in policy.purposes:
        raise NotAllowed(
            "DPQ-304", f"{analyst} may not ask for the purpose {purpose[:64]!r}", fix="one of: " + ", ".join(allowed)
        )
    return policy.purposes[purpose]


def check_table(policy: Policy, purpose: str, table: str) -> None:
    """NotAllowed unless the purpose may read the table: what people consented to is read for duties alone."""
    fault = Permission.of(policy, purpose).table_fault(table)
    if fault is not None:
        raise NotAllowed(fault.code, fault.why, fix=fault.fix)
