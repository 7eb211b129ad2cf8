"""A place for a fresh ledger in each store that is tested, so that one test runs on all of them."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from postgres_server import server

from dpquery.accounting import Cap
from dpquery.ledger import Grant, Ledger, Scope, make_steward_key
from dpquery.ledger.bodies import ChargeBody, decode
from dpquery.ledger.entries import release_name
from dpquery.ledger.ledger import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from dpquery.ledger import StoredRelease

STORES = ("sqlite", "postgresql")
"""Kinds of store: what tests are parametrized with."""

IN_MEMORY = Path("/dev/shm")  # noqa: S108 - private folders are made inside


@dataclass(frozen=True, slots=True)
class Place:
    """Where a ledger is, or will be; holds nothing open."""

    where: Path | str
    steward_key: Path

    def create(self, grants: Sequence[Grant] = (), *, now: Callable[[], datetime] = utc_now) -> Ledger:
        return Ledger.create(self.where, dataset="d", steward_key=self.steward_key, grants=grants, now=now)

    def open(self, *, now: Callable[[], datetime] = utc_now) -> Ledger:
        """The ledger as a process that has just started sees it."""
        return Ledger.open(self.where, now=now)

    def left_behind(self, folder: Path) -> Place:
        """What a process killed at this moment leaves, as a place of its own in the new folder `folder`.

        For a file that is a copy of it and of its hot journal: the kernel keeps what was written, and nothing else. A
        server rolls back what connections that are gone have left.
        """
        if isinstance(self.where, str):
            server().end_connections()
            return self
        folder.mkdir(mode=0o700)
        for file in self.where.parent.iterdir():
            if file.name.startswith(self.where.name):
                shutil.copy2(file, folder)
        return replace(self, where=folder / self.where.name)


def fresh_place(folder: Path, store: str = "sqlite") -> Place:
    """A place without a ledger yet, with a steward's key beside it."""
    assert store in STORES
    key = folder / "steward.key"
    make_steward_key(key)
    return Place(folder / "ledger.sqlite" if store == "sqlite" else server().fresh_url(), key)


@contextmanager
def quick_folder() -> Iterator[Path]:
    """A private folder without the wait for a disk: a killed process loses nothing that it had written there."""
    base = IN_MEMORY if IN_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="dpquery-ledger-", dir=base) as folder:
        yield Path(folder)


def newest_stored(ledger: Ledger, question: str) -> StoredRelease | None:
    """The newest release that is stored for a question, whatever it was asked at."""
    charged = [(entry, body) for entry in ledger.entries() if isinstance(body := decode(entry), ChargeBody)]
    of_it = [(body.asker, release_name(entry.hash)) for entry, body in charged if body.question == question]
    found = (ledger.find_named(asker, release) for asker, release in reversed(of_it))
    return next((stored for stored in found if stored is not None), None)


def pure_grants(epsilon: int, *names: str) -> list[Grant]:
    """A cap of `epsilon` nano for the dataset and each analyst, in every block."""
    scopes = (Scope("dataset"), *(Scope("analyst", name) for name in names))
    return [Grant(scope, "*", Cap(epsilon, 0, 0, 0, 0), "test", "steward") for scope in scopes]
