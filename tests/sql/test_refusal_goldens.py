"""Refusals as they are printed, word for word, in `refusals.txt`; and what they say to write instead is answered.

Each entry of the file has the query (with options of `dpquery query` on the line above it), where one helps the query
to write instead, and what is printed. After a change of words, `DPQUERY_REWRITE_GOLDENS=1` writes the file anew;
queries are added to it by hand.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dpquery.catalogue import CATALOGUE
from dpquery.cli.output import show_error
from dpquery.demo import POLICY_FILE, generate
from dpquery.errors import DpqueryError
from dpquery.session import Session, connect
from dpquery.stewardship import init

GOLDENS = Path(__file__).parent / "refusals.txt"
HEAD, INSTEAD, PRINTED = "=" * 24, "-" * 8 + " write", "-" * 8 + " printed"

ASKED = re.compile(r"--(epsilon|within|analyst|purpose) (\S+)")

NARROW = """[purposes.fault_finding]
text = "Find faults."
notice = "v1"
regime = "opt-out"
tables = ["calls"]
[purposes.campaign_review]
text = "Review campaigns."
notice = "v1"
regime = "opt-out"
columns = { calls = ["callee", "campaign_id", "outcome", "disposition", "purpose", "direction", "talk_s", "day"] }
joins = [["calls", "campaigns"]]
only = { calls = { purpose = ["sales", "survey"] } }
"""

NO_QUERY_HELPS = {
    "DPQ-107",  # where only a steward can declare the keys
    "DPQ-113",  # the value is given beside the text
    "DPQ-118",  # a column that the policy keeps back
    "DPQ-201",  # the budgets say no, not the text
    "DPQ-202",
    "DPQ-204",
    "DPQ-303",  # nor do these come from the text
    "DPQ-304",
    "DPQ-305",
    "DPQ-307",
    "DPQ-401",
}


def clock() -> datetime:
    """A day on which complaints of January are past retention."""
    return datetime(2026, 4, 15, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Entry:
    """A refused query; `options` as on the command line, `instead` the query that the fix leads to."""

    options: str
    sql: str
    instead: str

    def __str__(self) -> str:
        return self.sql[:60]


def entries() -> list[Entry]:
    found = []
    for block in GOLDENS.read_text("utf-8").split(HEAD)[1:]:
        head, _, rest = block.partition("\n")
        sql, _, instead = rest.partition(PRINTED)[0].partition(INSTEAD)
        found.append(Entry(head[head.find("--") :] if "--" in head else "", sql.strip("\n"), instead.strip("\n")))
    return found


ENTRIES = entries()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's policy, with a small budget and a narrow purpose for ana. Refusals need no rows but public ones."""
    folder = tmp_path_factory.mktemp("goldens")
    files = generate(folder, rows=50, seed=7)
    policy = POLICY_FILE.read_text("utf-8").replace("ana = { epsilon = 10.0", "ana = { epsilon = 0.5")
    policy = policy.replace(
        'purposes = ["network_planning"]', 'purposes = ["network_planning", "fault_finding", "campaign_review"]'
    )
    policy = policy.replace("[analysts.ana]", NARROW + "[analysts.ana]")
    before, complaints, after = policy.partition("[tables.complaints]")
    policy = before + complaints + after.replace("retention_days = 3650", "retention_days = 60", 1)
    (folder / "policy.toml").write_text(policy, "utf-8")
    steward = init(folder / "store", policy=folder / "policy.toml")
    for table in ("cells", "campaigns"):
        steward.ingest(files.by_table[table], table=table)
    return folder / "store"


@pytest.fixture(scope="module")
def ana(store: Path) -> Iterator[Session]:
    with connect(store, analyst="ana", purpose="network_planning") as opened:
        opened.now = clock
        yield opened


def refusal(entry: Entry, store: Path) -> DpqueryError:
    """The error that meets an entry's query."""
    asked = {"analyst": "ana", "purpose": "network_planning", **dict(ASKED.findall(entry.options))}
    epsilon, within = (float(asked[name]) if name in asked else None for name in ("epsilon", "within"))
    with (
        pytest.raises(DpqueryError) as caught,
        connect(store, analyst=asked["analyst"], purpose=asked["purpose"]) as session,
    ):
        session.now = clock
        session.sql(entry.sql).run(epsilon, within=within)
    return caught.value


def written(entry: Entry, store: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """An entry as it should stand in the file."""
    error = refusal(entry, store)
    show_error(error, json=False)
    title = CATALOGUE[error.code].title
    parts = [f"{HEAD} {error.code} {title} {entry.options}".rstrip(), entry.sql]
    parts += [INSTEAD, entry.instead] if entry.instead else []
    printed = "\n".join(line.rstrip() for line in capsys.readouterr().err.splitlines())
    return "\n".join([*parts, PRINTED, printed, ""])


def test_refusals_are_printed_as_in_the_file(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = GOLDENS.read_text("utf-8")
    now = before.partition(HEAD)[0] + "\n".join(written(entry, store, capsys) for entry in ENTRIES)
    if os.environ.get("DPQUERY_REWRITE_GOLDENS"):
        GOLDENS.write_text(now, "utf-8")
    assert GOLDENS.read_text("utf-8") == now


def test_every_code_that_a_query_can_raise_has_an_entry(store: Path) -> None:
    found = {refusal(entry, store).code for entry in ENTRIES}
    assert {code for code in CATALOGUE if code.startswith("DPQ-1")} <= found
    assert {"DPQ-201", "DPQ-204", "DPQ-303", "DPQ-304", "DPQ-305"} <= found
    assert {"DPQ-307", "DPQ-308", "DPQ-309", "DPQ-401"} <= found


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_what_a_refusal_says_to_write_is_answered(entry: Entry, store: Path, ana: Session) -> None:
    """The query beside it; without one, the query with the fix in place of what is underlined."""
    error = refusal(entry, store)
    assert error.fix
    for query in whole_queries(error.fix):
        ana.sql(query).preview()
    if entry.instead:
        ana.sql(entry.instead).preview()
    elif error.code not in NO_QUERY_HELPS:
        ana.sql(mended(entry.sql, error)).preview()


def whole_queries(fix: str) -> list[str]:
    """The lines of a fix that are queries without gaps."""
    lines = [line.removeprefix("or ") for line in fix.splitlines()]
    return [line for line in lines if line.startswith("SELECT") and " FROM " in line and "..." not in line]


def mended(sql: str, error: DpqueryError) -> str:
    """The query with the first line of its fix in place of what is underlined."""
    assert error.fix is not None
    assert error.where is not None
    lines, at = sql.split("\n"), error.where
    line = lines[at.line - 1]
    first = error.fix.partition(", or ")[0].removeprefix("write ")
    lines[at.line - 1] = line[: at.column - 1] + first + line[at.end - 1 :]
    return "\n".join(lines)
