"""A call's input or output, turned into requestParameters or responseElements.

Each shape of a service's model is compiled once into a closure that renames, redacts, renders and counts in one walk.
A walk has a budget of characters: where that is spent it stops, so that no more is ever built than a record may hold.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import orjson

from .redact import HIDDEN, Rules, Showing, leaves, secret_keys

if TYPE_CHECKING:
    from botocore.model import ListShape, MapShape, Shape, StructureShape

#: Levels of nesting that a record shows.
DEPTH = 100
_DEEP = "..."

Moments = Literal["comma", "plain", "iso", "milliseconds"]


class Budget:
    """What a walk may still write, in characters, and what it has met."""

    __slots__ = ("cut", "depth", "left", "secrets")

    def __init__(self, characters: int, secrets: list[str] | None = None) -> None:
        self.left = characters
        self.cut = False
        self.depth = 0
        #: Where a list is given, the hidden values are collected in it.
        self.secrets = secrets

    def spent(self) -> bool:
        """Called where nothing more can be written: whether the walk may stop. It may not while secrets are looked
        for; then it goes on, and keeps nothing."""
        self.cut = True
        return self.secrets is None


Walk = Callable[[Any, Budget], Any]


def lower_first(name: str) -> str:
    return name[:1].lower() + name[1:]


# Scalars


def text(value: Any, budget: Budget) -> Any:
    if type(value) is not str:
        return odd(value, budget)
    size = len(value)
    budget.left -= size + 3
    if budget.left < 0:
        return _cut(value, size + 3 + budget.left, budget)
    return value


def _cut(value: str, room: int, budget: Budget) -> str:
    budget.cut = True
    return value[: max(room - 3, 0)]


def number(value: Any, budget: Budget) -> Any:
    budget.left -= 8
    if type(value) is int:
        return (
            value if -(1 << 63) <= value < 1 << 64 else text(str(value) if value.bit_length() < 4096 else _DEEP, budget)
        )
    if type(value) is bool:
        return value
    if type(value) is float:
        return value if math.isfinite(value) else str(value)
    return odd(value, budget)


def blob(value: Any, budget: Budget) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        room = max(budget.left, 0) * 3 // 4
        if len(value) > room:
            budget.cut = True
            value = value[: room - room % 3]
        return text(base64.b64encode(value).decode("ascii"), budget)
    return text(value, budget) if isinstance(value, str) else None


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    try:
        return datetime.fromtimestamp(value, UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _english(moment: datetime, comma: str) -> str:
    hour = moment.hour % 12 or 12
    half = "AM" if moment.hour < 12 else "PM"
    day = f"{_MONTHS[moment.month - 1]} {moment.day}, {moment.year}{comma}"
    return f"{day} {hour}:{moment.minute:02}:{moment.second:02} {half}"


def timestamps(form: Moments) -> Walk:
    """`Feb 19, 2025, 6:32:39 PM`, the same without its second comma, ISO 8601, or milliseconds since 1970."""

    def timestamp(value: Any, budget: Budget) -> Any:
        moment = _moment(value)
        if moment is None:
            return text(str(value), budget)
        budget.left -= 30
        if form == "milliseconds":
            return int(moment.timestamp() * 1000)
        if form == "iso":
            return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds").replace("+00:00", "Z")
        return _english(moment, "," if form == "comma" else "")

    return timestamp


def document(value: Any, budget: Budget) -> Any:
    """A value that no shape describes."""
    kind = type(value)
    if kind is str:
        return text(value, budget)
    if value is None or kind is bool:
        budget.left -= 5
        return value
    if kind is int or kind is float:
        return number(value, budget)
    if isinstance(value, bytes | bytearray):
        return blob(value, budget)
    if isinstance(value, datetime):
        return timestamps("iso")(value, budget)
    if isinstance(value, dict):
        return _map(value, budget, document)
    if isinstance(value, list | tuple):
        return _list(value, budget, document)
    return None


def odd(value: Any, budget: Budget) -> Any:
    """A value of another type than its shape says. What is inside a collection is unknown, so it is not shown."""
    return None if isinstance(value, dict | list | tuple) else document(value, budget)


def hiding(shape: Shape | None) -> Walk:
    def hidden(value: Any, budget: Budget) -> Any:
        budget.left -= len(HIDDEN) + 3
        if budget.secrets is not None:
            leaves(value, shape, budget.secrets)
        return HIDDEN

    return hidden


#: A value that no shape describes.
hidden = hiding(None)


# Collections


def _list(value: Any, budget: Budget, element: Walk) -> Any:
    if not isinstance(value, list | tuple):
        return odd(value, budget)
    if budget.depth >= DEPTH:
        budget.cut = True
        return _DEEP
    budget.depth += 1
    found = []
    for item in value:
        budget.left -= 2
        if budget.left < 0:
            if budget.spent():
                break
            element(item, budget)
            continue
        found.append(element(item, budget))
    budget.depth -= 1
    return found


def _map(value: Any, budget: Budget, element: Walk) -> Any:
    if not isinstance(value, dict):
        return odd(value, budget)
    if budget.depth >= DEPTH:
        budget.cut = True
        return _DEEP
    budget.depth += 1
    secret = secret_keys()
    found = {}
    for key, item in value.items():
        name = key if type(key) is str else str(key)
        budget.left -= len(name) + 4
        walk = hidden if name.lower() in secret else element
        if budget.left < 0:
            if budget.spent():
                break
            walk(item, budget)
            continue
        found[name] = walk(item, budget)
    budget.depth -= 1
    return found


class Form:
    """How a service's records spell members and show lists. This is what nearly all services do."""

    moments: Moments = "comma"

    def member(self, name: str, shape: Shape) -> str | None:  # noqa: ARG002
        """The member's name in the record; None where records do not show it."""
        return lower_first(name)

    def listed(self, shape: Shape, found: list[Any]) -> Any:  # noqa: ARG002
        return found

    def value(self, shape: Shape, walk: Walk) -> Walk:  # noqa: ARG002
        return walk


