"""The JSON objects that other programs read. They may gain fields, never lose or rename them."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Named = Annotated[str, Field(pattern=r"\S")]
"""What no release is without: what for it was asked, and which notice people saw."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class KeyColumn(_Document):
    name: str
    role: Literal["key"] = "key"
    type: Literal["string", "integer", "boolean", "date", "timestamp"]


class ValueColumn(_Document):
    name: str
    role: Literal["value"] = "value"
    type: Literal["integer", "number"]
    unit: str | None = None
    aggregate: str
    low: str = Field(description="name of the column with the interval's lower end")
    high: str = Field(description="name of the column with the interval's upper end")
    mechanism: Literal["laplace", "gaussian", "permute-and-flip", "exponential"]
    scale: float | None = Field(
        description="scale of the noise, in the value's unit; of the numerator for averages; null if computed, selected"
    )
    bounding_bias: float | None = Field(None, description="estimated share lost to bounding; null if none was bought")
    expected_half_width: float | None = Field(
        None, description="half-width at the interval's confidence, before anything is spent"
    )
    expected_if_rows: int | None = Field(None, description="rows in a group for which expected_half_width holds")


class IntervalColumn(_Document):
    """DP_INTERVAL_LOW or DP_INTERVAL_HIGH of a value: an end of its interval under a name that the query gave it."""

    name: str
    role: Literal["interval"] = "interval"
    type: Literal["integer", "number"]
    unit: str | None = None
    of: str = Field(description="name of the value column")
    end: Literal["low", "high"]


class Interval(_Document):
    confidence: float = 0.95
    covers: Literal["noise"] = "noise"
    per: Literal["value"] = "value"


class PlanSummary(_Document):
    unit: str
    owners: Literal[1, 2]
    bounding: Literal["one-owner", "dual-greedy"]
    bounds: dict[str, int]
    keys: Literal["declared", "selected", "none"]
    groups: int | None = Field(description="how many; null before they are selected")
    threshold: int | None = Field(None, description="noisy numbers that a selected group has more than")
    canonical: str
    data_version: int
    policy_version: int
    consent_version: int
    kept_from: dict[str, date] = Field(
        default_factory=dict, description="tables of which retention cut off a part that was asked for: first day left"
    )


class ScopeCharge(_Document):
    scope: str
    block: str
    new: bool


class Cost(_Document):
    epsilon: float
    delta: float
    rho: float
    epsilon_at_delta: float
    charged: tuple[ScopeCharge, ...]


DELTA_LEFT = (
    "of the cap's delta. Where the policy sets min_people a half is set aside for Gaussian noise, and groups that are "
    "not declared can still spend half of the rest; elsewhere all of it is set aside for Gaussian noise"
)


class Left(_Document):
    epsilon: float
    delta: float = Field(description=DELTA_LEFT)
    more_like_this: int
    binding_scope: str


class Guarantee(_Document):
    definition: Literal["pure", "approximate", "zero-concentrated"]
    sentence: str
    not_protected: tuple[str, ...]


class LedgerEntry(_Document):
    entry: str
    at: str


class ValueBounds(_Document):
    aggregate: str
    low: float
    high: float
    clear: bool = Field(description="whether any values stood out of the noise; if not, the bounds are a guess")
    release: str = Field(description="the release that chose them")
    epsilon: float = Field(description="what choosing them cost, when they were chosen")
    new: bool = Field(description="whether they were chosen for this query")


class ExactLoss(_Document):
    """What the ledger holds for a charge, in whole units; null is without limit."""

    epsilon: int | None = Field(description="billionths")
    rho: int | None = Field(description="millionths of a millionth")
    delta: int = Field(description="units of 1e-18")


class Parameter(_Document):
    type: Literal["integer", "decimal", "text", "boolean", "date", "timestamp"]
    value: str | int | float | bool | None


class AskedQuery(_Document):
    """What it takes, beside the stored integers and the policy, to compute an answer's values again."""

    kind: Literal["answer", "bounding-loss"]
    sql: str
    params: dict[str, Parameter]
    bounds: dict[str, int] = Field(description="contribution bounds that were asked for")
    value_bounds: tuple[ValueBounds, ...]
    confidence: float


class ReceiptDocument(_Document):
    """What a release carries so that the ledger can be compared with it. Nobody signs it: the ledger is the proof."""

    schema_: Literal["dpquery.receipt/1"] = Field("dpquery.receipt/1", alias="schema")
    release: str
    charge: str = Field(description="hash of the ledger's entry that charged the release")
    entry: str = Field(description="hash of the entry that this request got: the charge, or a repeat")
    at: str
    dataset: str
    ledger: str = Field(description="the random name that the ledger has from its first entry on")
    steward: str = Field(description="public key that signs the ledger's caps, Ed25519, hexadecimal")
    analyst: str
    purpose: Named
    notice: Named
    question: str
    canonical: str
    data_version: int
    policy_version: int
    consent_version: int
    loss: ExactLoss
    record: str = Field(description="hash of the noisy integers that the ledger keeps")
    query: AskedQuery
    table: str
    bounding: str = Field(description="how much one number may add, in words")
    dpquery: str = Field(description="version that wrote it")
    rows: str = Field(description="hash of the rows as they were handed out")
    digest: str = Field(description="hash of all the rest of this object")


class Seal(_Document):
    """Hashes by which an object agrees with itself; whoever changes it can make new ones."""

    rows: str
    document: str = Field(description="hash of all but the rows and this hash")


class ReleaseDocument(_Document):
    """What `dpquery query --json` prints."""

    schema_: Literal["dpquery.release/1"] = Field("dpquery.release/1", alias="schema")
    status: Literal["released", "repeated", "preview"]
    release: str | None
    columns: tuple[Annotated[KeyColumn | ValueColumn | IntervalColumn, Field(discriminator="role")], ...]
    rows: tuple[dict[str, Any], ...]
    interval: Interval = Interval()
    plan: PlanSummary
    value_bounds: tuple[ValueBounds, ...] = Field((), description="those that were chosen, where bounds => 'auto'")
    cost: Cost
    left: Left | None
    guarantee: Guarantee
    purpose: Named
    notice: Named
    ledger: LedgerEntry | None
    versions: dict[str, str]
    warnings: tuple[str, ...]
    receipt: ReceiptDocument | None = Field(None, description="null in a preview")
    seal: Seal | None = Field(None, description="null in a preview")


