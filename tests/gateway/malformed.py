"""Requests that no server should survive by luck: a deterministic corpus, as the bytes that go over the socket.

Each is wrong in a way that must be answered with a client's error (4xx, or 501 for what is not served), whatever
operations are implemented. After its bytes the client closes its direction, so a truncated request is seen to end.
"""

from __future__ import annotations

import gzip
import json
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CASES: dict[str, Any] = json.loads((Path(__file__).parents[1] / "cases" / "malformed.json").read_text("utf-8"))

Group = Callable[[], Iterator[tuple[str, bytes]]]


@dataclass(frozen=True)
class Malformed:
    name: str
    data: bytes


def corpus() -> list[Malformed]:
    return [
        Malformed(f"{group.__name__} {number}: {name}", data)
        for group in GROUPS
        for number, (name, data) in enumerate(group())
    ]


def signatures() -> list[Malformed]:
    """For a server in enforced mode: well-formed requests that nobody has signed so."""
    return [Malformed(f"signatures: {name}", data) for name, data in _bad_signatures()]


# Requests

DATE = "20260504T120000Z"


def authorization(service: str, key: str = "000000000000", signature: str = "0" * 64) -> str:
    return (
        f"AWS4-HMAC-SHA256 Credential={key}/{DATE[:8]}/us-east-1/{service}/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={signature}"
    )


def request(
    method: str = "POST",
    path: str = "/",
    body: bytes = b"",
    *,
    service: str = "cloudtrail",
    length: str | None = None,
    auth: str | None = None,
    **headers: str,
) -> bytes:
    """One request; `headers` with _ for -, `length` in the place of the body's true length."""
    fields = {
        "Host": "localhost:4566",
        "X-Amz-Date": DATE,
        "Authorization": auth if auth is not None else authorization(service),
        "Content-Length": length if length is not None else str(len(body)),
    }
    fields |= {name.replace("_", "-").title(): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value != "-")
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body


def lookup(body: bytes, **more: Any) -> bytes:
    headers = {
        "content_type": "application/x-amz-json-1.1",
        "x_amz_target": "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents",
    }
    return request(body=body, **{**headers, **more})


GOOD = lookup(b'{"MaxResults":1}')


def cbor(body: bytes, operation: str = "PutMetricData") -> bytes:
    return request(
        path=f"/service/GraniteServiceVersion20100801/operation/{operation}",
        body=body,
        service="monitoring",
        content_type="application/cbor",
        smithy_protocol="rpc-v2-cbor",
        accept="application/cbor",
    )


def query(body: bytes, service: str = "monitoring", **more: Any) -> bytes:
    return request(body=body, service=service, content_type="application/x-www-form-urlencoded; charset=utf-8", **more)


def s3(method: str, path: str, body: bytes = b"", **more: Any) -> bytes:
    return request(method, path, body, service="s3", **{"x_amz_content_sha256": "UNSIGNED-PAYLOAD", **more})


def chunked(after_head: bytes, **more: Any) -> bytes:
    return lookup(b"", length="-", transfer_encoding="chunked", **more) + after_head


# HTTP


def truncated() -> Iterator[tuple[str, bytes]]:
    body = b'{"LookupAttributes":[{"AttributeKey":"EventName","AttributeValue":"CreateKey"}],"MaxResults":10}'
    whole = lookup(body)
    for end in range(1, len(whole), 7):
        yield f"after {end} bytes", whole[:end]


def lengths() -> Iterator[tuple[str, bytes]]:
    body = b'{"MaxResults":1}'
    for surplus in (1, 2, 10, 1000, 10**6, 10**7):
        yield f"{surplus} bytes too long", lookup(body, length=str(len(body) + surplus))
    for missing in range(1, len(body)):
        yield f"{missing} bytes too short", lookup(body, length=str(len(body) - missing))
    for value in CASES["lengths"]:
        yield f"length {value!r}", lookup(body, length=value)
    yield "two lengths", lookup(body, length="16\r\nContent-Length: 17")
    yield "the same length twice", lookup(body, length="16\r\nContent-Length: 16")
    yield "length and chunks", lookup(b"10\r\n" + body + b"\r\n0\r\n\r\n", transfer_encoding="chunked")
    yield "over the limit", lookup(body, length=str(65 << 20))
    yield "far over the limit", lookup(body, length=str(1 << 50))
    yield "over the limit, to continue", lookup(b"", length=str(1 << 40), expect="100-continue")
    yield "an expectation that nobody meets", lookup(body, expect="200-ok")


