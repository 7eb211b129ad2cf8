from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from dpquery.errors import InternalError
from dpquery.numbers.canonical import NumberScheme, canonicalise
from dpquery.numbers.pool import NumberParser, Spelling

SCHEME = NumberScheme(regions=(("GB-LND", ("+4420",)),))
SPELLINGS: list[Spelling] = [
    ("020 7946 0000", "GB"),
    ("020 7946 0000", None),
    ("anonymous", None),
    ("", "GB"),
    ("112", "FR"),
    ("020 7946 0000", "GB"),
]


def test_order_and_repeats_are_kept() -> None:
    with NumberParser(SCHEME) as parser:
        found = parser.parse(SPELLINGS)
        assert parser.parse([]) == []
    assert found == [canonicalise(raw, region, SCHEME) for raw, region in SPELLINGS]
    assert found[0] is found[5]


def test_processes_find_the_same() -> None:
    """Also a second time with the same processes."""
    raws = SPELLINGS + [(f"020 7946 {tail:04}", "GB") for tail in range(9000)]
    expected = [canonicalise(raw, region, SCHEME) for raw, region in raws]
    with NumberParser(SCHEME, processes=2, pool_min=100) as parser:
        assert parser.parse(raws) == expected
        assert len(parser._workers) == 2
        assert parser.parse(raws[::-1]) == expected[::-1]
    assert not parser._workers


def test_few_spellings_start_no_process() -> None:
    with NumberParser(SCHEME, processes=2) as parser:
        parser.parse(SPELLINGS)
        assert not parser._workers


def test_a_killed_worker_costs_time_only() -> None:
    raws: list[Spelling] = [(f"020 7946 {tail:04}", "GB") for tail in range(5000)]
    with NumberParser(SCHEME, processes=2, pool_min=100) as parser:
        expected = parser.parse(raws)
        assert parser._workers
        for worker in parser._workers:
            os.kill(worker.pid, signal.SIGKILL)
        assert parser.parse(raws) == expected


def test_no_process_is_a_bug() -> None:
    with pytest.raises(InternalError):
        NumberParser(SCHEME, processes=0)


PARENT = textwrap.dedent(
    """
    import sys, time
    from dpquery.numbers.canonical import NumberScheme
    from dpquery.numbers.pool import NumberParser

    # No __main__ guard: a worker must never run the caller's script again, for the script may spend budget.
    with NumberParser(NumberScheme(), processes=2, pool_min=1) as parser:
        parser.parse([(str(n), None) for n in range(20_000)])
        print(*(worker.pid for worker in parser._workers), flush=True)
        time.sleep(60)
    """
)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(tmp_path: Path, end: signal.Signals) -> None:
    """However the parent ends, its workers are gone within seconds; Ctrl-C is shown once, by the parent."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    with parent:
        assert parent.stdout is not None
        assert parent.stderr is not None
        workers = [int(word) for word in parent.stdout.readline().split()]
        assert len(workers) == 2
        if end == signal.SIGINT:
            os.killpg(parent.pid, end)  # the whole group, as a terminal does; the group is our own new session
        else:
            parent.send_signal(end)
        parent.wait(timeout=20)
        deadline = time.monotonic() + 20
        while any(map(is_running, workers)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not any(map(is_running, workers))
        if end == signal.SIGINT:
            assert parent.stderr.read().count("KeyboardInterrupt") == 1


def is_running(process: int) -> bool:
    """An ended process whose new parent has not yet taken notice counts as ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
