"""Notice and register follow the policy: what bears on people shows in them, and nothing else is in them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from planning import POLICY, small_catalog
from pydantic import Field
from test_policy_diff import OLD, SINGLE, dumped, policy_of, rules_of

from dpquery.asking.access import check_purpose, check_table
from dpquery.consent.regimes import in_force, rules, silence_is_yes
from dpquery.documents import Bound, NoticeOdds
from dpquery.errors import NotAllowed
from dpquery.ledger import usage_of
from dpquery.plan.catalog import LEGS_DERIVED, LEGS_PARTY
from dpquery.policy import Policy, parse_policy
from dpquery.policy.diff import compare
from dpquery.policy.links import broken_links
from dpquery.policy.model import REGISTRY_COLUMNS, Purpose
from dpquery.reports.ever import ever_released
from dpquery.reports.notices.data import further
from dpquery.reports.notices.notice import transparency
from dpquery.reports.notices.purposes import PLACES
from dpquery.reports.notices.register import register
from dpquery.reports.notices.written import NOTICE_FORMATS, REGISTER_FORMATS, Notice, Register

AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
HEAD = "sha256:" + "0" * 64


def promised(policy: Policy) -> Bound:
    """What a new store promises."""
    return ever_released(policy, usage_of(())).promised


def noticed(policy: Policy) -> Notice:
    return Notice(transparency(policy, promised(policy), at=AT, head=HEAD, first_release=None))


def registered(policy: Policy) -> Register:
    return Register(register(policy, promised(policy), at=AT, head=HEAD))


def told(policy: Policy) -> list[Any]:
    """Everything that people are told, but which version of the policy it is."""
    documents = [json.loads(each.to_json()) for each in (noticed(policy), registered(policy))]
    for document in documents:
        del document["policy_version"]
    return documents


def one_region_each(policy: Policy) -> bool:
    prefixes = [prefix for listed in policy.numbers.regions.values() for prefix in listed]
    return len(set(prefixes)) == len(prefixes)


SOUND = [(place, policy) for place, policy in SINGLE if not broken_links(policy) and one_region_each(policy)]
"""Those that a store can be opened under."""

EVERY_SEVENTH = [OLD, *(policy for _, policy in SOUND[::7])]

SILENT = {
    # how files are read
    "schema",
    "version",
    "tables.*.region_column",
    "tables.*.time.from",
    "tables.*.time.format",
    "tables.*.time.zone",
    "tables.*.columns.*.from",
    # what answers can be listed by, and how exact they are
    "tables.*.key",
    "tables.*.columns.*.keys",
    "tables.*.columns.*.null_key",
    "tables.*.columns.*.bounds",
    "tables.*.columns.*.grid",
    "tables.*.columns.*.bins",
    "tables.*.bounds",
    "tables.*.bounds.ungrouped.max_rows",
    "tables.*.bounds.grouped.max_rows",
    "tables.*.bounds.grouped.max_groups",
    "tables.*.bounds.grouped.max_rows_per_group",
    "tables.*.bounds.by_key",
    # who pays; the dataset's budget holds whatever these are
    "budgets.groups.*",
    "budgets.groups.*.epsilon",
    "budgets.groups.*.delta",
    "budgets.groups.*.ceiling",
    "budgets.analysts.*",
    "budgets.analysts.*.epsilon",
    "budgets.analysts.*.delta",
    "budgets.analysts.*.ceiling",
    "budgets.purposes.*",
    "budgets.purposes.*.epsilon",
    "budgets.purposes.*.delta",
    "budgets.purposes.*.ceiling",
    # what another report compares
    "report.jurisdiction",
    "report.calling",
    "report.calling.*",
    "report.outcomes.*",
    "report.outcomes.*.table",
    "report.outcomes.*.where",
    "report.outcomes.*.rate",
    "report.outcomes.*.mean",
    "report.outcomes.*.number",
    "report.outcomes.*.groups",
    "report.outcomes.*.bounds",
    "report.purpose",
    "report.fairness_groups",
    "report.fairness_ratio_max",
}
"""Fields that bear on files, errors and shares, and not on what people are told."""


def means_the_same(new: Policy) -> bool:
    """Whether the policies differ only in how something is written: a list in another order, a default spelt out."""
    words = ("means the same", "as before", "read from other columns")
    return all(any(word in change.sentence for word in words) for change in compare(OLD, new).changes)


def test_whatever_bears_on_people_shows_and_nothing_else_does() -> None:
    """A field that is added to policies, and that people are not told of, fails here unless it is silent."""
    before = told(OLD)
    met: set[str] = set()
    hidden, shown = set(), set()
    for place, new in SOUND:
        if _is_silent(place, new):
            continue
        changes = compare(OLD, new).changes
        patterns = {pattern for change in changes for pattern in rules_of(tuple(change.place.split(".")))}
        met |= patterns
        same = told(new) == before
        if same and not patterns <= SILENT and not means_the_same(new):
            hidden.add((place, str([change.sentence for change in changes])))
        if not same and patterns <= SILENT:
            shown.add(place)
    assert hidden == set()
    assert shown == set()
    assert len(met) > 60
    # No single change of these makes a sound policy.
    assert SILENT - met <= {
        "schema",
        "budgets.analysts.*",
        "report.outcomes.*.table",
        "report.outcomes.*.mean",
        "report.purpose",
    }


def _is_silent(place: tuple[str, ...], new: Policy) -> bool:
    """Columns of tables that anybody may know are nobody's data; what is not sensitive needs no leave."""
    if place[:1] == ("tables",) and len(place) > 1:
        return all(place[1] in policy.tables and policy.tables[place[1]].public for policy in (OLD, new))
    if place[0] == "purposes" and place[2:] == ("sensitive",):
        columns = (name.partition(".") for name in new.purposes[place[1]].sensitive)
        return not any(new.tables[table].columns[column].sensitive for table, _, column in columns)
    return False


