"""The view model of the budget report, from what the policy and the verified ledger say. Every form is made of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from dpquery.accounting import ATTO, NANO, PICO
from dpquery.budget import amount_of, clock_text, lifetime, scope_budgets, share_used
from dpquery.catalogue import CATALOGUE
from dpquery.documents import (
    AdoptionRecord,
    Amount,
    BudgetReport,
    ChartPoint,
    ConcentratedFilter,
    ConsentCoverage,
    DecisionRecord,
    FilterStates,
    ForecastChart,
    JoinRecord,
    LifetimeAccount,
    PureFilter,
    RefusedRow,
    ReportAccounting,
    ReportData,
    ReportForecast,
    ReportIdentity,
    ReportImplementation,
    ReportIntegrity,
    ReportPurpose,
    ReportUse,
    RetentionRow,
    ScopeAccount,
    Stated,
    UseRow,
)
from dpquery.ledger import Scope
from dpquery.noise.conversion import epsilon_of
from dpquery.reports import promise, prose
from dpquery.reports.amounts import down, share_up, up, up_or_none

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime

    from dpquery.accounting import Cap, Loss
    from dpquery.documents import Lifetime, ScopeBudget, Status
    from dpquery.ledger import Days, PastDecision, Usage, Use, Verification
    from dpquery.policy import Policy

CHARTS_MAX = 6
POINTS_MAX = 40
"""Days of a chart; of more, evenly spaced ones are shown, and the last."""

TOP_SPENDERS = 3

NEARLY_SPENT, HALF_SPENT = 0.8, 0.5


def budget_report(
    policy: Policy,
    usage: Usage,
    verification: Verification,
    *,
    versions: Mapping[str, str],
    at: datetime,
    coverage: ConsentCoverage | str,
    notes: Sequence[str] = (),
) -> BudgetReport:
    """The report as of `at`.

    `versions`: of the libraries that answers depend on. `coverage`: what people have said, or why that is not stated.
    `notes`: what a reader should know beforehand.
    """
    delta = policy.limits.delta_release
    budgets = scope_budgets(usage, delta, today=at.date())
    lifetimes = [lifetime(total) for total in usage.lifetimes]
    guarantee = promise.guarantee(policy, usage)
    return BudgetReport(
        at=clock_text(at),
        notes=tuple(notes),
        identity=_identity(policy, usage, at),
        guarantee=guarantee,
        unit=promise.unit(policy, guarantee.promised),
        not_protected=promise.unprotected(policy),
        trust=promise.trust(),
        accounting=ReportAccounting(
            composition=prose.COMPOSITION,
            scopes=tuple(_account(each) for each in budgets),
            lifetime=tuple(_lifetime(each, delta) for each in lifetimes),
            decisions=tuple(_decision(each) for each in usage.decisions),
            adoptions=tuple(
                AdoptionRecord(**asdict(each) | {"reason": _text(each.reason)}) for each in usage.adoptions
            ),
            joins=tuple(JoinRecord(**asdict(each)) for each in usage.joins),
        ),
        use=_use(usage),
        forecast=ReportForecast(
            method=prose.METHOD, limits=prose.METHOD_LIMITS, charts=_charts(budgets, usage, at.date())
        ),
        implementation=ReportImplementation(
            versions=dict(versions),
            mechanisms=prose.MECHANISMS,
            noise_source=prose.NOISE_SOURCE,
            defences=prose.DEFENCES,
            preprocessing=prose.PREPROCESSING,
            bounds_from_data=usage.bounds_from_data,
        ),
        data=_data(policy, coverage),
        integrity=ReportIntegrity(
            head=verification.head,
            last_entry_at=verification.at,
            entries=verification.entries,
            charges=verification.charges,
            releases=verification.releases,
            signed_decisions=verification.decisions,
            adoptions=verification.adoptions,
            verified=verification.verified,
            steward_key=verification.steward,
            not_shown=prose.NOT_SHOWN if policy.ledger.checkpoint is None else prose.CHECKPOINT,
        ),
    )


def _identity(policy: Policy, usage: Usage, at: datetime) -> ReportIdentity:
    told = policy.report
    return ReportIdentity(
        dataset=policy.dataset,
        policy_version=policy.version,
        curator=_stated(told.curator, prose.UNNAMED),
        contact=_stated(told.contact, prose.UNNAMED),
        sector=_stated(told.sector, prose.UNNAMED),
        region=_stated(told.region, prose.UNNAMED),
        intended_use=_stated(told.intended_use, prose.UNNAMED),
        purposes=tuple(
            ReportPurpose(name=name, text=purpose.text, notice=purpose.notice, regime=purpose.regime)
            for name, purpose in policy.purposes.items()
        ),
        period_from=usage.began,
        period_to=clock_text(at),
        first_release=_stated(usage.first_release, "nothing was released yet"),
    )


def _stated(value: str | None, otherwise: str) -> Stated:
    return Stated(value=value, reason=otherwise if value is None else None)


def _account(budget: ScopeBudget) -> ScopeAccount:
    filters = budget.filters
    return ScopeAccount(
        scope=budget.scope,
        block=budget.block,
        state=budget.state,
        status=_status(budget),
        used=share_up(budget.used),
        cap=_downwards(budget.cap),
        ceiling=None if budget.ceiling is None else _downwards(budget.ceiling),
        spent=Amount(epsilon=up(budget.spent.epsilon), delta=up(budget.spent.delta)),
        left=_downwards(budget.left),
        filters=FilterStates(
            pure=PureFilter(open=filters.pure.open, epsilon=up_or_none(filters.pure.epsilon)),
            zcdp=ConcentratedFilter(
                open=filters.zcdp.open,
                rho=up_or_none(filters.zcdp.rho),
                rho_cap=down(filters.zcdp.rho_cap),
                epsilon=up_or_none(filters.zcdp.epsilon),
            ),
        ),
        entries=budget.entries,
        more_like_last=budget.more_like_last,
        exhausted_on=budget.exhausted_on,
    )


def _status(budget: ScopeBudget) -> Status:
    if budget.state == "closed":
        return "closed"
    if budget.exhausted_on.standing == "exhausted" or budget.used >= 1.0:
        return "spent"
    if budget.used >= NEARLY_SPENT:
        return "nearly spent"
    return "half spent" if budget.used >= HALF_SPENT else "open"


def _downwards(amount: Amount) -> Amount:
    return Amount(epsilon=down(amount.epsilon), delta=down(amount.delta))


def _cap(cap: Cap) -> Amount:
    return _downwards(amount_of(cap))


def _lifetime(total: Lifetime, delta: float) -> LifetimeAccount:
    return LifetimeAccount(
        scope=total.scope,
        epsilon=up_or_none(total.epsilon),
        delta=up(total.delta),
        rho=up_or_none(total.rho),
        epsilon_converted=None if total.rho is None else up(epsilon_of(total.rho, delta)),
        delta_converted=delta,
    )


def _decision(decision: PastDecision) -> DecisionRecord:
    return DecisionRecord(
        at=decision.at,
        kind=decision.kind,
        scope=str(decision.scope),
        block=decision.block,
        before=None if decision.before is None else _cap(decision.before),
        after=None if decision.after is None else _cap(decision.after),
        actor=decision.actor,
        reason=_text(decision.reason),
    )


def _text(reason: str) -> str:
    """What an entry says, with a mark for what UTF-8 cannot hold: such reasons were taken once."""
    return reason.encode("utf-8", "replace").decode("utf-8")


def _use(usage: Usage) -> ReportUse:
    analysts = _use_rows(usage.by_analyst)
    tables = _use_rows(usage.by_table, refusals_known=False)
    released = sum(row.released for row in tables)
    return ReportUse(
        charges=released + usage.failed + usage.open_charges,
        released=released,
        failed=usage.failed,
        open_charges=usage.open_charges,
        repeated_free=usage.repeated_free,
        repeated_paid=usage.repeated_paid,
        refused=tuple(
            RefusedRow(code=code, title=CATALOGUE[code].title if code in CATALOGUE else "unknown code", requests=count)
            for code, count in usage.refused.items()
        ),
        analysts=analysts,
        purposes=_use_rows(usage.by_purpose),
        tables=tables,
        mechanisms=_use_rows(usage.by_mechanism, refusals_known=False),
        top_spenders=tuple(row.name for row in analysts[:TOP_SPENDERS] if row.share > 0.0),
        expected_error=Stated(
            value=None, reason="the ledger keeps prices, not errors: each release carries its own intervals"
        ),
    )


def _use_rows(uses: Mapping[str, Use], *, refusals_known: bool = True) -> tuple[UseRow, ...]:
    """The largest spenders first."""
    whole = sum(use.spent.rho or 0 for use in uses.values())
    ordered = sorted(uses.items(), key=lambda item: (-(item[1].spent.rho or 0), item[0]))
    return tuple(
        UseRow(
            name=name,
            released=use.released,
            unanswered=use.unanswered,
            repeated=use.repeated,
            refused=use.refused if refusals_known else None,
            epsilon=None if use.spent.epsilon is None else up(use.spent.epsilon / NANO),
            rho=None if use.spent.rho is None else up(use.spent.rho / PICO),
            delta=up(use.spent.delta / ATTO),
            share=share_up((use.spent.rho or 0) / whole) if whole else 0.0,
        )
        for name, use in ordered
    )


def _charts(budgets: tuple[ScopeBudget, ...], usage: Usage, today: date) -> tuple[ForecastChart, ...]:
    """Budgets that run out first: by the pessimistic date, then by the share that is used."""
    found = [
        (budget, usage.spent_by_day[pair], cap)
        for budget in budgets
        for pair in [(Scope.parse(budget.scope), budget.block)]
        for cap in [usage.cap(pair)]
        if pair in usage.spent_by_day and cap is not None
    ]
    found.sort(key=lambda item: (item[0].exhausted_on.pessimistic or "9999", -item[0].used, item[0].scope))
    return tuple(
        ForecastChart(
            scope=budget.scope,
            block=budget.block,
            points=_points(days, cap, today),
            exhausted_on=budget.exhausted_on,
        )
        for budget, days, cap in found[:CHARTS_MAX]
    )


def _points(days: Days, cap: Cap, today: date) -> tuple[ChartPoint, ...]:
    """The share used at the end of days on which it changed, and today."""
    every = [(day, spent) for day, spent in days]
    if every[-1][0] < today:
        every.append((today, every[-1][1]))
    if len(every) > POINTS_MAX:
        places = sorted({round(i * (len(every) - 1) / (POINTS_MAX - 1)) for i in range(POINTS_MAX)})
        every = [every[place] for place in places]
    return tuple(_point(day, spent, cap) for day, spent in every)


def _point(day: date, spent: Loss, cap: Cap) -> ChartPoint:
    return ChartPoint(day=day.isoformat(), used=share_up(share_used(cap, spent)))


def _data(policy: Policy, coverage: ConsentCoverage | str) -> ReportData:
    return ReportData(
        source=prose.SOURCE,
        sampling=prose.SAMPLING,
        consent_coverage=None if isinstance(coverage, str) else coverage,
        consent_coverage_reason=coverage if isinstance(coverage, str) else None,
        quarantine=Stated(
            value=None,
            reason="left out: counts of quarantined rows depend on rows, so that they would have to be a priced "
            "release",
        ),
        retention=tuple(
            RetentionRow(table=name, days=table.retention_days)
            for name, table in policy.tables.items()
            if not table.public and table.legs_of is None
        ),
    )
