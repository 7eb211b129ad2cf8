"""The analyst's door: ask, look for free, and pay only in `run`."""

from __future__ import annotations

import functools
import operator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Self

from dpquery import arguments, describe, record
from dpquery.access import check_analyst, check_purpose, check_table
from dpquery.accounting import Loss, admits
from dpquery.answer import answer
from dpquery.bounding_loss import BoundingLoss, Candidate
from dpquery.budget import budget_document, left_for, over_budget
from dpquery.catalog import catalog_of
from dpquery.chosen_bounds import BoundsRelease, decided, noisy_bins, with_bounds_release
from dpquery.documents import LedgerEntry, ScopeCharge, TablesDocument
from dpquery.engines.stored import stored_rows
from dpquery.errors import BudgetRefused, DpqueryError, StoreError, UsageError, ensure
from dpquery.ledger import ChargeRequest, Ledger, OverBudget, RequestIdTaken, Scope
from dpquery.measuring import measured
from dpquery.noise.conversion import rho_within
from dpquery.noise.thresholds import threshold_of
from dpquery.noise.verify import verify
from dpquery.plan.auto_bounds import SHARE, bounds_requests
from dpquery.plan.canonical import digest
from dpquery.plan.loss import TIMES, loss_request
from dpquery.plan.query import Quantile, RequestedBounds, shown
from dpquery.plan.relations import tables_of
from dpquery.preview import Preview
from dpquery.privacy.bound import bound
from dpquery.privacy.calibrate import NANO, PrivacyPlan, Thresholds, calibrate
from dpquery.privacy.question import Versions, canonical_plan, question
from dpquery.release import Release
from dpquery.sql.builder import TableRequest
from dpquery.sql.key_values import KeyValues, key_values
from dpquery.sql.outputs import OUTPUTS_MAX
from dpquery.sql.parameters import EXAMPLE, parameters
from dpquery.sql.resolve import resolve
from dpquery.store import Store, open_store
from dpquery.store.private_files import refuse_shared
from dpquery.tables import tables_document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from dpquery.chosen_bounds import ChosenBounds
    from dpquery.ledger import Charged
    from dpquery.plan.catalog import Catalog, NamedTable
    from dpquery.plan.expressions import Constant, Expression, Value
    from dpquery.plan.query import LogicalPlan
    from dpquery.privacy.bound import BoundedPlan

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


@dataclass(frozen=True, slots=True)
class Session:
    """One analyst with one purpose at one store."""

    store: Store
    ledger: Ledger = field(repr=False)
    catalog: Catalog = field(repr=False)
    analyst: str
    purpose: str

    def sql(self, text: str, params: Mapping[str, Constant] | None = None) -> Query:
        """The query `text`, checked; free. QueryRefused says what to write instead.

        `params` are the values of `:name` or `$name` in the text, as Python values: they take the place of literals.
        """
        text = arguments.text(text, "a query", example='db.sql("SELECT COUNT(*) FROM calls")')
        given = {} if params is None else arguments.mapping(params, "params", example=EXAMPLE)
        return self._query(text, None, parameters(given))

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
        return TableRequest(arguments.text(name, "a table", example='db.table("calls")'), self._query)

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

    def _query(self, text: str, bounds: RequestedBounds | None, values: Mapping[str, Value] | None = None) -> Query:
        logical = resolve(
            text, self.catalog, sensitive_allowed=self._sensitive(), requested_bounds=bounds, parameters=values or {}
        )
        for table in dict.fromkeys((logical.table, *tables_of(logical.relation))):
            check_table(self.store.policy, self.purpose, table)
        bound(logical, self.catalog)  # refuses what no epsilon could answer
        return Query(self, logical)

    def _sensitive(self) -> frozenset[str]:
        """The sensitive columns that the purpose may use."""
        return frozenset(self.store.policy.purposes[self.purpose].sensitive)


