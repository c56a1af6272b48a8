"""AssumeRole: a session of a role, for whom the role's trust policy lets in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...call import Call
from ...identity.demands import Demand
from ...storage.state import Reader
from ..engines import Engines
from . import issuing, role_sessions
from .issuing import denied, invalid
from .role_sessions import Wanted

if TYPE_CHECKING:
    from types_boto3_sts.type_defs import AssumeRoleRequestTypeDef

#: Stands for the trust policy of a role that is not there, so that a refusal does not tell whether it is.
_TRUSTS_NOBODY = (
    '{"Version":"2012-10-17","Statement":'
    '[{"Effect":"Allow","Principal":{"Service":"nobody.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
)


def assume_role(call: Call, request: AssumeRoleRequestTypeDef, engines: Engines) -> dict[str, Any]:
    wanted = _read(call, request, engines.store.read)
    identity = call.identity
    if wanted.role is None:
        caller = identity.arn or identity.invoked_by
        raise denied(f"User: {caller} is not authorized to perform: sts:AssumeRole on resource: {wanted.arn}")
    if identity.type == "Root" and engines.settings.server.mode == "enforced":
        raise denied("Roles may not be assumed by root accounts.")
    if identity.type == "FederatedUser":
        raise denied("Cannot call AssumeRole with federated user credentials")
    chained = identity.type == "AssumedRole"
    return role_sessions.start(call, engines, request, wanted, wanted.role, chained=chained)


def demands(call: Call, request: AssumeRoleRequestTypeDef, engines: Engines) -> Sequence[Demand]:
    """A role's trust policy must let the caller in, by itself or by leaving it to the account's own policies."""
    wanted = _read(call, request, engines.store.read)
    context = role_sessions.conditions(wanted)
    if "ExternalId" in request:
        context["sts:externalid"] = (request["ExternalId"],)
    return [
        Demand(
            action=action,
            resource=wanted.arn,
            account=wanted.account,
            policy=wanted.role.trust if wanted.role is not None else _TRUSTS_NOBODY,
            policy_rules=True,
            context=context,
        )
        for action in role_sessions.actions("sts:AssumeRole", wanted)
    ]


def _read(call: Call, request: AssumeRoleRequestTypeDef, reader: Reader) -> Wanted:
    account, role = role_sessions.named_role(reader, request["RoleArn"])
    if "SerialNumber" in request or "TokenCode" in request:
        raise issuing.no_such_device()
    if request.get("ProvidedContexts"):
        raise invalid("ProvidedContexts are not supported.")
    session = call.identity.session
    tags = issuing.tags(request.get("Tags", ()), request.get("TransitiveTagKeys", ()), session)
    inherited = (session.source_identity or "") if session is not None else ""
    source_identity = request.get("SourceIdentity", inherited)
    if inherited and source_identity != inherited:
        raise denied("The source identity of a session cannot be changed by the sessions that are assumed from it.")
    return Wanted(request["RoleArn"], account, role, request["RoleSessionName"], tags, source_identity)
