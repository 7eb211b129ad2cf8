"""One text for each value: JSON with sorted keys and no spaces, of integers, strings, lists and objects only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from dpquery.errors import ensure

Json = int | str | Sequence["Json"] | Mapping[str, "Json"]

DEPTH_MAX = 16


def canonical_text(value: Json) -> str:
    """`value` as canonical JSON, in ASCII."""
    return json.dumps(_checked(value, 0), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _checked(value: Json, depth: int) -> object:
    ensure(depth <= DEPTH_MAX, "the body of an entry is shallow")
    if isinstance(value, str) or type(value) is int:
        return value
    if isinstance(value, Mapping):
        ensure(all(isinstance(key, str) for key in value), "keys in the body of an entry are text")
        return {key: _checked(item, depth + 1) for key, item in value.items()}
    ensure(isinstance(value, list | tuple), "the body of an entry holds integers, text, lists and objects")
    return [_checked(item, depth + 1) for item in value]  # type: ignore[union-attr]