@dataclass(frozen=True, slots=True)
class Query:
    """A question that has been understood. Only `run` and `bounding_loss` spend."""

    session: Session = field(repr=False)
    logical: LogicalPlan = field(repr=False)
    chosen: tuple[ChosenBounds, ...] = field(default=(), repr=False)
    """Value bounds that releases before this one chose for it."""

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

    def preview(self, epsilon: float | None = None) -> Preview:
        """Price, mechanism, scale and expected error at `epsilon` (the policy's default if None). Reads no rows."""
        if self.logical.chooses_bounds:
            return self._preview_choosing(self._nano(epsilon))
        plan = self._priced(self._nano(epsilon))
        versions = self._versions()
        session = self.session
        request = self._request(plan, versions, None)
        stored = session.ledger.find_for(request)
        return Preview(
            plan,
            self.table,
            versions,
            left_for(session.ledger, self._scopes(plan), plan),
            session.purpose,
            session.store.policy.purposes[session.purpose].notice,
            repeat=stored is not None and not stored.owed(_own(request)),
            warnings=(*describe.caveats(plan), *map(str, self.chosen)),
            chosen=self.chosen,
        )

    def preview_within(self, within: float) -> Preview:
        """The preview of `run(within=within)`."""
        preview = self.preview(self._nano_within(within) / NANO)
        self._check_reach(preview.plan, within)
        return preview

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

        `epsilon`: privacy loss of this release (the policy's default if None). `within`: instead, the least epsilon
        whose 95 % intervals reach at most that far. `fresh`: pay for an independent answer. `request_id`: a retry with
        the same id never pays twice. Raises BudgetRefused, before any row is read, if a budget does not allow it.
        """
        if within is not None and epsilon is not None:
            raise UsageError("DPQ-002", "give epsilon or within, not both", fix="leave one out")
        fresh = arguments.flag(fresh, "fresh")
        if request_id is not None:
            request_id = arguments.identifier(request_id, "request_id", example='request_id="weekly-report-7"')
        self._refresh()
        if self.logical.chooses_bounds and within is None:
            return self._run_choosing(self._nano(epsilon), fresh=fresh, request_id=request_id)
        nano = self._nano(epsilon) if within is None else self._nano_within(within)
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

    def _run_choosing(self, nano: int, *, fresh: bool, request_id: str | None) -> Release:
        """Two charges: bounds first, unless they are stored, then the answer under them.

        Both are looked for in the budgets before the first is made. If this process ends between them, the bounds are
        charged and stored, and the same request id, or the same question, goes on from there.
        """
        queries = self._bounds_queries()
        each, rest = _shares(nano, len(queries))
        unpaid = [query for query in queries.values() if query._stored_bounds(each) is None]  # noqa: SLF001 - a query
        self._check_room(unpaid, each, rest)
        releases: dict[Expression, BoundsRelease] = {}
        paid = 0.0
        try:
            for position, (argument, query) in enumerate(queries.items()):
                own_id = None if request_id is None else digest(["bounds/1", request_id, position])
                release = query.run(each / NANO, request_id=own_id)
                paid += release.cost.epsilon if any(pair.new for pair in release.cost.charged) else 0.0
                bins = noisy_bins(release.plan, release.answer.noisy)
                releases[argument] = BoundsRelease(bins, release.release_id, new=release.status == "released")
            return self._decided(releases).run(rest / NANO, fresh=fresh, request_id=request_id)
        except DpqueryError as error:
            if error.spent is not None:
                error.spent += paid  # what was charged for bounds stands too
            raise

    def _preview_choosing(self, nano: int) -> Preview:
        """With the bounds that are stored; where they are not, what choosing them costs, and no error yet."""
        queries = self._bounds_queries()
        each, rest = _shares(nano, len(queries))
        stored = {argument: query._stored_bounds(each) for argument, query in queries.items()}  # noqa: SLF001 - a query
        known = {argument: release for argument, release in stored.items() if release is not None}
        if len(known) == len(queries):
            return self._decided(known).preview(rest / NANO)
        unpaid = [query for argument, query in queries.items() if argument not in known]
        first = tuple(query._priced(each) for query in unpaid)  # noqa: SLF001 - a query
        plan, session = self._priced(rest), self.session
        return Preview(
            plan,
            self.table,
            self._versions(),
            left_for(session.ledger, self._scopes(plan), plan),
            session.purpose,
            session.store.policy.purposes[session.purpose].notice,
            repeat=False,
            warnings=describe.caveats(plan),
            first=first,
        )

    def _bounds_queries(self) -> dict[Expression, Query]:
        return {argument: Query(self.session, request) for argument, request in bounds_requests(self.logical).items()}

    def _decided(self, releases: Mapping[Expression, BoundsRelease]) -> Query:
        logical, chosen = decided(bound(self.logical, self.session.catalog), releases)
        return Query(self.session, logical, chosen)

    def _stored_bounds(self, epsilon_nano: int) -> BoundsRelease | None:
        """The stored release that chooses bounds, if this analyst has paid for it."""
        plan = self._priced(epsilon_nano)
        request = self._request(plan, self._versions(), None)
        stored = self.session.ledger.find_for(request)
        if stored is None or stored.owed(_own(request)):
            return None
        bins = noisy_bins(*record.unpack(stored.payload, plan))
        return BoundsRelease(bins, stored.release, new=False)

    def _check_room(self, first: Sequence[Query], each: int, rest: int) -> None:
        """BudgetRefused if bounds that have yet to be chosen and the answer do not fit together: neither is charged."""
        if not first:
            return
        before = [query._priced(each).loss for query in first]  # noqa: SLF001 - a query
        plans = self._calibrated(rest)
        if any(self._fits(plan, before) for plan in plans):
            return
        left = left_for(self.session.ledger, self._scopes(plans[0]), plans[0])
        has = "a budget does not allow it" if left is None else f"{left.binding_scope} has {left.epsilon:g} left"
        asked = (each * len(first) + rest) / NANO
        raise BudgetRefused(
            "DPQ-201", f"asked epsilon {asked:g} for bounds and answer together, and {has}", fix="ask for less epsilon"
        )

    def bounding_loss(
        self,
        epsilon: float | None = None,
        *,
        answer_epsilon: float | None = None,
        fresh: bool = False,
        request_id: str | None = None,
    ) -> BoundingLoss:
        """The share of this query's rows that contribution bounds leave out, with advice on bounds. Spends like `run`.

        `epsilon`: privacy loss of this release (the policy's default if None). `answer_epsilon`: what the query itself
        will be asked at, for the advice (the policy's default if None). UsageError where bounds leave out no rows.
        """
        answered = self._nano(answer_epsilon)
        request = loss_request(self.logical)
        release = Query(self.session, request.logical).run(epsilon, fresh=fresh, request_id=request_id)
        bounded = bound(self.logical, self.session.catalog)
        widest = replace(self.logical, requested_bounds=RequestedBounds())
        return BoundingLoss(
            release,
            request.counted,
            {times: self._candidate(bounded, times, answered) for times in TIMES},
            groups=self.logical.cells,
            ceiling=bound(widest, self.session.catalog).bounds,
            names=tuple(describe.bounds_in_use(bounded)),
            answer_epsilon=answered / NANO,
        )

    def preview_bounding_loss(self, epsilon: float | None = None) -> Preview:
        """The price of `bounding_loss`, and the error of the counts that it is read off. Free."""
        return Query(self.session, loss_request(self.logical).logical).preview(epsilon)

    def _candidate(self, bounded: BoundedPlan, times: float, epsilon_nano: int) -> Candidate:
        """The query under bounds that are `times` its own, and the noise that it would then have."""
        bounds = bounded.bounds_at(times)
        plan = self._calibrated(epsilon_nano, replace(bounded, bounds=bounds))[0]
        return Candidate(bounds, describe.noise_in_rows(plan))

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
        plans = self._calibrated(epsilon_nano)
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
        plans = self._calibrated(epsilon_nano)
        return verify(next((plan for plan in plans if self._fits(plan)), plans[0]))

    def _calibrated(self, epsilon_nano: int, bounded: BoundedPlan | None = None) -> tuple[PrivacyPlan, ...]:
        limits = self.session.store.policy.limits
        return calibrate(
            bounded or bound(self.logical, self.session.catalog),
            epsilon_nano,
            delta_release=limits.delta_release,
            # A Gaussian would close the pure filter for the answer that comes after.
            gaussian_allowed=limits.gaussian and not _is_choice(self.logical),
            rho_within=rho_within,
            thresholds=Thresholds(limits.delta_selection, limits.min_people, threshold_of)
            if limits.min_people is not None
            else None,
        )

    def _fits(self, plan: PrivacyPlan, before: Sequence[Loss] = ()) -> bool:
        """Whether every scope and block that would pay still admits the plan's loss, and those `before` it."""
        standings = self.session.ledger.standing(self._scopes(plan))
        loss = functools.reduce(operator.add, before, plan.loss)
        return all(admits(s.cap, s.spent, loss) for s in standings if s.cap is not None)

    def _nano(self, epsilon: float | None) -> int:
        """The asked loss in nano-epsilon, rounded down; BudgetRefused outside what one query may spend."""
        limits = self.session.store.policy.limits
        asked = (
            limits.epsilon_default if epsilon is None else arguments.number(epsilon, "epsilon", example="epsilon=0.5")
        )
        most = limits.epsilon_max
        if not 0.0 < asked <= most:  # also refuses NaN
            raise BudgetRefused(
                "DPQ-204",
                f"epsilon = {asked:g} is not between 0 and the policy's {most:g} for one query",
                fix=f"--epsilon {limits.epsilon_default:g}",
            )
        # Decimal text, so that 0.1 means a tenth and not the float just above it.
        nano = int(Fraction(Decimal(repr(float(asked)))) * NANO)
        if nano < MEASUREMENTS_MAX:
            raise BudgetRefused(
                "DPQ-204",
                f"epsilon = {asked:g} is too little to share out",
                fix=f"--epsilon {MEASUREMENTS_MAX / NANO:g}",
            )
        return nano

    def _nano_within(self, within: float) -> int:
        """The least epsilon whose expected half-widths all reach at most `within`, by bisection."""
        within = arguments.number(within, "within", example="within=100")
        if self.logical.chooses_bounds:
            raise UsageError(
                "DPQ-002", "the error is not known before the bounds are chosen", fix="epsilon=0.5, or give the bounds"
            )
        largest = self._nano(self.session.store.policy.limits.epsilon_max)
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
        plan = self._calibrated(epsilon_nano)[0]
        return self._reach_of(plan)

    def _reach_of(self, plan: PrivacyPlan) -> float:
        values = [output for output in shown(self.logical) if output.kind == "aggregate"]
        if not values:
            raise UsageError(
                "DPQ-002", "within is about aggregates, and these are computed from them", fix="epsilon=0.5"
            )
        reaches = [describe.expected_half_width(plan, output) for output in values]
        known = [reach for reach in reaches if reach is not None]
        if len(known) < len(reaches):
            raise UsageError(
                "DPQ-002",
                "the error of quantiles, standard deviations and different values is not known before rows are read",
                fix="epsilon=0.5",
            )
        return max(known)

    def _versions(self) -> Versions:
        store = self.session.store
        policy = digest(store.policy.model_dump_json())
        return Versions(store.data_version, store.policy.version, CONSENT_VERSION, policy)

    def _scopes(self, plan: PrivacyPlan) -> tuple[tuple[Scope, str], ...]:
        policy, session = self.session.store.policy, self.session
        group = policy.analysts[session.analyst].group
        scopes = [Scope("analyst", session.analyst), Scope("purpose", session.purpose), Scope("dataset")]
        if group is not None:
            scopes.append(Scope("group", group))
        return tuple((scope, block) for scope in scopes for block in plan.bounded.blocks)

    def _request(self, plan: PrivacyPlan, versions: Versions, request_id: str | None) -> ChargeRequest:
        ensure(not self.logical.chooses_bounds, "bounds are chosen before an answer is charged")
        return ChargeRequest(
            request_id=request_id,
            question=question(plan, versions, self.session.purpose),
            asker=self.session.analyst,
            purpose=self.session.purpose,
            charges=self._scopes(plan),
            loss=plan.loss,
            asked_epsilon=plan.asked_epsilon,
            body={
                **({"bounds_from": [each.release for each in self.chosen]} if self.chosen else {}),
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
            answer=answer(plan, noisy),
            status=status,
            release_id=charged.release,
            summary=describe.plan_summary(plan, versions),
            cost=describe.cost(plan, pairs),
            guarantee=with_bounds_release(describe.guarantee(plan, self.table), self.chosen),
            left=left_for(session.ledger, self._scopes(plan), plan),
            purpose=session.purpose,
            notice=session.store.policy.purposes[session.purpose].notice,
            ledger=LedgerEntry(entry=charged.entry, at=charged.at),
            versions=describe.versions_in_use(),
            warnings=(*describe.caveats(plan), *map(str, self.chosen)),
            chosen=self.chosen,
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


def _shares(nano: int, values: int) -> tuple[int, int]:
    """What each choice of bounds costs, and what is left for the answer, in nano-epsilon."""
    part, whole = SHARE
    each = nano * part // (whole * values)
    return each, nano - values * each


def _is_choice(logical: LogicalPlan) -> bool:
    """Whether the request chooses bounds for another."""
    return any(isinstance(a, Quantile) and a.bins == "doubling" for a in logical.aggregates)


def _own(request: ChargeRequest) -> tuple[tuple[Scope, str], ...]:
    """The asker's own scope in each block."""
    return tuple(pair for pair in request.charges if pair[0].kind == "analyst")


def _no_dearer(price: Loss, asked: Loss) -> bool:
    """Whether a stored price is within the asked one in every amount; None is infinite."""
    pairs = ((price.epsilon, asked.epsilon), (price.rho, asked.rho), (price.delta, asked.delta))
    return all(most is None or (paid is not None and paid <= most) for paid, most in pairs)
