"""GetSessionToken and GetFederationToken: temporary credentials of users and of accounts' roots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call
from ...identity import sessions
from ...identity.demands import Demand
from ...identity.principals import Identity
from ..engines import Engines
from . import issuing
from .issuing import denied

if TYPE_CHECKING:
    from types_boto3_sts.type_defs import GetFederationTokenRequestTypeDef, GetSessionTokenRequestTypeDef

USUAL_DURATION = 43_200
#: The longest session of an account's root: a longer one is cut to it, as AWS does.
ROOTS_DURATION = 3600


def get_session_token(call: Call, request: GetSessionTokenRequestTypeDef, engines: Engines) -> dict[str, Any]:
    identity = _long_term(call, "GetSessionToken")
    if "SerialNumber" in request or "TokenCode" in request:
        raise issuing.no_such_device()
    kind: issuing.Kind = "Root" if identity.type == "Root" else "IAMUser"
    held = issuing.begin(call, engines, kind, _issuer(identity), _duration(identity, request))
    return issuing.issue(engines, held, request.get("MinimumSessionTokenSize", 0))


def get_federation_token(call: Call, request: GetFederationTokenRequestTypeDef, engines: Engines) -> dict[str, Any]:
    """Without session policies such a session may do only what resources' own policies let it do."""
    identity = _long_term(call, "GetFederationToken")
    name = request["Name"]
    bounds = issuing.bounds(engines.store.read, request, identity.account)
    held = msgspec.structs.replace(
        issuing.begin(call, engines, "FederatedUser", _issuer(identity), _duration(identity, request)),
        name=name,
        policy=bounds.policy,
        policy_arns=bounds.arns,
        tags=issuing.tags(request.get("Tags", ()), (), None).pairs,
    )
    answer = issuing.issue(engines, held, request.get("MinimumSessionTokenSize", 0))
    answer["FederatedUser"] = {
        "FederatedUserId": f"{identity.account}:{name}",
        "Arn": sessions.federated_user_arn(identity.account, name),
    }
    return answer


def demands(call: Call, request: GetFederationTokenRequestTypeDef, engines: Engines) -> Sequence[Demand]:
    tags = issuing.tags(request.get("Tags", ()), (), None).pairs
    context: dict[str, tuple[str, ...]] = {f"aws:requesttag/{key.lower()}": (value,) for key, value in tags}
    if tags:
        context["aws:tagkeys"] = tuple(key for key, _ in tags)
    arn = sessions.federated_user_arn(call.account, request["Name"])
    actions = ["sts:GetFederationToken", "sts:TagSession"] if tags else ["sts:GetFederationToken"]
    return [Demand(action=action, resource=arn, context=context) for action in actions]


def _long_term(call: Call, operation: str) -> Identity:
    identity = call.identity
    if identity.session is not None:
        raise denied(f"Cannot call {operation} with session credentials")
    if identity.type not in ("Root", "IAMUser"):
        raise denied(f"{operation} is for users and accounts' roots.")
    return identity


def _duration(identity: Identity, request: Mapping[str, Any]) -> int:
    seconds = int(request.get("DurationSeconds", USUAL_DURATION))
    return min(seconds, ROOTS_DURATION) if identity.type == "Root" else seconds


def _issuer(identity: Identity) -> dict[str, str]:
    found = {
        "type": identity.type,
        "principalId": identity.principal_id,
        "arn": identity.arn,
        "accountId": identity.account,
    }
    return {**found, "userName": identity.user_name} if identity.user_name else found
