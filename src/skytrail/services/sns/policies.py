"""Topics' policies, and the permissions that are a short way to write them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from ...call import Call, Change
from ...errors import MalformedPolicy, ServiceError
from ...identity import policy
from ...storage.store import Transaction
from ...wire import arns
from ..engines import Engines
from . import topics
from .common import Address, addressed, invalid

if TYPE_CHECKING:
    from types_boto3_sns.type_defs import AddPermissionInputTypeDef, RemovePermissionInputTypeDef

#: What a policy may open to others.
ACTIONS = (
    "GetTopicAttributes",
    "SetTopicAttributes",
    "AddPermission",
    "RemovePermission",
    "DeleteTopic",
    "Subscribe",
    "ListSubscriptionsByTopic",
    "Publish",
)
_LONGEST = 30_720
_STATEMENTS = 100
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,80}")


def default(address: Address) -> str:
    """The policy of a topic that was given none: only its owner's services and identities may use it."""
    statement = {
        "Sid": "__default_statement_ID",
        "Effect": "Allow",
        "Principal": {"AWS": "*"},
        "Action": [f"SNS:{action}" for action in ACTIONS],
        "Resource": address.arn,
        "Condition": {"StringEquals": {"AWS:SourceOwner": address.account}},
    }
    return _dumps({"Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [statement]})


def check(document: str) -> None:
    """Refuse what is not the policy of a topic."""
    if len(document.encode()) > _LONGEST:
        raise invalid("Policy too long")
    try:
        policy.parse(document, "resource")
    except MalformedPolicy as error:
        raise invalid(f"Policy Error: {error}") from None
    for statement in _statements(policy.read(document)):
        given = statement.get("Action", statement.get("NotAction"))
        for action in [given] if isinstance(given, str) else given or ():
            if action != "*" and not action.lower().startswith("sns:"):
                raise invalid("Policy statement action out of service scope!")
        named = statement.get("Resource", statement.get("NotResource", "*"))
        for resource in [named] if isinstance(named, str) else named:
            if resource != "*" and resource.split(":", 3)[2] not in ("sns", "*"):
                raise invalid("Policy statement resource out of service scope!")


def _dumps(tree: dict[str, Any]) -> str:
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":"))


def _statements(tree: dict[str, Any]) -> list[dict[str, Any]]:
    given = tree.get("Statement", [])
    return [given] if isinstance(given, dict) else list(given)


def add_permission(call: Call, request: AddPermissionInputTypeDef, engines: Engines) -> Change:
    address = addressed(call, request["TopicArn"])
    label, accounts, actions = request["Label"], list(request["AWSAccountId"]), list(request["ActionName"])
    if not _LABEL.fullmatch(label):
        raise invalid("Label")
    if not accounts or not all(arns.is_account(account) for account in accounts):
        raise invalid("AWSAccountId")
    if not actions:
        raise invalid("ActionName")
    for action in actions:
        if action not in ACTIONS and action != "*":
            raise invalid("Policy statement action out of service scope!")
    partition = arns.partition_of(address.region)
    principals = [arns.format("iam", "", account, "root", partition) for account in accounts]
    statement = {
        "Sid": label,
        "Effect": "Allow",
        "Principal": {"AWS": principals if len(principals) > 1 else principals[0]},
        "Action": [f"SNS:{action}" for action in actions] if len(actions) > 1 else f"SNS:{actions[0]}",
        "Resource": address.arn,
    }

    def apply(tx: Transaction) -> dict[str, Any]:
        topic = topics.existing(tx, address)
        tree = policy.read(topic.body.attributes.get("Policy", default(address)))
        statements = _statements(tree)
        if any(each.get("Sid") == label for each in statements):
            raise invalid("Statement already exists")
        if len(statements) >= _STATEMENTS:
            raise invalid(f"Policy Reason: it may have at most {_STATEMENTS} statements")
        document = _dumps({**tree, "Statement": [*statements, statement]})
        check(document)
        topic.body.attributes["Policy"] = document
        topics.save(tx, topic)
        return {}

    return Change(apply)


def remove_permission(call: Call, request: RemovePermissionInputTypeDef, engines: Engines) -> Change:
    address, label = addressed(call, request["TopicArn"]), request["Label"]

    def apply(tx: Transaction) -> dict[str, Any]:
        topic = topics.existing(tx, address)
        tree = policy.read(topic.body.attributes.get("Policy", default(address)))
        statements = _statements(tree)
        left = [each for each in statements if each.get("Sid") != label]
        if len(left) == len(statements):
            raise ServiceError("NotFoundException", "Statement does not exist")
        if left:
            topic.body.attributes["Policy"] = _dumps({**tree, "Statement": left})
        else:  # a policy without statements is none
            topic.body.attributes.pop("Policy", None)
        topics.save(tx, topic)
        return {}

    return Change(apply)
