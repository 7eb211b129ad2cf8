"""The shape of a policy file. Each field's description is its reference text."""

from __future__ import annotations

import math
from datetime import date
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""A name of ours: lower case, digits and `_`, so that it never needs quotes in SQL."""

PersonName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}$")]
"""An analyst or a group."""

STEWARD = "steward"
"""The analyst that stewards ask as: who has the steward's key, and nobody else may use purposes of duty."""

Epsilon = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
Delta = Annotated[float, Field(ge=0, le=1e-3, allow_inf_nan=False)]
"""A delta is a chance that the promise fails altogether: a thousandth is already much."""

GRID_STEPS_MAX = 2**31
"""Widest value range, in grid steps: sums over a billion rows then still fit in 64 bits."""

BOUND_MAX = 1e15
"""Largest value bound: doubles hold every whole number up to it."""

REGISTRY_COLUMNS = {
    "consents": {
        "purpose": "text",
        "status": "text",
        "basis": "text",
        "granted_at": "timestamp",
        "withdrawn_at": "timestamp",
        "expires_at": "timestamp",
        "channel": "text",
        "notice_version": "text",
    },
    "opt_outs": {"list_name": "text", "purpose": "text", "added_on": "date"},
}
"""Columns and types of the views of the registry: what stands for each number and purpose, and who is on which list."""

TIME_GRAINS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
"""Seconds in each grain."""


PlaceGrain = Literal["cell", "district", "region", "country"]
"""How finely a column tells where somebody is, or is from."""

PLACE_GRAINS: tuple[PlaceGrain, ...] = ("cell", "district", "region", "country")
"""From the finest on."""

DIALLED_KINDS = frozenset({"short_code", "toll_free", "premium_rate", "shared_cost", "uan"})
"""Public kinds of numbers that people call, apart from emergencies: sensitive numbers look like these."""

NO_SERVICES = "leave sensitive_numbers out: no token can be told from another anyway"
MORE_KINDS = 'public_kinds = ["short_code", "emergency", "toll_free"]'

GROUPED = "grouped = { max_rows = 100, max_groups = 12, max_rows_per_group = 25 }"
DIRECTED = 'parties = { self = "user", other = "other", direction = "direction", outgoing = ["Outgoing"] }'
"""Lines that cures propose."""


def fault(complaint: str, cure: str) -> ValueError:
    """A complaint about a section, and the line to write instead."""
    return ValueError(f"{complaint}\n{cure}")


