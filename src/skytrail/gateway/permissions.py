"""What a call asks permission for, where its service does not tell: the IAM action, and the ARNs of the resources that
its input names.

The shapes of ARNs come from AWS's service authorization reference. A part that the input does not give (a server
makes the id, or the call means all) stands as `*`: only a policy's own wildcard allows it, and a deny that may be about
it holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..audit import asking
from ..audit.classify import classify
from ..call import Call
from ..identity import groups, instance_profiles, managed, roles
from ..identity.accounts import user
from ..identity.authority import Authority
from ..identity.demands import Demand
from ..wire import arns
from ..wire.routing import Route

Tags = tuple[tuple[str, str], ...]

#: Resource types of IAM that have paths: what their ARNs begin with, and the members that name them.
_NAMED = {
    "AWS::IAM::User": ("user", "UserName"),
    "AWS::IAM::Role": ("role", "RoleName"),
    "AWS::IAM::Group": ("group", "GroupName"),
    "AWS::IAM::Policy": ("policy", "PolicyName"),
    "AWS::IAM::InstanceProfile": ("instance-profile", "InstanceProfileName"),
}
#: What tags are put by, where they come with what is made.
_TAGGING = {
    "CreateInstanceProfile": "iam:TagInstanceProfile",
    "CreateOpenIDConnectProvider": "iam:TagOpenIDConnectProvider",
    "CreatePolicy": "iam:TagPolicy",
    "CreateRole": "iam:TagRole",
    "CreateSAMLProvider": "iam:TagSAMLProvider",
    "CreateUser": "iam:TagUser",
    "CreateVirtualMFADevice": "iam:TagMFADevice",
    "UploadServerCertificate": "iam:TagServerCertificate",
}
#: What gives a user or group another place: the member that may have its new name.
_MOVING = {"UpdateGroup": "NewGroupName", "UpdateUser": "NewUserName"}
#: Who changes the policies of a user or role is asked about the boundary that it has.
_OF_BOUNDED = frozenset(
    f"{verb}{kind}{what}"
    for kind in ("Role", "User")
    for verb, what in (
        ("Attach", "Policy"),
        ("Delete", "PermissionsBoundary"),
        ("Delete", "Policy"),
        ("Detach", "Policy"),
        ("Put", "Policy"),
    )
)
#: Members whose values are condition keys of IAM.
_IAM_KEYS = {
    "iam:awsservicename": "AWSServiceName",
    "iam:permissionsboundary": "PermissionsBoundary",
    "iam:policyarn": "PolicyArn",
}


def action(route: Route) -> str:
    return classify(route.service.name, route.operation).action


def demands(call: Call, authority: Authority) -> list[Demand]:
    """At least one; on `*` where the action knows no resources."""
    assert call.route is not None
    if call.route.service.name == "iam":
        return _iam_demands(call, authority)
    route, given = call.route, call.input or {}
    found = asking.asked(route.service.name, route.operation, given, call.region, call.account)
    return [Demand(each.action, each.arn, unknown=each.unknown) for each in found]


# IAM


class _Named(NamedTuple):
    """What a call of IAM is about."""

    arn: str
    tags: Tags = ()
    #: The ARN of the policy that bounds a user or role.
    boundary: str = ""


def _iam_demands(call: Call, authority: Authority) -> list[Demand]:
    assert call.route is not None
    name, given = call.route.operation.name, call.input or {}
    found = _iam_resources(call, authority)
    if name in _MOVING:
        # To move is to take away from one place and to put into another.
        found = list(dict.fromkeys([*found, *(_moved(call, each) for each in found)]))
    asked = [Demand(action(call.route), each.arn, context=_iam_context(call, each)) for each in found]
    if name in _TAGGING and given.get("Tags"):
        asked += [Demand(_TAGGING[name], each.arn) for each in found]
    if name == "AddRoleToInstanceProfile":
        asked.append(_passing(call, authority))
    return asked


def _moved(call: Call, named: _Named) -> _Named:
    assert call.route is not None
    given = call.input or {}
    place, _, name = named.arn.rpartition("/")
    if "NewPath" in given:
        place = named.arn.partition("/")[0] + given["NewPath"].removesuffix("/")
    return named._replace(arn=f"{place}/{given.get(_MOVING[call.route.operation.name], name)}")


def _passing(call: Call, authority: Authority) -> Demand:
    """Whoever gives a role to an instance profile passes it to EC2, for whichever instance."""
    role = _existing(authority, call.account, "role", (call.input or {}).get("RoleName", "*"))
    instances = arns.format("ec2", "*", call.account, "instance/*")
    context = {"iam:associatedresourcearn": (instances,), "iam:passedtoservice": ("ec2.amazonaws.com",)}
    return Demand("iam:PassRole", role.arn, context=context)


def _iam_resources(call: Call, authority: Authority) -> list[_Named]:
    """A path comes from what there is."""
    assert call.route is not None
    operation, given = call.route.operation, call.input or {}
    types = classify("iam", operation).resources
    found: list[_Named] = []
    for of_type in types:
        kind, member = _NAMED.get(of_type, ("", ""))
        name = given.get(member)
        if kind and isinstance(name, str):
            if operation.name.startswith("Create") and "Path" in operation.input_shape.members:
                found.append(_Named(arns.format("iam", "", call.account, f"{kind}{given.get('Path', '/')}{name}")))
            else:
                found.append(_existing(authority, call.account, kind, name))
    if not found and types.keys() == {"AWS::IAM::User"}:
        found.append(_user_meant(call, authority))
    if found:
        return found
    arn_given = given.get("PolicyArn")
    if "AWS::IAM::Policy" in types and isinstance(arn_given, str):
        policy = managed.policy(authority.reader, arn_given)
        return [_Named(arn_given, policy.tags if policy is not None else ())]
    return [_Named(each.arn) for each in asking.asked("iam", operation, given, call.region, call.account)]


def _existing(authority: Authority, account: str, kind: str, name: str) -> _Named:
    reader = authority.reader
    if kind == "user" and (found := user(reader, account, name)) is not None:
        return _Named(found.arn(account), found.tags, found.boundary)
    if kind == "role" and (role := roles.role(reader, account, name)) is not None:
        return _Named(role.arn(account), role.tags, role.boundary)
    if kind == "group" and (group := groups.group(reader, account, name)) is not None:
        return _Named(group.arn(account))
    if kind == "instance-profile" and (profile := instance_profiles.profile(reader, account, name)) is not None:
        return _Named(profile.arn(account), profile.tags)
    return _Named(arns.format("iam", "", account, f"{kind}/{name}"))


def _user_meant(call: Call, authority: Authority) -> _Named:
    """Of a call that names no user: the one whose key it names, else the caller."""
    identity, key_id = call.identity, (call.input or {}).get("AccessKeyId")
    key = authority.key(key_id) if isinstance(key_id, str) else None
    if key is not None and key.account == call.account:
        identity = key.identity
    tags = authority.standing(identity).tags if identity.type == "IAMUser" else ()
    return _Named(identity.arn, tags)


def _iam_context(call: Call, named: _Named) -> dict[str, tuple[str, ...]]:
    assert call.route is not None
    given: Mapping[str, Any] = call.input or {}
    found: dict[str, tuple[str, ...]] = {
        key: (given[member],) for key, member in _IAM_KEYS.items() if isinstance(given.get(member), str)
    }
    if named.boundary and call.route.operation.name in _OF_BOUNDED:
        found["iam:permissionsboundary"] = (named.boundary,)
    for key, value in named.tags:
        found[f"aws:resourcetag/{key.lower()}"] = found[f"iam:resourcetag/{key.lower()}"] = (value,)
    return found
