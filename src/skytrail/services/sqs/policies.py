"""Queues' policies, and the permissions that are a short way to write them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from ...call import Call, Change
from ...errors import MalformedPolicy, ServiceError
from ...identity.policy import parse
from ...storage.store import Transaction
from ...wire import arns
from ..engines import Engines
from . import queues
from .common import SHARED, addressed, invalid, millis, missing

if TYPE_CHECKING:
    from types_boto3_sqs.type_defs import AddPermissionRequestTypeDef, RemovePermissionRequestTypeDef

_ACTIONS = 7
_STATEMENTS = 20


def check(document: str) -> None:
    """Refuse what is not the policy of a queue."""
    try:
        parse(document, "resource")
    except MalformedPolicy as error:
        raise _malformed(str(error)) from error
    for statement in _statements(orjson.loads(document)):
        for text in _texts(statement.get("Action", statement.get("NotAction"))):
            if text != "*" and not re.fullmatch(r"(?i)sqs:[A-Za-z*?]+", text):
                raise _malformed("its actions are not of SQS")


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def _malformed(why: str) -> ServiceError:
    return ServiceError(
        "InvalidAttributeValue", f"Invalid value for the parameter Policy. Reason: {why.removesuffix('.')}."
    )


# Permissions


def add_permission(call: Call, request: AddPermissionRequestTypeDef, engines: Engines) -> Change:
    address, now = addressed(call, request["QueueUrl"]), millis(engines.clock.time())
    label, accounts, actions = request["Label"], list(request["AWSAccountIds"]), list(request["Actions"])
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", label):
        raise invalid(
            label, "Label", "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
        )
    if not accounts:
        raise missing("AWSAccountIds")
    if not actions:
        raise missing("Actions")
    for account in accounts:
        if not arns.is_account(account):
            raise invalid(account, "PrincipalId", "Unable to verify.")
    for action in actions:
        if action not in SHARED and action != "*":
            raise invalid(f"SQS:{action}", "ActionName", "Only the queue owner is allowed to invoke this action.")
    if len(actions) > _ACTIONS:
        raise ServiceError("OverLimit", f"{len(actions)} Actions were found, maximum allowed is {_ACTIONS}.")
    principals = [f"arn:aws:iam::{account}:root" for account in accounts]
    statement = {
        "Sid": label,
        "Effect": "Allow",
        "Principal": {"AWS": principals if len(principals) > 1 else principals[0]},
        "Action": [f"SQS:{action}" for action in actions] if len(actions) > 1 else f"SQS:{actions[0]}",
        "Resource": address.arn,
    }

    def apply(tx: Transaction) -> dict[str, Any]:
        queue = queues.existing(tx, address)
        policy = orjson.loads(queue.body.attributes.get("Policy", "null")) or {
            "Version": "2008-10-17",
            "Id": f"{address.arn}/SQSDefaultPolicy",
            "Statement": [],
        }
        statements = _statements(policy)
        if any(each.get("Sid") == label for each in statements):
            raise invalid(label, "Label", "Already exists.")
        if len(statements) >= _STATEMENTS:
            raise ServiceError(
                "OverLimit", f"{len(statements) + 1} statements were found, maximum allowed is {_STATEMENTS}."
            )
        policy["Statement"] = [*statements, statement]
        queue.body.attributes["Policy"] = orjson.dumps(policy).decode()
        queue.body.modified = now
        queues.save(tx, queue)
        return {}

    return Change(apply)


def remove_permission(call: Call, request: RemovePermissionRequestTypeDef, engines: Engines) -> Change:
    address, now = addressed(call, request["QueueUrl"]), millis(engines.clock.time())
    label = request["Label"]

    def apply(tx: Transaction) -> dict[str, Any]:
        queue = queues.existing(tx, address)
        policy = orjson.loads(queue.body.attributes.get("Policy", "{}"))
        statements = _statements(policy)
        left = [each for each in statements if each.get("Sid") != label]
        if len(left) == len(statements):
            raise invalid(label, "Label", "can't find label on existing policy.")
        if left:
            policy["Statement"] = left
            queue.body.attributes["Policy"] = orjson.dumps(policy).decode()
        else:
            del queue.body.attributes["Policy"]
        queue.body.modified = now
        queues.save(tx, queue)
        return {}

    return Change(apply)


def _statements(policy: dict[str, Any]) -> list[dict[str, Any]]:
    statements = policy.get("Statement", [])
    return [statements] if isinstance(statements, dict) else list(statements)
