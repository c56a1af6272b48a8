"""The caller's own identity."""

from __future__ import annotations

from typing import Any

from ...call import Call
from ..engines import Engines


def get_caller_identity(call: Call, request: dict[str, Any], engines: Engines) -> dict[str, Any]:
    identity = call.identity
    return {"UserId": identity.principal_id, "Account": identity.account, "Arn": identity.arn}
