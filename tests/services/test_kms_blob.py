"""The ciphertext blob: what goes in comes out, and only with the same context, key and bytes."""

from __future__ import annotations

import os

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from skytrail.services.kms import blob

QUIET = settings(deadline=None, derandomize=True, max_examples=150)
TEXT = st.text(max_size=12)
CONTEXTS = st.dictionaries(TEXT, TEXT, max_size=5)
ACCOUNT, KEY = "000123456789", "1234abcd-12ab-34cd-56ef-1234567890ab"
MATERIAL, NONCE = bytes(range(32)), bytes(12)


def sealed(plaintext: bytes, context: dict[str, str]) -> bytes:
    return blob.seal(ACCOUNT, KEY, 3, MATERIAL, plaintext, context, NONCE)


@QUIET
@given(st.binary(max_size=4096), CONTEXTS)
def test_there_and_back(plaintext: bytes, context: dict[str, str]) -> None:
    data = sealed(plaintext, context)
    found = blob.unpack(data)
    assert (found.account, found.key_id, found.version) == (ACCOUNT, KEY, 3)
    assert found.pack() == data
    assert len(data) <= 6144
    backwards = dict(reversed(context.items()))
    assert blob.unseal(found, MATERIAL, backwards) == plaintext


@QUIET
@given(st.uuids(), st.integers(0, 10**12 - 1), st.integers(0, 2**32 - 1))
def test_every_header_has_its_blob(key: object, account: int, version: int) -> None:
    data = blob.seal(f"{account:012d}", str(key), version, MATERIAL, b"x", {}, os.urandom(12))
    found = blob.unpack(data)
    assert (found.account, found.key_id, found.version) == (f"{account:012d}", str(key), version)
    assert blob.unseal(found, MATERIAL, {}) == b"x"


@QUIET
@given(st.data())
def test_a_changed_bit_is_seen(data: st.DataObject) -> None:
    good = bytearray(sealed(b"the plaintext", {"a": "b"}))
    bit = data.draw(st.integers(0, len(good) * 8 - 1))
    good[bit // 8] ^= 1 << bit % 8
    with pytest.raises(blob.InvalidBlob):
        blob.unseal(blob.unpack(bytes(good)), MATERIAL, {"a": "b"})


@QUIET
@given(st.binary(max_size=120))
def test_any_bytes_are_answered(data: bytes) -> None:
    for each in (data, b"\1" + data):
        with pytest.raises(blob.InvalidBlob):
            blob.unseal(blob.unpack(each), MATERIAL, {})


@QUIET
@given(st.integers(0, 56))
def test_a_cut_blob_is_none(length: int) -> None:
    with pytest.raises(blob.InvalidBlob):
        blob.unseal(blob.unpack(sealed(b"", {})[:length]), MATERIAL, {})


@QUIET
@given(CONTEXTS, CONTEXTS)
def test_contexts_have_one_spelling_each(one: dict[str, str], other: dict[str, str]) -> None:
    assert (blob.canonical(one) == blob.canonical(other)) is (one == other)
    assume(one != other)
    with pytest.raises(blob.InvalidBlob):
        blob.unseal(blob.unpack(sealed(b"x", one)), MATERIAL, other)


def test_pairs_do_not_run_together() -> None:
    assert blob.canonical({"a": "bc"}) != blob.canonical({"ab": "c"})
    assert blob.canonical({"a": "b", "c": "d"}) != blob.canonical({"a": "bc", "": "d"})
