"""Bodies in pieces: the same bytes however they are cut, and no end without the right hash, signatures and trailers."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.errors import ServiceError
from skytrail.wire import sigv4
from skytrail.wire.bodies import Body
from skytrail.wire.chunked import ChunkedDecoder


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def body_of(pieces: list[bytes], length: int | None = None) -> Body:
    async def come() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return Body(come(), length)


def read(body: Body, most: int = 1 << 30) -> bytes:
    return asyncio.run(body.read(most))


def raw(body: Body) -> bytes:
    async def gather() -> bytes:
        return b"".join([piece async for piece in body.raw()])

    return asyncio.run(gather())


def encoded(data: bytes, trailer: str = "") -> bytes:
    chunks = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
    return chunks + b"0\r\n" + (f"{trailer}\r\n".encode() if trailer else b"") + b"\r\n"


PLACES = st.lists(st.integers(0, 1 << 16), max_size=8)


@given(st.binary(max_size=2000), PLACES)
def test_pieces_are_the_body(data: bytes, places: list[int]) -> None:
    body = body_of(cut(data, places), len(data))
    body.expect(hashlib.sha256(data).hexdigest(), lambda _: ServiceError("Other"))
    assert read(body) == data
    assert body.received == len(data)


@given(st.binary(max_size=2000), PLACES)
def test_another_hash_is_an_error_at_the_end(data: bytes, places: list[int]) -> None:
    body = body_of(cut(data, places))
    body.expect(hashlib.sha256(data + b"x").hexdigest(), lambda computed: ServiceError("Other", computed))
    with pytest.raises(ServiceError, match=hashlib.sha256(data).hexdigest()):
        read(body)


@given(st.binary(max_size=2000), PLACES, st.booleans())
def test_a_chunked_body_is_decoded_and_may_be_handed_on_as_it_came(data: bytes, places: list[int], on: bool) -> None:
    sent = encoded(data, "x-amz-checksum-crc32:AAAAAA==")
    body = body_of(cut(sent, places))
    decoder = ChunkedDecoder(sigv4.STREAMING_UNSIGNED_TRAILER, decoded_length=len(data))
    body.decode(decoder, len(data), frozenset({"x-amz-checksum-crc32"}))
    assert (raw(body) if on else read(body)) == (sent if on else data)
    assert body.trailers == {"x-amz-checksum-crc32": "AAAAAA=="}
    assert body.received == len(sent)


@pytest.mark.parametrize(
    ("sent", "length", "announced", "code"),
    [
        (encoded(b"data"), 5, set(), "IncompleteBody"),
        (encoded(b"data")[:-3], 4, set(), "IncompleteBody"),
        (encoded(b"data"), 4, {"x-amz-checksum-crc32"}, "MalformedTrailerError"),
        (encoded(b"data", "x-amz-meta-a:b"), 4, set(), "MalformedTrailerError"),
        (b"nonsense\r\n", 4, set(), "InvalidRequest"),
    ],
)
def test_a_chunked_body_that_is_not_whole_never_ends(sent: bytes, length: int, announced: set[str], code: str) -> None:
    body = body_of([sent])
    decoder = ChunkedDecoder(sigv4.STREAMING_UNSIGNED_TRAILER, decoded_length=length)
    body.decode(decoder, length, frozenset(announced))
    with pytest.raises(ServiceError) as raised:
        read(body)
    assert raised.value.code == code


def test_reading_the_whole_body_is_bounded() -> None:
    assert read(body_of([b"x" * 10] * 10), 100) == b"x" * 100
    with pytest.raises(ServiceError, match="RequestEntityTooLarge"):
        read(body_of([b"x" * 10] * 10), 99)
