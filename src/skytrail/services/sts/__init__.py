"""STS: who am I."""

from __future__ import annotations

from ..engines import Operations
from .caller import get_caller_identity

OPERATIONS: Operations = {
    "GetCallerIdentity": get_caller_identity,
}
