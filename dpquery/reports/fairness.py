"""The fairness report in hand: asked as priced releases, and every form that it can take."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Literal, get_args

from dpquery.clock import utc_now
from dpquery.errors import UsageError
from dpquery.faces.facts import Fact, Facts
from dpquery.reports.amounts import number_text, up
from dpquery.reports.fairness_asking import Wishes, answered, priced
from dpquery.reports.fairness_questions import questions
from dpquery.reports.fairness_report import fairness_report
from dpquery.reports.fairness_sections import sections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dpquery.documents import FairnessReport
    from dpquery.reports.fairness_asking import Asked
    from dpquery.reports.sections import Section
    from dpquery.session import Session

FairnessFormat = Literal["json", "html", "csv", "md"]
FAIRNESS_FORMATS: tuple[str, ...] = get_args(FairnessFormat)


@dataclass(frozen=True, slots=True)
class Fairness:
    """A fairness report. All forms are made of `document`, and hold the same numbers."""

    document: FairnessReport

    def to_json(self) -> str:
        """The record: `dpquery.fairness-report/1`."""
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

    def to(self, form: FairnessFormat) -> str:
        """The report in the form of that name."""
        made = {"json": self.to_json, "html": self.to_html, "csv": self.to_csv, "md": self.to_markdown}
        return made[form]()

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that its style stays there."""
        frame = 'style="width: 100%; height: 40rem; border: 1px solid rgba(128, 128, 128, .4)"'
        return f'<iframe title="{escape(self._title)}" sandbox="" {frame} srcdoc="{escape(self.to_html())}"></iframe>'

    def __repr__(self) -> str:
        return f"<Report on fairness between groups of {self.document.dataset}, {self.document.at}>"

    @property
    def _title(self) -> str:
        return f"Fairness report: {self.document.dataset}"

    @property
    def _lead(self) -> str:
        found = self.document
        return (
            f"Made on {found.at}, from policy version {found.policy_version}, for the purpose {found.purpose}. Is the "
            "noise worse for some groups, and are some treated differently? Everything in it was released with noise, "
            f"for epsilon {number_text(up(found.price.epsilon))} in all."
        )

    @property
    def _sections(self) -> tuple[Section, ...]:
        return sections(self.document)


def ask_fairness(session: Session, epsilon: float | None = None, wishes: Wishes | None = None) -> Fairness:
    """The report, asked by `session`: charged as any question is, and free where its answers are stored.

    `epsilon`: of all questions together; if None each has the policy's default. BudgetRefused, before anything is
    charged, unless the budgets admit all of it. UsageError if the policy declares no groups.
    """
    asked = fairness_prices(session, epsilon, wishes)
    return fairness_of(session, asked)


def fairness_prices(session: Session, epsilon: float | None = None, wishes: Wishes | None = None) -> tuple[Asked, ...]:
    """Every question with its price, and which answers are stored. Free."""
    session.refresh()
    return priced(session, questions(session.store.policy), epsilon, wishes or Wishes())


def fairness_of(session: Session, asked: Sequence[Asked]) -> Fairness:
    """The report of questions that were priced. Spends."""
    answers = tuple(answered(session, each) for each in asked)
    return Fairness(fairness_report(session, answers, at=utc_now()))


def prices_shown(asked: Sequence[Asked]) -> Facts:
    """What the report would ask, for people."""
    whole, new = (sum(prices) for prices in zip(*((each.price, each.new_price) for each in asked), strict=True))
    columns = (
        Fact("question", "string", tuple(f"{each.question.name} by {each.question.column}" for each in asked)),
        Fact("groups", "integer", tuple(len(each.keys) for each in asked)),
        Fact("epsilon", "number", tuple(round(each.price, 6) for each in asked)),
        Fact("new", "number", tuple(round(each.new_price, 6) for each in asked)),
    )
    notes = (f"epsilon {number_text(round(whole, 6))} in all, of which {number_text(round(new, 6))} is new",)
    return Facts("report fairness --dry-run", "What the fairness report asks, and its price", columns, notes)


def purpose_of(session_purpose: str | None, policy_purpose: str | None) -> str:
    """The purpose given, else the policy's; UsageError without either."""
    found = session_purpose or policy_purpose
    if found is None:
        raise UsageError(
            "DPQ-002", "the purpose of the report is not given", fix='--purpose, or purpose = "..." in [report]'
        )
    return found
