"""What a call asks permission for: the IAM action, and the ARNs of the resources that its input names.

The shapes of ARNs come from AWS's service authorization reference. A part that the input does not give (a server
makes the id, or the call means all) stands as `*`, which only a policy's own wildcard matches.
"""

from __future__ import annotations

from ..audit import resources as audited
from ..audit.classify import classify
from ..call import Call
from ..identity.authority import Authority
from ..wire import arns
from ..wire.routing import Route


def action(route: Route) -> str:
    return classify(route.service.name, route.operation).action


def resources(call: Call, authority: Authority) -> list[str]:
    """At least one; `*` where the action knows no resources."""
    route = call.route
    assert route is not None
    templates = [
        template for of_type in classify(route.service.name, route.operation).resources.values() for template in of_type
    ]
    if route.service.name == "iam" and any("user/" in template for template in templates):
        return [_user_arn(call, authority)]
    return audited.asked(route.service.name, route.operation, call.input or {}, call.region, call.account)


def _user_arn(call: Call, authority: Authority) -> str:
    """The user that an IAM call is about: the one that it names or whose key it names, else the caller."""
    parameters = call.input or {}
    name = parameters.get("UserName")
    if call.route is not None and call.route.operation.name == "CreateUser":
        return arns.format("iam", "", call.account, f"user{parameters.get('Path', '/')}{name}")
    if not isinstance(name, str):
        key = authority.key(parameters["AccessKeyId"]) if isinstance(parameters.get("AccessKeyId"), str) else None
        if key is not None and key.account == call.account:
            return key.identity.arn
        return call.identity.arn
    user = authority.user(call.account, name)
    return user.arn(call.account) if user is not None else arns.format("iam", "", call.account, f"user/{name}")