class _Section(BaseModel):
    """Closed (an unknown field is an error) and frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Numbers(_Section):
    format: Literal["phone", "opaque"] = Field(
        "phone", description='"phone": E.164 by phonenumbers; "opaque": every token is one protected number'
    )
    default_region: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] | None = Field(
        None,
        description="ISO country used where neither column nor file gives one; without it such rows are quarantined",
    )
    public_numbers: tuple[str, ...] = Field((), description="the organisation's own lines, in E.164; nobody owns them")
    public_file: str | None = Field(None, description="a file of such lines, one per line, beside the policy")
    public_kinds: tuple[
        Literal["short_code", "emergency", "toll_free", "alphanumeric", "premium_rate", "shared_cost", "uan"], ...
    ] = Field((), description="kinds of numbers that nobody owns; the people who call them stay protected")
    sensitive_numbers: tuple[str, ...] = Field(
        (), description="helplines, clinics, in E.164: nobody owns them, and no answer tells them from other services"
    )
    regions: dict[str, tuple[Annotated[str, StringConstraints(pattern=r"^\+[0-9]{1,12}$")], ...]] = Field(
        default_factory=dict, description='region name = E.164 prefixes; the longest prefix wins, no match is "other"'
    )
    countries: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")], ...] = Field(
        (), description='ISO countries that are keys of their own; all others are "other"; empty: every country'
    )

    @model_validator(mode="after")
    def _sensitive_ones_have_company(self) -> Self:
        """Sensitive numbers show as services: if there could be no others, that word would name them."""
        if self.format == "opaque" and self.sensitive_numbers:
            raise fault("opaque tokens have no kinds, so that a sensitive one would be the only service", NO_SERVICES)
        if set(self.public_kinds) & DIALLED_KINDS:
            return self
        if "emergency" in self.public_kinds:
            raise fault("emergency numbers would be the only services that people call", MORE_KINDS)
        if self.sensitive_numbers:
            raise fault("sensitive_numbers would be the only services that people call", MORE_KINDS)
        return self


class KeysFromTable(_Section):
    table: Name = Field(description="a public table; its key column lists the keys")


class KeyRange(_Section):
    low: int = Field(description="first key")
    high: int = Field(description="last key")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low <= self.high < self.low + 100_000:
            raise fault(
                "low must not exceed high, and a range holds at most 100,000 keys", "keys = { low = 0, high = 23 }"
            )
        return self


class Column(_Section):
    type: Literal["text", "integer", "decimal", "boolean", "date", "timestamp"] = Field(description="how it is stored")
    source: str | None = Field(None, alias="from", description="the file's name for it, when it differs")
    unit: str | None = Field(None, description="unit shown beside answers, such as s or GBP")
    keys: tuple[str, ...] | tuple[int, ...] | KeysFromTable | KeyRange | None = Field(
        None, description="the values GROUP BY may return; all of them return, absent ones too"
    )
    null_key: bool = Field(False, description="GROUP BY also returns the rows that have no value")
    bounds: tuple[float, float] | None = Field(None, description="values are clamped to [low, high] inside aggregates")
    grain: Literal["second", "minute", "hour", "day"] | Annotated[float, Field(gt=0, le=1e9)] | None = Field(
        None,
        description="finest that reaches disk: of a timestamp a unit of time (default: that of the table's time), of a "
        "number a step that it is rounded down to, of a text how many signs from its start",
    )
    grid: float | None = Field(None, description="values are rounded to multiples of this power of two")
    bins: Literal["log", "linear"] = Field("linear", description="spacing of histogram bins for averages and quantiles")
    selectable: bool = Field(True, description="false: may be filtered on, never grouped by")
    sensitive: bool = Field(False, description="read only for purposes that name it, and never beside a fine place")
    place: PlaceGrain | None = Field(
        None, description="how finely it tells a place; what is looked up by it is as fine, unless marked too"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.bounds is not None:
            if self.type not in {"integer", "decimal"}:
                raise fault("bounds need type integer or decimal", 'type = "integer"')
            low, high = self.bounds
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise fault("bounds must be two finite numbers, the lower first", "bounds = [0, 3600]")
            if max(abs(low), abs(high)) > BOUND_MAX:
                raise fault("bounds beyond 10^15 cannot be told apart exactly", "bounds = [0, 3600]")
        if self.grid is not None:
            if self.bounds is None:
                raise fault("grid needs bounds", "bounds = [0, 3600]")
            if self.grid <= 0 or math.frexp(self.grid)[0] != 0.5:
                raise fault(
                    "grid is not a power of two, so sums would not be exact", "grid = 1, 0.5, 0.25, ... or 0.015625"
                )
        if self.bounds is not None:
            self._check_bounds(*self.bounds)
        self._check_keys()
        self._check_grain()
        if self.keys is not None and not self.selectable:
            raise fault("a column with selectable = false can have no keys", "remove keys, or selectable = false")
        return self

    def _check_bounds(self, low: float, high: float) -> None:
        if max(high - low, abs(low), abs(high)) / self.grid_step > GRID_STEPS_MAX:
            raise fault("bounds span more than 2^31 steps of the grid", "choose a larger grid, or narrower bounds")
        if math.ceil(low / self.grid_step) >= math.floor(high / self.grid_step):
            raise fault("no two steps of the grid lie within the bounds", "a smaller grid, or wider bounds")

    def _check_keys(self) -> None:
        if self.keys is None:
            return
        if self.type not in {"text", "integer"}:
            raise fault("keys need type text or integer (a boolean's are known)", 'type = "text", or remove keys')
        if isinstance(self.keys, KeysFromTable | KeyRange):
            fits = "text" if isinstance(self.keys, KeysFromTable) else "integer"
            if self.type != fits:
                raise fault(f"these keys are {fits}, and the column is {self.type}", f'type = "{fits}"')
            return
        if len(set(self.keys)) != len(self.keys):
            raise fault("keys are listed twice", "list each key once")
        if any(isinstance(key, str) != (self.type == "text") for key in self.keys):
            raise fault(f"the keys are not {self.type}", 'keys = ["a", "b"] for text, keys = [1, 2] for integer')
        if any(not key.isprintable() if isinstance(key, str) else abs(key) > BOUND_MAX for key in self.keys):
            raise fault("keys are printable text, or whole numbers up to 10^15", 'keys = ["a", "b"]')

    def _check_grain(self) -> None:
        grain = self.grain
        if grain is None:
            return
        if isinstance(grain, str) != (self.type == "timestamp") or self.type in {"boolean", "date"}:
            raise fault(
                f"a {self.type} column has no such grain",
                'grain = "hour" for a timestamp, 0.01 for a decimal, 5 for an integer or the first signs of a text',
            )
        if self.type in {"integer", "text"} and not float(grain).is_integer():
            raise fault(f"the grain of a {self.type} column is a whole number", "grain = 5")
        listed = self.keys if isinstance(self.keys, tuple) else ()
        if isinstance(self.keys, KeyRange) and float(grain) > 1:
            raise fault(
                "a range of keys has every whole number, and most lie between steps of the grain", "list the keys"
            )
        if any(len(key) > float(grain) if isinstance(key, str) else key % float(grain) for key in listed):
            raise fault("keys are finer than the grain, so no row could have them", "coarser keys, or another grain")

    @property
    def grid_step(self) -> float:
        """The grid, in the column's unit: as declared, else 1 for integers and about 2^16 steps for decimals."""
        if self.grid is not None:
            return self.grid
        if self.type == "integer" or self.bounds is None:
            return 1.0
        return 2.0 ** math.floor(math.log2((self.bounds[1] - self.bounds[0]) / 2**16))


