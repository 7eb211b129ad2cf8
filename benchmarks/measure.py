"""Runs each phase in a process of its own, so that its peak memory is its own, and takes medians."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from benchmarks.works import ALL_BOUNDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.systems import Counts, Plain, Private, PrivateRun, Stages
    from benchmarks.works import Bounds, Work

    _Measured = tuple[PrivateRun, Stages]

Given = ParamSpec("Given")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class PrivateTimes:
    """Medians of one private system, in seconds, and its error."""

    system: str
    total: float
    without_ledger: float
    charge: float
    record: float
    error: float
    """Mean over answers and cells of |answer - plain| / plain, cells without rows left out."""
    stages: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class WorkTimes:
    """Medians of one work."""

    plain_system: str
    plain: float
    """Seconds."""
    private: tuple[PrivateTimes, ...]


def apart(function: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> tuple[Result, float]:
    """What `function` gives in a new process, and the peak memory of that process in MB (10^6 bytes).

    Processes that the function itself starts are not in the peak.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        result = pool.submit(function, *args, **kwargs).result()
        return result, pool.submit(peak_mb).result()


def peak_mb() -> float:
    """The most memory that this process has ever had resident, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    found = next(line for line in lines if line.startswith("VmHWM:"))
    return int(found.split()[1]) * 1024 / 1e6


def time_work(folder: Path, work: Work, repeat: int) -> WorkTimes:
    """Plain and private by turns, `repeat` times, after one turn that warms caches and compiles kernels.

    Each answer is followed by its steps one by one, so that both meet the same load of the machine.
    """
    from benchmarks.systems import Plain, Private

    plain = Plain(folder, work)
    private = tuple(Private(folder, work, bounds) for bounds in ALL_BOUNDS)
    _turn(plain, private)
    turns = [_turn(plain, private) for _ in range(repeat)]
    truth = turns[0][1]
    return WorkTimes(
        plain.name,
        median(seconds for seconds, _, _ in turns),
        tuple(
            _medians(system.name, truth, [pairs[index] for _, _, pairs in turns])
            for index, system in enumerate(private)
        ),
    )


def run_once(folder: Path, work: Work, bounds: Bounds | None) -> None:
    """One answer and nothing else: by DuckDB without bounds, by dpquery with them."""
    from benchmarks.systems import Plain, Private

    if bounds is None:
        Plain(folder, work).run()
    else:
        Private(folder, work, bounds).run()


def mean_relative_error(counts: Counts, truth: Counts) -> float:
    """Mean over the regions with rows of |counts - truth| / truth."""
    return fmean(abs(counts[region] - rows) / rows for region, rows in truth.items() if rows)


def _turn(plain: Plain, private: tuple[Private, ...]) -> tuple[float, Counts, tuple[_Measured, ...]]:
    seconds, counts = plain.run()
    return seconds, counts, tuple((system.run(), system.stages()) for system in private)


def _medians(system: str, truth: Counts, measured: list[_Measured]) -> PrivateTimes:
    runs = [run for run, _ in measured]
    stages = [each for _, each in measured]
    names = stages[0].__slots__
    return PrivateTimes(
        system,
        total=median(run.total for run in runs),
        without_ledger=median(run.without_ledger for run in runs),
        charge=median(run.charge for run in runs),
        record=median(run.record for run in runs),
        error=fmean(mean_relative_error(run.counts, truth) for run in runs),
        stages={name: median(getattr(each, name) for each in stages) for name in names},
    )
