"""CBOR (RFC 8949), the part of it that Smithy's RPC v2 uses: no sets of tags, text keys, bounded nesting."""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import datetime
from typing import Any

from .faults import Unreadable
from .moments import from_number

_DEEPEST = 128
#: Items in collections and parts of strings, all together: a byte may be one, which costs far more once it is read.
_MOST_ITEMS = 1_000_000
_BREAK = object()
_HALF, _SINGLE, _DOUBLE = struct.Struct(">e"), struct.Struct(">f"), struct.Struct(">d")
_SIMPLE: dict[int, Any] = {20: False, 21: True, 22: None, 23: None}


class Epoch(float):
    """Seconds since 1970, to be written as tag 1."""

    __slots__ = ()


def decode(data: bytes) -> Any:
    """One data item. Tag 1 becomes a datetime."""
    decoder = _Decoder(data)
    try:
        value = decoder.item(0)
    except (IndexError, struct.error) as error:
        raise Unreadable("The CBOR ends too early") from error
    except UnicodeDecodeError as error:
        raise Unreadable("The CBOR has a text that is not UTF-8") from error
    if value is _BREAK or decoder.position != len(data):
        raise Unreadable("The CBOR is not one data item")
    return value


class _Decoder:
    __slots__ = ("data", "left", "position")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.left = _MOST_ITEMS

    def item(self, depth: int) -> Any:
        initial = self.data[self.position]
        self.position += 1
        major, info = initial >> 5, initial & 31
        if major == 3:
            return str(self._string(3, info), "utf-8")
        if major == 7:
            return self._simple(info)
        if major < 2:
            number = self._number(info)
            return number if major == 0 else -1 - number
        if major == 2:
            return self._string(2, info)
        if depth >= _DEEPEST:
            raise Unreadable(f"The CBOR nests deeper than {_DEEPEST} levels")
        if major == 5:
            return self._map(info, depth + 1)
        return self._list(info, depth + 1) if major == 4 else self._tag(info, depth + 1)

    def _number(self, info: int) -> int:
        if info < 24:
            return info
        if info > 27:
            raise Unreadable("The CBOR has a length that is not defined")
        size = 1 << (info - 24)
        end = self.position + size
        if end > len(self.data):
            raise IndexError
        number = int.from_bytes(self.data[self.position : end], "big")
        self.position = end
        return number

    def _count(self, items: int) -> None:
        self.left -= items
        if self.left < 0:
            raise Unreadable(f"The CBOR has more than {_MOST_ITEMS} items")

    def _string(self, major: int, info: int) -> bytes:
        if info == 31:
            return b"".join(self._chunks(major))
        length = self._number(info)
        end = self.position + length
        if end > len(self.data):
            raise IndexError
        value = self.data[self.position : end]
        self.position = end
        return value

    def _chunks(self, major: int) -> list[bytes]:
        chunks = []
        while (initial := self.data[self.position]) != 0xFF:
            self.position += 1
            self._count(1)
            if initial >> 5 != major or initial & 31 == 31:
                raise Unreadable("The CBOR has a string of parts that are not strings")
            chunks.append(self._string(major, initial & 31))
        self.position += 1
        return chunks

    def _list(self, info: int, depth: int) -> list[Any]:
        if info != 31:
            length = self._number(info)
            self._count(length)
            # The length is not trusted: items that are not there end the loop.
            return [self._item_within(depth) for _ in range(length)]
        items: list[Any] = []
        while (value := self.item(depth)) is not _BREAK:
            self._count(1)
            items.append(value)
        return items

    def _map(self, info: int, depth: int) -> dict[str, Any]:
        items: dict[str, Any] = {}
        remaining = -1 if info == 31 else self._number(info)
        while remaining:
            remaining -= 1
            self._count(1)
            key = self.item(depth)
            if key is _BREAK and info == 31:
                break
            if type(key) is not str:
                raise Unreadable("The CBOR has a map whose keys are not texts")
            items[key] = self._item_within(depth)
        return items

    def _item_within(self, depth: int) -> Any:
        value = self.item(depth)
        if value is _BREAK:
            raise Unreadable("The CBOR has a break where a value is expected")
        return value

    def _tag(self, info: int, depth: int) -> Any:
        tag = self._number(info)
        value = self._item_within(depth)
        if tag != 1 or type(value) not in (int, float):
            raise Unreadable(f"The CBOR has the tag {tag}, which is not supported here")
        return from_number(value)

    def _simple(self, info: int) -> Any:
        if info in _SIMPLE:
            return _SIMPLE[info]
        if info == 31:
            return _BREAK
        form = {25: _HALF, 26: _SINGLE, 27: _DOUBLE}.get(info)
        if form is None:
            raise Unreadable("The CBOR has a simple value that is not defined")
        (value,) = form.unpack_from(self.data, self.position)
        self.position += form.size
        return value


def encode(value: Any) -> bytes:
    out = bytearray()
    _ENCODERS[type(value)](value, out)
    return bytes(out)


def _head(major: int, number: int, out: bytearray) -> None:
    if number < 24:
        out.append(major | number)
    elif number < 0x100:
        out += bytes((major | 24, number))
    elif number < 0x10000:
        out += struct.pack(">BH", major | 25, number)
    elif number < 0x100000000:
        out += struct.pack(">BI", major | 26, number)
    else:
        out += struct.pack(">BQ", major | 27, number)


def _integer(value: int, out: bytearray) -> None:
    _head(0x00, value, out) if value >= 0 else _head(0x20, -1 - value, out)


def _bytes(value: bytes, out: bytearray) -> None:
    _head(0x40, len(value), out)
    out += value


def _text(value: str, out: bytearray) -> None:
    encoded = value.encode()
    _head(0x60, len(encoded), out)
    out += encoded


def _list(value: list[Any], out: bytearray) -> None:
    _head(0x80, len(value), out)
    for item in value:
        _ENCODERS[type(item)](item, out)


def _map(value: dict[str, Any], out: bytearray) -> None:
    _head(0xA0, len(value), out)
    for key, item in value.items():
        _text(key, out)
        _ENCODERS[type(item)](item, out)


def _float(value: float, out: bytearray) -> None:
    out += b"\xfb" + _DOUBLE.pack(value)


def _epoch(value: Epoch, out: bytearray) -> None:
    out += b"\xc1\xfb" + _DOUBLE.pack(value)


def _boolean(value: bool, out: bytearray) -> None:
    out.append(0xF5 if value else 0xF4)


def _null(_: None, out: bytearray) -> None:
    out.append(0xF6)


def _datetime(value: datetime, out: bytearray) -> None:
    _epoch(Epoch(value.timestamp()), out)


_ENCODERS: dict[type, Callable[[Any, bytearray], None]] = {
    bool: _boolean,
    int: _integer,
    float: _float,
    Epoch: _epoch,
    str: _text,
    bytes: _bytes,
    bytearray: _bytes,
    memoryview: _bytes,
    list: _list,
    tuple: _list,
    dict: _map,
    type(None): _null,
    datetime: _datetime,
}