def known_zone(name: str) -> str:
    """`name`, if it is an IANA time zone."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise fault(f"there is no time zone {name[:64]}", 'zone = "Europe/London", or "UTC"') from None
    return name


class TimeColumn(_Section):
    column: Name = Field(description="our name for it")
    source: str | None = Field(None, alias="from", description="the file's name for it, when it differs")
    format: str = Field("iso", description='"iso", "unix" (seconds), "unix_ms", or a strptime pattern')
    zone: Annotated[str, AfterValidator(known_zone)] = Field("UTC", description="time zone of times that name none")
    grain: Literal["second", "minute", "hour", "day"] = Field("minute", description="finest time that reaches disk")
    several_zones: bool = Field(
        False,
        description="also derive earliest_hour and latest_hour: the hour of the week, 0 to 167 from Monday on, by the "
        "clocks that the number's owner may be under",
    )


class UngroupedBounds(_Section):
    max_rows: int = Field(ge=1, le=1_000_000, description="rows per number in an answer without GROUP BY")


class Bounds(_Section):
    """Contribution bounds of a grouped answer; one left out is inherited (by_key) or does not bind (grouped)."""

    max_rows: int | None = Field(None, ge=1, le=1_000_000, description="rows per number over all groups")
    max_groups: int | None = Field(None, ge=1, le=1_000_000, description="groups per number")
    max_rows_per_group: int | None = Field(None, ge=1, le=1_000_000, description="rows per number in each group")


class KeyedBounds(Bounds):
    keys: tuple[Name, ...] = Field(min_length=1, description="applies when GROUP BY has all of these; first entry wins")


class TableBounds(_Section):
    ungrouped: UngroupedBounds = Field(description="bounds without GROUP BY")
    grouped: Bounds = Field(description="bounds with GROUP BY")
    by_key: tuple[KeyedBounds, ...] = Field((), description="bounds for particular keys")

    @model_validator(mode="after")
    def _grouped_binds(self) -> Self:
        if self.grouped.max_rows_per_group is None:
            raise fault("grouped lacks max_rows_per_group, the bound that holds in every cell", GROUPED)
        return self


class Table(_Section):
    public: bool = Field(False, description="true: no numbers in it, analysts may know every row")
    key: Name | None = Field(None, description="a public table's key column")
    owners: Literal[1, 2] | None = Field(None, description="most protected numbers a row may have")
    legs_of: Name | None = Field(
        None, description="a view: one row per party of each row of this table, the other party masked"
    )
    carries: tuple[Name, ...] = Field((), description="columns a legs view shows; none may describe the other party")
    one_owner_when: str | None = Field(None, description="row test under which rows have one owner; checked at ingest")
    parties: dict[Name, str | tuple[str, ...]] = Field(
        default_factory=dict,
        description="our name = the file's column; or self, other, direction and outgoing for one row per side",
    )
    registry: Literal["consents", "opt_outs"] | None = Field(
        None,
        description="a view of the registry of consents: what stands for each number and purpose, or who is on which "
        "list; for duty purposes only",
    )
    third_party: str | None = Field(
        None, description="the file's column of a third number; rows with one are quarantined"
    )
    region_column: str | None = Field(None, description="the file's column with the ISO country to read numbers in")
    time: TimeColumn | None = Field(None, description="the row's time")
    period: tuple[date, date] | None = Field(None, description="first and last day (UTC) that rows may have")
    block: Literal["month", "none"] = Field(
        "none", description="budget blocks: the rows' own UTC month, or one for all"
    )
    retention_days: int | None = Field(
        None,
        ge=1,
        le=36_500,
        description="days after its own (UTC) on which a row may be read; older rows are not read, nor taken in, and "
        "`dpquery purge` removes them",
    )
    columns: dict[Name, Column] = Field(default_factory=dict, description="declared columns; no other reaches disk")
    sensitive: tuple[Name, ...] = Field(
        (), description="further sensitive columns: derived ones can stand in for origin or income"
    )
    bounds: TableBounds | None = Field(None, description="contribution bounds per number")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.public:
            self._check_public()
        elif self.legs_of is not None:
            self._check_legs()
        else:
            self._check_protected()
        if self.block == "month" and (self.time is None or self.period is None):
            raise fault(
                'block = "month" needs time and period',
                'add time = { column = "start_ts" } and period = [2026-01-01, 2026-03-31]',
            )
        if self.time is not None and self.period is None and not self.public:
            raise fault(
                "a table with time lacks its period: keys of time must not come from the rows",
                "period = [2026-01-01, 2026-03-31]",
            )
        if self.retention_days is not None and self.time is None:
            raise fault(
                "retention_days needs time: nothing else tells how old a row is",
                'add time = { column = "start_ts" }, or remove retention_days',
            )
        if self.period is not None and self.period[0] > self.period[1]:
            raise fault("period has the later day first", "period = [2026-01-01, 2026-03-31]")
        self._check_grains()
        names = [*self.party_names, *self.columns, *([self.time.column] if self.time else [])]
        for name in (*names, *self.derived_names):
            if (*names, *self.derived_names).count(name) > 1:
                raise fault(
                    f"the name {name} is used twice (derived columns have names too)",
                    "rename one, with from = the file's name",
                )
        return self

    def _check_grains(self) -> None:
        """A second time of a row may not tell more than its own."""
        if self.time is None:
            return
        finest = TIME_GRAINS[self.time.grain]
        for name, column in self.columns.items():
            if isinstance(column.grain, str) and TIME_GRAINS[column.grain] < finest:
                raise fault(
                    f"the grain of {name} is finer than that of the row's time, which reaches disk to the "
                    f"{self.time.grain} only",
                    f'grain = "{self.time.grain}", or leave it out',
                )

    def _check_public(self) -> None:
        if self.key is None or self.key not in self.columns:
            raise fault("a public table needs its key column", "key = one of its columns")
        if self.parties or self.owners is not None or self.bounds is not None or self.one_owner_when is not None:
            raise fault("a public table has no parties, owners or bounds", "remove them, or public = true")

    def _check_legs(self) -> None:
        own = (self.parties, self.owners, self.one_owner_when, self.third_party, self.time, self.period, self.columns)
        if any(own) or self.sensitive or self.block != "none" or self.retention_days is not None:
            raise fault(
                "a legs view has the rows, times, blocks and retention of its table",
                "keep legs_of, carries and bounds alone",
            )
        if self.bounds is None:
            raise fault("bounds are missing: a number has many legs", f"[tables.NAME.bounds] with {GROUPED}")

    def _check_protected(self) -> None:
        if self.carries:
            raise fault("carries belongs to legs views", 'add legs_of = "calls", or remove carries')
        if self.owners is None:
            raise fault("owners is missing: how many protected numbers a row may have", "owners = 1, or owners = 2")
        if not self.parties:
            raise fault(
                "parties is missing: the columns that hold numbers",
                'parties = { caller = "caller", callee = "callee" }',
            )
        if self.key is not None:
            raise fault("key belongs to public tables", "remove key")
        if self.bounds is None and self.owners == 2:
            raise fault(
                "bounds are missing: without them one number could move an answer without limit",
                "[tables.NAME.bounds] with ungrouped = { max_rows = 100 }, grouped = { max_rows_per_group = 25 }",
            )
        if self.directed and set(self.parties) - {"self", "other", "direction", "outgoing", "incoming"}:
            raise fault("parties by direction take self, other, direction, outgoing and incoming", DIRECTED)
        if self.directed and not {"self", "other", "direction", "outgoing"} <= set(self.parties):
            raise fault("parties by direction need self, other, direction and outgoing", DIRECTED)
        if len(self.party_names) > 2:
            raise fault("a row has at most two parties", "name a further number in third_party")
        if not self.directed and any(not isinstance(source, str) for source in self.parties.values()):
            raise fault("a party is one column of the file", 'parties = { caller = "caller", callee = "callee" }')
        if len(self.party_names) == 1 and self.owners == 2:
            raise fault("one party makes one owner", "owners = 1")
        if self.one_owner_when is not None and self.owners != 2:
            raise fault(
                "one_owner_when belongs to tables with owners = 2", "remove it: this table always has one owner"
            )

    @property
    def contribution_bounds(self) -> TableBounds:
        """The declared bounds; a one-owner table without any has one row per number, as a list of people has."""
        if self.bounds is not None:
            return self.bounds
        one = Bounds(max_rows=1, max_groups=1, max_rows_per_group=1)
        return TableBounds(ungrouped=UngroupedBounds(max_rows=1), grouped=one)

    def stored_grain(self, column: str) -> str | float | None:
        """The finest that reaches disk of a declared column; of timestamps no finer than of the row's own time."""
        declared = self.columns[column]
        if declared.grain is None and declared.type == "timestamp" and self.time is not None:
            return self.time.grain
        return declared.grain

    @property
    def directed(self) -> bool:
        """Whether the two parties depend on a direction column."""
        return "direction" in self.parties

    @property
    def party_names(self) -> tuple[str, ...]:
        """Our names of the number columns, one or two."""
        return ("caller", "callee") if self.directed else tuple(self.parties)

    @property
    def value_names(self) -> tuple[str, ...]:
        """Every column but the parties: declared ones, the time, and what is derived."""
        time = (self.time.column,) if self.time is not None else ()
        return (*self.columns, *time, *self.derived_names)

    @property
    def sensitive_names(self) -> frozenset[str]:
        """Columns that only purposes which name them may use."""
        return frozenset(self.sensitive) | {name for name, column in self.columns.items() if column.sensitive}

    @property
    def derived_names(self) -> tuple[str, ...]:
        """Columns made at ingest from the numbers and the time."""
        parties = tuple(f"{p}_{what}" for p in self.party_names for what in ("kind", "region", "country", "type"))
        if self.time is None:
            return parties
        several = ("earliest_hour", "latest_hour") if self.time.several_zones else ()
        return (*parties, "day", "local_hour", "local_dow", *several)


