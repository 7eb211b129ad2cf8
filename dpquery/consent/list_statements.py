"""The statements of one list, column by column, and which of them say nothing that its source had not said before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dpquery.consent.records import EVERY_PURPOSE, GIVEN, SCHEMA
from dpquery.consent.registry import FOLDER
from dpquery.store.secret import PSEUDONYM_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from dpquery.consent.list_formats import Said
    from dpquery.consent.registry import Registry

BATCH_ROWS: Final = 65_536

_FOREVER: Final = np.iinfo(np.int64).max
_WORDS: Final = ("purpose", "status", "basis", "notice_version", "source", "method")
_COLUMNS: Final = (*_WORDS, "effective", "expires")
_PURPOSE, _STATUS, _BASIS, _NOTICE, _SOURCE, _METHOD, _EFFECTIVE, _EXPIRES = range(len(_COLUMNS))
_PROJECTED: Final = (
    "pseudonym",
    "purpose",
    "status",
    "basis",
    "notice_version",
    "source",
    "effective_at",
    "expires_at",
)


Lines: TypeAlias = "tuple[NDArray[np.uint64], NDArray[np.int64]]"
"""Pseudonyms, as two words each, and the columns beside them."""


class ListStatements:
    """Statements that a list makes: 81 bytes for each, whatever their words."""

    def __init__(self) -> None:
        self._words: dict[str | None, int] = {None: 0}
        self._pseudonyms: list[bytes] = []
        self._blocks: list[tuple[NDArray[np.int64], NDArray[np.bool_]]] = []

    def add(self, statements: Sequence[tuple[bytes, Said, bool]]) -> None:
        """Statements with every field filled in; the flag: whether the list itself said when."""
        table = np.empty((len(statements), len(_COLUMNS)), np.int64)
        rows: dict[Said, list[int]] = {}
        for row, (_, said, _) in enumerate(statements):
            found = rows.get(said)
            if found is None:
                rows[said] = [row]
            else:
                found.append(row)
        for said, places in rows.items():
            words = [self._word(getattr(said, name)) for name in _WORDS]
            expires = _FOREVER if said.expires_at is None else round(said.expires_at.timestamp() * 1_000_000)
            effective = 0 if said.effective_at is None else round(said.effective_at.timestamp() * 1_000_000)
            table[places] = (*words, effective, expires)
        self._pseudonyms.append(b"".join(pseudonym for pseudonym, _, _ in statements))
        self._blocks.append((table, np.array([timed for _, _, timed in statements], np.bool_)))

    def new(self, folder: Path, registry: Registry) -> tuple[Iterator[pa.RecordBatch], int]:
        """Batches of what is new to the registry of the store at `folder` (without recorded_at), and how many rows.

        A statement without a time of its own is not new if its source says the same already: its date stays as it is.
        One with a time is not new if the very same is there.
        """
        pseudonyms = np.frombuffer(b"".join(self._pseudonyms), np.uint64).reshape(-1, 2)
        whole = [table for table, _ in self._blocks]
        columns = np.concatenate([np.zeros((0, len(_COLUMNS)), np.int64), *whole])
        timed = np.concatenate([np.zeros(0, np.bool_), *(flags for _, flags in self._blocks)])
        self._pseudonyms.clear()
        self._blocks.clear()
        before = self._before(folder, registry, set(np.unique(columns[:, _SOURCE]).tolist()))
        every, given = self._word(EVERY_PURPOSE), self._word(GIVEN)
        kept = np.flatnonzero(_is_new(before, (pseudonyms, columns), dated=timed, every=every, given=given))
        return self._batches(pseudonyms[kept], columns[kept]), len(kept)

    def _word(self, word: str | None) -> int:
        return self._words.setdefault(word, len(self._words))

    def _before(self, folder: Path, registry: Registry, sources: set[int]) -> Lines:
        """What these sources have said so far: pseudonyms, and columns as ours."""
        names = [word for word, number in self._words.items() if number in sources and word is not None]
        pseudonyms, tables = [np.zeros((0, 2), np.uint64)], [np.zeros((0, len(_COLUMNS)), np.int64)]
        for segment in registry.segments if names else ():
            read = pq.read_table(
                folder / FOLDER / segment.name, columns=list(_PROJECTED), filters=[("source", "in", names)]
            ).combine_chunks()
            pseudonyms.append(_bytes(read["pseudonym"]))
            table = np.zeros((read.num_rows, len(_COLUMNS)), np.int64)
            for place, name in enumerate(_WORDS[:_METHOD]):
                encoded = read[name].combine_chunks().dictionary_encode()
                numbers = np.array([*(self._word(word) for word in encoded.dictionary.to_pylist()), 0], np.int64)
                table[:, place] = numbers[encoded.indices.fill_null(len(numbers) - 1).to_numpy()]
            for place, name in ((_EFFECTIVE, "effective_at"), (_EXPIRES, "expires_at")):
                table[:, place] = read[name].cast(pa.int64()).fill_null(_FOREVER).to_numpy()
            tables.append(table)
        return np.concatenate(pseudonyms), np.concatenate(tables)

    def _batches(self, pseudonyms: NDArray[np.uint64], columns: NDArray[np.int64]) -> Iterator[pa.RecordBatch]:
        words = pa.array(list(self._words), pa.string())
        for start in range(0, len(columns), BATCH_ROWS):
            part = columns[start : start + BATCH_ROWS]
            keys = pa.Array.from_buffers(
                pa.binary(PSEUDONYM_BYTES),
                len(part),
                [None, pa.py_buffer(pseudonyms[start : start + BATCH_ROWS].copy())],
            )
            named = {name: words.take(pa.array(part[:, place])) for place, name in enumerate(_WORDS)}
            times = {
                "effective_at": pa.array(part[:, _EFFECTIVE]),
                "expires_at": pa.array(part[:, _EXPIRES], mask=part[:, _EXPIRES] == _FOREVER),
            }
            columns_by_name: dict[str, Any] = {"pseudonym": keys, **named, **times}
            wanted = [field for field in SCHEMA if field.name != "recorded_at"]
            yield pa.RecordBatch.from_arrays(
                [columns_by_name[field.name].cast(field.type) for field in wanted], schema=pa.schema(wanted)
            )


def _is_new(
    before: Lines,
    told: Lines,
    *,
    dated: NDArray[np.bool_],
    every: int,
    given: int,
) -> NDArray[np.bool_]:
    """Which of the rows `told` are new, in their order.

    `dated`: those that the list itself gives a time; `every`, `given`: the words for all purposes, and for a yes.
    """
    pseudonym, table = (np.concatenate(pair) for pair in zip(before, told, strict=True))
    known = len(before[0])
    undated = np.concatenate([np.zeros(known, np.bool_), ~dated])
    numbers_and_sources = [pseudonym[:, 0], pseudonym[:, 1], table[:, _SOURCE]]
    # A source that speaks of all purposes and of single ones answers for one by the other: its statements are one line.
    mixed = _mixed(numbers_and_sources, table[:, _PURPOSE] == every)
    line = [*numbers_and_sources, np.where(mixed, -1, table[:, _PURPOSE])]
    yes = table[:, _STATUS] == given
    words = [table[:, _PURPOSE], table[:, _STATUS], table[:, _EXPIRES]]
    words += [np.where(yes, table[:, column], 0) for column in (_BASIS, _NOTICE)]
    at = table[:, _EFFECTIVE]
    order = np.lexsort((np.arange(len(table)), *reversed(words), undated, at, *reversed(line)))
    follows = _as_before(order, line)
    repeats = follows & _as_before(order, words) & (undated[order] | _as_before(order, [at]))
    # Where several things are said of a number at once, all of it counts: a refusal stands, else what was said last.
    at_once = follows & _as_before(order, [at])
    moment = np.cumsum(~at_once)
    contradicted = np.bincount(moment, at_once & ~_as_before(order, words))[moment] > 0
    fresh = np.ones(len(table), np.bool_)
    fresh[order[repeats & ~contradicted]] = False
    return fresh[known:]


def _as_before(order: NDArray[np.int64], columns: list[NDArray[Any]]) -> NDArray[np.bool_]:
    """For each place in `order`, whether its row agrees with that of the place before in all of `columns`."""
    agrees = np.ones(len(order), np.bool_)
    agrees[:1] = False
    for column in columns:
        agrees[1:] &= column[order[1:]] == column[order[:-1]]
    return agrees


def _mixed(group: list[NDArray[Any]], every: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether a row's number and source have statements about all purposes beside ones about a single purpose."""
    if every.all() or not every.any():
        return np.zeros(len(every), np.bool_)
    order = np.lexsort(tuple(reversed(group)))
    starts = ~_as_before(order, group)
    number = np.cumsum(starts) - 1
    of = np.empty(len(order), np.int64)
    of[order] = number
    count = int(number[-1]) + 1
    some, single = np.bincount(of, every, count) > 0, np.bincount(of, ~every, count) > 0
    return (some & single)[of]


def _bytes(column: pa.ChunkedArray) -> NDArray[np.uint64]:
    whole = column.combine_chunks()
    data = np.frombuffer(whole.buffers()[1], np.uint8) if len(whole) else np.zeros(0, np.uint8)
    start = whole.offset * PSEUDONYM_BYTES
    return data[start : start + len(whole) * PSEUDONYM_BYTES].copy().view(np.uint64).reshape(-1, 2)
