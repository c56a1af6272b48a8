"""A request's body before its protocol: inflated, and bounded in size, ratio and nesting.

Every limit is an argument; nothing here allocates more than the limits allow.
"""

from __future__ import annotations

import re
import zlib
from array import array
from itertools import accumulate

from skytrail.errors import ServiceError
from skytrail.settings import Limits

from .http import Request

_GZIP_WINDOW = 16 + zlib.MAX_WBITS
#: Input and output go in steps of this size, so that a limit is met before the memory is spent.
_INPUT_STEP, _OUTPUT_STEP = 64 * 1024, 256 * 1024
#: Below this size no ratio is judged: a few zeros deflate to almost nothing.
_RATIO_FLOOR = 1024 * 1024
#: A body of empty members would otherwise cost time that no other limit bounds.
_MEMBERS = 10_000
#: Objects and arrays of one JSON document: two bytes may be one, which costs a hundred once it is read.
_MOST_CONTAINERS = 1_000_000
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([A-Za-z0-9._:-]+)\"?", re.IGNORECASE)
#: Python's other codecs include slow ones (punycode) that no AWS client sends.
_CHARSETS = frozenset({"iso-8859-1", "latin1", "windows-1252", "utf-16", "utf-16le", "utf-16be"})
_NOT_STRUCTURE = bytes(sorted(set(range(256)) - set(b'"[]{}')))
_STEPS = bytes(1 if byte in b"[{" else 255 if byte in b"]}" else 0 for byte in range(256))


def read(request: Request, protocol: str, limits: Limits) -> None:
    """Makes the request's body what its protocol reads. It is as it came until its signature is verified.

    What S3 stores keeps its encoding: there it belongs to the object. XML is bounded where it is parsed.
    """
    if protocol == "rest-xml" or not request.body:
        return
    headers = request.headers
    body = decode(
        request.body,
        headers.get("content-encoding"),
        inflated_bytes=limits.inflated_bytes,
        ratio=limits.inflate_ratio,
    )
    if protocol != "smithy-rpc-v2-cbor":
        content_type = headers.get("content-type", "")
        # A REST operation's body may be bytes of any kind, such as a function's payload.
        is_json = protocol == "json" or (protocol == "rest-json" and content_type.startswith("application/json"))
        if is_json or protocol in ("query", "ec2"):
            body = as_utf8(body, content_type)
            _bound(body, limits)
        if is_json:
            check_json_depth(body, limits.json_depth)
    else:
        _bound(body, limits)
    request.body = body


def _bound(document: bytes, limits: Limits) -> None:
    """What is parsed as a whole costs many times its size, so it has the inflated body's limit however it came."""
    if len(document) > limits.inflated_bytes:
        raise ServiceError(
            "RequestEntityTooLargeException", f"The body has more than {limits.inflated_bytes} bytes.", status=413
        )


def decode(body: bytes, encoding: str | None, *, inflated_bytes: int, ratio: int) -> bytes:
    """The body without its Content-Encoding. `aws-chunked` is not an encoding of the content: it was undone before."""
    codings = _codings(encoding)
    if len(codings) > 1 or (codings and codings[0] not in ("gzip", "x-gzip")):
        raise ServiceError("UnsupportedMediaType", f"Content-Encoding {encoding} is not supported.", status=415)
    return _inflate(body, inflated_bytes, ratio) if codings else body


def _codings(encoding: str | None) -> list[str]:
    names = [name.strip().lower() for name in encoding.split(",")] if encoding else []
    return [name for name in names if name not in ("", "identity", "aws-chunked")]


def _inflate(body: bytes, inflated_bytes: int, ratio: int) -> bytes:
    """One gzip member or several, up to the end of the body; bytes that belong to none are an error."""
    limit = min(inflated_bytes, max(len(body) * ratio, _RATIO_FLOOR))
    parts: list[bytes] = []
    size = position = 0
    try:
        for _ in range(_MEMBERS):
            member = zlib.decompressobj(_GZIP_WINDOW)
            pending = b""
            while not member.eof:
                if not pending:
                    pending = body[position : position + _INPUT_STEP]
                    position += len(pending)
                ended = not pending
                part = member.decompress(pending, min(_OUTPUT_STEP, limit - size + 1))
                pending = member.unconsumed_tail
                size += len(part)
                if size > limit:
                    raise _too_large(size, inflated_bytes, ratio)
                if part:
                    parts.append(part)
                elif ended and not member.eof:
                    raise _not_gzip("ends too early")
            position -= len(member.unused_data)
            if position == len(body):
                return parts[0] if len(parts) == 1 else b"".join(parts)
    except zlib.error as error:
        raise _not_gzip("is not valid") from error
    raise _not_gzip(f"has more than {_MEMBERS} members")


def _not_gzip(what: str) -> ServiceError:
    return ServiceError("SerializationException", f"The gzip body {what}.", status=400)


def _too_large(size: int, inflated_bytes: int, ratio: int) -> ServiceError:
    if size > inflated_bytes:
        message = f"The body inflates to more than {inflated_bytes} bytes."
    else:
        message = f"The body inflates to more than {ratio} times its size."
    return ServiceError("RequestEntityTooLargeException", message, status=413)


def peek(body: bytes, encoding: str | None, size: int) -> bytes:
    """The first bytes of the decoded body, or of the raw one where it cannot be decoded; never an error."""
    if not _codings(encoding):
        return body[:size]
    try:
        return zlib.decompressobj(_GZIP_WINDOW).decompress(body, size)
    except zlib.error:
        return b""


def charset(content_type: str | None) -> str:
    """The charset of a Content-Type, "utf-8" where it names none."""
    match = _CHARSET.search(content_type) if content_type else None
    return match[1].lower() if match else "utf-8"


def as_utf8(body: bytes, content_type: str | None) -> bytes:
    """The text body in UTF-8, whatever charset it came in."""
    name = charset(content_type)
    if name in ("utf-8", "utf8", "us-ascii", "ascii"):
        return body
    if name not in _CHARSETS:
        raise ServiceError("UnsupportedMediaType", f"The charset {name} is not supported.", status=415)
    try:
        return body.decode(name).encode()
    except UnicodeError as error:
        raise ServiceError("SerializationException", f"The body is not valid {name}.", status=400) from error


def check_json_depth(body: bytes, depth: int) -> None:
    """Refuses JSON that nests deeper. A body with few brackets passes on counting alone; no body costs a slow scan."""
    if body.count(b"[") + body.count(b"{") <= depth:
        return
    # Without escapes every quote opens or closes a string, so each second part between quotes is outside of strings.
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = b"".join(body.translate(None, _NOT_STRUCTURE).split(b'"')[::2])
    if brackets.count(b"[") + brackets.count(b"{") > _MOST_CONTAINERS:
        message = f"The JSON has more than {_MOST_CONTAINERS} objects and arrays."
        raise ServiceError("SerializationException", message, status=400)
    # Neighbours without children are as deep as one of them: halving them leaves little to walk, and the same depth.
    brackets = brackets.replace(b"[]", b"{}")
    size = 0
    while len(brackets) != size:
        size = len(brackets)
        brackets = brackets.replace(b"{}{}", b"{}")
    if max(accumulate(array("b", brackets.translate(_STEPS))), default=0) > depth:
        raise ServiceError("SerializationException", f"The JSON nests deeper than {depth} levels.", status=400)