class Purpose(_Section):
    text: str = Field(pattern=r"\S", description="plain words: on the notice, the register and each release")
    notice: str = Field(pattern=r"\S", description="version of the notice that subscribers saw; on each release too")
    regime: Literal["opt-in", "opt-out", "duty"] = Field(description="what silence means: no, yes, or not asked")
    tables: tuple[str, ...] = Field(("*",), description='tables it may read; "*" for all')
    columns: dict[Name, tuple[Name, ...]] = Field(
        default_factory=dict, description="columns it may use, by table; of a table that is not named, all"
    )
    joins: tuple[tuple[Name, Name], ...] | None = Field(
        None, description="pairs of tables that one query may bring together; [] for none; without it, any"
    )
    only: dict[Name, dict[Name, tuple[str, ...] | tuple[int, ...]]] = Field(
        default_factory=dict, description="rows it sees, by table: those whose columns have the values that are listed"
    )
    sensitive: tuple[str, ...] = Field((), description="sensitive columns it may use, as table.column")
    secondary: bool = Field(False, description="profiling, scoring or sale: must be opt-in")
    kind: Literal["telemarketing", "automated_calls", "traffic_data", "location"] | None = Field(
        None, description="what laws call it; where the law of a number's country is stricter than regime, it holds"
    )

    @property
    def is_duty(self) -> bool:
        """Whether a law obliges to it, so that consent is not asked."""
        return self.regime == "duty"

    @model_validator(mode="after")
    def _secondary_is_opt_in(self) -> Self:
        if self.secondary and self.regime != "opt-in":
            raise fault("a secondary purpose is opt-in under every law", 'regime = "opt-in"')
        return self


