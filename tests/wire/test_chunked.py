"""aws-chunked: S3's published examples, any cutting of the bytes, and every kind of damage."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.errors import ServiceError
from skytrail.wire import chunked, sigv4
from skytrail.wire.chunked import ChunkedDecoder, ChunkSigning

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
KEY = sigv4.signing_key(SECRET, "20130524", "us-east-1", "s3")
SCOPE = "20130524/us-east-1/s3/aws4_request"

generated = settings(deadline=None, derandomize=True, max_examples=60)


def signing(seed: str) -> ChunkSigning:
    return ChunkSigning(KEY, "20130524T000000Z", SCOPE, seed)


PLAIN = signing("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9")
TRAILER = signing("106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e")


def chunk(data: bytes, signature: str | None = None) -> bytes:
    mark = f";chunk-signature={signature}" if signature else ""
    return f"{len(data):x}{mark}\r\n".encode() + data + b"\r\n"


def encode(parts: list[bytes], by: ChunkSigning | None, trailers: dict[str, str] | None) -> bytes:
    body, previous = b"", by.seed if by else ""
    for part in [*parts, b""]:
        if by is not None:
            previous = by.chunk(previous, hashlib.sha256(part).hexdigest())
        piece = chunk(part, previous if by else None)
        body += piece if part or trailers is None else piece[:-2]
    if trailers is not None:
        body += "".join(f"{name}:{value}\r\n" for name, value in trailers.items()).encode()
        if by is not None:
            text = "".join(sorted(f"{name.lower()}:{value}\n" for name, value in trailers.items()))
            signature = by.trailer(previous, hashlib.sha256(text.encode()).hexdigest())
            body += f"x-amz-trailer-signature:{signature}\r\n".encode()
        body += b"\r\n"
    return body


EXAMPLE = (
    chunk(b"a" * 65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648")
    + chunk(b"a" * 1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497")
    + chunk(b"", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9")
)
TRAILER_EXAMPLE = (
    chunk(b"a" * 65536, "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2")
    + chunk(b"a" * 1024, "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7")
    + chunk(b"", "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992")[:-2]
    + b"x-amz-checksum-crc32c:sOO8/Q==\r\n"
    + b"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
)
#: As AWS's guide prints it, with an empty line before the trailers' signature.
TRAILER_EXAMPLE_AS_PRINTED = TRAILER_EXAMPLE.replace(b"==\r\n", b"==\n\r\n")


def decode(body: bytes, kind: str, by: ChunkSigning | None, length: int | None = None) -> tuple[bytes, dict[str, str]]:
    return chunked.decode(body, kind, signing=by, decoded_length=length)


def refused(body: bytes, kind: str, by: ChunkSigning | None, length: int | None = None) -> str:
    with pytest.raises(ServiceError) as caught:
        decode(body, kind, by, length)
    return caught.value.code


def test_the_published_example() -> None:
    assert decode(EXAMPLE, sigv4.STREAMING_SIGNED, PLAIN, 66560) == (b"a" * 66560, {})


@pytest.mark.parametrize("body", [TRAILER_EXAMPLE, TRAILER_EXAMPLE_AS_PRINTED])
def test_the_published_example_with_a_trailer(body: bytes) -> None:
    expected = b"a" * 66560, {"x-amz-checksum-crc32c": "sOO8/Q=="}
    assert decode(body, sigv4.STREAMING_SIGNED_TRAILER, TRAILER, 66560) == expected


def test_without_a_key_the_form_alone_is_checked() -> None:
    body = EXAMPLE.replace(b"b6c6ea8a", b"00000000")
    assert refused(body, sigv4.STREAMING_SIGNED, PLAIN) == "SignatureDoesNotMatch"
    assert decode(body, sigv4.STREAMING_SIGNED, None, 66560)[0] == b"a" * 66560


def test_an_unsigned_body_with_a_trailer() -> None:
    body = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n"
    expected = b"hello", {"x-amz-checksum-crc32": "NhCmhg=="}
    assert decode(body, sigv4.STREAMING_UNSIGNED_TRAILER, None, 5) == expected
    assert refused(body[:-2], sigv4.STREAMING_UNSIGNED_TRAILER, None, 5) == "IncompleteBody"
    assert decode(b"0\r\n\r\n", sigv4.STREAMING_UNSIGNED_TRAILER, None, 0) == (b"", {})


kinds = st.sampled_from([sigv4.STREAMING_SIGNED, sigv4.STREAMING_SIGNED_TRAILER, sigv4.STREAMING_UNSIGNED_TRAILER])


@generated
@given(kinds, st.integers(0, 1), st.binary(max_size=200), st.data())
def test_any_body_in_any_pieces(kind: str, whole_chunks: int, last: bytes, data: st.DataObject) -> None:
    parts = [bytes([65 + number]) * 8192 for number in range(whole_chunks)] + ([last] if last else [])
    by = None if kind == sigv4.STREAMING_UNSIGNED_TRAILER else PLAIN
    trailers = None if kind == sigv4.STREAMING_SIGNED else {"X-Amz-Checksum-Crc32": "AAAAAA==", "x-amz-b": "2"}
    body = encode(parts, by, trailers)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    decoder = ChunkedDecoder(kind, signing=by, decoded_length=sum(map(len, parts)))
    got = b"".join(decoder.feed(body[a:b]) for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True))
    assert got == b"".join(parts)
    assert decoder.finish() == {name.lower(): value for name, value in (trailers or {}).items()}
    # Nothing of it can be left out at the end.
    cut = data.draw(st.integers(0, len(body) - 1))
    assert refused(body[:cut], kind, by, sum(map(len, parts))) in ("IncompleteBody", "SignatureDoesNotMatch")


@generated
@given(kinds, st.integers(0, 10_000), st.integers(1, 255))
def test_no_signed_byte_can_be_changed(kind: str, place: int, change: int) -> None:
    trailers = None if kind == sigv4.STREAMING_SIGNED else {"x-amz-checksum-crc32": "AAAAAA=="}
    if kind == sigv4.STREAMING_UNSIGNED_TRAILER:
        return
    body = bytearray(encode([b"x" * 8192, b"the end"], PLAIN, trailers))
    position = place % len(body)
    body[position] ^= change
    try:
        data, got = decode(bytes(body), kind, PLAIN, 8199)
    except ServiceError:
        return
    # What is not signed is the spelling: the case of a size's digits or of a trailer's name, spaces, the lines' ends.
    assert (data, got) == (b"x" * 8192 + b"the end", trailers or {})


@pytest.mark.parametrize(
    ("body", "kind", "length", "code"),
    [
        (b"", sigv4.STREAMING_UNSIGNED_TRAILER, 0, "IncompleteBody"),
        (b"zz\r\n", sigv4.STREAMING_UNSIGNED_TRAILER, None, "InvalidRequest"),
        (b"-1\r\n", sigv4.STREAMING_UNSIGNED_TRAILER, None, "InvalidRequest"),
        (b"5\r\nhello!\r\n0\r\n\r\n", sigv4.STREAMING_UNSIGNED_TRAILER, None, "InvalidRequest"),
        (b"f" * 17 + b"\r\n", sigv4.STREAMING_UNSIGNED_TRAILER, None, "InvalidRequest"),
        (b"0" * 300, sigv4.STREAMING_UNSIGNED_TRAILER, None, "InvalidRequest"),
        (b"5\r\nhello\r\n0\r\n\r\n", sigv4.STREAMING_UNSIGNED_TRAILER, 4, "IncompleteBody"),
        (b"5\r\nhello\r\n0\r\n\r\n", sigv4.STREAMING_UNSIGNED_TRAILER, 6, "IncompleteBody"),
        (b"5\r\nhello\r\n0\r\n\r\nmore", sigv4.STREAMING_UNSIGNED_TRAILER, 5, "InvalidRequest"),
        (b"0\r\nno colon\r\n\r\n", sigv4.STREAMING_UNSIGNED_TRAILER, 0, "InvalidRequest"),
        (b"0\r\na:1\r\nA:2\r\n\r\n", sigv4.STREAMING_UNSIGNED_TRAILER, 0, "InvalidRequest"),
        (b"0\r\na:" + b"x" * 20000, sigv4.STREAMING_UNSIGNED_TRAILER, 0, "InvalidRequest"),
        (b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n", sigv4.STREAMING_UNSIGNED_TRAILER, 2, "InvalidChunkSizeError"),
        (b"5\r\nhello\r\n0\r\n\r\n", sigv4.STREAMING_SIGNED, 5, "InvalidRequest"),
        (EXAMPLE, sigv4.STREAMING_UNSIGNED_TRAILER, 66560, "InvalidRequest"),
        (EXAMPLE, sigv4.STREAMING_SIGNED_TRAILER, 66560, "IncompleteBody"),
    ],
)
def test_damage(body: bytes, kind: str, length: int | None, code: str) -> None:
    assert refused(body, kind, PLAIN, length) == code


def test_a_trailer_needs_its_signature() -> None:
    body = TRAILER_EXAMPLE.partition(b"x-amz-trailer-signature")[0]
    assert refused(body + b"\r\n", sigv4.STREAMING_SIGNED_TRAILER, TRAILER) == "IncompleteBody"
    assert refused(body, sigv4.STREAMING_SIGNED_TRAILER, None) == "IncompleteBody"


@generated
@given(kinds, st.binary(max_size=300))
def test_noise_is_refused_cleanly(kind: str, body: bytes) -> None:
    with pytest.raises(ServiceError):
        decode(body, kind, PLAIN, 5)
