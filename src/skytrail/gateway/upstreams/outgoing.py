"""The request that goes to an upstream: as it came, or made ready to be signed anew, or made of a parsed input."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote

from botocore.serialize import create_serializer
from botocore.utils import percent_encode_sequence

from ...call import Call
from ...wire import sigv4
from ...wire.bodies import Body
from ...wire.http import Request
from ...work.ids import Ids

#: What holds for one connection only (RFC 9110), and what the HTTP client writes itself.
_HOP_BY_HOP = frozenset(
    {
        "connection", "content-length", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
_SIGNATURE_HEADERS = frozenset({"authorization", "date", "x-amz-date", "x-amz-security-token"})
_SIGNATURE_PARAMETERS = frozenset(
    {
        "x-amz-algorithm", "x-amz-content-sha256", "x-amz-credential", "x-amz-date", "x-amz-expires",
        "x-amz-security-token", "x-amz-signature", "x-amz-signedheaders",
    }
)  # fmt: skip
_VERSION_2_PARAMETERS = frozenset({"awsaccesskeyid", "expires", "signature"})
#: Pieces of a body that is encoded anew in aws-chunked.
_CHUNK = 64 * 1024


@dataclass(slots=True)
class Outgoing:
    #: Its body is not here; a path and a query as they go out.
    head: Request
    body: bytes | AsyncIterable[bytes]
    #: Of the body as it goes out; None where it is not known.
    length: int | None
    #: What stands for the body in a new signature.
    payload: str


def as_sent(call: Call) -> Outgoing:
    """As it came, its signature and its Host with it."""
    sent = call.sent
    assert sent is not None
    head = Request(sent.method, _ascii(sent.path) or "/", _ascii(sent.query), end_to_end(sent.headers))
    if sent.stream is None:
        return Outgoing(head, sent.body, len(sent.body), "")
    length = sent.headers.get("content-length")
    return Outgoing(head, _checked(sent.stream.raw()), int(length) if length is not None else None, "")


def unsigned(call: Call) -> Outgoing:
    """Without the signature that it came with. A body in aws-chunked is decoded, since its chunks were signed too."""
    assert call.route is not None
    assert call.sent is not None
    is_s3 = call.route.service.signing_name in sigv4.PATH_AS_SENT
    request = call.request if is_s3 else call.sent
    headers = {
        name: value for name, value in end_to_end(request.headers).items() if name not in _SIGNATURE_HEADERS | {"host"}
    }
    trailer = headers.pop("x-amz-trailer", "") if is_s3 else ""
    if is_s3:
        headers.pop("x-amz-decoded-content-length", None)
    head = Request(
        request.method, _ascii(call.route.path or request.path) or "/", _ascii(_unsigned_query(request.query)), headers
    )
    if request.stream is None:
        return Outgoing(head, request.body, len(request.body), _payload(call, request.body))
    stream = request.stream
    if not trailer:
        return Outgoing(head, _checked(stream), stream.length, sigv4.UNSIGNED_PAYLOAD)
    coding = headers.get("content-encoding")
    headers["content-encoding"] = f"aws-chunked,{coding}" if coding else "aws-chunked"
    headers["x-amz-trailer"] = trailer
    headers["x-amz-decoded-content-length"] = str(stream.length)
    return Outgoing(head, _chunked(stream), None, sigv4.STREAMING_UNSIGNED_TRAILER)


def serialized(call: Call, ids: Ids) -> Outgoing:
    """Of a call that one of our services makes: its input in its protocol."""
    assert call.route is not None
    operation = call.route.operation
    parameters = dict(call.input or {})
    for member in operation.idempotent_members:
        parameters.setdefault(member, ids.uuid())
    made = _serializer(call.route.protocol).serialize_to_request(parameters, operation)
    headers = {name.lower(): str(value) for name, value in made["headers"].items()}
    headers.setdefault("user-agent", call.request.headers.get("user-agent", ""))
    path, _, query = made["url_path"].partition("?")
    if more := made["query_string"]:
        more = more if isinstance(more, str) else percent_encode_sequence(more)
        query = f"{query}&{more}" if query else more
    body, length = _serialized_body(made["body"])
    if isinstance(body, bytes) and operation.http_checksum_required:
        headers.setdefault("content-md5", base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode())
    if length is None and "content-length" in headers:
        length = int(headers["content-length"])
    head = Request(made["method"], path or "/", query, end_to_end(headers))
    return Outgoing(head, body, length, _payload(call, body))


@cache
def _serializer(protocol: str) -> Any:
    return create_serializer(protocol, include_validation=False)


def _serialized_body(body: Any) -> tuple[bytes | AsyncIterable[bytes], int | None]:
    if isinstance(body, Body):
        return _checked(body), body.length
    if isinstance(body, AsyncIterable):
        return body, None
    if isinstance(body, Mapping):
        body = percent_encode_sequence(body)
    whole = body.encode() if isinstance(body, str) else bytes(body or b"")
    return whole, len(whole)


def _payload(call: Call, body: bytes | AsyncIterable[bytes]) -> str:
    assert call.route is not None
    if not isinstance(body, bytes) or call.route.operation.unsigned_payload:
        return sigv4.UNSIGNED_PAYLOAD
    return hashlib.sha256(body).hexdigest()


def end_to_end(headers: Mapping[str, str]) -> dict[str, str]:
    named = headers.get("connection")
    dropped = _HOP_BY_HOP | {name.strip().lower() for name in named.split(",")} if named else _HOP_BY_HOP
    return {name: value for name, value in headers.items() if name not in dropped}


def _unsigned_query(query: str) -> str:
    if "X-Amz-" not in query and "AWSAccessKeyId" not in query:
        return query
    parts = query.split("&")
    names = [part.partition("=")[0].lower() for part in parts]
    dropped = _SIGNATURE_PARAMETERS | (_VERSION_2_PARAMETERS if "awsaccesskeyid" in names else frozenset())
    return "&".join(part for part, name in zip(parts, names, strict=True) if name not in dropped)


def _ascii(text: str) -> str:
    """Bytes that no URL may hold are encoded: the HTTP client would write them as something else."""
    return text if text.isascii() else quote(text, safe="!\"#$%&'()*+,/:;<=>?@[\\]^_`{|}~", encoding="latin-1")


async def _checked(pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The same pieces, each once the next has come: the last is given when the whole body has been checked, so that
    the upstream never has a whole body that was not signed so."""
    held = b""
    async for piece in pieces:
        if held:
            yield held
        held = piece
    if held:
        yield held


async def _chunked(body: Body) -> AsyncIterator[bytes]:
    """In aws-chunked, unsigned, with the trailers that the body came with."""
    held = bytearray()
    async for piece in body:
        held += piece
        while len(held) >= _CHUNK:
            yield _chunk(held[:_CHUNK])
            del held[:_CHUNK]
    if held:
        yield _chunk(held)
    trailers = "".join(f"{name}:{value}\r\n" for name, value in body.trailers.items())
    yield b"0\r\n" + trailers.encode("latin-1") + b"\r\n"


def _chunk(data: bytes | bytearray) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), bytes(data))