class DerivedColumn(_Document):
    name: str
    role: Literal["value"] = "value"
    type: Literal["number"] = "number"
    unit: str | None = None
    aggregate: str
    low: str = Field(description="name of the column with the interval's lower end")
    high: str = Field(description="name of the column with the interval's upper end")


class DerivedDocument(_Document):
    """A ratio within a release, or several releases as one: what `save` writes of them."""

    schema_: Literal["dpquery.derived/1"] = Field("dpquery.derived/1", alias="schema")
    derived: Literal["ratio", "combined"]
    releases: tuple[str, ...]
    columns: tuple[Annotated[KeyColumn | DerivedColumn, Field(discriminator="role")], ...]
    rows: tuple[dict[str, Any], ...]
    interval: Interval
    cost: Cost = Field(description="what the releases have cost together; deriving adds nothing")
    guarantee: Guarantee
    purpose: Named
    notice: Named
    ledger: tuple[LedgerEntry, ...]
    versions: dict[str, str]
    warnings: tuple[str, ...]
    numerator: str | None = Field(None, description="of a ratio: the value column that is divided")
    denominator: str | None = Field(None, description="of a ratio: the value column that it is divided by")
    receipts: tuple[ReceiptDocument, ...] = Field((), description="of each release, in order")
    seal: Seal | None = None


class BoundsLevel(_Document):
    times: float = Field(description="how many times the query's own bounds these are")
    bounds: dict[str, int]
    noise_rows: float = Field(description="95 % half-width of the query's noise on one group, in rows")
    allowed: bool = Field(description="whether the policy lets a query ask for them")


class BoundingLossDocument(_Document):
    """What `dpquery query --bounding-loss --json` prints: the share of rows that bounds leave out."""

    schema_: Literal["dpquery.bounding-loss/1"] = Field("dpquery.bounding-loss/1", alias="schema")
    status: Literal["released", "repeated"]
    release: str
    columns: tuple[Annotated[KeyColumn | DerivedColumn, Field(discriminator="role")], ...]
    rows: tuple[dict[str, Any], ...]
    levels: tuple[BoundsLevel, ...]
    answer_epsilon: float = Field(description="epsilon at which the query itself is thought to be asked")
    advice: tuple[str, ...]
    interval: Interval
    cost: Cost
    left: Left | None
    guarantee: Guarantee
    purpose: Named
    notice: Named
    ledger: LedgerEntry
    versions: dict[str, str]
    warnings: tuple[str, ...]
    receipt: ReceiptDocument
    seal: Seal | None = None


class Amount(_Document):
    epsilon: float
    delta: float


class PureFilter(_Document):
    open: bool
    epsilon: float | None


class ConcentratedFilter(_Document):
    open: bool
    rho: float | None
    rho_cap: float
    epsilon: float | None


class FilterStates(_Document):
    pure: PureFilter
    zcdp: ConcentratedFilter


class EntryCounts(_Document):
    released: int
    failed: int
    charged: int = Field(description="charged without an answer")
    repeated: int
    refused: int


ForecastStanding = Literal["dated", "exhausted", "closed", "too little history", "not within two years"]


class ExhaustedOn(_Document):
    """The day (UTC) after which not even a charge like the typical one fits, if spending goes on as it was."""

    median: str | None = None
    pessimistic: str | None = Field(None, description="in 19 of 20 futures the budget lasts until then")
    standing: ForecastStanding = Field("too little history", description="why there is a date, or none")


class ScopeBudget(_Document):
    scope: str
    kind: Literal["analyst", "group", "purpose", "dataset"]
    name: str
    block: str
    state: Literal["open", "closed"]
    cap: Amount
    ceiling: Amount | None = Field(None, description="the first cap: the limit of later grants")
    spent: Amount
    left: Amount = Field(description=f"delta: {DELTA_LEFT}")
    used: float = Field(
        description="share of the filter that has more left, or of the delta that groups which are not declared can "
        "spend, if more of that is used; above 1 where a cap was lowered"
    )
    filters: FilterStates
    entries: EntryCounts
    more_like_last: int | None
    exhausted_on: ExhaustedOn = ExhaustedOn()


class Lifetime(_Document):
    scope: str
    epsilon: float | None
    delta: float
    rho: float | None


class LedgerState(_Document):
    head: str
    entries: int
    verified: bool


class BudgetDocument(_Document):
    """What `dpquery budget --json` prints."""

    schema_: Literal["dpquery.budget/1"] = Field("dpquery.budget/1", alias="schema")
    dataset: str
    at: str
    policy_version: int
    ledger: LedgerState
    scopes: tuple[ScopeBudget, ...]
    lifetime: tuple[Lifetime, ...]
    notes: tuple[str, ...] = ()


class CapState(_Document):
    state: Literal["open", "closed"]
    cap: Amount | None = Field(description="null: nothing was granted")


class DecisionDocument(_Document):
    """What `dpquery grant`, `raise` and `close` print with `--json`."""

    schema_: Literal["dpquery.decision/1"] = Field("dpquery.decision/1", alias="schema")
    action: Literal["grant", "raise", "close"]
    scope: str
    block: str = Field(description="a month, all, or * for each")
    reason: str
    actor: str
    before: CapState
    after: CapState
    ceiling: Amount | None
    scopes: tuple[ScopeBudget, ...] = Field(description="blocks it applies to that have spent or are granted by name")
    ledger: LedgerEntry
    notes: tuple[str, ...]


class PurgedTable(_Document):
    table: str
    retention_days: int
    kept_from: date = Field(description="first day (UTC) whose rows are kept")
    rows_removed: int = Field(description="depends on rows, and is for the steward alone")


class PurgeDocument(_Document):
    """What `dpquery purge --json` prints."""

    schema_: Literal["dpquery.purge/1"] = Field("dpquery.purge/1", alias="schema")
    dataset: str
    at: str
    tables: tuple[PurgedTable, ...] = Field(description="those of the policy that have retention_days")


