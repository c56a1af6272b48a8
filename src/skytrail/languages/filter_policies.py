"""Filter policies of SNS subscriptions: compiled once, then asked of each message.

A policy names properties and the values that they may have: `{"store": ["a", {"prefix": "b"}], "$or": [{...}, {...}]}`.
All named properties must match; of a property's values, one must. What a policy is asked of is a document: a message's
body, or an object made of its attributes. A list in a document offers each of its values; properties below a list of
objects must match in one and the same of them.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

Scope = Literal["MessageAttributes", "MessageBody"]
#: Whether a value of the document (text, number, true, false, null) is one that the policy wants.
Test = Callable[[Any], bool]

LONGEST = 256 * 1024
_COMBINATIONS = 150
_KEYS = 5
_MOST = 10**9
#: Numbers are told apart up to five digits after the point.
_ACCURACY = 10**5
_OPERATORS = frozenset(
    {"anything-but", "cidr", "equals-ignore-case", "exists", "numeric", "prefix", "suffix", "wildcard"}
)
_MISSING: Any = object()


class InvalidFilterPolicy(Exception):
    """A policy that cannot be used; the message is for its author."""


@dataclass(slots=True, frozen=True)
class _Leaf:
    path: tuple[str, ...]
    tests: tuple[Test, ...]
    #: Where the property may also be missing.
    absent: bool


@dataclass(slots=True, frozen=True)
class _Node:
    keys: tuple[tuple[str, _Node | _Leaf], ...]
    #: Of each of these groups, one must hold.
    alternatives: tuple[tuple[_Node, ...], ...]


@dataclass(slots=True, frozen=True)
class FilterPolicy:
    root: _Node

    def accepts(self, document: Any) -> bool:
        """Whether the policy lets a document pass; one that is no object never does."""
        return isinstance(document, dict) and _holds(self.root, document, document)


# Matching


def _holds(node: _Node, item: Any, document: Any) -> bool:
    """`item` is an object, or missing."""
    return all(_child_holds(child, _get(item, key), document) for key, child in node.keys) and all(
        any(_holds(alternative, item, document) for alternative in group) for group in node.alternatives
    )


def _child_holds(child: _Node | _Leaf, value: Any, document: Any) -> bool:
    if isinstance(child, _Leaf):
        if any(test(scalar) for scalar in _scalars(value) for test in child.tests):
            return True
        return child.absent and not _exists(document, child.path)
    objects = [item for item in _flat(value) if isinstance(item, dict)]
    return any(_holds(child, item, document) for item in objects or (_MISSING,))


def _get(item: Any, key: str) -> Any:
    return item.get(key, _MISSING) if isinstance(item, dict) else _MISSING


def _flat(value: Any) -> Iterator[Any]:
    """The value, or what a list holds, through lists in lists; however deep, no stack is used up."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, list):
            waiting.extend(reversed(found))
        else:
            yield found


def _scalars(value: Any) -> Iterator[Any]:
    return (found for found in _flat(value) if found is not _MISSING and not isinstance(found, dict))


def _exists(document: Any, path: tuple[str, ...]) -> bool:
    """Whether there is a value at this place, in whichever object of a list."""
    values = [document]
    for key in path:
        values = [found for value in values for item in _flat(value) if (found := _get(item, key)) is not _MISSING]
    return any(True for value in values for _ in _scalars(value))


# Compiling


@functools.lru_cache(maxsize=512)
def compile(text: str, scope: Scope) -> FilterPolicy:  # noqa: A001 - filter_policies.compile, as re.compile
    """InvalidFilterPolicy where the text is no filter policy, or one beyond the limits."""
    if len(text.encode()) > LONGEST:
        raise InvalidFilterPolicy("Filter policy is too large")
    try:
        tree = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InvalidFilterPolicy("failed to parse JSON.") from None
    if not isinstance(tree, dict):
        raise InvalidFilterPolicy("Filter is not an object")
    if not tree:
        return FilterPolicy(_Node((), ()))
    if len(_names(tree)) > _KEYS:
        raise InvalidFilterPolicy(f"Filter policy can not have more than {_KEYS} keys")
    node, combinations = _node(tree, (), scope, inside_or=False)
    if combinations > _COMBINATIONS:
        raise InvalidFilterPolicy("Filter policy is too complex")
    return FilterPolicy(node)


def _names(tree: Any) -> set[str]:
    """The properties that a policy names at its top, also those within `$or`."""
    names: set[str] = set()
    waiting = [tree]
    while waiting:
        part = waiting.pop()
        for key, value in part.items() if isinstance(part, dict) else ():
            if key == "$or":
                waiting += value if isinstance(value, list) else []
            else:
                names.add(key)
    return names


