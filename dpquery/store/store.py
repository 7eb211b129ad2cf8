"""A store that is open: its policy, its manifest, its secret and where its files are."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from dpquery.errors import StoreError, ensure
from dpquery.policy import parse_policy
from dpquery.store.dictionary import read_segments
from dpquery.store.manifest import MANIFEST_FILE, Manifest, read_manifest, write_manifest
from dpquery.store.private_files import make_private_folder, refuse_shared, replace_file, sync_folder
from dpquery.store.relied_on import refuse_changed
from dpquery.store.secret import Secret, make_secret, pseudonym, read_secret

if TYPE_CHECKING:
    from collections.abc import Collection

    from dpquery.policy import Policy

POLICY_FILE = "policy.toml"
PUBLIC_LINES_FILE = "public_numbers.txt"


@dataclass(frozen=True, slots=True)
class StoreFile:
    """One file of private or public rows."""

    path: Path
    batch: int
    block: str
    """ "2026-01", or "all"."""


class Store:
    """An open store. `policy` and `manifest` are those of the last `reload`."""

    def __init__(self, folder: Path) -> None:
        """Use `open_store`: it says what must hold."""
        self.folder = folder
        self.policy: Policy
        self.manifest: Manifest
        self.public_lines: str | None
        self.reload()

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r}, dataset={self.manifest.dataset!r}, data_version={self.data_version})"

    @property
    def data_version(self) -> int:
        return self.manifest.data_version

    @property
    def number_count(self) -> int:
        """Codes given to numbers so far, public numbers among them: 0 to number_count - 1."""
        return self.manifest.number_count

    @property
    def key_file(self) -> Path:
        """The file with the secret, outside the store."""
        named = self.manifest.key_file
        return default_key_file(self.folder) if named is None else Path(named)

    @property
    def quarantine(self) -> Path:
        """The folder of rows that were not stored: the one place that holds numbers."""
        return self.folder.with_name(self.folder.name + ".quarantine")

    def secret(self) -> Secret:
        """The store's secret. StoreError DPQ-511 if the key file is missing or another store's."""
        secret = read_secret(self.key_file)
        if secret.check != self.manifest.key_check:
            raise StoreError(
                "DPQ-511", f"{self.key_file} is the key of another store", fix="put the store's own key file back"
            )
        return secret

    def pseudonym(self, canonical: str) -> bytes:
        """The 16 bytes that stand for the canonical number in the store."""
        return pseudonym(self.secret().key("pseudonym"), canonical)

    def files(self, table: str, blocks: Collection[str] | None = None) -> tuple[StoreFile, ...]:
        """The files of `table` in the store's order (batch, block); None: of all blocks. Empty if never ingested."""
        ensure(table in self.policy.tables, "files are asked for declared tables")
        entries = sorted(self.manifest.tables.get(table, ()))
        return tuple(
            StoreFile(self.folder / entry.name, entry.batch, entry.block)
            for entry in entries
            if blocks is None or entry.block in blocks
        )

    def public_keys(self, table: str) -> tuple[str, ...]:
        """Values of a public table's key column, sorted; none before its first ingest."""
        return self.public_rows(table)[self.policy.tables[table].key or ""]

    def public_rows(self, table: str) -> dict[str, tuple[Any, ...]]:
        """A public table column by column, in the order of its keys; no rows before its first ingest."""
        declared = self.policy.tables[table]
        if declared.key is None:
            raise StoreError("DPQ-501", f"{table} is not a public table", fix="name a table with public = true")
        files = self.files(table)
        if not files:
            return dict.fromkeys(declared.columns, ())
        read = pa.concat_tables([pq.read_table(file.path) for file in files]).sort_by(declared.key)
        return {name: tuple(read.column(name).to_pylist()) for name in declared.columns}

    def numbers(self) -> pa.Table:
        """The number dictionary in code order (columns: `dictionary.SCHEMA`)."""
        return read_segments([self.folder / name for name in self.manifest.number_segments])

    def reload(self) -> None:
        """Read policy and manifest again, and check again all that `open_store` checks."""
        manifest = read_manifest(self.folder)
        refuse_shared(self.folder, "the store")
        for path, what in (
            (self.folder / MANIFEST_FILE, "the manifest"),
            (self.quarantine, "the quarantine"),
            (default_key_file(self.folder) if manifest.key_file is None else Path(manifest.key_file), "the key file"),
        ):
            refuse_shared(path, what)
        policy = parse_policy(_read(self.folder / POLICY_FILE), name=str(self.folder / POLICY_FILE))
        lines = self.folder / PUBLIC_LINES_FILE
        public_lines = _read(lines) if lines.exists() else None
        refuse_changed(self.folder, policy, public_lines, manifest)
        self.policy, self.manifest, self.public_lines = policy, manifest, public_lines


def default_key_file(folder: Path) -> Path:
    """Where the key of a store is unless another place was named: beside it."""
    return folder.with_name(folder.name + ".key")


def create_store(
    folder: Path, policy_text: str, *, key_file: Path | None = None, public_lines: str | None = None
) -> Store:
    """Make an empty store at `folder`, which must not exist or be empty, and its key file outside of it.

    `public_lines` is the text of the file that `numbers.public_file` names. PolicyError for a faulty policy;
    StoreError DPQ-510 if something is in the way, DPQ-512 if the key would lie inside the store.
    """
    folder = folder.absolute()
    policy = parse_policy(policy_text)
    if (policy.numbers.public_file is None) != (public_lines is None):
        raise StoreError(
            "DPQ-513",
            "numbers.public_file names a file of public lines, and its text must come with the policy",
            fix="keep the file beside the policy, or list the lines in numbers.public_numbers",
        )
    key_path = default_key_file(folder) if key_file is None else key_file.absolute()
    if key_path.resolve().is_relative_to(folder.resolve()):
        raise StoreError(
            "DPQ-512",
            "the key file would lie inside the store, where a copy of the store takes it along",
            fix=f"--key-file {default_key_file(folder)}",
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError("DPQ-510", f"{folder} exists and is not empty", fix="name a new folder")
    make_private_folder(folder.parent)
    make_private_folder(key_path.parent)
    secret = make_secret(key_path)
    manifest = Manifest(
        dataset=policy.dataset,
        data_version=0,
        number_count=0,
        key_file=None if key_file is None else str(key_path),
        key_check=secret.check,
        tables={},
        number_segments=(),
        relied_on={},
        periods={},
        batches=(),
        created_on=datetime.now(UTC).date(),
    )
    # Made under another name and moved, so that a store is there whole or not at all.
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    replace_file(draft / POLICY_FILE, policy_text.encode())
    if public_lines is not None:
        replace_file(draft / PUBLIC_LINES_FILE, public_lines.encode())
    write_manifest(draft, manifest)
    os.rename(draft, folder)  # noqa: PTH104 - Path.rename reads the same, but only rename(2) is meant here
    sync_folder(folder.parent)
    return Store(folder)


def open_store(folder: Path) -> Store:
    """Open the store at `folder`.

    StoreError DPQ-501: there is none; DPQ-502: a newer program wrote it; DPQ-503: others can read it, its key or its
    quarantine; DPQ-504: its policy has changed under the rows. PolicyError: its policy is faulty.
    """
    return Store(folder.absolute())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(
            "DPQ-501", f"{path} cannot be read ({type(error).__name__})", fix="put the store's policy back"
        ) from None