DoctorKind = Literal[
    "number",
    "erased number",
    "undeclared column",
    "not a code",
    "finer than declared",
    "not examined",
    "ledger",
    "open to others",
    "key",
    "leftover",
    "retention",
]


class DoctorFinding(_Document):
    kind: DoctorKind
    place: str = Field(description="a path, from the store's folder where it lies in it; or ledger")
    where: str | None = Field(None, description="column and row, line, or part of the file where it was found first")
    shown: str | None = Field(None, description="first signs of the number, and how many it has")
    times: int = Field(1, description="different spellings or values found there")
    why: str
    fix: str


class Examined(_Document):
    place: str
    texts: int = Field(description="stretches of text, values of columns or of the ledger that were looked at")


class QuarantineFound(_Document):
    """The one place that may hold numbers. It is not looked into, but for numbers that were erased."""

    place: str
    mode: str
    files: int
    bytes: int
    oldest: date


class DoctorDocument(_Document):
    """What `dpquery doctor --json` prints. It holds no number, and is for the steward."""

    schema_: Literal["dpquery.doctor/1"] = Field("dpquery.doctor/1", alias="schema")
    dataset: str
    at: str
    clean: bool
    numbers: int = Field(description="numbers that were looked for")
    tried: int = Field(description="different stretches of text that could be a number")
    explained: int = Field(description="of these, spellings of numbers that the policy itself lists")
    findings: tuple[DoctorFinding, ...]
    examined: tuple[Examined, ...]
    quarantine: QuarantineFound | None
    notes: tuple[str, ...]


class CheckpointFound(_Document):
    file: str
    head: str
    entries: int = Field(description="how many the ledger had when it was taken")
    at: str = Field(description="label of the last of them")
    accounted: Literal["contained", "adopted"] = Field(
        description="contained: the ledger holds those entries; adopted: a steward charged what lost ones had spent"
    )


class LedgerVerificationDocument(_Document):
    """What `dpquery ledger verify --json` prints. A ledger that does not verify is a refusal, with exit status 8."""

    schema_: Literal["dpquery.ledger-verification/1"] = Field("dpquery.ledger-verification/1", alias="schema")
    dataset: str
    ledger: str = Field(description="its random name, from its first entry")
    verified: Literal[True] = True
    head: str
    entries: int
    at: str = Field(description="label of the last entry")
    decisions: int = Field(description="grants and closes, all signed")
    adoptions: int = Field(description="checkpoints adopted after a restore, all signed")
    charges: int
    releases: int
    checkpoints: tuple[CheckpointFound, ...] = Field(description="given, or named by the policy")


class PolicyChange(_Document):
    place: str = Field(description="where in the file, such as tables.calls.period")
    direction: Literal["weakens", "strengthens", "neutral"]
    sentence: str
    before: Any = Field(description="null: not there; of lists the entries that this change is about")
    after: Any


class PolicyDiffDocument(_Document):
    """What `dpquery policy diff --json` prints."""

    schema_: Literal["dpquery.policy-diff/1"] = Field("dpquery.policy-diff/1", alias="schema")
    versions: tuple[int, int]
    version_raised: bool = Field(description="false: something changed, and version did not go up")
    changes: tuple[PolicyChange, ...] = Field(description="those that weaken a promise first")
    refused_under_rows: tuple[str, ...] = Field(description="sections that cannot change in a store that has such rows")
    notes: tuple[str, ...]


class RefusedThen(_Document):
    entry: int = Field(description="sequence of the ledger's entry")
    at: str
    analyst: str
    purpose: str
    table: str
    epsilon: float | None = Field(description="as it was asked")
    by: str = Field(description="the scope whose budget would not allow it, or policy")
    block: str | None
    code: str
    why: str


class SimulatedScope(_Document):
    scope: str
    block: str
    state: Literal["open", "closed"]
    cap: Amount
    spent: Amount
    left: Amount
    used: float = Field(description="as in a budget")
    ran_out_at: str | None = Field(description="when it first refused a query that was answered; null: never")
    left_now: Amount | None = Field(description="what is left as things are; null: no cap")


class ReplayedEntries(_Document):
    charged: int
    repeated: int
    refused: int
    decisions: int = Field(description="later grants, raises and closes")


class SimulationDocument(_Document):
    """What `dpquery policy simulate --json` prints."""

    schema_: Literal["dpquery.simulation/1"] = Field("dpquery.simulation/1", alias="schema")
    dataset: str
    policy_version: int
    ledger: LedgerState
    replayed: ReplayedEntries
    refused: tuple[RefusedThen, ...] = Field(description="queries that were answered, and would not have been")
    could_be_asked: int = Field(description="queries that were refused, and would not have been; they spend nothing")
    scopes: tuple[SimulatedScope, ...]
    notes: tuple[str, ...]


class Price(_Document):
    mechanism: Literal["laplace", "gaussian"]
    cost: Cost
    columns: tuple[ValueColumn, ...] = Field(description="each value with its expected_half_width at this price")
    share_of_budget: float | None = Field(description="share of the asker's own cap that one release would use")
    left: Left | None


class InsteadColumn(_Document):
    name: str
    expected_half_width: float = Field(description="as asked")
    instead: float = Field(description="of the alternative, at the same epsilon")


class Instead(_Document):
    kind: str = Field(description="coarser time, fewer keys, narrower clamp")
    change: str
    sql: str = Field(description="the whole changed query")
    lines: tuple[str, ...] = Field(description="its lines that were changed")
    epsilon_for_same_error: float
    columns: tuple[InsteadColumn, ...]


class PricesDocument(_Document):
    """What `dpquery query --dry-run --json` prints for several epsilons."""

    schema_: Literal["dpquery.prices/1"] = Field("dpquery.prices/1", alias="schema")
    interval: Interval
    prices: tuple[Price, ...]
    at_epsilon: float = Field(description="the epsilon at which alternatives are compared")
    alternatives: tuple[Instead, ...]
    warnings: tuple[str, ...]
    spent: Literal[0] = 0


class FactColumn(_Document):
    name: str
    type: Literal["string", "integer", "number", "boolean"]