class Analyst(_Section):
    purposes: tuple[Name, ...] = Field(min_length=1, description="what this analyst may ask for")
    group: PersonName | None = Field(None, description="people who may pool answers share a group")
    os_user: str | None = Field(None, description="the machine user this analyst must be")


class Budget(_Section):
    epsilon: Epsilon = Field(description="most epsilon, per block")
    delta: Delta = Field(0.0, description="most delta, per block; split once into selection and conversion")
    ceiling: Epsilon | None = Field(
        None, description="most epsilon that later grants may reach; fixed by `init`; default: epsilon"
    )

    @model_validator(mode="after")
    def _ceiling_is_above(self) -> Self:
        if self.ceiling is not None and self.ceiling < self.epsilon:
            raise fault("the ceiling is below epsilon", f"ceiling = {self.epsilon:g}, or more")
        return self


class Budgets(_Section):
    dataset: Budget = Field(description="all analysts together")
    groups: dict[PersonName, Budget] = Field(default_factory=dict, description="people who may pool answers")
    analysts: dict[PersonName, Budget] = Field(description="each analyst")
    purposes: dict[Name, Budget] = Field(default_factory=dict, description="each purpose")


class Limits(_Section):
    epsilon_default: Epsilon = Field(0.2, description="spent by queries that name none")
    epsilon_max: Epsilon = Field(2.0, description="most epsilon of one query")
    delta_release: Annotated[float, Field(gt=0, le=1e-3)] = Field(
        1e-6, description="delta at which the epsilon of one Gaussian answer is described"
    )
    min_people: int | None = Field(None, ge=1, description="undeclared keys need this noisy number of people too")
    delta_selection: Annotated[float, Field(gt=0, le=1e-3)] = Field(
        1e-9,
        description="delta of one answer with undeclared keys; they may spend a quarter of a budget's",
    )
    place_with_sensitive: PlaceGrain = Field(
        "region", description="finest place that one query may bring together with a sensitive column"
    )
    gaussian: bool = Field(True, description="false: Laplace noise only, so that the pure filter stays open")


