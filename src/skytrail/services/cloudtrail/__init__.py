"""CloudTrail: the event history, and the investigator's search over it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .history import lookup_events

OPERATIONS: Mapping[str, Callable[..., Any]] = {
    "LookupEvents": lookup_events,
}

#: Operations that answer values outside the model's ranges and enums with errors of their own.
LENIENT: frozenset[str] = frozenset({"LookupEvents"})