def noise() -> Iterator[tuple[str, bytes]]:
    source = random.Random(4566)
    for number in range(60):
        # The first byte starts no method's name, and is no line's end, which a server may skip.
        yield f"{number}", bytes([source.randrange(128, 256)]) + source.randbytes(source.randrange(4096))
    whole = bytearray(GOOD)
    for number in range(30):
        broken = bytearray(whole)
        at = source.randrange(4, GOOD.index(b"\r\n"))
        broken[at] = source.choice(b"\x00\x01\x7f\x80\xff\n")
        yield f"request line, {number}", bytes(broken)


def other_protocols() -> Iterator[tuple[str, bytes]]:
    yield "TLS hello", bytes.fromhex("16030100c8010000c40303") + bytes(range(189))
    yield "HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9)
    yield "SSH", b"SSH-2.0-OpenSSH_9.6\r\n"
    yield "SMTP", b"EHLO example.com\r\n"
    yield "Redis", b"*1\r\n$4\r\nPING\r\n"
    yield "SOCKS", b"\x05\x01\x00"
    yield "PROXY", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + GOOD
    yield "HTTP/0.9", b"GET /\r\n\r\n"
    yield "HTTP/9.9", GOOD.replace(b"HTTP/1.1", b"HTTP/9.9", 1)
    yield "no protocol's name", GOOD.replace(b"HTTP/1.1", b"FTP/1.1", 1)
    yield "lower-case method", GOOD.replace(b"POST", b"post", 1)
    yield "unknown method", GOOD.replace(b"POST", b"FETCH", 1)
    yield "CONNECT", b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n"
    yield "TRACE", b"TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def header_bombs() -> Iterator[tuple[str, bytes]]:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
    yield "one long value", head + b"X-A: " + b"v" * (1 << 20) + b"\r\n\r\n"
    yield "one long name", head + b"n" * (1 << 20) + b": v\r\n\r\n"
    yield "a value without an end", head + b"X-A: " + b"v" * (4 << 20)
    yield "many", head + b"".join(b"X-%d: v\r\n" % number for number in range(100_000)) + b"\r\n"
    yield "many of one name", head + b"X-A: v\r\n" * 100_000 + b"\r\n"
    yield "a few hundred", head + b"".join(b"X-%d: v\r\n" % number for number in range(400)) + b"\r\n"
    yield "a long path", b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n\r\n"
    yield "a long query", b"GET /?" + b"a=b&" * (1 << 18) + b" HTTP/1.1\r\n\r\n"
    yield "a long target", lookup(b"{}", x_amz_target="A" * 100_000)
    yield "a long date", lookup(b"{}", x_amz_date="2" * 100_000)
    yield "a long authorization", lookup(b"{}", auth="AWS4-HMAC-SHA256 " + "Credential=a," * 10_000)
    yield "empty lines without an end", b"\r\n" * (1 << 20)


def bad_headers() -> Iterator[tuple[str, bytes]]:
    head, body = GOOD.split(b"\r\n\r\n", 1)
    for name, line in {
        "NUL in a value": b"X-A: a\x00b",
        "NUL in a name": b"X-\x00A: b",
        "control in a value": b"X-A: a\x01b",
        "bare CR": b"X-A: a\rb",
        "DEL in a name": b"X-\x7f: b",
        "space in a name": b"X A: b",
        "space before the colon": b"X-A : b",
        "no colon": b"X-A",
        "no name": b": b",
        "folded": b"X-A: a\r\n b",
        "folded with a tab": b"X-A: a\r\n\tb",
        "not ASCII in a name": b"X-\xc3\xa9: b",
        "parentheses in a name": b"X-(A): b",
    }.items():
        yield name, head + b"\r\n" + line + b"\r\n\r\n" + body


