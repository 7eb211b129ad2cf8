"""Policy text to a checked Policy; each fault named with file, line and cure."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from dpquery.errors import PolicyError, Span
from dpquery.policy.links import broken_links
from dpquery.policy.model import Policy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydantic_core import ErrorDetails

Path_ = tuple[str | int, ...]

_HEADER = re.compile(r"^\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(#.*)?$")
_ASSIGNMENT = re.compile(r"^\s*((?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*)\s*=")
_PART = re.compile(r"[\w-]+|\"[^\"]*\"|'[^']*'")


def load_policy(path: Path) -> Policy:
    """Read and check the policy file at `path`; PolicyError lists every fault with its line and cure."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        missing = isinstance(error, FileNotFoundError)
        why = f"there is no file {path}" if missing else f"{path} cannot be read as UTF-8 text"
        raise PolicyError("DPQ-301", why, fix="name a policy file; the demo's is a model to copy") from None
    return parse_policy(text, name=str(path))


def parse_policy(text: str, *, name: str = "policy.toml") -> Policy:
    """Check policy text; `name` is how errors call the file."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PolicyError("DPQ-301", f"{name}: not TOML: {error}", fix="mend the line named above") from error
    try:
        policy = Policy.model_validate(raw)
    except ValidationError as error:
        faults = [(_path(detail), _complaint(detail), _cure(detail)) for detail in _telling(error.errors())]
        raise _policy_error(faults, text, name) from None
    faults = broken_links(policy)
    if faults:
        raise _policy_error(faults, text, name)
    return policy


def policy_schema() -> dict[str, Any]:
    """JSON Schema of the policy file, for editors."""
    return Policy.model_json_schema(by_alias=True)


def line_of(path: Path_, text: str) -> int:
    """Line (from 1) where the deepest part of `path` that stands in `text` is written.

    tomllib keeps no positions, so headers and assignments are found by their spelling; inline tables by the line
    of the assignment that holds them.
    """
    wanted = tuple(str(part) for part in path if not isinstance(part, int))
    best, best_length = 1, 0
    header: tuple[str, ...] = ()
    for number, line in enumerate(_lines(text), start=1):
        found: tuple[str, ...]
        if match := _HEADER.match(line):
            found = header = _parts(match.group(1))
        elif match := _ASSIGNMENT.match(line):
            found = header + _parts(match.group(1))
        else:
            continue
        length = next(
            (i for i, (a, b) in enumerate(zip(found, wanted, strict=False)) if a != b), min(len(found), len(wanted))
        )
        if length == len(found) and length > best_length:
            best, best_length = number, length
    return best


def _lines(text: str) -> list[str]:
    """Lines as TOML and editors count them: other characters that Python splits at may stand in a comment."""
    return [line.removesuffix("\r") for line in text.split("\n")]


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(text))


def _policy_error(faults: Sequence[tuple[Path_, str, str]], text: str, name: str) -> PolicyError:
    lines = _lines(text)
    located = sorted((line_of(path, text), ".".join(str(p) for p in path), why, cure) for path, why, cure in faults)
    why = "\n".join(f"{name}:{line}: {path}: {complaint}" for line, path, complaint, _ in located)
    fix = "\n".join(f"line {line}: {cure}" for line, _, _, cure in located)
    first = located[0][0]
    where = Span(first, 1, len(lines[first - 1]) + 1)
    return PolicyError("DPQ-302", why, fix=fix, where=where, source=text)


def _telling(errors: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """One complaint per place: a union of types complains once for each of its members."""
    seen: dict[Path_, ErrorDetails] = {}
    for detail in errors:
        seen.setdefault(_path(detail), detail)
    return list(seen.values())


def _path(detail: ErrorDetails) -> Path_:
    """The place in the file; pydantic's names of union members (`KeyRange`, `tuple[str, ...]`) are not part of it."""
    return tuple(part for part in detail["loc"] if isinstance(part, int) or not re.search(r"[\[\(]|^[A-Z]\w+$", part))


def _complaint(detail: ErrorDetails) -> str:
    match detail["type"]:
        case "extra_forbidden":
            return "there is no such field"
        case "missing":
            return "this field is missing"
        case "value_error":
            return detail["msg"].removeprefix("Value error, ").partition("\n")[0]
        case _:
            return detail["msg"][0].lower() + detail["msg"][1:]


def _cure(detail: ErrorDetails) -> str:
    field = str(_path(detail)[-1]) if _path(detail) else "the file"
    match detail["type"]:
        case "extra_forbidden":
            return f"remove {field}, or see `dpquery policy schema` for the names that exist"
        case "missing":
            return f"add {field} = ..."
        case "value_error":
            return detail["msg"].partition("\n")[2]
        case _:
            return f"write {field} as `dpquery policy schema` describes it"
