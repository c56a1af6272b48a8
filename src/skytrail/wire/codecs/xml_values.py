"""XML elements: from the tree to the model's values, and from values to text. Compiled once per shape and name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import RLock
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from . import texts
from .faults import Unreadable, only_one
from .xml_tree import Node, escape, escape_attribute

Read = Callable[[Node], Any]
#: Appends a value to the text being written.
Write = Callable[[Any, list[str]], None]
Text = Callable[[Any], str]
#: By an element's name: the member, what reads the element, and what the member is made of such elements ("" if the
#: element is the member).
Table = dict[str, tuple[str, Read, str]]
Attributes = dict[str, tuple[str, Callable[[str], Any]]]


def wire_name(name: str, shape: Shape) -> str:
    given: str = shape.serialization.get("name", name)
    return given


def flattened_name(name: str, shape: Shape) -> str:
    """The name of a flattened list's items as responses have it."""
    if isinstance(shape, ListShape):
        return shape.member.serialization.get("name") or wire_name(name, shape)
    return wire_name(name, shape)


def is_flattened(shape: Shape) -> bool:
    return bool(shape.serialization.get("flattened"))


class Reader:
    def __init__(self) -> None:
        self._structures: dict[str, Read] = {}
        # As in the values' compilers: no thread may meet what another is still compiling.
        self._lock = RLock()

    def read(self, shape: Shape) -> Read:
        with self._lock:
            return self._compile(shape)

    def body(self, shape: StructureShape) -> Read:
        members = {name: member for name, member in shape.members.items() if "location" not in member.serialization}
        if len(members) == len(shape.members):
            return self.read(shape)
        with self._lock:
            return self._members(members)

    def _compile(self, shape: Shape) -> Read:
        if isinstance(shape, StructureShape):
            return self._structure(shape)
        if isinstance(shape, ListShape):
            return self._list(shape)
        if isinstance(shape, MapShape):
            return self._map(shape)
        read_text = texts.reader(shape)
        return lambda node: read_text(_text_of(node))

    def _structure(self, shape: StructureShape) -> Read:
        known = self._structures.get(shape.name)
        if known is None:
            # The shape may hold itself: it is entered here, before its members are compiled.
            table: Table = {}
            attributes: Attributes = {}
            read = _read_members(table, attributes)
            known = self._structures[shape.name] = only_one(read) if shape.is_tagged_union else read
            self._fill(table, attributes, shape.members)
        return known

    def _members(self, members: Mapping[str, Shape]) -> Read:
        table: Table = {}
        attributes: Attributes = {}
        self._fill(table, attributes, members)
        return _read_members(table, attributes)

    def _fill(
        self,
        table: Table,
        attributes: Attributes,
        members: Mapping[str, Shape],
    ) -> None:
        for name, member in members.items():
            if member.serialization.get("xmlAttribute"):
                attributes[wire_name(name, member).rpartition(":")[2]] = (name, texts.reader(member))
            elif is_flattened(member) and isinstance(member, ListShape):
                entry = (name, self._compile(member.member), "list")
                # Clients differ in which of the two names they write.
                table[flattened_name(name, member)] = table[wire_name(name, member)] = entry
            elif is_flattened(member) and isinstance(member, MapShape):
                table[wire_name(name, member)] = (name, self._entry(member), "map")
            else:
                # In S3's deprecated shapes a list shares its name with the value that it replaced: it holds both.
                table.setdefault(wire_name(name, member), (name, self._compile(member), ""))

    def _list(self, shape: ListShape) -> Read:
        item_name = shape.member.serialization.get("name", "member")
        read = self._compile(shape.member)
        return lambda node: [read(child) for child in node.children if child.name == item_name]

    def _map(self, shape: MapShape) -> Read:
        entry = self._entry(shape)
        return lambda node: dict(entry(child) for child in node.children if child.name == "entry")

    def _entry(self, shape: MapShape) -> Read:
        key_name, value_name = wire_name("key", shape.key), wire_name("value", shape.value)
        read_key, read_value = self._compile(shape.key), self._compile(shape.value)

        def read_entry(node: Node) -> tuple[Any, Any]:
            children = {child.name: child for child in node.children}
            try:
                return read_key(children[key_name]), read_value(children[value_name])
            except KeyError as error:
                raise Unreadable(f"A map's entry has no {error.args[0]}") from None

        return read_entry


def _text_of(node: Node) -> str:
    if node.children:
        raise Unreadable(f"{node.name} has elements where text is expected")
    return node.text


def _read_members(table: Table, attributes: Attributes) -> Read:
    def read_structure(node: Node) -> dict[str, Any]:
        members: dict[str, Any] = {}
        for child in node.children:
            entry = table.get(child.name)
            if entry is None:
                continue
            name, read, made_of = entry
            if not made_of:
                members[name] = read(child)
            elif made_of == "list":
                members.setdefault(name, []).append(read(child))
            else:
                key, value = read(child)
                members.setdefault(name, {})[key] = value
        for attribute, (name, read_text) in attributes.items():
            if attribute in node.attributes:
                members[name] = read_text(node.attributes[attribute])
        return members

    return read_structure


