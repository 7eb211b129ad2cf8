"""Answers to the statements that are no query: previews, budgets and settings as tables. Free: nothing is charged."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from dpquery.accounting import Loss
from dpquery.accounting.remaining import repeats_left
from dpquery.asking.access import check_table
from dpquery.budget import own_budgets
from dpquery.errors import QueryRefused
from dpquery.faces.facts import Fact, Facts
from dpquery.ledger import Scope
from dpquery.privacy.bound import ALL_TIME

if TYPE_CHECKING:
    from dpquery.documents import ScopeBudget
    from dpquery.preview import Preview
    from dpquery.session import Session

EXPLAIN = "EXPLAIN PRIVACY"
SHOW = "SHOW PRIVACY BUDGET"
REMAINING = "ESTIMATE_REMAINING_DP_AGGREGATES"


def explained(preview: Preview) -> Facts:
    """EXPLAIN PRIVACY: the lines of a preview."""
    labels, texts = zip(*preview.lines(), strict=True)
    columns = (Fact("item", "string", tuple(labels)), Fact("text", "string", tuple(texts)))
    return Facts(EXPLAIN, "What the query would cost; nothing is spent", columns, preview=preview)


def budget_shown(session: Session, table: str | None) -> Facts:
    """SHOW PRIVACY BUDGET: what the asker has spent and has left in each block, or in those of `table`'s rows."""
    blocks = None if table is None else _blocks(session, table)
    found = own_budgets(session.store.policy, session.ledger, session.analyst, blocks)
    columns = (
        Fact("scope", "string", tuple(each.scope for each in found)),
        Fact("block", "string", tuple(each.block for each in found)),
        Fact("epsilon_cap", "number", tuple(each.cap.epsilon for each in found)),
        Fact("epsilon_spent", "number", tuple(each.spent.epsilon for each in found)),
        Fact("epsilon_left", "number", tuple(each.left.epsilon for each in found)),
        Fact("delta_cap", "number", tuple(each.cap.delta for each in found)),
        Fact("delta_spent", "number", tuple(each.spent.delta for each in found)),
        Fact("delta_left", "number", tuple(each.left.delta for each in found)),
        Fact("rho_cap", "number", tuple(each.filters.zcdp.rho_cap for each in found)),
        Fact("rho_spent", "number", tuple(each.filters.zcdp.rho for each in found)),
        Fact("share_used", "number", tuple(each.used for each in found)),
        Fact("more_like_last", "integer", tuple(each.more_like_last for each in found)),
    )
    of = "" if table is None else f", in the blocks of {table}"
    return Facts(SHOW, f"Privacy budget of {session.analyst}{of}", columns, _notes(found))


def _notes(found: tuple[ScopeBudget, ...]) -> tuple[str, ...]:
    shared = "budgets that are shared with others may allow less"
    if any(each.block == "*" for each in found):
        return (shared, "block * stands for each block that nothing was spent in")
    return (shared,)


def remaining(session: Session, table: str) -> Facts:
    """ESTIMATE_REMAINING_DP_AGGREGATES: how many more counts each block of the table's rows allows."""
    blocks = _blocks(session, table)
    found = own_budgets(session.store.policy, session.ledger, session.analyst, blocks)
    epsilon = session.settings.epsilon or session.store.policy.limits.epsilon_default
    columns = (
        Fact("number_of_remaining_dp_aggregates", "integer", tuple(_more(session, b, epsilon) for b in blocks)),
        Fact("privacy_budget_limit", "number", tuple(each.cap.epsilon for each in found)),
        Fact("privacy_budget_window", "string", tuple(each.block for each in found)),
        Fact("privacy_budget_spent", "number", tuple(each.spent.epsilon for each in found)),
        Fact("forecast_exhausted_on", "string", tuple(each.exhausted_on.median for each in found)),
    )
    notes = (
        f"counts at epsilon {epsilon:g} each, by Laplace noise; windows are blocks of the rows' own time",
        "empty where a budget that is shared with others allows fewer, or where no date is forecast",
    )
    return Facts(REMAINING, f"How many more aggregates {session.analyst} may ask of {table}", columns, notes)


def _more(session: Session, block: str, epsilon: float) -> int | None:
    """Further counts that the asker's own scope allows in a block; None where a shared one allows fewer."""
    asked = Fraction(str(epsilon))
    loss = Loss.of(asked, rho=asked**2 / 2, delta=Fraction(0))
    standings = session.ledger.paying([(scope, block) for scope in session.scopes()], session.members())
    counts = {s.scope: repeats_left(s.cap, s.spent, loss) for s in standings if s.cap is not None}
    own = counts.get(Scope("analyst", session.analyst))
    return None if own is None or any(count < own for count in counts.values()) else own


def setting_shown(session: Session, name: str, statement: str) -> Facts:
    """SET and RESET: what holds in the session from now on."""
    settings, default = session.settings, session.store.policy.limits.epsilon_default
    priced = settings.epsilon or default
    values = {
        "epsilon": f"{priced:g}" if settings.within is None else f"the least that gives ± {settings.within:g}",
        "purpose": session.purpose,
        "confidence": f"{session.settings.confidence:g}",
    }
    reset = statement.split(None, 1)[0].upper() == "RESET"
    done = "is what the session began with" if reset else "holds until this session ends"
    columns = (Fact("setting", "string", (f"dp.{name}",)), Fact("value", "string", (values[name],)))
    return Facts(statement, f"dp.{name} {done}", columns)


def _blocks(session: Session, name: str) -> tuple[str, ...]:
    """The budget blocks that a table's rows can lie in."""
    table = session.catalog.tables.get(name.lower())
    if table is None or table.policy.public:
        asked = [known for known, each in session.catalog.tables.items() if not each.policy.public]
        raise QueryRefused("DPQ-103", f"{name[:64]} is not a table with a budget", fix="one of: " + ", ".join(asked))
    check_table(session.store.policy, session.purpose, table.name)
    return table.period.months() if table.by_month and table.period is not None else (ALL_TIME,)
