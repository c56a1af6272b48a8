"""The parameters of Query and EC2 requests: "Filter.1.Name=x" to a tree of names, and that to the model's values."""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock
from typing import Any
from urllib.parse import unquote_to_bytes

from botocore.model import ListShape, MapShape, Shape, StructureShape

from . import texts
from .faults import Unreadable, only_one
from .xml_values import is_flattened

#: A parameter's own value stands under "", the parameters below it under the next part of their names.
Tree = dict[str, Any]
Read = Callable[[Tree], Any]

_MOST_PARAMETERS = 100_000
_MOST_PARTS = 64
#: Parts of all names together: each may cost a table of its own.
_MOST_NAMES = 500_000
_LONGEST_INDEX = 9


def parse(*encoded: bytes) -> Tree:
    tree: Tree = {}
    count = names = 0
    for source in encoded:
        if not source:
            continue
        pairs = source.split(b"&", _MOST_PARAMETERS)
        count += len(pairs)
        if count > _MOST_PARAMETERS:
            raise Unreadable("The request has too many parameters")
        for pair in pairs:
            name, _, value = pair.partition(b"=")
            if name:
                names += name.count(b".") + 1
                if names > _MOST_NAMES:
                    raise Unreadable("The request's parameters have too many parts")
                _insert(tree, _decode(name), _decode(value))
    return tree


def _decode(encoded: bytes) -> str:
    if b"+" in encoded:
        encoded = encoded.replace(b"+", b" ")
    try:
        text = unquote_to_bytes(encoded).decode() if b"%" in encoded else encoded.decode()
    except UnicodeDecodeError as error:
        raise Unreadable("The parameters are not UTF-8") from error
    if "\0" in text:
        raise Unreadable("The parameters contain a NUL character")
    return text


def _insert(tree: Tree, name: str, value: str) -> None:
    parts = name.split(".", _MOST_PARTS)
    if len(parts) > _MOST_PARTS:
        raise Unreadable("A parameter's name has too many parts")
    for part in parts:
        tree = tree.setdefault(part, {})
    tree.setdefault("", value)


def _elements(tree: Tree) -> list[Tree]:
    """A list's elements by their index; indexes may be sparse, and only say the order."""
    found: list[tuple[int, Tree]] = []
    for key, element in tree.items():
        if key.isascii() and key.isdigit() and len(key) <= _LONGEST_INDEX:
            found.append((int(key), element))
        elif key:
            raise Unreadable("Unexpected list element termination")
    found.sort(key=lambda pair: pair[0])
    return [element for _, element in found]


class Reader:
    def __init__(self, *, ec2: bool) -> None:
        self._ec2 = ec2
        self._structures: dict[str, Read] = {}
        # As in the values' compilers: no thread may meet what another is still compiling.
        self._lock = RLock()

    def read(self, shape: Shape) -> Read:
        with self._lock:
            return self._compile(shape)

    def _compile(self, shape: Shape) -> Read:
        if isinstance(shape, StructureShape):
            return self._structure(shape)
        if isinstance(shape, ListShape):
            return self._list(shape)
        if isinstance(shape, MapShape):
            return self._map(shape)
        return _scalar(texts.reader(shape))

    def _structure(self, shape: StructureShape) -> Read:
        known = self._structures.get(shape.name)
        if known is not None:
            return known
        table: list[tuple[str, str, Read]] = []

        def read_structure(tree: Tree) -> dict[str, Any]:
            return {name: read(tree[wire]) for name, wire, read in table if wire in tree}

        read_whole = only_one(read_structure) if shape.is_tagged_union else read_structure
        self._structures[shape.name] = read_whole
        for name, member in shape.members.items():
            wire, read = self._name(name, member), self._compile(member)
            own = member.serialization.get("name", name)
            if isinstance(member, ListShape) and own != wire:
                # An empty list stands under its own name, its items under theirs.
                table.append((name, own, read))
            table.append((name, wire, read))
        return read_whole

    def _name(self, name: str, shape: Shape) -> str:
        serialization = shape.serialization
        if self._ec2:
            if "queryName" in serialization:
                return str(serialization["queryName"])
            given = str(serialization.get("name", ""))
            return given[:1].upper() + given[1:] if given else name
        if isinstance(shape, ListShape) and is_flattened(shape) and shape.member.serialization.get("name"):
            return str(shape.member.serialization["name"])
        return str(serialization.get("name", name))

    def _list(self, shape: ListShape) -> Read:
        read = self._compile(shape.member)
        if self._ec2 or is_flattened(shape):
            return lambda tree: [read(element) for element in _elements(tree)]
        wrapper = shape.member.serialization.get("name", "member")

        def read_list(tree: Tree) -> list[Any]:
            if wrapper in tree:
                return [read(element) for element in _elements(tree[wrapper])]
            if tree.keys() - {""}:
                raise Unreadable("Unexpected list element termination")
            return []

        return read_list

    def _map(self, shape: MapShape) -> Read:
        key_name, value_name = self._name("key", shape.key), self._name("value", shape.value)
        read_key, read_value = self._compile(shape.key), self._compile(shape.value)
        flat = is_flattened(shape)

        def read_map(tree: Tree) -> dict[str, Any]:
            entries = _elements(tree if flat else tree.get("entry", {}))
            try:
                return {read_key(entry[key_name]): read_value(entry[value_name]) for entry in entries}
            except KeyError:
                raise Unreadable("Unexpected complex element termination") from None

        return read_map


def _scalar(read: Callable[[str], Any]) -> Read:
    def read_scalar(tree: Tree) -> Any:
        if "" not in tree or len(tree) > 1:
            raise Unreadable("Start of structure or map found where not expected.")
        return read(tree[""])

    return read_scalar
