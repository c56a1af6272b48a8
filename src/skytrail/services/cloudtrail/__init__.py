"""CloudTrail: the event history, and the investigator's search over it."""

from __future__ import annotations

from ..engines import Operations
from .history import lookup_events

OPERATIONS: Operations = {
    "LookupEvents": lookup_events,
}

#: Operations that answer values outside the model's ranges and enums with errors of their own.
LENIENT: frozenset[str] = frozenset({"LookupEvents"})
