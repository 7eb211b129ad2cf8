"""Every error code with its title and what to do about it, for `dpquery explain` and the reference page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    title: str
    explanation: str


CATALOGUE: dict[str, Entry] = {
    "DPQ-001": Entry("internal error", "A rule that the program itself must keep was broken; nothing was released. Report it."),
    "DPQ-002": Entry("usage", "The command or call was not understood. `dpquery COMMAND --help` shows its form."),
    "DPQ-101": Entry("not readable as SQL", "The text does not parse in DuckDB's dialect. The caret shows where reading stopped."),
    "DPQ-102": Entry("no bounds", "Sums and averages clamp each value, so that one large value cannot show. The column, or the call, must say to what."),
    "DPQ-103": Entry("unknown table", "Only tables that the policy names exist; `dpquery tables DIR` lists them. Public tables need no privacy and are not queried."),
    "DPQ-104": Entry("unknown column", "Only columns that the policy declares, and those derived at ingest, exist; `dpquery tables DIR` lists them."),
    "DPQ-105": Entry("privacy id", "Phone numbers are what is protected: they can be counted (COUNT(DISTINCT caller)), and nothing else."),
    "DPQ-106": Entry("raw rows", "Only aggregates leave. Every column in SELECT is a key of GROUP BY or stands inside an aggregate."),
    "DPQ-107": Entry("undeclared keys", "The groups of an answer must be known before rows are read: a group that appears only because somebody called would show that they did."),
    "DPQ-108": Entry("not on the allow-list", "Only functions with a rendering that no row can make fail are answered; an error that depends on one row would show that row."),
    "DPQ-109": Entry("not a SELECT", "A text holds one SELECT. Nothing else is run."),
    "DPQ-110": Entry("window function", "A window makes each row depend on others, so that one number could change many of them."),
    "DPQ-111": Entry("clause not supported", "This clause is not among those that keep the privacy unit, or is not supported yet."),
    "DPQ-112": Entry("types do not fit", "The two sides, or the argument, have types that do not go together."),
    "DPQ-113": Entry("parameter without value", "A placeholder was not given a value."),
    "DPQ-114": Entry("too large", "A limit on text length, nesting, outputs or cells keeps planning and answers bounded."),
    "DPQ-115": Entry("name used twice", "Each key is named once, and each column of an answer has its own name."),
    "DPQ-116": Entry("nothing left to ask", "WHERE rules out every time or key that could be returned."),
    "DPQ-117": Entry("bound beyond the policy", "A query may ask for smaller contribution bounds than the policy's, never for larger ones."),
    "DPQ-118": Entry("column not for this use", "The policy keeps this column from being a key, or from purposes that do not name it."),
    "DPQ-119": Entry("not for two owners", "Rows that belong to two numbers allow fewer shapes: only those whose change by one number is proved."),
    "DPQ-201": Entry("over budget", "The release would exceed a privacy budget. Ask for less epsilon, or let a steward grant more."),
    "DPQ-202": Entry("no budget", "This scope has no grant, or was closed. A steward grants a budget with `dpquery grant`."),
    "DPQ-203": Entry("request id used before", "A request id belongs to one question; use a new id for another question."),
    "DPQ-204": Entry("epsilon out of range", "One query may spend from a billionth up to the policy's limits.epsilon_max. No flag raises it."),
    "DPQ-301": Entry("policy not readable", "The policy file is missing, not UTF-8, or not TOML."),
    "DPQ-302": Entry("policy fails its check", "Each fault is listed with file, line and cure."),
    "DPQ-303": Entry("unknown analyst", "Only analysts that the policy names may ask."),
    "DPQ-304": Entry("purpose not allowed", "Every query states a purpose that the policy gives to its analyst."),
    "DPQ-305": Entry("table not for this purpose", "The policy lists the tables each purpose may read."),
    "DPQ-306": Entry("another machine user", "The policy ties this analyst to one user of the machine."),
    "DPQ-401": Entry("no consent on record", "The purpose is opt-in: only numbers with a recorded consent count, and the store holds no consent records."),
    "DPQ-402": Entry("duty purposes are the steward's", "A purpose that asks no consent is not open to analysts."),
    "DPQ-701": Entry("engine failed", "The engine stopped while reading. The message holds nothing of what it read; the charge stands."),
}  # fmt: skip
