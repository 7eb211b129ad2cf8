"""The benchmarks' command runs, and writes what it promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ROWS = 20_000
FIELDS = {"work", "rows", "system", "seconds", "ratio", "reach", "error", "rss_mb"}

Line = dict[str, Any]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Line]]:
    folder = tmp_path_factory.mktemp("benchmark")
    file = folder / "results.json"
    command = [sys.executable, "-m", "benchmarks", "--rows", str(ROWS), "--repeat", "1", "--dir", str(folder / "data")]
    done = subprocess.run([*command, "--json", str(file)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(file.read_text(encoding="utf-8"))


def _of(lines: list[Line], work: str) -> dict[str, Line]:
    return {line["system"]: line for line in lines if line["work"] == work}


def test_every_line_has_exactly_the_promised_fields(run: tuple[str, list[Line]]) -> None:
    _, lines = run
    assert {line["work"] for line in lines} == {"generate", "ingest", "W1", "W6"}
    for line in lines:
        assert set(line) == FIELDS
        assert line["rows"] == ROWS
        assert line["seconds"] > 0.0


@pytest.mark.parametrize(("work", "reach"), [("W1", 2.0), ("W6", 4.5)])
def test_answers_are_compared_with_the_plain_query(run: tuple[str, list[Line]], work: str, reach: float) -> None:
    systems = _of(run[1], work)
    plain = systems["plain duckdb"]
    assert plain["ratio"] == 1.0
    assert plain["error"] == 0.0
    for bounds in ("policy", "large"):
        private = systems[f"dpquery, {bounds} bounds"]
        assert private["ratio"] == pytest.approx(private["seconds"] / plain["seconds"])
        assert private["reach"] == reach
        assert private["error"] > 0.0
        assert private["rss_mb"] > 0.0
        for part in ("ledger writes", "noise"):
            apart = systems[f"dpquery, {bounds} bounds: {part}"]
            assert apart["seconds"] > 0.0
            assert apart["ratio"] is None


def test_phases_report_their_own_memory(run: tuple[str, list[Line]]) -> None:
    for work in ("generate", "ingest"):
        (line,) = _of(run[1], work).values()
        assert line["rss_mb"] > 0.0


def test_the_machine_and_both_tables_are_shown(run: tuple[str, list[Line]]) -> None:
    shown, _ = run
    for text in ("cores", "python", "opendp", "ratio to plain", "wait for scan", "in quarantine"):
        assert text in shown


def test_a_folder_in_use_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept", encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks", "--rows", "1000", "--dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
