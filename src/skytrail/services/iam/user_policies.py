"""Inline policies of users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ...call import Call, Change
from ...errors import MalformedPolicy, ServiceError
from ...identity import accounts, policy
from ...storage.store import Transaction
from ..engines import Engines
from .common import existing_user, page

if TYPE_CHECKING:
    from types_boto3_iam.type_defs import (
        DeleteUserPolicyRequestTypeDef,
        GetUserPolicyRequestTypeDef,
        ListUserPoliciesRequestTypeDef,
        PutUserPolicyRequestTypeDef,
    )

#: Of all inline policies of one user together; white space is free.
POLICY_CHARACTERS = 2048


def put_user_policy(call: Call, request: PutUserPolicyRequestTypeDef, engines: Engines) -> Change:
    account, user, name, document = call.account, request["UserName"], request["PolicyName"], request["PolicyDocument"]
    try:
        policy.parse(document)
    except MalformedPolicy as error:
        raise ServiceError("MalformedPolicyDocumentException", str(error)) from error

    def apply(tx: Transaction) -> dict[str, Any]:
        existing_user(tx, account, user)
        documents = {**dict(accounts.user_policies(tx, account, user)), name: document}
        if sum(len("".join(text.split())) for text in documents.values()) > POLICY_CHARACTERS:
            raise ServiceError(
                "LimitExceededException", f"Maximum policy size of {POLICY_CHARACTERS} bytes exceeded for user {user}"
            )
        accounts.put_user_policy(tx, account, user, name, document)
        return {}

    return Change(apply)


def get_user_policy(call: Call, request: GetUserPolicyRequestTypeDef, engines: Engines) -> dict[str, Any]:
    user, name = request["UserName"], request["PolicyName"]
    existing_user(engines.store.read, call.account, user)
    document = accounts.user_policy(engines.store.read, call.account, user, name)
    if document is None:
        raise _not_found(name)
    # IAM gives out documents percent-encoded, and clients decode them.
    return {"UserName": user, "PolicyName": name, "PolicyDocument": quote(document, safe="")}


def list_user_policies(call: Call, request: ListUserPoliciesRequestTypeDef, engines: Engines) -> dict[str, Any]:
    user = request["UserName"]
    existing_user(engines.store.read, call.account, user)
    names = [name for name, _ in accounts.user_policies(engines.store.read, call.account, user)]
    return page(call, engines, "PolicyNames", names, str, str)


def delete_user_policy(call: Call, request: DeleteUserPolicyRequestTypeDef, engines: Engines) -> Change:
    account, user, name = call.account, request["UserName"], request["PolicyName"]

    def apply(tx: Transaction) -> dict[str, Any]:
        existing_user(tx, account, user)
        if not accounts.delete_user_policy(tx, account, user, name):
            raise _not_found(name)
        return {}

    return Change(apply)


def _not_found(name: str) -> ServiceError:
    return ServiceError("NoSuchEntityException", f"The user policy with name {name} cannot be found.")
