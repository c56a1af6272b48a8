"""Access keys of users and of the account's root."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...call import Call, Change
from ...errors import ServiceError
from ...identity import accounts
from ...identity.accounts import AccessKey, User
from ...storage.state import Reader
from ...storage.store import Transaction
from ..engines import Engines
from . import quotas
from .common import addressed_user, exceeded, missing, moment, page

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import (
        CreateAccessKeyRequestTypeDef,
        DeleteAccessKeyRequestTypeDef,
        GetAccessKeyLastUsedRequestTypeDef,
        ListAccessKeysRequestTypeDef,
        UpdateAccessKeyRequestTypeDef,
    )


def create_access_key(call: Call, request: CreateAccessKeyRequestTypeDef, engines: Engines) -> Change:
    now = engines.clock.time()

    def apply(tx: Transaction) -> dict[str, Any]:
        owner = addressed_user(tx, call, request.get("UserName"))
        if len(_ids(tx, call.account, owner)) >= quotas.ACCESS_KEYS_PER_USER:
            raise exceeded("AccessKeysPerUser", quotas.ACCESS_KEYS_PER_USER)
        key, secret = accounts.create_key(tx, call.account, owner, now, engines.ids, engines.sealer)
        return {"AccessKey": {**_shown(key), "SecretAccessKey": secret}}

    return Change(apply)


def list_access_keys(call: Call, request: ListAccessKeysRequestTypeDef, engines: Engines) -> dict[str, Any]:
    reader = engines.store.read
    owner = addressed_user(reader, call, request.get("UserName"))
    keys = sorted(accounts.keys_of(reader, _ids(reader, call.account, owner)), key=lambda key: key.id)
    return page(call, engines, "AccessKeyMetadata", keys, lambda key: key.id, _shown)


def update_access_key(call: Call, request: UpdateAccessKeyRequestTypeDef, engines: Engines) -> Change:
    status = request["Status"]
    if status not in ("Active", "Inactive"):
        raise ServiceError("InvalidInputException", "A key is made Active or Inactive.")

    def apply(tx: Transaction) -> dict[str, Any]:
        key = _addressed_key(tx, call, request.get("UserName"), request["AccessKeyId"])
        accounts.set_key_status(tx, key, "Active" if status == "Active" else "Inactive")
        return {}

    return Change(apply)


def delete_access_key(call: Call, request: DeleteAccessKeyRequestTypeDef, engines: Engines) -> Change:
    now = engines.clock.time()

    def apply(tx: Transaction) -> dict[str, Any]:
        key = _addressed_key(tx, call, request.get("UserName"), request["AccessKeyId"])
        accounts.delete_key(tx, key, now)
        return {}

    return Change(apply)


def get_access_key_last_used(
    call: Call, request: GetAccessKeyLastUsedRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    key_id = request["AccessKeyId"]
    key = accounts.key(engines.store.read, key_id)
    if key is None or key.account != call.account:
        # AWS does not tell which keys there are in other accounts.
        raise ServiceError(
            "AccessDenied",
            f"User: {call.identity.arn} is not authorized to perform: iam:GetAccessKeyLastUsed "
            f"on resource: access key {key_id}",
            status=403,
        )
    use = accounts.key_use(engines.store.read, key_id)
    last_used: dict[str, Any] = {"ServiceName": "N/A", "Region": "N/A"}
    if use is not None:
        last_used = {"LastUsedDate": moment(use.time), "ServiceName": use.service, "Region": use.region}
    return {**_owner(key), "AccessKeyLastUsed": last_used}


def _ids(reader: Reader, account: str, owner: User | None) -> tuple[str, ...]:
    if owner is not None:
        return owner.keys
    found = accounts.account(reader, account)
    return found.keys if found is not None else ()


def _addressed_key(reader: Reader, call: Call, user_name: str | None, key_id: str) -> AccessKey:
    owner = addressed_user(reader, call, user_name)
    key = accounts.key(reader, key_id)
    if key is None or key_id not in _ids(reader, call.account, owner):
        raise missing(f"The Access Key with id {key_id} cannot be found.")
    return key


def _owner(key: AccessKey) -> dict[str, Any]:
    """Root's keys have no user name."""
    return {"UserName": key.user} if key.user else {}


def _shown(key: AccessKey) -> dict[str, Any]:
    return {**_owner(key), "AccessKeyId": key.id, "Status": key.status, "CreateDate": moment(key.created)}
