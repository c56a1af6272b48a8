"""Versions of managed policies: at most five, one of them in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ...identity import managed
from ...identity.managed import ManagedPolicy, Version
from ...storage.state import Reader
from ...storage.store import Transaction
from ..engines import Engines
from . import quotas
from .common import conflict, encoded, existing_policy, moment, own_policy, page
from .policies import check_policy, no_version

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import (
        CreatePolicyVersionRequestTypeDef,
        DeletePolicyVersionRequestTypeDef,
        GetPolicyVersionRequestTypeDef,
        ListPolicyVersionsRequestTypeDef,
        SetDefaultPolicyVersionRequestTypeDef,
    )


def create_policy_version(call: Call, request: CreatePolicyVersionRequestTypeDef, engines: Engines) -> Change:
    arn, document = request["PolicyArn"], request["PolicyDocument"]
    check_policy(document)
    now = engines.clock.time()

    def apply(tx: Transaction) -> dict[str, Any]:
        policy = own_policy(tx, call, arn)
        if len(policy.versions) >= quotas.VERSIONS_PER_POLICY:
            raise ServiceError(
                "LimitExceededException",
                f"A managed policy can have up to {quotas.VERSIONS_PER_POLICY} versions. Before you create a new "
                "version, you must delete an existing version.",
            )
        version = Version(f"v{policy.next}", now)
        changed = msgspec.structs.replace(policy, versions=(*policy.versions, version), next=policy.next + 1)
        if request.get("SetAsDefault", False):
            changed = msgspec.structs.replace(changed, default=version.id, updated=now)
        managed.put(tx, call.account, changed, {version.id: document})
        return {"PolicyVersion": _shown(changed, version)}

    return Change(apply)


def get_policy_version(call: Call, request: GetPolicyVersionRequestTypeDef, engines: Engines) -> dict[str, Any]:
    reader, arn, version = engines.store.read, request["PolicyArn"], request["VersionId"]
    policy = existing_policy(reader, call, arn)
    return {"PolicyVersion": described(reader, arn, policy, _version(arn, policy, version))}


def list_policy_versions(call: Call, request: ListPolicyVersionsRequestTypeDef, engines: Engines) -> dict[str, Any]:
    policy = existing_policy(engines.store.read, call, request["PolicyArn"])
    # The newest comes first.
    versions = policy.versions[::-1]
    return page(call, engines, "Versions", versions, _place, lambda version: _shown(policy, version))


def set_default_policy_version(call: Call, request: SetDefaultPolicyVersionRequestTypeDef, engines: Engines) -> Change:
    arn, version = request["PolicyArn"], request["VersionId"]
    now = engines.clock.time()

    def apply(tx: Transaction) -> dict[str, Any]:
        policy = own_policy(tx, call, arn)
        _version(arn, policy, version)
        managed.put(tx, call.account, msgspec.structs.replace(policy, default=version, updated=now))
        return {}

    return Change(apply)


def delete_policy_version(call: Call, request: DeletePolicyVersionRequestTypeDef, engines: Engines) -> Change:
    arn, version = request["PolicyArn"], request["VersionId"]

    def apply(tx: Transaction) -> dict[str, Any]:
        policy = own_policy(tx, call, arn)
        _version(arn, policy, version)
        if version == policy.default:
            raise conflict("Cannot delete the default version of a policy.")
        managed.delete_version(tx, call.account, policy, version)
        return {}

    return Change(apply)


def described(reader: Reader, arn: str, policy: ManagedPolicy, version: Version) -> dict[str, Any]:
    """A version with its document."""
    document = managed.document(reader, arn, version.id)
    if document is None:
        raise no_version(arn, version.id)
    return {"Document": encoded(document), **_shown(policy, version)}


def _version(arn: str, policy: ManagedPolicy, version: str) -> Version:
    for known in policy.versions:
        if known.id == version:
            return known
    raise no_version(arn, version)


def _shown(policy: ManagedPolicy, version: Version) -> dict[str, Any]:
    return {
        "VersionId": version.id,
        "IsDefaultVersion": version.id == policy.default,
        "CreateDate": moment(version.created),
    }


def _place(version: Version) -> str:
    """Pages go by rising keys, versions by falling numbers."""
    return f"{10**12 - int(version.id[1:]):013}"
