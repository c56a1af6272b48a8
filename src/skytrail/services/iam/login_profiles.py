"""Login profiles: users' passwords for a console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.state import Kind, Reader
from ...storage.store import Transaction
from ..engines import Engines
from . import passwords
from .common import addressed_user, existing_user, missing, moment, taken

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import (
        ChangePasswordRequestTypeDef,
        CreateLoginProfileRequestTypeDef,
        DeleteLoginProfileRequestTypeDef,
        GetLoginProfileRequestTypeDef,
        UpdateLoginProfileRequestTypeDef,
    )

#: The most passwords that an account can keep from coming again.
_REMEMBERED = 24


class LoginProfile(msgspec.Struct, frozen=True):
    created: float
    hash: str
    #: When the password was last set.
    changed: float
    reset_required: bool = False
    #: The hashes of former passwords, the newest first.
    former: tuple[str, ...] = ()


#: Under the user's lower-case name.
_PROFILES = Kind("iam-login-profile", LoginProfile)


def profile(reader: Reader, account: str, user: str) -> LoginProfile | None:
    return reader.get(_PROFILES, account, "", user.lower())


def rename(tx: Transaction, account: str, old: str, new: str) -> None:
    """The user has another name: its login profile comes along."""
    found = profile(tx, account, old)
    if found is not None:
        tx.delete(_PROFILES, account, "", old.lower())
        tx.put(_PROFILES, account, "", new.lower(), found)


async def create_login_profile(call: Call, request: CreateLoginProfileRequestTypeDef, engines: Engines) -> Change:
    reader, account = engines.store.read, call.account
    name = _user(call, request.get("UserName"), engines)
    if "Password" not in request:
        raise ServiceError("ValidationError", "A login profile of a user needs a Password.", status=400)
    existing_user(reader, account, name)
    passwords.check(reader, account, request["Password"])
    now = engines.clock.time()
    made = LoginProfile(
        created=now,
        hash=await passwords.hashed(request["Password"], engines.ids),
        changed=now,
        reset_required=request.get("PasswordResetRequired", False),
    )

    def apply(tx: Transaction) -> dict[str, Any]:
        existing_user(tx, account, name)
        if profile(tx, account, name) is not None:
            raise taken(f"Login Profile for user {name} already exists.")
        tx.put(_PROFILES, account, "", name.lower(), made)
        return {"LoginProfile": _shown(name, made)}

    return Change(apply)


def get_login_profile(call: Call, request: GetLoginProfileRequestTypeDef, engines: Engines) -> dict[str, Any]:
    name = _user(call, request.get("UserName"), engines)
    return {"LoginProfile": _shown(name, _existing(engines.store.read, call.account, name))}


async def update_login_profile(call: Call, request: UpdateLoginProfileRequestTypeDef, engines: Engines) -> Change:
    reader, account, name = engines.store.read, call.account, request["UserName"]
    before = _existing(reader, account, name)
    after = before
    if "Password" in request:
        after = await _with_password(engines, account, before, request["Password"])
    after = msgspec.structs.replace(after, reset_required=request.get("PasswordResetRequired", before.reset_required))
    return _changing(account, name, before, after)


def delete_login_profile(call: Call, request: DeleteLoginProfileRequestTypeDef, engines: Engines) -> Change:
    name = _user(call, request.get("UserName"), engines)

    def apply(tx: Transaction) -> dict[str, Any]:
        _existing(tx, call.account, name)
        tx.delete(_PROFILES, call.account, "", name.lower())
        return {}

    return Change(apply)


async def change_password(call: Call, request: ChangePasswordRequestTypeDef, engines: Engines) -> Change:
    reader, account = engines.store.read, call.account
    if call.identity.type != "IAMUser":
        raise ServiceError("InvalidUserTypeException", "Only IAM Users can change their own password.")
    name = call.identity.user_name
    before = _existing(reader, account, name)
    policy = passwords.policy(reader, account)
    days = policy.max_age if policy is not None and policy.hard_expiry else 0
    if days and before.changed + days * passwords.DAY <= engines.clock.time():
        raise _refused("The password has expired: an administrator must set another one.")
    if not await passwords.matches(request["OldPassword"], before.hash):
        raise _refused("The old password was incorrect.")
    after = await _with_password(engines, account, before, request["NewPassword"])
    return _changing(account, name, before, msgspec.structs.replace(after, reset_required=False))


def _changing(account: str, name: str, before: LoginProfile, after: LoginProfile) -> Change:
    def apply(tx: Transaction) -> dict[str, Any]:
        if _existing(tx, account, name) != before:
            # What was checked above is not what is there now.
            raise ServiceError(
                "EntityTemporarilyUnmodifiableException",
                f"Login Profile for User {name} cannot be modified while it is being changed. Please try again.",
            )
        tx.put(_PROFILES, account, "", name.lower(), after)
        return {}

    return Change(apply)


async def _with_password(engines: Engines, account: str, before: LoginProfile, password: str) -> LoginProfile:
    reader = engines.store.read
    passwords.check(reader, account, password)
    policy = passwords.policy(reader, account)
    hashes = (before.hash, *before.former)
    for kept in hashes[: policy.reuse_prevention if policy is not None else 0]:
        if await passwords.matches(password, kept):
            raise passwords.violation("Password cannot be the same as previously used password")
    return msgspec.structs.replace(
        before,
        hash=await passwords.hashed(password, engines.ids),
        changed=engines.clock.time(),
        former=hashes[:_REMEMBERED],
    )


def _existing(reader: Reader, account: str, name: str) -> LoginProfile:
    existing_user(reader, account, name)
    found = profile(reader, account, name)
    if found is None:
        raise missing(f"Login Profile for User {name} cannot be found.")
    return found


def _user(call: Call, name: str | None, engines: Engines) -> str:
    found = addressed_user(engines.store.read, call, name)
    if found is None:
        raise ServiceError("ValidationError", "The password of an account's root is not managed here.", status=400)
    return found.name


def _shown(name: str, found: LoginProfile) -> dict[str, Any]:
    return {
        "UserName": name,
        "CreateDate": moment(found.created),
        "PasswordResetRequired": found.reset_required,
    }


def _refused(message: str) -> ServiceError:
    return ServiceError("AccessDenied", message, status=403)
