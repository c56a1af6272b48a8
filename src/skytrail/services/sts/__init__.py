"""STS: temporary credentials, and whose credentials these are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...call import Call
from ...identity.demands import Demand
from ..engines import Engines, Operations
from . import assuming, caller, federating, web_identity

__all__ = ["OPERATIONS", "demands"]

OPERATIONS: Operations = {
    "AssumeRole": assuming.assume_role,
    "AssumeRoleWithWebIdentity": web_identity.assume_role_with_web_identity,
    "GetAccessKeyInfo": caller.get_access_key_info,
    "GetCallerIdentity": caller.get_caller_identity,
    "GetFederationToken": federating.get_federation_token,
    "GetSessionToken": federating.get_session_token,
}

#: What needs no permission: to know oneself, to prove oneself; and what a role's trust policy alone decides.
_FREE = frozenset({"AssumeRoleWithWebIdentity", "GetCallerIdentity", "GetSessionToken"})


def demands(call: Call, engines: Engines) -> Sequence[Demand] | None:
    assert call.route is not None
    operation = call.route.operation.name
    request: Any = call.input or {}
    if operation in _FREE:
        return ()
    if operation == "AssumeRole":
        return assuming.demands(call, request, engines)
    if operation == "GetFederationToken":
        return federating.demands(call, request, engines)
    return None
