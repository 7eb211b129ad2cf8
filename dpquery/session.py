"""The analyst's door: ask, look for free, and pay only in `run`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self, assert_never, overload

from dpquery import arguments, describe, record, statements
from dpquery.access import check_analyst, check_purpose, check_table
from dpquery.accounting import Loss, admits
from dpquery.alternatives import alternatives
from dpquery.answer import answer
from dpquery.budget import budget_document, left_for, over_budget, share_used
from dpquery.catalog import catalog_of
from dpquery.documents import LedgerEntry, ScopeCharge, TablesDocument
from dpquery.engines.stored import stored_rows
from dpquery.errors import BudgetRefused, DpqueryError, QueryRefused, StoreError, UsageError, ensure
from dpquery.expected import expected_half_width
from dpquery.faces.prices import Prices
from dpquery.faces.shown import checked_confidence
from dpquery.ledger import ChargeRequest, Ledger, OverBudget, RequestIdTaken, Scope
from dpquery.measuring import measured
from dpquery.noise.conversion import rho_within
from dpquery.noise.thresholds import threshold_of
from dpquery.noise.verify import verify
from dpquery.plan.canonical import digest
from dpquery.plan.query import shown
from dpquery.plan.relations import tables_of
from dpquery.preview import Preview
from dpquery.privacy.bound import bound
from dpquery.privacy.calibrate import NANO, PrivacyPlan, Thresholds, calibrate
from dpquery.privacy.question import Versions, canonical_plan, question
from dpquery.release import Release
from dpquery.sql.builder import TableRequest
from dpquery.sql.key_values import KeyValues, key_values
from dpquery.sql.options import LAPLACE_THRESHOLD
from dpquery.sql.outputs import OUTPUTS_MAX
from dpquery.sql.parameters import EXAMPLE, parameters
from dpquery.sql.request import Request, read_request
from dpquery.sql.resolve import resolve
from dpquery.store import Store, open_store
from dpquery.store.private_files import refuse_shared
from dpquery.tables import tables_document
from dpquery.terms import Settings, Terms

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from dpquery.documents import Left
    from dpquery.errors import Span
    from dpquery.faces.facts import Facts
    from dpquery.ledger import Charged
    from dpquery.plan.catalog import Catalog, NamedTable
    from dpquery.plan.expressions import Constant, Value
    from dpquery.plan.query import LogicalPlan, RequestedBounds

CONSENT_VERSION = 1
"""No consent record can reach this store yet, so that what numbers allow never changes."""


MEASUREMENTS_MAX = 3 * OUTPUTS_MAX
"""A variance over one-owner rows takes three measurements; each has at least a billionth of epsilon."""


def connect(folder: str | Path, *, analyst: str, purpose: str) -> Session:
    """Open the store at `folder` as `analyst`, for `purpose`. Reads the policy, no rows.

    Raises StoreError or LedgerError if they cannot be opened, NotAllowed if the policy says so.
    """
    analyst = arguments.text(analyst, "analyst", example='analyst="ana"')
    purpose = arguments.text(purpose, "purpose", example='purpose="network_planning"')
    store = open_store(arguments.path(folder, "the store's folder", example='connect("store", ...)'))
    refuse_shared(steward_key_path(store.folder), "the steward's key")
    check_analyst(store.policy, analyst)
    check_purpose(store.policy, analyst, purpose)
    return Session(store, Ledger.open(ledger_path(store)), catalog_of(store), analyst, purpose)


def steward_key_path(folder: Path) -> Path:
    return folder.with_name(folder.name + ".steward.key")


def ledger_path(store: Store) -> Path:
    return store.folder / "ledger.sqlite"


@dataclass(slots=True, eq=False)
class Session:
    """One analyst with one purpose at one store. SET changes purpose and settings of the session, and nothing else."""

    store: Store
    ledger: Ledger = field(repr=False)
    catalog: Catalog = field(repr=False)
    analyst: str
    purpose: str
    settings: Settings = field(default_factory=Settings)
    start: tuple[str, Settings] | None = field(default=None, repr=False)
    """Purpose and settings that RESET goes back to."""

    def __post_init__(self) -> None:
        self.start = self.start or (self.purpose, self.settings)

    def begin_with(self, settings: Settings) -> None:
        """Settings that hold from now on, and that RESET goes back to."""
        self.settings, self.start = settings, (self.purpose, settings)

    def reset(self) -> None:
        """Undo every SET."""
        self.purpose, self.settings = self.start or (self.purpose, self.settings)

    def sql(self, text: str, params: Mapping[str, Constant] | None = None) -> Query | Any:
        """The query `text`, checked; free. QueryRefused says what to write instead.

        `params` are the values of `:name` or `$name` in the text, as Python values: they take the place of literals.
        For EXPLAIN PRIVACY, SHOW PRIVACY BUDGET, ESTIMATE_REMAINING_DP_AGGREGATES, SET and RESET the answer itself,
        a Facts. That is Any here, so that the query of a SELECT need not be told from it.
        """
        return self.statement(text, params)

    def statement(self, text: str, params: Mapping[str, Constant] | None = None) -> Query | Facts:
        """What `sql` gives, with both types named."""
        text = arguments.text(text, "a query", example='db.sql("SELECT COUNT(*) FROM calls")')
        given = {} if params is None else arguments.mapping(params, "params", example=EXAMPLE)
        request = read_request(text)
        if given and request.statement not in {"select", "explain"}:
            raise UsageError("DPQ-002", "this statement has no parameters", fix="write its value in the text")
        match request.statement:
            case "select" | "explain":
                query = self.query_of(request, None, parameters(given))
                if request.statement == "select":
                    return query
                return statements.explained(query.preview())
            case "show budget":
                return statements.budget_shown(self, request.name)
            case "remaining":
                return statements.remaining(self, request.name or "")
            case "set" | "reset":
                return self._set(request.name or "", request.value)
            case _:
                assert_never(request.statement)

    def _set(self, name: str, value: float | str | None) -> Facts:
        """SET, or RESET where `value` is None: checked as wherever else the value may be named."""
        purpose, first = self.start or (self.purpose, self.settings)
        match name, value:
            case "epsilon", float():
                self.check_epsilon(value)
                self.settings = replace(self.settings, epsilon=value, within=None)
            case "epsilon", _:
                self.settings = replace(self.settings, epsilon=first.epsilon, within=first.within)
            case "confidence", _:
                confidence = checked_confidence(value) if isinstance(value, float) else first.confidence
                self.settings = replace(self.settings, confidence=confidence)
            case _:
                asked = purpose if value is None else str(value)
                check_purpose(self.store.policy, self.analyst, asked)
                self.purpose = asked
        return statements.setting_shown(self, name, "RESET" if value is None else "SET")

    def scopes(self) -> tuple[Scope, ...]:
        """Every scope that pays for this session's answers."""
        group = self.store.policy.analysts[self.analyst].group
        scopes = (Scope("analyst", self.analyst), Scope("purpose", self.purpose), Scope("dataset"))
        return scopes if group is None else (*scopes, Scope("group", group))

    def check_epsilon(self, epsilon: float | None, place: Span | None = None, source: str | None = None) -> int:
        """The asked loss in nano-epsilon, rounded down; BudgetRefused outside what one query may spend."""
        limits = self.store.policy.limits
        asked = (
            limits.epsilon_default if epsilon is None else arguments.number(epsilon, "epsilon", example="epsilon=0.5")
        )
        most = limits.epsilon_max
        if not 0.0 < asked <= most:  # also refuses NaN
            raise BudgetRefused(
                "DPQ-204",
                f"epsilon = {asked:g} is not between 0 and the policy's {most:g} for one query",
                fix=f"--epsilon {limits.epsilon_default:g}" if place is None else f"epsilon = {most:g}, or less",
                where=place,
                source=source,
            )
        # Decimal text, so that 0.1 means a tenth and not the float just above it.
        nano = int(Fraction(Decimal(repr(float(asked)))) * NANO)
        if nano < MEASUREMENTS_MAX:
            raise BudgetRefused(
                "DPQ-204",
                f"epsilon = {asked:g} is too little to share out",
                fix=f"--epsilon {MEASUREMENTS_MAX / NANO:g}",
                where=place,
                source=source,
            )
        return nano

    def key_values(self, text: str, params: Mapping[str, Constant] | None = None) -> KeyValues | None:
        """The declared values that `SELECT DISTINCT key FROM ...` asks for; None for any other text. Free.

        They are all there can be, and no row is read to find them. QueryRefused for what cannot be a key.
        """
        found = key_values(text, self.catalog, sensitive_allowed=self._sensitive(), parameters=parameters(params or {}))
        for table in () if found is None else found.tables:
            check_table(self.store.policy, self.purpose, table)
        return found

    def table(self, name: str) -> TableRequest[Query]:
        """A query over `name` built step by step; the same plan as the SQL it stands for."""
        name = arguments.text(name, "a table", example='db.table("calls")')
        return TableRequest(name, lambda text, bounds: self.query_of(read_request(text), bounds))

    def tables(self) -> TablesDocument:
        """Tables and columns that this store's policy names."""
        return tables_document(self.catalog)

    def budget(self) -> dict[str, Any]:
        """What this analyst has spent and has left, per block."""
        own = str(Scope("analyst", self.analyst))
        document = budget_document(self.store.policy, self.ledger)
        return {"analyst": self.analyst, "blocks": [s.model_dump() for s in document.scopes if s.scope == own]}

    def close(self) -> None:
        """Let go of the ledger."""
        self.ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def query_of(
        self, request: Request, bounds: RequestedBounds | None, values: Mapping[str, Value] | None = None
    ) -> Query:
        """The query of a statement that was read already."""
        logical = resolve(
            request,
            self.catalog,
            sensitive_allowed=self._sensitive(),
            requested_bounds=bounds,
            parameters=values or {},
        )
        terms = self._terms(request)
        for table in dict.fromkeys((logical.table, *tables_of(logical.relation))):
            check_table(self.store.policy, self.purpose, table)
        bound(logical, self.catalog)  # refuses what no epsilon could answer
        # As the session is now: the query was checked for this purpose, whatever SET says later.
        return Query(replace(self), logical, terms, values or {})

    def _terms(self, request: Request) -> Terms:
        """The OPTIONS of a query with the session's settings; refused where an option is beyond the policy."""
        options, places = request.options, request.options.places
        if options.epsilon is not None:
            self.check_epsilon(options.epsilon, places.get("epsilon"), request.source)
        most = self.store.policy.limits.delta_release
        if options.delta is not None and options.delta > most:
            raise QueryRefused(
                "DPQ-130",
                f"delta = {options.delta:g} is more than the policy's {most:g}",
                fix=f"delta = {most:g}",
                where=places.get("delta"),
                source=request.source,
            )
        confidence = self.settings.confidence
        if options.confidence is not None:
            try:
                confidence = checked_confidence(options.confidence)
            except UsageError as error:
                where = places.get("confidence")
                raise QueryRefused(
                    "DPQ-130", error.why, fix="confidence = 0.99", where=where, source=request.source
                ) from None
        laplace = options.group_selection_strategy == LAPLACE_THRESHOLD
        return Terms(options.epsilon, options.target_error, options.delta, confidence, self.settings, laplace)

    def _sensitive(self) -> frozenset[str]:
        """The sensitive columns that the purpose may use."""
        return frozenset(self.store.policy.purposes[self.purpose].sensitive)


