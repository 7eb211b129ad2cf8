"""Clients as forked processes, which may be killed. Forked from a process with one thread and no open ledger."""

from __future__ import annotations

import gc
import os
import signal
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

Tell: TypeAlias = "Callable[[str], None]"


@dataclass(frozen=True, slots=True)
class Client:
    """A process under way, and the pipe on which it tells what it did."""

    pid: int
    told: int

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def finish(self) -> tuple[int, list[str]]:
        """Exit status (minus the signal that ended it), and the whole lines that it told."""
        with os.fdopen(self.told, encoding="utf-8") as pipe:
            text = pipe.read()
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status), text.splitlines()[: text.count("\n")]


def forked(act: Callable[[Tell], None]) -> Client:
    """A client that does `act`, which may tell lines; each is told for good once the call returns."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid != 0:
        os.close(writing)
        return Client(pid, reading)
    status = 1
    try:
        os.close(reading)
        act(lambda line: _write(writing, line))
        status = 0
    except BaseException:  # noqa: BLE001 - it is shown, and the parent sees the exit status
        traceback.print_exc()
    finally:
        os._exit(status)


def ready() -> None:
    """Once, before the first fork: what is never collected stays shared with the processes that are forked."""
    gc.collect()
    gc.freeze()


def told(act: Callable[[Tell], None]) -> list[str]:
    """What a process of its own tells that does `act` and ends well."""
    status, lines = forked(act).finish()
    assert status == 0, status
    return lines


def _write(descriptor: int, line: str) -> None:
    os.write(descriptor, f"{line}\n".encode())
