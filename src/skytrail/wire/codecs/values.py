"""JSON and CBOR documents: from the decoded document to the model's values, and back to what is encoded.

Each shape is compiled once to a closure. A structure's closure looks its members up in a dict that is filled after the
closure was made, so that a shape may hold itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from threading import RLock
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from . import moments, texts
from .cbor import Epoch
from .faults import Unreadable, a, only_one

Read = Callable[[Any], Any]
#: None: the value is written as it is.
Write = Callable[[Any], Any] | None
#: Name in the model, the type whose values are right as they are, and what reads the others.
Member = tuple[str, type | None, Read]

#: What a value is, in AWS's messages.
_TOKENS: dict[type, str] = {
    str: "STRING_VALUE",
    int: "NUMBER_VALUE",
    float: "NUMBER_VALUE",
    bytes: "BINARY_VALUE",
    datetime: "TIMESTAMP_VALUE",
}
_SPECIAL_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def mismatch(value: Any, wanted: str) -> Unreadable:
    if isinstance(value, dict):
        return Unreadable("Start of structure or map found where not expected.")
    if isinstance(value, list):
        return Unreadable("Start of list found where not expected")
    if isinstance(value, bool):
        return Unreadable(f"{str(value).upper()}_VALUE can not be converted to {wanted}")
    return Unreadable(f"{_TOKENS.get(type(value), 'VALUE')} can not be converted to {wanted}")


class Reader:
    """Compiles what reads a service's shapes from documents of one kind."""

    def __init__(self, shapes: Mapping[str, Any], *, cbor: bool) -> None:
        self._shapes = shapes
        self._cbor = cbor
        self._structures: dict[str, Read] = {}
        # While one thread compiles, another would meet closures whose members are not all there yet.
        self._lock = RLock()

    def read(self, shape: Shape) -> Read:
        with self._lock:
            return self._compile(shape)[1]

    def body(self, shape: StructureShape) -> Read:
        """Reads the members that have no place of their own in the HTTP request."""
        members = {name: member for name, member in shape.members.items() if "location" not in member.serialization}
        if len(members) == len(shape.members):
            return self.read(shape)
        table: dict[str, Member] = {}
        with self._lock:
            self._fill(table, members)
        return _read_members(table)

    def _compile(self, shape: Shape) -> tuple[type | None, Read]:
        if isinstance(shape, StructureShape):
            return None, (_document if shape.is_document_type else self._structure(shape))
        if isinstance(shape, ListShape):
            return None, self._list(shape)
        if isinstance(shape, MapShape):
            return None, self._map(shape)
        return self._scalar(shape)

    def _structure(self, shape: StructureShape) -> Read:
        known = self._structures.get(shape.name)
        if known is not None:
            return known
        table: dict[str, Member] = {}
        read = _read_members(table)
        if shape.is_tagged_union:
            read = only_one(read)
        self._structures[shape.name] = read
        self._fill(table, shape.members)
        return read

    def _fill(self, table: dict[str, Member], members: Mapping[str, Shape]) -> None:
        for name, member in members.items():
            entry = (name, *self._compile(member))
            table[member.serialization.get("name", name)] = entry
            if self._cbor:
                # Clients differ in whether a member's name for JSON counts in CBOR.
                table[name] = entry

    def _list(self, shape: ListShape) -> Read:
        plain, read = self._compile(shape.member)
        sparse = self._shapes.get(shape.name, {}).get("sparse", False)

        def read_list(value: Any) -> Any:
            if type(value) is not list:
                raise Unreadable("Expected list or null") if not isinstance(value, dict) else mismatch(value, "")
            if None in value and not sparse:
                raise Unreadable("A list may not contain null")
            return [item if type(item) is plain or item is None else read(item) for item in value]

        return read_list

    def _map(self, shape: MapShape) -> Read:
        plain, read = self._compile(shape.value)
        sparse = self._shapes.get(shape.name, {}).get("sparse", False)

        def read_map(value: Any) -> Any:
            if type(value) is not dict:
                raise Unreadable("Expected map or null") if not isinstance(value, list) else mismatch(value, "")
            return {
                key: item if type(item) is plain or item is None else read(item)
                for key, item in value.items()
                if sparse or item is not None
            }

        return read_map

    def _scalar(self, shape: Shape) -> tuple[type | None, Read]:
        kind = shape.type_name
        if kind in ("string", "character"):
            return str, _refuse("a String") if not shape.serialization.get("jsonvalue") else _document
        if kind == "boolean":
            return bool, _refuse("a Boolean")
        if kind in ("integer", "long", "biginteger"):
            return None, _integer(kind)
        if kind in ("float", "double", "bigdecimal"):
            return float, _float(kind)
        if kind == "timestamp":
            return None, _tagged_moment if self._cbor else _moment(shape.serialization.get("timestampFormat"))
        return (bytes, _refuse("a Blob")) if self._cbor else (None, _blob)


