"""The questions of the contact report: each an ordinary query over declared columns, made of public facts only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from dpquery.reports.contact_rules import KINDS, WEEK_HOURS, in_force

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dpquery.documents import ContactUnit
    from dpquery.policy.model import Calling, Policy
    from dpquery.reports.contact_rules import Rule

WINDOW_DAYS: Final = 30
"""Days that are looked at where the rule names none."""
WEEKS: Final = 4
"""Calendar weeks that a rule of 7 days is looked at in."""
ROWS: Final = {"hours": 2, "frequency": 2, "abandonment": 3, "lists": 3, "refusals": 3, "opt-outs": 3, "complaints": 2}
"""Rows of one number in an answer. More are not counted: what is over is over all the more."""


@dataclass(frozen=True, slots=True)
class Question:
    """One query: the value of each campaign, or of the whole caller, and the limit it is compared with."""

    name: str
    asks: str
    select: str
    """Its SQL without OPTIONS."""
    rows: int
    """Most rows of one number that are wanted; the policy's own bound where that is less."""
    campaign: str | None
    """Column of the answer that names campaigns; None for the caller as a whole."""
    value: str
    unit: ContactUnit
    limit: float | None
    rule: Rule | None
    first: date
    last: date
    misses: str
    """What it does not find, or counts in another way than the rule."""
    whole: str | None = None
    """Column of the answer with the calls that `value` is a share of."""
    certain: str | None = None
    """Column of the answer that is 0 for calls that may break the rule, and may not."""

    def sql(self, rows: int | None = None) -> str:
        """Its text; with `rows`, under a smaller contribution bound."""
        if rows is None:
            return f"SELECT {self.select}"
        return f"SELECT WITH DIFFERENTIAL_PRIVACY OPTIONS (max_rows_contributed = {rows}) {self.select}"


