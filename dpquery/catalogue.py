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
    "DPQ-107": Entry("undeclared keys", "The groups of an answer are known before rows are read, or, where each row has one owner and the policy sets min_people, shown if enough numbers are in them: a group that appears only because somebody called would show that they did."),
    "DPQ-108": Entry("not on the allow-list", "Only functions with a rendering that no row can make fail are answered; an error that depends on one row would show that row."),
    "DPQ-109": Entry("not a SELECT", "A text holds one SELECT. Nothing else is run."),
    "DPQ-110": Entry("window function", "A window makes each row depend on others, so that one number could change many of them."),
    "DPQ-111": Entry("clause not supported", "This clause is not among those that keep the privacy unit, or is not supported yet."),
    "DPQ-112": Entry("types do not fit", "The two sides, or the argument, have types that do not go together."),
    "DPQ-113": Entry("parameter without value", "A placeholder was not given a value."),
    "DPQ-114": Entry("too large", "A limit on text length, nesting, outputs or cells keeps planning and answers bounded."),
    "DPQ-115": Entry("name used twice", "Each key is named once, and each column of an answer has its own name, of printable characters."),
    "DPQ-116": Entry("nothing left to ask", "WHERE rules out every time or key that could be returned."),
    "DPQ-117": Entry("bound beyond the policy", "A query may ask for smaller contribution bounds than the policy's, never for larger ones."),
    "DPQ-118": Entry("column not for this use", "The policy keeps this column from being a key, or from purposes that do not name it."),
    "DPQ-119": Entry("not for two owners", "Rows that belong to two numbers allow fewer shapes: only those whose change by one number is proved."),
    "DPQ-120": Entry("owner lost", "An inner query must keep the numbers that own its rows: select every privacy id, or group by the number. What belongs to nobody cannot be bounded."),
    "DPQ-121": Entry("not this join", "Rows are joined on a privacy id with records of one owner each (a table of people, or a query per number), or with a public table on its key. Any other join could give one person's rows to another."),
    "DPQ-122": Entry("set operation", "UNION ALL of protected rows inside FROM keeps their owners. UNION, EXCEPT and INTERSECT compare whole rows with other rows."),
    "DPQ-123": Entry("no sampling", "A sample changes which rows count, and with it how much one number can change. The bounds already limit that."),
    "DPQ-201": Entry("over budget", "The release would exceed a privacy budget. Ask for less epsilon, or let a steward grant more."),
    "DPQ-202": Entry("no budget", "This scope has no grant, or was closed. Budgets come from the policy that `dpquery init` was given."),
    "DPQ-203": Entry("request id used before", "A request id belongs to one question; use a new id for another question."),
    "DPQ-204": Entry("epsilon out of range", "One query may spend from 0.000000128 (a billionth for each measurement it could need) up to the policy's limits.epsilon_max. No flag raises it."),
    "DPQ-205": Entry("request failed twice", "Its charge stands, and it gets no third attempt at an answer. A new request id is a new charge."),
    "DPQ-206": Entry("above the ceiling", "The first cap of a scope is the limit its privacy filter was built with; later grants stay within it."),
    "DPQ-301": Entry("policy not readable", "The policy file is missing, not UTF-8, or not TOML."),
    "DPQ-302": Entry("policy fails its check", "Each fault is listed with file, line and cure."),
    "DPQ-303": Entry("unknown analyst", "Only analysts that the policy names may ask."),
    "DPQ-304": Entry("purpose not allowed", "Every query states a purpose that the policy gives to its analyst."),
    "DPQ-305": Entry("table not for this purpose", "The policy lists the tables each purpose may read."),
    "DPQ-306": Entry("another machine user", "The policy ties this analyst to one user of the machine."),
    "DPQ-401": Entry("no consent on record", "The purpose is opt-in: only numbers with a recorded consent count, and the store holds no consent records."),
    "DPQ-402": Entry("duty purposes are the steward's", "A purpose that asks no consent is not open to analysts."),
    "DPQ-501": Entry("not a store", "The folder has no readable manifest. `dpquery init` makes a store; a damaged one needs its files back."),
    "DPQ-502": Entry("newer store", "A later dpquery wrote this store. Upgrade: pip install --upgrade dpquery."),
    "DPQ-503": Entry("open to others", "Group or others can reach the store, its key or its quarantine. The fix line is the chmod to run."),
    "DPQ-504": Entry("policy changed under the rows", "A part of the policy that ingested rows depend on has changed. Put it back, or make a new store and ingest again."),
    "DPQ-505": Entry("column missing", "The policy maps a column that the file lacks, or has twice. Name it with from = in the policy."),
    "DPQ-506": Entry("another ingest is running", "One ingest at a time; wait until it has ended."),
    "DPQ-507": Entry("file not readable", "The file has no header, or is damaged, or has a type that cannot be read. Write it anew as CSV, Parquet or Arrow."),
    "DPQ-508": Entry("argument does not fit", "A table, region, period, zone or time pattern that does not exist or does not fit the policy."),
    "DPQ-509": Entry("public number unreadable", "An entry of the public numbers is no phone number; it is named by its position. Write it with + and country code."),
    "DPQ-510": Entry("something is in the way", "The folder is not empty, or a key file exists. Name another."),
    "DPQ-511": Entry("key missing or wrong", "The key file is missing, damaged, or another store's. Put the store's own key file back."),
    "DPQ-512": Entry("key inside the store", "A copy of the store would take its key along. Name a file outside."),
    "DPQ-513": Entry("public file missing", "The policy names public_file, which must stand beside it."),
    "DPQ-514": Entry("disk refused", "The operating system or the sort refused; the store is as it was. Free space, and run again."),
    "DPQ-515": Entry("not a demo", "`dpquery demo` replaces an older demo, and nothing else."),
    "DPQ-516": Entry("policy changed meanwhile", "The session was checked by an older policy. Connect again."),
    "DPQ-701": Entry("engine failed", "The engine stopped while reading. The message holds nothing of what it read; the charge stands."),
    "DPQ-801": Entry("ledger not reachable", "The ledger is missing, stayed locked for 30 s, or the disk refused. Nothing was released."),
    "DPQ-802": Entry("ledger does not hold together", "Its chain, a signature, a cap, a balance or an answer differs from its entries. Restore a copy that verifies."),
    "DPQ-803": Entry("ledger open to others", "The ledger, its folder or the steward's key can be read by others. chmod 600, or 700 for the folder."),
    "DPQ-804": Entry("newer ledger", "A later dpquery wrote this ledger. Upgrade: pip install --upgrade dpquery."),
    "DPQ-805": Entry("not durable here", "SQLite did not take a setting without which a commit could be lost. Use a local disk."),
    "DPQ-806": Entry("exists already", "A ledger or a steward's key is never replaced. Move it away, or name another folder."),
    "DPQ-807": Entry("attempt closed", "This attempt was noted as failed, so its late answer is not stored and must not leave."),
    "DPQ-808": Entry("not this steward's key", "Only the key that `init` made for this ledger signs its budgets."),
}  # fmt: skip