Line = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class Consent(_Section):
    tick: Literal["day", "week", "month", "never"] = Field(
        "day",
        description="how often stored answers grow old because consents may have changed, whether or not any has",
    )
    retention_days: int = Field(
        365,
        ge=365,
        description="how long `consent purge --expired` keeps statements that have expired, or that a newer one of "
        "their source has replaced; at least a year, as evidence",
    )


class Calling(_Section):
    """How the rows tell what rules for calls are about. What is left out is left out of the report, which says so."""

    table: Name = Field(description="the table of calls")
    outbound: Line = Field(description="row test: the organisation called; its rows have one owner, who was called")
    campaign: Name = Field(description="column whose declared keys are told apart")
    answered: Line | None = Field(None, description="row test: somebody answered, and somebody was there for them")
    abandoned: Line | None = Field(None, description="row test: somebody answered, and nobody was there for them")
    opted_out: Line | None = Field(None, description="row test: in this call they asked not to be called again")
    sales: Line | None = Field(
        None, description="row test: something was offered; some rules are about such calls alone"
    )
    collections: Line | None = Field(None, description="row test: a debt was pursued; the same")
    lists: Name | None = Field(None, description="table of numbers that are not to be called, with the day, added_on")
    listed: Line | None = Field(None, description="row test over lists: those that bear on these calls; default: all")
    consents: Name | None = Field(None, description='table of what people said, a view with registry = "consents"')
    refused: Line | None = Field(None, description="row test over consents: such a call was refused; needs consents")
    complaints: Name | None = Field(None, description="table of complaints, with the same campaign column, and a time")
    tolerance: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="calls, or numbers, of a campaign that may break a rule without exceptions before it is over; "
        "no answer with noise can show that there were none at all",
    )