class Compiler:
    """Compiles the shapes of one service."""

    def __init__(self, rules: Rules, form: Form) -> None:
        self._rules = rules
        self._form = form
        self._timestamp = timestamps(form.moments)
        self._known: dict[str, Walk] = {}

    def structure(self, shape: StructureShape, *, all_hidden: bool = False) -> Walk:
        known = self._known.get(shape.name)
        if known is not None and not all_hidden:
            return known
        members: dict[str, tuple[str | None, int, Walk]] = {}

        def structure(value: Any, budget: Budget) -> Any:
            if type(value) is not dict:
                return odd(value, budget)
            if budget.depth >= DEPTH:
                budget.cut = True
                return _DEEP
            budget.depth += 1
            found = {}
            for key, item in value.items():
                member = members.get(key)
                if member is None or item is None:
                    continue
                name, cost, walk = member
                if name is None:
                    if budget.secrets is not None:
                        walk(item, budget)
                    continue
                budget.left -= cost
                if budget.left < 0:
                    if budget.spent():
                        break
                    walk(item, budget)
                    continue
                found[name] = walk(item, budget)
            budget.depth -= 1
            return found

        if not all_hidden:
            # Before the members: a shape may contain itself.
            self._known[shape.name] = structure
        for name, member in shape.members.items():
            members[name] = self._member(name, member, all_hidden)
        return structure

    def _member(self, name: str, shape: Shape, all_hidden: bool) -> tuple[str | None, int, Walk]:
        showing = self._rules.member(name, shape)
        spelt = self._form.member(name, shape)
        if showing is Showing.OMIT or spelt is None:
            return None, 0, hiding(shape)
        if all_hidden or showing is Showing.HIDE:
            return spelt, len(spelt) + 4, hiding(shape)
        return spelt, len(spelt) + 4, self._form.value(shape, self.value(shape))

    def value(self, shape: Shape) -> Walk:
        if shape.metadata.get("sensitive"):
            return hiding(shape)
        match shape.type_name:
            case "structure":
                return document if shape.is_document_type else self.structure(shape)
            case "list":
                return self._list_of(shape)
            case "map":
                return self._map_of(shape)
            case "timestamp":
                return self._timestamp
            case "blob":
                return blob
            case "string" | "character":
                return text
            case _:
                return number

    def _list_of(self, shape: ListShape) -> Walk:
        element, form = self._later(shape.member), self._form
        if type(form).listed is Form.listed:
            return lambda value, budget: _list(value, budget, element)

        def with_form(value: Any, budget: Budget) -> Any:
            found = _list(value, budget, element)
            return form.listed(shape, found) if type(found) is list else found

        return with_form

    def _map_of(self, shape: MapShape) -> Walk:
        if shape.key.metadata.get("sensitive"):
            return hiding(shape)
        element = self._later(shape.value)
        return lambda value, budget: _map(value, budget, element)

    def _later(self, shape: Shape) -> Walk:
        """The walk of a shape that may contain the one being compiled: lists and maps are not memoised, so a list of
        lists that contains itself is compiled when it is first met."""
        if shape.type_name not in ("list", "map"):
            return self.value(shape)
        compiled: Walk | None = None

        def walk(value: Any, budget: Budget) -> Any:
            nonlocal compiled
            if compiled is None:
                compiled = self.value(shape)
            return compiled(value, budget)

        return walk


def render(walk: Walk, value: Any, limit: int, secrets: list[str] | None = None) -> tuple[Any, bool]:
    """What `walk` makes of a value in at most `limit` bytes of JSON, and whether anything of it was cut."""
    budget = Budget(limit, secrets)
    found = walk(value, budget)
    # A character is at most 6 bytes of JSON: the bytes are counted only above a sixth of the limit.
    if (limit - budget.left) * 6 <= limit:
        return found, budget.cut
    characters = limit
    while (size := len(encode(found))) > limit:
        characters = max(min(characters, characters * limit // size) * 9 // 10, 64)
        budget = Budget(characters)
        found = walk(value, budget)
    return found, budget.cut or characters < limit


def encode(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        # A text with half a surrogate pair: JSON can carry it, UTF-8 cannot.
        return orjson.dumps(_sound(value))


def _sound(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_sound(key): _sound(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_sound(inner) for inner in value]
    return value
