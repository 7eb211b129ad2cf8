"""The contact report as headings, texts and tables, and every form that it can take."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final, Literal, get_args

from dpquery.reports.amounts import number_text, percent_text
from dpquery.reports.sections import Column, Facts, Items, Section, Table, Text

if TYPE_CHECKING:
    from dpquery.documents import ContactFinding, ContactQuestion, ContactReport, Verdict
    from dpquery.reports.sections import Part

ContactFormat = Literal["json", "html", "csv", "md"]
CONTACT_FORMATS: tuple[str, ...] = get_args(ContactFormat)

TITLES: Final = {
    "hours": "Outside permitted hours",
    "uncertain hours": "Calls whose hour is not certain",
    "frequency": "Too many calls to a number",
    "abandonment": "Abandoned calls",
    "lists": "Calls to numbers on a list",
    "refusals": "Calls to numbers whose owner refused",
    "opt-outs": "Wishes not to be called again",
    "complaints": "Complaints",
    "complaint rate": "Complaints for each answered call",
}
"""Headings of the questions, by name."""

_VERDICTS: Final[tuple[Verdict, ...]] = ("over", "cannot tell", "under", "no limit")


@dataclass(frozen=True, slots=True)
class ContactPressure:
    """A contact report. All forms are made of `document`, and hold the same numbers."""

    document: ContactReport

    def to_json(self) -> str:
        """The record: `dpquery.contact-report/1`."""
        return self.document.model_dump_json(by_alias=True, indent=2) + "\n"

    def to_html(self) -> str:
        """One page, with nothing to load."""
        from dpquery.reports.page import page

        return page(self._title, self._lead, self._sections)

    def to_csv(self) -> str:
        """A line for each fact, and for each cell of each table."""
        from dpquery.reports.comma_separated import comma_separated

        return comma_separated(self._sections)

    def to_markdown(self) -> str:
        """Text with tables."""
        from dpquery.reports.markdown import markdown

        return markdown(self._title, self._lead, self._sections)

    def to(self, form: ContactFormat) -> str:
        """The report in the form of that name."""
        made = {"json": self.to_json, "html": self.to_html, "csv": self.to_csv, "md": self.to_markdown}
        return made[form]()

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that its style stays there."""
        frame = 'style="width: 100%; height: 40rem; border: 1px solid rgba(128, 128, 128, .4)"'
        return f'<iframe title="{escape(self._title)}" sandbox="" {frame} srcdoc="{escape(self.to_html())}"></iframe>'

    def __repr__(self) -> str:
        return f"<Contact report on {self.document.dataset}, {self.document.at}: {_summary(self.document)}>"

    @property
    def _title(self) -> str:
        return f"Contact report: {self.document.dataset}"

    @property
    def _lead(self) -> str:
        found = self.document
        what = "Prices of the questions, of which none was asked." if found.dry_run else _summary(found)
        return (
            f"{what} Made on {found.at}, for the days up to {found.until}, against rules of {found.jurisdiction}, from "
            f"data version {found.data_version} and policy version {found.policy_version}, for the purpose "
            f"{found.purpose}."
        )

    @property
    def _sections(self) -> tuple[Section, ...]:
        return contact_sections(self.document)


def contact_sections(report: ContactReport) -> tuple[Section, ...]:
    """Every block of the report, in order."""
    names = dict.fromkeys(finding.question for finding in report.findings)
    return (
        Section("verdicts", "Verdicts", _verdicts(report)),
        *(_of_question(report, name) for name in names),
        *([Section("left-out", "What is left out", _left_out(report))] if _is_left_out(report) else []),
        Section("rules", "The rules", _rules(report)),
        Section("questions", "What was asked, and its price", _questions(report)),
        Section("limits", "What this report cannot see", (Items(report.limits),)),
    )


def _verdicts(report: ContactReport) -> tuple[Part, ...]:
    chance = percent_text(report.wrong_at_most)
    facts = Facts(
        (
            *((verdict, report.summary.get(verdict, 0)) for verdict in _VERDICTS if not report.dry_run),
            ("epsilon asked for", report.epsilon_asked),
            ("epsilon spent", report.epsilon_spent),
        )
    )
    told = Text(
        f"{report.comparisons} values are compared with a limit. Their intervals are so wide that noise makes any of "
        f"them over or under that is not in at most {chance} of reports. Over: the whole interval is above the limit. "
        "Under: the whole interval is at the limit or below. Cannot tell: the limit lies within."
    )
    over = [finding for finding in report.findings if finding.verdict == "over"]
    if report.dry_run:
        return facts, told
    columns = (Column("about"), Column("campaign"), Column("value", "number"), Column("limit", "number"))
    rows = tuple((TITLES[f.question], _campaign(f), _value(f, f.value), _value(f, f.limit)) for f in over)
    return facts, told, Table("What is over its limit.", columns, rows)


