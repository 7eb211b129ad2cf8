"""Many spellings at once: each distinct one is read once, on all cores where that pays."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final, Self

from dpquery.errors import ensure
from dpquery.numbers.canonical import Number, NumberScheme, Unparsed, canonicalise
from dpquery.numbers.worker import unpack

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

Spelling = tuple[str, str | None]
"""A raw spelling and the default region it is read in."""

POOL_MIN: Final = 20_000
"""Distinct spellings from which processes pay: two take about as long to start as one needs to read these."""
_CHUNK: Final = 4_000


class NumberParser:
    """Reads spellings by one scheme; a context manager, as it may start processes.

    If processes cannot be had (a sandbox, a killed worker), the work is done here. They end with their parent, however
    it ends.
    """

    def __init__(self, scheme: NumberScheme, *, processes: int | None = None, pool_min: int = POOL_MIN) -> None:
        """At most `processes` (by default one per core that we may use), from `pool_min` distinct spellings on."""
        ensure(processes is None or processes >= 1, "a pool has at least one process")
        self._scheme = scheme
        self._processes = processes or _cores()
        self._pool_min = pool_min
        self._workers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def parse(self, raws: Sequence[Spelling]) -> list[Number | Unparsed]:
        """One result for each of `raws`, in order; equal spellings share one result."""
        distinct = list(dict.fromkeys(raws))
        worth_it = self._processes > 1 and len(distinct) >= self._pool_min
        results = self._parse_in_pool(distinct) if worth_it else self._parse_here(distinct)
        if len(distinct) == len(raws):
            return results
        known = dict(zip(distinct, results, strict=True))
        return [known[raw] for raw in raws]

    def _parse_here(self, distinct: Sequence[Spelling]) -> list[Number | Unparsed]:
        return [canonicalise(raw, region, self._scheme) for raw, region in distinct]

    def _parse_in_pool(self, distinct: Sequence[Spelling]) -> list[Number | Unparsed]:
        chunks = [list(distinct[start : start + _CHUNK]) for start in range(0, len(distinct), _CHUNK)]
        try:
            self._start()
            idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
            for worker in self._workers:
                idle.put(worker)

            def parse_chunk(chunk: list[Spelling]) -> list[Number | Unparsed]:
                worker = idle.get()
                try:
                    return [unpack(packed) for packed in _ask(worker, chunk)]
                finally:
                    idle.put(worker)

            with ThreadPoolExecutor(len(self._workers)) as threads:
                return [one for results in threads.map(parse_chunk, chunks) for one in results]
        except (OSError, EOFError, pickle.UnpicklingError):
            self._close()
            return self._parse_here(distinct)
        except BaseException:
            # A worker may be half way through an answer that nobody will read.
            self._close()
            raise

    def _start(self) -> None:
        while len(self._workers) < self._processes:
            worker = subprocess.Popen(
                # -P: not the folder we were started in, where a file may have a library's name
                [sys.executable, "-P", "-m", "dpquery.numbers.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            self._workers.append(worker)
            _send(worker, self._scheme)

    def _close(self) -> None:
        for worker in self._workers:
            worker.kill()
            worker.wait()
            for pipe in (worker.stdin, worker.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except OSError:
                        continue  # what was still to be sent to a dead worker
        self._workers = []


def _ask(worker: subprocess.Popen[bytes], chunk: list[Spelling]) -> list[tuple[Any, ...]]:
    _send(worker, chunk)
    ensure(worker.stdout is not None, "a worker has an output")
    answers: list[tuple[Any, ...]] = pickle.load(worker.stdout)  # type: ignore[arg-type]  # noqa: S301 - our own worker
    return answers


def _send(worker: subprocess.Popen[bytes], value: object) -> None:
    if worker.stdin is None:
        ensure(condition=False, invariant="a worker has an input")
        return
    pickle.dump(value, worker.stdin, protocol=5)
    worker.stdin.flush()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
