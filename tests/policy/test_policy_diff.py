"""Two policies compared: no difference is dropped, each has its direction, and reversing a change reverses it."""

from __future__ import annotations

import copy
import itertools
import tomllib
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning import POLICY
from pydantic import ValidationError

from dpquery.policy import Policy, parse_policy
from dpquery.policy.diff import compare
from dpquery.policy.effects import REVERSE, Change
from dpquery.policy.rules import RULES, _names
from dpquery.store.relied_on import refused_changes

LIMITED = """columns = { calls = ["service", "direction"] }
joins = [["calls", "dnc"]]
only = { calls = { direction = ["outbound", "inbound"] } }
"""
SECOND = '[purposes.scoring]\ntext = "Score."\nnotice = "v1"\nregime = "opt-in"\nsecondary = true\n'
BUDGETS = """[budgets]
purposes = { network_planning = { epsilon = 20.0 } }
groups = { team = { epsilon = 20.0, delta = 1e-6, ceiling = 25.0 } }
"""
REPORT = """
[report.outcomes.contact]
table = "calls"
rate = "answered"
number = "callee"
groups = ["callee_region"]
[report.outcomes.talk]
table = "calls"
mean = "talk_s"
number = "caller"
groups = ["caller_region"]
"""
CALLING = '[report.calling]\ntable = "calls"\noutbound = "direction = \'outbound\'"\ncampaign = "cell_id"\n'
RICH = tomllib.loads(
    POLICY.replace('public_kinds = ["short_code"]', 'public_kinds = ["short_code"]\ncountries = ["GB"]')
    .replace("owners = 2\n", 'owners = 2\nthird_party = "third"\nretention_days = 90\n', 1)
    .replace("score = {", 'steps = { type = "integer", keys = { low = 0, high = 3 } }\nscore = {')
    .replace("[analysts.ben]", 'group = "team"\nos_user = "ana"\n[analysts.ben]')
    .replace("[analysts.ana]", LIMITED + SECOND + "[analysts.ana]")
    .replace("cell_id = {", 'tower = { type = "text", place = "district" }\ncell_id = {', 1)
    .replace('block = "month"', 'block = "month"\nsensitive = ["caller_type"]', 1)
    .replace("[budgets]", BUDGETS)
    .replace("epsilon_max = 2.0", "epsilon_max = 2.0\nmin_people = 9")
    + REPORT
    + CALLING
)
"""A policy that has something in nearly every field."""

Path = tuple[str, ...]


def policy_of(raw: dict[str, Any]) -> Policy:
    return Policy.model_validate(raw)


OLD = policy_of(RICH)


def dumped(policy: Policy) -> dict[str, Any]:
    return policy.model_dump(by_alias=True)


