"""The contact report: injected breaches are found within the stated error, clean campaigns are not called over."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import jsonschema
import pandas as pd
import pytest
from stores import MadeStore

from dpquery.cli.report import show_contact
from dpquery.consent.records import REFUSED, WITHDRAWN
from dpquery.consent.stating import Statement, pseudonym_of, state
from dpquery.errors import BudgetRefused, NotAllowed, PolicyError, UsageError
from dpquery.policy import parse_policy
from dpquery.reports.contact_questions import ROWS, questions
from dpquery.reports.contact_report import UNCERTAIN, WRONG_AT_MOST, contact_report, verdict
from dpquery.reports.contact_rules import in_force, jurisdictions, rules
from dpquery.row_test import check_row_tests
from dpquery.schemas import FOLDER
from dpquery.session import connect
from dpquery.stewardship import init, steward
from dpquery.store.relied_on import digests, refused_changes

if TYPE_CHECKING:
    from pathlib import Path

    from dpquery.documents import ContactFinding, ContactReport

POLICY = """
schema = 1
dataset = "call-centre"
version = 1
[numbers]
default_region = "US"
public_numbers = ["+12127365000"]
[tables.calls]
owners = 2
one_owner_when = "direction <> 'p2p'"
parties = { caller = "caller", callee = "callee" }
time = { column = "start_ts", format = "iso", zone = "UTC", grain = "minute" }
period = [2026-01-01, 2026-03-31]
block = "month"
[tables.calls.columns]
direction = { type = "text", keys = ["outbound", "inbound", "p2p"] }
purpose = { type = "text", keys = ["sales", "collections", "service"] }
disposition = { type = "text", keys = ["answered", "no_answer", "abandoned"] }
outcome = { type = "text", keys = ["sale", "optout", "none"] }
campaign_id = { type = "text", keys = { table = "campaigns" } }
[tables.calls.bounds]
ungrouped = { max_rows = 50 }
grouped = { max_rows = 50, max_groups = 4, max_rows_per_group = 50 }
[tables.complaints]
owners = 1
parties = { number = "number" }
time = { column = "ts", format = "iso", zone = "UTC", grain = "day" }
period = [2026-01-01, 2026-03-31]
block = "month"
columns = { campaign_id = { type = "text", keys = { table = "campaigns" } } }
[tables.complaints.bounds]
ungrouped = { max_rows = 2 }
grouped = { max_rows = 2, max_groups = 2, max_rows_per_group = 2 }
[tables.consents]
owners = 1
parties = { number = "number" }
registry = "consents"
[tables.consents.columns]
purpose = { type = "text", keys = ["marketing"] }
status = { type = "text", keys = ["given", "refused", "withdrawn"] }
withdrawn_at = { type = "timestamp" }
[tables.consents.bounds]
ungrouped = { max_rows = 1 }
grouped = { max_rows = 1, max_groups = 1, max_rows_per_group = 1 }
[tables.lists]
owners = 1
parties = { number = "number" }
registry = "opt_outs"
columns = { list_name = { type = "text", keys = ["national", "own"] }, added_on = { type = "date" } }
[tables.campaigns]
public = true
key = "campaign_id"
columns = { campaign_id = { type = "text" } }
[purposes.marketing]
text = "Sell."
notice = "v1"
regime = "opt-in"
[purposes.compliance]
text = "Keep to the rules for calls."
notice = "v1"
regime = "duty"
[analysts.ana]
purposes = ["marketing"]
[analysts.steward]
purposes = ["compliance"]
[budgets]
dataset = { epsilon = 1000.0, delta = 1e-6 }
analysts = { ana = { epsilon = 1.0 }, steward = { epsilon = 1000.0, delta = 1e-6 } }
[limits]
epsilon_max = 100.0
[report]
jurisdiction = "US"
[report.calling]
table = "calls"
outbound = "direction = 'outbound'"
campaign = "campaign_id"
answered = "disposition = 'answered'"
abandoned = "disposition = 'abandoned'"
opted_out = "outcome = 'optout'"
sales = "purpose = 'sales'"
collections = "purpose = 'collections'"
lists = "lists"
consents = "consents"
refused = "purpose = 'marketing' AND status IN ('refused', 'withdrawn')"
complaints = "complaints"
"""

ORG = "+12127365000"
EAST, WEST = "America/New_York", "America/Los_Angeles"
NEW_YORK = [f"+1212979{i:04}" for i in range(1000)]
LOS_ANGELES = [f"+1213687{i:04}" for i in range(1000)]
CLEAN, BAD = "CMP-1", "CMP-2"
CAMPAIGNS = pd.DataFrame({"campaign_id": [CLEAN, BAD, "CMP-3"]})


def called(number: str, day: date, hour: int, zone: str = EAST, **values: str) -> dict[str, str]:
    """A call to `number` at that hour by the clock in `zone`."""
    start = datetime(day.year, day.month, day.day, hour, 30, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    row = {"direction": "outbound", "purpose": "sales", "disposition": "answered", "outcome": "none"}
    row |= {"campaign_id": CLEAN, "caller": ORG, "callee": number, "start_ts": start.strftime("%Y-%m-%dT%H:%M:%SZ")}
    return row | values


def ordinary() -> list[dict[str, str]]:
    """Calls that break no rule: one each to a thousand numbers by each of two campaigns, at noon where they are."""
    rows = []
    for place in range(1000):
        day = date(2026, 3, 2) + timedelta(days=place % 29)
        rows.append(called(NEW_YORK[place], day, 12))
        rows.append(called(LOS_ANGELES[place], day, 12, WEST, campaign_id=BAD))
    return rows


def made(folder: Path, calls: list[dict[str, str]], policy: str = POLICY, **tables: pd.DataFrame) -> MadeStore:
    folder.mkdir(exist_ok=True)
    (folder / "policy.toml").write_text(policy)
    store = init(folder / "store", policy=folder / "policy.toml")
    store.ingest(CAMPAIGNS, table="campaigns")
    store.ingest(pd.DataFrame(calls), table="calls")
    for name, rows in tables.items():
        store.ingest(rows, table=name)
    store.store.reload()
    return MadeStore(folder / "store", store)


def report(store: MadeStore, **options: Any) -> ContactReport:
    return steward(store.folder).report("contact", **{"epsilon": 60.0, **options}).document


def finding(found: ContactReport, question: str, campaign: str | None) -> ContactFinding:
    (one,) = (f for f in found.findings if (f.question, f.campaign) == (question, campaign))
    return one


def holds(one: ContactFinding, value: float) -> bool:
    """Whether the stated interval holds the true value."""
    return one.low is not None and one.high is not None and one.low <= value <= one.high


BREACHES = {"hours": 60, "frequency": 25, "abandonment": 120, "lists": 40, "refusals": 30, "opt-outs": 90}


@pytest.fixture(scope="module")
def injected(tmp_path_factory: pytest.TempPathFactory) -> MadeStore:
    """A campaign that breaks every rule a known number of times beside one that breaks none."""
    rows = ordinary()
    for place in range(BREACHES["hours"]):
        rows.append(called(LOS_ANGELES[place], date(2026, 3, 10), 7 if place % 2 else 21, WEST, campaign_id=BAD))
    for place in range(BREACHES["abandonment"]):
        rows.append(
            called(LOS_ANGELES[100 + place], date(2026, 3, 12), 13, WEST, campaign_id=BAD, disposition="abandoned")
        )
    for place in range(BREACHES["opt-outs"]):
        rows.append(called(LOS_ANGELES[300 + place], date(2026, 3, 13), 13, WEST, campaign_id=BAD, outcome="optout"))
    for place in range(BREACHES["frequency"]):  # eight debt calls in one week, and eight in a row over two weeks
        for each in range(8):
            debt = {"campaign_id": "CMP-3", "purpose": "collections", "disposition": "no_answer"}
            rows.append(called(NEW_YORK[500 + place], date(2026, 3, 9 + each % 7), 10 + each, **debt))
            rows.append(called(NEW_YORK[600 + place], date(2026, 3, 12 + each % 7), 10 + each, **debt))
    said = pd.DataFrame({"number": NEW_YORK[:70], "campaign_id": [BAD] * 70, "ts": ["2026-03-20"] * 70})
    store = made(tmp_path_factory.mktemp("injected"), rows, complaints=said)
    before, after = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 3, 25, tzinfo=UTC)
    for at, numbers, statement in (
        (before, LOS_ANGELES[500:540], ("*", REFUSED, "national")),
        (after, LOS_ANGELES[540:560], ("*", REFUSED, "national")),
        (before, LOS_ANGELES[600:630], ("marketing", WITHDRAWN, "person")),
    ):
        purpose, status, source = statement
        kept = store.steward.store
        said_by = [pseudonym_of(kept, number, None) for number in numbers]
        state(kept, said_by, Statement(purpose, status, at, source=source), now=at)
    return store


def test_injected_breaches_are_found_within_the_stated_error(injected: MadeStore) -> None:
    found = report(injected)
    over = {
        "hours": (finding(found, "hours", BAD), BREACHES["hours"]),
        "frequency": (finding(found, "frequency", "CMP-3"), BREACHES["frequency"]),
        "abandonment": (finding(found, "abandonment", BAD), BREACHES["abandonment"] / (1000 + 60 + 120 + 90)),
        "lists": (finding(found, "lists", BAD), BREACHES["lists"]),
        # What a list says is said for every purpose, so that it stands among the refusals too.
        "refusals": (finding(found, "refusals", BAD), BREACHES["refusals"] + BREACHES["lists"]),
    }
    for question, (one, truth) in over.items():
        assert holds(one, truth), question
        assert one.verdict == "over", question
    for question in ("hours", "lists", "refusals"):
        assert holds(finding(found, question, CLEAN), 0), question
        assert finding(found, question, CLEAN).verdict != "over", question
    assert finding(found, "abandonment", CLEAN).verdict == "under"
    answered = 1000 + 60 + 90
    assert holds(finding(found, "opt-outs", BAD), BREACHES["opt-outs"] / answered)
    assert holds(finding(found, "complaints", BAD), 70)
    assert holds(finding(found, "complaint rate", BAD), 70 / answered)
    assert {finding(found, name, BAD).verdict for name in ("opt-outs", "complaints", "complaint rate")} == {"no limit"}


def test_the_price_is_what_was_asked_for_and_again_nothing(injected: MadeStore) -> None:
    report(injected, until=date(2026, 2, 27), epsilon=7.0)
    before = spent(injected)
    preview = report(injected, epsilon=8.0, dry_run=True, until=date(2026, 2, 28))
    assert spent(injected) == before
    assert preview.epsilon_spent == 0
    assert {question.status for question in preview.questions} == {"preview"}
    assert all(question.expected_half_width for question in preview.questions)
    assert not preview.findings
    first = report(injected, epsilon=8.0, until=date(2026, 2, 28))
    assert first.epsilon_asked <= 8.0
    assert first.epsilon_spent == pytest.approx(8.0, abs=1e-6)
    paid = spent(injected)
    assert paid - before == pytest.approx(8.0, rel=0.01)
    again = report(injected, epsilon=8.0, until=date(2026, 2, 28))
    assert again.epsilon_spent == 0
    assert {question.status for question in again.questions} == {"repeated"}
    assert again.findings == first.findings
    assert spent(injected) == paid


def spent(store: MadeStore) -> float:
    """What the steward has spent of February, of which every question of these reports is."""
    (own,) = (s for s in store.steward.budget().scopes if (s.scope, s.block) == ("analyst:steward", "2026-02"))
    return own.spent.epsilon


def test_campaigns_at_their_limits_are_called_over_no_more_often_than_stated(tmp_path: Path) -> None:
    """At the limit itself, where noise decides, and at a price where there is much of it: 16 reports with new noise."""
    rows = ordinary()
    late = {"campaign_id": "CMP-3", "purpose": "sales"}
    for place in range(1000):
        dropped = {"disposition": "abandoned"} if place % 100 < 3 else {}
        rows.append(called(NEW_YORK[place], date(2026, 3, 20), 21 if place < 5 else 13, **late, **dropped))
    store = made(tmp_path, rows, POLICY + "tolerance = 5\n")
    wrong = judged = 0
    with connect(store.folder, analyst="steward", purpose="compliance") as session:
        for _ in range(16):
            found = contact_report(session, at=datetime.now(UTC), epsilon=0.8, fresh=True)
            assert found.wrong_at_most <= WRONG_AT_MOST
            assert found.epsilon_spent > 0.79, "new answers"
            wrong += any(one.verdict == "over" for one in found.findings)
            judged += sum(one.verdict == "cannot tell" for one in found.findings)
    assert judged > 40
    # At 5 % each, more than 4 of 16 come about in 1 of 1000 runs.
    assert wrong <= 4


def test_hours_are_those_of_who_is_called_in_summer_time_and_out_of_it(tmp_path: Path) -> None:
    """Clocks go forward on 8 March 2026 in the United States: 12:30 UTC is 7:30 in New York before, and 8:30 after."""
    calls = []
    for place in range(200):
        for day, campaign in ((7, BAD), (9, CLEAN)):
            at = {"campaign_id": campaign, "start_ts": f"2026-03-{day:02}T12:30:00Z"}
            calls.append(called(NEW_YORK[place], date(2026, 3, day), 9) | at)
        # 3:30 UTC is 20:30 in Los Angeles on the day before, and 23:30 in New York.
        calls.append(called(LOS_ANGELES[place], date(2026, 3, 10), 9) | {"start_ts": "2026-03-11T03:30:00Z"})
    found = report(made(tmp_path, calls))
    assert holds(finding(found, "hours", BAD), 200)
    assert finding(found, "hours", BAD).verdict == "over"
    assert holds(finding(found, "hours", CLEAN), 0)


SEVERAL = POLICY.replace('grain = "minute" }', 'grain = "minute", several_zones = true }', 1)


def test_hours_that_depend_on_the_zone_are_told_apart(tmp_path: Path) -> None:
    """A Spanish mobile number is in the Canaries or in Madrid, an hour ahead; a New York number in one zone."""
    calls = []
    for place in range(200):
        spain = f"+346123{place:05}"
        # By the two clocks: 7:30 and 8:30, 6:30 and 7:30, 12:30 and 13:30, 20:30 and 21:30 on a Sunday.
        for utc, places in (
            ("10T07:30", range(100)),
            ("11T06:30", range(70)),
            ("12T12:30", range(200)),
            ("15T20:30", range(100, 150)),
        ):
            if place in places:
                calls.append(called(spain, date(2026, 3, 10), 9) | {"start_ts": f"2026-03-{utc}:00Z"})
        night = (date(2026, 3, 15), 23) if place % 2 else (date(2026, 3, 16), 5)  # of Sunday and Monday
        calls.append(called(NEW_YORK[place], *night, campaign_id=BAD))
    found = report(made(tmp_path, calls, SEVERAL))
    assert holds(finding(found, "hours", CLEAN), 70)
    assert finding(found, "hours", CLEAN).verdict == "over"
    assert holds(finding(found, UNCERTAIN, CLEAN), 150)
    assert holds(finding(found, "hours", BAD), 200)
    assert holds(finding(found, UNCERTAIN, BAD), 0)
    assert finding(found, UNCERTAIN, BAD).verdict == "no limit"


def test_uncertain_calls_may_all_be_breaches(tmp_path: Path) -> None:
    """With a tolerance of 50: nothing certain, but a hundred calls that may be outside, so that nobody can tell."""
    calls = [
        called(f"+346123{place:05}", date(2026, 3, 10), 9) | {"start_ts": "2026-03-10T07:30:00Z"}
        for place in range(100)
    ]
    found = report(made(tmp_path, calls, SEVERAL + "tolerance = 50\n"))
    assert finding(found, "hours", CLEAN).verdict == "cannot tell"
    assert finding(found, "hours", BAD).verdict == "under"


def test_the_two_clocks_are_those_of_every_zone(tmp_path: Path) -> None:
    """Hours of the week from Monday's midnight on, in winter and in summer; without a zone those of all the earth."""
    cases = {
        ("+34612345678", "2026-01-05T00:30:00Z"): (0, 1),  # Canaries, Madrid
        ("+34612345678", "2026-07-05T23:30:00Z"): (0, 1),  # Sunday night, UTC, in summer time
        ("+34612345678", "2026-01-04T23:30:00Z"): (167, 0),
        ("+33140270001", "2026-07-06T12:30:00Z"): (14, 14),
        ("+12129790001", "2026-03-08T06:30:00Z"): (145, 145),  # half past one, before clocks go forward
        ("+12129790001", "2026-03-08T07:30:00Z"): (147, 147),
        ("+16022340001", "2026-07-06T12:30:00Z"): (5, 5),  # Arizona has no summer time
        ("+12125550", "2026-01-07T12:30:00Z"): (48, 74),  # not a valid number
    }
    policy = SEVERAL.replace("2026-03-31]", "2026-12-31]")
    calls = [called(number, date(2026, 1, 5), 9) | {"start_ts": start} for number, start in cases]
    store = made(tmp_path, calls, policy)
    found = store.plain(
        "SELECT strftime(start_ts, '%Y-%m-%dT%H:%M:%SZ'), callee_type, earliest_hour, latest_hour FROM calls"
    )
    kinds = {start: kind for start, kind, *_ in found}
    assert kinds["2026-01-07T12:30:00Z"] == "unknown"
    assert sorted((start, first, last) for start, _, first, last in found) == sorted(
        (start, *two) for (_, start), two in cases.items()
    )


