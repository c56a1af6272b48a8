"""The account as a whole: its alias, and how much of everything it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...call import Call, Change
from ...identity import accounts, groups, instance_profiles, managed, providers, roles
from ...storage.store import Transaction
from ..engines import Engines
from . import quotas
from .common import missing, page, taken

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import (
        CreateAccountAliasRequestTypeDef,
        DeleteAccountAliasRequestTypeDef,
        ListAccountAliasesRequestTypeDef,
    )


def create_account_alias(call: Call, request: CreateAccountAliasRequestTypeDef, engines: Engines) -> Change:
    alias, now = request["AccountAlias"], engines.clock.time()

    def apply(tx: Transaction) -> dict[str, Any]:
        # An account has one alias: another one takes its place.
        if accounts.of_alias(tx, alias) is not None:
            raise taken(f"The account alias {alias} already exists.")
        accounts.set_alias(tx, call.account, alias, now)
        return {}

    return Change(apply)


def delete_account_alias(call: Call, request: DeleteAccountAliasRequestTypeDef, engines: Engines) -> Change:
    alias, now = request["AccountAlias"], engines.clock.time()

    def apply(tx: Transaction) -> dict[str, Any]:
        if accounts.of_alias(tx, alias) != call.account:
            raise missing(f"The account alias {alias} cannot be found.")
        accounts.set_alias(tx, call.account, "", now)
        return {}

    return Change(apply)


def list_account_aliases(call: Call, request: ListAccountAliasesRequestTypeDef, engines: Engines) -> dict[str, Any]:
    found = accounts.account(engines.store.read, call.account)
    aliases = [found.alias] if found is not None and found.alias else []
    return page(call, engines, "AccountAliases", aliases, str, str)


def get_account_summary(call: Call, request: dict[str, Any], engines: Engines) -> dict[str, Any]:
    reader, account = engines.store.read, call.account
    root = accounts.account(reader, account)
    policies = managed.policies(reader, account)
    there = {
        "Users": reader.count(accounts.USERS, account, ""),
        "Groups": reader.count(groups.GROUPS, account, ""),
        "Roles": reader.count(roles.ROLES, account, ""),
        "InstanceProfiles": reader.count(instance_profiles.PROFILES, account, ""),
        "Policies": len(policies),
        "PolicyVersionsInUse": sum(len(policy.versions) for policy in policies),
        "Providers": reader.count(providers.PROVIDERS, account, ""),
        "AccountAccessKeysPresent": int(root is not None and bool(root.keys)),
    }
    return {"SummaryMap": {**_ABSENT, **_QUOTAS, **there}}


#: What no account has here.
_ABSENT = {
    "AccountMFAEnabled": 0,
    "AccountPasswordPresent": 0,
    "AccountSigningCertificatesPresent": 0,
    "MFADevices": 0,
    "MFADevicesInUse": 0,
    "ServerCertificates": 0,
    "ServerCertificatesQuota": 0,
    "SigningCertificatesPerUserQuota": 0,
}

_QUOTAS = {
    "AccessKeysPerUserQuota": quotas.ACCESS_KEYS_PER_USER,
    "AssumeRolePolicySizeQuota": quotas.TRUST_SIZE,
    "AttachedPoliciesPerGroupQuota": quotas.ATTACHED_POLICIES,
    "AttachedPoliciesPerRoleQuota": quotas.ATTACHED_POLICIES,
    "AttachedPoliciesPerUserQuota": quotas.ATTACHED_POLICIES,
    "GlobalEndpointTokenVersion": 1,
    "GroupPolicySizeQuota": quotas.INLINE_SIZE["group"],
    "GroupsPerUserQuota": quotas.GROUPS_PER_USER,
    "GroupsQuota": quotas.GROUPS,
    "InstanceProfilesQuota": quotas.INSTANCE_PROFILES,
    "PoliciesQuota": quotas.POLICIES,
    "PolicySizeQuota": quotas.POLICY_SIZE,
    "PolicyVersionsInUseQuota": quotas.POLICIES * quotas.VERSIONS_PER_POLICY,
    "RolePolicySizeQuota": quotas.INLINE_SIZE["role"],
    "RolesQuota": quotas.ROLES,
    "UserPolicySizeQuota": quotas.INLINE_SIZE["user"],
    "UsersQuota": quotas.USERS,
    "VersionsPerPolicyQuota": quotas.VERSIONS_PER_POLICY,
}
