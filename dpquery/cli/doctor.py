"""`dpquery doctor`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dpquery.cli.output import note
from dpquery.errors import UsageError
from dpquery.stewardship import steward

if TYPE_CHECKING:
    from dpquery.documents import DoctorDocument, DoctorFinding

OK, FOUND = 0, 5


def run_doctor(folder: Path, *, json: bool, numbers: str | None, also: tuple[Path, ...]) -> int:
    """Examine the store, and say what was found; 5 if anything was."""
    found = steward(folder).doctor(also=also, numbers=_lines(numbers))
    if json:
        print(found.model_dump_json(by_alias=True))
    else:
        show(found)
    return OK if found.clean else FOUND


def show(found: DoctorDocument) -> None:
    """Findings first, then what was looked at."""
    for finding in found.findings:
        print(_line(finding))
        print(f"    {finding.why}")
        print(f"    fix  {finding.fix}")
    texts = sum(each.texts for each in found.examined)
    note(
        f"{found.dataset}: {found.numbers:,} numbers looked for in {len(found.examined):,} places, {texts:,} texts; "
        f"{found.tried:,} stretches read as numbers, {found.explained:,} of them are the policy's own"
    )
    if found.quarantine is not None:
        held = found.quarantine
        note(
            f"quarantine: {held.place}, mode {held.mode}, {held.files:,} files, {held.bytes:,} bytes, "
            f"since {held.oldest}: the one place that may hold numbers"
        )
    for text in found.notes:
        note(f"note: {text}")
    note("clean: no number stands in the clear" if found.clean else f"{len(found.findings):,} findings")


def _line(finding: DoctorFinding) -> str:
    where = f", {finding.where}" if finding.where else ""
    shown = f": {finding.shown}" if finding.shown else ""
    times = f", and {finding.times - 1:,} more" if finding.times > 1 else ""
    return f"{finding.kind}  {finding.place}{where}{shown}{times}"


def _lines(source: str | None) -> list[str]:
    """The lines of a file, or of standard input."""
    if source is None:
        return []
    if source == "-":
        return sys.stdin.read().splitlines()
    try:
        return Path(source).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "DPQ-002", f"{source} cannot be read ({type(error).__name__})", fix="--numbers FILE, one number a line"
        ) from None