class FactsDocument(_Document):
    """What `dpquery query --json` prints for SHOW PRIVACY BUDGET and ESTIMATE_REMAINING_DP_AGGREGATES."""

    schema_: Literal["dpquery.facts/1"] = Field("dpquery.facts/1", alias="schema")
    statement: str = Field(description="the words that asked for it")
    title: str
    columns: tuple[FactColumn, ...]
    rows: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]
    spent: Literal[0] = 0


class Place(_Document):
    line: int
    column: int
    end: int


class RefusalDocument(_Document):
    """What a refusal with `--json` prints, on standard error."""

    code: str
    title: str
    where: Place | None
    why: str
    fix: str | None
    spent: float | None = Field(description="epsilon charged before it happened; null: see the ledger")
    exit: int


class TableColumn(_Document):
    name: str
    type: str
    role: Literal["value", "party", "time"]
    keys: int | None = Field(description="number of values GROUP BY returns; null: not a key")
    bounds: tuple[float, float] | None
    unit: str | None
    sensitive: bool
    place: Literal["cell", "district", "region", "country"] | None = Field(
        description="how finely it tells a place; the policy says which may stand beside a sensitive column"
    )


class TableEntry(_Document):
    name: str
    public: bool
    owners: int | None
    period: tuple[str, str] | None
    parties: tuple[str, ...]
    columns: tuple[TableColumn, ...]


class TablesDocument(_Document):
    """What `dpquery tables --json` prints."""

    schema_: Literal["dpquery.tables/1"] = Field("dpquery.tables/1", alias="schema")
    dataset: str
    policy_version: int
    tables: tuple[TableEntry, ...]
    purposes: dict[str, str]


class Stated(_Document):
    """A fact that not every store can state: its value, or why there is none. It is never made up."""

    value: str | None
    reason: str | None = Field(None, description="why there is no value")


class ReportPurpose(_Document):
    name: str
    text: str
    notice: str
    regime: Literal["opt-in", "opt-out", "duty"]


class ReportIdentity(_Document):
    dataset: str
    policy_version: int
    curator: Stated
    contact: Stated
    sector: Stated
    region: Stated
    intended_use: Stated
    purposes: tuple[ReportPurpose, ...]
    period_from: str = Field(description="when the ledger began")
    period_to: str = Field(description="when the report was made")
    first_release: Stated = Field(description="when the first answer was released")


class Bound(_Document):
    """How much one phone number can change the chance of what was released."""

    epsilon: float | None = Field(description="null: no epsilon holds without a delta")
    delta: float
    rho: float | None = Field(description="as zero-concentrated privacy accounts it; null: not bounded")
    epsilon_converted: float | None = Field(description="epsilon that rho implies at delta_converted")
    delta_converted: float | None
    right_guesses: int | None = Field(
        description="of 100 guesses whether a number is in the data, even odds before: right at most; null: no bound"
    )


class PersonBound(_Document):
    numbers: int = Field(description="protected numbers that are all one person's")
    epsilon: float
    delta: float
    right_guesses: int


class ReportGuarantee(_Document):
    definition: Literal["pure", "approximate", "zero-concentrated"] = Field(description="of what was released so far")
    sentence: str
    promised: Bound = Field(
        description="the largest ceiling of the dataset in one block, or what is spent there if that is more: holds "
        "whatever is asked and granted"
    )
    unless_raised: Bound = Field(description="the same by the caps in force: holds until a cap is raised")
    spent_in_one_block: Bound = Field(description="what the dataset spent so far in the block where that is most")
    spent: Bound = Field(description="what the dataset spent so far, over all blocks together")
    promised_in_words: str
    spent_in_words: tuple[str, ...]


class TableUnit(_Document):
    table: str
    owners: int | None = Field(description="most protected numbers on a row; null: a public table")
    rule: str
    period: tuple[str, str] | None
    block: Literal["month", "none"]


class TableBoundsRow(_Document):
    table: str
    keys: str = Field(description="keys in GROUP BY that they apply to")
    max_rows: int | None
    max_groups: int | None
    max_rows_per_group: int | None


class ReportUnit(_Document):
    unit: str
    neighbours: str
    several_numbers: str
    persons: tuple[PersonBound, ...] = Field(description="the promise for a person with several numbers")
    tables: tuple[TableUnit, ...]
    bounds: tuple[TableBoundsRow, ...]
    time_scope: tuple[str, ...]


class TrustedParty(_Document):
    who: str
    sees: str


class ReportTrust(_Document):
    model: Literal["central"] = "central"
    access: Literal["interactive"] = "interactive"
    parties: tuple[TrustedParty, ...]
    assumptions: tuple[str, ...]


Status = Literal["open", "half spent", "nearly spent", "spent", "closed"]


class ScopeAccount(_Document):
    scope: str
    block: str
    state: Literal["open", "closed"]
    status: Status
    used: float
    cap: Amount
    ceiling: Amount | None
    spent: Amount
    left: Amount
    filters: FilterStates
    entries: EntryCounts
    more_like_last: int | None
    exhausted_on: ExhaustedOn


class LifetimeAccount(_Document):
    scope: str
    epsilon: float | None
    delta: float
    rho: float | None
    epsilon_converted: float | None
    delta_converted: float


class DecisionRecord(_Document):
    at: str
    kind: Literal["grant", "raise", "lower", "renew", "close"]
    scope: str
    block: str
    before: Amount | None
    after: Amount | None
    actor: str
    reason: str


class AdoptionRecord(_Document):
    at: str
    checkpoint: int = Field(description="sequence of the entry that the checkpoint names")
    charged: int = Field(description="scopes and blocks that were charged for what was lost")
    decisions: int = Field(description="grants and closes that were lost, at most")
    actor: str
    reason: str


class JoinRecord(_Document):
    at: str
    analyst: str
    group: str


class ReportAccounting(_Document):
    composition: str
    scopes: tuple[ScopeAccount, ...]
    lifetime: tuple[LifetimeAccount, ...]
    decisions: tuple[DecisionRecord, ...]
    adoptions: tuple[AdoptionRecord, ...] = Field(description="restores after which a checkpoint's losses were charged")
    joins: tuple[JoinRecord, ...] = Field(description="analysts whose group took over what they had seen")


