"""Balances as documents: what was spent, what is left, how many more answers that is."""

from __future__ import annotations

from datetime import UTC
from decimal import ROUND_FLOOR, Decimal
from itertools import islice
from typing import TYPE_CHECKING

from dpquery.accounting import ATTO, NANO, PICO, filters
from dpquery.accounting.remaining import epsilon_left, repeats_left
from dpquery.clock import utc_now
from dpquery.describe import epsilon_of_rho, plain, upwards
from dpquery.documents import (
    Amount,
    BudgetDocument,
    ConcentratedFilter,
    EntryCounts,
    ExhaustedOn,
    FilterStates,
    LedgerState,
    Left,
    Lifetime,
    PureFilter,
    ScopeBudget,
)
from dpquery.errors import BudgetRefused, broken
from dpquery.ledger import EACH_BLOCK, Scope, ScopeBalance, usage_of
from dpquery.reports.forecast import forecast

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import date, datetime

    from dpquery.accounting import Cap, Loss
    from dpquery.ledger import Ledger, OverBudget, Standing, Usage, Verification
    from dpquery.ledger import Lifetime as LedgerLifetime
    from dpquery.policy import Policy
    from dpquery.policy.model import Budget
    from dpquery.privacy.calibrate import PrivacyPlan


NO_FORECAST = ExhaustedOn()
"""Where none was asked for: an analyst's own view, and decisions."""


def left_for(paying: Sequence[Standing], plan: PrivacyPlan) -> Left | None:
    """What the asker's own scope has left in the tightest block of the plan; None where a shared cap is tighter.

    `paying` are all who would be charged. Shared balances are other people's, so they are not told, not even by how
    much they are tighter.
    """
    found = {(s.scope, s.block): (s.cap, s.spent) for s in paying if s.cap is not None}
    own = {pair: balance for pair, balance in found.items() if pair[0].kind == "analyst"}
    if not own:
        return None
    counts = {pair: repeats_left(cap, spent, plan.loss) for pair, (cap, spent) in found.items()}
    left = {
        pair: epsilon_left(cap, spent, lambda rho: _epsilon_nano(rho, plan.delta_release))
        for pair, (cap, spent) in own.items()
    }
    tightest = min(own, key=lambda pair: (counts[pair], left[pair]))
    if any(counts[pair] < counts[tightest] for pair in found if pair not in own):
        return None
    cap, spent = own[tightest]
    return Left(
        epsilon=_down(min(left.values()), NANO),
        delta=_delta_left(cap, spent),
        more_like_this=counts[tightest],
        binding_scope=str(tightest[0]),
    )


def over_budget(refused: OverBudget, plan: PrivacyPlan) -> BudgetRefused:
    """A refusal in the asker's terms: what was asked, what their own scope has left, and what would fit."""
    asked = _text(plan.asked_epsilon)
    if not refused.left:
        why = f"asked epsilon {asked}, and a budget that is shared with others does not allow it"
        return BudgetRefused("DPQ-201", why, fix="ask for less, or ask the steward")
    if plan.loss.delta and any(each.left.delta_left < plan.loss.delta for each in refused.left):
        why = f"{refused.left[0].scope} has no delta left for groups that are selected from the rows"
        return BudgetRefused("DPQ-201", why, fix="GROUP BY declared keys, or ask the steward for more delta")
    left = min(max(each.fits.epsilon, _epsilon_nano(each.left.zcdp.left, plan.delta_release)) for each in refused.left)
    blocks = ", ".join(each.block for each in refused.left)
    why = f"asked epsilon {asked}, and {refused.left[0].scope} has {_text(left)} left (in {blocks})"
    if refused.shared:
        why += "; a budget that is shared with others does not allow it either"
    return BudgetRefused("DPQ-201", why, fix=f"--epsilon {_text(left)}" if left else "ask the steward for more")


def _text(nano: int) -> str:
    """Nano-epsilon as short text, rounded down to what can be asked again."""
    digits = Decimal(nano) / NANO
    rounded = digits.quantize(Decimal("1e-4"), rounding=ROUND_FLOOR) if nano >= NANO // 1000 else digits
    return plain(rounded)


