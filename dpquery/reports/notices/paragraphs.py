"""Notice and register as headings, texts, facts and tables, so that every form for people says the same."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any

from dpquery.reports.amounts import number_text
from dpquery.reports.sections import Column, Facts, Items, Part, Section, Table, Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dpquery.documents import (
        DataColumn,
        DataTable,
        NoticePurpose,
        Recipient,
        RegisterDocument,
        RegisterPurpose,
        RegisterTable,
        Stated,
        StricterLaw,
        TransparencyDocument,
    )

NOT_YET = "Not stated yet"


def notice_sections(notice: TransparencyDocument) -> tuple[Section, ...]:
    """What follows for people first, how it is done last."""
    out = notice.opting_out
    return (
        Section("odds", "What somebody could learn about you", _odds(notice)),
        Section("purposes", "What your records are used for", _purposes(notice)),
        Section("opt-out", "How to say no", (Text(_said(out.how), promise=True), Items(out.effects))),
        Section("not-undone", "What saying no cannot undo", (Items(out.not_undone),)),
        Section("counted", "What we keep and count", _kept_of_people(notice.counted)),
        Section("never", "What never happens", (Items(notice.never),)),
        Section("not-protected", "What is not protected", (Items(notice.not_protected),)),
        Section("how", "How it works", (Items(notice.how_it_works),)),
        Section("who", "Who answers for this", _who(notice)),
    )


def register_sections(register: RegisterDocument) -> tuple[Section, ...]:
    """In the order of Article 30 (1) GDPR."""
    return (
        Section("controller", "Who answers for the data", _controller(register)),
        Section("purposes", "What it is used for", tuple(p for each in register.purposes for p in _used(each))),
        Section("recipients", "Who gets answers", (_recipients(register),)),
        Section("data", "Whose data, and which", tuple(p for each in register.tables for p in _kept(each))),
        Section("retention", "How long it is kept", (_retention(register),)),
        Section("transfers", "Other countries", (Text(_said(register.transfers)),)),
        Section("numbers", "Numbers", (Facts(_fields(register.numbers)),)),
        Section("security", "How it is secured", (Items(register.security), *_promise(register))),
    )


def _said(stated: Stated) -> str:
    return stated.value if stated.value is not None else f"{NOT_YET}: {stated.reason}."


def _odds(notice: TransparencyDocument) -> tuple[Part, ...]:
    return Text(notice.odds.sentence, promise=True), *(Text(text) for text in notice.odds.further)


def _purposes(notice: TransparencyDocument) -> tuple[Part, ...]:
    words = {table.name: table.text for table in notice.counted}
    columns = {f"{t.name}.{c.name}": c.text for t in notice.counted for c in t.columns}
    found: list[Part] = []
    for purpose in notice.purposes:
        found.append(Text(purpose.text, heading=True))
        found.append(Items(tuple(_of_purpose(purpose, words, columns, several=len(notice.notices) > 1))))
    return tuple(found)


def _of_purpose(
    purpose: NoticePurpose, words: Mapping[str, str], columns: Mapping[str, str], *, several: bool
) -> Iterable[str]:
    yield purpose.silence
    if purpose.regime == "opt-out":
        yield from (_law(law) for law in purpose.laws)
        if purpose.laws:
            yield "Where we cannot tell a number's country, we act as if it were one of these."
    if purpose.secondary:
        yield "This goes beyond what the records were made for: profiling, scoring or sale."
    yield f"Used for it: {'; '.join(words[name] for name in purpose.tables) or 'no records of people'}."
    if purpose.sensitive:
        yield f"Also sensitive things: {'; '.join(dict.fromkeys(columns[name] for name in purpose.sensitive))}."
    yield _audience(purpose)
    if several:
        yield f"Version of this notice: {purpose.notice}."


def _audience(purpose: NoticePurpose) -> str:
    match purpose.analysts:
        case 0:
            return "Nobody may ask for it at present."
        case 1:
            who = "the one person who may ask for it"
        case several:
            who = f"the {several} people who may ask for it"
    return f"Answers go to {who}, and to whoever they hand them on to."


def _law(law: StricterLaw) -> str:
    return f"In {law.place} they count only if you said yes, by a law in force since {_day(law.since)} ({law.source})."


def _kept_of_people(tables: tuple[DataTable, ...]) -> tuple[Part, ...]:
    """Table by table what was taken in; then, once for all, what is kept of numbers and times."""
    made = dict.fromkeys(
        _column(c) for t in tables for c in sorted(t.columns, key=lambda c: c.kind != "number") if c.kind in _OF_EACH
    )
    return (
        *(part for table in tables for part in _counted(table)),
        Text("Of each phone number and each time in these", heading=True),
        Items(tuple(made)),
    )


_OF_EACH = ("number", "derived")


def _counted(table: DataTable) -> tuple[Part, ...]:
    months = (
        f" Records are from {_day(table.period[0])} to {_day(table.period[1])}." if table.period is not None else ""
    )
    days = table.retention_days
    kept = f"They may be kept for {days:,} days." if days is not None else "No time is set for their deletion."
    columns = tuple(_column(column) for column in table.columns if column.kind not in _OF_EACH)
    return (
        Text(f"{table.text[:1].upper()}{table.text[1:]}", heading=True),
        Text(f"About {' and '.join(table.people)}.{months} {kept}"),
        *([Items(columns)] if columns else []),
    )


def _column(column: DataColumn) -> str:
    return f"{column.text} (sensitive: only where a use above names it)" if column.sensitive else column.text


def _day(iso: str) -> str:
    """A day as people write it.

    >>> _day("2026-08-01")
    '1 August 2026'
    """
    found = date.fromisoformat(iso)
    return f"{found.day} {_MONTHS[found.month - 1]} {found.year}"


_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def _who(notice: TransparencyDocument) -> tuple[Part, ...]:
    curators = notice.deployment.basic.data_curators
    versions = "; ".join(f"{version} ({', '.join(names)})" for version, names in notice.notices.items())
    basic = notice.deployment.basic
    return (
        Facts(
            (
                ("Who answers", ", ".join(curators) if curators else f"{NOT_YET}."),
                ("Questions", _said(notice.contact)),
                ("Complaints", _said(notice.complaints)),
                ("Other countries", _said(notice.transfers)),
                ("What the answers are for", basic.intended_use or f"{NOT_YET}."),
                ("First answer given", _day(notice.first_release.value) if notice.first_release.value else "none yet"),
                ("This page", f"made on {_day(notice.at[:10])} from version {notice.policy_version} of the rules"),
                ("Version of the notice", versions),
                ("Ledger", notice.ledger_head),
            )
        ),
    )


def _controller(register: RegisterDocument) -> tuple[Part, ...]:
    versions = "; ".join(f"{version}: {', '.join(names)}" for version, names in register.notices.items())
    return (
        Facts(
            (
                ("Controller", _said(register.controller)),
                ("Contact", _said(register.contact)),
                ("Sector", _said(register.sector)),
                ("Region", _said(register.region)),
                ("Intended use", _said(register.intended_use)),
                ("Supervisory authority", _said(register.complaints)),
                ("How people opt out", _said(register.opt_out)),
                ("Notice versions", versions),
            )
        ),
    )


def _used(purpose: RegisterPurpose) -> tuple[Part, ...]:
    laws = "; ".join(f"{law.place} since {law.since}: {law.source}" for law in purpose.laws)
    readable = ", ".join(purpose.tables) or "none"
    stricter = purpose.regime == "opt-out" and purpose.laws
    return (
        Text(purpose.name, heading=True),
        Facts(
            (
                ("Purpose", purpose.text),
                ("Notice", purpose.notice),
                ("Regime", purpose.regime),
                (
                    "Silence",
                    "is no where one of the laws below holds, else yes" if stricter else _SILENCE[purpose.regime],
                ),
                ("Laws for which silence is no", laws or "none that bears on it"),
                ("Kind, as laws call it", purpose.kind or "none named"),
                ("Profiling, scoring or sale", purpose.secondary),
                ("Tables", f"{readable} (every table, later ones too)" if purpose.all_tables else readable),
                ("Sensitive columns", ", ".join(purpose.sensitive) or "none"),
                ("Recipients", ", ".join(each.analyst for each in purpose.recipients) or "nobody"),
                *_fields(purpose.further),
            )
        ),
    )


_SILENCE = {
    "opt-in": "is no",
    "opt-out": "is yes",
    "duty": "is not asked for: a law obliges to it; the steward's alone",
}


def _recipients(register: RegisterDocument) -> Table:
    everybody: dict[str, tuple[Recipient, list[str]]] = {}
    for purpose in register.purposes:
        for each in purpose.recipients:
            everybody.setdefault(each.analyst, (each, []))[1].append(purpose.name)
    return Table(
        "Who may ask, for what. They get answers with noise, never rows.",
        (Column("who"), Column("for"), Column("group"), Column("user of the machine", absent="not tied to one")),
        tuple((name, ", ".join(names), each.group, each.os_user) for name, (each, names) in everybody.items()),
    )


def _kept(table: RegisterTable) -> tuple[Part, ...]:
    kind = table.kind if table.of is None else f"{table.kind} of {table.of}"
    facts = (
        ("What", table.text),
        ("Kind", kind),
        ("Categories of people", "; ".join(table.people)),
        ("Time, kept to", table.grain),
        ("Period", None if table.period is None else " to ".join(table.period)),
        ("One budget for", "each month" if table.block == "month" else "all its time"),
        ("Read for", ", ".join(table.purposes) or "no purpose"),
        *_fields(table.further),
    )
    noted = any(column.further for column in table.columns)
    columns = Table(
        f"Categories of data in {table.name}.",
        (
            *(Column(name) for name in ("column", "what", "origin", "type", "sensitive", "key")),
            *([Column("further", absent="nothing")] if noted else []),
        ),
        tuple(
            (c.name, c.text, c.kind, c.type, c.sensitive, c.selectable, *([_noted(c)] if noted else []))
            for c in table.columns
        ),
    )
    return Text(table.name, heading=True), Facts(facts), columns


def _noted(column: DataColumn) -> str | None:
    return _value(column.further) if column.further else None


def _retention(register: RegisterDocument) -> Table:
    return Table(
        "How long rows may be kept, by the policy.",
        (Column("table"), Column("days", "number", "no limit named")),
        tuple((table.name, table.retention_days) for table in register.tables),
    )


def _promise(register: RegisterDocument) -> tuple[Part, ...]:
    rows = tuple(
        (
            f"everything about {each.count} of {len(register.odds.blocks)} blocks",
            each.epsilon,
            each.delta,
            each.right_guesses,
        )
        for each in register.odds.ever
    )
    one = register.odds.one_answer
    return (
        Table(
            "What may ever be released, whatever the steward decides; and one answer, as the policy stands.",
            (
                Column("of"),
                Column("epsilon", "number"),
                Column("delta", "number"),
                Column("right guesses of 100", "number"),
            ),
            (*rows, ("one answer", one.epsilon, one.delta, one.right_guesses)),
        ),
        Facts(_fields(register.limits)),
        Text(f"Tables without anybody's data: {', '.join(register.public_tables) or 'none'}."),
    )


def _fields(fields: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, _value(value)) for name, value in fields.items())


def _value(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return number_text(value)
        case str():
            return value
        case list():
            return ", ".join(_value(one) for one in value) or "none"
        case dict():
            return "; ".join(f"{name}: {_value(one)}" for name, one in value.items()) or "none"
        case _:
            return json.dumps(value)
