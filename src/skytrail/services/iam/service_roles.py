"""Roles that are linked to a service: their names, trust and policies are the service's, and only it changes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ...identity import instance_profiles, managed
from ...identity import roles as kept
from ...identity.roles import Role
from ...storage.state import Kind
from ...storage.store import Transaction
from ..engines import Engines
from . import roles
from .common import existing_role, missing

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import (
        CreateServiceLinkedRoleRequestTypeDef,
        DeleteServiceLinkedRoleRequestTypeDef,
        GetServiceLinkedRoleDeletionStatusRequestTypeDef,
    )


class _Linked(msgspec.Struct, frozen=True):
    """What a service's role is called, and what it holds."""

    role: str
    policy: str
    #: Whether an account may have more of them, with suffixes.
    suffix: bool = False


class _Deletion(msgspec.Struct, frozen=True):
    time: float
    role: str


#: Deletions that were asked for, by the ids of their tasks.
_DELETIONS = Kind("iam-role-deletion", _Deletion)


@cache
def _services() -> Mapping[str, _Linked]:
    text = resources.files(__package__).joinpath("data/service_linked_roles.json").read_bytes()
    return msgspec.json.decode(text, type=dict[str, _Linked])


def create_service_linked_role(call: Call, request: CreateServiceLinkedRoleRequestTypeDef, engines: Engines) -> Change:
    account, service = call.account, request["AWSServiceName"]
    linked = _services().get(service)
    if linked is None:
        raise _invalid(f"Service-linked roles of the service {service} are not known.")
    suffix = request.get("CustomSuffix")
    if suffix is not None and not linked.suffix:
        raise _invalid(f"Custom suffix is not allowed for {service}")
    role = Role(
        name=linked.role if suffix is None else f"{linked.role}_{suffix}",
        id=engines.ids.principal("AROA"),
        path=f"{roles.SERVICE_PATH}{service}/",
        created=engines.clock.time(),
        trust=_trust(service),
        description=request.get("Description", ""),
        attached=(f"arn:aws:iam::{managed.AWS}:policy{roles.SERVICE_PATH}{linked.policy}",),
        service=service,
    )

    def apply(tx: Transaction) -> dict[str, Any]:
        if kept.same_role(tx, account, role.name) is not None:
            raise _invalid(
                f"Service role name {role.name} has been taken in this account, please try a different suffix."
            )
        roles.keep_new(tx, account, role)
        return {"Role": roles.listed(account, role)}

    return Change(apply)


def delete_service_linked_role(call: Call, request: DeleteServiceLinkedRoleRequestTypeDef, engines: Engines) -> Change:
    account, name, now = call.account, request["RoleName"], engines.clock.time()
    task = engines.ids.uuid()

    def apply(tx: Transaction) -> dict[str, Any]:
        role = existing_role(tx, account, name)
        if not role.service or instance_profiles.of_role(tx, account, name):
            raise missing(f"The service-linked role with name {name} cannot be found.")
        # No service here holds on to its role: the task is done with the call.
        kept.delete(tx, account, name)
        task_id = f"task{role.path}{name}/{task}"
        tx.put(_DELETIONS, account, "", task_id, _Deletion(now, name))
        return {"DeletionTaskId": task_id}

    return Change(apply)


def get_service_linked_role_deletion_status(
    call: Call, request: GetServiceLinkedRoleDeletionStatusRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    task_id = request["DeletionTaskId"]
    if engines.store.read.get(_DELETIONS, call.account, "", task_id) is None:
        raise missing(f"The deletion task with id {task_id} cannot be found.")
    return {"Status": "SUCCEEDED"}


def _trust(service: str) -> str:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidInputException", message)