@dataclass(frozen=True, slots=True)
class Query:
    """A question that has been understood. Only `run` spends."""

    session: Session = field(repr=False)
    logical: LogicalPlan = field(repr=False)
    terms: Terms = field(default_factory=Terms)
    """What its OPTIONS and the session say about price and intervals."""
    values: Mapping[str, Value] = field(default_factory=dict, repr=False, compare=False, hash=False)
    """Of its parameters."""

    def __repr__(self) -> str:
        return (
            f"<dpquery query, nothing spent yet; .preview() is free, .run(epsilon=...) spends>\n{self.logical.source}"
        )

    def _repr_html_(self) -> str:
        import html

        return f"<pre>{html.escape(repr(self))}</pre>"

    @property
    def table(self) -> NamedTable:
        return self.session.catalog.tables[self.logical.table]

    @overload
    def preview(self, epsilon: float | None = None, *, within: float | None = None) -> Preview: ...

    @overload
    def preview(self, epsilon: Sequence[float], *, within: None = None) -> Prices: ...

    def preview(
        self, epsilon: float | Sequence[float] | None = None, *, within: float | None = None
    ) -> Preview | Prices:
        """Price, mechanism, scale and expected error of `run` with the same arguments. Reads no rows.

        Of several epsilons: all of them in one table, with alternatives that are cheaper.
        """
        if isinstance(epsilon, Sequence) and not isinstance(epsilon, str):
            return self._prices(epsilon, within)
        return self._preview(epsilon, within)

    def _prices(self, epsilons: Sequence[float], within: float | None) -> Prices:
        if not epsilons or within is not None:
            raise UsageError("DPQ-002", "several prices are given as epsilons", fix="preview(epsilon=[0.1, 0.5, 1])")
        asked = [arguments.number(epsilon, "epsilon", example="epsilon=[0.1, 0.5, 1]") for epsilon in epsilons]
        in_order = sorted({self.session.check_epsilon(epsilon): epsilon for epsilon in asked}.items())
        previews = tuple(self._preview(epsilon, None) for _, epsilon in in_order)
        middle, epsilon = in_order[(len(in_order) - 1) // 2]
        shares = tuple(self._share(preview.plan) for preview in previews)
        return Prices(previews, shares, alternatives(self, middle), epsilon)

    def _share(self, plan: PrivacyPlan) -> float | None:
        """Share of the asker's own cap that one release would use, in the block where it is most."""
        own = [pair for pair in self._scopes(plan) if pair[0].kind == "analyst"]
        standings = self.session.ledger.standing(own)
        return max((share_used(s.cap, plan.loss) for s in standings if s.cap is not None), default=None)

    @property
    def least_nano(self) -> int:
        """The least loss that can be shared out, in nano-epsilon."""
        return MEASUREMENTS_MAX

    def changed(self, text: str) -> Query:
        """This query with another text, asked under the same terms; QueryRefused as for any query."""
        session, asked = self.session, self.logical.requested_bounds
        return replace(session.query_of(read_request(text), replace(asked, span=None), self.values), terms=self.terms)

    def _preview(self, epsilon: float | None, within: float | None) -> Preview:
        nano, within = self._asked(epsilon, within)
        plan = self._priced(nano)
        self._check_reach(plan, within)
        versions = self._versions()
        session = self.session
        request = self._request(plan, versions, None)
        stored = session.ledger.find_for(request)
        return Preview(
            plan,
            self.table,
            versions,
            self._left(plan),
            session.purpose,
            session.store.policy.purposes[session.purpose].notice,
            repeat=stored is not None and not stored.owed(_own(request)),
            warnings=describe.caveats(plan),
            confidence=self.terms.confidence,
        )

    def preview_within(self, within: float) -> Preview:
        """The preview of `run(within=within)`."""
        return self.preview(within=within)

    def _asked(self, epsilon: float | None, within: float | None) -> tuple[int, float | None]:
        """The loss in nano-epsilon that call, OPTIONS and session ask for, and the reach that it is to give."""
        if epsilon is not None:
            epsilon = arguments.number(epsilon, "epsilon", example="epsilon=0.5")
        if within is not None:
            within = arguments.number(within, "within", example="within=100")
        epsilon, within = self.terms.price(epsilon, within)
        return (self.session.check_epsilon(epsilon) if within is None else self._nano_within(within)), within

    def _check_reach(self, plan: PrivacyPlan, within: float | None) -> None:
        """BudgetRefused if only a mechanism with a larger error still fits the budgets."""
        if within is not None and self._reach_of(plan) > within:
            raise BudgetRefused(
                "DPQ-201",
                f"± {within:g} needs a mechanism that the budgets no longer allow",
                fix=f"--within {self._reach_of(plan):.6g}",
            )

    def run(
        self,
        epsilon: float | None = None,
        *,
        within: float | None = None,
        fresh: bool = False,
        request_id: str | None = None,
    ) -> Release:
        """Charge the ledger, then answer; or hand out the stored answer to the same question for free.

        `epsilon`: privacy loss of this release; if None that of OPTIONS, of SET dp.epsilon, or the policy's default.
        `within`: instead, the least epsilon whose expected intervals reach at most that far. `fresh`: pay for an
        independent answer. `request_id`: a retry with the same id never pays twice. Raises BudgetRefused, before any
        row is read, if a budget does not allow it.
        """
        fresh = arguments.flag(fresh, "fresh")
        if request_id is not None:
            request_id = arguments.identifier(request_id, "request_id", example='request_id="weekly-report-7"')
        self._refresh()
        nano, within = self._asked(epsilon, within)
        versions = self._versions()
        plan = self._retried(nano, versions, request_id) or self._priced(nano)
        self._check_reach(plan, within)
        request = self._request(plan, versions, request_id)
        ledger = self.session.ledger
        stored = None if fresh else ledger.find_for(request)
        if stored is not None and stored.owed(_own(request)) and not _no_dearer(stored.loss, request.loss):
            # Another analyst's answer, made at a price that this one was not asked for: a new answer, at the asked one.
            stored = None
        try:
            charged = ledger.charge(request) if stored is None else ledger.adopt(request, stored)
        except OverBudget as refused:
            raise over_budget(refused, plan) from None
        with _after(charged, describe.cost(plan, ()).epsilon):
            if charged.payload is not None:
                kept, noisy = record.unpack(charged.payload, plan)
                return self._release(kept, noisy, versions, charged, "repeated")
            try:
                rows = stored_rows(self.session.store, self.session.catalog, plan)
                payload = ledger.record(charged, record.pack(*measured(plan, rows)))
            except BaseException:
                ledger.fail(charged)
                raise
            kept, noisy = record.unpack(payload, plan)
            return self._release(kept, noisy, versions, charged, "released")

    def _refresh(self) -> None:
        """Read what was ingested since; StoreError if the policy changed: the old one checked this query."""
        store = self.session.store
        store.reload()
        if store.policy != self.session.catalog.policy:
            raise StoreError(
                "DPQ-516", "the policy has changed since this session began", fix="connect again, and ask again"
            )

    def _retried(self, epsilon_nano: int, versions: Versions, request_id: str | None) -> PrivacyPlan | None:
        """The plan that an earlier request with this id was charged for, whatever the budgets admit by now."""
        if request_id is None:
            return None
        plans = self.calibrated(epsilon_nano)
        free = [plan for plan in plans if not self._taken(self._request(plan, versions, request_id))]
        return verify(free[0]) if free and len(free) < len(plans) else None

    def _taken(self, request: ChargeRequest) -> bool:
        """Whether the request's id belongs to another request."""
        try:
            self.session.ledger.find_for(request)
        except RequestIdTaken:
            return True
        return False

    def _priced(self, epsilon_nano: int) -> PrivacyPlan:
        """The verified plan with the least error among those that the budgets still admit.

        Where the zCDP filter is used up only Laplace fits, and where the pure one is, a Gaussian costs least. If
        nothing fits, the plan with the least error is what the refusal is about.
        """
        plans = self.calibrated(epsilon_nano)
        return verify(next((plan for plan in plans if self._fits(plan)), plans[0]))

    def calibrated(self, epsilon_nano: int) -> tuple[PrivacyPlan, ...]:
        """A plan per mechanism at this loss, the one that errs least first; not yet verified."""
        limits, terms = self.session.store.policy.limits, self.terms
        delta = limits.delta_release if terms.delta is None else terms.delta
        return calibrate(
            bound(self.logical, self.session.catalog),
            epsilon_nano,
            delta_release=delta or limits.delta_release,
            gaussian_allowed=limits.gaussian and delta > 0.0 and not terms.laplace,
            rho_within=rho_within,
            thresholds=Thresholds(min(limits.delta_selection, delta), limits.min_people, threshold_of)
            if limits.min_people is not None
            else None,
        )

    def _fits(self, plan: PrivacyPlan) -> bool:
        """Whether every scope and block that would pay still admits the plan's loss."""
        standings = self.session.ledger.standing(self._scopes(plan))
        return all(admits(s.cap, s.spent, plan.loss) for s in standings if s.cap is not None)

    def _nano_within(self, within: float) -> int:
        """The least epsilon whose expected half-widths all reach at most `within`, by bisection."""
        largest = self.session.check_epsilon(self.session.store.policy.limits.epsilon_max)
        if not within > 0.0 or self._reach(largest) > within:
            reach = self._reach(largest)
            raise BudgetRefused(
                "DPQ-204",
                f"± {within:g} needs more than the policy's epsilon for one query, which gives ± {reach:.6g}",
                fix=f"--within {reach:.6g}",
            )
        low, high = MEASUREMENTS_MAX, largest
        while high - low > max(1, high // 1000):
            middle = (low + high) // 2
            low, high = (low, middle) if self._reach(middle) <= within else (middle, high)
        return high

    def _reach(self, epsilon_nano: int) -> float:
        plan = self.calibrated(epsilon_nano)[0]
        return self._reach_of(plan)

    def _reach_of(self, plan: PrivacyPlan) -> float:
        known: list[float] = []
        for output in shown(self.logical):
            reach = expected_half_width(plan, output, self.terms.confidence)
            if output.is_value and reach is None:
                raise UsageError(
                    "DPQ-002",
                    f"how far the interval of {output.name} reaches is not known before rows are read: within and "
                    "target_error take counts, sums, averages, variances, and sums of their multiples",
                    fix="epsilon = 0.5",
                )
            known += [] if reach is None else [reach]
        return max(known)

    def _versions(self) -> Versions:
        store = self.session.store
        policy = digest(store.policy.model_dump_json())
        return Versions(store.data_version, store.policy.version, CONSENT_VERSION, policy)

    def _scopes(self, plan: PrivacyPlan) -> tuple[tuple[Scope, str], ...]:
        return tuple((scope, block) for scope in self.session.scopes() for block in plan.bounded.blocks)

    def _left(self, plan: PrivacyPlan) -> Left | None:
        """What is left, described at the policy's own delta whatever delta a query asks for."""
        described = replace(plan, delta_release=self.session.store.policy.limits.delta_release)
        return left_for(self.session.ledger, self._scopes(plan), described)

    def _request(self, plan: PrivacyPlan, versions: Versions, request_id: str | None) -> ChargeRequest:
        return ChargeRequest(
            request_id=request_id,
            question=question(plan, versions, self.session.purpose),
            asker=self.session.analyst,
            purpose=self.session.purpose,
            charges=self._scopes(plan),
            loss=plan.loss,
            asked_epsilon=plan.asked_epsilon,
            body={
                "canonical": canonical_plan(plan),
                "table": self.logical.table,
                "mechanism": plan.mechanism,
                "cells": 0 if self.logical.selects_groups else plan.bounded.cells,
                "data_version": versions.data,
                "policy_version": versions.policy,
                "consent_version": versions.consent,
                "notice": self.session.store.policy.purposes[self.session.purpose].notice,
            },
        )

    def _release(
        self,
        plan: PrivacyPlan,
        noisy: Sequence[NDArray[np.int64]],
        versions: Versions,
        charged: Charged,
        status: str,
    ) -> Release:
        session = self.session
        pairs = [ScopeCharge(scope=str(c.scope), block=c.block, new=c.new) for c in charged.charges]
        ensure(bool(pairs), "a release names the scopes it was charged to")
        return Release(
            plan=plan,
            answer=answer(plan, noisy, self.terms.confidence),
            status=status,
            release_id=charged.release,
            summary=describe.plan_summary(plan, versions),
            cost=describe.cost(plan, pairs),
            guarantee=describe.guarantee(plan, self.table),
            left=self._left(plan),
            purpose=session.purpose,
            notice=session.store.policy.purposes[session.purpose].notice,
            ledger=LedgerEntry(entry=charged.entry, at=charged.at),
            versions=describe.versions_in_use(),
            warnings=describe.caveats(plan),
        )


@contextmanager
def _after(charged: Charged, price: float) -> Iterator[None]:
    """Errors within say what has been spent: a charge stands, whatever happens next."""
    try:
        yield
    except DpqueryError as error:
        paid = charged.fresh or any(pair.new for pair in charged.charges)
        error.spent = price if paid else 0.0
        raise


def _own(request: ChargeRequest) -> tuple[tuple[Scope, str], ...]:
    """The asker's own scope in each block."""
    return tuple(pair for pair in request.charges if pair[0].kind == "analyst")


def _no_dearer(price: Loss, asked: Loss) -> bool:
    """Whether a stored price is within the asked one in every amount; None is infinite."""
    pairs = ((price.epsilon, asked.epsilon), (price.rho, asked.rho), (price.delta, asked.delta))
    return all(most is None or (paid is not None and paid <= most) for paid, most in pairs)