class UseRow(_Document):
    name: str
    released: int
    unanswered: int = Field(description="charged, without an answer")
    repeated: int
    refused: int | None = Field(description="null: a refusal names neither table nor mechanism")
    epsilon: float | None = Field(description="pure epsilon over all blocks; null: a Gaussian was used")
    rho: float | None
    delta: float
    share: float = Field(description="of what all rows here spent, by rho")


class RefusedRow(_Document):
    code: str
    title: str
    requests: int


class ReportUse(_Document):
    charges: int
    released: int
    failed: int
    open_charges: int = Field(description="charged, with neither an answer nor a failure noted")
    repeated_free: int
    repeated_paid: int = Field(description="stored answers for which some scope paid that had not before")
    refused: tuple[RefusedRow, ...] = Field(description="requests that no budget allowed, by code")
    analysts: tuple[UseRow, ...] = Field(description="by what their own scope spent, the largest first")
    purposes: tuple[UseRow, ...] = Field(description="by what the dataset spent; so in the two below")
    tables: tuple[UseRow, ...]
    mechanisms: tuple[UseRow, ...]
    top_spenders: tuple[str, ...] = Field(description="analysts, the largest first, who together spent most")
    expected_error: Stated


class ChartPoint(_Document):
    day: str
    used: float = Field(description="share of the present cap that was used at the end of the day")


class ForecastChart(_Document):
    scope: str
    block: str
    points: tuple[ChartPoint, ...]
    exhausted_on: ExhaustedOn


class ReportForecast(_Document):
    method: str
    limits: str
    charts: tuple[ForecastChart, ...] = Field(description="the budgets that run out first, at most six")


class ReportImplementation(_Document):
    versions: dict[str, str]
    mechanisms: tuple[str, ...]
    noise_source: str
    defences: tuple[str, ...]
    preprocessing: tuple[str, ...]
    bounds_from_data: int = Field(description="charges within value bounds that a paid release chose from the rows")


class RetentionRow(_Document):
    table: str
    days: int | None


class CoverageBand(_Document):
    """So many numbers, between round ones, have said this about the purpose."""

    purpose: str
    status: str
    low: int
    high: int


class ConsentCoverage(_Document):
    """Bands that hold the intervals of one priced release."""

    release: str
    at: str
    epsilon: float = Field(description="what the release was asked for")
    confidence: float
    bands: tuple[CoverageBand, ...]


class ReportData(_Document):
    source: str
    sampling: str
    consent_coverage: ConsentCoverage | None = Field(description="bands made of priced, noisy counts")
    consent_coverage_reason: str | None
    quarantine: Stated
    retention: tuple[RetentionRow, ...]


class ReportIntegrity(_Document):
    head: str
    last_entry_at: str
    entries: int
    charges: int
    releases: int
    signed_decisions: int
    adoptions: int
    verified: bool
    steward_key: str = Field(description="Ed25519 public key, hexadecimal")
    not_shown: str


class BudgetReport(_Document):
    """What `dpquery report budget --format json` prints. Spent is rounded up, left down, to six figures."""

    schema_: Literal["dpquery.budget-report/1"] = Field("dpquery.budget-report/1", alias="schema")
    at: str
    notes: tuple[str, ...] = Field(description="what a reader should know beforehand")
    identity: ReportIdentity
    guarantee: ReportGuarantee
    unit: ReportUnit
    not_protected: tuple[str, ...]
    trust: ReportTrust
    accounting: ReportAccounting
    use: ReportUse
    forecast: ReportForecast
    implementation: ReportImplementation
    data: ReportData
    integrity: ReportIntegrity


class ConsentImportDocument(_Document):
    """What `dpquery consent import --json` prints. It depends on private lines: it is for the steward."""

    schema_: Literal["dpquery.consent-import/1"] = Field("dpquery.consent-import/1", alias="schema")
    source: str = Field(description="the list's name")
    purpose: str = Field(description='of lines that name none; "*" for all')
    format: str
    repeated: bool = Field(description="the same list had been taken in before, in the same way: nothing was done")
    dry_run: bool
    rows_read: int = Field(description="lines that are not blank")
    statements: int = Field(description="added to the registry")
    unchanged: int = Field(description="lines that say what their source had said already")
    public: int = Field(description="lines with numbers that nobody owns")
    erased: int = Field(description="lines with numbers that were erased, which stay out")
    quarantined: int
    by_reason: dict[str, int]
    cures: tuple[str, ...]
    quarantine_file: str | None
    consent_version: int


class ConsentSetDocument(_Document):
    """What `dpquery consent set --json` prints."""

    schema_: Literal["dpquery.consent-set/1"] = Field("dpquery.consent-set/1", alias="schema")
    purpose: str
    status: dict[str, int] = Field(description="numbers by what is now recorded of them")
    effective_at: str
    consent_version: int


class ConsentStanding(_Document):
    purpose: str
    regime: Literal["opt-in", "opt-out", "duty"]
    status: str | None = Field(description="what stands; null if nothing does, so that silence decides")
    said_for: str | None = Field(description='the purpose of that statement, or "*": all')
    since: str | None
    expires_at: str | None
    source: str | None = Field(description='"person", or the name of a list')
    basis: str | None
    notice_version: str | None
    method: str | None
    counts: bool = Field(description="whether rows of this number count, so far as it depends on this number")
    why: str
    rules: tuple[str, ...] = Field(description="laws that make silence a no for this purpose")


class ConsentStatusDocument(_Document):
    """What `dpquery consent status --json` prints, one line for each number. It names no number."""

    schema_: Literal["dpquery.consent-status/1"] = Field("dpquery.consent-status/1", alias="schema")
    number_ending: str = Field(description="last two digits")
    country: str
    public: bool = Field(description="nobody's number: consent is not asked")
    at: str
    purposes: tuple[ConsentStanding, ...]


class ErasureDocument(_Document):
    """What `dpquery consent purge --number --json` prints, the same whether the store had met the numbers or not."""

    schema_: Literal["dpquery.erasure/1"] = Field("dpquery.erasure/1", alias="schema")
    dataset: str
    numbers: int = Field(description="different numbers that were named")
    sentences: tuple[str, ...] = Field(description="what is gone, and what stays")