@pytest.mark.parametrize("country", ["US", "FR"])
def test_runs_of_hours_are_the_hours_themselves(country: str) -> None:
    for rule in in_force(country, date(2026, 3, 1)):
        if rule.kind != "hours":
            continue
        permitted = {
            (day - 1) * 24 + hour
            for hours in rule.permitted
            for day in hours.days
            for hour in range(hours.start, hours.end)
        }
        assert {hour % 168 for first, end in rule.runs for hour in range(first, end)} == permitted
        assert {hour % 168 for first, end in rule.breaches for hour in range(first, end)} == set(range(168)) - permitted
        assert max(end for _, end in rule.breaches) > 168, "Sunday night goes on until Monday morning"


def test_french_hours_are_closed_at_noon_and_on_weekends(tmp_path: Path) -> None:
    policy = POLICY.replace('jurisdiction = "US"', 'jurisdiction = "FR"')
    calls = []
    for place in range(300):
        number = f"+3314027{place:04}"
        at = {0: (10, 11), 1: (10, 13), 2: (14, 11)}[place % 3]  # Tuesday at 11, Tuesday at 13, Saturday at 11
        calls.append(called(number, date(2026, 3, at[0]), at[1], "Europe/Paris"))
        calls += [called(number, date(2026, 3, 16), 15, "Europe/Paris", campaign_id=BAD)] * (place < 90)
        more = 4 if place < 90 else 3 if place < 150 else 0
        calls += [called(number, date(2026, 3, 17 + each), 15, "Europe/Paris") for each in range(more)]
    found = report(made(tmp_path, calls, policy))
    assert holds(finding(found, "hours", CLEAN), 200)
    # Six calls in the month, five of them by one campaign; others have had four, which are permitted.
    (one,) = (f for f in found.findings if f.question == "frequency")
    assert (one.whole, one.campaign, one.verdict) == (True, None, "over")
    assert holds(one, 90)
    assert {left.part for left in found.left_out} >= {"abandonment", "lists"}


