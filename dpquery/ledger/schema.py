"""Tables of the ledger.

`entries` is the record; every other table is a fold of it, kept for speed and checked against it. Nothing is ever
changed or deleted, but for the amounts in `balances` and the place of `head`. `migrations` makes them, with triggers.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from dpquery.ledger.entries import KINDS

_Whole = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()

_KINDS_TEXT = ", ".join(f"'{kind}'" for kind in KINDS)

entries = Table(
    "entries",
    metadata,
    Column("sequence", _Whole, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("previous", Text, nullable=False, unique=True),
    Column("hash", Text, nullable=False, unique=True),
    CheckConstraint("sequence >= 1", name="entries_from_one"),
    CheckConstraint(f"kind IN ({_KINDS_TEXT})", name="entries_kind"),
    CheckConstraint("length(previous) = 64 AND length(hash) = 64", name="entries_hashes"),
    sqlite_strict=True,
)
Index("entries_by_kind", entries.c.kind, entries.c.sequence)

head = Table(
    "head",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("sequence", _Whole, ForeignKey("entries.sequence"), nullable=False),
    Column("hash", Text, nullable=False),
    CheckConstraint("one = 1", name="head_is_one"),
    sqlite_strict=True,
)
"""The last entry: what is appended must follow it, and a cut-off tail shows."""

charges = Table(
    "charges",
    metadata,
    Column("sequence", _Whole, ForeignKey("entries.sequence"), primary_key=True, autoincrement=False),
    Column("question", Text, nullable=False),
    Column("unversioned", Text, nullable=False),
    Column("asked_epsilon", _Whole),
    CheckConstraint("asked_epsilon >= 0", name="charges_asked_epsilon"),
    sqlite_strict=True,
)
Index("charges_question", charges.c.question, charges.c.sequence)
Index("charges_unversioned", charges.c.unversioned, charges.c.sequence)

charged_pairs = Table(
    "charged_pairs",
    metadata,
    Column("charge", _Whole, ForeignKey("charges.sequence"), nullable=False),
    Column("scope", Text, nullable=False),
    Column("block", Text, nullable=False),
    Column("entry", _Whole, ForeignKey("entries.sequence"), nullable=False),
    PrimaryKeyConstraint("charge", "scope", "block"),
    sqlite_strict=True,
)
"""Who has paid for which release: each scope and block at most once."""

requests = Table(
    "requests",
    metadata,
    Column("request", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("charge", _Whole, ForeignKey("charges.sequence"), nullable=False),
    Column("entry", _Whole, ForeignKey("entries.sequence"), nullable=False),
    sqlite_strict=True,
)

releases = Table(
    "releases",
    metadata,
    Column("charge", _Whole, ForeignKey("charges.sequence"), primary_key=True, autoincrement=False),
    Column("entry", _Whole, ForeignKey("entries.sequence"), nullable=False, unique=True),
    Column("sha256", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    sqlite_strict=True,
)

members = Table(
    "members",
    metadata,
    Column("group_name", Text, nullable=False),
    Column("analyst", Text, nullable=False),
    Column("entry", _Whole, ForeignKey("entries.sequence"), nullable=False),
    PrimaryKeyConstraint("group_name", "analyst"),
    sqlite_strict=True,
)
"""Who ever belonged to which group: those who have joined stay."""

failures = Table(
    "failures",
    metadata,
    Column("charge", _Whole, ForeignKey("charges.sequence"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("entry", _Whole, ForeignKey("entries.sequence"), nullable=False),
    PrimaryKeyConstraint("charge", "attempt"),
    CheckConstraint("attempt >= 1", name="failures_from_one"),
    sqlite_strict=True,
)

balances = Table(
    "balances",
    metadata,
    Column("scope", Text, nullable=False),
    Column("block", Text, nullable=False),
    Column("epsilon", _Whole),
    Column("rho", _Whole),
    Column("delta", _Whole, nullable=False),
    Column("cap_epsilon", _Whole),
    Column("cap_rho", _Whole),
    Column("cap_delta", _Whole),
    PrimaryKeyConstraint("scope", "block"),
    CheckConstraint("epsilon >= 0", name="balances_epsilon"),
    CheckConstraint("rho >= 0", name="balances_rho"),
    CheckConstraint("delta >= 0", name="balances_delta"),
    CheckConstraint(
        "(cap_epsilon IS NULL) = (cap_rho IS NULL) AND (cap_epsilon IS NULL) = (cap_delta IS NULL)",
        name="balances_cap_whole",
    ),
    # NULL is infinite, and an unknown result would pass a CHECK: each comparison is guarded.
    CheckConstraint(
        "cap_epsilon IS NULL OR (delta <= cap_delta AND ((epsilon IS NOT NULL AND epsilon <= cap_epsilon)"
        " OR (rho IS NOT NULL AND rho <= cap_rho)))",
        name="balances_within_cap",
    ),
    sqlite_strict=True,
)
"""Spent by each scope in each block, and the cap that its last charge was admitted under.

NULL: none bound it, or the last to spend was a join or an adoption, which no cap stops.
"""
