"""XML text to a small tree, and text to XML. No document types, no entities of one's own, bounded nesting."""

from __future__ import annotations

import re
from typing import Any
from xml.parsers import expat

from .faults import Unreadable

_DEEPEST = 100
#: Ten thousand parts of an upload, each with its checksums, have far less; each element costs its own memory.
_LONGEST, _MOST_ELEMENTS = 8 << 20, 250_000
#: What XML cannot hold as it is. Carriage returns would be normalized away; S3 writes control characters by number.
_TEXT_SPECIAL = re.compile('[&<>"\r\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]')
_ATTRIBUTE_SPECIAL = re.compile('[&<>"\t\n\r\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]')
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


class Node:
    """An element. Names are local ones: namespaces and prefixes are dropped."""

    __slots__ = ("attributes", "children", "name", "parts")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.children: list[Node] = []
        self.parts: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self.parts)


def parse(document: bytes) -> Node:
    """The root element; Unreadable when the document is not well-formed, or has what no AWS request has."""
    if len(document) > _LONGEST:
        raise Unreadable(f"The XML is longer than {_LONGEST} bytes")
    top = Node("", {})
    stack = [top]
    elements = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal elements
        elements += 1
        if elements > _MOST_ELEMENTS:
            raise Unreadable(f"The XML has more than {_MOST_ELEMENTS} elements")
        if len(stack) > _DEEPEST:
            raise Unreadable(f"The XML nests deeper than {_DEEPEST} levels")
        local = {key.rpartition("}")[2]: value for key, value in attributes.items()}
        node = Node(name.rpartition("}")[2], local)
        stack[-1].children.append(node)
        stack.append(node)

    def end(_: str) -> None:
        stack.pop()

    def characters(text: str) -> None:
        stack[-1].parts.append(text)

    def refuse(*_: Any) -> None:
        raise Unreadable("The XML has a document type declaration")

    parser = expat.ParserCreate("utf-8", "}")
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(document, True)
    except (expat.ExpatError, ValueError) as error:
        raise Unreadable(f"The XML is not well-formed: {error}") from error
    return top.children[0]


def escape(text: str) -> str:
    return _TEXT_SPECIAL.sub(_escaped, text)


def escape_attribute(text: str) -> str:
    return _ATTRIBUTE_SPECIAL.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return _NAMED.get(match[0]) or f"&#x{ord(match[0]):X};"
