"""A list of numbers into the registry: all of it or nothing, and once."""

from __future__ import annotations

import hmac
import json
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from dpquery.consent.list_formats import BAD_TIME, Digested, Entry, Said, Shape, entries
from dpquery.consent.list_numbers import ERASED, PUBLIC, ListNumbers
from dpquery.consent.list_quarantine import ListQuarantine, remove_drafts
from dpquery.consent.list_statements import ListStatements
from dpquery.consent.records import EVERY_PURPOSE, EXPIRED, GIVEN, LIFTED, SCHEMA
from dpquery.consent.registry import ListImport, Registry, append_held, read_registry
from dpquery.documents import ConsentImportDocument
from dpquery.errors import DataError, StoreError, UsageError
from dpquery.store.lock import exclusive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path
    from typing import BinaryIO

    from dpquery.consent.stating import Statement
    from dpquery.store import Store

BLOCK_ROWS: Final = 100_000
"""Lines that are in memory at a time, beside what their statements take."""
_FTC: Final = ("ftc-full", "ftc-change")


@dataclass(frozen=True, slots=True)
class ListOrder:
    """How a list is to be taken in."""

    shape: Shape
    said: Statement
    """What its lines say where they say nothing else."""
    region: str | None = None
    """ISO country of numbers without a country code; the policy's if None."""
    dated: bool = False
    """Whether `said.effective_at` was given, and is not merely now."""

    @property
    def effective_region(self) -> str | None:
        return "US" if self.shape.format in _FTC else self.region


@dataclass(slots=True)
class ListSummary:
    """One list. It depends on private lines: it is for the steward, never for analysts. It holds no number."""

    source: str
    purpose: str
    format: str
    repeated: bool = False
    """The same list had been taken in before, in the same way: nothing was done."""
    dry_run: bool = False
    rows_read: int = 0
    """Every line that is not blank, but for a header."""
    statements: int = 0
    """Added to the registry."""
    unchanged: int = 0
    """Lines that say what their source had said already."""
    public: int = 0
    """Lines with numbers that nobody owns, whose consent is not asked."""
    erased: int = 0
    """Lines with numbers that were erased, which stay out."""
    by_reason: dict[str, int] = field(default_factory=dict)
    """Lines in quarantine."""
    cures: tuple[str, ...] = ()
    quarantine_file: Path | None = None
    consent_version: int = 0
    seconds: float = 0.0

    @property
    def quarantined(self) -> int:
        return sum(self.by_reason.values())

    @property
    def quarantined_share(self) -> float:
        """Quarantined lines in all lines read; 0 where none was read."""
        return self.quarantined / self.rows_read if self.rows_read else 0.0

    def document(self) -> ConsentImportDocument:
        """It as the object that `--json` prints."""
        return ConsentImportDocument(
            source=self.source,
            purpose=self.purpose,
            format=self.format,
            repeated=self.repeated,
            dry_run=self.dry_run,
            rows_read=self.rows_read,
            statements=self.statements,
            unchanged=self.unchanged,
            public=self.public,
            erased=self.erased,
            quarantined=self.quarantined,
            by_reason=self.by_reason,
            cures=self.cures,
            quarantine_file=None if self.quarantine_file is None else str(self.quarantine_file),
            consent_version=self.consent_version,
        )