def bad_chunks() -> Iterator[tuple[str, bytes]]:
    piece = b'{"MaxResults":1}'
    good = b"10\r\n" + piece + b"\r\n"
    for name, after_head in {
        "no chunks": b"",
        "size not hexadecimal": b"xyz\r\n" + piece + b"\r\n0\r\n\r\n",
        "size missing": b"\r\n" + piece + b"\r\n0\r\n\r\n",
        "size negative": b"-10\r\n" + piece + b"\r\n0\r\n\r\n",
        "size with 0x": b"0x10\r\n" + piece + b"\r\n0\r\n\r\n",
        "size overflows": b"F" * 17 + b"\r\n" + piece,
        "size without an end": b"1" * 1000,
        "size huge": b"7fffffffffffffff\r\n" + piece,
        "size over the limit": b"5000000\r\n" + piece,
        "chunk too short": b"20\r\n" + piece + b"\r\n0\r\n\r\n",
        "chunk too long": b"0f\r\n" + piece + b"\r\n0\r\n\r\n",
        "no end of the chunk": b"10\r\n" + piece + b"0\r\n\r\n",
        "bare LF": b"10\n" + piece + b"\n0\n\n",
        "no last chunk": good,
        "no last line": good + b"0\r\n",
        "cut in the size": good + b"1",
        "cut in a chunk": good + b"ff\r\nabc",
        "bad extension": b"10;\x00=1\r\n" + piece + b"\r\n0\r\n\r\n",
        "extension without an end": b"10;" + b"e" * (1 << 20),
        "bad trailer": good + b"0\r\nX-\x00: b\r\n\r\n",
        "trailers without an end": good + b"0\r\n" + b"X-A: b\r\n" * 100_000,
        "a trailer without an end": good + b"0\r\nX-A: " + b"v" * (1 << 20),
    }.items():
        yield name, chunked(after_head)
    for coding in ("gzip", "identity", "chunked, gzip", "gzip, chunked", "chunked, chunked", "xchunked", '"chunked"'):
        more = {"transfer_encoding": coding}
        yield f"coding {coding}", lookup(b"", length="-", **more) + good + b"0\r\n\r\n"


def bad_paths() -> Iterator[tuple[str, bytes]]:
    for path in CASES["paths"]:
        yield f"S3 key {path}", s3("PUT", f"/bucket/{path}?tagging", b"<Tagging")
        yield f"S3 bucket {path}", s3("POST", f"/{path}?delete", b"<Delete")
        yield f"schedule {path}", request("POST", f"/schedules/{path}", b"{", service="scheduler")
    for raw in (b"/\xff\xfe", b"/\xc3\xa9", "/ключ".encode(), b"/\x7f", b"/a\tb", b"/a\x00b"):
        yield f"raw {raw!r}", b"BREW " + raw + b" HTTP/1.1\r\nHost: a\r\n\r\n"


# JSON


def bad_json() -> Iterator[tuple[str, bytes]]:
    for text in CASES["json"]:
        yield text, lookup(text.encode())
    for document in ("[]", "[{}]", "1", "-1.5", "true", '"{}"'):
        yield f"document {document}", lookup(document.encode())
    yield "UTF-16", lookup('{"MaxResults":1}'.encode("utf-16"))
    yield "UTF-32", lookup('{"MaxResults":1}'.encode("utf-32"))


def bad_utf8() -> Iterator[tuple[str, bytes]]:
    for name, raw in {
        "0xff": b"\xff",
        "continuation alone": b"\x80",
        "cut sequence": b"\xe2\x82",
        "overlong NUL": b"\xc0\x80",
        "overlong slash": b"\xe0\x80\xaf",
        "surrogate": b"\xed\xa0\x80",
        "beyond Unicode": b"\xf4\x90\x80\x80",
        "five bytes": b"\xf8\x88\x80\x80\x80",
        "Latin-1": b"caf\xe9",
    }.items():
        yield f"{name} in a value", lookup(b'{"NextToken":"' + raw + b'"}')
        yield f"{name} in a name", lookup(b'{"' + raw + b'":1}')
        yield f"{name} outside", lookup(raw + b"{}")


def deep_json() -> Iterator[tuple[str, bytes]]:
    for depth in (1001, 5000, 100_000, 2_000_000):
        yield f"{depth} lists", lookup(b'{"LookupAttributes":' + b"[" * depth + b"]" * depth + b"}")
        yield f"{depth} objects", lookup(b'{"a":' * depth + b"1" + b"}" * depth)
        yield f"{depth} open lists", lookup(b"[" * depth)
        yield f"{depth} open objects", lookup(b'{"a":' * depth)
        yield f"{depth} in an unknown member", lookup(b'{"x":' + b'[{"y":' * depth + b"0" + b"}]" * depth + b"}")


#: Values that a member of LookupEvents cannot have, too large to be written out.
_ATTRIBUTE = {"AttributeKey": "EventName", "AttributeValue": "x"}
LARGE: dict[str, list[Any]] = {
    "LookupAttributes": [[{**_ATTRIBUTE, "AttributeValue": "x" * 2001}], [_ATTRIBUTE] * 5000],
    "MaxResults": [10**300],
    "NextToken": ["A" * 5000],
}