@dataclass(frozen=True, slots=True)
class Left:
    """A part of the report that is left out, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Asker:
    """The questions under one policy and one law, of the days up to `until`."""

    policy: Policy
    calling: Calling
    jurisdiction: str
    until: date

    def parts(self) -> Iterator[Question | Left]:
        rules = in_force(self.jurisdiction, self.until)
        for kind in KINDS:
            found = [rule for rule in rules if rule.kind == kind]
            if not found:
                reason = f"the rules file has none for {self.jurisdiction} in force on {self.until}"
                yield Left(kind, reason)
            yield from (self._part(rule) for rule in found)
        yield self._opt_outs()
        yield self._complaints()

    def _part(self, rule: Rule) -> Question | Left:
        """The question about a rule, or the declarations that it lacks."""
        calls = self._calls(rule)
        if calls is None:
            return _undeclared(rule.kind, *rule.about)
        match rule.kind:
            case "hours":
                return self._hours(rule, calls)
            case "frequency":
                return self._frequency(rule, calls)
            case "abandonment":
                return self._abandonment(rule, calls)
            case "lists":
                return self._told(rule, calls, self.calling.lists, self.calling.listed, "added_on")
            case "refusals":
                return self._told(rule, calls, self.calling.consents, self.calling.refused, "withdrawn_at")

    def _calls(self, rule: Rule) -> str | None:
        """The condition of the calls that the rule is about; None where the policy does not tell them apart."""
        outbound = f"({self.calling.outbound})"
        if not rule.about:
            return outbound
        declared = [test for about in rule.about if (test := getattr(self.calling, about)) is not None]
        return f"{outbound} AND ({' OR '.join(f'({test})' for test in declared)})" if declared else None

    def _hours(self, rule: Rule, calls: str) -> Question | Left:
        first = self._first(rule, WINDOW_DAYS)
        within = f"{calls} AND {_days(first, self.until)}"
        asks = f"How many {_about(rule)} were outside permitted hours, by the clock of who was called?"
        time = self.policy.tables[self.calling.table].time
        if time is not None and time.several_zones:
            breaches, kept = _in_one_of(rule.breaches), _in_one_of(rule.runs)
            told = f"CASE WHEN {breaches} THEN 1 ELSE 0 END AS certain"
            rest = f"{told}, COUNT(*) AS calls FROM {self.calling.table} WHERE {within} AND NOT ({kept})"
            keys, certain = "1, 2", "certain"
            misses = (
                "certain are calls that were outside by every clock that the number may be under; those that were by "
                "some alone, or of numbers whose zone is not known, are told apart"
            )
        else:
            rest = f"COUNT(*) AS calls FROM {self.calling.table} WHERE {within} AND NOT ({_permitted(rule)})"
            keys, certain = "1", None
            misses = (
                "hours are those of the place that the number was given out for, with summer time, and of its first "
                "time zone where it may be in several"
            )
        return self._per_campaign(
            "hours",
            asks,
            rest,
            value="calls",
            unit="calls",
            limit=self.calling.tolerance,
            rule=rule,
            first=first,
            misses=misses,
            certain=certain,
            keys=keys,
        )

    def _frequency(self, rule: Rule, calls: str) -> Question | Left:
        first, last = self._first(rule, rule.days), self.until
        week, place = "", f"the {rule.days} days up to {last}"
        misses = f"other windows of {rule.days} days than this one"
        if rule.days == 7:
            last -= timedelta(days=last.isoweekday() % 7)
            first = self._first(rule, 7 * WEEKS, last)
            first += timedelta(days=(1 - first.isoweekday()) % 7)
            week, place = ", DATE_TRUNC('week', day) AS week", f"a week, Monday to Sunday, up to {last}"
            misses = (
                f"runs of 7 days that begin on other days than Monday: they are missed where neither week alone has "
                f"more than {rule.calls} calls; from {2 * rule.calls + 1} calls on they are found. A number that is "
                "over in two weeks counts twice, in more only twice"
            )
        if first > last:
            return Left("frequency", f"the table's period has no whole window of {rule.days} days up to {self.until}")
        callee = self.policy.tables[self.calling.table].party_names[-1]
        keys = [self.calling.campaign] if rule.per == "campaign" else []
        grouped = ", ".join(str(place) for place in range(1, len(keys) + 2 + bool(week)))
        inner = (
            f"SELECT {', '.join([*keys, callee])}{week} FROM {self.calling.table} "
            f"WHERE {calls} AND {_days(first, last)} GROUP BY {grouped} HAVING COUNT(*) > {rule.calls}"
        )
        asks = f"How many numbers got more than {rule.calls} {_about(rule)} in {place}?"
        if keys:
            return self._per_campaign(
                "frequency",
                asks,
                f"COUNT(*) AS numbers FROM ({inner})",
                value="numbers",
                unit="numbers",
                limit=self.calling.tolerance,
                rule=rule,
                first=first,
                last=last,
                misses=misses,
            )
        return Question(
            name="frequency",
            asks=asks,
            select=f"COUNT(*) AS numbers FROM ({inner})",
            rows=ROWS["frequency"],
            campaign=None,
            value="numbers",
            unit="numbers",
            limit=self.calling.tolerance,
            rule=rule,
            first=first,
            last=last,
            misses=misses,
        )

    def _abandonment(self, rule: Rule, calls: str) -> Question | Left:
        answered, abandoned = self.calling.answered, self.calling.abandoned
        if answered is None or abandoned is None:
            return _undeclared(rule.kind, "answered", "abandoned")
        first = self._first(rule, rule.days)
        where = f"{calls} AND (({answered}) OR ({abandoned})) AND {_days(first, self.until)}"
        return self._per_campaign(
            "abandonment",
            f"What share of answered {_about(rule)} found nobody there for them?",
            f"AVG(CASE WHEN {abandoned} THEN 1 ELSE 0 END) AS share FROM {self.calling.table} WHERE {where}",
            value="share",
            unit="share",
            limit=rule.share,
            rule=rule,
            first=first,
            misses="of a number with more answered calls than the bound, some chosen by a keyed lot are counted",
        )

    def _told(self, rule: Rule, calls: str, table: str | None, test: str | None, since: str) -> Question | Left:
        """Calls to numbers that a list or a refusal named: long enough before the first day that is looked at."""
        lacks = ["lists"] if rule.kind == "lists" else ["consents", "refused"]
        if table is None or (rule.kind == "refusals" and test is None):
            return _undeclared(rule.kind, *lacks)
        first = self._first(rule, WINDOW_DAYS)
        named = self.policy.tables[table]
        tests = [f"({test})"] if test is not None else []
        told = first - timedelta(days=rule.age_days)
        misses = f"numbers that were named after {told - timedelta(days=1)}, or are no longer"
        if since in named.columns:
            tests.append(f"{since} < {named.columns[since].type.upper()} '{told}'")
        else:
            misses = f"calls made before the number was named count too: {table} has no {since}"
        within = f" WHERE {' AND '.join(tests)}" if tests else ""
        callee = self.policy.tables[self.calling.table].party_names[-1]
        numbers = f"SELECT {named.party_names[0]} FROM {table}{within}"
        whom = "on a list" if rule.kind == "lists" else "whose owner had refused"
        return self._per_campaign(
            rule.kind,
            f"How many {_about(rule)} went to numbers {whom}?",
            f"COUNT(*) AS calls FROM {self.calling.table} "
            f"WHERE {calls} AND {_days(first, self.until)} AND {callee} IN ({numbers})",
            value="calls",
            unit="calls",
            limit=self.calling.tolerance,
            rule=rule,
            first=first,
            misses=misses,
        )

    def _opt_outs(self) -> Question | Left:
        answered, opted_out = self.calling.answered, self.calling.opted_out
        if answered is None or opted_out is None:
            return _undeclared("opt-outs", "answered", "opted_out")
        first = self._first(None, WINDOW_DAYS)
        where = f"({self.calling.outbound}) AND ({answered}) AND {_days(first, self.until)}"
        return self._per_campaign(
            "opt-outs",
            "What share of answered calls ended in the wish not to be called again?",
            f"AVG(CASE WHEN {opted_out} THEN 1 ELSE 0 END) AS share, COUNT(*) AS answered "
            f"FROM {self.calling.table} WHERE {where}",
            value="share",
            unit="share",
            limit=None,
            rule=None,
            first=first,
            misses="wishes that came in another way than in a call",
            whole="answered",
        )

    def _complaints(self) -> Question | Left:
        table = self.calling.complaints
        if table is None:
            return _undeclared("complaints", "complaints")
        first = self._first(None, WINDOW_DAYS)
        return self._per_campaign(
            "complaints",
            "How many complaints were there?",
            f"COUNT(*) AS complaints FROM {table} WHERE {_days(first, self.until)}",
            value="complaints",
            unit="complaints",
            limit=None,
            rule=None,
            first=first,
            misses="complaints that are not in the table",
        )

    def _per_campaign(
        self,
        name: str,
        asks: str,
        rest: str,
        *,
        value: str,
        unit: ContactUnit,
        limit: float | None,
        rule: Rule | None,
        first: date,
        misses: str,
        last: date | None = None,
        whole: str | None = None,
        certain: str | None = None,
        keys: str = "1",
    ) -> Question | Left:
        last = self.until if last is None else last
        if first > last:
            return Left(name, f"the table's period ends before {first}")
        campaign = self.calling.campaign
        return Question(
            name=name,
            asks=asks,
            select=f"{campaign}, {rest} GROUP BY {keys}",
            rows=ROWS[name],
            campaign=campaign,
            value=value,
            unit=unit,
            limit=limit,
            rule=rule,
            first=first,
            last=last,
            misses=misses,
            whole=whole,
            certain=certain,
        )

    def _first(self, rule: Rule | None, days: int, last: date | None = None) -> date:
        """The first of so many days up to `last`, but none before the table's period, or before the rule's."""
        first = (self.until if last is None else last) - timedelta(days=days - 1)
        period = self.policy.tables[self.calling.table].period
        begins = [first, *([period[0]] if period else []), *([rule.start] if rule is not None else [])]
        return max(begins)


def questions(
    policy: Policy, calling: Calling, jurisdiction: str, until: date
) -> tuple[tuple[Question, ...], tuple[Left, ...]]:
    """What is asked of the days up to `until`, and what is left out with the reason."""
    parts = tuple(_Asker(policy, calling, jurisdiction, until).parts())
    asked = tuple(part for part in parts if isinstance(part, Question))
    return asked, tuple(part for part in parts if isinstance(part, Left))


def _undeclared(name: str, *fields: str) -> Left:
    return Left(name, f"[report.calling] does not say {_listed(fields)}")


def _listed(names: Iterable[str]) -> str:
    return " or ".join(names)


def _about(rule: Rule) -> str:
    return f"{' and '.join(rule.about)} calls" if rule.about else "calls"


def _days(first: date, last: date) -> str:
    return f"day BETWEEN DATE '{first}' AND DATE '{last}'"


def _permitted(rule: Rule) -> str:
    """Hours and weekdays by the clock of the first zone."""
    tests = []
    for hours in rule.permitted:
        days = f"local_dow IN ({', '.join(map(str, hours.days))}) AND " if len(hours.days) < 7 else ""
        tests.append(f"({days}local_hour >= {hours.start} AND local_hour < {hours.end})")
    return " OR ".join(tests)


def _in_one_of(runs: Iterable[tuple[int, int]]) -> str:
    """Whether the earliest and the latest clock are in the same run of hours, and with them every one between."""
    return " OR ".join(f"({_in_run('earliest_hour', *run)} AND {_in_run('latest_hour', *run)})" for run in runs)


def _in_run(column: str, first: int, end: int) -> str:
    """Hours of the week from `first` up to `end`, which is past Sunday's midnight where it is larger than 168."""
    if end > WEEK_HOURS:
        return f"({column} >= {first} OR {column} < {end - WEEK_HOURS})"
    return f"{column} >= {first} AND {column} < {end}"
