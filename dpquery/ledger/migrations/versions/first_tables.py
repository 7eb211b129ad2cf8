"""The first tables: entries and what is folded from them, and triggers that keep programs from changing them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_KINDS = "'genesis', 'grant', 'close', 'charge', 'release', 'fail', 'repeat', 'refuse', 'join', 'adopt'"

APPEND_ONLY = ("entries", "charges", "charged_pairs", "requests", "releases", "members", "failures")

SQLITE_TRIGGERS = (
    *(
        f"CREATE TRIGGER {table}_no_{act.lower()} BEFORE {act} ON {table}"
        f" BEGIN SELECT RAISE(ABORT, 'rows of {table} are final'); END"
        for table in APPEND_ONLY
        for act in ("UPDATE", "DELETE")
    ),
    (
        "CREATE TRIGGER balances_no_delete BEFORE DELETE ON balances"
        " BEGIN SELECT RAISE(ABORT, 'balances are never deleted'); END"
    ),
    (
        "CREATE TRIGGER balances_no_refund BEFORE UPDATE ON balances"
        " WHEN NEW.delta < OLD.delta"
        " OR (OLD.epsilon IS NULL AND NEW.epsilon IS NOT NULL) OR NEW.epsilon < OLD.epsilon"
        " OR (OLD.rho IS NULL AND NEW.rho IS NOT NULL) OR NEW.rho < OLD.rho"
        " BEGIN SELECT RAISE(ABORT, 'nothing spent comes back'); END"
    ),
    (
        "CREATE TRIGGER entries_follow BEFORE INSERT ON entries"
        " WHEN NEW.sequence <> (SELECT coalesce(max(sequence), 0) + 1 FROM entries)"
        " OR (NEW.sequence > 1 AND NEW.previous <> (SELECT hash FROM entries WHERE sequence = NEW.sequence - 1))"
        " BEGIN SELECT RAISE(ABORT, 'an entry follows the last one'); END"
    ),
)
"""Stops mistakes of programs; who can write the file can drop them, and is found by `verify`."""

POSTGRES_TRIGGERS = (
    (
        "CREATE FUNCTION dpquery_final() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN RAISE EXCEPTION 'rows of % are final', TG_TABLE_NAME; END $$"
    ),
    (
        "CREATE FUNCTION dpquery_no_refund() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN IF NEW.delta < OLD.delta"
        " OR (OLD.epsilon IS NULL AND NEW.epsilon IS NOT NULL) OR NEW.epsilon < OLD.epsilon"
        " OR (OLD.rho IS NULL AND NEW.rho IS NOT NULL) OR NEW.rho < OLD.rho"
        " THEN RAISE EXCEPTION 'nothing spent comes back'; END IF; RETURN NEW; END $$"
    ),
    (
        "CREATE FUNCTION dpquery_follows() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN IF NEW.sequence <> (SELECT coalesce(max(sequence), 0) + 1 FROM entries)"
        " OR (NEW.sequence > 1 AND NEW.previous <> (SELECT hash FROM entries WHERE sequence = NEW.sequence - 1))"
        " THEN RAISE EXCEPTION 'an entry follows the last one'; END IF; RETURN NEW; END $$"
    ),
    *(
        f"CREATE TRIGGER {table}_final BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION dpquery_final()"
        for table in APPEND_ONLY
    ),
    *(
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} EXECUTE FUNCTION dpquery_final()"
        for table in (*APPEND_ONLY, "balances", "head")
    ),
    "CREATE TRIGGER balances_no_delete BEFORE DELETE ON balances FOR EACH ROW EXECUTE FUNCTION dpquery_final()",
    "CREATE TRIGGER balances_no_refund BEFORE UPDATE ON balances FOR EACH ROW EXECUTE FUNCTION dpquery_no_refund()",
    "CREATE TRIGGER entries_follow BEFORE INSERT ON entries FOR EACH ROW EXECUTE FUNCTION dpquery_follows()",
)
"""The same in PostgreSQL, whose owner of the tables can drop them."""


def upgrade() -> None:
    op.create_table(
        "entries",
        sa.Column("sequence", _WHOLE, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("previous", sa.Text, nullable=False, unique=True),
        sa.Column("hash", sa.Text, nullable=False, unique=True),
        sa.CheckConstraint("sequence >= 1", name="entries_from_one"),
        sa.CheckConstraint(f"kind IN ({_KINDS})", name="entries_kind"),
        sa.CheckConstraint("length(previous) = 64 AND length(hash) = 64", name="entries_hashes"),
        sqlite_strict=True,
    )
    op.create_index("entries_by_kind", "entries", ["kind", "sequence"])
    op.create_table(
        "head",
        sa.Column("one", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sequence", _WHOLE, sa.ForeignKey("entries.sequence"), nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.CheckConstraint("one = 1", name="head_is_one"),
        sqlite_strict=True,
    )
    op.create_table(
        "charges",
        sa.Column("sequence", _WHOLE, sa.ForeignKey("entries.sequence"), primary_key=True, autoincrement=False),
        sa.Column("question", sa.Text, nullable=False),
        sa.Column("unversioned", sa.Text, nullable=False),
        sa.Column("asked_epsilon", _WHOLE),
        sa.CheckConstraint("asked_epsilon >= 0", name="charges_asked_epsilon"),
        sqlite_strict=True,
    )
    op.create_index("charges_question", "charges", ["question", "sequence"])
    op.create_index("charges_unversioned", "charges", ["unversioned", "sequence"])
    op.create_table(
        "charged_pairs",
        sa.Column("charge", _WHOLE, sa.ForeignKey("charges.sequence"), nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("block", sa.Text, nullable=False),
        sa.Column("entry", _WHOLE, sa.ForeignKey("entries.sequence"), nullable=False),
        sa.PrimaryKeyConstraint("charge", "scope", "block"),
        sqlite_strict=True,
    )
    op.create_table(
        "requests",
        sa.Column("request", sa.Text, primary_key=True),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("charge", _WHOLE, sa.ForeignKey("charges.sequence"), nullable=False),
        sa.Column("entry", _WHOLE, sa.ForeignKey("entries.sequence"), nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "releases",
        sa.Column("charge", _WHOLE, sa.ForeignKey("charges.sequence"), primary_key=True, autoincrement=False),
        sa.Column("entry", _WHOLE, sa.ForeignKey("entries.sequence"), nullable=False, unique=True),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "members",
        sa.Column("group_name", sa.Text, nullable=False),
        sa.Column("analyst", sa.Text, nullable=False),
        sa.Column("entry", _WHOLE, sa.ForeignKey("entries.sequence"), nullable=False),
        sa.PrimaryKeyConstraint("group_name", "analyst"),
        sqlite_strict=True,
    )
    op.create_table(
        "failures",
        sa.Column("charge", _WHOLE, sa.ForeignKey("charges.sequence"), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("entry", _WHOLE, sa.ForeignKey("entries.sequence"), nullable=False),
        sa.PrimaryKeyConstraint("charge", "attempt"),
        sa.CheckConstraint("attempt >= 1", name="failures_from_one"),
        sqlite_strict=True,
    )
    op.create_table(
        "balances",
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("block", sa.Text, nullable=False),
        sa.Column("epsilon", _WHOLE),
        sa.Column("rho", _WHOLE),
        sa.Column("delta", _WHOLE, nullable=False),
        sa.Column("cap_epsilon", _WHOLE),
        sa.Column("cap_rho", _WHOLE),
        sa.Column("cap_delta", _WHOLE),
        sa.PrimaryKeyConstraint("scope", "block"),
        sa.CheckConstraint("epsilon >= 0", name="balances_epsilon"),
        sa.CheckConstraint("rho >= 0", name="balances_rho"),
        sa.CheckConstraint("delta >= 0", name="balances_delta"),
        sa.CheckConstraint(
            "(cap_epsilon IS NULL) = (cap_rho IS NULL) AND (cap_epsilon IS NULL) = (cap_delta IS NULL)",
            name="balances_cap_whole",
        ),
        # NULL is infinite, and an unknown result would pass a CHECK: each comparison is guarded.
        sa.CheckConstraint(
            "cap_epsilon IS NULL OR (delta <= cap_delta AND ((epsilon IS NOT NULL AND epsilon <= cap_epsilon)"
            " OR (rho IS NOT NULL AND rho <= cap_rho)))",
            name="balances_within_cap",
        ),
        sqlite_strict=True,
    )
    triggers = {"sqlite": SQLITE_TRIGGERS, "postgresql": POSTGRES_TRIGGERS}
    for trigger in triggers[op.get_bind().dialect.name]:
        op.execute(trigger.replace(":", "\\:"))
