"""Whether a saved release agrees with itself, and with the ledger that its receipt names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dpquery.asking import older
from dpquery.describe import upwards_of, versions_in_use
from dpquery.errors import DpqueryError, UsageError
from dpquery.faces import html
from dpquery.faces.redrawn import sheet_of_document
from dpquery.receipts.digests import as_json, document_digest, plain_rows, receipt_digest, rows_digest, sha256
from dpquery.receipts.rebuild import ContradictedError, NotRebuiltError, derived_again, rebuilt
from dpquery.receipts.saved import column_kinds, read_saved

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dpquery.documents import ReceiptDocument
    from dpquery.ledger import Ledger, RecordedRequest
    from dpquery.receipts.rebuild import Rebuilt
    from dpquery.receipts.saved import Saved
    from dpquery.store import Store

Outcome = Literal["holds", "differs", "not checked"]

ALL_HOLD, INCOMPLETE, MISMATCH = 0, 5, 8
"""Exit statuses: all that is claimed was checked and holds; something could not be checked; something differs."""

WORDS = ("guarantee", "warnings", "advice")
"""What a document says in sentences, which another version of dpquery may word differently."""

UNRECORDED = ("left", "status", "versions", "seal", "rows", "receipt", "receipts")
"""Of a document: what no ledger keeps, and what is compared by itself."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    outcome: Outcome
    text: str

    def __str__(self) -> str:
        return f"{self.outcome:<11}  {self.text}"


@dataclass(frozen=True, slots=True)
class Checked:
    """Everything that was looked at in one file."""

    findings: tuple[Finding, ...]
    against_ledger: bool

    @property
    def differing(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.outcome == "differs")

    @property
    def exit_status(self) -> int:
        if self.differing:
            return MISMATCH
        return INCOMPLETE if any(finding.outcome == "not checked" for finding in self.findings) else ALL_HOLD

    @property
    def meaning(self) -> str:
        """What this proves, and what not."""
        if self.differing:
            return "this is not what the ledger's release was saved as"
        if not self.against_ledger:
            return (
                "the file agrees with itself, no more: nobody signed it, and who makes up a file can make it agree. "
                "The steward's ledger tells whether there was such a release: dpquery receipt verify FILE DIR"
            )
        if self.exit_status == INCOMPLETE:
            return "what holds agrees with the ledger; the rest could not be compared with it"
        return "the ledger has this release, and its stored integers give these values"

    def __str__(self) -> str:
        return "\n".join([*map(str, self.findings), "", self.meaning])


def check_file(path: Path) -> Checked:
    """Whether the release saved at `path` agrees with itself. UsageError if there is none that can be read."""
    return Checked(tuple(_itself(read_saved(path))), against_ledger=False)


def check_against(path: Path, store: Store, ledger: Ledger) -> Checked:
    """Whether it also agrees with the ledger, whose chain is verified first. LedgerError if that is broken."""
    saved = read_saved(path)
    found = list(_itself(saved))
    verification = ledger.verify()
    found.append(Finding("holds", f"the ledger's chain, {verification.entries:,} entries, head {verification.head}"))
    parts: list[Rebuilt] = []
    for receipt in saved.receipts:
        findings, recorded = _recorded(receipt, ledger)
        found += findings
        if recorded is not None:
            findings, part = _computed_again(receipt, recorded, store, ledger)
            found += findings
            parts += [] if part is None else [part]
    if saved.document is not None:
        if parts and len(parts) == len(saved.receipts):
            found += _document_again(saved, parts)
        else:
            found.append(Finding("not checked", f"{_count(saved)}, and what is written beside them"))
    return Checked(tuple(found), against_ledger=True)


def _itself(saved: Saved) -> Iterator[Finding]:
    if saved.fault is not None:
        yield Finding("differs", saved.fault)
        return
    yield Finding("holds", f"the form of {saved.raw['schema']}")
    raw = saved.raw
    for receipt in saved.receipts:
        whole = receipt_digest(as_json(receipt)) == receipt.digest
        yield _made(whole, f"the receipt of {receipt.release}")
    if saved.document is None or saved.document.seal is None:
        yield Finding("holds", "a receipt alone: the rows that it was given with are not here to be compared")
        return
    seal = saved.document.seal
    how = "by the values in its head" if saved.form == "html" else "to the last digit"
    yield _made(rows_digest(raw["rows"]) == seal.rows, f"each value, interval and key, {how}")
    yield _made(document_digest(raw) == seal.document, "price, promise and plan")
    if saved.names is not None:
        yield _made(sorted(saved.names) == sorted(column_kinds(saved.document)), "the names of the columns")
    yield from _says_the_same(saved)
    if saved.page is not None:
        yield _page(saved)


