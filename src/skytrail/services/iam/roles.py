"""Roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ...identity import inline, instance_profiles, roles
from ...identity.roles import Role
from ...storage.state import Reader
from ...storage.store import Transaction
from ..engines import Engines
from . import holders, quotas, tags
from .common import (
    check_document,
    conflict,
    encoded,
    exceeded,
    existing_role,
    modifiable_role,
    moment,
    page,
    size,
    taken,
)

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import (
        CreateRoleRequestTypeDef,
        DeleteRoleRequestTypeDef,
        GetRoleRequestTypeDef,
        ListRolesRequestTypeDef,
        UpdateAssumeRolePolicyRequestTypeDef,
        UpdateRoleDescriptionRequestTypeDef,
        UpdateRoleRequestTypeDef,
    )

#: Only AWS makes roles under this path, those that are linked to its services.
SERVICE_PATH = "/aws-service-role/"


def create_role(call: Call, request: CreateRoleRequestTypeDef, engines: Engines) -> Change:
    account, name = call.account, request["RoleName"]
    trust = request["AssumeRolePolicyDocument"]
    _check_trust(trust)
    path = request.get("Path", "/")
    if path.startswith(SERVICE_PATH):
        raise ServiceError("InvalidInputException", f"Roles under {SERVICE_PATH} are made by CreateServiceLinkedRole.")
    role = Role(
        name=name,
        id=engines.ids.principal("AROA"),
        path=path,
        created=engines.clock.time(),
        trust=trust,
        description=request.get("Description", ""),
        max_session=request.get("MaxSessionDuration", 3600),
        tags=tags.checked(request.get("Tags", ())),
        boundary=request.get("PermissionsBoundary", ""),
    )

    def apply(tx: Transaction) -> dict[str, Any]:
        keep_new(tx, account, role)
        return {"Role": {**listed(account, role), **holders.shown_boundary(role), **tags.shown(role.tags)}}

    return Change(apply)


def keep_new(tx: Transaction, account: str, role: Role) -> None:
    if roles.same_role(tx, account, role.name) is not None:
        raise taken(f"Role with name {role.name} already exists.")
    if tx.count(roles.ROLES, account, "") >= quotas.ROLES:
        raise exceeded("RolesPerAccount", quotas.ROLES)
    if role.boundary:
        holders.check_boundary(tx, account, role.boundary)
    roles.put(tx, account, role)


def get_role(call: Call, request: GetRoleRequestTypeDef, engines: Engines) -> dict[str, Any]:
    reader = engines.store.read
    return {"Role": _shown(reader, call.account, existing_role(reader, call.account, request["RoleName"]))}


def list_roles(call: Call, request: ListRolesRequestTypeDef, engines: Engines) -> dict[str, Any]:
    prefix = request.get("PathPrefix", "/")
    found = [role for role in roles.roles(engines.store.read, call.account) if role.path.startswith(prefix)]
    return page(call, engines, "Roles", found, lambda role: role.name.lower(), lambda role: listed(call.account, role))


def update_role(call: Call, request: UpdateRoleRequestTypeDef, engines: Engines) -> Change:
    def apply(tx: Transaction) -> dict[str, Any]:
        role = modifiable_role(tx, call.account, request["RoleName"])
        changed = msgspec.structs.replace(
            role,
            description=request.get("Description", role.description),
            max_session=request.get("MaxSessionDuration", role.max_session),
        )
        roles.put(tx, call.account, changed)
        return {}

    return Change(apply)


def update_role_description(call: Call, request: UpdateRoleDescriptionRequestTypeDef, engines: Engines) -> Change:
    def apply(tx: Transaction) -> dict[str, Any]:
        # Whoever may change the description of a role that is linked to a service, may do it by this call.
        role = existing_role(tx, call.account, request["RoleName"])
        changed = msgspec.structs.replace(role, description=request["Description"])
        roles.put(tx, call.account, changed)
        return {"Role": _shown(tx, call.account, changed)}

    return Change(apply)


def update_assume_role_policy(call: Call, request: UpdateAssumeRolePolicyRequestTypeDef, engines: Engines) -> Change:
    trust = request["PolicyDocument"]
    _check_trust(trust)

    def apply(tx: Transaction) -> dict[str, Any]:
        role = modifiable_role(tx, call.account, request["RoleName"])
        roles.put(tx, call.account, msgspec.structs.replace(role, trust=trust))
        return {}

    return Change(apply)


def delete_role(call: Call, request: DeleteRoleRequestTypeDef, engines: Engines) -> Change:
    account, name = call.account, request["RoleName"]

    def apply(tx: Transaction) -> dict[str, Any]:
        role = modifiable_role(tx, account, name)
        if instance_profiles.of_role(tx, account, name):
            raise conflict("Cannot delete entity, must remove roles from instance profile first.")
        if role.attached:
            raise conflict("Cannot delete entity, must detach all policies first.")
        if inline.documents(tx, account, "role", name):
            raise conflict("Cannot delete entity, must delete policies first.")
        roles.delete(tx, account, name)
        return {}

    return Change(apply)


def listed(account: str, role: Role) -> dict[str, Any]:
    """Lists of roles leave their tags, boundaries and last uses out."""
    described = {"Description": role.description} if role.description else {}
    return {
        "Path": role.path,
        "RoleName": role.name,
        "RoleId": role.id,
        "Arn": role.arn(account),
        "CreateDate": moment(role.created),
        "AssumeRolePolicyDocument": encoded(role.trust),
        **described,
        "MaxSessionDuration": role.max_session,
    }


def last_used(reader: Reader, account: str, role: Role) -> dict[str, Any]:
    use = roles.use(reader, account, role.name)
    return {"LastUsedDate": moment(use.time), "Region": use.region} if use is not None else {}


def _shown(reader: Reader, account: str, role: Role) -> dict[str, Any]:
    return {
        **listed(account, role),
        **holders.shown_boundary(role),
        **tags.shown(role.tags),
        "RoleLastUsed": last_used(reader, account, role),
    }


def _check_trust(document: str) -> None:
    check_document(document, "trust")
    if size(document) > quotas.TRUST_SIZE:
        raise exceeded("ACLSizePerRole", quotas.TRUST_SIZE)