def people_of(policy: Policy) -> dict[str, set[str]]:
    """Every column that queries can name in a table of people's rows, read off the policy itself."""
    found = {}
    for name, table in policy.tables.items():
        if table.public:
            continue
        source = policy.tables[table.legs_of] if table.legs_of is not None else table
        time = {source.time.column, "day", "local_hour", "local_dow"} if source.time is not None else set()
        if table.legs_of is not None:
            found[name] = {LEGS_PARTY, "role", *table.carries, *LEGS_DERIVED, *time}
        else:
            found[name] = {*table.party_names, *table.columns, *table.derived_names, *time}
    return found


def test_the_register_is_the_catalogue() -> None:
    for policy in EVERY_SEVENTH:
        found = registered(policy).document
        assert {t.name: {c.name for c in t.columns} for t in found.tables} == people_of(policy)
        assert [t.name for t in found.tables] == [n for n, table in policy.tables.items() if not table.public]
        assert set(found.public_tables) == {n for n, table in policy.tables.items() if table.public}
        for table in found.tables:
            source = policy.tables[table.of or table.name]
            declared = {c.name for c in table.columns if c.kind == "declared"}
            assert declared == set(policy.tables[table.name].carries if table.of else source.columns)
            for column in table.columns:
                parts = {f"{party}_{LEGS_DERIVED.get(column.name)}" for party in source.party_names if table.of}
                assert column.sensitive == (not source.sensitive_names.isdisjoint({column.name, *parts}))
                if column.kind == "declared":
                    assert column.selectable == source.columns[column.name].selectable
            own = policy.tables[table.name].retention_days  # a view's rows are kept as long as those it is of
            assert table.retention_days == (source.retention_days if own is None else own)
            assert table.block == source.block
        assert {t.name: {c.name for c in t.columns} for t in noticed(policy).document.counted} == people_of(policy)


