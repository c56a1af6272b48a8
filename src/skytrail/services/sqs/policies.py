"""Queues' policies, and the permissions that are a short way to write them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.state import Reader
from ...storage.store import Transaction
from ...wire import arns
from ..engines import Engines, refuse_unevaluated
from . import queues
from .common import Address, addressed, invalid, millis, missing

if TYPE_CHECKING:
    from types_boto3_sqs.type_defs import AddPermissionRequestTypeDef, RemovePermissionRequestTypeDef

_ELEMENTS = frozenset(
    {"Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"}
)
_ACTIONS = 7
_STATEMENTS = 20
#: What AddPermission can share with others.
_SHARED = frozenset(
    {"*", "ChangeMessageVisibility", "DeleteMessage", "GetQueueAttributes", "GetQueueUrl", "ListDeadLetterSourceQueues",
     "PurgeQueue", "ReceiveMessage", "SendMessage"}
)  # fmt: skip


def policy_of(reader: Reader, account: str, region: str, queue_name: str) -> str | None:
    """The policy of a queue, as it was set; None where it has none or is not there."""
    queue = queues.find(reader, Address(account, region, queue_name))
    return None if queue is None else queue.body.attributes.get("Policy")


def check(document: str) -> None:
    """Refuse what is not the policy of a resource."""
    try:
        tree = orjson.loads(document)
    except orjson.JSONDecodeError:
        raise _malformed("it is not JSON") from None
    if not isinstance(tree, dict) or tree.keys() - {"Version", "Id", "Statement"}:
        raise _malformed("it has elements other than Version, Id and Statement")
    if tree.get("Version", "2008-10-17") not in ("2008-10-17", "2012-10-17"):
        raise _malformed("it has no valid version")
    statements = tree.get("Statement")
    statements = [statements] if isinstance(statements, dict) else statements
    if not isinstance(statements, list) or not statements:
        raise _malformed("it has no statement")
    for statement in statements:
        _check_statement(statement)


def _check_statement(statement: Any) -> None:
    if not isinstance(statement, dict) or statement.keys() - _ELEMENTS:
        raise _malformed("a statement has an unknown element")
    if statement.get("Effect") not in ("Allow", "Deny"):
        raise _malformed("a statement's effect is Allow or Deny")
    for name in ("Principal", "Action", "Resource"):
        given = [each for each in (name, f"Not{name}") if each in statement]
        if len(given) != 1 and not (name == "Resource" and not given):
            raise _malformed(f"a statement has {name} or Not{name}")
    for name in ("Action", "NotAction", "Resource", "NotResource"):
        texts = statement.get(name, "*")
        texts = [texts] if isinstance(texts, str) else texts
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
            raise _malformed(f"{name} is a string or a list of strings")
    for text in _texts(statement.get("Action", statement.get("NotAction"))):
        if text != "*" and not re.fullmatch(r"(?i)sqs:[A-Za-z*?]+", text):
            raise _malformed("its actions are not of SQS")
    if not isinstance(statement.get("Condition", {}), dict):
        raise _malformed("a condition is an object")
    principal = statement.get("Principal", statement.get("NotPrincipal"))
    if principal != "*" and not (isinstance(principal, dict) and principal):
        raise _malformed("a principal is * or an object")


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def _malformed(why: str) -> ServiceError:
    return ServiceError("InvalidAttributeValue", f"Invalid value for the parameter Policy. Reason: {why}.")


# Permissions


def admit(engines: Engines, attributes: Mapping[str, str]) -> None:
    """A queue's policy must be evaluated to have its effect; none, or an empty one, has no effect."""
    if attributes.get("Policy"):
        refuse_unevaluated(engines, "Queue policies", "UnsupportedOperation")


def add_permission(call: Call, request: AddPermissionRequestTypeDef, engines: Engines) -> Change:
    refuse_unevaluated(engines, "Queue policies", "UnsupportedOperation")
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
        if action not in _SHARED:
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
