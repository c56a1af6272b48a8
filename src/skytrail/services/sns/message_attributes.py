"""Attributes of messages: what they may be, and how long they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from ...errors import ServiceError
from .shipments import Attribute

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,256}")
_NUMBER = re.compile(r"[+-]?(\d{1,38}(\.\d{0,38})?|\.\d{1,38})([eE][+-]?\d{1,3})?")
_PREFIXES = ("String", "Number", "Binary")
_SCALARS = str | int | float | bool | None


def _wrong(message: str) -> ServiceError:
    return ServiceError("InvalidParameterValueException", message)


def read(given: Mapping[str, Mapping[str, Any]]) -> dict[str, Attribute]:
    """The attributes of a request; InvalidParameterValue where one is not as AWS wants it."""
    for name in given:
        _check_name(name)
    return {name: _attribute(name, attribute) for name, attribute in given.items()}


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise _wrong(
            f"The message attribute name '{name}' is invalid: it can contain alphanumeric characters, underscores, "
            "hyphens and periods, 1 to 256 in length."
        )
    if name.startswith(".") or name.endswith(".") or ".." in name:
        raise _wrong(
            f"The message attribute name '{name}' must not start or end with a period or have two in succession."
        )
    if name.lower().startswith(("aws.", "amazon.")):
        raise _wrong(f"You can't use message attribute names beginning with 'AWS.' or 'Amazon.': '{name}'.")


def _attribute(name: str, attribute: Mapping[str, Any]) -> Attribute:
    data_type: str = attribute["DataType"]
    if not data_type:
        raise _wrong(f"The message attribute '{name}' must contain non-empty message attribute type.")
    kind = data_type.partition(".")[0]
    if kind not in _PREFIXES or len(data_type) > 256:
        raise _wrong(
            f"The message attribute '{name}' has an invalid message attribute type, "
            "the set of supported type prefixes is Binary, Number, and String."
        )
    member, other = ("BinaryValue", "StringValue") if kind == "Binary" else ("StringValue", "BinaryValue")
    if attribute.get(other) is not None:
        raise _wrong(f"The message attribute '{name}' with type '{data_type}' must use field '{_FIELDS[kind]}'.")
    value = attribute.get(member)
    if not value:
        raise _wrong(
            f"The message attribute '{name}' must contain non-empty message attribute value "
            f"for message attribute type '{data_type}'."
        )
    if kind == "Binary":
        return Attribute(data_type, data=bytes(value))
    if kind == "Number" and not _NUMBER.fullmatch(value):
        raise _wrong(f"Could not cast message attribute '{name}' value to number.")
    if data_type == "String.Array" or data_type.startswith("String.Array."):
        _check_array(name, value)
    return Attribute(data_type, text=value)


_FIELDS = {"Binary": "Binary", "String": "String", "Number": "String"}


def _check_array(name: str, text: str) -> None:
    try:
        values = orjson.loads(text)
    except orjson.JSONDecodeError:
        values = None
    if not isinstance(values, list) or not all(isinstance(value, _SCALARS) for value in values):
        raise _wrong(
            f"The message attribute '{name}' of type String.Array must hold a JSON array of strings, numbers, true, "
            "false or null."
        )


def size(attributes: Mapping[str, Attribute]) -> int:
    return sum(
        len(name.encode()) + len(each.type.encode()) + len(each.text.encode()) + len(each.data)
        for name, each in attributes.items()
    )