def test_who_may_do_what_is_what_the_engine_allows() -> None:
    for policy in EVERY_SEVENTH:
        found = registered(policy).document
        assert [purpose.name for purpose in found.purposes] == list(policy.purposes)
        for purpose in found.purposes:
            assert set(purpose.tables) == {
                t.name for t in found.tables if allowed(check_table, policy, purpose.name, t.name)
            }
            assert {r.analyst for r in purpose.recipients} == {
                name for name in policy.analysts if allowed(check_purpose, policy, name, purpose.name)
            }
            declared = policy.purposes[purpose.name]
            assert (purpose.text, purpose.notice, purpose.regime) == (declared.text, declared.notice, declared.regime)
            assert [(law.country, law.source) for law in purpose.laws] == [
                (rule.country, rule.source) for rule in in_force(declared, AT.date())
            ]
            readable = {t.name: t for t in found.tables if t.name in purpose.tables}
            named = {
                f"{t.of or t.name}.{c.name}": f"{t.name}.{c.name}"
                for t in readable.values()
                for c in t.columns
                if c.sensitive
            }
            assert {each for real, each in named.items() if real in declared.sensitive} <= set(purpose.sensitive)
            assert len(purpose.sensitive) <= len(named)
        for table in found.tables:
            assert set(table.purposes) == {p.name for p in found.purposes if table.name in p.tables}
        assert {name for names in found.notices.values() for name in names} == set(policy.purposes)


def allowed(check: Any, *given: Any) -> bool:
    try:
        check(*given)
    except NotAllowed:
        return False
    return True


def with_people(policy: str = POLICY, **report: str) -> Policy:
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in report.items())
    return parse_policy(f"{policy}\n[report]\n{lines}")


WORDS = {
    "curator": "Curator-7f",
    "contact": "Contact-7f",
    "sector": "Sector-7f",
    "region": "Region-7f",
    "intended_use": "Use-7f",
    "opt_out": "Optout-7f",
    "complaints": "Complain-7f",
    "transfers": "Transfer-7f",
}
NOT_ON_THE_PAGE = {"sector", "region"}
"""For programs and authorities: in the notice's JSON, and in the register."""


@pytest.mark.parametrize("name", WORDS)
def test_what_the_report_section_says_is_in_every_form(name: str) -> None:
    policy = with_people(**WORDS)
    notice, record = noticed(policy), registered(policy)
    forms = NOTICE_FORMATS if name not in NOT_ON_THE_PAGE else ("json",)
    assert all(WORDS[name] in notice.to(form) for form in forms)
    assert all(WORDS[name] in record.to(form) for form in REGISTER_FORMATS)
    without = with_people(**{other: value for other, value in WORDS.items() if other != name})
    assert all(WORDS[name] not in noticed(without).to(form) for form in NOTICE_FORMATS)
    assert all(WORDS[name] not in registered(without).to(form) for form in REGISTER_FORMATS)
    needed = {"curator", "contact", "opt_out", "complaints", "transfers"}
    assert set(noticed(without).missing) == set(registered(without).missing) == {name} & needed
    assert noticed(policy).missing == registered(policy).missing == ()


REGIMES = """
[purposes.offers]
text = "Call you with offers."
notice = "v2"
regime = "{regime}"
kind = "telemarketing"
[purposes.rules]
text = "Check the calling rules, as the Calls Act wants."
notice = "v1"
regime = "duty"
[analysts.ana]"""


def with_regime(regime: str) -> Policy:
    return parse_policy(POLICY.replace("[analysts.ana]", REGIMES.format(regime=regime)))


def test_silence_is_told_as_the_engine_reads_it() -> None:
    """In each country, with and without a law."""
    for regime in ("opt-in", "opt-out"):
        policy = with_regime(regime)
        purpose = next(p for p in noticed(policy).document.purposes if p.name == "offers")
        silence = silence_is_yes(policy.purposes["offers"], ("GB", "FR", "DE", "other"), AT.date())
        stricter = {law.country for law in purpose.laws}
        assert stricter == {"FR", "DE"}
        for country in ("GB", "FR", "DE"):
            assert silence[country] == (purpose.regime == "opt-out" and country not in stricter)
        page = noticed(policy).to_markdown()
        assert ("In France they count only if you said yes" in page) == silence["GB"]
        assert ("unless you say no" in purpose.silence) == silence["GB"]
        assert ("cannot tell a number's country" in page) == (silence["GB"] and not silence["other"])
    assert {rule.country for rule in rules()} <= set(PLACES)
    early = transparency(with_regime("opt-out"), promised(OLD), at=datetime(2026, 8, 10, tzinfo=UTC), head=HEAD,
                         first_release=None)  # fmt: skip
    assert {law.country for p in early.purposes for law in p.laws} == {"DE"}