class ConsentPurgeDocument(_Document):
    """What `dpquery consent purge --json` prints."""

    schema_: Literal["dpquery.consent-purge/1"] = Field("dpquery.consent-purge/1", alias="schema")
    days: int = Field(description="statements that bore on nothing for longer are removed")
    expired: int
    superseded: int
    kept: int


CONSENT_CONTEXT: dict[str, Any] = {
    "dpv": "https://w3id.org/dpv#",
    "dct": "http://purl.org/dc/terms/",
    "type": "@type",
    "conforms_to": {"@id": "dct:conformsTo", "@type": "@id"},
    "receipt_id": "dct:identifier",
    "issued_at": "dct:created",
    "principal": "dpv:hasDataSubject",
    "parties": "dpv:hasEntity",
    "processing": "dpv:hasProcess",
    "purpose": "dpv:hasPurpose",
    "lawful_basis": {"@id": "dpv:hasLegalBasis", "@type": "@vocab"},
    "consent_status": {"@id": "dpv:hasConsentStatus", "@type": "@vocab"},
    "notice": "dpv:hasNotice",
    "jurisdiction": "dpv:hasJurisdiction",
    "events": "dpv:hasRecordOfActivity",
}
"""Terms of the Data Privacy Vocabulary for the fields of a receipt; other fields are dpquery's own."""


class ConsentPrincipal(_Document):
    """Whom a receipt is about, without the number."""

    pii_principal_id: str = Field(description="keyed hash, with a key for receipts and exports alone")
    number_ending: str = Field(description="last two digits, by which the owner knows it")


class ConsentParty(_Document):
    role: Literal["dpv:DataController"] = "dpv:DataController"
    name: str
    contact: str


class ConsentProcessing(_Document):
    purpose: str
    text: str = Field(description="the purpose in plain words")
    regime: Literal["opt-in", "opt-out", "duty"]
    lawful_basis: str = Field(description="as recorded, or as a term of DPV")
    consent_status: str
    stands: str = Field(description="given, refused, withdrawn, or none: silence decides")
    since: str
    source: str
    notice: str = Field(description="version that was seen; else that of the policy")
    jurisdiction: str = Field(description="country that the number belongs to, or other")
    rules: tuple[str, ...] = Field(description="laws that make silence a no")
    counts: Literal["yes", "no"] = Field(description="whether rows of this number count for the purpose")
    why: str
    withdrawal: str


class ConsentEvent(_Document):
    type: str
    purpose: str
    status: str
    at: str
    expires_at: str
    recorded_at: str
    source: str
    method: str
    notice: str
    basis: str


class ConsentReceiptDocument(_Document):
    """A signed receipt of what the registry holds about one number: an ISO/IEC TS 27560 record with terms of W3C DPV.

    Texts that are not known are empty. The signature is over the canonical JSON of all but itself.
    """

    context: dict[str, Any] = Field(CONSENT_CONTEXT, alias="@context")
    schema_: Literal["dpquery.consent-receipt/1"] = Field("dpquery.consent-receipt/1", alias="schema")
    type: Literal["dpv:ConsentReceipt"] = "dpv:ConsentReceipt"
    conforms_to: Literal["https://w3id.org/dpv/schema/dpv-27560#receipt"] = (
        "https://w3id.org/dpv/schema/dpv-27560#receipt"
    )
    schema_version: Literal["ISO/IEC TS 27560:2023"] = "ISO/IEC TS 27560:2023"
    receipt_id: str
    issued_at: str
    dataset: str
    policy_version: int
    principal: ConsentPrincipal
    parties: tuple[ConsentParty, ...]
    processing: tuple[ConsentProcessing, ...]
    events: tuple[ConsentEvent, ...]
    cannot_be_undone: str = Field(description="what opting out does not reach")
    algorithm: Literal["Ed25519"] = "Ed25519"
    steward: str = Field(description="public key of the store's steward, hexadecimal")
    signature: str = Field(description="hexadecimal")


class ConsentVerificationDocument(_Document):
    """What `dpquery consent verify --json` prints."""

    schema_: Literal["dpquery.consent-verification/1"] = Field("dpquery.consent-verification/1", alias="schema")
    receipt_id: str
    issued_at: str
    steward: str
    signed: Literal[True] = Field(True, description="whoever has the key of `steward` wrote it, and nobody changed it")
    this_store: bool | None = Field(description="the registry holds its events; null if none was asked")
    changed_since: tuple[str, ...] | None = Field(description="purposes for which something else stands by now")


Verdict = Literal["over", "under", "cannot tell", "no limit"]
ContactUnit = Literal["calls", "numbers", "complaints", "share"]


class CallingRule(_Document):
    kind: Literal["hours", "frequency", "abandonment", "lists", "refusals"]
    text: str
    source: str
    from_: str = Field(alias="from", description="first day on which it holds")
    until: str | None = Field(description="last day on which it holds")
    note: str = Field(description="what is not sure, or not looked at")


class ContactQuestion(_Document):
    name: str
    asks: str
    sql: str
    first_day: str
    last_day: str
    rule: int | None = Field(description="place in `rules`, from 0; null: no rule, only a rate")
    rows_per_number: int = Field(description="most rows of one number that count")
    misses: str = Field(description="what the question does not find")
    status: Literal["released", "repeated", "preview", "left out"]
    release: str | None
    epsilon: float = Field(description="what it cost now; of a preview, what it would cost")
    expected_half_width: float | None = Field(description="at the confidence of the verdicts; of a preview only")
    reason: str | None = Field(None, description="why it is left out")


class ContactFinding(_Document):
    question: str
    about: str = Field(description="the rule's words, or the rate")
    campaign: str | None = Field(description="null: calls of no campaign, or the whole caller where `whole` is true")
    whole: bool = Field(description="whether it is about the whole caller")
    unit: ContactUnit
    value: float | None
    low: float | None = Field(description="lower end of the interval; null: none is known")
    high: float | None
    confidence: float
    limit: float | None
    verdict: Verdict


class LeftOut(_Document):
    part: str
    reason: str


