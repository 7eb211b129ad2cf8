"""Expressions with columns replaced by what they stand for."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from dpquery.plan.expressions import ColumnRef

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dpquery.plan.expressions import Expression


def substituted(expression: Expression, meanings: Mapping[str, Expression]) -> Expression:
    """`expression` with each column that `meanings` names replaced by its meaning."""
    replaced: Expression = _part(expression, meanings)
    return replaced


def _part(part: Any, meanings: Mapping[str, Expression]) -> Any:
    if isinstance(part, ColumnRef):
        return meanings.get(part.name, part)
    if isinstance(part, tuple):
        return tuple(_part(item, meanings) for item in part)
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        fields = {f.name: _part(getattr(part, f.name), meanings) for f in dataclasses.fields(part)}
        return dataclasses.replace(part, **fields)
    return part
