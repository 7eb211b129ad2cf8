"""SipHash against its authors' vectors."""

from __future__ import annotations

import numpy as np
import pytest

from dpquery.store.row_hash import hash_rows, hash_texts, sip_key

KEY = sip_key(bytes(range(16)), 0)
VECTORS = {0: 0x726FDB47DD0E0E31, 8: 0x93F5F5799A932462, 15: 0xA129CA6149BE45E5, 63: 0x958A324CEB064572}
"""Hash of the bytes 0, 1, 2, ... by their count: `vectors_sip64` of the reference implementation."""


@pytest.mark.parametrize("length", VECTORS)
def test_vectors(length: int) -> None:
    data = np.arange(64, dtype=np.uint8)
    assert hash_texts(data, np.array([0, length], np.int32), KEY).tolist() == [VECTORS[length]]


def test_rows_hash_as_their_bytes() -> None:
    words = np.random.default_rng(0).integers(0, 2**64, (50, 7), dtype=np.uint64)
    data = words.view(np.uint8).reshape(-1)
    offsets = np.arange(51, dtype=np.int32) * 56
    assert hash_rows(words, KEY).tolist() == hash_texts(data, offsets, KEY).tolist()


def test_parts_of_a_key_are_independent() -> None:
    words = np.zeros((1, 3), np.uint64)
    key = bytes(range(32))
    assert hash_rows(words, sip_key(key, 0)) != hash_rows(words, sip_key(key, 1))
