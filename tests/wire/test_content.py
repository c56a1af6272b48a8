from __future__ import annotations

import gzip
import json
import time
import tracemalloc
import zlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.errors import ServiceError
from skytrail.settings import Limits
from skytrail.wire import content
from skytrail.wire.http import Request

MIB = 1 << 20


def decode(body: bytes, encoding: str | None = "gzip", inflated_bytes: int = 64 * MIB, ratio: int = 200) -> bytes:
    return content.decode(body, encoding, inflated_bytes=inflated_bytes, ratio=ratio)


def refused(code: str, body: bytes, encoding: str | None = "gzip", **limits: int) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        decode(body, encoding, **limits)
    assert caught.value.code == code
    assert caught.value.message
    return caught.value


@settings(deadline=None, derandomize=True, max_examples=50)
@given(
    st.lists(st.binary(max_size=5000), min_size=1, max_size=5),
    st.sampled_from(["gzip", "GZIP", " x-gzip ", "aws-chunked,gzip"]),
)
def test_gzip_of_one_member_and_of_several(parts: list[bytes], encoding: str) -> None:
    assert decode(b"".join(map(gzip.compress, parts)), encoding) == b"".join(parts)


def test_members_larger_than_a_step() -> None:
    text = bytes(range(256)) * 8000
    assert decode(gzip.compress(text, 1, mtime=0) + gzip.compress(text, 9, mtime=0)) == text * 2


@pytest.mark.parametrize("encoding", [None, "", "identity", "aws-chunked", "aws-chunked, identity"])
def test_no_encoding_leaves_the_body(encoding: str | None) -> None:
    body = b"\x1f\x8b not gzip"
    assert decode(body, encoding) is body


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd"])
def test_other_encodings_are_refused(encoding: str) -> None:
    assert refused("UnsupportedMediaType", b"x", encoding).status == 415


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.binary(min_size=1, max_size=3000), st.data())
def test_a_truncated_body_is_refused(text: bytes, data: st.DataObject) -> None:
    body = gzip.compress(text, mtime=0)
    refused("SerializationException", body[: data.draw(st.integers(0, len(body) - 1))])


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.binary(max_size=300))
def test_garbage_is_refused(body: bytes) -> None:
    if not body.startswith(b"\x1f\x8b"):
        refused("SerializationException", body)
    refused("SerializationException", gzip.compress(b"text", mtime=0) + b"x" + body)


def test_a_wrong_checksum_is_refused() -> None:
    body = bytearray(gzip.compress(b"text" * 100, mtime=0))
    body[-6] ^= 1
    refused("SerializationException", bytes(body))


def test_a_bomb_is_refused_before_it_takes_memory() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(16 * MIB)) for _ in range(8)) + packer.flush()
    tracemalloc.start()
    assert "50 times" in str(refused("RequestEntityTooLargeException", bomb, ratio=50))
    assert "33554432 bytes" in str(
        refused("RequestEntityTooLargeException", bomb, inflated_bytes=32 * MIB, ratio=10_000)
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 48 * MIB


def test_many_members_share_one_limit_and_are_counted() -> None:
    refused("RequestEntityTooLargeException", gzip.compress(bytes(MIB)) * 3, inflated_bytes=2 * MIB, ratio=10_000)
    assert (
        refused("SerializationException", gzip.compress(b"", mtime=0) * 10_001).message
        == "The gzip body has more than 10000 members."
    )


def test_a_small_body_is_not_judged_by_its_ratio() -> None:
    assert decode(gzip.compress(bytes(MIB)), ratio=2) == bytes(MIB)


def test_peek() -> None:
    assert content.peek(b"abcdef", None, 3) == b"abc"
    assert content.peek(gzip.compress(b"abcdef", mtime=0), "gzip", 3) == b"abc"
    assert content.peek(b"garbage", "gzip", 3) == b""
    assert content.peek(gzip.compress(b"abcdef", mtime=0)[:-9], "gzip", 99) in (b"", b"abcdef")


@pytest.mark.parametrize(
    ("content_type", "name"),
    [
        (None, "utf-8"),
        ("", "utf-8"),
        ("application/json", "utf-8"),
        ("application/x-www-form-urlencoded; charset=UTF-8", "utf-8"),
        ('text/xml;charset="ISO-8859-1"; a=b', "iso-8859-1"),
    ],
)
def test_charset(content_type: str | None, name: str) -> None:
    assert content.charset(content_type) == name


def test_as_utf8() -> None:
    assert content.as_utf8("é".encode("latin1"), "text/xml; charset=iso-8859-1") == "é".encode()
    assert content.as_utf8("é".encode("utf-16"), "text/xml; charset=utf-16") == "é".encode()
    body = b"\xff is left to the parser"
    assert content.as_utf8(body, "application/json") is body
    for body, name in ((b"x", "utf-16"), (b"x", "punycode"), (b"x", "zlib"), (b"x", "nonsense")):
        with pytest.raises(ServiceError):
            content.as_utf8(body, f"text/plain; charset={name}")


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth_of, value), default=0)
    return 0


