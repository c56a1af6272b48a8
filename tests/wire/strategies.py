"""Hypothesis strategies made from a botocore shape, and what of a value its protocol can carry.

A place says where a value goes: its direction and protocol decide which characters, times and numbers fit there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape
from hypothesis import strategies as st

_DEEPEST = 4
_HOSTILE = "ab0 \t\n&<>\"'%+/?#=;:@!*~.,-_\\[]{}|^`$()]]>é漢\u2028\U0001f600"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Place:
    #: "json", "query", "ec2", "rest-json", "rest-xml" or "smithy-rpc-v2-cbor".
    protocol: str
    is_input: bool
    #: Below the top, in the body; or "uri", "querystring", "header", "headers", "statusCode".
    location: str = "body"
    depth: int = 0
    #: Every member is given, but for those of structures further down.
    whole: bool = False

    @property
    def is_xml(self) -> bool:
        return self.protocol == "rest-xml" or (self.protocol in ("query", "ec2") and not self.is_input)


def values(shape: Shape | None, protocol: str, *, is_input: bool, whole: bool = False) -> st.SearchStrategy[Any]:
    """Values of an operation's input or output; `whole` ones have every member."""
    return st.just({}) if shape is None else _structure(shape, Place(protocol, is_input, whole=whole))


def _value(shape: Shape, place: Place) -> st.SearchStrategy[Any]:
    if isinstance(shape, StructureShape):
        return _document() if shape.is_document_type else _structure(shape, place)
    if isinstance(shape, ListShape):
        return st.lists(_value(shape.member, replace(place, depth=place.depth + 1)), max_size=2)
    if isinstance(shape, MapShape):
        item = _value(shape.value, replace(place, depth=place.depth + 1))
        return st.dictionaries(_map_key(shape.key, place), item, max_size=2)
    return _scalar(shape, place)


def _structure(shape: StructureShape, place: Place) -> st.SearchStrategy[dict[str, Any]]:
    inner = replace(place, depth=place.depth + 1)
    members: dict[str, st.SearchStrategy[Any]] = {}
    required: set[str] = set(shape.required_members)
    by_kind = sorted(shape.members.items(), key=lambda pair: isinstance(pair[1], ListShape))
    wired = {member.serialization.get("name", name): name for name, member in by_kind}
    for name, member in shape.members.items():
        if wired[member.serialization.get("name", name)] != name:
            # A deprecated member that shares its name on the wire with the list that replaced it.
            continue
        location = member.serialization.get("location") if place.depth == 0 else None
        if location == "uri" or (place.whole and place.depth < _DEEPEST):
            required.add(name)
        if member.serialization.get("eventstream"):
            required.discard(name)
            continue
        if place.depth >= _DEEPEST and name not in shape.required_members and not _is_scalar(member):
            continue
        at = replace(inner, location=location or ("payload" if shape.serialization.get("payload") == name else "body"))
        members[name] = st.deferred(lambda member=member, at=at: _value(member, at))  # type: ignore[misc]
    if shape.is_tagged_union:
        return st.one_of(*(st.fixed_dictionaries({name: each}) for name, each in members.items()))
    return st.fixed_dictionaries(
        {name: each for name, each in members.items() if name in required},
        optional={name: each for name, each in members.items() if name not in required},
    )


def _is_scalar(shape: Shape) -> bool:
    return not isinstance(shape, StructureShape | ListShape | MapShape)


def _document() -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers(-(2**31), 2**31) | _text(_HOSTILE)
    return st.dictionaries(_text(_HOSTILE), leaves | st.lists(leaves, max_size=2), max_size=2)


def _scalar(shape: Shape, place: Place) -> st.SearchStrategy[Any]:
    kind = shape.type_name
    if place.location == "statusCode":
        return st.sampled_from((200, 202, 206))
    if kind in ("string", "character"):
        return _string(shape, place)
    if kind == "boolean":
        return st.booleans()
    if kind == "integer":
        return st.integers(-(2**31), 2**31 - 1)
    if kind == "long":
        return st.integers(-(2**63), 2**63 - 1)
    if kind in ("float", "double"):
        return _float(kind, place)
    if kind == "timestamp":
        return _moment(shape, place)
    return st.binary(max_size=6)


def _string(shape: Shape, place: Place) -> st.SearchStrategy[str]:
    if shape.serialization.get("hostLabel"):
        return st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)
    if place.location in ("header", "headers"):
        # Neither side of HTTP keeps spaces around a header's value; botocore splits lists at every comma.
        printable = "ab0 &<>'%+/?#=;:@" + ('",' if place.is_input else "")
        return _text(printable).map(lambda text: text.strip() or "x")
    if place.location == "uri":
        return _text(_HOSTILE, least=1)
    return _text(_HOSTILE, xml=place.is_xml, binary=place.protocol not in ("query", "ec2"), place=place)