def import_list(
    store: Store,
    stream: BinaryIO,
    order: ListOrder,
    *,
    now: datetime,
    dry_run: bool = False,
    erased: Callable[[str], bool] = lambda _: False,
) -> ListSummary:
    """Put what a list says into the registry. The stream is read once, and held in memory as pseudonyms only.

    Lines that cannot be read go to quarantine, and are no reason to stop. `erased` says of a canonical number whether
    it must stay out. UsageError for an order that a registry cannot take; DataError DPQ-505, DPQ-507: columns or text
    that cannot be read, DPQ-518 for a line with a purpose that is not asked for, or a yes to all. StoreError DPQ-506
    while somebody else writes, DPQ-514 if the disk refused. After an error or a kill the registry is as it was.
    """
    order.said.check(store.policy)
    if order.region not in {None, "US"} and order.shape.format in _FTC:
        raise UsageError("DPQ-002", "that registry lists numbers of the United States", fix="no --region")
    with nullcontext() if dry_run else exclusive(store.folder):
        if not dry_run:
            remove_drafts(store.quarantine)
        task = _Import(store, order, now, ListQuarantine(store.quarantine, order.said.source, written=not dry_run))
        try:
            return task.run(stream, erased, dry_run=dry_run)
        except OSError as error:
            why = f"the import stopped and the registry is as it was: {error.strerror or type(error).__name__}"
            raise StoreError("DPQ-514", why, fix="mend the file or the disk, and run it again") from None
        finally:
            task.quarantine.drop()


@dataclass(slots=True)
class _Import:
    store: Store
    order: ListOrder
    now: datetime
    quarantine: ListQuarantine
    statements: ListStatements = field(default_factory=ListStatements)
    counts: Counter[str] = field(default_factory=Counter)
    _filled: dict[Said, tuple[Said, bool] | tuple[str, str]] = field(default_factory=dict)

    def run(self, stream: BinaryIO, erased: Callable[[str], bool], *, dry_run: bool) -> ListSummary:
        started = time.monotonic()
        order, store = self.order, self.store
        digested = Digested(stream)
        region = order.effective_region or store.policy.numbers.default_region
        with ListNumbers(store, region, erased) as numbers:
            for block in _blocks(entries(digested, order.shape)):
                self._add(block, numbers)
        registry = read_registry(store.folder)
        content = self._content(digested.digest())
        summary = ListSummary(order.said.source, order.said.purpose, order.shape.format, dry_run=dry_run)
        summary.rows_read = self.counts["read"]
        if any(each.content == content for each in registry.imports):
            summary.repeated = True
        else:
            batches, summary.statements = self.statements.new(store.folder, registry)
            summary.unchanged = self.counts["said"] - summary.statements
            summary.public, summary.erased = self.counts[PUBLIC], self.counts[ERASED]
            summary.by_reason, summary.cures = self._faults()
            if not dry_run:
                summary.quarantine_file = self.quarantine.keep(content[:16])
                listed = ListImport(content, order.said.source, 0, self.now.isoformat())
                registry = append_held(store.folder, (_recorded(batch, self.now) for batch in batches), listed)
        summary.consent_version = _version(store, registry, self.now)
        summary.seconds = time.monotonic() - started
        return summary

    def _add(self, block: list[Entry], numbers: ListNumbers) -> None:
        self.counts["read"] += len(block)
        good = [entry for entry in block if entry.fault is None]
        for entry in block:
            if entry.fault is not None:
                self.quarantine.add(entry, *entry.fault)
        found: list[tuple[bytes, Said, bool]] = []
        for entry, meaning in zip(good, numbers.read([entry.spelling for entry in good]), strict=True):
            if isinstance(meaning, str):
                self.counts[meaning] += 1
                continue
            if isinstance(meaning, tuple):
                self.quarantine.add(entry, *meaning)
                continue
            filled = self._filled_in(entry)
            if isinstance(filled[0], str):
                self.quarantine.add(entry, *filled)
            else:
                found.append((meaning, *filled))
        self.counts["said"] += len(found)
        self.statements.add(found)

    def _filled_in(self, entry: Entry) -> tuple[Said, bool] | tuple[str, str]:
        """What the line says with what the import says besides, and whether it is dated; or its fault."""
        found = self._filled.get(entry.said)
        if found is None:
            found = self._fill(entry)
            # Lists that date each line would fill the memory.
            if len(self._filled) < BLOCK_ROWS:
                self._filled[entry.said] = found
        return found

    def _fill(self, entry: Entry) -> tuple[Said, bool] | tuple[str, str]:
        said, other = entry.said, self.order.said
        purpose = other.purpose if said.purpose is None else EVERY_PURPOSE if said.purpose == "all" else said.purpose
        status = said.status or other.status
        effective = said.effective_at or other.effective_at
        silent = status in {LIFTED, EXPIRED}
        whole = Said(
            purpose=purpose,
            status=status,
            basis=said.basis or other.basis,
            notice_version=said.notice_version or other.notice_version,
            source=said.source or other.source,
            method=said.method or other.method,
            effective_at=effective,
            expires_at=None if silent else said.expires_at or other.expires_at,
        )
        self._check(whole, entry.line)
        if whole.expires_at is not None and whole.expires_at <= effective:
            return BAD_TIME, "it would expire before it takes effect"
        return whole, said.effective_at is not None or self.order.dated

    def _check(self, said: Said, line: int) -> None:
        """DataError DPQ-518 for what no registry takes. The cell is not quoted: a shifted column holds numbers."""
        asked = {name for name, purpose in self.store.policy.purposes.items() if not purpose.is_duty}
        if said.purpose == EVERY_PURPOSE and said.status == GIVEN:
            why = f"line {line} says yes to everything at once, which is nobody's informed choice"
        elif said.purpose not in {*asked, EVERY_PURPOSE}:
            why = f"line {line} names a purpose that the policy does not ask people about"
        else:
            return
        raise DataError("DPQ-518", why, fix="nothing was taken in; name one of: " + ", ".join(sorted(asked)))

    def _content(self, digest: bytes) -> str:
        """A keyed digest of the list and of how it was read: of a list of numbers a plain one could be tried out."""
        order, said = self.order, self.order.said
        how: dict[str, object] = {
            "format": order.shape.format,
            "columns": sorted(order.shape.columns.items()),
            "region": order.effective_region,
            "said": [said.purpose, said.status, said.source, said.basis, said.notice_version, said.method],
            "effective": said.effective_at.isoformat() if order.dated else None,
            "expires": None if said.expires_at is None else said.expires_at.isoformat(),
        }
        key = self.store.secret().key("consent-list")
        return hmac.digest(key, digest + json.dumps(how, sort_keys=True).encode(), "sha256").hex()[:32]

    def _faults(self) -> tuple[dict[str, int], tuple[str, ...]]:
        reasons: Counter[str] = Counter()
        sentences: Counter[str] = Counter()
        for (reason, about), rows in self.quarantine.counts.items():
            reasons[reason] += rows
            sentences[_cure(reason, about)] += rows
        return dict(reasons.most_common()), tuple(f"{rows:,} lines {text}" for text, rows in sentences.most_common())