def read_usage(ledger: Ledger) -> tuple[Verification, Usage]:
    """The verified ledger, and what its entries say as of the same one; later charges are in neither."""
    verification = ledger.verify()
    return verification, usage_of(islice(ledger.entries(), verification.entries))


def budget_document(
    policy: Policy,
    ledger: Ledger,
    notes: Sequence[str] = (),
    *,
    blocks: Collection[str] | None = None,
    now: Callable[[], datetime] = utc_now,
) -> BudgetDocument:
    """Every scope and block, or those of `blocks`, with cap, spending and what is left; the ledger is verified."""
    at = now().astimezone(UTC)
    verification, usage = read_usage(ledger)
    found = scope_budgets(usage, policy.limits.delta_release, today=at.date())
    return BudgetDocument(
        dataset=policy.dataset,
        at=clock_text(at),
        policy_version=policy.version,
        ledger=LedgerState(head=verification.head, entries=verification.entries, verified=verification.verified),
        scopes=tuple(each for each in found if blocks is None or each.block in blocks),
        lifetime=tuple(lifetime(total) for total in usage.lifetimes),
        notes=tuple(notes),
    )


def clock_text(at: datetime) -> str:
    """A time as UTC text, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def scope_budgets(usage: Usage, delta: float, *, today: date) -> tuple[ScopeBudget, ...]:
    """Every scope and block with a cap; `delta` is that at which a Gaussian's epsilon is described."""
    standings = (*(balance for balance in usage.balances if balance.cap is not None), *usage.each_block)
    return tuple(
        scope_budget(one, delta, usage.ceilings.get((one.scope, one.block)), _exhausted_on(one, usage, today))
        for one in standings
    )


def _exhausted_on(one: Standing, usage: Usage, today: date) -> ExhaustedOn:
    """When the budget runs out; today is no earlier than the last charge, whatever the clock says."""
    charges = usage.charges.get((one.scope, one.block), ())
    if one.cap is None or one.state == "closed":
        return ExhaustedOn(standing="closed")
    found = forecast(one.cap, one.spent, charges, today=max([today, *(day for day, _ in charges)]))
    return ExhaustedOn(
        median=None if found.median is None else found.median.isoformat(),
        pessimistic=None if found.pessimistic is None else found.pessimistic.isoformat(),
        standing=found.standing,
    )


def own_budgets(
    policy: Policy, ledger: Ledger, analyst: str, blocks: Sequence[str] | None = None
) -> tuple[ScopeBudget, ...]:
    """What one analyst has spent and has left, in each of `blocks`; None: wherever they spent or were granted."""
    own = Scope("analyst", analyst)
    delta = policy.limits.delta_release
    found = {b.block: b for b in ledger.balances() if b.scope == own and b.cap is not None}
    if blocks is None:
        blocks = tuple(found) or (EACH_BLOCK,)
    standings = ledger.standing([(own, block) for block in blocks if block not in found])
    fresh = {s.block: s for s in standings if s.cap is not None}
    everything: dict[str, Standing] = {**fresh, **found}
    caps = ledger.caps()
    return tuple(
        scope_budget(everything[block], delta, caps.ceiling(own, block)) for block in blocks if block in everything
    )


def budgets_of(policy: Policy) -> tuple[tuple[Scope, Budget], ...]:
    """Every scope that the policy names a budget for, with that budget."""
    budgets = policy.budgets
    return (
        (Scope("dataset"), budgets.dataset),
        *((Scope("analyst", name), budget) for name, budget in budgets.analysts.items()),
        *((Scope("group", name), budget) for name, budget in budgets.groups.items()),
        *((Scope("purpose", name), budget) for name, budget in budgets.purposes.items()),
    )


def amount_of(cap: Cap) -> Amount:
    """A cap's epsilon and delta as numbers."""
    return Amount(epsilon=_down(cap.epsilon, NANO), delta=_down(cap.delta, ATTO))


