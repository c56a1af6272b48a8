"""The event history: LookupEvents, and the investigator's search over all that is kept."""

from __future__ import annotations

from . import investigate
from .lookup import lookup_events

__all__ = ["investigate", "lookup_events"]