class ContactReport(_Document):
    """What `dpquery report contact --format json` prints: priced answers about calls, against a country's rules."""

    schema_: Literal["dpquery.contact-report/1"] = Field("dpquery.contact-report/1", alias="schema")
    at: str
    dataset: str
    policy_version: int
    data_version: int
    purpose: str
    jurisdiction: str
    until: str = Field(description="last day that was looked at")
    dry_run: bool
    summary: dict[Verdict, int] = Field(description="how many findings have each verdict")
    comparisons: int = Field(description="intervals that were compared with a limit")
    wrong_at_most: float = Field(description="chance that noise makes any of them over or under that is not")
    epsilon_asked: float
    epsilon_spent: float
    guarantee: tuple[str, ...] = Field(description="of each answer by itself, where they differ")
    findings: tuple[ContactFinding, ...]
    questions: tuple[ContactQuestion, ...]
    rules: tuple[CallingRule, ...]
    left_out: tuple[LeftOut, ...]
    limits: tuple[str, ...] = Field(description="what the report cannot see")


class GroupSize(_Document):
    group: str
    value: float = Field(description="noisy count; not clamped at 0")
    low: float
    high: float
    expected_error: float | None = Field(description="expected reach of the interval over the count; null up to 0")
    achieved_error: float | None = Field(description="reach of the interval over the count; null up to 0")
    suppression: Literal["shown", "not of use", "perhaps too few"] = Field(
        description="not of use: the interval reaches further than half the count; perhaps too few: it reaches below "
        "the policy's min_people"
    )
    bounding_loss: float | None = Field(None, description="share of its rows that bounds leave out, if it was bought")
    bounding_loss_low: float | None = None
    bounding_loss_high: float | None = None


class GroupSizes(_Document):
    """How large the groups of one column are, and how well that is known."""

    name: str
    column: str
    counted: str
    sql: str
    apart: bool = Field(description="whether each group was asked by itself, for equal relative errors")
    epsilon: float = Field(description="price of the question, stored or not")
    releases: tuple[str, ...]
    interval: Interval
    groups: tuple[GroupSize, ...]
    bounding: Literal["bought", "not bought", "none left out"]
    worst: str | None
    best: str | None
    worst_to_best: float | None = Field(description="ratio of relative errors; null if a group is hidden by noise")
    at_least: float | None = Field(description="the ratio's lower end, all intervals of the report at once")
    warning: str | None


class GroupOutcome(_Document):
    group: str
    numbers: float = Field(description="noisy count of numbers that have a value")
    value: float | None = Field(description="mean of the numbers' values; null if noise hides it")
    noise_low: float = Field(description="interval that covers the noise: of the mean in the data")
    noise_high: float
    low: float = Field(description="interval that covers noise and chance: of the mean that the data are a sample of")
    high: float
    expected_error: float | None
    achieved_error: float | None = Field(description="reach of the noise at 95 %, over the value")
    suppression: Literal["shown", "not of use", "perhaps too few"]
    ratio: float | None = Field(description="to the group that the others are compared with")
    ratio_low: float
    ratio_high: float | None = Field(description="null: no end")
    ratio_low_in_data: float = Field(description="the same of the noise alone")
    ratio_high_in_data: float | None
    verdict: Literal["higher", "lower", "not distinguishable", "compared with"] = Field(
        description="beyond noise and chance"
    )
    verdict_in_data: Literal["higher", "lower", "not distinguishable", "compared with"] = Field(
        description="beyond noise: of the numbers in the data, whose difference may be chance"
    )


class GroupOutcomes(_Document):
    """One outcome in the groups of one column."""

    name: str
    column: str
    unit: str | None
    clamp: tuple[float, float]
    sql: str
    epsilon: float
    releases: tuple[str, ...]
    reference: str = Field(description="the largest group by its noisy count: the others are compared with it")
    groups: tuple[GroupOutcome, ...]
    worst: str | None
    best: str | None
    worst_to_best: float | None
    warning: str | None
    findings: tuple[str, ...] = Field(description="each group that is higher or lower, in a sentence")


class FairnessPrice(_Document):
    epsilon: float = Field(description="sum of all questions, stored or not")
    charged: float = Field(description="of that, charged for this report; the rest was stored")
    delta: float = Field(description="sum of deltas; 0: every release has Laplace noise")
    scopes: tuple[str, ...]
    questions: int


class FairnessReport(_Document):
    """What `dpquery report fairness --format json` prints."""

    schema_: Literal["dpquery.fairness-report/1"] = Field("dpquery.fairness-report/1", alias="schema")
    at: str
    dataset: str
    policy_version: int
    purpose: str
    notice: str
    analyst: str
    warnings: tuple[str, ...]
    findings: tuple[str, ...]
    price: FairnessPrice
    guarantee: str
    not_protected: tuple[str, ...]
    nominal: float = Field(description="chance that anything is called higher or lower although nothing differs")
    intervals: int = Field(description="how many hold at once")
    confidence: float = Field(description="of each interval of an outcome")
    ratio_max: float = Field(description="the policy's fairness_ratio_max")
    min_people: int | None
    sizes: tuple[GroupSizes, ...]
    outcomes: tuple[GroupOutcomes, ...]
    method: tuple[str, ...]


class StricterLaw(_Document):
    country: str = Field(description="ISO country, or EU")
    place: str
    since: str
    source: str


class DataColumn(_Document):
    name: str
    text: str = Field(description="what it is, in the policy's words where it has any")
    kind: Literal["number", "declared", "time", "derived"] = Field(
        description="number: kept as a pseudonym only; derived: made of the numbers and the time when rows are stored"
    )
    type: str
    sensitive: bool
    selectable: bool = Field(description="whether answers can be listed by it")
    further: dict[str, Any] = Field(description="further fields of the policy about it")


class DataTable(_Document):
    """A table of rows that people own, or a view of one."""

    name: str
    text: str
    kind: Literal["rows", "halves of rows", "consents", "opt-outs"]
    of: str | None = Field(description="the table that it is a view of")
    people: tuple[str, ...] = Field(description="whose numbers are on a row")
    columns: tuple[DataColumn, ...]
    grain: str | None = Field(description="finest time that is kept")
    period: tuple[str, str] | None
    retention_days: int | None


