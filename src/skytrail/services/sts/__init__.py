"""STS: who am I."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .caller import get_caller_identity

OPERATIONS: Mapping[str, Callable[..., Any]] = {
    "GetCallerIdentity": get_caller_identity,
}
