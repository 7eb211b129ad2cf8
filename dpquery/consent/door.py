"""What a steward can do with the registry of consents: `dpquery.steward(DIR).consent`."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc

from dpquery import arguments
from dpquery.consent.importing import ListOrder, ListSummary, import_list
from dpquery.consent.list_formats import FIELDS, Shape
from dpquery.consent.looking_up import Owner, owner_of, said_by, standings
from dpquery.consent.receipts import check, check_against, issue, principal_of, receipt_key, verification
from dpquery.consent.records import EVERY_PURPOSE, GIVEN, PERSON, REFUSED, SCHEMA, STATUSES, WITHDRAWN
from dpquery.consent.registry import append, read_records
from dpquery.consent.retention import purge
from dpquery.consent.stating import Statement
from dpquery.consent.wording import fault_of
from dpquery.documents import (
    ConsentPurgeDocument,
    ConsentReceiptDocument,
    ConsentSetDocument,
    ConsentStanding,
    ConsentStatusDocument,
    ConsentVerificationDocument,
)
from dpquery.errors import DataError, UsageError
from dpquery.ledger.steward_key import public_text, read_steward_key
from dpquery.numbers.plans import supported
from dpquery.store.private_files import replace_file
from dpquery.store.tombstones import Tombstones

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import TextIO

    from dpquery.consent.looking_up import PurposeStanding
    from dpquery.store import Store

EFFECTS: Final = {"opt-in": GIVEN, "opt-out": REFUSED}
ALL: Final = "all"
EXPORT_COLUMNS: Final = ("number_id", *FIELDS[1:], "recorded_at")


@dataclass(frozen=True, slots=True)
class ConsentDoor:
    """The registry of one store. What it gives depends on people: it is for the steward alone, and never a number."""

    store: Store
    steward_key: Path

    def import_list(
        self,
        source: str | Path | BinaryIO,
        *,
        format: str,  # noqa: A002 - the command's word
        purpose: str,
        effect: str = "opt-out",
        name: str | None = None,
        region: str | None = None,
        columns: Mapping[str, str] | None = None,
        notice: str | None = None,
        basis: str | None = None,
        method: str | None = None,
        effective_at: date | None = None,
        expires_at: date | None = None,
        dry_run: bool = False,
    ) -> ListSummary:
        """Take in a list of numbers: a file, or a stream of bytes. All of it or nothing, and once.

        `purpose`: one of the policy's, or "all", which may only be opted out of. `name`: whose list it is, "ftc" or
        "own" if None; each list answers for itself. `columns`: of a CSV, our field and the file's column. Lines that
        name a time, a purpose or a status have their own. A time without a zone is UTC. See `importing.import_list`.
        """
        shape = Shape.of(
            arguments.text(format, "format", example='format="e164"'),
            None
            if columns is None
            else dict(arguments.mapping(columns, "columns", example='columns={"phone": "tel"}')),
        )
        if effect not in EFFECTS:
            raise UsageError("DPQ-002", f"there is no effect {str(effect)[:20]!r}", fix="opt-out or opt-in")
        if shape.format.startswith("ftc") and effect != "opt-out":
            raise UsageError("DPQ-002", "who is on that registry has opted out", fix="--effect opt-out")
        now = datetime.now(UTC)
        said = Statement(
            _purpose(purpose),
            EFFECTS[effect],
            now if effective_at is None else _moment(effective_at, "effective_at"),
            None if expires_at is None else _moment(expires_at, "expires_at"),
            basis=_word(basis, "basis"),
            notice_version=_word(notice, "notice"),
            source=_word(name, "name") or ("ftc" if shape.format.startswith("ftc") else "own"),
            method=_word(method, "method"),
        )
        order = ListOrder(shape, said, _region(region), effective_at is not None)
        self.store.reload()
        erased = Tombstones.of(self.store).covers
        if not isinstance(source, str | os.PathLike):
            if not hasattr(source, "read"):
                arguments.path(source, "a list", example='import_list("list.csv", ...)')
            return import_list(self.store, source, order, now=now, dry_run=dry_run, erased=erased)
        file = arguments.path(source, "a list", example='import_list("list.csv", ...)')
        try:
            opened = file.open("rb")
        except OSError as error:
            raise DataError("DPQ-507", f"{file} cannot be read ({error.strerror})", fix="name a file") from None
        with opened:
            return import_list(self.store, opened, order, now=now, dry_run=dry_run, erased=erased)

    def set(
        self,
        *numbers: str,
        purpose: str,
        status: str,
        basis: str | None = None,
        notice: str | None = None,
        method: str | None = None,
        effective_at: date | None = None,
        expires_at: date | None = None,
        region: str | None = None,
    ) -> ConsentSetDocument:
        """Record what people said themselves; it bears on answers that are computed from then on.

        `status`: given, refused, withdrawn, expired, lifted; or "opt-in" (given) and "opt-out" (withdrawn where the
        person had said yes, else refused). All numbers or none: DataError DPQ-517 for what is none, by its place.
        UsageError for a purpose that is not asked for, or a yes to all at once.
        """
        now = datetime.now(UTC)
        at = now if effective_at is None else _moment(effective_at, "effective_at")
        until = None if expires_at is None else _moment(expires_at, "expires_at")
        name = _purpose(purpose)
        words = (_word(basis, "basis"), _word(notice, "notice"), PERSON, _word(method, "method"))
        known = (*STATUSES, *EFFECTS)
        if status not in known:
            raise UsageError("DPQ-002", f"there is no status {str(status)[:20]!r}", fix="one of: " + ", ".join(known))
        asked = EFFECTS.get(status, status)
        self.store.reload()
        Statement(name, asked, at, until, *words).check(self.store.policy)
        rows, counts = [], Counter[str]()
        for owner in self._owners(numbers, region):
            if owner.public:
                raise UsageError(
                    "DPQ-002", "a number is public by the policy: its consent is not asked", fix="leave it out"
                )
            if owner.erased:
                counts["erased"] += 1
                continue
            taken = WITHDRAWN if status == "opt-out" and self._had_said_yes(owner, name, at) else asked
            rows.append(Statement(name, taken, at, until, *words).row(owner.pseudonym, now))
            counts[taken] += 1
        registry = append(self.store.folder, pa.Table.from_pylist(rows, schema=SCHEMA).to_batches())
        policy = self.store.policy
        return ConsentSetDocument(
            purpose=name,
            status=dict(counts),
            effective_at=_text(at) or "",
            consent_version=registry.version(self.store.manifest.created_on, policy.consent.tick, now),
        )

    def status(self, number: str, *, region: str | None = None) -> ConsentStatusDocument:
        """What stands for each purpose, since when, from which source, and what the regime makes of it."""
        self.store.reload()
        (owner,) = self._owners([number], region)
        now = datetime.now(UTC)
        found = standings(self.store, owner, said_by(self.store, owner.pseudonym), now)
        return ConsentStatusDocument(
            number_ending=owner.ending,
            country=owner.country,
            public=owner.public,
            at=_text(now) or "",
            purposes=tuple(map(_standing, found)),
        )

    def receipt(
        self, number: str, out: str | Path | None = None, *, region: str | None = None
    ) -> ConsentReceiptDocument:
        """A signed receipt of what the registry holds about a number; written to the file `out` (0600) if named."""
        self.store.reload()
        (owner,) = self._owners([number], region)
        made = issue(self.store, owner, self.steward_key, datetime.now(UTC))
        if out is not None:
            file = arguments.path(out, "the receipt", example='receipt(number, "receipt.json")')
            replace_file(file.absolute(), made.model_dump_json(by_alias=True, indent=1).encode() + b"\n")
        return made

    def verify(self, receipt: str | Path) -> ConsentVerificationDocument:
        """Whether this store's steward signed the receipt, and the registry holds what it tells. DataError DPQ-519."""
        self.store.reload()
        key = public_text(read_steward_key(self.steward_key))
        found = check(arguments.path(receipt, "a receipt", example='verify("receipt.json")'))
        return check_against(found, self.store, key, datetime.now(UTC))

    def export(self, since: date | None = None, until: date | None = None) -> str:
        """Statements recorded from `since` on and before `until`, as CSV, for an audit.

        Numbers stand as the names that receipts give them. So it cannot be imported again: it names nobody to anybody
        who has not the store's key.
        """
        self.store.reload()
        records = read_records(self.store.folder)
        if since is not None:
            records = records.filter(pc.greater_equal(records["recorded_at"], _moment(since, "since")))
        if until is not None:
            records = records.filter(pc.less(records["recorded_at"], _moment(until, "until")))
        key = receipt_key(self.store)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(EXPORT_COLUMNS)
        for batch in records.to_batches():
            for row in batch.to_pylist():
                times = {name: _text(row[name]) for name in ("effective_at", "expires_at", "recorded_at")}
                row |= {"number_id": principal_of(key, row["pseudonym"]), **times}
                writer.writerow([row[name] for name in EXPORT_COLUMNS])
        return text.getvalue()

    def purge(self, *, days: int | None = None) -> ConsentPurgeDocument:
        """Remove statements that have borne on nothing for `days`: expired, or replaced for good by their source.

        `days`: the policy's `consent.retention_days` if None, and never fewer. What stands stays as it is.
        """
        self.store.reload()
        least = self.store.policy.consent.retention_days
        kept_for = least if days is None else arguments.whole(days, "days", example="days=730")
        if kept_for < least:
            raise UsageError("DPQ-002", f"the policy keeps them for {least} days", fix=f"days={least} or more")
        try:
            found = purge(self.store.folder, now=datetime.now(UTC), days=kept_for)
        except OverflowError:
            raise UsageError("DPQ-002", "so many days ago there was no calendar", fix=f"days={least}") from None
        return ConsentPurgeDocument(days=kept_for, expired=found.expired, superseded=found.superseded, kept=found.kept)

    def _owners(self, numbers: Sequence[str], region: str | None) -> list[Owner]:
        if not numbers:
            raise UsageError("DPQ-002", "no number is named", fix="one number a line, on standard input")
        spelled = [arguments.text(number, "a number", example='"+44 7700 900123"') for number in numbers]
        home = _region(region)
        found = [owner_of(self.store, each, home, place) for place, each in enumerate(spelled, start=1)]
        return list({owner.pseudonym: owner for owner in found}.values())

    def _had_said_yes(self, owner: Owner, purpose: str, at: datetime) -> bool:
        """Whether the newest that the person has said of the purpose (of any, where all are meant) is a yes."""
        own = said_by(self.store, owner.pseudonym)
        own = own.filter(pc.equal(own["source"], PERSON))
        stands = standings(self.store, owner, own, at)
        return any(
            each.statement is not None and each.statement["status"] == GIVEN
            for each in stands
            if purpose in {EVERY_PURPOSE, each.purpose}
        )


