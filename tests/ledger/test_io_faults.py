"""Every system call of every act fails once, is cut short, or is the last: the ledger stays whole, and says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import fault_sweep
import pytest
from ledgers import quick_folder

SHIM = Path(__file__).with_name("fault_shim.c")


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled shim; skips where there is no compiler, or preloading has no effect."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("shim") / "fault_shim.so"
    command = [
        compiler,
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-shared",
        "-fPIC",
        "-o",
        str(library),
        str(SHIM),
        "-ldl",
    ]
    subprocess.run(command, check=True, capture_output=True)
    probe = f"""
import ctypes, sys
from pathlib import Path
ctypes.CDLL({str(library)!r}).fault_arm(b{str(library.parent)!r}, 1, 1)
Path({str(library.parent / "probe")!r}).write_text("x")
"""
    done = subprocess.run(
        [sys.executable, "-c", probe], env=preloaded(library), check=False, capture_output=True, text=True
    )
    if "Input/output error" not in done.stderr:
        pytest.skip("a preloaded library has no effect on this Python")
    return library


def preloaded(library: Path) -> dict[str, str]:
    support = Path(fault_sweep.__file__).parent
    return {**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": str(support)}


@pytest.mark.parametrize("act", fault_sweep.NAMES)
def test_the_ledger_is_whole_after_a_fault_at_any_call(shim: Path, act: str) -> None:
    with quick_folder() as folder:
        command = [sys.executable, fault_sweep.__file__, str(shim), str(folder), act]
        done = subprocess.run(command, env=preloaded(shim), check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    calls = done.stdout.strip()
    assert {"o", "w", "s"} <= set(calls) <= set(fault_sweep.FAULTS)
    assert calls.count("w") >= 5, calls