def wrong_types() -> Iterator[tuple[str, bytes]]:
    for member, values in CASES["lookup_events"].items():
        for value in [*values, *LARGE.get(member, [])]:
            text = json.dumps({member: value})
            yield text[:80], lookup(text.encode())
    yield "times the wrong way round", lookup(b'{"StartTime":1700000001,"EndTime":1700000000}')


def huge_numbers() -> Iterator[tuple[str, bytes]]:
    for number in (
        "1e400",
        "-1e400",
        "9" * 400,
        "9" * 5000,
        "-" + "9" * 100_000,
        "1e99999999999",
        "0." + "0" * 5000 + "1e9999",
    ):
        for member in ("MaxResults", "StartTime", "EndTime"):
            yield f"{member} {number[:20]}", lookup(f'{{"{member}":{number}}}'.encode())


# Encodings of the content


def bad_gzip() -> Iterator[tuple[str, bytes]]:
    good = gzip.compress(b'{"MaxResults":1}', mtime=0)
    zeros = gzip.compress(bytes(100 << 20), 9, mtime=0)
    for name, body in {
        "not gzip": b'{"MaxResults":1}',
        "header only": good[:10],
        "cut in the stream": good[:-12],
        "cut in the trailer": good[:-3],
        "wrong checksum": good[:-8] + bytes(4) + good[-4:],
        "wrong length": good[:-4] + b"\xff\xff\xff\xff",
        "wrong method": good[:2] + b"\x07" + good[3:],
        "wrong magic": b"\x1f\x8c" + good[2:],
        "noise in the stream": good[:12] + b"\xff" * 20 + good[32:],
        "noise behind": good + b"trailing noise",
        "zlib": zlib.compress(b'{"MaxResults":1}'),
        "raw deflate": zlib.compress(b'{"MaxResults":1}')[2:-4],
        "reserved flags": good[:3] + b"\xe0" + good[4:],
        "name without an end": good[:3] + b"\x08" + good[4:10] + b"n" * 100_000,
        "bomb": zeros,
        "bomb in a bomb": gzip.compress(zeros, 9, mtime=0),
        "bomb of members": gzip.compress(bytes(1 << 20), 9, mtime=0) * 150,
        "bomb of empty members": gzip.compress(b"", mtime=0) * 200_000,
        "bomb of JSON": gzip.compress(b'{"NextToken":"' + b"a" * (70 << 20) + b'"}', 9, mtime=0),
        "bomb of depth": gzip.compress(b"[" * (20 << 20), 9, mtime=0),
        "bomb that is cut": zeros[:-1000],
    }.items():
        yield name, lookup(body, content_encoding="gzip")
    for coding in ("br", "zstd", "compress", "gzip, br", "nonsense"):
        yield f"coding {coding}", lookup(b"\x0b\x07\x80{}\x03", content_encoding=coding)


# CBOR


