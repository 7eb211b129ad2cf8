"""Triggers of the ledger's tables: with `schema`, what the steps in `migrations` have made by now."""

from __future__ import annotations

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
