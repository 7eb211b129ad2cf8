"""One question that has been understood: look for free, and pay only in `run` and `bounding_loss`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC
from typing import TYPE_CHECKING, overload

from dpquery import arguments, describe
from dpquery.asking import charging, choosing, pricing
from dpquery.asking.alternatives import alternatives
from dpquery.asking.bounding_loss import BoundingLoss, Candidate
from dpquery.asking.older import checked_as_of
from dpquery.asking.terms import Terms
from dpquery.errors import UsageError
from dpquery.faces.prices import Prices
from dpquery.plan.auto_bounds import shares
from dpquery.plan.loss import TIMES, loss_request
from dpquery.plan.query import RequestedBounds
from dpquery.plan.retention import cutoffs, retained
from dpquery.preview import preview_of
from dpquery.privacy.bound import bound
from dpquery.privacy.calibrate import NANO
from dpquery.sql.request import read_request

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from dpquery.asking.chosen_bounds import ChosenBounds
    from dpquery.asking.older import AsOf
    from dpquery.plan.catalog import NamedTable
    from dpquery.plan.expressions import Value
    from dpquery.plan.query import LogicalPlan
    from dpquery.plan.retention import Cutoffs
    from dpquery.preview import Preview
    from dpquery.privacy.bound import BoundedPlan
    from dpquery.privacy.calibrate import PrivacyPlan
    from dpquery.release import Release
    from dpquery.session import Session


@dataclass(frozen=True, slots=True)
class Query:
    """A question that has been understood. Only `run` and `bounding_loss` spend."""

    session: Session = field(repr=False)
    logical: LogicalPlan = field(repr=False)
    terms: Terms = field(default_factory=Terms)
    """What its OPTIONS and the session say about price and intervals."""
    values: Mapping[str, Value] = field(default_factory=dict, repr=False, compare=False, hash=False)
    """Of its parameters."""
    chosen: tuple[ChosenBounds, ...] = field(default=(), repr=False)
    """Value bounds that releases before this one chose for it."""
    at: datetime | None = field(default=None, repr=False)
    """When it is asked, by one reading of the clock: what is past retention then is cut off. None: nothing is."""

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

    @property
    def cutoffs(self) -> Cutoffs:
        """The first times that may be read."""
        return {} if self.at is None else cutoffs(self.session.catalog.policy, self.at.date())

    def bounded(self, logical: LogicalPlan | None = None) -> BoundedPlan:
        """The request, or `logical`, without what is past retention, and bounded; QueryRefused if nothing is left."""
        return bound(retained(logical or self.logical, self.cutoffs), self.session.catalog)

    def _now(self) -> Query:
        """The query as it is asked now, of the store as it is now."""
        self.session.refresh()
        return replace(self, at=self.session.now().astimezone(UTC))

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
        query = self._now()
        if isinstance(epsilon, Sequence) and not isinstance(epsilon, str):
            return query._prices(epsilon, within)  # noqa: SLF001 - itself, at a time
        return query._preview(epsilon, within)  # noqa: SLF001

    def _preview(self, epsilon: float | None, within: float | None) -> Preview:
        nano, within = pricing.asked_price(self, epsilon, within)
        if self.logical.chooses_bounds:
            return choosing.previewed(self, nano)
        plan = pricing.affordable(self, nano)
        pricing.check_reach(self, plan, within)
        return preview_of(self, plan)

    def _prices(self, epsilons: Sequence[float], within: float | None) -> Prices:
        if not epsilons or within is not None:
            raise UsageError("DPQ-002", "several prices are given as epsilons", fix="preview(epsilon=[0.1, 0.5, 1])")
        asked = [arguments.number(epsilon, "epsilon", example="epsilon=[0.1, 0.5, 1]") for epsilon in epsilons]
        in_order = sorted({self.session.check_epsilon(epsilon): epsilon for epsilon in asked}.items())
        previews = tuple(self._preview(epsilon, None) for _, epsilon in in_order)
        middle, epsilon = in_order[(len(in_order) - 1) // 2]
        used = tuple(pricing.share_of_own_cap(self.session, p.plan, p.losses) for p in previews)
        return Prices(previews, used, alternatives(self, middle), epsilon)

    @property
    def least_nano(self) -> int:
        """The least loss that can be shared out, in nano-epsilon."""
        return pricing.LEAST_NANO

    def calibrated(self, epsilon_nano: int, bounded: BoundedPlan | None = None) -> tuple[PrivacyPlan, ...]:
        """A plan of the answer per mechanism at this loss, the one that errs least first; not yet verified.

        The answer has what choosing its bounds leaves of the loss. `bounded`: under these bounds instead.
        """
        _, rest = shares(self.logical, epsilon_nano)
        return pricing.calibrated(self, rest, bounded)

    def changed(self, text: str) -> Query:
        """This query with another text, asked under the same terms; QueryRefused as for any query."""
        session, asked = self.session, self.logical.requested_bounds
        changed = session.query_of(read_request(text), replace(asked, span=None), self.values)
        return replace(changed, terms=self.terms, at=self.at)

    def run(
        self,
        epsilon: float | None = None,
        *,
        within: float | None = None,
        fresh: bool = False,
        request_id: str | None = None,
        as_of: AsOf | None = None,
    ) -> Release:
        """Charge the ledger, then answer; or hand out the stored answer to the same question for free.

        `epsilon`: privacy loss of this release; if None that of OPTIONS, of SET dp.epsilon, or the policy's default.
        `within`: instead, the least epsilon whose expected intervals reach at most that far. `fresh`: pay for an
        independent answer. `request_id`: a retry with the same id never pays twice. `as_of`: a stored answer of
        earlier data, by data version, date, or the release's name. Raises BudgetRefused, before any row is
        read, if a budget does not allow it; UsageError where `as_of` names no stored answer.
        """
        fresh, request_id = _checked(fresh, request_id)
        as_of = None if as_of is None else checked_as_of(as_of)
        if fresh and as_of is not None:
            raise UsageError("DPQ-002", "a fresh answer is of the data of today", fix="give fresh or as_of, not both")
        query = self._now()
        nano, within = pricing.asked_price(query, epsilon, within)
        if self.logical.chooses_bounds:
            return choosing.released(query, nano, fresh=fresh, request_id=request_id, as_of=as_of)
        return charging.released(query, nano, within=within, fresh=fresh, request_id=request_id, as_of=as_of)

    def bounding_loss(
        self,
        epsilon: float | None = None,
        *,
        answer_epsilon: float | None = None,
        fresh: bool = False,
        request_id: str | None = None,
    ) -> BoundingLoss:
        """The share of this query's rows that contribution bounds leave out, with advice on bounds. Spends like `run`.

        `epsilon`: privacy loss of this release; if None that of OPTIONS, of SET dp.epsilon, or the policy's default.
        `answer_epsilon`: what the query itself will be asked at, for the advice; if None as `run` has it. UsageError
        where bounds leave out no rows.
        """
        fresh, request_id = _checked(fresh, request_id)
        query = self._now()
        answered, _ = pricing.asked_price(query, answer_epsilon, None)
        nano = pricing.bounding_loss_nano(query, epsilon)
        counting = replace(query, logical=loss_request(self.logical).logical)
        release = charging.released(counting, nano, fresh=fresh, request_id=request_id)
        return query.loss_of(release, answered)

    def loss_of(self, release: Release, answered: int) -> BoundingLoss:
        """What a release of this query's bounding loss says, for an answer at `answered` nano-epsilon. Free."""
        request = loss_request(self.logical)
        bounded = self.bounded()
        widest = replace(self.logical, requested_bounds=RequestedBounds())
        return BoundingLoss(
            release,
            request.counted,
            {times: self._candidate(bounded, times, answered) for times in TIMES},
            groups=bounded.cells,
            ceiling=self.bounded(widest).bounds,
            names=tuple(describe.bounds_in_use(bounded)),
            answer_epsilon=answered / NANO,
        )

    def preview_bounding_loss(self, epsilon: float | None = None) -> Preview:
        """The price of `bounding_loss`, and the error of the counts that it is read off. Free."""
        counting = replace(self._now(), logical=loss_request(self.logical).logical)
        return preview_of(counting, pricing.affordable(counting, pricing.bounding_loss_nano(self, epsilon)))

    def _candidate(self, bounded: BoundedPlan, times: float, epsilon_nano: int) -> Candidate:
        """The query under bounds that are `times` its own, and the noise that it would then have."""
        bounds = bounded.bounds_at(times)
        plan = self.calibrated(epsilon_nano, replace(bounded, bounds=bounds))[0]
        return Candidate(bounds, describe.noise_in_rows(plan))


def _checked(fresh: bool, request_id: str | None) -> tuple[bool, str | None]:
    """The arguments of calls that spend; UsageError for what they cannot be."""
    fresh = arguments.flag(fresh, "fresh")
    if request_id is not None:
        request_id = arguments.identifier(request_id, "request_id", example='request_id="weekly-report-7"')
    return fresh, request_id
