"""Values as text: in forms, XML, headers, paths and query strings."""

from __future__ import annotations

import binascii
import math
import re
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from botocore.model import Shape

from . import moments
from .faults import Unreadable, a

_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
_FLOAT = re.compile(r"[+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,4})?", re.ASCII)
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

INT_RANGE = (-(2**31), 2**31 - 1)
LONG_RANGE = (-(2**63), 2**63 - 1)


def _string(text: str) -> str:
    return text


def _integer(type_name: str) -> Callable[[str], int]:
    least, most = INT_RANGE if type_name == "integer" else LONG_RANGE

    def read(text: str) -> int:
        text = text.strip()
        if not _INTEGER.fullmatch(text) or not least <= (value := int(text)) <= most:
            raise Unreadable(f"STRING_VALUE can not be converted to {a(type_name)}")
        return value

    return read


def _float(text: str) -> float:
    text = text.strip()
    if text in _SPECIAL:
        return _SPECIAL[text]
    if not _FLOAT.fullmatch(text):
        raise Unreadable("STRING_VALUE can not be converted to a Double")
    return float(text)


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word not in ("true", "false"):
        raise Unreadable("STRING_VALUE can not be converted to a Boolean")
    return word == "true"


def blob(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise Unreadable("The value is not valid base64") from error


_READERS: dict[str, Callable[[str], Any]] = {
    "string": _string,
    "character": _string,
    "boolean": _boolean,
    "integer": _integer("integer"),
    "long": _integer("long"),
    "float": _float,
    "double": _float,
    "bigdecimal": _float,
    "biginteger": _integer("long"),
    "timestamp": moments.from_text,
    "blob": blob,
}


def reader(shape: Shape) -> Callable[[str], Any]:
    return _READERS[shape.type_name]


def float_text(value: float) -> str:
    value = float(value)
    if math.isnan(value):
        return "NaN"
    return repr(value) if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")


def boolean_text(value: Any) -> str:
    return "true" if value else "false"


def base64_text(value: Any) -> str:
    return b64encode(value.encode() if isinstance(value, str) else value).decode("ascii")


def _integer_text(value: Any) -> str:
    return str(int(value))


def _string_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a string is wanted, not {type(value).__name__}")
    return value


_WRITERS: dict[str, Callable[[Any], str]] = {
    "string": _string_text,
    "character": _string_text,
    "boolean": boolean_text,
    "integer": _integer_text,
    "long": _integer_text,
    "biginteger": _integer_text,
    "float": float_text,
    "double": float_text,
    "bigdecimal": float_text,
    "blob": base64_text,
}


def writer(shape: Shape, timestamp_format: str, iso: Callable[[Any], str]) -> Callable[[Any], str]:
    """`timestamp_format` is the place's own, which the shape may override."""
    if shape.type_name == "timestamp":
        return moments.text_writer(shape.serialization.get("timestampFormat", timestamp_format), iso)
    return _WRITERS[shape.type_name]
