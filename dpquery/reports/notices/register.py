"""The register of processing (Article 30 GDPR) as a document: every field of the policy that bears on people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dpquery.budget import clock_text
from dpquery.documents import RegisterDocument, RegisterPurpose, RegisterTable
from dpquery.reports.notices.data import catalog_of_policy, further, protected_tables
from dpquery.reports.notices.notice import stated
from dpquery.reports.notices.odds import notice_odds
from dpquery.reports.notices.purposes import may_read, notice_purposes, notices, recipients

if TYPE_CHECKING:
    from datetime import datetime

    from dpquery.documents import Bound, DataTable, NoticePurpose
    from dpquery.policy import Policy

PURPOSE_TOLD: Final = frozenset({"text", "notice", "regime", "tables", "sensitive", "secondary", "kind"})

TABLE_TOLD: Final = frozenset(
    {"public", "legs_of", "carries", "parties", "registry", "period", "block", "retention_days", "columns", "time"}
)
"""Fields that the register says in words of its own."""

TABLE_TECHNICAL: Final = frozenset({"key", "region_column", "bounds"})
"""Fields that decide how a file is read and how large noise is, and nothing about people."""

BY_NUMBERS: Final = {"phone": "by phonenumbers, so that all spellings of a number are one", "opaque": "as they are"}


def register(policy: Policy, promised: Bound, *, at: datetime, head: str) -> RegisterDocument:
    """The register as of `at`. `promised`: in one block, by the ledger whose head is `head`."""
    told = policy.report
    catalog = catalog_of_policy(policy)
    purposes = notice_purposes(policy, catalog, at.date())
    return RegisterDocument(
        at=clock_text(at),
        dataset=policy.dataset,
        policy_version=policy.version,
        ledger_head=head,
        controller=stated(told.curator),
        contact=stated(told.contact),
        sector=stated(told.sector),
        region=stated(told.region),
        intended_use=stated(told.intended_use),
        complaints=stated(told.complaints),
        transfers=stated(told.transfers),
        opt_out=stated(told.opt_out),
        notices=notices(policy),
        purposes=tuple(_purpose(policy, purpose) for purpose in purposes),
        tables=tuple(_table(policy, table) for table in protected_tables(policy, catalog)),
        public_tables=tuple(name for name, table in policy.tables.items() if table.public),
        numbers=policy.numbers.model_dump(mode="json", by_alias=True, exclude_none=True),
        limits=policy.limits.model_dump(mode="json", by_alias=True, exclude_none=True),
        odds=notice_odds(policy, promised),
        security=_security(policy),
    )


def _purpose(policy: Policy, told: NoticePurpose) -> RegisterPurpose:
    purpose = policy.purposes[told.name]
    return RegisterPurpose(
        **dict(told),
        kind=purpose.kind,
        all_tables="*" in purpose.tables,
        recipients=recipients(policy, told.name),
        further=further(purpose, PURPOSE_TOLD),
    )


def _table(policy: Policy, told: DataTable) -> RegisterTable:
    table = policy.tables[told.name]
    source = policy.tables[told.of or told.name]
    return RegisterTable(
        **dict(told),
        purposes=tuple(name for name in policy.purposes if may_read(policy, name, told.name)),
        block=source.block,
        further=further(table, TABLE_TOLD | TABLE_TECHNICAL),
    )


def _security(policy: Policy) -> tuple[str, ...]:
    places, limits = policy.ledger, policy.limits
    where = "a file in the store" if places.url is None else f"the database {places.url}"
    held = (
        "No checkpoint of it is named, so that an older copy in its place would not be noticed."
        if places.checkpoint is None
        else f"Every use of it is held against the checkpoint {places.checkpoint}."
    )
    users = [name for name, analyst in policy.analysts.items() if analyst.os_user is not None]
    noise = "Laplace or Gaussian" if limits.gaussian else "Laplace"
    return (
        (
            f"Numbers are read {BY_NUMBERS[policy.numbers.format]}, and rest as pseudonyms: HMAC-SHA-256 under a "
            "key that lies outside the store."
        ),
        "Files of the store, its keys, the ledger and the quarantine can be read by their owner only (mode 0600).",
        "Only declared columns are stored, and times only to the grain that is declared.",
        "Rows that cannot be stored go to a quarantine, which holds numbers in the clear and is the steward's.",
        (
            "Nobody reads rows. Analysts get answers with noise: each number counts up to a fixed number of times, "
            f"at both ends of a call, and {noise} noise by OpenDP is added (differential privacy)."
        ),
        (
            "Each answer is charged to budgets before any row is read. What is spent never comes back, and no "
            "steward can raise a budget above its ceiling."
        ),
        f"The ledger of charges is {where}: a chain of hashes, in which decisions are signed by the steward. {held}",
        (
            "A row counts only if every number on it allows the purpose. Consents are kept in a registry that is only "
            "added to."
        ),
        (
            "Names of analysts are claims, except for those who are tied to a user of the machine: "
            f"{', '.join(users) or 'nobody'}. The steward asks with a key."
        ),
        f"Stored answers grow old with consents: {policy.consent.tick}.",
        (
            f"What somebody said is kept, as evidence, for {policy.consent.retention_days} days after it bears on "
            "nothing any more."
        ),
    )