def test_a_run_of_calls_over_two_weeks_is_missed_until_it_is_long_enough(tmp_path: Path) -> None:
    """Weeks are Monday to Sunday: from 15 calls in any 7 days on, one of the two weeks has more than 7."""
    debt = {"purpose": "collections", "disposition": "no_answer"}
    calls = []
    for place in range(100):
        for campaign, count in ((CLEAN, 8), (BAD, 15)):
            for each in range(count):  # from Thursday to Wednesday
                day = date(2026, 3, 12) + timedelta(days=each * 7 // count)
                calls.append(called(NEW_YORK[place], day, 9 + each % 7, campaign_id=campaign, **debt))
    found = report(made(tmp_path, calls))
    assert holds(finding(found, "frequency", CLEAN), 0)
    assert holds(finding(found, "frequency", BAD), 100)
    (asked,) = (one for one in found.questions if one.name == "frequency")
    assert "15 calls on" in asked.misses
    assert (date.fromisoformat(asked.first_day).isoweekday(), date.fromisoformat(asked.last_day).isoweekday()) == (1, 7)


def test_rules_are_dated_and_cited() -> None:
    assert set(jurisdictions()) == {"US", "GB", "FR"}
    for rule in rules():
        assert rule.source
        assert rule.text
        assert rule in in_force(rule.jurisdiction, rule.start)
        assert rule not in in_force(rule.jurisdiction, rule.start - timedelta(days=1))
        assert rule not in in_force("XX", rule.start)
        if rule.end is not None:
            assert rule not in in_force(rule.jurisdiction, rule.end + timedelta(days=1))
    reg_f = [rule for rule in in_force("US", date(2021, 11, 30)) if rule.kind == "frequency"]
    assert [(rule.calls, rule.days) for rule in reg_f] == [(7, 7)]
    assert not [rule for rule in in_force("US", date(2021, 11, 29)) if rule.kind == "frequency"]


def test_a_rule_bears_on_no_day_before_its_own() -> None:
    """The rule's window begins with the rule, and before that day the part is left out."""
    policy = parse_policy(POLICY.replace("[2026-01-01, 2026-03-31]", "[2021-01-01, 2026-03-31]"))
    calling = policy.report.calling
    assert calling is not None
    asked, _ = questions(policy, calling, "US", date(2021, 12, 5))
    (hours,) = (one for one in asked if one.name == "hours")
    assert hours.first == date(2021, 11, 30)
    asked, left = questions(policy, calling, "US", date(2021, 11, 29))
    assert "frequency" not in {one.name for one in asked}
    (hours,) = (one for one in asked if one.name == "hours")
    assert "collections" not in hours.asks
    assert any(one.name == "frequency" and "in force" in one.reason for one in left)


def test_what_the_policy_does_not_declare_is_left_out_with_the_reason(tmp_path: Path) -> None:
    short = POLICY[: POLICY.index("answered = ")].replace('jurisdiction = "US"', 'jurisdiction = "GB"')
    found = report(made(tmp_path, ordinary(), short), dry_run=True)
    reasons = {left.part: left.reason for left in found.left_out}
    assert set(reasons) == {"hours", "frequency", "abandonment", "lists", "refusals", "opt-outs", "complaints"}
    assert "none for GB" in reasons["hours"]
    assert reasons["abandonment"] == "[report.calling] does not say answered or abandoned"
    assert not found.questions


def test_only_the_steward_under_a_duty_can_ask(injected: MadeStore) -> None:
    with pytest.raises(UsageError, match="no duty"):
        report(injected, purpose="marketing")
    key = injected.folder.with_name("store.steward.key")
    content = key.read_bytes()
    try:
        key.write_bytes(b"another")
        with pytest.raises(NotAllowed, match="DPQ-402"):
            report(injected)
    finally:
        key.write_bytes(content)
    with connect(injected.folder, analyst="ana", purpose="marketing") as session:
        found = contact_report(session, at=datetime.now(UTC), epsilon=1.0, dry_run=True)
    reasons = {left.part: left.reason for left in found.left_out}
    assert "lists says who has opted out" in reasons["lists"]


def test_a_budget_that_ends_leaves_parts_out(tmp_path: Path) -> None:
    policy = POLICY.replace("steward = { epsilon = 1000.0, delta = 1e-6 }", "steward = { epsilon = 1.0 }")
    store = made(tmp_path, ordinary(), policy)
    found = report(store, epsilon=4.0)
    left = [one for one in found.questions if one.status == "left out"]
    assert 0 < len(left) < len(found.questions)
    assert all("DPQ-201" in (one.reason or "") for one in left)
    assert found.epsilon_spent <= 1.0
    with pytest.raises(BudgetRefused):
        report(store, epsilon=20.0, until=date(2026, 3, 30))


@pytest.mark.parametrize(
    ("low", "high", "limit", "told"),
    [
        (0.031, 0.05, 0.03, "over"), (0.03, 0.05, 0.03, "cannot tell"), (0.01, 0.03, 0.03, "under"),
        (0.0, 1.0, 0.03, "cannot tell"), (None, 0.02, 0.03, "under"), (None, None, 0.03, "cannot tell"),
        (1, 9, 0, "over"), (0, 9, 0, "cannot tell"), (0, 0, 0, "under"), (5, 9, None, "no limit"),
    ],
)  # fmt: skip
def test_a_verdict_is_about_the_whole_interval(low: float, high: float, limit: float | None, told: str) -> None:
    assert verdict(low, high, limit) == told


def test_every_form_says_the_same(injected: MadeStore) -> None:
    made_report = steward(injected.folder).report("contact", epsilon=60.0)
    schema = json.loads((FOLDER / "contact-report.schema.json").read_text())
    raw = json.loads(made_report.to_json())
    jsonschema.validate(raw, schema)
    html, text = made_report.to_html(), made_report.to_markdown()
    lines = list(csv.reader(io.StringIO(made_report.to_csv())))
    assert "<script" not in html
    assert "http" not in html.replace("http-equiv", "")
    for rule in raw["rules"]:
        assert rule["source"] in html.replace("&#39;", "'")
        assert any(rule["source"] in line[-1] for line in lines)
    for form in (html, text, str(lines)):
        assert "check before you rely on" in form.lower()
        assert "pays again" in form
    verdicts = [line[-1] for line in lines if line[3] == "verdict"]
    assert verdicts.count("over") == raw["summary"]["over"] == html.count('class="mark over"')
    for number in (NEW_YORK[0], LOS_ANGELES[500], ORG):
        assert number.removeprefix("+1") not in html + text + made_report.to_json()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('table = "calls"\noutbound', 'table = "campaigns"\noutbound', "no table of calls"),
        ('campaign = "campaign_id"', 'campaign = "start_ts"', "declared keys"),
        ("direction = 'outbound'", "nothing = 1", "report.calling.outbound"),
        ('abandoned = "disposition', 'abandoned = "COUNT(*) > 1 AND disposition', "report.calling.abandoned"),
        ('complaints = "complaints"', 'complaints = "lists"', "no table with a time"),
        ('lists = "lists"', 'lists = "consents"', "no table of numbers"),
        ('consents = "consents"\n', "", "consents, which is not there"),
        ('refused = "purpose', 'refused = "shoe_size', "report.calling.refused"),
    ],
)
def test_a_faulty_section_is_named(old: str, new: str, told: str) -> None:
    assert old in POLICY
    with pytest.raises(PolicyError, match=told):
        check_row_tests(parse_policy(POLICY.replace(old, new)))


