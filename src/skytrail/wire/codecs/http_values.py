"""The parts of a REST request and response outside the body: path labels, query string, headers, status."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson
from botocore.model import ListShape, MapShape, Shape, StructureShape

from . import moments, texts
from .faults import Unreadable

Members = dict[str, Any]
WriteHeaders = Callable[[Mapping[str, Any], list[tuple[str, str]]], None]

#: Presigned requests carry these beside the operation's own parameters.
_SIGNATURE = "x-amz-"
_PLAIN = re.compile(r"[\x20-\x7e]*")
#: Possessive, so that no header is read twice over.
_LIST_ITEM = re.compile(r'\s*+(?:"((?:[^"\\]|\\.)*+)"\s*+|([^,]*+))(?:,|\Z)')
_ESCAPED = re.compile(r"\\(.)")
_MOST_PARAMETERS = 10_000


def decode(encoded: str, *, form: bool = False) -> str:
    """Percent-decoded; `form` where a plus is a space, as in query strings."""
    if form and "+" in encoded:
        encoded = encoded.replace("+", " ")
    if "%" not in encoded and encoded.isascii():
        return encoded
    try:
        text = unquote_to_bytes(encoded.encode("latin-1")).decode()
    except UnicodeError as error:
        raise Unreadable("The request's URI is not UTF-8") from error
    if "\0" in text:
        raise Unreadable("The request's URI contains a NUL character")
    return text


# Requests


def label_reader(template: str, shape: StructureShape) -> Callable[[str, Members], None] | None:
    """Reads the labels by the segments' positions; those after a greedy label are counted from the end."""
    segments = template.partition("?")[0].split("/")[1:]
    labels = {member.serialization.get("name", name): (name, member) for name, member in shape.members.items()}
    fixed: list[tuple[int, str, Callable[[str], Any]]] = []
    greedy: tuple[int, int, str] | None = None
    for position, segment in enumerate(segments):
        if not segment.startswith("{"):
            continue
        name, member = labels[segment[1:-1].rstrip("+")]
        if segment.endswith("+}"):
            greedy = (position, len(segments) - position - 1, name)
        else:
            fixed.append((position if greedy is None else position - len(segments), name, texts.reader(member)))
    if not fixed and greedy is None:
        return None

    def read_labels(path: str, members: Members) -> None:
        given = path.split("/")[1:]
        if greedy is None and len(given) > len(segments):
            given = given[: len(segments)]
        try:
            for position, name, read in fixed:
                members[name] = read(decode(given[position]))
        except IndexError:
            raise Unreadable("The request's path does not fit the operation") from None
        if greedy is not None:
            start, after, name = greedy
            members[name] = decode("/".join(given[start : len(given) - after]))

    return read_labels


def query_reader(template: str, shape: StructureShape) -> Callable[[str, Members], None] | None:
    singles: list[tuple[str, str, Callable[[str], Any]]] = []
    lists: list[tuple[str, str, Callable[[str], Any]]] = []
    everything: tuple[str, bool] | None = None
    for name, member in shape.members.items():
        if member.serialization.get("location") != "querystring":
            continue
        wire = member.serialization.get("name", name)
        if isinstance(member, MapShape):
            everything = (name, isinstance(member.value, ListShape))
        elif isinstance(member, ListShape):
            lists.append((name, wire, texts.reader(member.member)))
        else:
            singles.append((name, wire, texts.reader(member)))
    if not (singles or lists or everything):
        return None
    literals = {part.partition("=")[0] for part in template.partition("?")[2].split("&")}
    bound = {wire for _, wire, _ in singles + lists} | literals

    def read_query(query: str, members: Members) -> None:
        if not query:
            return
        given = _parameters(query)
        for name, wire, read in singles:
            if wire in given:
                members[name] = read(given[wire][0])
        for name, wire, read in lists:
            if wire in given:
                members[name] = [read(value) for value in given[wire]]
        if everything is not None:
            name, many = everything
            rest = {
                key: values if many else values[0]
                for key, values in given.items()
                if key not in bound and not key.lower().startswith(_SIGNATURE)
            }
            if rest:
                members[name] = rest

    return read_query