NASTY = st.text(alphabet='\\"[]{}a,:\n', max_size=8)
JSON = st.recursive(
    NASTY | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NASTY, inner, max_size=4),
    max_leaves=40,
)


@settings(deadline=None, derandomize=True, max_examples=500)
@given(JSON)
def test_json_depth_is_exact(value: object) -> None:
    body = json.dumps(value).encode()
    depth = depth_of(value)
    content.check_json_depth(body, depth)
    if depth:
        with pytest.raises(ServiceError):
            content.check_json_depth(body, depth - 1)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(st.text(alphabet='\\"[]{}', max_size=40))
def test_depth_of_nonsense_is_never_a_fault(text: str) -> None:
    with suppress(ServiceError):
        content.check_json_depth(text.encode(), 2)


def test_json_depth_limit() -> None:
    content.check_json_depth(b"[" * 1000 + b"]" * 1000, 1000)
    with pytest.raises(ServiceError, match="1000 levels"):
        content.check_json_depth(b"[" * 1001 + b"]" * 1001, 1000)
    with pytest.raises(ServiceError, match="1000 levels"):
        content.check_json_depth(b'{"a":' * 500_000, 1000)
    content.check_json_depth(b'"' + b"[" * 5000 + b'"', 1000)


@pytest.mark.parametrize(
    "body",
    [
        *(b'"' * 1_000_000, b'"\\' * 500_000, b"[]," * 300_000, b"[" * 1_000_000, b"{}" * 500_000 + b"[{}" * 999),
        *(b"\\" * 1_000_000 + b"[" * 2000, (b"[" * 999 + b"]" * 999) * 500, b"[{}]" * 250_000),
    ],
    ids=range(8),
)
def test_depth_takes_linear_time(body: bytes) -> None:
    started = time.process_time()
    with suppress(ServiceError):
        content.check_json_depth(body, 1000)
    assert time.process_time() - started < 2


def request(body: bytes, **headers: str) -> Request:
    return Request("POST", "/", "", {name.replace("_", "-"): value for name, value in headers.items()}, body)


DEEP = b"[" * 1001 + b"]" * 1001


@pytest.mark.parametrize(
    ("protocol", "made", "expected"),
    [
        ("json", request(gzip.compress(b"{}", mtime=0), content_encoding="gzip"), b"{}"),
        ("query", request(gzip.compress(b"Action=x", mtime=0), content_encoding="gzip"), b"Action=x"),
        ("smithy-rpc-v2-cbor", request(gzip.compress(DEEP, mtime=0), content_encoding="gzip"), DEEP),
        (
            "rest-xml",
            request(gzip.compress(b"object", mtime=0), content_encoding="gzip"),
            gzip.compress(b"object", mtime=0),
        ),
        ("rest-xml", request(DEEP), DEEP),
        ("rest-json", request(DEEP), DEEP),
        ("rest-json", request("é".encode("latin1")), "é".encode("latin1")),
        ("json", request("é".encode("latin1"), content_type="application/json; charset=latin1"), "é".encode()),
        ("json", request(b""), b""),
        ("json", request(b"", content_encoding="gzip"), b""),
        ("rest-json", request(bytes(17 * MIB)), bytes(17 * MIB)),
    ],
)
def test_read(protocol: str, made: Request, expected: bytes) -> None:
    content.read(made, protocol, Limits())
    assert made.body == expected


@pytest.mark.parametrize(
    ("protocol", "made", "limits"),
    [
        ("json", request(DEEP), Limits()),
        ("rest-json", request(DEEP, content_type="application/json"), Limits()),
        ("json", request(b"[[[]]]"), Limits(json_depth=2)),
        ("json", request(gzip.compress(bytes(2 * MIB)), content_encoding="gzip"), Limits(inflated_bytes=MIB)),
        ("query", request(gzip.compress(bytes(2 * MIB)), content_encoding="gzip"), Limits(inflate_ratio=100)),
        ("json", request(b"{}", content_encoding="br"), Limits()),
        ("json", request(b'"' + b"a" * MIB + b'"'), Limits(inflated_bytes=MIB)),
        ("query", request(b"a" * (MIB + 1)), Limits(inflated_bytes=MIB)),
        ("smithy-rpc-v2-cbor", request(b"a" * (MIB + 1)), Limits(inflated_bytes=MIB)),
        ("json", request(b"[" + b"{}," * 1_000_000 + b"{}]"), Limits()),
    ],
)
def test_read_refuses(protocol: str, made: Request, limits: Limits) -> None:
    before = made.body
    with pytest.raises(ServiceError):
        content.read(made, protocol, limits)
    assert made.body is before