class Writer:
    """`iso` is how this service writes times in XML."""

    def __init__(self, iso: Text) -> None:
        self._iso = iso
        self._structures: dict[str, list[tuple[str, Write]]] = {}
        self._lock = RLock()

    def element(self, shape: Shape, name: str) -> Write:
        with self._lock:
            return self._compile(shape, name)

    def _compile(self, shape: Shape, name: str) -> Write:
        if isinstance(shape, StructureShape):
            return self._structure(shape, name)
        if isinstance(shape, ListShape):
            return self._list(shape, name)
        if isinstance(shape, MapShape):
            return self._map(shape, name)
        text = texts.writer(shape, "iso8601", self._iso)
        opening, closing = f"<{name}{_namespace(shape)}>", f"</{name}>"
        if shape.type_name in ("string", "character"):
            return lambda value, out: out.append(f"{opening}{escape(text(value))}{closing}")
        return lambda value, out: out.append(f"{opening}{text(value)}{closing}")

    def members(self, shape: StructureShape, *, body_only: bool = False) -> Write:
        """Writes what stands inside the structure's element."""
        members = {
            name: member
            for name, member in shape.members.items()
            if not (body_only and "location" in member.serialization)
        }
        table: list[tuple[str, Write]] = []
        with self._lock:
            if len(members) == len(shape.members):
                return _write_members(shape.name, self._table(shape))
            self._fill(table, members)
        return _write_members(shape.name, table, others=shape.members)

    def _table(self, shape: StructureShape) -> list[tuple[str, Write]]:
        table = self._structures.get(shape.name)
        if table is None:
            table = self._structures[shape.name] = []
            self._fill(table, {n: m for n, m in shape.members.items() if not m.serialization.get("xmlAttribute")})
        return table

    def _fill(self, table: list[tuple[str, Write]], members: Mapping[str, Shape]) -> None:
        for name, member in members.items():
            table.append((name, self._compile(member, wire_name(name, member))))

    def _structure(self, shape: StructureShape, name: str) -> Write:
        attributes = {
            member_name: wire_name(member_name, member)
            for member_name, member in shape.members.items()
            if member.serialization.get("xmlAttribute")
        }
        write = _write_members(shape.name, self._table(shape), others=attributes)
        opening, closing = f"<{name}{_namespace(shape)}>", f"</{name}>"
        if not attributes:

            def write_structure(value: Any, out: list[str]) -> None:
                out.append(opening)
                write(value, out)
                out.append(closing)

            return write_structure

        def write_with_attributes(value: Any, out: list[str]) -> None:
            out.append(opening[:-1])
            for member_name, attribute in attributes.items():
                if value.get(member_name) is not None:
                    out.append(f' {attribute}="{escape_attribute(value[member_name])}"')
            out.append(">")
            write(value, out)
            out.append(closing)

        return write_with_attributes

    def _list(self, shape: ListShape, name: str) -> Write:
        if is_flattened(shape):
            write = self._compile(shape.member, flattened_name(name, shape))
            return _write_each(write)
        each = _write_each(self._compile(shape.member, shape.member.serialization.get("name", "member")))
        return _wrapped(each, f"<{name}{_namespace(shape)}>", f"</{name}>")

    def _map(self, shape: MapShape, name: str) -> Write:
        flat = is_flattened(shape)
        entry = name if flat else "entry"
        write_key = self._compile(shape.key, wire_name("key", shape.key))
        write_value = self._compile(shape.value, wire_name("value", shape.value))

        def write_entries(value: Any, out: list[str]) -> None:
            for key, item in value.items():
                out.append(f"<{entry}>")
                write_key(key, out)
                write_value(item, out)
                out.append(f"</{entry}>")

        return write_entries if flat else _wrapped(write_entries, f"<{name}>", f"</{name}>")


def _namespace(shape: Shape) -> str:
    namespace = shape.serialization.get("xmlNamespace")
    if not namespace:
        return ""
    if isinstance(namespace, str):
        return f' xmlns="{namespace}"'
    prefix = f":{namespace['prefix']}" if namespace.get("prefix") else ""
    return f' xmlns{prefix}="{namespace["uri"]}"'


def _wrapped(write: Write, opening: str, closing: str) -> Write:
    empty = f"{opening[:-1]}/>"

    def write_wrapped(value: Any, out: list[str]) -> None:
        if not value:
            out.append(empty)
            return
        out.append(opening)
        write(value, out)
        out.append(closing)

    return write_wrapped


def _write_each(write: Write) -> Write:
    def write_items(value: Any, out: list[str]) -> None:
        for item in value:
            write(item, out)

    return write_items


def _write_members(shape_name: str, table: list[tuple[str, Write]], others: Mapping[str, Any] | None = None) -> Write:
    """In the model's order. `others` are members that are written elsewhere."""

    def write_members(value: Any, out: list[str]) -> None:
        written = 0
        for name, write in table:
            if name in value:
                written += 1
                item = value[name]
                if item is not None:
                    write(item, out)
        if written < len(value):
            known = {name for name, _ in table}
            for name in value:
                if name not in known and (others is None or name not in others):
                    raise ValueError(f"{shape_name} has no member {name}")

    return write_members
