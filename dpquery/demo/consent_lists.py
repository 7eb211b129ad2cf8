"""The demo's consents and do-not-call lists, in the format that the registry takes in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from typing import Any


def consent_list(consents: Any) -> Any:
    """What people said: a yes with its end, and a no from when it was said."""
    status = consents["status"]
    withdrawn, yes = pc.equal(status, "withdrawn"), pc.is_in(status, pa.array(["given", "expired"]))
    return pa.table(
        {
            "phone": consents["number"],
            "purpose": consents["purpose"],
            "status": pc.if_else(yes, "given", status),
            "basis": consents["basis"],
            "effective_at": pc.if_else(withdrawn, consents["withdrawn_at"], consents["granted_at"]),
            "expires_at": pc.if_else(yes, consents["expires_at"], pa.scalar(None, consents["expires_at"].type)),
            "source": pa.repeat("person", len(consents)),
            "notice_version": consents["notice_version"],
            "method": consents["channel"],
        }
    )


def opt_out_list(dnc: Any) -> Any:
    """Who must not be called with offers, each by the list that they are on."""
    return pa.table(
        {
            "phone": dnc["number"],
            "purpose": pa.repeat("marketing", len(dnc)),
            "status": pa.repeat("refused", len(dnc)),
            "effective_at": dnc["added_on"],
            "source": dnc["list_name"],
        }
    )