def test_duties_are_named_with_the_law_and_survive_an_opt_out() -> None:
    page = noticed(with_regime("opt-out")).to_markdown()
    undone = page.split("cannot undo")[-1].split("\n## ")[0]
    assert "Calls Act" in undone
    assert "Call you with offers" not in undone
    how = page.split("## How to say no")[1].split("\n## ")[0]
    assert "Call you with offers" in how
    assert "Calls Act" not in how
    raw = parse_policy(POLICY).model_dump(by_alias=True)
    raw["purposes"]["network_planning"]["regime"] = "duty"
    assert "nothing to opt out of" in noticed(policy_of(raw)).to_markdown()


def test_where_spellings_are_numbers_of_their_own_a_refusal_is_not_said_to_hold_for_all() -> None:
    raw = dumped(OLD)
    assert "however your number is written" in noticed(OLD).to_markdown()
    raw["numbers"]["format"] = "opaque"
    assert "however your number is written" not in noticed(policy_of(raw)).to_markdown()


def test_versions_of_the_notice_are_told_for_each_purpose_where_they_differ() -> None:
    page = noticed(with_regime("opt-out")).to_markdown()
    assert page.count("Version of this notice: v1") == 2
    assert page.count("Version of this notice: v2") == 1
    assert "Version of this notice" not in noticed(OLD).to_markdown()
    assert "v1 (" in noticed(OLD).to_markdown()


TICKS = {"day": "next day", "week": "next week", "month": "next month", "never": "new list of consents"}


@pytest.mark.parametrize("tick", TICKS)
def test_stored_answers_are_handed_out_until_the_policy_says(tick: str) -> None:
    policy = parse_policy(f'{POLICY}\n[consent]\ntick = "{tick}"\n')
    undone = " ".join(noticed(policy).document.opting_out.not_undone)
    assert TICKS[tick] in undone
    assert not any(words in undone for other, words in TICKS.items() if other != tick)
    assert "backups" in undone


def with_budget(text: str) -> NoticeOdds:
    return noticed(parse_policy(POLICY.replace("dataset = { epsilon = 30.0, delta = 1e-6 }", f"dataset = {text}")))\
        .document.odds  # fmt: skip


def test_odds_are_those_of_the_ceiling() -> None:
    """e^0.5 / (1 + e^0.5) is 62.2 of 100: rounded up, since a limit that is too small would be none."""
    odds = with_budget("{ epsilon = 0.5 }")
    assert [(one.count, one.right_guesses) for one in odds.ever] == [(1, 63), (2, 74), (3, 82)]
    assert odds.blocks == ("2026-01", "2026-02", "all")
    assert "right at most 63 times in 100 instead of 50" in odds.sentence
    raised = with_budget("{ epsilon = 0.5, ceiling = 1.0 }")
    assert raised.ever[0].right_guesses == 74
    assert "at most 74 times" in raised.sentence
    assert [each.right_guesses for each in odds.numbers] == [63, 74, 82]
    assert not any("delta" in text for text in odds.further)
    assert any("1 in 1,000,000" in text for text in with_budget("{ epsilon = 0.5, delta = 1e-6 }").further)


def test_where_there_is_no_limit_none_is_promised() -> None:
    odds = with_budget("{ epsilon = 30.0, delta = 1e-6 }")
    said = " ".join((odds.sentence, *odds.further))
    assert odds.ever[0].right_guesses == 100
    assert "at most" not in said
    assert "no limit" in odds.sentence
    assert "up to 89 times" in said
    without = transparency(
        OLD, promised(OLD).model_copy(update={"epsilon": None, "right_guesses": None}), at=AT, head=HEAD,
        first_release=None,
    )  # fmt: skip
    assert {each.right_guesses for each in without.odds.ever} == {100}
    assert "no limit" in without.odds.sentence
    assert without.odds.numbers == ()


