"""The condition keys that a simulation is given."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from .simulated_policies import invalid


def entries(given: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """The values by keys in lower case. Each value is what its type says; only lists have more than one."""
    context: dict[str, tuple[str, ...]] = {}
    for entry in given:
        name, values = entry.get("ContextKeyName", ""), tuple(entry.get("ContextKeyValues", ()))
        kind = entry.get("ContextKeyType", "string")
        if not name or ":" not in name:
            raise invalid("Each of the ContextEntries needs a ContextKeyName such as aws:SourceIp.")
        if not kind.endswith("List") and len(values) > 1:
            raise invalid(f"The context key {name} has several values, and its type {kind} takes one.")
        read = _READERS[kind.removesuffix("List")]
        for value in values:
            try:
                read(value)
            except (ValueError, InvalidOperation, binascii.Error) as error:
                raise invalid(f"The value {value} of the context key {name} is not of the type {kind}.") from error
        if values:
            context[name.lower()] = values
    return context


def _boolean(text: str) -> None:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)


def _date(text: str) -> None:
    if not text.isdigit():
        datetime.fromisoformat(text)


_READERS: dict[str, Callable[[str], Any]] = {
    "string": str,
    "numeric": Decimal,
    "boolean": _boolean,
    "ip": lambda text: ipaddress.ip_network(text, strict=False),
    "binary": lambda text: base64.b64decode(text, validate=True),
    "date": _date,
}
