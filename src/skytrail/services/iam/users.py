"""Users."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ...identity import accounts
from ...identity.accounts import User
from ...storage.store import Transaction
from ..engines import Engines
from .common import addressed_user, existing_user, moment, page

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import (
        CreateUserRequestTypeDef,
        DeleteUserRequestTypeDef,
        GetUserRequestTypeDef,
        ListUsersRequestTypeDef,
        TagTypeDef,
        UpdateUserRequestTypeDef,
    )

USERS_PER_ACCOUNT = 5000


def create_user(call: Call, request: CreateUserRequestTypeDef, engines: Engines) -> Change:
    account, name = call.account, request["UserName"]
    if "PermissionsBoundary" in request:
        raise ServiceError(
            "InvalidInputException", "Permissions boundaries are not supported: the user would not be bounded by it."
        )
    user = User(
        name=name,
        id=engines.ids.principal("AIDA"),
        path=request.get("Path", "/"),
        created=engines.clock.time(),
        tags=_tags(request.get("Tags", ())),
    )

    def apply(tx: Transaction) -> dict[str, Any]:
        if accounts.same_user(tx, account, name) is not None:
            raise _already_exists(name)
        if tx.count(accounts.USERS, account, "") >= USERS_PER_ACCOUNT:
            raise ServiceError(
                "LimitExceededException", f"Cannot exceed quota for UsersPerAccount: {USERS_PER_ACCOUNT}"
            )
        accounts.ensure_account(tx, account, user.created)
        accounts.put_user(tx, account, user)
        return {"User": _shown(account, user, tags=True)}

    return Change(apply)


def get_user(call: Call, request: GetUserRequestTypeDef, engines: Engines) -> dict[str, Any]:
    reader = engines.store.read
    user = addressed_user(reader, call, request.get("UserName"))
    if user is not None:
        return {"User": _shown(call.account, user, tags=True)}
    shown: dict[str, Any] = {"UserId": call.account, "Arn": call.identity.arn}
    account = accounts.account(reader, call.account)
    if account is not None:
        shown["CreateDate"] = moment(account.created)
    return {"User": shown}


def list_users(call: Call, request: ListUsersRequestTypeDef, engines: Engines) -> dict[str, Any]:
    prefix = request.get("PathPrefix", "/")
    users = [user for user in accounts.users(engines.store.read, call.account) if user.path.startswith(prefix)]
    return page(call, engines, "Users", users, lambda user: user.name.lower(), lambda user: _shown(call.account, user))


def update_user(call: Call, request: UpdateUserRequestTypeDef, engines: Engines) -> Change:
    account, name = call.account, request["UserName"]

    def apply(tx: Transaction) -> dict[str, Any]:
        old = existing_user(tx, account, name)
        new = msgspec.structs.replace(
            old, name=request.get("NewUserName", old.name), path=request.get("NewPath", old.path)
        )
        taken = accounts.same_user(tx, account, new.name)
        if taken is not None and taken.id != old.id:
            raise _already_exists(new.name)
        accounts.rename_user(tx, account, old, new)
        return {}

    return Change(apply)


def delete_user(call: Call, request: DeleteUserRequestTypeDef, engines: Engines) -> Change:
    account, name = call.account, request["UserName"]

    def apply(tx: Transaction) -> dict[str, Any]:
        user = existing_user(tx, account, name)
        if user.keys:
            raise ServiceError("DeleteConflictException", "Cannot delete entity, must delete access keys first.")
        if accounts.user_policies(tx, account, name):
            raise ServiceError("DeleteConflictException", "Cannot delete entity, must delete policies first.")
        accounts.delete_user(tx, account, name)
        return {}

    return Change(apply)


def _already_exists(name: str) -> ServiceError:
    return ServiceError("EntityAlreadyExistsException", f"User with name {name} already exists.")


def _tags(given: Sequence[TagTypeDef]) -> tuple[tuple[str, str], ...]:
    if any(text.lower().startswith("aws:") for tag in given for text in (tag["Key"], tag["Value"])):
        raise ServiceError("InvalidInputException", "Tags that begin with aws: are reserved for AWS.")
    if len({tag["Key"].lower() for tag in given}) != len(given):
        raise ServiceError(
            "InvalidInputException", "Duplicate tag keys found. Please note that Tag keys are case insensitive."
        )
    return tuple((tag["Key"], tag["Value"]) for tag in given)


def _shown(account: str, user: User, *, tags: bool = False) -> dict[str, Any]:
    """Lists of users leave their tags out."""
    shown: dict[str, Any] = {
        "Path": user.path,
        "UserName": user.name,
        "UserId": user.id,
        "Arn": user.arn(account),
        "CreateDate": moment(user.created),
    }
    if tags and user.tags:
        shown["Tags"] = [{"Key": key, "Value": value} for key, value in user.tags]
    return shown