def bad_cbor() -> Iterator[tuple[str, bytes]]:
    for name, body in {
        "cut map": b"\xa1",
        "cut key": b"\xa1\x69Names",
        "cut value": b"\xa1\x69Namespace",
        "map of huge size": b"\xbb\x7f\xff\xff\xff\xff\xff\xff\xff",
        "list of huge size": b"\xa1\x6aMetricData\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",
        "bytes of huge size": b"\xa1\x69Namespace\x5b\x00\x00\x7f\xff\xff\xff\xff\xff",
        "text of huge size": b"\xa1\x69Namespace\x7b\x00\x00\x7f\xff\xff\xff\xff\xff",
        "endless map": b"\xbf",
        "endless list": b"\xa1\x6aMetricData\x9f",
        "endless text": b"\xa1\x69Namespace\x7f\x61a",
        "number in endless text": b"\xa1\x69Namespace\x7f\x01\xff",
        "endless text in endless text": b"\xa1\x69Namespace\x7f\x7f\x61a\xff\xff",
        "break alone": b"\xff",
        "break as a value": b"\xa1\x69Namespace\xff",
        "odd map": b"\xbf\x69Namespace\xff",
        "reserved size": b"\xbc",
        "reserved text": b"\xa1\x69Namespace\x7c",
        "reserved simple": b"\xa1\x69Namespace\xf8\x10",
        "number as a key": b"\xa1\x01\x61a",
        "list as a key": b"\xa1\x80\x61a",
        "bytes as a key": b"\xa1\x49Namespace\x61a",
        "text not UTF-8": b"\xa1\x69Namespace\x62\xff\xfe",
        "key not UTF-8": b"\xa1\x62\xff\xfe\x61a",
        "list as the document": b"\x80",
        "number as the document": b"\x18\x2a",
        "text as the document": b"\x62{}",
        "two documents": b"\xa0\xa0",
        "tag alone": b"\xc1",
        "tags without an end": b"\xc1" * 100_000,
        "deep lists": b"\x81" * 100_000,
        "deep maps": b"\xa1\x61a" * 100_000,
        "deep endless lists": b"\x9f" * 1_000_000,
        "timestamp as text": b"\xa1\x69StartTime\xc1\x65today",
        "timestamp NaN": b"\xa1\x69StartTime\xc1\xfb\x7f\xf8\x00\x00\x00\x00\x00\x00",
        "timestamp huge": b"\xa1\x69StartTime\xc1\xfb" + struct.pack(">d", 1e300),
        "namespace a number": b"\xa1\x69Namespace\x01",
        "namespace a list": b"\xa1\x69Namespace\x80",
        "namespace null": b"\xa1\x69Namespace\xf6",
        "data a map": b"\xa1\x6aMetricData\xa0",
        "data of numbers": b"\xa1\x6aMetricData\x83\x01\x02\x03",
        "JSON": b'{"Namespace":"a"}',
        "huge integer": b"\xa1\x69Namespace\x1b" + b"\xff" * 8,
        "noise": random.Random(1).randbytes(2000),
    }.items():
        yield name, cbor(body)
    yield "unknown operation", cbor(b"\xa0", "Nope")
    yield "no operation", request(path="/service/GraniteServiceVersion20100801/operation/", service="monitoring")
    yield "unknown service", request(path="/service/Nope/operation/Nope", body=b"\xa0", smithy_protocol="rpc-v2-cbor")


# Query


def bad_query() -> Iterator[tuple[str, bytes]]:
    for body in CASES["query"]:
        yield body, query(body.encode())
        yield f"{body} for STS", query(body.encode(), "sts")
    version = "Action=PutMetricData&Version=2010-08-01"
    large = (
        "MetricData.member.1.Value=" + "9" * 10_000,
        "MetricData." + "member.1." * 10_000 + "a=1",
        "&".join(f"MetricData.member.{number}.MetricName=a" for number in range(1001)),
        "&".join(f"x{number}=1" for number in range(50_000)),
        "Namespace=" + "n" * 1_000_000,
    )
    for rest in (*CASES["put_metric_data"], *large):
        yield f"PutMetricData {rest[:60]}", query(f"{version}&{rest}".encode())
    yield "not ASCII", query("Action=Действие".encode())
    yield "noise", query(random.Random(2).randbytes(5000))
    yield "in the URL", request("GET", "/?Action=%zz&Version=%", service="monitoring")


# XML

_LAUGHS = "".join(
    f'<!ENTITY l{level} "{f"&l{level - 1};" * 10}">' if level else '<!ENTITY l0 "lol">' for level in range(12)
)
XML: dict[str, bytes] = {
    "billion laughs": f"<?xml version='1.0'?><!DOCTYPE l [{_LAUGHS}]><Tagging>&l11;</Tagging>".encode(),
    "quadratic blow-up": (
        b'<!DOCTYPE l [<!ENTITY a "' + b"a" * 100_000 + b'">]><Tagging>' + b"&a;" * 20_000 + b"</Tagging>"
    ),
    "external entity": b'<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]><Tagging>&a;</Tagging>',
    "external subset": b'<!DOCTYPE l SYSTEM "http://127.0.0.1:1/evil.dtd"><Tagging/>',
    "parameter entity": b'<!DOCTYPE l [<!ENTITY % a SYSTEM "http://127.0.0.1:1/"> %a;]><Tagging/>',
    "not closed": b"<Tagging><TagSet>",
    "crossed": b"<Tagging><TagSet></Tagging></TagSet>",
    "deep": b"<a>" * 200_000,
    "many attributes": b"<Tagging " + b"".join(b'a%d="" ' % number for number in range(50_000)) + b"/",
    "attribute twice": b'<Tagging a="1" a="2"/>',
    "control characters": b"<Tagging>\x01\x02</Tagging>",
    "wrong encoding": b"<?xml version='1.0' encoding='utf-16'?><Tagging/>",
    "unknown encoding": b"<?xml version='1.0' encoding='nope'?><Tagging/>",
    "not UTF-8": b"<Tagging>\xff</Tagging>",
    "JSON": b'{"TagSet":[]}',
    "noise": random.Random(3).randbytes(3000),
}
XML_OPERATIONS = {
    "PutObjectTagging": ("PUT", "/bucket/key?tagging"),
    "DeleteObjects": ("POST", "/bucket?delete"),
    "PutBucketLifecycle": ("PUT", "/bucket?lifecycle"),
    "CompleteMultipartUpload": ("POST", "/bucket/key?uploadId=1"),
}


