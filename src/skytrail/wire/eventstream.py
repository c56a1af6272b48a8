"""Event streams going out: `application/vnd.amazon.eventstream` messages, and an operation's events made into them."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

from botocore.model import OperationModel, Shape, StructureShape

from skytrail.errors import ServiceError

CONTENT_TYPE = "application/vnd.amazon.eventstream"

#: The format's limits: a header's block, a header's value, a message's payload.
_MOST_HEADERS, _MOST_VALUE, _MOST_PAYLOAD = 128 * 1024, 2**15 - 1, 16 * 1024 * 1024
_PRELUDE = struct.Struct("!II")
_CRC = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Int8:
    value: int


@dataclass(frozen=True, slots=True)
class Int16:
    value: int


@dataclass(frozen=True, slots=True)
class Int32:
    value: int


@dataclass(frozen=True, slots=True)
class Int64:
    value: int


#: A plain int becomes an Int32 where it fits, else an Int64.
HeaderValue = bool | int | Int8 | Int16 | Int32 | Int64 | bytes | str | datetime | uuid.UUID
Headers = Iterable[tuple[str, HeaderValue]]

#: Writes a member of the model as the protocol's document: a codec's own function.
Write = Callable[[Shape, Any], bytes]

_INTEGERS: Mapping[type, tuple[int, struct.Struct]] = {
    Int8: (2, struct.Struct("!b")),
    Int16: (3, struct.Struct("!h")),
    Int32: (4, struct.Struct("!i")),
    Int64: (5, struct.Struct("!q")),
}


def encode_message(headers: Headers, payload: bytes = b"") -> bytes:
    block = b"".join(_header(name, value) for name, value in headers)
    if len(block) > _MOST_HEADERS or len(payload) > _MOST_PAYLOAD:
        raise ValueError("an event stream message is larger than the format allows")
    prelude = _PRELUDE.pack(16 + len(block) + len(payload), len(block))
    checked = crc32(prelude)
    message = b"".join((prelude, _CRC.pack(checked), block, payload))
    return message + _CRC.pack(crc32(message))


def _header(name: str, value: HeaderValue) -> bytes:
    written = name.encode()
    if not 1 <= len(written) <= 255:
        raise ValueError(f"an event stream header's name has 1 to 255 bytes, not {len(written)}")
    return bytes((len(written),)) + written + _header_value(value)


def _header_value(value: HeaderValue) -> bytes:
    if isinstance(value, bool):
        return b"\x00" if value else b"\x01"
    if isinstance(value, int):
        value = Int32(value) if -(2**31) <= value < 2**31 else Int64(value)
    if isinstance(value, Int8 | Int16 | Int32 | Int64):
        kind, form = _INTEGERS[type(value)]
        return bytes((kind,)) + form.pack(value.value)
    if isinstance(value, datetime):
        return b"\x08" + struct.pack("!q", milliseconds(value))
    if isinstance(value, uuid.UUID):
        return b"\x09" + value.bytes
    kind, written = (6, value) if isinstance(value, bytes) else (7, value.encode())
    if len(written) > _MOST_VALUE:
        raise ValueError(f"an event stream header's value has at most {_MOST_VALUE} bytes, not {len(written)}")
    return struct.pack("!BH", kind, len(written)) + written


def milliseconds(moment: datetime) -> int:
    """Exact: a float of seconds would lose the last digit."""
    delta = moment - datetime.fromtimestamp(0, moment.tzinfo)
    return delta.days * 86_400_000 + delta.seconds * 1000 + delta.microseconds // 1000


class EventStream:
    """The events of one operation's output. `write` makes a payload of a modelled value, in the call's protocol."""

    def __init__(self, operation: OperationModel, protocol: str, write: Write) -> None:
        member = operation.get_event_stream_output()
        if not isinstance(member, StructureShape):
            raise ValueError(f"{operation.name} answers no event stream")
        self._output = operation.output_shape
        self._events = member.members
        self._write = write
        self._document_type = _DOCUMENT_TYPES[protocol]

    def initial_response(self, output: Mapping[str, Any]) -> bytes:
        """The output's other members, in the first message. REST carries them in headers and needs none."""
        streamed = {name for name, shape in self._output.members.items() if shape.serialization.get("eventstream")}
        members = {name: value for name, value in output.items() if name not in streamed}
        return self._message("initial-response", self._document_type, self._write(self._output, members))

    def event(self, name: str, value: Mapping[str, Any]) -> bytes:
        """One event, by its member's name; an exception of the model goes out as one."""
        shape = self._events[name]
        headers: list[tuple[str, HeaderValue]] = []
        rest: dict[str, Any] = {}
        payload: tuple[Shape, Any] | None = None
        for key, each in value.items():
            member = shape.members[key]
            if each is None:
                continue
            if member.serialization.get("eventheader"):
                headers.append((key, _header_of(member, each)))
            elif member.serialization.get("eventpayload"):
                payload = (member, each)
            else:
                rest[key] = each
        kind = "exception" if shape.metadata.get("exception") else "event"
        if payload is not None:
            return self._message(name, *self._payload(*payload), kind=kind, headers=headers)
        if rest or not _is_bare(shape):
            return self._message(name, self._document_type, self._write(shape, rest), kind=kind, headers=headers)
        return self._message(name, None, b"", kind=kind, headers=headers)

    def failure(self, error: ServiceError) -> bytes:
        """The last message of a stream that ends in an error: a modelled exception, else a bare code and message."""
        for name, shape in self._events.items():
            if shape.metadata.get("exception") and error.code in (name, shape.name, shape.error_code):
                given = {"message": error.message, **error.members}
                known = {member.lower(): member for member in shape.members}
                members = {known[key.lower()]: value for key, value in given.items() if key.lower() in known}
                return self.event(name, members)
        return encode_message(
            (
                (":message-type", "error"),
                (":error-code", error.code),
                (":error-message", (error.message or "")[: _MOST_VALUE // 4]),
            )
        )

    def _payload(self, shape: Shape, value: Any) -> tuple[str, bytes]:
        if shape.type_name == "blob":
            return "application/octet-stream", value.encode() if isinstance(value, str) else bytes(value)
        if shape.type_name == "string":
            return "text/plain", value.encode()
        return self._document_type, self._write(shape, value)

    def _message(
        self, name: str, content_type: str | None, payload: bytes, *, kind: str = "event", headers: Headers = ()
    ) -> bytes:
        typed: list[tuple[str, HeaderValue]] = [(":message-type", kind), (f":{kind}-type", name)]
        if content_type is not None:
            typed.append((":content-type", content_type))
        return encode_message((*typed, *headers), payload)


_DOCUMENT_TYPES = {
    "json": "application/json",
    "rest-json": "application/json",
    "rest-xml": "text/xml",
    "smithy-rpc-v2-cbor": "application/cbor",
}


def _is_bare(shape: Shape) -> bool:
    """An event all of whose members are headers or the payload, or that has none, carries no document of its own."""
    return isinstance(shape, StructureShape) and all(
        member.serialization.get("eventheader") or member.serialization.get("eventpayload")
        for member in shape.members.values()
    )


def _header_of(shape: Shape, value: Any) -> HeaderValue:
    if shape.type_name in ("integer", "long"):
        return Int32(value) if shape.type_name == "integer" else Int64(value)
    if shape.type_name == "timestamp" and not isinstance(value, datetime):
        return datetime.fromtimestamp(value, UTC)
    written: HeaderValue = value.encode() if shape.type_name == "blob" and isinstance(value, str) else value
    return written