class NoticePurpose(_Document):
    name: str
    text: str
    notice: str = Field(description="version of the notice for this purpose")
    regime: Literal["opt-in", "opt-out", "duty"]
    silence: str = Field(description="what it means that somebody has said nothing")
    laws: tuple[StricterLaw, ...] = Field(description="laws in force for which silence is no")
    secondary: bool
    tables: tuple[str, ...] = Field(description="tables of people's rows that it may read")
    sensitive: tuple[str, ...] = Field(description="sensitive columns that it may use")
    analysts: int = Field(description="how many people may ask for it")


class Odds(_Document):
    """How often somebody is right at most who guesses, at even odds before, whether a number is in the data."""

    epsilon: float | None = Field(description="null: nothing bounds it")
    delta: float
    right_guesses: int = Field(description="of 100; 100 is no limit")


class SeveralOdds(Odds):
    count: int = Field(description="of blocks, or of numbers")


class NoticeOdds(_Document):
    one_answer: Odds = Field(description="as the policy stands")
    ever: tuple[SeveralOdds, ...] = Field(
        description="from everything that may ever be released about so many blocks, whatever the steward decides"
    )
    numbers: tuple[SeveralOdds, ...] = Field(description="about one block, of a person with so many numbers")
    blocks: tuple[str, ...] = Field(description="what budgets are held for: months of the policy, and all, the rest")
    sentence: str
    further: tuple[str, ...]


class OptingOut(_Document):
    how: Stated
    effects: tuple[str, ...]
    not_undone: tuple[str, ...]


class RegistryBasic(_Document):
    name: str
    data_curators: tuple[str, ...] | None
    intended_use: str | None
    data_product_type: Literal["SQL queries"] = "SQL queries"
    data_product_region: str | None
    data_product_sector: str | None
    description: str


class RegistryVariant(_Document):
    variant_name: Literal["Pure DP", "Approximate DP"]
    unprotected_quantities: tuple[str, ...]


class RegistryParameters(_Document):
    epsilon: float | None
    delta: float


class RegistryLoss(_Document):
    privacy_unit: str
    privacy_unit_details: str
    privacy_parameters: RegistryParameters
    privacy_parameters_details: str


class RegistryModel(_Document):
    model_name: Literal["Central"] = "Central"
    release_type: Literal["Many releases"] = "Many releases"
    access_type: Literal["Interactive"] = "Interactive"


class RegistryDeployment(_Document):
    """The promise under the names of the OpenDP deployments registry."""

    basic: RegistryBasic
    dp_variant: RegistryVariant
    privacy_loss: RegistryLoss
    deployment_model: RegistryModel


class TransparencyDocument(_Document):
    """What `dpquery notice --format json` prints: for `/.well-known/dp-transparency.json`."""

    schema_: Literal["dpquery.transparency/1"] = Field("dpquery.transparency/1", alias="schema")
    at: str
    policy_version: int
    ledger_head: str = Field(description="of the verified ledger whose ceilings the odds are of")
    notices: dict[str, tuple[str, ...]] = Field(description="each version of the notice, and its purposes")
    deployment: RegistryDeployment
    purposes: tuple[NoticePurpose, ...]
    counted: tuple[DataTable, ...]
    never: tuple[str, ...]
    odds: NoticeOdds
    opting_out: OptingOut
    not_protected: tuple[str, ...]
    how_it_works: tuple[str, ...]
    first_release: Stated
    contact: Stated
    complaints: Stated
    transfers: Stated


class Recipient(_Document):
    analyst: str
    group: str | None
    os_user: str | None
    steward: bool


class RegisterPurpose(NoticePurpose):
    kind: str | None = Field(description="what laws call it")
    all_tables: bool = Field(description="whether it may read tables of later versions too")
    recipients: tuple[Recipient, ...]
    further: dict[str, Any] = Field(description="further fields of the policy about it")


class RegisterTable(DataTable):
    purposes: tuple[str, ...] = Field(description="purposes that may read it")
    block: Literal["month", "none"] = Field(description="what one budget holds for")
    further: dict[str, Any] = Field(description="further fields of the policy about it")


class RegisterDocument(_Document):
    """What `dpquery notice --register --format json` prints: a record of processing, after Article 30 GDPR."""

    schema_: Literal["dpquery.register/1"] = Field("dpquery.register/1", alias="schema")
    at: str
    dataset: str
    policy_version: int
    ledger_head: str
    controller: Stated
    contact: Stated
    sector: Stated
    region: Stated
    intended_use: Stated
    complaints: Stated
    transfers: Stated
    opt_out: Stated
    notices: dict[str, tuple[str, ...]]
    purposes: tuple[RegisterPurpose, ...]
    tables: tuple[RegisterTable, ...]
    public_tables: tuple[str, ...] = Field(description="tables without anybody's data")
    numbers: dict[str, Any] = Field(description="how numbers are read, and which belong to nobody")
    limits: dict[str, Any] = Field(description="of one answer")
    odds: NoticeOdds
    security: tuple[str, ...]


DOCUMENTS: dict[str, type[_Document]] = {
    "release": ReleaseDocument,
    "derived": DerivedDocument,
    "bounding-loss": BoundingLossDocument,
    "budget": BudgetDocument,
    "budget-report": BudgetReport,
    "consent-import": ConsentImportDocument,
    "consent-purge": ConsentPurgeDocument,
    "consent-receipt": ConsentReceiptDocument,
    "consent-set": ConsentSetDocument,
    "consent-status": ConsentStatusDocument,
    "consent-verification": ConsentVerificationDocument,
    "contact-report": ContactReport,
    "decision": DecisionDocument,
    "doctor": DoctorDocument,
    "erasure": ErasureDocument,
    "facts": FactsDocument,
    "fairness-report": FairnessReport,
    "ledger-verification": LedgerVerificationDocument,
    "policy-diff": PolicyDiffDocument,
    "prices": PricesDocument,
    "purge": PurgeDocument,
    "receipt": ReceiptDocument,
    "refusal": RefusalDocument,
    "register": RegisterDocument,
    "simulation": SimulationDocument,
    "tables": TablesDocument,
    "transparency": TransparencyDocument,
}
"""Each document with the name of its shipped JSON Schema, `schemas/<name>.schema.json`."""
