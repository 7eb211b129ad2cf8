"""Everything that the doctor looks at, in one document. It holds no number, whatever it finds."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from dpquery.doctor import condition
from dpquery.doctor.contents import SealedError, Text, parquet_texts, texts_of
from dpquery.doctor.numbers import SoughtNumbers
from dpquery.doctor.rows import own_columns, row_faults
from dpquery.documents import DoctorDocument, DoctorFinding, Examined
from dpquery.errors import LedgerError
from dpquery.ledger.ledger import Ledger
from dpquery.store_ledger import checkpoint_place, ledger_place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from dpquery.doctor.numbers import Hit
    from dpquery.store import Store
    from dpquery.store.store import StoreFile


def examine(
    store: Store, at: datetime, *, also: Sequence[Path] = (), named: Iterable[str] = (), keys: Sequence[Path] = ()
) -> DoctorDocument:
    """Look at everything in the folder of `store`, its ledger, and the files and folders in `also`.

    `named`: further numbers to look for, in any spelling. `keys`: files that nobody else may read. StoreError DPQ-511
    without the store's key: its numbers cannot be told then.
    """
    return _Examination(store, at, SoughtNumbers.of(store, named)).document(also, keys)


@dataclass(slots=True)
class _Found:
    """Hits in one column of one file, or in one file without columns."""

    first: str
    shown: str
    different: set[str] = field(default_factory=set, repr=False)


@dataclass(slots=True)
class _Examination:
    store: Store
    at: datetime
    sought: SoughtNumbers
    findings: list[DoctorFinding] = field(default_factory=list)
    examined: list[Examined] = field(default_factory=list)
    key_copies: list[str] = field(default_factory=list)
    explained: set[str] = field(default_factory=set, repr=False)

    def document(self, also: Sequence[Path], keys: Sequence[Path]) -> DoctorDocument:
        store = self.store
        secret = store.key_file.read_text(encoding="ascii", errors="replace").strip()
        rows = {file.path: (name, file) for name in store.policy.tables for file in store.files(name)}
        for path in _files(store.folder):
            if path in rows:
                self._rows(path, *rows[path])
            else:
                self._file(path, secret, amounts=path == ledger_place(store))
        if isinstance(ledger_place(store), str) or (store.folder / "ledger.sqlite").exists():
            self._ledger()
        outside = (checkpoint_place(store.folder, store.policy), *also)
        for extra in (extra for extra in outside if extra is not None):
            for path in _files(extra):
                self._file(path, secret)
        quarantine = condition.quarantine_found(store)
        erased = self.sought.only_erased()
        for path in _files(store.quarantine) if len(erased) else ():
            self._file(path, secret, sought=erased)
        self._condition(keys)
        return DoctorDocument(
            dataset=store.manifest.dataset,
            at=self.at.isoformat(timespec="seconds"),
            clean=not self.findings,
            numbers=len(self.sought),
            tried=self.sought.candidates,
            explained=len(self.explained),
            findings=tuple(self.findings),
            examined=tuple(self.examined),
            quarantine=quarantine,
            notes=tuple(self._notes()),
        )

    def _notes(self) -> Iterator[str]:
        if self.sought.scheme.format == "opaque":
            yield "tokens of fewer than 6 signs cannot be told from other text, and were not looked for"
        else:
            yield "numbers of fewer than 7 digits cannot be told from years and amounts, and were not looked for"
        if self.sought.unreadable:
            yield f"{self.sought.unreadable:,} of the numbers that were named cannot be read"

    def _rows(self, path: Path, table: str, file: StoreFile) -> None:
        """A file of rows: its columns one by one."""
        declared = self.store.policy.tables[table]
        with suppress(FileNotFoundError):  # a removal took it meanwhile
            own = own_columns(declared)
            for fault in row_faults(file.path, declared, self.store.number_count):
                own -= {fault.column}
                self.findings.append(
                    DoctorFinding(
                        kind=fault.kind,
                        place=self._name(path),
                        where=f"column {self.sought.without(fault.column)}",
                        why=_WHY[fault.kind],
                        fix="make a new store and ingest the files again; nothing of dpquery writes this",
                    )
                )
            self._texts(path, parquet_texts(path, own))

    def _file(self, path: Path, secret: str, *, amounts: bool = False, sought: SoughtNumbers | None = None) -> None:
        """Any other file: its name, and what is in it."""
        texts = [Text(path.name, "the name of the file", lambda: None)] if sought is None else []
        with suppress(FileNotFoundError):
            self._texts(path, _chained(texts, _holding(self, path, secret)), amounts=amounts, sought=sought)

    def _texts(
        self, path: Path, texts: Iterator[Text], *, amounts: bool = False, sought: SoughtNumbers | None = None
    ) -> None:
        found: dict[tuple[str, str], _Found] = {}
        looked_at = 0
        try:
            for text in texts:
                looked_at += 1
                for hit in (sought or self.sought).hits(text.text, amounts=amounts):
                    self._note(found, hit, text)
        except SealedError as error:
            self._not_examined(path, str(error))
        except (OSError, ValueError, EOFError, pa.ArrowException) as error:
            if isinstance(error, FileNotFoundError):
                raise
            self._not_examined(path, f"it cannot be read ({type(error).__name__})")
        self._report(self._name(path), found)
        self.examined.append(Examined(place=self._name(path), texts=looked_at))

    def _note(self, found: dict[tuple[str, str], _Found], hit: Hit, text: Text) -> None:
        if hit.kind == "explained":
            self.explained.add(hit.text)
            return
        key = (hit.kind, text.where)
        if key not in found:
            where = f"column {text.where}" if text.where and text.row() is not None else text.where
            where = self.sought.without(where)
            row = text.row()
            if row is not None:
                where = f"{where}, row {row:,}"
            if text.lines is not None:
                where = f"line {text.lines + hit.lines + 1:,}"
            found[key] = _Found(where, hit.shown)
        found[key].different.add(hit.text)

    def _report(self, name: str, found: dict[tuple[str, str], _Found]) -> None:
        for (kind, _), one in found.items():
            erased = kind == "erased number"
            self.findings.append(
                DoctorFinding(
                    kind="erased number" if erased else "number",
                    place=name,
                    where=one.first or None,
                    shown=one.shown,
                    times=len(one.different),
                    why="a number that was erased stands here in the clear"
                    if erased
                    else "a number stands here in the clear",
                    fix="remove it there" if erased else "remove it there; if dpquery wrote it, report that",
                )
            )

    def _not_examined(self, path: Path, why: str) -> None:
        self.findings.append(
            DoctorFinding(
                kind="not examined",
                place=self._name(path),
                why=f"nobody can tell what it holds: {why}",
                fix="move it elsewhere, or unpack it and look there",
            )
        )

    def _ledger(self) -> None:
        """Every value in the ledger's database."""
        found: dict[tuple[str, str], _Found] = {}
        looked_at = 0
        try:
            with Ledger.open(ledger_place(self.store)) as ledger:
                for value in ledger.values():
                    looked_at += 1
                    where = f"table {value.table}, column {value.column}, row {value.row:,}"
                    for hit in self._in_value(value.value):
                        self._note(found, hit, Text("", f"{value.table}.{value.column}", lambda: None))
                        known = found.get((hit.kind, f"{value.table}.{value.column}"))
                        if known is not None and len(known.different) == 1:
                            known.first = where
        except LedgerError as error:
            fix = error.fix or "dpquery ledger verify DIR"
            self.findings.append(
                DoctorFinding(kind="ledger", place="ledger", why=f"{error.code}: it cannot be read", fix=fix)
            )
        self._report("ledger", found)
        self.examined.append(Examined(place="ledger", texts=looked_at))

    def _in_value(self, value: object) -> list[Hit]:
        if isinstance(value, int):
            hit = self.sought.amount(value)
            return [] if hit is None else [hit]
        text = bytes(value).decode("utf-8", "replace") if isinstance(value, bytes | memoryview) else str(value)
        return self.sought.hits(text, amounts=True)

    def _condition(self, keys: Sequence[Path]) -> None:
        store = self.store
        inside: list[Path] = [store.folder, *store.folder.rglob("*")]
        inside += [store.quarantine, *store.quarantine.rglob("*")] if store.quarantine.is_dir() else []
        for path, mode in condition.open_to_others(iter((*inside, *keys))):
            self.findings.append(
                DoctorFinding(
                    kind="open to others",
                    place=self._name(path),
                    why="group or others of this machine have rights on it",
                    fix=f"chmod {mode} {self._name(path)}",
                )
            )
        self.findings += condition.key_faults(store, self.key_copies)
        self.findings += condition.retention_faults(store, self.at)
        self.findings += condition.leftover_faults(store)

    def _name(self, path: Path) -> str:
        inside = path.is_relative_to(self.store.folder)
        return self.sought.without(str(path.relative_to(self.store.folder) if inside else path)) or "."


_WHY = {
    "undeclared column": "the policy declares no such column",
    "not a code": "it holds something else than codes of numbers",
    "finer than declared": "its times are finer than the grain that the policy declares",
}


def _files(place: Path) -> list[Path]:
    """The files at a path, in order; a link is not followed."""
    if place.is_symlink() or place.is_file():
        return [] if place.is_symlink() else [place]
    return sorted(path for path in place.rglob("*") if path.is_file() and not path.is_symlink())


def _chained(first: list[Text], rest: Iterator[Text]) -> Iterator[Text]:
    yield from first
    yield from rest


def _holding(examination: _Examination, path: Path, secret: str) -> Iterator[Text]:
    """The texts of a file; a copy of the store's key among them is noted."""
    noted = False
    for text in texts_of(path):
        if not noted and secret in text.text:
            examination.key_copies.append(examination._name(path))  # noqa: SLF001 - a part of it
            noted = True
        yield text