def test_a_single_answer_is_no_promise_since_its_limit_is_the_policy_of_today() -> None:
    odds = with_budget("{ epsilon = 0.5 }")
    (single,) = [text for text in odds.further if "single answer" in text]
    assert "up to 89 times" in single
    assert "by the rules of today" in single
    assert "at most" not in single


def test_months_of_a_policy_are_those_that_budgets_are_held_for() -> None:
    raw = dumped(OLD)
    raw["tables"]["calls"]["period"] = (date(2025, 11, 30), date(2026, 2, 1))
    odds = noticed(policy_of(raw)).document.odds
    assert odds.blocks == ("2025-11", "2025-12", "2026-01", "2026-02", "all")
    assert odds.ever[-1].count == 5
    raw["tables"]["calls"]["block"] = "none"
    once = noticed(policy_of(raw)).document.odds
    assert once.blocks == ("all",)
    assert [each.count for each in once.ever] == [1]
    assert "month" not in " ".join((once.sentence, *once.further))


def test_views_of_the_registry_are_read_for_duties_alone() -> None:
    columns = ", ".join(f'{n} = {{ type = "{t}" }}' for n, t in REGISTRY_COLUMNS["opt_outs"].items())
    text = POLICY.replace(
        'columns = { list_name = { type = "text", keys = ["own", "national"] } }',
        f'registry = "opt_outs"\ncolumns = {{ {columns} }}',
    ).replace("[analysts.ana]", REGIMES.format(regime="opt-out"))
    found = registered(parse_policy(text)).document
    (lists,) = [table for table in found.tables if table.name == "dnc"]
    assert (lists.kind, lists.purposes) == ("opt-outs", ("rules",))


def test_the_policys_words_stand_for_names() -> None:
    words = '\n[report.words]\ncalls = "your calls"\n"calls.talk_s" = "how long you talked"\n'
    page = noticed(parse_policy(POLICY + words)).to_markdown()
    assert "Your calls" in page
    assert page.count("how long you talked") == 2  # of calls, and of their halves
    assert "talk s" not in page
    assert "talk s, in s" in noticed(OLD).to_markdown()
    faults = broken_links(
        policy_of({**dumped(OLD), "report": {"words": {"calls.talks": "x", "call": "y", "legs.role": "z"}}})
    )
    assert [fault[1] for fault in faults] == [
        "there is no table or column calls.talks",
        "there is no table or column call",
    ]


def test_what_an_analyst_can_name_is_what_is_told() -> None:
    catalog = small_catalog()
    found = registered(parse_policy(POLICY)).document
    assert {t.name: {c.name for c in t.columns} for t in found.tables} == {
        name: set(table.columns) for name, table in catalog.tables.items() if not table.policy.public
    }


@pytest.mark.parametrize("column", ["free_text", "score", "cell_id"])
def test_a_column_that_goes_is_gone_from_every_form(column: str) -> None:
    raw = dumped(OLD)
    del raw["tables"]["calls"]["columns"][column]
    raw["tables"]["legs"]["carries"] = tuple(name for name in raw["tables"]["legs"]["carries"] if name != column)
    without = policy_of(raw)
    for name in (column, column.replace("_", " ")):
        assert name in noticed(OLD).to_json() + noticed(OLD).to_html()
        assert not any(name in noticed(without).to(form) for form in NOTICE_FORMATS)
        assert not any(name in registered(without).to(form) for form in REGISTER_FORMATS)


def test_no_field_of_a_section_is_forgotten() -> None:
    """Also one that says nothing may be done, which is no default."""

    class Later(Purpose):
        pairs: tuple[str, ...] | None = None
        limits: dict[str, str] = Field(default_factory=dict)

    given = {"text": "Plan.", "notice": "v1", "regime": "opt-out"}
    assert further(Later.model_validate(given), set(given)) == {}
    assert further(Later.model_validate({**given, "pairs": ()}), set(given)) == {"pairs": []}
    assert further(Later.model_validate({**given, "limits": {"a": "b"}}), set(given)) == {"limits": {"a": "b"}}
    assert set(further(OLD.tables["calls"], set())) >= {"owners", "parties", "third_party", "retention_days"}
