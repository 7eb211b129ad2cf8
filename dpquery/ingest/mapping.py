"""Which columns of a file a table is made of. No other column is read."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from dpquery.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dpquery.policy import Table


@dataclass(frozen=True, slots=True)
class Direction:
    """The column by which the two numbers of a row are caller and callee."""

    source: str
    outgoing: frozenset[str]
    """Values with which `self` is the caller."""
    incoming: frozenset[str] | None
    """Values with which `other` is; None: every other value."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """The file's columns that a table takes, by use."""

    parties: tuple[str, ...]
    """The numbers, in the order of the table's parties; by direction: self, then other."""
    direction: Direction | None
    third_party: str | None
    region: str | None
    time: str | None
    columns: tuple[tuple[str, str], ...]
    """(our name, the file's) of each declared column, in the policy's order."""

    @classmethod
    def of(cls, table: Table) -> Mapping:
        direction, parties = None, tuple(str(source) for source in table.parties.values())
        if table.directed:
            parties = (_one(table.parties["self"]), _one(table.parties["other"]))
            incoming = table.parties.get("incoming")
            direction = Direction(
                _one(table.parties["direction"]),
                frozenset(_several(table.parties["outgoing"])),
                None if incoming is None else frozenset(_several(incoming)),
            )
        return cls(
            parties=parties,
            direction=direction,
            third_party=table.third_party,
            region=table.region_column,
            time=None if table.time is None else table.time.source or table.time.column,
            columns=tuple((name, column.source or name) for name, column in table.columns.items()),
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """Every column of the file that is read, once each."""
        named = (
            *self.parties,
            self.direction.source if self.direction else None,
            self.third_party,
            self.region,
            self.time,
            *(source for _, source in self.columns),
        )
        return tuple(dict.fromkeys(name for name in named if name is not None))


def places(wanted: Sequence[str], header: Sequence[str], file: str) -> tuple[int, ...]:
    """Where each wanted column stands in `header`. DataError DPQ-505 if one is missing or stands there twice."""
    names = [clean_name(name) for name in header]
    missing = [name for name in wanted if names.count(name) != 1]
    if missing:
        raise DataError("DPQ-505", _complaint(missing, names, file), fix=_cure(missing, names))
    return tuple(names.index(name) for name in wanted)


DIGITS_OF_DATA = 4
"""So many digits in a column's name mean that it is a value."""


def clean_name(name: str) -> str:
    """A column's name without the signs that some programs put before a header line."""
    return name.strip().removeprefix("\ufeff").lstrip("# ").strip()


def _complaint(missing: Iterable[str], names: Sequence[str], file: str) -> str:
    twice = [name for name in missing if name in names]
    if twice:
        return f"{file} has more than one column {', '.join(twice)}"
    lacking = f"{file} has no column {', '.join(missing)}"
    if not _is_header(names):
        # What stands there may be a row, and a row holds numbers.
        return f"{lacking}; its first line does not look like a header"
    return f"{lacking}; it has {', '.join(names[:50]) or 'none'}"


def _is_header(names: Sequence[str]) -> bool:
    """Whether the first line names columns: names have few digits, numbers and times have many."""
    return all(sum(sign.isdigit() for sign in name) < DIGITS_OF_DATA for name in names)


def _cure(missing: Sequence[str], names: Sequence[str]) -> str:
    if not _is_header(names):
        return "put a header line with the columns' names at the top of the file"
    near = [(name, get_close_matches(name, names, 1, 0.5)) for name in missing]
    lines = [f'{name} = {{ ..., from = "{found[0]}" }}' for name, found in near if found and name not in names]
    return "\n".join(lines) or "name the file's own columns in the policy, with from = ..."


def _one(source: str | tuple[str, ...]) -> str:
    return source if isinstance(source, str) else source[0]


def _several(source: str | tuple[str, ...]) -> tuple[str, ...]:
    return (source,) if isinstance(source, str) else source