class Outcome(_Section):
    """What may come out differently for some groups: one value per number, so that nobody weighs more than another."""

    table: Name = Field(description="the table whose rows are looked at")
    where: Line | None = Field(None, description="condition on its rows, as in WHERE; all rows if left out")
    rate: Line | None = Field(None, description="condition: the share of a number's rows that meet it")
    mean: Name | None = Field(
        None, description="column: the mean over a number's rows; without rate and mean: how many rows it has, if any"
    )
    number: Name | None = Field(
        None, description="the party whose groups are compared, such as callee; needed where rows have two"
    )
    groups: tuple[str, ...] | None = Field(None, description="columns whose groups are compared, if not the report's")
    bounds: tuple[float, float] | None = Field(
        None, description="a number's value is clamped to [low, high]; not for a rate, the column's if it has any"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.rate is not None and self.mean is not None:
            raise fault("an outcome is a rate or a mean, or else a number of rows", "remove rate or mean")
        if self.rate is not None and self.bounds is not None:
            raise fault("a rate lies between 0 and 1", "remove bounds")
        if self.rate is None and self.mean is None and self.bounds is None:
            raise fault(
                "without rate or mean an outcome is the number of rows, and lacks its bounds", "bounds = [0, 10]"
            )
        if self.bounds is not None and not 0.0 <= self.bounds[0] < self.bounds[1] <= BOUND_MAX:
            raise fault(
                "bounds are two numbers from 0 up, the lower first, so that ratios mean something", "bounds = [0, 300]"
            )
        return self


class Report(_Section):
    curator: Line | None = Field(None, description="who answers for the data; printed in reports, like the next four")
    contact: Line | None = Field(None, description="where people can ask: a mail address, a page, a telephone number")
    sector: Line | None = Field(None, description="industry that the data is about, such as Technology")
    region: Line | None = Field(None, description="region that the data is about, or whose law applies to it")
    intended_use: Line | None = Field(None, description="what the answers are meant for, in a sentence")
    fairness_groups: tuple[str, ...] = Field((), description="columns whose groups the fairness report compares")
    fairness_ratio_max: float = Field(3.0, gt=1, description="warn when worst / best relative error passes this")
    jurisdiction: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] | None = Field(
        None, description="ISO country whose rules for calls the contact report checks; default: region, if it is one"
    )
    calling: Calling | None = Field(None, description="how the rows tell what the contact report is about")
    purpose: Name | None = Field(None, description="purpose that the steward asks the reports' questions for")
    outcomes: dict[Name, Outcome] = Field(
        default_factory=dict, description="what the fairness report compares between groups"
    )
    opt_out: Line | None = Field(None, description="how people can say no, or take a yes back; on the notice")
    complaints: Line | None = Field(
        None, description="the authority that people can complain to; on the notice and in the register"
    )
    transfers: Line | None = Field(
        None, description="whether anything goes to other countries, and how it is guarded there; as complaints"
    )
    words: dict[str, Line] = Field(
        default_factory=dict,
        description='plain words for tables and columns, on the notice: calls = "...", "calls.talk_s" = "..."',
    )


