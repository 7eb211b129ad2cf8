"""`kill -9` at any moment of a query: the store opens, and the charge is in the ledger or the query did not run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from planning import POLICY
from stores import made_up_calls, make_store

from dpquery.ledger import Ledger

ASKER = textwrap.dedent(
    """
    import sys
    import dpquery
    db = dpquery.connect(sys.argv[1], analyst="ana", purpose="network_planning")
    query = db.sql("SELECT cell_id, COUNT(*) AS n FROM calls GROUP BY cell_id")
    print("ready", flush=True)
    sys.stdin.readline()
    for turn in range(1000):
        release = query.run(epsilon=0.000001, fresh=True)
        print(release.release_id, flush=True)
    """
)


def killed_after(folder: Path, seconds: float) -> list[str]:
    """Names of the releases that a process had handed out when it was killed."""
    asker = subprocess.Popen(
        [sys.executable, "-c", ASKER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with asker:
        assert asker.stdout is not None
        assert asker.stdin is not None
        assert asker.stdout.readline().strip() == "ready"
        asker.stdin.write("go\n")
        asker.stdin.flush()
        # The first answer loads the compiled kernels, which takes longer than all that follows.
        first = "" if seconds < 0.1 else asker.stdout.readline()
        time.sleep(seconds)
        os.kill(asker.pid, signal.SIGKILL)
        out = first + asker.stdout.read()
    return out.splitlines(keepends=True)


def check_rounds(tmp_path: Path, rounds: int) -> None:
    made = make_store(tmp_path, POLICY, made_up_calls(300))
    rng = random.Random(7)
    handed_out: set[str] = set()
    for _ in range(rounds):
        lines = killed_after(made.folder, rng.uniform(0.01, 0.35))
        handed_out |= {line.strip() for line in lines if line.endswith("\n")}
        with Ledger.open(made.folder / "ledger.sqlite") as ledger:
            ledger.verify()
            charged = sum(entry.kind == "charge" for entry in ledger.entries())
            answered = sum(entry.kind == "release" for entry in ledger.entries())
            assert charged >= answered >= len(handed_out)
        made.connect().sql("SELECT COUNT(*) FROM calls").run(epsilon=0.000001, fresh=True)
    assert handed_out


def test_a_killed_query_was_charged_or_did_not_run(tmp_path: Path) -> None:
    check_rounds(tmp_path, 6)


@pytest.mark.slow
def test_many_killed_queries(tmp_path: Path) -> None:
    check_rounds(tmp_path, 60)
