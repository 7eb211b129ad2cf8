"""The command: make the rows, ingest them, ask by turns, show and write what it took."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.data import FILES, STORE, generate_files, ingest_files
from benchmarks.measure import apart, run_once, time_work
from benchmarks.report import Breakdown, Line, show, write
from benchmarks.works import ALL_BOUNDS, EPSILON, TABLE, WORKS

if TYPE_CHECKING:
    from benchmarks.measure import PrivateTimes
    from benchmarks.works import Work


def main() -> None:
    """Run the benchmarks that the command line asks for."""
    options = _options()
    if options.dir is None:
        with tempfile.TemporaryDirectory(prefix="dpquery-benchmark-") as folder:
            _run(Path(folder), options)
    else:
        _run(options.dir.absolute(), options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="calls to make up")
    parser.add_argument("--seed", type=int, default=2026, help="of the made-up calls")
    parser.add_argument("--dir", type=Path, help="new folder for the files and the store, which stay there")
    parser.add_argument("--reuse", action="store_true", help="ask the store that an earlier run left in --dir")
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--repeat", type=int, default=3, help="answers of each system; medians are shown")
    options = parser.parse_args()
    if options.repeat < 1:
        parser.error("--repeat must be at least 1")
    if options.reuse and (options.dir is None or not (options.dir / STORE).is_dir()):
        parser.error("--reuse needs the --dir of an earlier run")
    if not options.reuse and options.dir is not None and options.dir.exists() and any(options.dir.iterdir()):
        parser.error(f"{options.dir} is not empty; name a new folder or add --reuse")
    if options.reuse:
        options.rows = _rows_in(options.dir)
    return options


def _rows_in(folder: Path) -> int:
    """How many calls an earlier run made up."""
    import pyarrow.parquet as pq

    return int(pq.read_metadata(folder / FILES / f"{TABLE}.parquet").num_rows)


def _run(folder: Path, options: argparse.Namespace) -> None:
    lines: list[Line] = []
    breakdowns: list[Breakdown] = []
    notes = [
        f"epsilon {EPSILON:g} an answer; median of {options.repeat}; plain and dpquery by turns, caches warm",
        "seconds of dpquery: from request to release, less the ledger's durable writes (charge with admission; record)",
        "bounds of a number: "
        + "; ".join(
            f"{bounds.label}: {bounds.max_rows_per_group} rows a region (one owner: {bounds.max_rows} in all)"
            for bounds in ALL_BOUNDS
        ),
        "stretch below 10^8 rows: " + ", ".join(f"{work.name} {work.stretch:g}x" for work in WORKS),
        "rest: what a whole answer took beyond the steps before it, which were run one by one right after it",
    ]
    if not options.reuse:
        prepared, ingested = _prepare(folder, options.rows, options.seed)
        lines += prepared
        notes.append(ingested)
    for work in WORKS:
        _say(f"asking {work.name}")
        found, steps = _ask(folder, work, options.rows, options.repeat)
        lines += found
        breakdowns += steps
    show(lines, breakdowns, notes)
    if options.json is not None:
        write(options.json, lines)


def _prepare(folder: Path, rows: int, seed: int) -> tuple[list[Line], str]:
    """Make the rows and the store; gives what it took."""
    _say(f"making up {rows:,} calls")
    seconds, peak = apart(generate_files, folder, rows, seed)
    lines = [Line("generate", rows, "demo generator", seconds, rss_mb=peak)]
    _say("ingesting them")
    ingested, peak = apart(ingest_files, folder)
    lines.append(Line("ingest", rows, "dpquery", ingested.seconds, rss_mb=peak))
    stages = ", ".join(f"{name} {spent:.1f} s" for name, spent in ingested.stages.items())
    return lines, (
        f"ingest: {ingested.rows_stored:,} rows stored, {ingested.rows_quarantined:,} in quarantine; {stages}"
    )


def _ask(folder: Path, work: Work, rows: int, repeat: int) -> tuple[list[Line], list[Breakdown]]:
    times, _ = apart(time_work, folder, work, repeat)
    _, peak = apart(run_once, folder, work, None)
    lines = [Line(work.name, rows, times.plain_system, times.plain, ratio=1.0, error=0.0, rss_mb=peak)]
    for bounds, private in zip(ALL_BOUNDS, times.private, strict=True):
        _, peak = apart(run_once, folder, work, bounds)
        lines += _lines(work, rows, private, times.plain, peak)
    return lines, [Breakdown(work.name, private.system, _steps(private)) for private in times.private]


def _lines(work: Work, rows: int, private: PrivateTimes, plain: float, peak: float) -> list[Line]:
    """The answer, and apart from it the ledger's writes and the noise that the answer's time includes."""
    seconds = private.without_ledger
    return [
        Line(work.name, rows, private.system, seconds, seconds / plain, work.reach_at(rows), private.error, peak),
        Line(work.name, rows, f"{private.system}: ledger writes", private.charge + private.record),
        Line(work.name, rows, f"{private.system}: noise", private.stages["noise"]),
    ]


def _steps(private: PrivateTimes) -> dict[str, float]:
    stages = private.stages
    steps = {
        "plan": stages["plan"],
        "wait for scan": stages["scan"],
        "kernel, batches": stages["batches"],
        "kernel, end": stages["bounding"],
        "noise": stages["noise"],
        "charge": private.charge,
        "record": private.record,
    }
    rest = private.total - sum(steps.values())
    return {**steps, "rest": rest, "all": private.total, "scan alone": stages["scan_alone"]}


def _say(text: str) -> None:
    print(f"· {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
