"""Who may ask what: analysts, purposes, tables, and the machine user a policy may tie an analyst to."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

from dpquery.errors import NotAllowed

if TYPE_CHECKING:
    from dpquery.policy import Policy, Purpose


def check_analyst(policy: Policy, analyst: str) -> None:
    """NotAllowed unless the policy names the analyst and this process runs as the user it ties them to."""
    declared = policy.analysts.get(analyst)
    if declared is None:
        raise NotAllowed(
            "DPQ-303", f"the policy names no analyst {analyst[:64]!r}", fix="ask the steward to add them to the policy"
        )
    user = pwd.getpwuid(os.geteuid()).pw_name if declared.os_user is not None else None
    if declared.os_user is not None and user != declared.os_user:
        raise NotAllowed(
            "DPQ-306", f"{analyst} may only ask as another user of this machine", fix="log in as that user"
        )


def check_purpose(policy: Policy, analyst: str, purpose: str) -> Purpose:
    """The purpose, if this analyst may use it and its regime lets any row count."""
    allowed = policy.analysts[analyst].purposes
    if purpose not in allowed or purpose not in policy.purposes:
        raise NotAllowed(
            "DPQ-304", f"{analyst} may not ask for the purpose {purpose[:64]!r}", fix="one of: " + ", ".join(allowed)
        )
    declared = policy.purposes[purpose]
    if declared.regime == "opt-in":
        raise NotAllowed(
            "DPQ-401",
            f"{purpose} is opt-in: silence means no, and this store holds no consent records, so no row may count",
            fix="ask for a purpose whose regime is opt-out",
        )
    if declared.regime == "duty":
        raise NotAllowed("DPQ-402", f"{purpose} is a duty purpose, open to stewards only", fix="ask the steward")
    return declared


def check_table(policy: Policy, purpose: str, table: str) -> None:
    """NotAllowed unless the purpose may read the table."""
    tables = policy.purposes[purpose].tables
    if "*" not in tables and table not in tables:
        raise NotAllowed("DPQ-305", f"{purpose} may not read {table}", fix="tables it may read: " + ", ".join(tables))
