"""Customer managed policies; and AWS's own, which every account can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...call import Call, Change
from ...errors import ServiceError
from ...identity import managed
from ...identity.managed import ManagedPolicy, Version
from ...storage.store import Transaction
from ..engines import Engines
from . import quotas, tags
from .attachments import Uses
from .common import check_document, conflict, exceeded, existing_policy, moment, own_policy, page, size, taken

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import (
        CreatePolicyRequestTypeDef,
        DeletePolicyRequestTypeDef,
        GetPolicyRequestTypeDef,
        ListPoliciesRequestTypeDef,
    )


def create_policy(call: Call, request: CreatePolicyRequestTypeDef, engines: Engines) -> Change:
    account, name, document = call.account, request["PolicyName"], request["PolicyDocument"]
    check_policy(document)
    now = engines.clock.time()
    policy = ManagedPolicy(
        name=name,
        id=engines.ids.principal("ANPA"),
        path=request.get("Path", "/"),
        created=now,
        updated=now,
        default="v1",
        versions=(Version("v1", now),),
        description=request.get("Description", ""),
        tags=tags.checked(request.get("Tags", ())),
    )

    def apply(tx: Transaction) -> dict[str, Any]:
        if managed.same_policy(tx, account, name) is not None:
            raise taken(f"A policy called {name} already exists. Duplicate names are not allowed.")
        if tx.count(managed.POLICIES, account, "") >= quotas.POLICIES:
            raise exceeded("PoliciesPerAccount", quotas.POLICIES)
        managed.put(tx, account, policy, {"v1": document})
        return {"Policy": {**listed(policy.arn(account), policy, None), **tags.shown(policy.tags)}}

    return Change(apply)


def get_policy(call: Call, request: GetPolicyRequestTypeDef, engines: Engines) -> dict[str, Any]:
    reader, arn = engines.store.read, request["PolicyArn"]
    policy = existing_policy(reader, call, arn)
    return {"Policy": _shown(arn, policy, Uses(reader, call.account))}


def list_policies(call: Call, request: ListPoliciesRequestTypeDef, engines: Engines) -> dict[str, Any]:
    reader, scope = engines.store.read, request.get("Scope", "All")
    prefix, usage = request.get("PathPrefix", "/"), request.get("PolicyUsageFilter")
    uses = Uses(reader, call.account)
    found: list[tuple[str, ManagedPolicy]] = []
    if scope in ("All", "Local"):
        found += [(policy.arn(call.account), policy) for policy in managed.policies(reader, call.account)]
    if scope in ("All", "AWS"):
        found += [(arn, aws.policy) for arn, aws in managed.aws_policies().items()]
    wanted = [
        (arn, policy)
        for arn, policy in found
        if policy.path.startswith(prefix)
        and (arn in uses.attached or not (request.get("OnlyAttached", False) or usage == "PermissionsPolicy"))
        and (arn in uses.bounding or usage != "PermissionsBoundary")
    ]
    wanted.sort(key=_place)
    return page(call, engines, "Policies", wanted, _place, lambda policy: listed(*policy, uses))


def delete_policy(call: Call, request: DeletePolicyRequestTypeDef, engines: Engines) -> Change:
    account, arn = call.account, request["PolicyArn"]

    def apply(tx: Transaction) -> dict[str, Any]:
        policy = own_policy(tx, call, arn)
        uses = Uses(tx, account)
        if uses.attached[arn] or uses.bounding[arn]:
            raise conflict("Cannot delete a policy attached to entities.")
        if len(policy.versions) > 1:
            raise conflict(
                "This policy has more than one version. Before you delete a policy, you must delete the policy's "
                "versions. The default version is deleted with the policy."
            )
        managed.delete(tx, account, policy)
        return {}

    return Change(apply)


def check_policy(document: str) -> None:
    check_document(document)
    if size(document) > quotas.POLICY_SIZE:
        raise exceeded("PolicySize", quotas.POLICY_SIZE)


def listed(arn: str, policy: ManagedPolicy, uses: Uses | None) -> dict[str, Any]:
    """Lists of policies leave their descriptions and tags out."""
    return {
        "PolicyName": policy.name,
        "PolicyId": policy.id,
        "Arn": arn,
        "Path": policy.path,
        "DefaultVersionId": policy.default,
        "AttachmentCount": uses.attached[arn] if uses is not None else 0,
        "PermissionsBoundaryUsageCount": uses.bounding[arn] if uses is not None else 0,
        "IsAttachable": True,
        "CreateDate": moment(policy.created),
        "UpdateDate": moment(policy.updated),
    }


def _shown(arn: str, policy: ManagedPolicy, uses: Uses) -> dict[str, Any]:
    described = {"Description": policy.description} if policy.description else {}
    return {**listed(arn, policy, uses), **described, **tags.shown(policy.tags)}


def _place(policy: tuple[str, ManagedPolicy]) -> str:
    return f"{policy[1].name.lower()} {policy[0]}"


def no_version(arn: str, version: str) -> ServiceError:
    return ServiceError("NoSuchEntityException", f"Policy {arn} version {version} does not exist or is not attachable.")
