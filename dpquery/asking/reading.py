"""Reading rows for a charge while a steward removes some: old files or new ones, never a mixture."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from dpquery.errors import EngineError, broken

if TYPE_CHECKING:
    from collections.abc import Callable

    from dpquery.store import Store

TRIES = 5
"""Removals that one reader can be overtaken by."""

Answer = TypeVar("Answer")


def read_whole(store: Store, attempt: Callable[[], Answer]) -> Answer:
    """What `attempt` makes of the store's files, once more from the start if some of them went meanwhile.

    A manifest names all files of one moment, so an attempt reads these or fails. What a failed attempt drew is thrown
    away; that it failed follows from what the steward did, not from rows.
    """
    for number in range(TRIES):
        named = store.manifest.names
        try:
            return attempt()
        except (EngineError, FileNotFoundError):
            store.reload()
            if named <= store.manifest.names or number == TRIES - 1:
                raise
    broken("every attempt ends in an answer or an error")