def _blocks(found: Iterator[Entry]) -> Iterator[list[Entry]]:
    block: list[Entry] = []
    for entry in found:
        block.append(entry)
        if len(block) == BLOCK_ROWS:
            yield block
            block = []
    if block:
        yield block


def _recorded(batch: pa.RecordBatch, now: datetime) -> pa.RecordBatch:
    place = SCHEMA.get_field_index("recorded_at")
    column = pa.repeat(pa.scalar(now, SCHEMA.field(place).type), batch.num_rows)
    return batch.add_column(place, SCHEMA.field(place), column).cast(SCHEMA)


def _version(store: Store, registry: Registry, now: datetime) -> int:
    return registry.version(store.manifest.created_on, store.policy.consent.tick, now)


def _cure(reason: str, about: str) -> str:
    match reason:
        case "unparsed_number" if about == "no_region":
            return "have numbers that lack a country code: name the list's country, such as --region GB"
        case "unparsed_number":
            return f"have numbers that cannot be read ({about}): mend them in the quarantine file"
        case "withheld":
            return "have no number, but a word for one that was not shown: they name nobody"
        case "bad_time":
            return f"have a time that cannot be used ({about}): write 2026-01-31T12:00:00Z"
        case "bad_value":
            return f"have a value that cannot be used ({about}): mend them in the quarantine file"
        case _:
            return f"are no records ({about}): is --format right?"
