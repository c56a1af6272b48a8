"""What a codec meets that it cannot read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Unreadable(Exception):
    """The input is not what the model says. Each protocol answers it with a code of its own."""


def only_one(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """For unions, whatever they are read from."""

    def read_union(value: Any) -> Any:
        members = read(value)
        if len(members) != 1:
            raise Unreadable("A union must have exactly one member")
        return members

    return read_union


def a(type_name: str) -> str:
    """The type as AWS names it in its messages: "a String", "an Integer"."""
    return f"{'an' if type_name == 'integer' else 'a'} {type_name.capitalize()}"
