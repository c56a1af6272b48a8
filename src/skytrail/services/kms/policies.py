"""Key policies: stored as they were put, after a check that they are ones and that the caller is not locked out."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...call import Call, Change
from ...errors import MalformedPolicy, ServiceError
from ...identity import policy
from ...identity.policy import Ask
from ...storage.state import Reader
from ...storage.store import Transaction
from ...wire import arns
from ..engines import Engines, Outcome
from . import keys
from .common import addressed, change, own, page
from .keys import POLICIES

if TYPE_CHECKING:
    from types_boto3_kms.type_defs import (
        GetKeyPolicyRequestTypeDef,
        ListKeyPoliciesRequestTypeDef,
        PutKeyPolicyRequestTypeDef,
    )

#: The only policy that a key has.
NAME = "default"
LONGEST = 32 * 1024


def put_key_policy(call: Call, request: PutKeyPolicyRequestTypeDef, engines: Engines) -> Change:
    document = request["Policy"]
    _check_name(request.get("PolicyName", NAME))

    arn = own(call, addressed(engines.store.read, call, request["KeyId"])).arn
    check(call, document, arn, bypass=request.get("BypassPolicyLockoutSafetyCheck", False))

    def apply(tx: Transaction) -> None:
        key = addressed(tx, call, request["KeyId"])
        tx.put(POLICIES, key.account, key.region, key.id, document)

    return change(call, apply)


def get_key_policy(call: Call, request: GetKeyPolicyRequestTypeDef, engines: Engines) -> Outcome:
    key = addressed(engines.store.read, call, request["KeyId"])
    _check_name(request.get("PolicyName", NAME))
    return {"Policy": policy_of(engines.store.read, key.account, key.region, key.id), "PolicyName": NAME}


def list_key_policies(call: Call, request: ListKeyPoliciesRequestTypeDef, engines: Engines) -> Outcome:
    addressed(engines.store.read, call, request["KeyId"])
    return page(call, engines, "PolicyNames", lambda after: [(NAME, NAME)] if after < NAME else [])


def policy_of(reader: Reader, account: str, region: str, key_id: str) -> str:
    """The policy of a key, by the key's id."""
    document = reader.get(POLICIES, account, region, key_id)
    if document is None:
        raise ServiceError("NotFoundException", f"Key '{keys.arn(account, region, f'key/{key_id}')}' does not exist")
    return document


def default_policy(account: str, region: str) -> str:
    """Gives the account's root everything, and so leaves it to IAM who in the account may do what."""
    statement = {
        "Sid": "Enable IAM User Permissions",
        "Effect": "Allow",
        "Principal": {"AWS": _root(account, region)},
        "Action": "kms:*",
        "Resource": "*",
    }
    return json.dumps({"Version": "2012-10-17", "Id": "key-default-1", "Statement": [statement]}, indent=2)


def _root(account: str, region: str) -> str:
    return arns.format("iam", "", account, "root", arns.partition_of(region))


def _check_name(name: str) -> None:
    if name != NAME:
        raise ServiceError("NotFoundException", "No such policy exists")


# Is it a key policy?


def check(call: Call, document: str, key_arn: str, *, bypass: bool) -> None:
    """Raises MalformedPolicyDocumentException where it is none, or would keep its caller from changing it again."""
    if len(document.encode()) > LONGEST:
        raise ServiceError("LimitExceededException", f"The key policy exceeds the maximum size of {LONGEST} bytes.")
    tree = _read(document)
    if any("NotPrincipal" in statement for statement in tree):
        raise _malformed("Policy contains a statement with NotPrincipal, which key policies do not support.")
    if any(not statement.get("Principal") for statement in tree):
        raise _malformed("Policy contains a statement with no principal.")
    try:
        parsed = policy.parse(document, "resource")
    except MalformedPolicy as error:
        if str(error).startswith("Invalid principal"):
            raise _malformed("Policy contains a statement with one or more invalid principals.") from error
        raise _malformed(str(error)) from error
    if any(statement.resources is None for statement in parsed.statements):
        raise _malformed("Policy statement must contain resources.")
    if bypass:
        return
    ask = Ask("kms:PutKeyPolicy", key_arn, {}, call.identity)
    # A condition may hold or not: an allow with one counts, a deny with one does not.
    of_caller = [
        statement.allows
        for statement in parsed.statements
        if (statement.allows or not statement.conditions) and replace(statement, conditions=()).applies(ask)
    ]
    if not of_caller or not all(of_caller):
        raise _malformed("The new key policy will not allow you to update the key policy in the future.")


def _read(document: str) -> list[dict[str, Any]]:
    try:
        given = policy.read(document).get("Statement")
    except MalformedPolicy as error:
        raise _malformed(str(error)) from error
    statements = given if isinstance(given, list) else [given]
    return [statement for statement in statements if isinstance(statement, dict)]


def _malformed(message: str) -> ServiceError:
    return ServiceError("MalformedPolicyDocumentException", message)


def is_principal_arn(text: str) -> bool:
    try:
        arn = arns.parse(text)
    except ValueError:
        return False
    kinds = {
        "iam": ("user/", "role/"),
        "sts": ("assumed-role/", "federated-user/"),
    }.get(arn.service, ())
    return (
        arns.is_account(arn.account)
        and not arn.region
        and "*" not in arn.resource
        and (arn.resource.startswith(kinds) or (arn.service, arn.resource) == ("iam", "root"))
    )