def _of_question(report: ContactReport, name: str) -> Section:
    found = [finding for finding in report.findings if finding.question == name]
    of = "hours" if name == "uncertain hours" else name
    limited = any(finding.limit is not None for finding in found)
    columns = (
        Column("campaign"),
        *([Column("verdict")] if limited else []),
        Column("value", "number", "not known"),
        Column("at least", "number", "not known"),
        Column("at most", "number", "not known"),
        *([Column("limit", "number")] if limited else []),
    )
    parts: list[Part] = []
    for about in dict.fromkeys(finding.about for finding in found):
        of_rule = [finding for finding in found if finding.about == about]
        asked = next((q for q in report.questions if q.name == of and _about(report, q.rule) in {about, None}), None)
        days = "" if asked is None else f"From {asked.first_day} to {asked.last_day}. "
        caption = f"{days}At least and at most hold with {percent_text(of_rule[0].confidence)} each."
        rows = tuple(
            (
                _campaign(f),
                *([f.verdict] if limited else []),
                _value(f, f.value),
                _value(f, f.low),
                _value(f, f.high),
                *([_value(f, f.limit)] if limited else []),
            )
            for f in of_rule
        )
        parts += [Text(_sentence(about)), Table(caption, columns, rows)]
        told = None if asked is None else Text(f"Not found, or counted in another way: {asked.misses}.")
        parts = [part for part in parts if part != told]
        parts += [] if told is None else [told]
    return Section(name.replace(" ", "-"), TITLES[name], tuple(parts))


def _about(report: ContactReport, rule: int | None) -> str | None:
    return None if rule is None else report.rules[rule].text


def _is_left_out(report: ContactReport) -> bool:
    return bool(report.left_out) or any(question.reason for question in report.questions)


def _left_out(report: ContactReport) -> tuple[Part, ...]:
    rows = (
        *((TITLES[one.part], one.reason) for one in report.left_out),
        *((TITLES[one.name], one.reason) for one in report.questions if one.reason),
    )
    return (Table("Parts that are not in this report.", (Column("part"), Column("why")), rows),)


def _rules(report: ContactReport) -> tuple[Part, ...]:
    columns = (
        Column("rule"),
        Column("source"),
        Column("from", "date"),
        Column("until", "date", "no end"),
        Column("not looked at, or not sure", absent="nothing is noted"),
    )
    rows = tuple((_sentence(r.text), r.source, r.from_, r.until, r.note or None) for r in report.rules)
    return (
        Text("Rules as the file of this version has them. Check before you rely on them."),
        Table(f"Rules of {report.jurisdiction} that were checked.", columns, rows),
    )


def _questions(report: ContactReport) -> tuple[Part, ...]:
    columns = (
        Column("question"),
        Column("first day", "date"),
        Column("last day", "date"),
        Column("rows of a number", "number"),
        Column("state"),
        Column("epsilon", "number"),
        Column("expected ±", "number", "not known") if report.dry_run else Column("release", absent="none"),
    )
    rows = tuple(
        (
            q.asks,
            q.first_day,
            q.last_day,
            q.rows_per_number,
            "asked before: free" if q.status == "repeated" else q.status,
            q.epsilon,
            _expected(q) if report.dry_run else q.release,
        )
        for q in report.questions
    )
    queries = Table(
        "The queries.",
        (Column("question"), Column("SQL")),
        tuple((q.asks, q.sql) for q in report.questions),
        folded=True,
    )
    promised = tuple(Text(f"Of each answer: {sentence}") for sentence in report.guarantee)
    return (*promised, Table("Each is an ordinary priced release.", columns, rows), queries)


def _summary(report: ContactReport) -> str:
    """How many verdicts of each kind."""
    counts = [f"{report.summary.get(verdict, 0)} {verdict}" for verdict in _VERDICTS if verdict != "no limit"]
    return f"Compared with limits: {', '.join(counts)}."


def _campaign(finding: ContactFinding) -> str:
    if finding.whole:
        return "all campaigns"
    return "no campaign" if finding.campaign is None else finding.campaign


def _value(finding: ContactFinding, value: float | None) -> str | None:
    """A value in its unit, as people read it; the record has all figures."""
    if value is None:
        return None
    if finding.unit == "share":
        return f"{number_text(float(f'{100 * value:.3g}'))} %"
    return f"{value:,.0f}"


def _expected(question: ContactQuestion) -> float | None:
    width = question.expected_half_width
    return None if width is None else float(f"{width:.3g}")


def _sentence(text: str) -> str:
    whole = text[0].upper() + text[1:]
    return whole if whole.endswith("?") else f"{whole}."