def _node(
    tree: Mapping[str, Any], path: tuple[str, ...], scope: Scope, *, inside_or: bool, depth: int = 0
) -> tuple[_Node, int]:
    """The node, and how many combinations of values it has: a value counts once for each level that it lies at."""
    if not tree:
        raise InvalidFilterPolicy("Empty objects are not allowed")
    if depth > _COMBINATIONS:
        raise InvalidFilterPolicy("Filter policy is too complex")
    keys: list[tuple[str, _Node | _Leaf]] = []
    groups: list[tuple[_Node, ...]] = []
    combinations = 1
    for key, value in tree.items():
        child: _Node | _Leaf
        if key == "$or":
            group, count = _alternatives(value, path, scope, depth)
            groups.append(group)
        elif inside_or and key in _OPERATORS:
            raise InvalidFilterPolicy(f"{key} is Ruler reserved fieldName which cannot be used inside $or.")
        elif isinstance(value, list):
            child = _leaf((*path, key), value)
            count = len(value) * len(child.path)
            keys.append((key, child))
        elif isinstance(value, dict):
            if scope == "MessageAttributes":
                raise InvalidFilterPolicy("Filter policy scope MessageAttributes does not support nested filter policy")
            child, count = _node(value, (*path, key), scope, inside_or=inside_or, depth=depth + 1)
            keys.append((key, child))
        else:
            raise InvalidFilterPolicy(f'"{key}" must be an object or an array')
        combinations *= count
    return _Node(tuple(keys), tuple(groups)), combinations


def _alternatives(value: Any, path: tuple[str, ...], scope: Scope, depth: int) -> tuple[tuple[_Node, ...], int]:
    if not isinstance(value, list):
        raise InvalidFilterPolicy("It must be an Array followed with $or.")
    if not all(isinstance(each, dict) for each in value):
        raise InvalidFilterPolicy("Only JSON object is allowed in array of $or relationship.")
    if len(value) < 2:
        raise InvalidFilterPolicy("There must have at least 2 Objects in $or relationship.")
    found = [_node(each, path, scope, inside_or=True, depth=depth + 1) for each in value]
    return tuple(node for node, _ in found), sum(count for _, count in found)


def _leaf(path: tuple[str, ...], values: list[Any]) -> _Leaf:
    if not values:
        raise InvalidFilterPolicy("Empty arrays are not allowed")
    tests: list[Test] = []
    absent = False
    for value in values:
        if isinstance(value, dict) and len(value) == 1 and value.get("exists") is False:
            absent = True
        elif isinstance(value, dict):
            tests.append(_expression(value))
        elif isinstance(value, list):
            raise InvalidFilterPolicy("Match value must be String, number, true, false, or null")
        else:
            tests.append(_equals(value))
    return _Leaf(path, tuple(tests), absent)


# The tests


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scaled(value: float) -> float:
    """Two numbers that are equal at the accuracy of filters give the same."""
    return round(value * _ACCURACY) if -_MOST <= value <= _MOST else value * _ACCURACY


def _equals(wanted: Any) -> Test:
    if isinstance(wanted, str):
        return lambda value: bool(value == wanted)
    if not _is_number(wanted):
        return lambda value: value is wanted
    scaled = _scaled(wanted)
    return lambda value: _is_number(value) and _scaled(value) == scaled


def _expression(tree: Mapping[str, Any]) -> Test:
    if not tree:
        raise InvalidFilterPolicy("Match expression name not found")
    (name, value), *more = tree.items()
    if name not in _OPERATORS:
        raise InvalidFilterPolicy(f"Unrecognized match type {name}")
    if more:
        raise InvalidFilterPolicy("Only one key allowed in match expression")
    match name:
        case "exists":
            if value is not True:
                raise InvalidFilterPolicy("exists match pattern must be either true or false.")
            return lambda _: True
        case "numeric":
            return _numeric(value)
        case "anything-but":
            return _anything_but(value)
        case _:
            if not isinstance(value, str):
                raise InvalidFilterPolicy(f"{name} match pattern must be a string")
            return _text_test(name, value)


def _text_test(name: str, wanted: str) -> Test:
    match name:
        case "prefix":
            return lambda value: isinstance(value, str) and value.startswith(wanted)
        case "suffix":
            return lambda value: isinstance(value, str) and value.endswith(wanted)
        case "equals-ignore-case":
            lower = wanted.lower()
            return lambda value: isinstance(value, str) and value.lower() == lower
        case "wildcard":
            return _wildcard(wanted)
        case _:
            return _cidr(wanted)


def _cidr(wanted: str) -> Test:
    try:
        network = ipaddress.ip_network(wanted, strict=False)
    except ValueError:
        raise InvalidFilterPolicy(f"Malformed CIDR, unable to parse address: {wanted}") from None
    if "/" not in wanted:
        raise InvalidFilterPolicy("Malformed CIDR, one '/' required")

    def test(value: Any) -> bool:
        try:
            return isinstance(value, str) and ipaddress.ip_address(value) in network
        except ValueError:
            return False

    return test