def verify_receipt(file: str | Path) -> ConsentVerificationDocument:
    """Whether a receipt is as it was signed; DataError DPQ-519 if not. Whose key that is it cannot say."""
    return verification(check(arguments.path(file, "a receipt", example='verify_receipt("receipt.json")')))


def read_numbers(stream: TextIO) -> tuple[str, ...]:
    """Numbers from a stream, one a line; blank lines are left out."""
    return tuple(line.strip() for line in stream if line.strip())


def _standing(found: PurposeStanding) -> ConsentStanding:
    row = found.statement or {}
    return ConsentStanding(
        purpose=found.purpose,
        regime=found.regime,
        status=row.get("status"),
        said_for=row.get("purpose"),
        since=_text(row.get("effective_at")),
        expires_at=_text(row.get("expires_at")),
        source=row.get("source"),
        basis=row.get("basis"),
        notice_version=row.get("notice_version"),
        method=row.get("method"),
        counts=found.counts,
        why=found.why,
        rules=found.rules,
    )


def _purpose(given: object) -> str:
    """One purpose: a consent to several at once is bundled, and none."""
    if not isinstance(given, str):
        raise UsageError(
            "DPQ-002", "a statement names one purpose, or all for a refusal of every one", fix='purpose="..."'
        )
    return EVERY_PURPOSE if given == ALL else given


def _word(given: object, name: str) -> str | None:
    if given is None:
        return None
    word = arguments.text(given, name, example=f'{name}="..."')
    fault = fault_of(word)
    if fault is not None:
        raise UsageError("DPQ-002", f"{name} {fault}", fix="a short word")
    return word


def _region(given: str | None) -> str | None:
    region = None if given is None else arguments.text(given, "region", example='region="GB"')
    if region is not None and supported(region) is None:
        raise UsageError("DPQ-002", "region is no ISO country code", fix='region="GB"')
    return region


def _moment(given: object, name: str) -> datetime:
    """A date (its first moment) or a time, in UTC."""
    if isinstance(given, datetime):
        return (given.replace(tzinfo=UTC) if given.tzinfo is None else given).astimezone(UTC)
    if isinstance(given, date):
        return datetime(given.year, given.month, given.day, tzinfo=UTC)
    raise UsageError("DPQ-002", f"{name} is a date or a time", fix=f"{name}=date(2026, 1, 31)")


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")
