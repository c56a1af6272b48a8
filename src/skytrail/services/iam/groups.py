"""Groups of users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ...identity import accounts, groups, inline
from ...identity.groups import Group
from ...storage.store import Transaction
from ..engines import Engines
from . import quotas, users
from .common import conflict, exceeded, existing_group, existing_user, moment, page, taken

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import (
        AddUserToGroupRequestTypeDef,
        CreateGroupRequestTypeDef,
        DeleteGroupRequestTypeDef,
        GetGroupRequestTypeDef,
        ListGroupsForUserRequestTypeDef,
        ListGroupsRequestTypeDef,
        RemoveUserFromGroupRequestTypeDef,
        UpdateGroupRequestTypeDef,
    )


def create_group(call: Call, request: CreateGroupRequestTypeDef, engines: Engines) -> Change:
    account, name = call.account, request["GroupName"]
    group = Group(name, engines.ids.principal("AGPA"), request.get("Path", "/"), engines.clock.time())

    def apply(tx: Transaction) -> dict[str, Any]:
        if groups.same_group(tx, account, name) is not None:
            raise _already_exists(name)
        if tx.count(groups.GROUPS, account, "") >= quotas.GROUPS:
            raise exceeded("GroupsPerAccount", quotas.GROUPS)
        groups.put(tx, account, group)
        return {"Group": shown(account, group)}

    return Change(apply)


def get_group(call: Call, request: GetGroupRequestTypeDef, engines: Engines) -> dict[str, Any]:
    account, reader = call.account, engines.store.read
    group = existing_group(reader, account, request["GroupName"])
    members = groups.members(reader, account, group.name)
    found = page(
        call, engines, "Users", members, lambda user: user.name.lower(), lambda user: users.listed(account, user)
    )
    return {"Group": shown(account, group), **found}


def list_groups(call: Call, request: ListGroupsRequestTypeDef, engines: Engines) -> dict[str, Any]:
    prefix = request.get("PathPrefix", "/")
    found = [group for group in groups.groups(engines.store.read, call.account) if group.path.startswith(prefix)]
    return page(call, engines, "Groups", found, _place, lambda group: shown(call.account, group))


def list_groups_for_user(call: Call, request: ListGroupsForUserRequestTypeDef, engines: Engines) -> dict[str, Any]:
    account, reader = call.account, engines.store.read
    user = existing_user(reader, account, request["UserName"])
    found = sorted((existing_group(reader, account, name) for name in user.groups), key=_place)
    return page(call, engines, "Groups", found, _place, lambda group: shown(account, group))


def update_group(call: Call, request: UpdateGroupRequestTypeDef, engines: Engines) -> Change:
    account = call.account

    def apply(tx: Transaction) -> dict[str, Any]:
        old = existing_group(tx, account, request["GroupName"])
        new = msgspec.structs.replace(
            old, name=request.get("NewGroupName", old.name), path=request.get("NewPath", old.path)
        )
        same = groups.same_group(tx, account, new.name)
        if same is not None and same.id != old.id:
            raise _already_exists(new.name)
        groups.rename(tx, account, old, new)
        return {}

    return Change(apply)


def delete_group(call: Call, request: DeleteGroupRequestTypeDef, engines: Engines) -> Change:
    account, name = call.account, request["GroupName"]

    def apply(tx: Transaction) -> dict[str, Any]:
        group = existing_group(tx, account, name)
        if groups.members(tx, account, name):
            raise conflict("Cannot delete entity, must remove users from group first.")
        if group.attached:
            raise conflict("Cannot delete entity, must detach all policies first.")
        if inline.documents(tx, account, "group", name):
            raise conflict("Cannot delete entity, must delete policies first.")
        groups.delete(tx, account, name)
        return {}

    return Change(apply)


def add_user_to_group(call: Call, request: AddUserToGroupRequestTypeDef, engines: Engines) -> Change:
    account, name = call.account, request["GroupName"]

    def apply(tx: Transaction) -> dict[str, Any]:
        existing_group(tx, account, name)
        user = existing_user(tx, account, request["UserName"])
        if name not in user.groups:
            if len(user.groups) >= quotas.GROUPS_PER_USER:
                raise exceeded("GroupsPerUser", quotas.GROUPS_PER_USER)
            accounts.put_user(tx, account, msgspec.structs.replace(user, groups=(*user.groups, name)))
        return {}

    return Change(apply)


def remove_user_from_group(call: Call, request: RemoveUserFromGroupRequestTypeDef, engines: Engines) -> Change:
    account, name = call.account, request["GroupName"]

    def apply(tx: Transaction) -> dict[str, Any]:
        existing_group(tx, account, name)
        user = existing_user(tx, account, request["UserName"])
        left = tuple(joined for joined in user.groups if joined != name)
        accounts.put_user(tx, account, msgspec.structs.replace(user, groups=left))
        return {}

    return Change(apply)


def shown(account: str, group: Group) -> dict[str, Any]:
    return {
        "Path": group.path,
        "GroupName": group.name,
        "GroupId": group.id,
        "Arn": group.arn(account),
        "CreateDate": moment(group.created),
    }


def _place(group: Group) -> str:
    return group.name.lower()


def _already_exists(name: str) -> ServiceError:
    return taken(f"Group with name {name} already exists.")