def _text(
    characters: str, *, least: int = 0, xml: bool = False, binary: bool = False, place: Place | None = None
) -> st.SearchStrategy[str]:
    alphabet = characters
    if place is not None and place.location == "body" and binary and not xml:
        # JSON and CBOR carry every character.
        alphabet += "\x00\x01\x1f\x7f\r\ufffe\uffff"
    elif place is not None and xml and not place.is_input:
        # botocore's own requests leave carriage returns to be normalized away.
        alphabet += "\r"
    return st.text(st.sampled_from(alphabet), min_size=least, max_size=5)


def _map_key(shape: Shape, place: Place) -> st.SearchStrategy[str]:
    if place.location == "headers":
        return st.from_regex(r"[a-z0-9][a-z0-9-]{0,5}", fullmatch=True)
    return _string(shape, place)


def _float(kind: str, place: Place) -> st.SearchStrategy[float]:
    # botocore's parser of JSON RPC leaves "NaN" a string.
    special = place.is_input or place.protocol != "json"
    return st.floats(width=32 if kind == "float" else 64, allow_nan=special, allow_infinity=special)


def _moment(shape: Shape, place: Place) -> st.SearchStrategy[datetime]:
    textual = shape.serialization.get("timestampFormat", "").lower()
    microseconds: Callable[[int], int] = _whole_milliseconds
    if place.location in ("header", "headers") or textual == "rfc822" or (place.is_xml and not place.is_input):
        microseconds = _whole_seconds
    elif place.is_input:
        microseconds = int
    return st.integers(-(10**15), 7 * 10**15).map(lambda number: _EPOCH + timedelta(microseconds=microseconds(number)))


def _whole_seconds(number: int) -> int:
    return number // 10**6 * 10**6


def _whole_milliseconds(number: int) -> int:
    return number // 1000 * 1000


# What arrives

LOST = object()


def carried(shape: Shape | None, value: Any, protocol: str, *, is_input: bool) -> dict[str, Any]:
    """The value without what the protocol has no way to write, such as an empty flattened list."""
    if shape is None:
        return {}
    kept = _carried(shape, value, Place(protocol, is_input))
    return {} if kept is LOST else dict(kept)


def _carried(shape: Shape, value: Any, place: Place) -> Any:
    if isinstance(shape, StructureShape) and not shape.is_document_type:
        return _carried_structure(shape, value, place)
    form = place.is_input and place.protocol in ("query", "ec2")
    if isinstance(shape, ListShape):
        return _carried_list(shape, value, place, form=form)
    if isinstance(shape, MapShape):
        inner = replace(place, depth=place.depth + 1)
        items = {key: _carried(shape.value, item, inner) for key, item in value.items()}
        if form:
            items = {key: item for key, item in items.items() if item is not LOST}
        flat = shape.serialization.get("flattened")
        return LOST if not items and (form or (place.is_xml and flat) or place.location == "headers") else items
    if place.location == "payload" and not value and not (place.is_input and shape.serialization.get("streaming")):
        return LOST
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


def _carried_list(shape: ListShape, value: Any, place: Place, *, form: bool) -> Any:
    inner = replace(place, depth=place.depth + 1)
    items = [item for item in (_carried(shape.member, item, inner) for item in value) if item is not LOST]
    if items:
        return items
    if place.location in ("header", "querystring"):
        return LOST
    if form:
        # Query writes an empty list; but not a list of values that write nothing.
        return LOST if value or place.protocol == "ec2" else []
    return LOST if place.is_xml and shape.serialization.get("flattened") else []


def _carried_structure(shape: StructureShape, value: Any, place: Place) -> Any:
    kept: dict[str, Any] = {}
    payload = shape.serialization.get("payload")
    for name, item in value.items():
        member = shape.members[name]
        location = member.serialization.get("location") if place.depth == 0 else None
        at = replace(place, depth=place.depth + 1, location=location or ("payload" if name == payload else "body"))
        found = _carried(member, item, at)
        if found is not LOST:
            kept[name] = found
    if not kept and place.is_input and place.protocol in ("query", "ec2"):
        return LOST
    return kept


def comparable(value: Any) -> Any:
    """NaN equals nothing, so it is compared by its name."""
    if isinstance(value, dict):
        return {key: comparable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [comparable(item) for item in value]
    return "NaN" if isinstance(value, float) and math.isnan(value) else value
