"""GetAccountAuthorizationDetails: all that gives permissions in an account, with the documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...call import Call
from ...identity import accounts, groups, instance_profiles, managed, roles
from ...identity.accounts import User
from ...identity.groups import Group
from ...identity.managed import ManagedPolicy
from ...identity.roles import Role
from ..engines import Engines
from . import attachments, holders, inline_policies, policies, policy_versions, tags, users
from . import groups as shown_groups
from . import instance_profiles as shown_profiles
from . import roles as shown_roles
from .common import cut

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import GetAccountAuthorizationDetailsRequestTypeDef

_MEMBERS = {
    "User": "UserDetailList",
    "Group": "GroupDetailList",
    "Role": "RoleDetailList",
    "LocalManagedPolicy": "Policies",
    "AWSManagedPolicy": "Policies",
}
#: A kind, the place in the order of all, and the resource.
_Item = tuple[str, str, User | Group | Role | tuple[str, ManagedPolicy]]


def get_account_authorization_details(
    call: Call, request: GetAccountAuthorizationDetailsRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    kinds = frozenset[str](request.get("Filter") or _MEMBERS)
    uses = attachments.Uses(engines.store.read, call.account)
    items = sorted(
        (item for item in _items(call, engines, uses) if item[0] in kinds), key=lambda item: f"{item[0]} {item[1]}"
    )
    taken, rest = cut(call, engines, "AuthorizationDetails", items, lambda item: f"{item[0]} {item[1]}")
    output: dict[str, Any] = {**{member: [] for member in _MEMBERS.values()}, **rest}
    for kind, _, found in taken:
        output[_MEMBERS[kind]].append(_shown(call, engines, found, uses))
    return output


def _items(call: Call, engines: Engines, uses: attachments.Uses) -> Iterator[_Item]:
    reader, account = engines.store.read, call.account
    for user in accounts.users(reader, account):
        yield "User", user.name.lower(), user
    for group in groups.groups(reader, account):
        yield "Group", group.name.lower(), group
    for role in roles.roles(reader, account):
        yield "Role", role.name.lower(), role
    for policy in managed.policies(reader, account):
        yield "LocalManagedPolicy", policy.name.lower(), (policy.arn(account), policy)
    # Of AWS's own, those that the account uses.
    for arn in {*uses.attached, *uses.bounding}:
        if managed.is_aws(arn) and (aws := managed.policy(reader, arn)) is not None:
            yield "AWSManagedPolicy", arn, (arn, aws)


def _shown(
    call: Call, engines: Engines, found: User | Group | Role | tuple[str, ManagedPolicy], uses: attachments.Uses
) -> dict[str, Any]:
    reader, account = engines.store.read, call.account
    if isinstance(found, User):
        return {
            **users.listed(account, found),
            "UserPolicyList": inline_policies.shown(call, engines, "user", found.name),
            "GroupList": list(found.groups),
            "AttachedManagedPolicies": attachments.shown(found.attached),
            **holders.shown_boundary(found),
            **tags.shown(found.tags),
        }
    if isinstance(found, Group):
        return {
            **shown_groups.shown(account, found),
            "GroupPolicyList": inline_policies.shown(call, engines, "group", found.name),
            "AttachedManagedPolicies": attachments.shown(found.attached),
        }
    if isinstance(found, Role):
        shown = shown_roles.listed(account, found)
        shown.pop("Description", None)
        del shown["MaxSessionDuration"]
        in_profiles = instance_profiles.of_role(reader, account, found.name)
        return {
            **shown,
            "InstanceProfileList": [shown_profiles.listed(reader, account, profile) for profile in in_profiles],
            "RolePolicyList": inline_policies.shown(call, engines, "role", found.name),
            "AttachedManagedPolicies": attachments.shown(found.attached),
            **holders.shown_boundary(found),
            **tags.shown(found.tags),
            "RoleLastUsed": shown_roles.last_used(reader, account, found),
        }
    arn, policy = found
    versions = [policy_versions.described(reader, arn, policy, version) for version in policy.versions[::-1]]
    return {**policies.listed(arn, policy, uses), "PolicyVersionList": versions}