def _made(unchanged: bool, what: str) -> Finding:
    return Finding("holds" if unchanged else "differs", f"{what}, as it was made" if unchanged else f"{what}: changed")


def _says_the_same(saved: Saved) -> Iterator[Finding]:
    """Names that stand twice in a file are the same ones."""
    raw, receipts = saved.raw, saved.receipts
    several = "receipts" in raw
    entries = raw["ledger"] if several else [raw["ledger"]]
    said: list[tuple[str, Any, Any]] = [
        ("release", raw["releases"] if several else [raw["release"]], [r.release for r in receipts]),
        ("ledger entry", [e["entry"] for e in entries], [r.entry for r in receipts]),
        ("time", [e["at"] for e in entries], [r.at for r in receipts]),
        ("purpose", {raw["purpose"]}, {r.purpose for r in receipts}),
        ("notice", {raw["notice"]}, {r.notice for r in receipts}),
        ("price", raw["cost"]["epsilon"] if _pure(saved) else None, _epsilon(receipts) if _pure(saved) else None),
    ]
    if raw["schema"] == "dpquery.release/1":
        receipt = receipts[0]
        said += [
            ("rows", raw["seal"]["rows"], receipt.rows),
            ("plan", raw["plan"]["canonical"], receipt.canonical),
            ("data version", raw["plan"]["data_version"], receipt.data_version),
            ("confidence", raw["interval"]["confidence"], receipt.query.confidence),
        ]
    differing = [what for what, one, other in said if one != other]
    if differing:
        yield Finding("differs", f"the document names another {', '.join(differing)} than its receipt")
    else:
        yield Finding("holds", "document and receipt say the same")


def _pure(saved: Saved) -> bool:
    return all(receipt.loss.epsilon is not None for receipt in saved.receipts)


def _epsilon(receipts: tuple[ReceiptDocument, ...]) -> float:
    return upwards_of(sum(receipt.loss.epsilon or 0 for receipt in receipts))


def _page(saved: Saved) -> Finding:
    """The page drawn again from the document in its head: the same to the last character."""
    if saved.document is None or saved.page is None:
        return Finding("not checked", "what the page shows")
    if not all(map(same_version, saved.receipts)):
        return Finding("not checked", "what the page shows: another version of dpquery drew it")
    head = html.document_in(saved.page) or ""
    try:
        drawn = html.page(sheet_of_document(saved.document), head)
    except (LookupError, TypeError, ValueError):
        return Finding("differs", "the page's rows are not of its columns")
    if drawn == saved.page:
        return Finding("holds", "the page shows its values as they are rounded for people, and nothing else")
    return Finding("differs", "the page shows something else than the document in its head")


def same_version(receipt: ReceiptDocument) -> bool:
    """Whether this version of dpquery wrote it, so that sentences and pages are worded alike."""
    return receipt.dpquery == versions_in_use()["dpquery"]