def test_a_policy_without_the_section_is_told_so(tmp_path: Path) -> None:
    store = made(tmp_path / "a", ordinary()[:3], POLICY[: POLICY.index("[report.calling]")])
    with pytest.raises(UsageError, match=r"does not say how its rows tell"):
        report(store)
    store = made(tmp_path / "b", ordinary()[:3], POLICY.replace('jurisdiction = "US"', 'jurisdiction = "ZZ"'))
    with pytest.raises(UsageError, match="no rules"):
        report(store)


def test_lists_and_refusals_have_the_time_that_the_rule_gives() -> None:
    policy = parse_policy(POLICY)
    calling = policy.report.calling
    assert calling is not None
    asked, _ = questions(policy, calling, "US", date(2026, 3, 31))
    by_name = {one.name: one for one in asked}
    first = date(2026, 3, 2)
    assert by_name["lists"].first == by_name["refusals"].first == first
    assert f"added_on < DATE '{first - timedelta(days=31)}'" in by_name["lists"].sql()
    assert f"withdrawn_at < TIMESTAMP '{first - timedelta(days=14)}'" in by_name["refusals"].sql()
    assert "((purpose = 'sales') OR (purpose = 'collections'))" in by_name["hours"].sql()
    assert "collections" not in by_name["lists"].sql()