def bad_xml() -> Iterator[tuple[str, bytes]]:
    for operation, (method, path) in XML_OPERATIONS.items():
        for name, body in XML.items():
            yield f"{name} to {operation}", s3(method, path, body, content_type="application/xml")


def bad_streams() -> Iterator[tuple[str, bytes]]:
    signature = "0" * 64
    for name, body in {
        "no chunks": b"",
        "no signature": b"5\r\nhello\r\n0\r\n\r\n",
        "size not hexadecimal": f"zz;chunk-signature={signature}\r\nhello\r\n".encode(),
        "size huge": f"ffffffffffffffff;chunk-signature={signature}\r\nhello\r\n".encode(),
        "size without an end": b"1" * 100_000,
        "cut": f"ff;chunk-signature={signature}\r\nhello".encode(),
        "short signature": b"5;chunk-signature=00\r\nhello\r\n0;chunk-signature=00\r\n\r\n",
        "no last chunk": f"5;chunk-signature={signature}\r\nhello\r\n".encode(),
        "wrong length": f"5;chunk-signature={signature}\r\nhello\r\n0;chunk-signature={signature}\r\n\r\n".encode(),
    }.items():
        for kind in ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"):
            headers = {"content_encoding": "aws-chunked", "x_amz_decoded_content_length": "7"}
            yield f"{name}, {kind}", s3("PUT", "/bucket/key?tagging", body, x_amz_content_sha256=kind, **headers)


# Which call, and whose


def bad_targets() -> Iterator[tuple[str, bytes]]:
    for target in (*CASES["targets"], "x" * 5000, "a." * 5000):
        yield f"target {target[:50]!r}", lookup(b"{}", x_amz_target=target)
    yield "two targets", lookup(b"{}", x_amz_target="CloudTrail_20131101.LookupEvents\r\nX-Amz-Target: A.B")
    yield "no target", lookup(b"{}", x_amz_target="-")
    yield "nothing", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
    yield "a body of no kind", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"
    for scope in ("nope", "", "../..", "s3\x7f", "x" * 5000):
        yield f"service {scope[:20]!r}", request("GET", "/", auth=authorization(scope))


def bad_authorization() -> Iterator[tuple[str, bytes]]:
    for value in CASES["authorization"]:
        # With a body that is wrong too: a server that takes any credentials has reason to refuse it all the same.
        yield value[:90], lookup(b'{"MaxResults":"ten"}', auth=value)
    for url in CASES["presigned"]:
        yield f"presigned {url[:70]}", s3("GET", f"/bucket/key?tagging&{url}", auth="-")


def _bad_signatures() -> Iterator[tuple[str, bytes]]:
    for name, value in {
        "unknown key": authorization("cloudtrail", "AKIAIOSFODNN7EXAMPLE"),
        "an account for a key": authorization("cloudtrail"),
        "empty signature": authorization("cloudtrail", signature=""),
        "short signature": authorization("cloudtrail", signature="00"),
        "signature not hexadecimal": authorization("cloudtrail", signature="z" * 64),
        "long key": authorization("cloudtrail", "A" * 10_000),
        "key with an injection": authorization("cloudtrail", "' OR 1=1 --"),
        "nobody": "-",
        "basic": "Basic dXNlcjpwYXNz",
        "bearer": "Bearer token",
        "empty": "",
        "version 2": "AWS AKIAIOSFODNN7EXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg=",
    }.items():
        yield name, lookup(b'{"MaxResults":1}', auth=value)


GROUPS: tuple[Group, ...] = (
    truncated,
    lengths,
    noise,
    other_protocols,
    header_bombs,
    bad_headers,
    bad_chunks,
    bad_paths,
    bad_json,
    bad_utf8,
    deep_json,
    wrong_types,
    huge_numbers,
    bad_gzip,
    bad_cbor,
    bad_query,
    bad_xml,
    bad_streams,
    bad_targets,
    bad_authorization,
)