def _wildcard(wanted: str) -> Test:
    parts, part, position = [], "", 0
    while position < len(wanted):
        character = wanted[position]
        if character == "\\":
            position += 1
            if wanted[position : position + 1] not in ("*", "\\"):
                raise InvalidFilterPolicy(f"Invalid escape character at pos {position}")
            part += wanted[position]
        elif character == "*":
            if wanted[position + 1 : position + 2] == "*":
                raise InvalidFilterPolicy(f"Consecutive wildcard characters at pos {position + 1}")
            parts.append(part)
            part = ""
        else:
            part += character
        position += 1
    first, *middle, last = [*parts, part] if parts else [part, ""]
    if not parts:
        return _equals(first)

    def test(value: Any) -> bool:
        """Each part is taken at its first place for good, so nothing is tried twice."""
        if not (isinstance(value, str) and value.startswith(first) and value.endswith(last)):
            return False
        start, end = len(first), len(value) - len(last)
        for each in middle:
            found = value.find(each, start, end)
            if found < 0:
                return False
            start = found + len(each)
        return start <= end

    return test


def _numeric(value: Any) -> Test:
    if not isinstance(value, list):
        raise InvalidFilterPolicy("Value of numeric must be an array.")
    if not value or not isinstance(value[0], str):
        raise InvalidFilterPolicy(f"Invalid member in numeric match: {value[0] if value else ']'}")
    tests = [_comparison(value, 0, ("=", "<", "<=", ">", ">="), "Unrecognized numeric range operator: ")]
    if len(value) > 2:
        if value[0] not in (">", ">="):
            raise InvalidFilterPolicy("Too many elements in numeric expression")
        if not isinstance(value[2], str):
            raise InvalidFilterPolicy(f"Bad value in numeric range: {value[2]}")
        tests.append(_comparison(value, 2, ("<", "<="), "Bad numeric range operator: "))
        if len(value) > 4:
            raise InvalidFilterPolicy("Too many terms in numeric range expression")
        if value[1] >= value[3]:
            raise InvalidFilterPolicy("Bottom must be less than top")
    return lambda given: _is_number(given) and -_MOST <= given <= _MOST and all(test(given) for test in tests)


def _comparison(terms: list[Any], place: int, known: tuple[str, ...], unknown: str) -> Test:
    operator = terms[place]
    if operator not in known:
        raise InvalidFilterPolicy(f"{unknown}{operator}")
    limit: Any = terms[place + 1] if place + 1 < len(terms) else None
    if not _is_number(limit):
        raise InvalidFilterPolicy(f"Value of {'equals' if operator == '=' else operator} must be numeric")
    if not -_MOST <= limit <= _MOST:
        raise InvalidFilterPolicy("Value must be between -1.0E9 and 1.0E9, inclusive")
    scaled = _scaled(limit)
    match operator:
        case "=":
            return lambda value: _scaled(value) == scaled
        case "<":
            return lambda value: _scaled(value) < scaled
        case "<=":
            return lambda value: _scaled(value) <= scaled
        case ">":
            return lambda value: _scaled(value) > scaled
        case _:
            return lambda value: _scaled(value) >= scaled


def _anything_but(value: Any) -> Test:
    if isinstance(value, dict):
        return _anything_but_texts(value)
    values = value if isinstance(value, list) else [value]
    if not isinstance(value, list) and not (isinstance(value, str) or _is_number(value)):
        raise InvalidFilterPolicy("Value of anything-but must be an array or single string/number value.")
    if not all(isinstance(each, str) or _is_number(each) for each in values):
        raise InvalidFilterPolicy("Inside anything but list, start|null|boolean is not supported.")
    if len({isinstance(each, str) for each in values}) != 1:
        raise InvalidFilterPolicy(
            "Inside anything but list, either all values are number or string, mixed type is not supported"
        )
    tests = [_equals(each) for each in values]
    return lambda given: not any(test(given) for test in tests)


def _anything_but_texts(tree: Mapping[str, Any]) -> Test:
    if not tree:
        raise InvalidFilterPolicy("Anything-But expression name not found")
    (name, value), *more = tree.items()
    if name not in ("prefix", "suffix", "equals-ignore-case", "wildcard"):
        raise InvalidFilterPolicy(f"Unsupported anything-but pattern: {name}")
    if more:
        raise InvalidFilterPolicy("Only one key allowed in match expression")
    texts = value if isinstance(value, list) else [value]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise InvalidFilterPolicy(f"{name} match pattern must be a string")
    if not all(texts) and name in ("prefix", "suffix"):
        raise InvalidFilterPolicy("Null prefix/suffix not allowed")
    tests = [_text_test(name, text) for text in texts]
    return lambda given: not any(test(given) for test in tests)
