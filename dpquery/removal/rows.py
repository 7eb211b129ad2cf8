"""Rows out of a store, in one step that is whole or not there."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dpquery.errors import InternalError, StoreError
from dpquery.ingest import leftovers
from dpquery.ingest.block_files import ROW_GROUP_ROWS, ParquetDraft, move_into_place, write_parquet
from dpquery.store.lock import exclusive
from dpquery.store.manifest import write_manifest
from dpquery.store.private_files import make_private_folder, sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from dpquery.store import Store
    from dpquery.store.manifest import FileEntry

Flags = np.ndarray[Any, np.dtype[np.bool_]]
Test: TypeAlias = "Callable[[pa.RecordBatch], Flags]"

_REVISED = re.compile(r"(?P<stem>.*)-r(?P<revision>[0-9]+)")


def remove(store: Store, choose: Callable[[Removal], None]) -> Counter[str]:
    """Take out of `store` what `choose` names, all of it or nothing; the number of rows that went, by table.

    The order of the rows that stay, their batches and codes, and the data version are what they were. Whoever reads
    meanwhile has the files of before or of after. StoreError DPQ-506: somebody else is writing; DPQ-514: the disk
    refused. After an error, and after a kill at any moment, the store is as it was, or has it all done.
    """
    with exclusive(store.folder):
        store.reload()
        leftovers.clean(store)
        removal = Removal(store)
        try:
            make_private_folder(removal.work)
            choose(removal)
            removal.commit()
        except OSError as error:
            stopped: StoreError | InternalError = _refused(error, done=removal.done)
        except pa.ArrowException as error:
            why = f"internal invariant broken: stored rows can be read ({type(error).__name__})"
            stopped = InternalError("DPQ-001", why, fix="report this; the store is as it was")
        else:
            return removal.rows
        finally:
            shutil.rmtree(removal.work, ignore_errors=True)
        # Raised out here: Arrow quotes values, and a handler would keep its error as context.
        raise stopped


def _refused(error: OSError, *, done: bool) -> StoreError:
    why = error.strerror or type(error).__name__
    if done:
        return StoreError(
            "DPQ-514",
            f"the rows are out of the store, but their old files could not be deleted: {why}",
            fix="mend the disk and run it again: it deletes them",
        )
    return StoreError(
        "DPQ-514",
        f"the removal stopped and the store is as it was: {why}",
        fix="free some disk space, or mend the disk, and run it again",
    )


@dataclass(slots=True)
class Removal:
    """One removal under way: new files in the store's work folder, and which old ones they stand for."""

    store: Store
    rows: Counter[str] = field(default_factory=Counter)
    """Rows that go, by table."""
    done: bool = False
    """Whether the manifest has made it so."""
    _replaced: dict[str, str | None] = field(default_factory=dict)
    _tombstones: str | None = None

    @property
    def work(self) -> Path:
        return self.store.folder / leftovers.WORK

    def drop(
        self, table: str, columns: Sequence[str], gone: Test, *, within: Callable[[FileEntry], bool] = lambda _: True
    ) -> None:
        """Take the rows out of `table` for which `gone` is true of a batch of these `columns`.

        Files for which `within` is false are not looked at.
        """
        for entry in self.store.manifest.tables.get(table, ()):
            if within(entry):
                self._drop(table, entry, list(columns), gone)

    def put_segment(self, name: str, numbers: pa.Table) -> None:
        """Put `numbers` in the place of the dictionary's segment `name`."""
        self._replaced[name] = self._written(revised(name), numbers)

    def put_tombstones(self, table: pa.Table) -> None:
        """Put `table` in the place of all tombstones."""
        old = self.store.manifest.tombstones
        self._tombstones = self._written(
            f"{leftovers.TOMBSTONES}/000001.parquet" if old is None else revised(old), table
        )

    def commit(self) -> None:
        """New files, then the manifest, have reached the disk; then the old files go."""
        manifest = self.store.manifest
        names = [name for name in (*self._replaced.values(), self._tombstones) if name is not None]
        if not self._replaced and not names:
            return
        targets = [self.store.folder / name for name in names]
        for name, target in zip(names, targets, strict=True):
            move_into_place(self._draft(name), target)
        for folder in {target.parent for target in targets}:
            sync_folder(folder)
        sync_folder(self.store.folder)
        after = manifest.with_replaced(self._replaced, self._tombstones)
        write_manifest(self.store.folder, after)
        self.store.manifest, self.done = after, True
        old = [self.store.folder / name for name in manifest.names - after.names]
        for file in old:
            file.unlink(missing_ok=True)
        for folder in {file.parent for file in old}:
            sync_folder(folder)

    def _drop(self, table: str, entry: FileEntry, columns: list[str], gone: Test) -> None:
        with pq.ParquetFile(self.store.folder / entry.name) as file:
            rows = file.metadata.num_rows
            going = sum(int(gone(batch).sum()) for batch in file.iter_batches(ROW_GROUP_ROWS, columns=columns))
            if not going:
                return
            self.rows[table] += going
            if going == rows:
                self._replaced[entry.name] = None
                return
            name = revised(entry.name)
            with ParquetDraft(self._draft(name), file.schema_arrow) as draft:
                for batch in file.iter_batches(ROW_GROUP_ROWS):
                    draft.add(batch.filter(pa.array(~gone(batch.select(columns)))))
                draft.finish()
            self._replaced[entry.name] = name

    def _written(self, name: str, table: pa.Table) -> str:
        write_parquet(self._draft(name), table)
        return name

    def _draft(self, name: str) -> Path:
        return self.work / name.replace("/", "-")


def revised(name: str) -> str:
    """The name of a file's next revision: a manifest never gives a name to two contents."""
    stem = name.removesuffix(".parquet")
    before = _REVISED.fullmatch(stem)
    if before is None:
        return f"{stem}-r1.parquet"
    return f"{before['stem']}-r{int(before['revision']) + 1}.parquet"
