"""The analyst's door: ask, look for free, and pay only in `run`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self, assert_never

from dpquery import arguments
from dpquery.asking import pricing, statements
from dpquery.asking.access import check_analyst, check_purpose, check_steward
from dpquery.asking.query import Query
from dpquery.asking.terms import Settings, Terms
from dpquery.budget import budget_document
from dpquery.catalog import catalog_of
from dpquery.clock import utc_now
from dpquery.errors import DpqueryError, QueryRefused, StoreError, UsageError
from dpquery.faces.shown import checked_confidence
from dpquery.ledger import Scope
from dpquery.plan.permission import Permission
from dpquery.plan.retention import cutoffs
from dpquery.policy.model import STEWARD
from dpquery.privacy.bound import bound
from dpquery.sql.builder import TableRequest
from dpquery.sql.key_values import KeyValues, key_values
from dpquery.sql.options import LAPLACE_THRESHOLD
from dpquery.sql.parameters import EXAMPLE, parameters
from dpquery.sql.request import Request, read_request
from dpquery.sql.resolve import resolve
from dpquery.store import Store, open_store
from dpquery.store.private_files import refuse_shared
from dpquery.store_ledger import open_ledger
from dpquery.tables import tables_document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from dpquery.documents import TablesDocument
    from dpquery.errors import Span
    from dpquery.faces.facts import Facts
    from dpquery.ledger import Ledger, Member
    from dpquery.plan.catalog import Catalog
    from dpquery.plan.expressions import Constant, Value
    from dpquery.plan.query import RequestedBounds

__all__ = ["Query", "Session", "connect", "steward_key_path"]


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
    ledger = open_ledger(store)
    if analyst == STEWARD:
        try:
            check_steward(ledger, steward_key_path(store.folder))
        except DpqueryError:
            ledger.close()
            raise
    return Session(store, ledger, catalog_of(store), analyst, purpose)


def steward_key_path(folder: Path) -> Path:
    return folder.with_name(folder.name + ".steward.key")


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
    now: Callable[[], datetime] = field(default=utc_now, repr=False)
    """The clock: what people allow, and what is past retention, is settled by one reading for each charge."""

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
        """Every scope that pays for this session's answers, but for the analyst's groups: those the ledger knows."""
        return Scope("analyst", self.analyst), Scope("purpose", self.purpose), Scope("dataset")

    def members(self) -> tuple[Member, ...]:
        """Everybody whom the policy puts in a group."""
        analysts = self.store.policy.analysts.items()
        return tuple((each.group, name) for name, each in analysts if each.group is not None)

    def check_epsilon(self, epsilon: float | None, place: Span | None = None, source: str | None = None) -> int:
        """The asked loss in nano-epsilon, rounded down; BudgetRefused outside what one query may spend."""
        return pricing.epsilon_nano(self.store.policy.limits, epsilon, place, source)

    def refresh(self) -> None:
        """Read what was ingested since; StoreError if the policy changed: the old one checked the queries."""
        self.store.reload()
        if self.store.policy != self.catalog.policy:
            raise StoreError(
                "DPQ-516", "the policy has changed since this session began", fix="connect again, and ask again"
            )

    def key_values(self, text: str, params: Mapping[str, Constant] | None = None) -> KeyValues | None:
        """The declared values that `SELECT DISTINCT key FROM ...` asks for; None for any other text. Free.

        They are all there can be, and no row is read to find them. QueryRefused for what cannot be a key.
        """
        cuts = cutoffs(self.store.policy, self.now().date())
        given = parameters(params or {})
        return key_values(text, self.catalog, permission=self.permission, parameters=given, cuts=cuts)

    def table(self, name: str) -> TableRequest[Query]:
        """A query over `name` built step by step; the same plan as the SQL it stands for."""
        name = arguments.text(name, "a table", example='db.table("calls")')
        return TableRequest(name, lambda text, bounds: self.query_of(read_request(text), bounds))

    def tables(self) -> TablesDocument:
        """Tables and columns that the purpose may use."""
        return tables_document(self.catalog, self.permission)

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
            permission=self.permission,
            requested_bounds=bounds,
            parameters=values or {},
        )
        terms = self._terms(request)
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

    @property
    def permission(self) -> Permission:
        """What the purpose may use."""
        return Permission.of(self.store.policy, self.purpose)