def scope_budget(
    balance: Standing, delta: float, ceiling: Cap | None, exhausted_on: ExhaustedOn = NO_FORECAST
) -> ScopeBudget:
    """A scope and block with a cap, as documents show it; `delta` describes the epsilon of one Gaussian answer."""
    cap, spent = balance.cap, balance.spent
    counts = balance.counts if isinstance(balance, ScopeBalance) else {}
    last = balance.last if isinstance(balance, ScopeBalance) else None
    if cap is None:
        broken("only scopes with a cap are shown")
    left = epsilon_left(cap, spent, lambda rho: _epsilon_nano(rho, delta))
    return ScopeBudget(
        scope=str(balance.scope),
        kind=balance.scope.kind,
        name=balance.scope.name,
        block=balance.block,
        state=balance.state,
        cap=amount_of(cap),
        ceiling=None if ceiling is None else amount_of(ceiling),
        spent=Amount(epsilon=spent_epsilon(cap, spent, delta), delta=_up(spent.delta, ATTO)),
        left=Amount(epsilon=_down(left, NANO), delta=_delta_left(cap, spent)),
        used=share_used(cap, spent),
        filters=_filters(cap, spent),
        entries=EntryCounts(
            **{kind: counts.get(kind, 0) for kind in ("released", "failed", "charged", "repeated", "refused")}
        ),
        more_like_last=None if last is None else repeats_left(cap, spent, last),
        exhausted_on=exhausted_on,
    )


def _filters(cap: Cap, spent: Loss) -> FilterStates:
    concentrated = None
    state = filters(cap, spent)
    if spent.rho is not None and cap.delta_conversion:
        concentrated = epsilon_of_rho(spent.rho, cap.delta_conversion / ATTO)
    return FilterStates(
        pure=PureFilter(open=state.pure.open, epsilon=None if spent.epsilon is None else _up(spent.epsilon, NANO)),
        zcdp=ConcentratedFilter(
            open=state.zcdp.open,
            rho=None if spent.rho is None else _up(spent.rho, PICO),
            rho_cap=_down(cap.rho, PICO),
            epsilon=concentrated,
        ),
    )


def share_used(cap: Cap, spent: Loss) -> float:
    """Share of the filter that has more left, or of the delta for answers if that is more used.

    Above 1 where the cap was lowered below what is spent.
    """
    shares = []
    if spent.epsilon is not None and cap.epsilon:
        shares.append(spent.epsilon / cap.epsilon)
    if spent.rho is not None and cap.rho:
        shares.append(spent.rho / cap.rho)
    of_delta = spent.delta / cap.delta_selection if cap.delta_selection else float(spent.delta > 0)
    return max(min(shares, default=1.0), of_delta)


def _delta_left(cap: Cap, spent: Loss) -> float:
    """Delta that is left of the whole; none where a lowered cap is passed."""
    return _down(max(0, cap.delta - 2 * spent.delta), ATTO)


def spent_epsilon(cap: Cap, spent: Loss, delta: float) -> float:
    """Epsilon lost so far, by the filter that says less; at `delta` where the cap has none left for Gaussians."""
    found = []
    if spent.epsilon is not None:
        found.append(_up(spent.epsilon, NANO))
    if spent.rho is not None and (cap.delta_conversion or spent.epsilon is None):
        found.append(epsilon_of_rho(spent.rho, cap.delta_conversion / ATTO or delta))
    return min(found, default=_up(cap.epsilon, NANO))


def lifetime(total: LedgerLifetime | Standing) -> Lifetime:
    """The sum over all blocks: what a number that was active in each could have lost; or what one block has spent."""
    spent = total.spent
    return Lifetime(
        scope=str(total.scope),
        epsilon=None if spent.epsilon is None else _up(spent.epsilon, NANO),
        delta=_up(spent.delta, ATTO),
        rho=None if spent.rho is None else _up(spent.rho, PICO),
    )


def _epsilon_nano(rho_pico: int, delta: float) -> int:
    """Nano-epsilon, rounded down, of the largest Gaussian answer that this rho allows."""
    return int(epsilon_of_rho(rho_pico, delta) * NANO)


def _up(units: int, scale: int) -> float:
    return upwards(Decimal(units) / scale)


def _down(units: int, scale: int) -> float:
    return float((Decimal(units) / scale).quantize(Decimal("1e-18"), rounding=ROUND_FLOOR))
