"""Managed policies on users, groups and roles: attached to them, or as the boundary of their permissions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...identity import managed
from ...identity.inline import Holder
from ...storage.state import Reader
from ...storage.store import Transaction
from ..engines import Engines, Handler
from . import holders, quotas
from .common import cut, exceeded, existing_policy, missing, page, policy_owner
from .holders import Entity

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import ListEntitiesForPolicyRequestTypeDef


def attach(holder: Holder) -> Handler:
    def handler(call: Call, request: Any, engines: Engines) -> Change:
        account, arn = call.account, request["PolicyArn"]
        owner = policy_owner(arn)

        def apply(tx: Transaction) -> dict[str, Any]:
            entity = holders.modifiable(tx, account, holder, request[holders.NAME[holder]])
            if owner not in (account, managed.AWS) or managed.policy(tx, arn) is None:
                raise missing(f"Policy {arn} does not exist or is not attachable.")
            holders.check_attachable(arn)
            if arn not in entity.attached:
                if len(entity.attached) >= quotas.ATTACHED_POLICIES:
                    raise exceeded(f"PoliciesPer{holder.capitalize()}", quotas.ATTACHED_POLICIES)
                holders.put(tx, account, _attached(entity, (*entity.attached, arn)))
            return {}

        return Change(apply)

    return handler


def detach(holder: Holder) -> Handler:
    def handler(call: Call, request: Any, engines: Engines) -> Change:
        account, arn = call.account, request["PolicyArn"]
        policy_owner(arn)

        def apply(tx: Transaction) -> dict[str, Any]:
            entity = holders.modifiable(tx, account, holder, request[holders.NAME[holder]])
            if arn not in entity.attached:
                raise missing(f"Policy {arn} was not found.")
            holders.put(tx, account, _attached(entity, tuple(known for known in entity.attached if known != arn)))
            return {}

        return Change(apply)

    return handler


def list_attached(holder: Holder) -> Handler:
    def handler(call: Call, request: Any, engines: Engines) -> dict[str, Any]:
        entity = holders.existing(engines.store.read, call.account, holder, request[holders.NAME[holder]])
        prefix = request.get("PathPrefix", "/")
        arns = sorted(arn for arn in entity.attached if arn.partition(":policy")[2].startswith(prefix))
        return page(call, engines, "AttachedPolicies", arns, str, _shown)

    return handler


def put_boundary(holder: Holder) -> Handler:
    def handler(call: Call, request: Any, engines: Engines) -> Change:
        account, arn = call.account, request["PermissionsBoundary"]

        def apply(tx: Transaction) -> dict[str, Any]:
            entity = holders.modifiable(tx, account, holder, request[holders.NAME[holder]])
            holders.check_boundary(tx, account, arn)
            holders.put(tx, account, _bounded(entity, arn))
            return {}

        return Change(apply)

    return handler


def delete_boundary(holder: Holder) -> Handler:
    def handler(call: Call, request: Any, engines: Engines) -> Change:
        account, name = call.account, request[holders.NAME[holder]]

        def apply(tx: Transaction) -> dict[str, Any]:
            entity = holders.modifiable(tx, account, holder, name)
            if not holders.boundary_of(entity):
                raise missing(f"The {holder} with name {name} does not have a permissions boundary.")
            holders.put(tx, account, _bounded(entity, ""))
            return {}

        return Change(apply)

    return handler


# Who uses a policy


def list_entities(call: Call, request: ListEntitiesForPolicyRequestTypeDef, engines: Engines) -> dict[str, Any]:
    reader, arn = engines.store.read, request["PolicyArn"]
    existing_policy(reader, call, arn)
    usage = request.get("PolicyUsageFilter")
    wanted = {"User": "user", "Group": "group", "Role": "role"}.get(request.get("EntityFilter", ""))
    if "EntityFilter" in request and wanted is None:
        wanted = "none"  # a policy is not used by policies
    users = [
        (holder, entity)
        for holder, entity in holders.everyone(reader, call.account)
        if entity.path.startswith(request.get("PathPrefix", "/"))
        and wanted in (None, holder)
        and (
            (usage != "PermissionsBoundary" and arn in entity.attached)
            or (usage != "PermissionsPolicy" and arn == holders.boundary_of(entity))
        )
    ]
    users.sort(key=_place)
    taken, output = cut(call, engines, "PolicyEntities", users, _place)
    for holder, member in (("group", "PolicyGroups"), ("user", "PolicyUsers"), ("role", "PolicyRoles")):
        kind = holder.capitalize()
        output[member] = [{f"{kind}Name": entity.name, f"{kind}Id": entity.id} for of, entity in taken if of == holder]
    return output


def _place(used: tuple[Holder, Entity]) -> str:
    return f"{used[0]} {used[1].name.lower()}"


class Uses:
    """How often each managed policy is used in an account, as things stand."""

    def __init__(self, reader: Reader, account: str) -> None:
        self.attached: Counter[str] = Counter()
        self.bounding: Counter[str] = Counter()
        for _, entity in holders.everyone(reader, account):
            self.attached.update(entity.attached)
            if boundary := holders.boundary_of(entity):
                self.bounding[boundary] += 1


def shown(arns: Sequence[str]) -> list[dict[str, str]]:
    return [_shown(arn) for arn in arns]


def _shown(arn: str) -> dict[str, str]:
    return {"PolicyName": arn.rpartition("/")[2], "PolicyArn": arn}


def _attached(entity: Entity, arns: tuple[str, ...]) -> Entity:
    return msgspec.structs.replace(entity, attached=arns)


def _bounded(entity: Entity, arn: str) -> Entity:
    return msgspec.structs.replace(entity, boundary=arn)