def test_few_rows_of_a_number_count_and_no_more_than_the_policy_allows(injected: MadeStore, tmp_path: Path) -> None:
    wide = {one.name: one.rows_per_number for one in report(injected, dry_run=True).questions}
    assert wide == ROWS
    policy = POLICY.replace("max_rows = 50", "max_rows = 1")
    narrow = report(made(tmp_path, ordinary()[:9], policy), dry_run=True)
    assert {one.rows_per_number for one in narrow.questions if one.name != "complaints"} == {1}


def test_zones_cannot_change_under_rows_and_older_stores_stay_as_they_are() -> None:
    before, after = parse_policy(POLICY), parse_policy(SEVERAL)
    assert refused_changes(before, after) == ("tables.calls",)
    fields = {"public", "key", "owners", "one_owner_when", "parties", "third_party", "region_column", "time", "block"}
    table = before.tables["calls"].model_dump(mode="json", include=fields)
    del table["time"]["several_zones"]
    columns = {name: [one.type, one.source] for name, one in before.tables["calls"].columns.items()}
    text = json.dumps([table, columns], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    assert digests(before, "calls", None)["tables.calls"] == digest


def test_the_command_fails_where_a_verdict_is_met(
    injected: MadeStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    door = steward(injected.folder)
    asked: dict[str, Any] = {
        "purpose": None,
        "epsilon": 60.0,
        "until": None,
        "dry_run": False,
        "form": "md",
        "out": None,
    }
    assert show_contact(door, **asked, fail_on=None) == 0
    printed = capsys.readouterr()
    assert "# Contact report: call-centre" in printed.out
    assert "of 60 asked for, for compliance" in printed.err
    assert show_contact(door, **asked, fail_on="over") == 4
    assert show_contact(door, **{**asked, "dry_run": True}, fail_on="over") == 0
    out = tmp_path / "contact.json"
    assert show_contact(door, **{**asked, "form": "json", "out": out}, fail_on="unsure") == 4
    assert json.loads(out.read_text())["summary"]["over"] > 0
    for wrong in ({"form": "pdf"}, {"until": "last week"}, {"until": "2027-01-01"}, {"epsilon": -1.0}):
        with pytest.raises(UsageError):
            show_contact(door, **{**asked, **wrong}, fail_on=None)
    with pytest.raises(UsageError, match="no verdict"):
        show_contact(door, **asked, fail_on="under")
    with pytest.raises(UsageError, match="has no option"):
        door.report("budget", epsilon=1.0)  # type: ignore[call-overload]
