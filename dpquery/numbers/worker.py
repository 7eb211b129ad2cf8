"""A process that reads spellings for `NumberParser`: pickled chunks in on standard input, results out.

Run as a module, never spawned by multiprocessing: that would import the caller's own script again, and a script without
a `__main__` guard would then ask, and pay for, its queries a second time. It ends when its input does, so it never
outlives its parent.
"""

from __future__ import annotations

import pickle
import signal
import sys
from operator import attrgetter
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from dpquery.numbers.canonical import Number, Unparsed, canonicalise

if TYPE_CHECKING:
    from dpquery.numbers.scheme import NumberScheme

Packed = tuple[Any, ...]

_fields: Final = attrgetter("canonical", "kind", "valid", "extension", "country", "region", "line_type", "time_zones")


def pack(result: Number | Unparsed) -> Packed:
    """A result as a plain tuple: it pickles three times as fast, and the parent unpickles for all its workers."""
    return (result.reason,) if isinstance(result, Unparsed) else tuple(_fields(result))


def unpack(packed: Packed) -> Number | Unparsed:
    return Unparsed(*packed) if len(packed) == 1 else Number(*packed)


def serve(requests: BinaryIO, results: BinaryIO) -> None:
    """Answer chunks until the input ends; the first object is the scheme."""
    try:
        scheme: NumberScheme = pickle.load(requests)  # noqa: S301 - written by our own parent through a pipe
        while True:
            chunk: list[tuple[str, str | None]] = pickle.load(requests)  # noqa: S301
            pickle.dump([pack(canonicalise(raw, region, scheme)) for raw, region in chunk], results, protocol=5)
            results.flush()
    except (EOFError, BrokenPipeError):
        return


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; only the parent may answer
    serve(sys.stdin.buffer, sys.stdout.buffer)
