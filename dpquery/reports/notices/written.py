"""Notice and register in hand: the document, and every form that each can take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dpquery.reports.comma_separated import comma_separated
from dpquery.reports.markdown import markdown
from dpquery.reports.notices.paragraphs import notice_sections, register_sections

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dpquery.documents import RegisterDocument, Stated, TransparencyDocument

NOTICE_FORMATS: Final = ("md", "html", "json")
REGISTER_FORMATS: Final = ("md", "html", "csv", "json")


@dataclass(frozen=True, slots=True)
class Notice:
    """The page for subscribers. All forms are made of `document`."""

    document: TransparencyDocument

    def to_json(self) -> str:
        """The record for `/.well-known/dp-transparency.json`: `dpquery.transparency/1`."""
        return self.document.model_dump_json(by_alias=True, indent=2) + "\n"

    def to_html(self) -> str:
        """One page, with nothing to load."""
        from dpquery.reports.page import page

        return page(self.title, self.lead, notice_sections(self.document), layout="notice")

    def to_markdown(self) -> str:
        """Text with headings and lists."""
        return markdown(self.title, self.lead, notice_sections(self.document))

    def to(self, form: str) -> str:
        """The notice in one of `NOTICE_FORMATS`."""
        return {"json": self.to_json, "html": self.to_html, "md": self.to_markdown}[form]()

    @property
    def missing(self) -> tuple[str, ...]:
        """Fields of the policy's [report] that people would need, and that are not there."""
        found = self.document
        curators = found.deployment.basic.data_curators
        stated = {"opt_out": found.opting_out.how, **_stated(found)}
        return (*([] if curators else ["curator"]), *_missing(stated))

    @property
    def title(self) -> str:
        return "Your phone records and our statistics"

    @property
    def lead(self) -> str:
        who = self.document.deployment.basic.data_curators
        return (
            f"{who[0] if who else 'We'} make{'s' if who else ''} statistics from records of calls. This page says what "
            "that means for you, what is counted, and how to say no."
        )

    def _repr_html_(self) -> str:
        """The page in a frame of its own."""
        from dpquery.reports.page import framed

        return framed(self.title, self.to_html())

    def __repr__(self) -> str:
        return f"<Notice on {self.document.deployment.basic.name}, {self.document.at}>"


@dataclass(frozen=True, slots=True)
class Register:
    """The record of processing. All forms are made of `document`."""

    document: RegisterDocument

    def to_json(self) -> str:
        """The record: `dpquery.register/1`."""
        return self.document.model_dump_json(by_alias=True, indent=2) + "\n"

    def to_html(self) -> str:
        """One page, with nothing to load."""
        from dpquery.reports.page import page

        return page(self.title, self.lead, register_sections(self.document), layout="register")

    def to_csv(self) -> str:
        """A line for each fact, and for each cell of each table."""
        return comma_separated(register_sections(self.document))

    def to_markdown(self) -> str:
        """Text with tables."""
        return markdown(self.title, self.lead, register_sections(self.document))

    def to(self, form: str) -> str:
        """The register in one of `REGISTER_FORMATS`."""
        return {"json": self.to_json, "html": self.to_html, "csv": self.to_csv, "md": self.to_markdown}[form]()

    @property
    def missing(self) -> tuple[str, ...]:
        """Fields of the policy's [report] that an authority would ask for, and that are not there."""
        found = self.document
        return _missing({"curator": found.controller, "opt_out": found.opt_out, **_stated(found)})

    @property
    def title(self) -> str:
        return f"Register of processing: {self.document.dataset}"

    @property
    def lead(self) -> str:
        return (
            f"Made on {self.document.at} from version {self.document.policy_version} of the policy that the program "
            f"enforces, and from the ledger with head {self.document.ledger_head}. No row was read for it."
        )

    def _repr_html_(self) -> str:
        """The page in a frame of its own."""
        from dpquery.reports.page import framed

        return framed(self.title, self.to_html())

    def __repr__(self) -> str:
        return f"<Register of {self.document.dataset}, {self.document.at}>"


def _stated(document: TransparencyDocument | RegisterDocument) -> dict[str, Stated]:
    return {"contact": document.contact, "complaints": document.complaints, "transfers": document.transfers}


def _missing(fields: Mapping[str, Stated]) -> tuple[str, ...]:
    return tuple(name for name, stated in fields.items() if stated.value is None)
