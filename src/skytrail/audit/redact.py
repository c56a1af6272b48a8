"""What of a call's parameters may be shown.

Three sources say so, and each is enough: the model marks the shape `sensitive`; the member bears a secret's name
(data/redactions.json, "members" and "suffixes"); or the service's own list says so ("services", "operations").
A hidden value is replaced by CloudTrail's constant; an omitted one leaves no trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

from . import data_files

if TYPE_CHECKING:
    from botocore.model import Shape

HIDDEN = "HIDDEN_DUE_TO_SECURITY_REASONS"

#: Leaves of hidden values that an error message is searched for, and how deep they are looked for.
_LEAVES, _LEAF_DEPTH = 1000, 32


class Showing(Enum):
    SHOW = "show"
    HIDE = "hide"
    OMIT = "omit"


class Rules:
    """The rules of one service, for one operation where that has rules of its own."""

    def __init__(self, service_name: str, operation_name: str = "") -> None:
        data = data_files.load("redactions.json")
        service = data["services"].get(service_name, {})
        self._names = frozenset(data["members"])
        self._suffixes = tuple(data["suffixes"])
        self._hidden = frozenset(service.get("hide", ())) | frozenset(
            data["operations"].get(service_name, {}).get(operation_name, ())
        )
        self._omitted = frozenset(service.get("omit", ()))

    def member(self, name: str, shape: Shape) -> Showing:
        if name in self._omitted or shape.metadata.get("streaming") or shape.serialization.get("eventstream"):
            return Showing.OMIT
        if shape.metadata.get("sensitive") or name in self._hidden:
            return Showing.HIDE
        return Showing.HIDE if self._bears_secrets_name(name, shape) else Showing.SHOW

    def _bears_secrets_name(self, name: str, shape: Shape) -> bool:
        lower = name.lower()
        if lower in self._names:
            return shape.type_name not in ("boolean", "integer", "long", "float", "double", "timestamp")
        return shape.type_name in ("string", "blob") and lower.endswith(self._suffixes)


def has_own_rules(service_name: str, operation_name: str) -> bool:
    return operation_name in data_files.load("redactions.json")["operations"].get(service_name, {})


@cache
def secret_keys() -> frozenset[str]:
    """Keys of maps (headers, attributes) whose values are hidden, in lower case."""
    return frozenset(data_files.load("redactions.json")["map_keys"])


def leaves(value: Any, shape: Shape | None, found: list[str], depth: int = 0) -> None:
    """Adds the texts inside a hidden value to `found`, so that they can be kept out of an error message too.

    The keys of maps are among them; the names of a structure's members are not.
    """
    if len(found) >= _LEAVES or depth > _LEAF_DEPTH:
        return
    kind = shape.type_name if shape is not None else ""
    if isinstance(value, str):
        found.append(value)
    elif isinstance(value, bytes | bytearray):
        found.append(bytes(value[:4096]).decode("latin-1"))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if kind == "structure":
                leaves(inner, shape.members.get(key) if shape is not None else None, found, depth + 1)
            else:
                found.append(str(key))
                leaves(inner, shape.value if shape is not None and kind == "map" else None, found, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            leaves(inner, shape.member if shape is not None and kind == "list" else None, found, depth + 1)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found.append(str(value))


def message(text: str, secrets: list[str]) -> str:
    """An error's message without the hidden values that it quotes."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= 4:
            text = text.replace(secret, HIDDEN)
        elif secret:
            text = text.replace(f"'{secret}'", f"'{HIDDEN}'")
    return text