def _recorded(receipt: ReceiptDocument, ledger: Ledger) -> tuple[list[Finding], RecordedRequest | None]:
    """What the ledger says of a receipt's entry; None if it is not there, or is another's."""
    own = (ledger.identity, ledger.steward, ledger.dataset)
    if (receipt.ledger, receipt.steward, receipt.dataset) != own:
        return [Finding("differs", f"{receipt.release}: its receipt is of another ledger")], None
    recorded = ledger.find_entry(receipt.entry)
    if recorded is None:
        return [Finding("differs", f"{receipt.release}: the ledger has no charge or repeat with this hash")], None
    charged, plan = recorded.charged, recorded.plan
    loss = (receipt.loss.epsilon, receipt.loss.rho, receipt.loss.delta)
    said = {
        "release": receipt.release == charged.release,
        "charge": receipt.charge == charged.charge,
        "time": receipt.at == charged.at,
        "analyst": receipt.analyst == recorded.asker,
        "purpose": receipt.purpose == recorded.purpose,
        "question": receipt.question == recorded.question,
        "price": loss == (charged.loss.epsilon, charged.loss.rho, charged.loss.delta),
        "plan": receipt.canonical == plan["canonical"],
        "data version": receipt.data_version == plan["data_version"],
        "policy version": receipt.policy_version == plan["policy_version"],
        "consent version": receipt.consent_version == plan["consent_version"],
        "notice": receipt.notice == plan["notice"],
    }
    wrong = [what for what, same in said.items() if not same]
    if wrong:
        return [Finding("differs", f"{receipt.release}: the ledger has another {', '.join(wrong)}")], None
    found = [
        Finding("holds", f"{receipt.release}: charged for {receipt.analyst}, {', '.join(said)} as the ledger says")
    ]
    if charged.payload is None:
        return [*found, Finding("differs", f"{receipt.release}: charged, and never released")], None
    if sha256(charged.payload) != receipt.record:
        return [*found, Finding("differs", f"{receipt.release}: the ledger keeps another answer")], None
    return [
        *found,
        Finding("holds", f"{receipt.release}: released, and the stored integers are the receipt's"),
    ], recorded


def _computed_again(
    receipt: ReceiptDocument, recorded: RecordedRequest, store: Store, ledger: Ledger
) -> tuple[list[Finding], Rebuilt | None]:
    """The release from its stored integers, with a receipt that must be the same."""
    name = receipt.release
    try:
        part = rebuilt(store, ledger, receipt, recorded)
    except NotRebuiltError as why:
        return [Finding("not checked", f"{name}: its values, since {why}")], None
    except ContradictedError as why:
        return [Finding("differs", f"{name}: {why}")], None
    again = part.release.receipt
    given = as_json(receipt)
    unlike = ("digest", "dpquery") if same_version(receipt) else ("digest", "dpquery", "bounding")
    wrong = [what for what, value in again.items() if what not in unlike and value != given[what]]
    if wrong:
        return [Finding("differs", f"{name}: computed again, its receipt has another {', '.join(wrong)}")], part
    return [Finding("holds", f"{name}: its query is the question that was charged, and gives the receipt's rows")], part


def _document_again(saved: Saved, parts: list[Rebuilt]) -> Iterator[Finding]:
    """The whole document from the rebuilt releases, and every value and interval with the file's rows."""
    if saved.document is None:
        return
    try:
        again = as_json(derived_again(saved.document, parts))
    except (UsageError, LookupError) as error:
        what = error.why if isinstance(error, DpqueryError) else "a column is missing"
        yield Finding("differs", f"what the file derives cannot be made of these releases: {what}")
        return
    same = plain_rows(saved.raw["rows"]) == plain_rows(again["rows"])
    yield Finding("holds" if same else "differs", f"{_count(saved)}, computed again")
    given = saved.raw
    names = [name for name in again if name not in UNRECORDED]
    differing = [name for name in names if not _same(name, given[name], again[name])]
    words = [name for name in differing if name in WORDS]
    if all(map(same_version, saved.receipts)):
        words = []
    differing = [name for name in differing if name not in words]
    if words:
        yield Finding("not checked", f"{', '.join(words)}: another version of dpquery worded them")
    if differing:
        yield Finding("differs", f"the document has another {', '.join(differing)}")
    else:
        rest = ", ".join(name for name in names if name not in {"schema", *words})
        yield Finding("holds", f"{rest}: as computed again")


def _same(name: str, given: Any, again: Any) -> bool:
    if name == "cost":  # a retry says of the charge it got that nothing in it is new
        given, again = (
            cost | {"charged": [{k: v for k, v in pair.items() if k != "new"} for pair in cost["charged"]]}
            for cost in (given, again)
        )
    if name == "warnings":  # how old an answer is depends on when it was handed out
        given, again = ([text for text in texts if not text.startswith(older.AGE)] for texts in (given, again))
    return bool(given == again)


def _count(saved: Saved) -> str:
    rows = saved.raw["rows"]
    values = 0 if saved.document is None else sum(column.role == "value" for column in saved.document.columns)
    what = f"{len(rows) * values:,} values with their intervals"
    return f"{what} in {len(rows):,} rows"