def leaves(value: Any, place: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every field, those that are left out too; sections and entries as well, for they can be left out."""
    if place:
        yield place, value
    if isinstance(value, dict):
        for name, part in value.items():
            yield from leaves(part, (*place, name))


ABSENT = object()


def changed(raw: dict[str, Any], place: Path, value: Any) -> Policy | None:
    """The policy with one field changed; None if that is no policy, or the same one."""
    edited = copy.deepcopy(raw)
    *way, last = place
    section = edited
    for name in way:
        section = section[name]
    if value is ABSENT:
        del section[last]
    else:
        section[last] = value
    try:
        policy = policy_of(edited)
    except ValidationError:
        return None
    return None if policy == policy_of(raw) else policy


TEXTS = (
    "other", "phone", "opaque", "FR", "lines.txt", "calls", "caller", "cells", "month", "none", "second", "day", "hour",
    "text", "integer", "log", "linear", "opt-in", "opt-out", "duty", "consents", "opt_outs", "location",
    "telemarketing", "week", "ana", "Europe/London", "unix", "talk_s > 3", "cell", "country",
    "postgresql://db.example.org/calls",
)  # fmt: skip
NUMBERS = (0, 1, 2, 3, 0.5, 1e-7, 1e-9, 5.0, 7, 12.5, 30, 64, 400)
LISTS: tuple[Any, ...] = (
    (), ("a", "b"), (1, 2), ("GB", "FR"), ("+442079460000", "+442079460001"), ("toll_free",), ("*",), ("calls",),
    ("calls", "dnc"), (("dnc", "calls"),), (("calls", "cells"), ("calls", "calls")), ("calls.score",), (0.0, 9.0),
    (date(2026, 1, 1), date(2026, 3, 31)), ("other",),
    (date(2026, 1, 5), date(2026, 2, 20)), ("+4420", "+4421"), ("service",), ({"keys": ("service",), "max_rows": 2},),
)  # fmt: skip
SECTIONS: tuple[Any, ...] = (
    {"service": ("voice",)}, {"caller": "caller"}, {"caller": "a", "callee": "b"}, {"table": "cells"},
    {"low": 0, "high": 9}, {"type": "text"},
    {"epsilon": 4.0}, {"epsilon": 4.0, "delta": 1e-7}, {"column": "start_ts"}, {"purposes": ("network_planning",)},
    {"ungrouped": {"max_rows": 9}, "grouped": {"max_rows_per_group": 4}},
    {"text": "Sell.", "notice": "v1", "regime": "opt-out"}, {"text": "Sell.", "notice": "v1", "regime": "opt-in"},
    {"owners": 1, "parties": {"number": "n"}}, {"public": True, "key": "k", "columns": {"k": {"type": "text"}}},
    {"self": "s", "other": "o", "direction": "d", "outgoing": "out"},
)  # fmt: skip
CANDIDATES = (ABSENT, None, True, False, *TEXTS, *NUMBERS, *LISTS, *SECTIONS)
NEW_ENTRIES = (
    "tables",
    "purposes",
    "analysts",
    "numbers.regions",
    "tables.calls.columns",
    "purposes.network_planning.columns",
    "purposes.network_planning.only",
    "purposes.network_planning.only.calls",
    "budgets.groups",
    "budgets.analysts",
    "budgets.purposes",
    "report.outcomes",
    "report.words",
)


def single_changes() -> list[tuple[Path, Policy]]:
    """Every valid policy that differs from the rich one in one field, one section or one entry."""
    raw = dumped(OLD)
    places = [place for place, _ in leaves(raw)]
    places += [(*section.split("."), "fresh") for section in NEW_ENTRIES]
    found = ((place, changed(raw, place, value)) for place in places for value in CANDIDATES if _can(raw, place, value))
    return [(place, policy) for place, policy in found if policy is not None]


def _can(raw: dict[str, Any], place: Path, value: Any) -> bool:
    return value is not ABSENT or place in {path for path, _ in leaves(raw)}


SINGLE = single_changes()


def flat(value: Any, place: Path = ()) -> dict[Path, Any]:
    """Every leaf of a dumped policy."""
    if isinstance(value, dict) and value:
        return {path: leaf for name, part in value.items() for path, leaf in flat(part, (*place, name)).items()}
    return {place: value}


def dropped(before: Policy, after: Policy) -> list[Path]:
    """Leaves that differ, and that no change names."""
    one, other = flat(dumped(before)), flat(dumped(after))
    places = [tuple(change.place.split(".")) for change in compare(before, after).changes]
    differing = [path for path in {**one, **other} if one.get(path, ABSENT) != other.get(path, ABSENT)]
    return [path for path in differing if not any(path[: len(p)] == p or p[: len(path)] == path for p in places)]


def reversed_(change: Change) -> tuple[Any, ...]:
    return (change.place, REVERSE[change.direction], str(change.after), str(change.before))


def as_is(change: Change) -> tuple[Any, ...]:
    return (change.place, change.direction, str(change.before), str(change.after))


def test_any_one_change_is_named_and_its_reverse_is_its_reverse() -> None:
    assert len(SINGLE) > 500
    for place, new in SINGLE:
        forth, back = compare(OLD, new).changes, compare(new, OLD).changes
        assert forth, place
        assert not dropped(OLD, new), place
        assert {reversed_(change) for change in forth} == {as_is(change) for change in back}, place
        for change in forth:
            assert change.sentence
            assert "{" not in change.sentence.replace("{'", "")
            assert change.place.startswith(place[0])


def test_every_field_has_a_rule_and_every_rule_is_met() -> None:
    """A field that is added to policies without a rule fails here; so does a rule for a field that is none."""
    for place, value in leaves(dumped(OLD)):
        whole = place[:-1] if place[-2:-1] in {("parties",), ("keys",)} else place
        assert isinstance(value, dict) or rules_of(whole), place
    named = {tuple(change.place.split(".")) for _, new in SINGLE for change in compare(OLD, new).changes}
    assert all(len(rules_of(place)) == 1 for place in named)
    assert set(RULES) - {rule for place in named for rule in rules_of(place)} == {"schema"}


def rules_of(place: Path) -> list[str]:
    return [rule for rule in RULES if _names(rule, place) is not None]


PLACES = [place for place, _ in leaves(dumped(OLD))]


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(st.sampled_from([p for p, _ in leaves(dumped(OLD))]), st.sampled_from(CANDIDATES)), max_size=40)
)
def test_of_many_changes_none_is_dropped(edits: list[tuple[Path, Any]]) -> None:
    raw = dumped(OLD)
    for place, value in edits:
        try:
            policy = changed(raw, place, value)
        except (KeyError, TypeError):  # an earlier edit has taken the section away
            continue
        raw = raw if policy is None else dumped(policy)
    new = policy_of(raw)
    assert not dropped(OLD, new)
    assert bool(compare(OLD, new).changes) == (new != OLD)
    assert {reversed_(c) for c in compare(OLD, new).changes} == {as_is(c) for c in compare(new, OLD).changes}


W, S, N = "weakens", "strengthens", "neutral"
DIRECTIONS: list[tuple[str, Any, list[str]]] = [
    ("numbers.format", "opaque", [W]),
    ("numbers.public_numbers", ("+442079460000", "+442079460009"), [W]),
    ("numbers.public_numbers", ("+442079460009",), [W, S]),
    ("numbers.public_file", "lines.txt", [W]),
    ("numbers.public_kinds", ("short_code", "toll_free"), [W]),
    ("numbers.sensitive_numbers", ("+441",), [W, S]),
    ("numbers.default_region", None, [N]),
    ("tables.calls.one_owner_when", None, [N]),
    ("tables.calls.third_party", None, [W]),
    ("tables.calls.time.grain", "second", [W]),
    ("tables.calls.time.grain", "day", [S]),
    ("tables.calls.columns.cost.grain", 0.5, [S]),
    ("tables.calls.columns.agent_id.grain", 3, [S]),
    ("tables.calls.period", (date(2026, 1, 1), date(2026, 3, 31)), [W]),
    ("tables.calls.period", (date(2026, 1, 5), date(2026, 3, 31)), [W, S]),
    ("tables.calls.period", (date(2025, 12, 1), date(2026, 2, 28)), [W]),
    ("tables.calls.block", "none", [S]),
    ("tables.calls.retention_days", 91, [W]),
    ("tables.calls.retention_days", None, [W]),
    ("tables.calls.columns.fresh", {"type": "text"}, [W]),
    ("tables.calls.columns.agent_id.selectable", True, [W]),
    ("tables.subscribers.columns.age_band.sensitive", False, [W]),
    ("tables.calls.columns.talk_s.bounds", (0.0, 9.0), [N]),
    ("tables.calls.columns.service.keys", ("voice",), [N]),
    ("tables.calls.bounds.grouped.max_rows_per_group", 1, [N]),
    ("tables.calls.bounds.by_key", (), [N]),
    ("tables.legs.carries", ("service", "direction", "talk_s", "score", "cell_id", "answered", "cost"), [W]),
    ("tables.fresh", {"owners": 1, "parties": {"number": "n"}}, [W]),
    ("tables.fresh", {"public": True, "key": "k", "columns": {"k": {"type": "text"}}}, [N]),
    ("purposes.fresh", {"text": "x", "notice": "v1", "regime": "opt-out"}, [W]),
    ("purposes.fresh", {"text": "x", "notice": "v1", "regime": "opt-in"}, [N]),
    ("purposes.network_planning.regime", "opt-in", [S]),
    ("purposes.network_planning.regime", "duty", [W]),
    ("purposes.network_planning.tables", ("calls",), [S]),
    ("purposes.network_planning.tables", ("calls", "*"), [N]),
    ("purposes.network_planning.sensitive", ("subscribers.age_band",), [W]),
    ("purposes.network_planning.columns.calls", ("service",), [S]),
    ("purposes.network_planning.columns.calls", ("service", "direction", "talk_s"), [W]),
    ("purposes.network_planning.columns.calls", ABSENT, [W]),
    ("purposes.network_planning.columns.dnc", ("list_name",), [S]),
    ("purposes.network_planning.joins", (("dnc", "calls"),), [N]),
    ("purposes.network_planning.joins", (("calls", "dnc"), ("calls", "cells")), [W]),
    ("purposes.network_planning.joins", (), [S]),
    ("purposes.network_planning.joins", None, [W]),
    ("purposes.network_planning.only.calls.direction", ("outbound",), [S]),
    ("purposes.network_planning.only.calls.direction", ("p2p",), [W, S]),
    ("purposes.network_planning.only.calls.direction", ABSENT, [W]),
    ("purposes.network_planning.only.calls.service", ("voice",), [S]),
    ("purposes.network_planning.only.calls", ABSENT, [W]),
    ("purposes.network_planning.only.dnc", {"list_name": ("own",)}, [S]),
    ("tables.calls.sensitive", ("caller_type", "callee_region"), [S]),
    ("tables.calls.sensitive", (), [W]),
    ("tables.calls.columns.tower.place", "cell", [S]),
    ("tables.calls.columns.tower.place", "country", [W]),
    ("tables.calls.columns.tower.place", None, [W]),
    ("limits.place_with_sensitive", "cell", [W]),
    ("limits.place_with_sensitive", "country", [S]),
    ("purposes.network_planning.text", "Other words.", [N]),
    ("analysts.fresh", {"purposes": ("network_planning",)}, [W]),
    ("analysts.ana.purposes", ("network_planning", "sales"), [W]),
    ("analysts.ana.group", None, [W]),
    ("analysts.ana.group", "others", [W, S]),
    ("analysts.ana.os_user", None, [W]),
    ("analysts.ana.os_user", "anna", [N]),
    ("budgets.dataset.epsilon", 31.0, [W]),
    ("budgets.dataset.epsilon", 29.0, [S]),
    ("budgets.analysts.ana.delta", 1e-5, [W]),
    ("budgets.analysts.ana.ceiling", 12.0, [W]),
    ("budgets.analysts.ana.ceiling", 10.0, [N]),
    ("budgets.groups.team.ceiling", None, [S]),
    ("budgets.groups.fresh", {"epsilon": 1.0}, [S]),
    ("limits.epsilon_max", 2.5, [W]),
    ("limits.epsilon_default", 0.5, [N]),
    ("limits.delta_release", 1e-5, [W]),
    ("limits.min_people", 8, [W]),
    ("limits.min_people", None, [S]),
    ("limits.delta_selection", 1e-8, [W]),
    ("limits.gaussian", False, [S]),
    ("report.fairness_ratio_max", 4.0, [N]),
    ("ledger.checkpoint", "calls.checkpoint.json", [S]),
    ("ledger.url", "postgresql://db.example.org/calls", [W, S]),
    ("version", 2, [N]),
]


@pytest.mark.parametrize(("place", "value", "directions"), DIRECTIONS)
def test_directions(place: str, value: Any, directions: list[str]) -> None:
    new = changed(dumped(OLD), tuple(place.split(".")), value)
    assert new is not None
    assert [change.direction for change in compare(OLD, new).changes] == directions


def with_parties(parties: dict[str, str]) -> Policy:
    raw = dumped(OLD)
    raw["tables"]["calls"] |= {"parties": parties, "owners": 1, "one_owner_when": None}
    return policy_of(raw)


def test_a_number_that_is_no_party_any_more_loses_its_rows_however_the_mapping_is_written() -> None:
    directed = {"self": "s", "other": "o", "direction": "d", "outgoing": "out"}
    raw = dumped(OLD)
    raw["tables"]["calls"]["parties"] = directed
    for both in (OLD, policy_of(raw)):
        found = [c for c in compare(both, with_parties({"caller": "caller"})).changes if "parties" in c.place]
        assert [(c.direction, c.before) for c in found] == [("weakens", ["callee"])]
        assert "callee" in found[0].sentence
    assert {c.direction for c in compare(OLD, policy_of(raw)).changes} == {"neutral"}


def test_those_that_weaken_come_first() -> None:
    new = parse_policy(
        POLICY.replace("epsilon_max = 2.0", "epsilon_max = 3.0")
        .replace("dataset = { epsilon = 30.0", "dataset = { epsilon = 20.0")
        .replace('dataset = "small-calls"', 'dataset = "x"')
    )
    assert [c.direction for c in compare(parse_policy(POLICY), new).changes] == ["weakens", "strengthens", "neutral"]


def test_the_version_must_go_up_with_each_change() -> None:
    raw = dumped(OLD)
    raw["limits"]["epsilon_max"] = 3.0
    assert not compare(OLD, policy_of(raw)).version_raised
    raw["version"] = 2
    assert compare(OLD, policy_of(raw)).version_raised
    assert not compare(policy_of(raw), OLD).version_raised
    assert compare(OLD, OLD).version_raised


REFUSED = [
    ("numbers.public_kinds", (), ("numbers",)),
    ("numbers.sensitive_numbers", ("+441",), ("numbers",)),
    ("tables.calls.third_party", None, ("tables.calls",)),
    ("tables.calls.columns.score.type", "decimal", ("tables.calls",)),
    ("tables.calls.columns.score.bounds", (0.0, 9.0), ()),
    ("tables.calls.period", (date(2026, 1, 1), date(2026, 3, 31)), ()),
    ("tables.calls.period", (date(2026, 1, 5), date(2026, 3, 31)), ("tables.calls (period)",)),
    ("tables.dnc", ABSENT, ("tables.dnc",)),
    ("tables.legs.carries", ("service",), ()),
    ("limits.epsilon_max", 3.0, ()),
]


@pytest.mark.parametrize(("place", "value", "sections"), REFUSED)
def test_what_a_store_with_rows_refuses(place: str, value: Any, sections: tuple[str, ...]) -> None:
    new = changed(dumped(OLD), tuple(place.split(".")), value)
    assert new is not None
    assert refused_changes(OLD, new) == sections


def test_nothing_is_refused_of_what_is_the_same() -> None:
    assert refused_changes(OLD, policy_of(dumped(OLD))) == ()
    assert list(itertools.chain(compare(OLD, policy_of(dumped(OLD))).changes)) == []
