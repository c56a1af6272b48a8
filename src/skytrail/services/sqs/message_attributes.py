"""Attributes of messages: what they may be, how long they are, and their MD5."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Mapping
from typing import Any

import msgspec

from ...errors import ServiceError

MOST = 10
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,256}")
_NUMBER = re.compile(r"[+-]?(\d{1,38}(\.\d{0,38})?|\.\d{1,38})([eE][+-]?\d{1,3})?")
_TYPES = ("String", "Number", "Binary")
#: What XML 1.0 cannot carry.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Attributes = Mapping[str, Mapping[str, Any]]
encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(dict[str, dict[str, Any]]).decode


def check_text(text: str) -> None:
    if _FORBIDDEN.search(text):
        raise ServiceError(
            "InvalidMessageContents",
            "Invalid characters found. Valid unicode characters are "
            "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
        )


def check(attributes: Attributes) -> None:
    if len(attributes) > MOST:
        raise _wrong(f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum [{MOST}].")
    for name, attribute in attributes.items():
        _check_name(name)
        _check_value(name, attribute)


def check_system(attributes: Attributes) -> str | None:
    """The trace header."""
    for name, attribute in attributes.items():
        if name != "AWSTraceHeader":
            raise _wrong(f"Message system attribute name '{name}' is invalid: only AWSTraceHeader is supported.")
        if attribute["DataType"] != "String":
            raise _wrong(f"The message system attribute '{name}' must have the data type 'String'.")
        _check_value(name, attribute)
    header: str | None = attributes.get("AWSTraceHeader", {}).get("StringValue")
    return header


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise _wrong(
            f"Message (user) attribute name '{name}' is invalid: it can contain alphanumeric characters, underscores, "
            "hyphens and periods, 1 to 256 in length."
        )
    if name.startswith(".") or name.endswith(".") or ".." in name:
        raise _wrong(
            f"Message (user) attribute name '{name}' must not start or end with a period or have two in succession."
        )
    if name.lower().startswith(("aws.", "amazon.")):
        raise _wrong(f"You can't use message attribute names beginning with 'AWS.' or 'Amazon.': '{name}'.")


def _check_value(name: str, attribute: Mapping[str, Any]) -> None:
    data_type: str = attribute["DataType"]
    if not data_type:
        raise _wrong(f"The message attribute '{name}' must contain a non-empty attribute type.")
    kind = data_type.partition(".")[0]
    if kind not in _TYPES:
        raise _wrong(
            f"The message attribute '{name}' has an invalid message attribute type, "
            "the set of supported type prefixes is Binary, Number, and String."
        )
    if len(data_type) > 256:
        raise _wrong(f"The type of message attribute '{name}' is longer than 256 characters.")
    if attribute.get("StringListValues") or attribute.get("BinaryListValues"):
        raise ServiceError(
            "UnsupportedOperation", "Message attribute list values in SendMessage operation are not supported."
        )
    member, other = ("BinaryValue", "StringValue") if kind == "Binary" else ("StringValue", "BinaryValue")
    if attribute.get(other) is not None:
        raise _wrong(f"The message attribute '{name}' with type '{data_type}' must use field '{member}'.")
    value = attribute.get(member)
    if not value:
        raise _wrong(
            f"The message attribute '{name}' must contain a non-empty message attribute value "
            f"for message attribute type '{data_type}'."
        )
    if kind != "Binary":
        check_text(value)
    if kind == "Number" and not _NUMBER.fullmatch(value):
        raise _wrong(f"Can't cast the value of message attribute '{name}' to a number.")


def _wrong(message: str) -> ServiceError:
    return ServiceError("InvalidParameterValue", message)


def stored(attributes: Attributes) -> dict[str, dict[str, Any]]:
    """Without what is empty."""
    return {
        name: {
            member: attribute[member] for member in ("DataType", "StringValue", "BinaryValue") if attribute.get(member)
        }
        for name, attribute in attributes.items()
    }


def _bytes(attribute: Mapping[str, Any]) -> bytes:
    value = attribute["BinaryValue"] if attribute["DataType"].startswith("Binary") else attribute["StringValue"]
    return value.encode() if isinstance(value, str) else bytes(value)


def size(attributes: Attributes) -> int:
    return sum(
        len(name.encode()) + len(attribute["DataType"].encode()) + len(_bytes(attribute))
        for name, attribute in attributes.items()
    )


def md5(attributes: Attributes) -> str:
    """As clients compute it: by name, each part with its length before it."""
    digest = hashlib.md5(usedforsecurity=False)
    for name in sorted(attributes):
        attribute = attributes[name]
        for part in (name.encode(), attribute["DataType"].encode()):
            digest.update(struct.pack(">I", len(part)) + part)
        value = _bytes(attribute)
        digest.update(b"\x02" if attribute["DataType"].startswith("Binary") else b"\x01")
        digest.update(struct.pack(">I", len(value)) + value)
    return digest.hexdigest()


def text_md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
