"""Keyed hashes of a row's own content, by which rows are ordered and lots are drawn.

SipHash-2-4 (Aumasson and Bernstein, 2012) over the row's words: nobody without the key can tell which row comes
first, and no other row has a say in it. Two independent 64-bit values per row, so that rows that differ are told apart.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

Words = np.ndarray[Any, np.dtype[np.uint64]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Offsets = np.ndarray[Any, np.dtype[np.int32]]

SIP_KEY_BYTES = 16


def sip_key(key: bytes, part: int) -> Words:
    """Two words of key for SipHash, the `part`-th of `key` (32 bytes hold parts 0 and 1)."""
    return np.frombuffer(key, dtype="<u8")[2 * part : 2 * part + 2].astype(np.uint64)


@njit(cache=True, nogil=True, inline="always")
def _round(v0: Any, v1: Any, v2: Any, v3: Any) -> Any:
    v0 = v0 + v1
    v1 = (v1 << np.uint64(13)) | (v1 >> np.uint64(51))
    v1 = v1 ^ v0
    v0 = (v0 << np.uint64(32)) | (v0 >> np.uint64(32))
    v2 = v2 + v3
    v3 = (v3 << np.uint64(16)) | (v3 >> np.uint64(48))
    v3 = v3 ^ v2
    v0 = v0 + v3
    v3 = (v3 << np.uint64(21)) | (v3 >> np.uint64(43))
    v3 = v3 ^ v0
    v2 = v2 + v1
    v1 = (v1 << np.uint64(17)) | (v1 >> np.uint64(47))
    v1 = v1 ^ v2
    v2 = (v2 << np.uint64(32)) | (v2 >> np.uint64(32))
    return v0, v1, v2, v3


@njit(cache=True, nogil=True, inline="always")
def _finished(v0: Any, v1: Any, v2: Any, v3: Any, last: Any) -> Any:
    v3 = v3 ^ last
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0 = v0 ^ last
    v2 = v2 ^ np.uint64(0xFF)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


@njit(cache=True, nogil=True)
def hash_rows(words: Words, key: Words) -> Words:
    """SipHash-2-4 of each row of `words` (its bytes little-endian) under the two words of `key`."""
    rows, width = words.shape
    out = np.empty(rows, np.uint64)
    last = np.uint64((width * 8) % 256) << np.uint64(56)
    for row in range(rows):
        v0 = key[0] ^ np.uint64(0x736F6D6570736575)
        v1 = key[1] ^ np.uint64(0x646F72616E646F6D)
        v2 = key[0] ^ np.uint64(0x6C7967656E657261)
        v3 = key[1] ^ np.uint64(0x7465646279746573)
        for column in range(width):
            word = words[row, column]
            v3 = v3 ^ word
            v0, v1, v2, v3 = _round(v0, v1, v2, v3)
            v0, v1, v2, v3 = _round(v0, v1, v2, v3)
            v0 = v0 ^ word
        out[row] = _finished(v0, v1, v2, v3, last)
    return out


@njit(cache=True, nogil=True)
def hash_texts(data: Bytes, offsets: Offsets, key: Words) -> Words:
    """SipHash-2-4 of each text: the bytes of `data` between two neighbours in `offsets`."""
    count = len(offsets) - 1
    out = np.empty(count, np.uint64)
    for index in range(count):
        start, end = offsets[index], offsets[index + 1]
        v0 = key[0] ^ np.uint64(0x736F6D6570736575)
        v1 = key[1] ^ np.uint64(0x646F72616E646F6D)
        v2 = key[0] ^ np.uint64(0x6C7967656E657261)
        v3 = key[1] ^ np.uint64(0x7465646279746573)
        length = end - start
        whole = length // 8
        for block in range(whole):
            word = np.uint64(0)
            for byte in range(8):
                word = word | (np.uint64(data[start + 8 * block + byte]) << np.uint64(8 * byte))
            v3 = v3 ^ word
            v0, v1, v2, v3 = _round(v0, v1, v2, v3)
            v0, v1, v2, v3 = _round(v0, v1, v2, v3)
            v0 = v0 ^ word
        last = np.uint64(length % 256) << np.uint64(56)
        for byte in range(length - 8 * whole):
            last = last | (np.uint64(data[start + 8 * whole + byte]) << np.uint64(8 * byte))
        out[index] = _finished(v0, v1, v2, v3, last)
    return out
