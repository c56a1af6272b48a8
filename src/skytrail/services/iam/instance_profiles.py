"""Instance profiles: each hands at most one role to virtual machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...identity import instance_profiles as kept
from ...identity import roles as kept_roles
from ...identity.instance_profiles import InstanceProfile
from ...storage.state import Reader
from ...storage.store import Transaction
from ..engines import Engines
from . import quotas, roles, tags
from .common import conflict, exceeded, existing_role, missing, modifiable_role, moment, page, taken

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import (
        AddRoleToInstanceProfileRequestTypeDef,
        CreateInstanceProfileRequestTypeDef,
        DeleteInstanceProfileRequestTypeDef,
        GetInstanceProfileRequestTypeDef,
        ListInstanceProfilesForRoleRequestTypeDef,
        ListInstanceProfilesRequestTypeDef,
        RemoveRoleFromInstanceProfileRequestTypeDef,
    )


def existing(reader: Reader, account: str, name: str) -> InstanceProfile:
    found = kept.profile(reader, account, name)
    if found is None:
        raise missing(f"Instance Profile {name} cannot be found.")
    return found


def create_instance_profile(call: Call, request: CreateInstanceProfileRequestTypeDef, engines: Engines) -> Change:
    account, name = call.account, request["InstanceProfileName"]
    profile = InstanceProfile(
        name=name,
        id=engines.ids.principal("AIPA"),
        path=request.get("Path", "/"),
        created=engines.clock.time(),
        tags=tags.checked(request.get("Tags", ())),
    )

    def apply(tx: Transaction) -> dict[str, Any]:
        if kept.same_profile(tx, account, name) is not None:
            raise taken(f"Instance Profile {name} already exists.")
        if tx.count(kept.PROFILES, account, "") >= quotas.INSTANCE_PROFILES:
            raise exceeded("InstanceProfilesPerAccount", quotas.INSTANCE_PROFILES)
        kept.put(tx, account, profile)
        return {"InstanceProfile": {**listed(tx, account, profile), **tags.shown(profile.tags)}}

    return Change(apply)


def get_instance_profile(call: Call, request: GetInstanceProfileRequestTypeDef, engines: Engines) -> dict[str, Any]:
    reader = engines.store.read
    profile = existing(reader, call.account, request["InstanceProfileName"])
    return {"InstanceProfile": {**listed(reader, call.account, profile), **tags.shown(profile.tags)}}


def list_instance_profiles(call: Call, request: ListInstanceProfilesRequestTypeDef, engines: Engines) -> dict[str, Any]:
    prefix = request.get("PathPrefix", "/")
    found = kept.profiles(engines.store.read, call.account)
    return _page(call, engines, [profile for profile in found if profile.path.startswith(prefix)])


def list_instance_profiles_for_role(
    call: Call, request: ListInstanceProfilesForRoleRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    reader = engines.store.read
    role = existing_role(reader, call.account, request["RoleName"])
    return _page(call, engines, kept.of_role(reader, call.account, role.name))


def delete_instance_profile(call: Call, request: DeleteInstanceProfileRequestTypeDef, engines: Engines) -> Change:
    account = call.account

    def apply(tx: Transaction) -> dict[str, Any]:
        profile = existing(tx, account, request["InstanceProfileName"])
        if profile.role:
            raise conflict("Cannot delete entity, must remove roles from instance profile first.")
        kept.delete(tx, account, profile.name)
        return {}

    return Change(apply)


def add_role_to_instance_profile(
    call: Call, request: AddRoleToInstanceProfileRequestTypeDef, engines: Engines
) -> Change:
    account = call.account

    def apply(tx: Transaction) -> dict[str, Any]:
        profile = existing(tx, account, request["InstanceProfileName"])
        role = modifiable_role(tx, account, request["RoleName"])
        if profile.role:
            raise exceeded("InstanceSessionsPerInstanceProfile", 1)
        kept.put(tx, account, msgspec.structs.replace(profile, role=role.name))
        return {}

    return Change(apply)


def remove_role_from_instance_profile(
    call: Call, request: RemoveRoleFromInstanceProfileRequestTypeDef, engines: Engines
) -> Change:
    account, role = call.account, request["RoleName"]

    def apply(tx: Transaction) -> dict[str, Any]:
        profile = existing(tx, account, request["InstanceProfileName"])
        if profile.role != role:
            raise missing(f"Role {role} in Instance Profile {profile.name} cannot be found.")
        kept.put(tx, account, msgspec.structs.replace(profile, role=""))
        return {}

    return Change(apply)


def _page(call: Call, engines: Engines, profiles: list[InstanceProfile]) -> dict[str, Any]:
    def show(profile: InstanceProfile) -> dict[str, Any]:
        return listed(engines.store.read, call.account, profile)

    return page(call, engines, "InstanceProfiles", profiles, lambda profile: profile.name.lower(), show)


def listed(reader: Reader, account: str, profile: InstanceProfile) -> dict[str, Any]:
    """Lists of instance profiles leave their tags out."""
    role = kept_roles.role(reader, account, profile.role) if profile.role else None
    return {
        "Path": profile.path,
        "InstanceProfileName": profile.name,
        "InstanceProfileId": profile.id,
        "Arn": profile.arn(account),
        "CreateDate": moment(profile.created),
        "Roles": [roles.listed(account, role)] if role is not None else [],
    }