def _parameters(query: str) -> dict[str, list[str]]:
    parts = query.split("&", _MOST_PARAMETERS)
    if len(parts) > _MOST_PARAMETERS:
        raise Unreadable("The request has too many parameters")
    given: dict[str, list[str]] = {}
    for part in parts:
        key, _, value = part.partition("=")
        if key:
            given.setdefault(decode(key, form=True), []).append(decode(value, form=True))
    return given


def header_reader(shape: StructureShape) -> Callable[[Mapping[str, str], Members], None] | None:
    singles: list[tuple[str, str, Callable[[str], Any]]] = []
    prefixes: list[tuple[str, str]] = []
    for name, member in shape.members.items():
        wire = member.serialization.get("name", name).lower()
        if member.serialization.get("location") == "header":
            singles.append((name, wire, _header_value(member)))
        elif member.serialization.get("location") == "headers":
            prefixes.append((name, wire))
    if not singles and not prefixes:
        return None

    def read_headers(headers: Mapping[str, str], members: Members) -> None:
        for name, wire, read in singles:
            value = headers.get(wire)
            if value is not None:
                members[name] = read(_header_text(value))
        for name, prefix in prefixes:
            found = {
                key[len(prefix) :]: _header_text(value)
                for key, value in headers.items()
                if key.startswith(prefix) and len(key) > len(prefix)
            }
            if found:
                members[name] = found

    return read_headers


def _header_text(value: str) -> str:
    """A header arrives as bytes shown as latin-1; clients send UTF-8 in it."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def _header_value(shape: Shape) -> Callable[[str], Any]:
    if isinstance(shape, ListShape):
        read = texts.reader(shape.member)
        if shape.member.type_name == "timestamp":
            return lambda text: [read(item) for item in _dates(text)]
        return lambda text: [read(item) for item in _items(text)]
    if shape.serialization.get("jsonvalue"):
        return _read_json
    return texts.reader(shape)


def _items(text: str) -> list[str]:
    items = []
    position = 0
    while position < len(text) and (match := _LIST_ITEM.match(text, position)) is not None:
        quoted, bare = match.groups()
        items.append(_ESCAPED.sub(r"\1", quoted) if quoted is not None else bare.rstrip())
        position = match.end()
    return items


def _dates(text: str) -> list[str]:
    """HTTP dates have a comma of their own, after the day's name."""
    parts = [part.strip() for part in text.split(",")]
    if not any(part.isalpha() for part in parts):
        return parts
    return [", ".join(pair) for pair in zip(parts[::2], parts[1::2], strict=False)]


def _read_json(text: str) -> Any:
    try:
        return orjson.loads(b64decode(text, validate=True))
    except ValueError as error:
        raise Unreadable("A header is not base64 of JSON") from error


# Responses


def header_writer(shape: StructureShape) -> WriteHeaders | None:
    singles: list[tuple[str, str, Callable[[Any], str]]] = []
    prefixes: list[tuple[str, str]] = []
    for name, member in shape.members.items():
        wire = member.serialization.get("name", name)
        if member.serialization.get("location") == "header":
            singles.append((name, wire, _header_form(member)))
        elif member.serialization.get("location") == "headers":
            prefixes.append((name, wire))
    if not singles and not prefixes:
        return None

    def write_headers(output: Mapping[str, Any], headers: list[tuple[str, str]]) -> None:
        for name, wire, write in singles:
            value = output.get(name)
            if value is not None:
                headers.append((wire, header_safe(write(value))))
        for name, prefix in prefixes:
            for key, value in (output.get(name) or {}).items():
                headers.append((prefix + key, header_safe(value)))

    return write_headers


def header_safe(text: str) -> str:
    """What is not printable ASCII goes as an encoded word, as S3 sends it; so no value can start another header."""
    if _PLAIN.fullmatch(text):
        return text
    return f"=?UTF-8?B?{b64encode(text.encode('utf-8', 'surrogatepass')).decode('ascii')}?="


def _header_form(shape: Shape) -> Callable[[Any], str]:
    if isinstance(shape, ListShape):
        write = _header_form(shape.member)
        quote = shape.member.type_name == "string"
        return lambda value: ", ".join(_quoted(write(item)) if quote else write(item) for item in value)
    if shape.serialization.get("jsonvalue"):
        return lambda value: b64encode(orjson.dumps(value)).decode("ascii")
    return texts.writer(shape, "rfc822", moments.to_iso_exact)


def _quoted(text: str) -> str:
    if '"' not in text and "," not in text:
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
