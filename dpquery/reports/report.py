"""A report in hand: the document, and every form that it can take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from dpquery.reports.sections import sections

if TYPE_CHECKING:
    from dpquery.documents import BudgetReport
    from dpquery.reports.sections import Section

Format = Literal["json", "html", "csv", "md", "registry-yaml"]
FORMATS: tuple[str, ...] = get_args(Format)


@dataclass(frozen=True, slots=True)
class Report:
    """A budget report. All forms are made of `document`, and hold the same numbers."""

    document: BudgetReport

    def to_json(self) -> str:
        """The record: `dpquery.budget-report/1`."""
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

    def to_registry_yaml(self) -> str:
        """A draft record for the OpenDP deployments registry."""
        from dpquery.reports.registry import registry_yaml

        return registry_yaml(self.document)

    def to(self, form: Format) -> str:
        """The report in the form of that name."""
        made = {
            "json": self.to_json,
            "html": self.to_html,
            "csv": self.to_csv,
            "md": self.to_markdown,
            "registry-yaml": self.to_registry_yaml,
        }
        return made[form]()

    def _repr_html_(self) -> str:
        """The page in a frame of its own."""
        from dpquery.reports.page import framed

        return framed(self._title, self.to_html())

    def __repr__(self) -> str:
        return f"<Report on the budgets of {self.document.identity.dataset}, {self.document.at}>"

    @property
    def _title(self) -> str:
        return f"Budget report: {self.document.identity.dataset}"

    @property
    def _lead(self) -> str:
        integrity = self.document.integrity
        return (
            f"Made on {self.document.at}, from policy version {self.document.identity.policy_version} and a ledger of "
            f"{integrity.entries} entries that verifies. Spent is rounded up, left is rounded down. For the steward: "
            "it shows what each analyst has spent."
        )

    @property
    def _sections(self) -> tuple[Section, ...]:
        return sections(self.document)
