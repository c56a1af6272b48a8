"""May the caller do this: the step that weighs all policies that a call meets, in enforced mode.

What a call demands comes from the room of its service, or else from the service authorization reference. Each demand
must be met; a deny is told before what nobody allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..call import Call
from ..errors import ServiceError
from ..identity import policy
from ..identity.authority import TRUSTED, Authority, Standing
from ..identity.demands import Demand
from ..identity.policy import Applicable, Ask, Decision, Policy, Verdict
from ..identity.principals import Identity
from . import context as contexts
from . import permissions

if TYPE_CHECKING:
    from ..wire.routing import Route

#: AWS answers these to everyone who is authenticated, whatever the policies say.
_ALWAYS_ALLOWED = frozenset({"sts:GetCallerIdentity", "sts:GetSessionToken"})
#: Nobody can lock the root of a bucket's account out of them.
_ROOTS_OWN = frozenset({"s3:DeleteBucketPolicy", "s3:GetBucketPolicy", "s3:PutBucketPolicy"})
#: What temporary credentials may ask of STS, by whose they are; those of roles may ask for anything but these.
_IN_SESSIONS = {
    "FederatedUser": frozenset({"GetCallerIdentity"}),
    "IAMUser": frozenset({"AssumeRole", "GetCallerIdentity"}),
    "Root": frozenset({"AssumeRole", "GetCallerIdentity"}),
}
_NOT_IN_ROLES = frozenset({"GetFederationToken", "GetSessionToken"})


def authorize(call: Call, authority: Authority, demands: Sequence[Demand] | None = None) -> None:
    """Open mode lets everyone do everything in the account that they chose; but what is another account's is open to
    them only by its own policy. A service's call that needs a policy is judged as in enforced mode."""
    if call.source.operator:
        return
    assert call.route is not None
    if not (authority.enforced or call.needs_policy):
        _authorize_stranger(call, demands or ())
        return
    _check_session(call, call.route)
    identity = call.identity
    if demands is None:
        if identity.type == "Root" or permissions.action(call.route) in _ALWAYS_ALLOWED:
            return
        demands = permissions.demands(call, authority)
    if not demands:
        return
    standing = authority.standing(identity)
    common = contexts.common(call, standing.tags)
    sessions = identity.session.policies if identity.session is not None else ()
    parsed = tuple(policy.kept(document, "session") for document in sessions) or None
    refused: tuple[Demand, Verdict] | None = None
    for demand in demands:
        if demand.action in _ALWAYS_ALLOWED:
            continue
        verdict = _weigh(demand, identity, standing, parsed, common)
        if verdict.decision is Decision.EXPLICITLY_DENIED:
            raise _denied(call, demand, verdict)
        if refused is None and not verdict.allowed:
            refused = demand, verdict
    if refused is not None:
        raise _denied(call, *refused)


def permits(call: Call, authority: Authority, demands: Sequence[Demand]) -> list[bool]:
    """Which of these the caller may: for an operation that answers a refusal for each of its resources."""
    return [_permits(call, authority, demand) for demand in demands]


def _permits(call: Call, authority: Authority, demand: Demand) -> bool:
    try:
        authorize(call, authority, (demand,))
    except ServiceError:
        return False
    return True


def _authorize_stranger(call: Call, demands: Sequence[Demand]) -> None:
    identity = call.identity
    if identity.type == "AWSService":
        return
    for demand in demands:
        if demand.account and demand.account != identity.account:
            verdict = _weigh(demand, identity, TRUSTED, None, contexts.common(call, ()))
            if not verdict.allowed:
                raise _denied(call, demand, verdict)


def _weigh(
    demand: Demand,
    identity: Identity,
    standing: Standing,
    sessions: tuple[Policy, ...] | None,
    common: contexts.Values,
) -> Verdict:
    owner = demand.account or identity.account
    if identity.type == "Root" and owner == identity.account and demand.action in _ROOTS_OWN:
        return Verdict(Decision.ALLOWED)
    context = {**common, "aws:resourceaccount": (owner,), **demand.context}
    return policy.decide(
        Ask(demand.action, demand.resource, context, identity, demand.unknown),
        Applicable(
            identity=standing.policies,
            boundary=standing.boundary,
            sessions=sessions,
            resource=None if demand.policy is None else policy.kept(demand.policy, _kind(demand)),
        ),
        account=identity.account,
        owner=owner,
        policy_rules=demand.policy_rules,
        granted=demand.granted,
        granted_to_account=demand.granted_to_account,
        all_matches=False,
    )


def _kind(demand: Demand) -> policy.Kind:
    """A role's own policy is its trust policy."""
    return "trust" if demand.action.startswith("sts:") else "resource"


# Refusals


def _check_session(call: Call, route: Route) -> None:
    """What temporary credentials cannot do, whatever the policies say."""
    identity, service, operation = call.identity, route.service.name, route.operation.name
    if identity.session is None or service not in ("iam", "sts"):
        return
    allowed = _IN_SESSIONS.get(identity.type)
    if service == "sts" and (operation in _NOT_IN_ROLES if allowed is None else operation not in allowed):
        raise ServiceError("AccessDenied", f"Cannot call {operation} with session credentials", status=403)
    if service == "iam" and allowed is not None and (identity.type == "FederatedUser" or not identity.session.mfa):
        raise ServiceError("InvalidClientTokenId", "The security token included in the request is invalid", status=403)


def _denied(call: Call, demand: Demand, verdict: Verdict) -> ServiceError:
    route, identity = call.route, call.identity
    assert route is not None
    if route.service.name == "s3" and _hides(identity, demand):
        return ServiceError("AccessDenied", "Access Denied", status=403)
    where = "" if demand.resource == "*" else f" on resource: {demand.resource}"
    article = {"identity-based policy": "an", "role trust policy": "the"}.get(verdict.why, "a")
    why = (
        f"with an explicit deny in {article} {verdict.why}"
        if verdict.decision is Decision.EXPLICITLY_DENIED
        else f"because no {verdict.why} allows the {demand.action} action"
    )
    who = identity.arn or identity.invoked_by or "anonymous"
    message = f"User: {who} is not authorized to perform: {demand.action}{where} {why}"
    if demand.refusal:
        return ServiceError(demand.refusal, message)
    if route.service.name == "sns":
        return ServiceError("AuthorizationErrorException", message, status=403)
    if route.protocol in ("query", "ec2", "rest-xml"):
        return ServiceError("AccessDenied", message, status=403)
    return ServiceError("AccessDeniedException", message, status=403 if route.protocol == "rest-json" else 400)


def _hides(identity: Identity, demand: Demand) -> bool:
    """S3 tells reasons only within the account that owns the bucket."""
    return not identity.arn or demand.account not in ("", identity.account)