class LedgerPlaces(_Section):
    url: Annotated[str, StringConstraints(pattern=r"^postgresql://[^\s]+$")] | None = Field(
        None, description="a PostgreSQL database to keep the ledger in, without a password; else a file in the store"
    )
    checkpoint: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = Field(
        None,
        description="a file that `dpquery ledger checkpoint` wrote; every use of the ledger checks it. "
        "A whole path, or one from the folder that the store is in",
    )

    @model_validator(mode="after")
    def _without_password(self) -> Self:
        address = "" if self.url is None else self.url.partition("://")[2].partition("/")[0]
        if ":" in address.rpartition("@")[0] or (self.url is not None and "password=" in self.url):
            raise fault("a policy holds no password", "leave it out, and keep it in ~/.pgpass, mode 0600")
        if self.checkpoint is not None and not self.checkpoint.isprintable():
            raise fault("the path of the checkpoint is not printable", 'checkpoint = "store.checkpoint.json"')
        return self


class Policy(_Section):
    """A dpquery policy. What is not named here does not exist for an analyst."""

    schema_version: Literal[1] = Field(alias="schema", description="version of this file format")
    dataset: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")] = Field(description="its name")
    version: int = Field(ge=1, description="raised by hand with each change; printed on every release")
    numbers: Numbers = Field(default_factory=lambda: Numbers.model_validate({}), description="how numbers are read")
    tables: dict[Name, Table] = Field(min_length=1, description="the tables")
    purposes: dict[Name, Purpose] = Field(min_length=1, description="what answers may be used for")
    analysts: dict[PersonName, Analyst] = Field(min_length=1, description="who may ask")
    budgets: Budgets = Field(description="first grants, written by init")
    limits: Limits = Field(default_factory=lambda: Limits.model_validate({}), description="per query")
    consent: Consent = Field(
        default_factory=lambda: Consent.model_validate({}), description="how the registry of consents is used"
    )
    ledger: LedgerPlaces = Field(
        default_factory=lambda: LedgerPlaces.model_validate({}), description="where the ledger and its checkpoint are"
    )
    report: Report = Field(
        default_factory=lambda: Report.model_validate({}), description="what reports say and compare"
    )