def _read_members(table: dict[str, Member]) -> Read:
    def read_structure(value: Any) -> Any:
        if type(value) is not dict:
            raise Unreadable("Expected structure or null") if not isinstance(value, list) else mismatch(value, "")
        members = {}
        for key, item in value.items():
            entry = table.get(key)
            if entry is not None and item is not None:
                name, plain, read = entry
                members[name] = item if type(item) is plain else read(item)
        return members

    return read_structure


def _document(value: Any) -> Any:
    return value


def _refuse(wanted: str) -> Read:
    def refuse(value: Any) -> Any:
        raise mismatch(value, wanted)

    return refuse


def _integer(kind: str) -> Read:
    least, most = texts.INT_RANGE if kind == "integer" else texts.LONG_RANGE
    wanted = a("integer" if kind == "integer" else "long")

    def read_integer(value: Any) -> int:
        if type(value) is int:
            if least <= value <= most:
                return value
        elif type(value) is float and value.is_integer() and least <= value <= most:
            return int(value)
        raise mismatch(value, wanted)

    return read_integer


def _float(kind: str) -> Read:
    wanted = a("float" if kind == "float" else "double")

    def read_float(value: Any) -> float:
        if type(value) is int:
            return float(value)
        if type(value) is str and value in _SPECIAL_FLOATS:
            return _SPECIAL_FLOATS[value]
        if type(value) is float:
            return value
        raise mismatch(value, wanted)

    return read_float


def _moment(timestamp_format: str | None) -> Read:
    textual = timestamp_format is not None and timestamp_format.lower() != "unixtimestamp"

    def read_moment(value: Any) -> datetime:
        if type(value) is int or type(value) is float:
            return moments.from_number(value)
        if textual and type(value) is str:
            return moments.from_text(value)
        raise mismatch(value, "milliseconds since epoch")

    return read_moment


def _tagged_moment(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    raise mismatch(value, "a Timestamp")


def _blob(value: Any) -> bytes:
    if type(value) is not str:
        raise mismatch(value, "a Blob")
    return texts.blob(value)


class Writer:
    """Compiles what turns a service's values into documents of one kind."""

    def __init__(self, *, cbor: bool) -> None:
        self._cbor = cbor
        self._structures: dict[str, Callable[[Any], Any]] = {}
        self._lock = RLock()

    def write(self, shape: Shape) -> Callable[[Any], Any]:
        with self._lock:
            return self._compile(shape) or _document

    def body(self, shape: StructureShape) -> Callable[[Any], Any]:
        """Writes the members that have no place of their own in the HTTP response."""
        members = {name: member for name, member in shape.members.items() if "location" not in member.serialization}
        if len(members) == len(shape.members):
            return self.write(shape)
        table: dict[str, tuple[str, Write]] = {}
        with self._lock:
            self._fill(table, members)
        return _write_members(shape.name, table)

    def _compile(self, shape: Shape) -> Write:
        if isinstance(shape, StructureShape):
            return None if shape.is_document_type else self._structure(shape)
        if isinstance(shape, ListShape):
            write = self._compile(shape.member)
            return list if write is None else _each(write)
        if isinstance(shape, MapShape):
            write = self._compile(shape.value)
            return dict if write is None else _each_value(write)
        return self._scalar(shape)

    def _structure(self, shape: StructureShape) -> Callable[[Any], Any]:
        known = self._structures.get(shape.name)
        if known is not None:
            return known
        table: dict[str, tuple[str, Write]] = {}
        write = self._structures[shape.name] = _write_members(shape.name, table)
        self._fill(table, shape.members)
        return write

    def _fill(self, table: dict[str, tuple[str, Write]], members: Mapping[str, Shape]) -> None:
        for name, member in members.items():
            wire = name if self._cbor else member.serialization.get("name", name)
            table[name] = (wire, self._compile(member))

    def _scalar(self, shape: Shape) -> Write:
        kind = shape.type_name
        if kind in ("float", "double", "bigdecimal"):
            return float if self._cbor else _json_float
        if kind == "timestamp":
            return _epoch if self._cbor else _json_moment(shape.serialization.get("timestampFormat"))
        if kind == "blob":
            return _bytes if self._cbor else texts.base64_text
        return None


def _write_members(shape_name: str, table: dict[str, tuple[str, Write]]) -> Callable[[Any], Any]:
    def write_structure(value: Any) -> Any:
        members = {}
        for key, item in value.items():
            if item is None:
                continue
            try:
                wire, write = table[key]
            except KeyError:
                raise ValueError(f"{shape_name} has no member {key}") from None
            members[wire] = item if write is None else write(item)
        return members

    return write_structure


def _each(write: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: [None if item is None else write(item) for item in value]


def _each_value(write: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: {key: None if item is None else write(item) for key, item in value.items()}


def _json_float(value: Any) -> Any:
    number = float(value)
    return number if math.isfinite(number) else texts.float_text(number)


def _json_moment(timestamp_format: str | None) -> Callable[[Any], Any]:
    if timestamp_format is None or timestamp_format.lower() == "unixtimestamp":
        return moments.to_number
    return moments.text_writer(timestamp_format, moments.to_iso_exact)


def _epoch(value: Any) -> Epoch:
    return Epoch(moments.to_number(value))


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)
