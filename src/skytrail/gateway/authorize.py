"""May the caller do this: the step that weighs the caller's policies, in enforced mode.

The root of an account may do everything in it. Everyone else needs an allow for every resource that the call names,
and no deny for any of them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ..call import Call
from ..errors import ServiceError
from ..identity import policy
from ..identity.authority import Authority
from ..identity.policy import Decision
from . import permissions

if TYPE_CHECKING:
    from ..wire.routing import Route

#: AWS answers these to everyone who is authenticated, whatever the policies say.
_ALWAYS_ALLOWED = frozenset({"sts:GetCallerIdentity"})


def authorize(call: Call, authority: Authority) -> None:
    if not authority.enforced or call.source.operator or call.identity.type == "Root":
        return
    assert call.route is not None
    action = permissions.action(call.route)
    if action in _ALWAYS_ALLOWED:
        return
    identity = call.identity
    resources = permissions.resources(call, authority)
    context = _context(call, authority)
    # Other principals than users have no policies yet, so nothing allows them anything.
    policies = authority.policies(identity.account, identity.user_name) if identity.type == "IAMUser" else ()
    decisions = [policy.evaluate(policies, policy.Ask(action, resource, context)) for resource in resources]
    for wanted in (Decision.EXPLICITLY_DENIED, Decision.IMPLICITLY_DENIED):
        if wanted in decisions:
            raise _denied(call.route, identity.arn, action, resources[decisions.index(wanted)], wanted)


def _denied(route: Route, arn: str, action: str, resource: str, decision: Decision) -> ServiceError:
    where = "" if resource == "*" else f" on resource: {resource}"
    why = (
        "with an explicit deny in an identity-based policy"
        if decision is Decision.EXPLICITLY_DENIED
        else f"because no identity-based policy allows the {action} action"
    )
    message = f"User: {arn} is not authorized to perform: {action}{where} {why}"
    if route.protocol in ("query", "ec2", "rest-xml"):
        return ServiceError("AccessDenied", message, status=403)
    return ServiceError("AccessDeniedException", message, status=403 if route.protocol == "rest-json" else 400)


def _context(call: Call, authority: Authority) -> Mapping[str, tuple[str, ...]]:
    """The global condition keys of the call; a key that it does not have is left out."""
    identity, headers = call.identity, call.request.headers
    context = {
        "aws:currenttime": datetime.fromtimestamp(call.received, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "aws:epochtime": str(int(call.received)),
        "aws:principalaccount": identity.account,
        "aws:principalarn": identity.arn,
        "aws:principalisawsservice": "false",
        "aws:principaltype": "User" if identity.type == "IAMUser" else identity.type,
        "aws:requestedregion": call.region,
        "aws:securetransport": "true" if call.source.tls is not None else "false",
        "aws:userid": identity.principal_id,
        "aws:viaawsservice": "false",
    }
    optional = {
        "aws:referer": headers.get("referer"),
        "aws:sourceip": _address(call.source.address),
        "aws:useragent": headers.get("user-agent"),
        "aws:username": identity.user_name,
    }
    context.update({key: value for key, value in optional.items() if value})
    tags = authority.tags(identity) if identity.type == "IAMUser" else ()
    context.update({f"aws:principaltag/{key.lower()}": value for key, value in tags})
    return {key: (value,) for key, value in context.items()}


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
