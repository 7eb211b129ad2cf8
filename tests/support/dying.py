"""A process that dies at a chosen step of what it does to the disk: nothing that it would do afterwards is done."""

from __future__ import annotations

import os
import pathlib
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STEPS = (
    (os, "fsync"),
    (os, "replace"),
    (pathlib.Path, "replace"),
    (pathlib.Path, "unlink"),
    (shutil, "rmtree"),
)
"""What changes the disk for good. Before each of them, and after, a process may be killed."""


class Died(BaseException):
    """Not an Exception: nothing on the way may catch it."""


class Disk:
    """Counts steps; dies, or refuses with an error, at the one that is asked for."""

    def __init__(self, at: int | None, *, refuses: bool = False) -> None:
        self.at = at
        self.steps = 0
        self.dead = False
        self.refuses = refuses

    def step(self, function: Callable[..., Any], *given: Any, **named: Any) -> Any:
        if self.dead:
            raise Died
        here, self.steps = self.steps, self.steps + 1
        if self.at is None or here != self.at // 2:
            return function(*given, **named)
        if self.refuses:
            raise OSError(28, "No space left on device")
        if self.at % 2:
            function(*given, **named)
        self.dead = True
        raise Died


@contextmanager
def disk(at: int | None, *, refuses: bool = False) -> Iterator[Disk]:
    """A block whose steps are counted, and that dies at point `at`: step number at // 2, before it or after it."""
    found = Disk(at, refuses=refuses)
    patches = []
    for owner, name in STEPS:
        function = getattr(owner, name)

        def stepped(*given: Any, _function: Callable[..., Any] = function, **named: Any) -> Any:
            return found.step(_function, *given, **named)

        patches.append(mock.patch.object(owner, name, stepped))
    for patch in patches:
        patch.start()
    try:
        yield found
    finally:
        for patch in patches:
            patch.stop()
