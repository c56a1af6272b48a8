"""Users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ...identity import accounts, inline
from ...identity.accounts import User
from ...storage.store import Transaction
from ..engines import Engines
from . import holders, login_profiles, quotas, tags
from .common import addressed_user, conflict, exceeded, existing_user, moment, page, taken

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import (
        CreateUserRequestTypeDef,
        DeleteUserRequestTypeDef,
        GetUserRequestTypeDef,
        ListUsersRequestTypeDef,
        UpdateUserRequestTypeDef,
    )


def create_user(call: Call, request: CreateUserRequestTypeDef, engines: Engines) -> Change:
    account, name = call.account, request["UserName"]
    user = User(
        name=name,
        id=engines.ids.principal("AIDA"),
        path=request.get("Path", "/"),
        created=engines.clock.time(),
        tags=tags.checked(request.get("Tags", ())),
        boundary=request.get("PermissionsBoundary", ""),
    )

    def apply(tx: Transaction) -> dict[str, Any]:
        if accounts.same_user(tx, account, name) is not None:
            raise _already_exists(name)
        if tx.count(accounts.USERS, account, "") >= quotas.USERS:
            raise exceeded("UsersPerAccount", quotas.USERS)
        if user.boundary:
            holders.check_boundary(tx, account, user.boundary)
        accounts.ensure_account(tx, account, user.created)
        accounts.put_user(tx, account, user)
        return {"User": _shown(account, user)}

    return Change(apply)


def get_user(call: Call, request: GetUserRequestTypeDef, engines: Engines) -> dict[str, Any]:
    reader = engines.store.read
    user = addressed_user(reader, call, request.get("UserName"))
    if user is not None:
        return {"User": _shown(call.account, user)}
    shown: dict[str, Any] = {"UserId": call.account, "Arn": call.identity.arn}
    account = accounts.account(reader, call.account)
    if account is not None:
        shown["CreateDate"] = moment(account.created)
    return {"User": shown}


def list_users(call: Call, request: ListUsersRequestTypeDef, engines: Engines) -> dict[str, Any]:
    prefix = request.get("PathPrefix", "/")
    users = [user for user in accounts.users(engines.store.read, call.account) if user.path.startswith(prefix)]
    return page(call, engines, "Users", users, lambda user: user.name.lower(), lambda user: listed(call.account, user))


def update_user(call: Call, request: UpdateUserRequestTypeDef, engines: Engines) -> Change:
    account, name = call.account, request["UserName"]

    def apply(tx: Transaction) -> dict[str, Any]:
        old = existing_user(tx, account, name)
        new = msgspec.structs.replace(
            old, name=request.get("NewUserName", old.name), path=request.get("NewPath", old.path)
        )
        same = accounts.same_user(tx, account, new.name)
        if same is not None and same.id != old.id:
            raise _already_exists(new.name)
        accounts.rename_user(tx, account, old, new)
        inline.rename(tx, account, "user", old.name, new.name)
        login_profiles.rename(tx, account, old.name, new.name)
        return {}

    return Change(apply)


def delete_user(call: Call, request: DeleteUserRequestTypeDef, engines: Engines) -> Change:
    account, name = call.account, request["UserName"]

    def apply(tx: Transaction) -> dict[str, Any]:
        user = existing_user(tx, account, name)
        if user.keys:
            raise conflict("Cannot delete entity, must delete access keys first.")
        if login_profiles.profile(tx, account, name) is not None:
            raise conflict("Cannot delete entity, must delete login profile first.")
        if user.groups:
            raise conflict("Cannot delete entity, must remove users from group first.")
        if user.attached:
            raise conflict("Cannot delete entity, must detach all policies first.")
        if inline.documents(tx, account, "user", name):
            raise conflict("Cannot delete entity, must delete policies first.")
        accounts.delete_user(tx, account, name)
        return {}

    return Change(apply)


def listed(account: str, user: User) -> dict[str, Any]:
    """Lists of users leave their tags and boundaries out."""
    return {
        "Path": user.path,
        "UserName": user.name,
        "UserId": user.id,
        "Arn": user.arn(account),
        "CreateDate": moment(user.created),
    }


def _shown(account: str, user: User) -> dict[str, Any]:
    return {**listed(account, user), **holders.shown_boundary(user), **tags.shown(user.tags)}


def _already_exists(name: str) -> ServiceError:
    return taken(f"User with name {name} already exists.")
