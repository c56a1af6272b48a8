"""Subscriptions' attributes, and their listings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from ...call import Call, Change
from ...errors import ServiceError
from ...languages import filter_policies
from ...languages.filter_policies import InvalidFilterPolicy
from ...storage.state import Reader
from ...storage.store import Transaction
from ...wire import arns
from ..engines import Engines
from . import delivery_policies, endpoints, subscriptions, topics
from .common import (
    PAGE,
    Address,
    addressed,
    addressed_subscription,
    invalid,
    millis,
    next_token,
    not_authorized,
    place,
)
from .subscriptions import Status, Subscription

if TYPE_CHECKING:
    from types_boto3_sns.type_defs import (
        GetSubscriptionAttributesInputTypeDef,
        ListSubscriptionsByTopicInputTypeDef,
        ListSubscriptionsInputTypeDef,
        SetSubscriptionAttributesInputTypeDef,
    )

FILTERS_OF_TOPIC = 200
FILTERS_OF_ACCOUNT = 10_000
_RAW = frozenset({"sqs", "http", "https"})
_SCOPES = ("MessageAttributes", "MessageBody")
_UNSUPPORTED = {
    "ReplayPolicy": "ReplayPolicy is not supported: messages are not archived",
    "SubscriptionRoleArn": "SubscriptionRoleArn is only supported for firehose",
}


def given_at_subscription(account: str, topic: Address, protocol: str, given: Mapping[str, str]) -> dict[str, str]:
    for name in given:
        if name not in _KNOWN and name not in _UNSUPPORTED:
            raise invalid(f"Attributes Reason: Unknown attribute {name}")
    return settled(account, topic, protocol, {}, given)


def settled(
    account: str, topic: Address, protocol: str, old: Mapping[str, str], given: Mapping[str, str]
) -> dict[str, str]:
    """A subscription's attributes with the given ones set; an empty document takes its attribute away."""
    new = dict(old)
    for name, value in given.items():
        if name in _UNSUPPORTED:
            raise invalid(_UNSUPPORTED[name])
        new[name] = _KNOWN[name](account, topic, protocol, value)
        if not new[name]:
            del new[name]
    if "FilterPolicy" in new:
        scope = new.get("FilterPolicyScope", "MessageAttributes")
        try:
            filter_policies.compile(
                new["FilterPolicy"], "MessageBody" if scope == "MessageBody" else "MessageAttributes"
            )
        except InvalidFilterPolicy as error:
            raise invalid(f"FilterPolicy: {error}") from None
        if new["FilterPolicy"].strip() == "{}" or not orjson.loads(new["FilterPolicy"]):
            del new["FilterPolicy"]
    return new


def _raw(account: str, topic: Address, protocol: str, value: str) -> str:
    if value.lower() not in ("true", "false"):
        raise invalid(f"RawMessageDelivery: Invalid value [{value}]. Must be true or false.")
    if value.lower() == "true" and protocol not in _RAW:
        raise invalid(f"Attributes Reason: Delivery protocol [{protocol}] does not support raw message delivery.")
    return value.lower()


def _filter(account: str, topic: Address, protocol: str, value: str) -> str:
    return value


def _scope(account: str, topic: Address, protocol: str, value: str) -> str:
    if value not in _SCOPES:
        raise invalid(f"FilterPolicyScope: Invalid value [{value}]. Please use either MessageBody or MessageAttributes")
    return value


def _delivery(account: str, topic: Address, protocol: str, value: str) -> str:
    if not value:
        return value
    if protocol not in ("http", "https"):
        raise invalid(f"DeliveryPolicy: Delivery protocol [{protocol}] does not support delivery policies.")
    delivery_policies.check_subscription(value)
    return value


def _redrive(account: str, topic: Address, protocol: str, value: str) -> str:
    if not value:
        return value
    try:
        tree = orjson.loads(value)
    except orjson.JSONDecodeError:
        raise invalid("RedrivePolicy: failed to parse JSON.") from None
    if not isinstance(tree, dict) or tree.keys() != {"deadLetterTargetArn"}:
        raise invalid("RedrivePolicy: it holds deadLetterTargetArn, and nothing else")
    try:
        arn = arns.parse(str(tree["deadLetterTargetArn"]))
    except ValueError:
        raise invalid("RedrivePolicy: deadLetterTargetArn is an invalid arn") from None
    if arn.service != "sqs" or not arn.resource:
        raise invalid("RedrivePolicy: deadLetterTargetArn is an invalid arn")
    if (arn.account, arn.region) != (account, topic.region):
        raise invalid("RedrivePolicy: the dead-letter queue must be in the same account and Region as the subscription")
    if topic.fifo != arn.resource.endswith(".fifo"):
        raise invalid(
            "RedrivePolicy: must use a FIFO queue as DLQ for a FIFO topic"
            if topic.fifo
            else "RedrivePolicy: must use a standard queue as DLQ for a standard topic"
        )
    return value


_KNOWN = {
    "RawMessageDelivery": _raw,
    "FilterPolicy": _filter,
    "FilterPolicyScope": _scope,
    "DeliveryPolicy": _delivery,
    "RedrivePolicy": _redrive,
}


def check_filters(reader: Reader, topic_id: int, subscription: Subscription) -> None:
    """Whether there is room for one more filter policy."""
    if subscriptions.filtered(reader, topic_id) >= FILTERS_OF_TOPIC:
        raise ServiceError(
            "FilterPolicyLimitExceededException", f"A topic has at most {FILTERS_OF_TOPIC} filter policies"
        )
    of_account = subscriptions.filtered_of_account(reader, subscription.account, subscription.topic.region)
    if of_account >= FILTERS_OF_ACCOUNT:
        raise ServiceError(
            "FilterPolicyLimitExceededException", f"An account has at most {FILTERS_OF_ACCOUNT} filter policies"
        )


def dead_letter_queue(subscription: Subscription) -> str | None:
    policy = subscription.body.attributes.get("RedrivePolicy")
    return None if policy is None else str(orjson.loads(policy)["deadLetterTargetArn"])


# Operations


def _own(reader: Reader, call: Call, arn: str, now: int) -> Subscription:
    address, id_ = addressed_subscription(call, arn)
    found = subscriptions.existing(reader, address, id_, now)
    if call.account not in (found.account, address.account):
        raise not_authorized(call, arn)
    return found


def get_subscription_attributes(
    call: Call, request: GetSubscriptionAttributesInputTypeDef, engines: Engines
) -> dict[str, Any]:
    reader = engines.store.read
    found = _own(reader, call, request["SubscriptionArn"], millis(engines.clock.time()))
    given = found.body.attributes
    shown = {
        "SubscriptionArn": found.arn,
        "TopicArn": found.topic.arn,
        "Owner": found.account,
        "Protocol": found.protocol,
        "Endpoint": endpoints.shown(found.endpoint),
        "SubscriptionPrincipal": found.body.principal,
        "PendingConfirmation": "true" if found.status is Status.PENDING else "false",
        "ConfirmationWasAuthenticated": "true" if found.body.authenticated else "false",
        "RawMessageDelivery": "false",
        **given,
    }
    if "FilterPolicy" in given:
        shown.setdefault("FilterPolicyScope", "MessageAttributes")
    if found.protocol in ("http", "https"):
        topic = topics.existing(reader, found.topic)
        shown["EffectiveDeliveryPolicy"] = delivery_policies.shown_of_subscription(
            topic.body.attributes.get("DeliveryPolicy"), given.get("DeliveryPolicy")
        )
    return {"Attributes": shown}


def set_subscription_attributes(call: Call, request: SetSubscriptionAttributesInputTypeDef, engines: Engines) -> Change:
    name, value = request["AttributeName"], request.get("AttributeValue", "")
    if name not in _KNOWN and name not in _UNSUPPORTED:
        raise invalid("AttributeName")

    def apply(tx: Transaction) -> dict[str, Any]:
        found = _own(tx, call, request["SubscriptionArn"], millis(engines.clock.time()))
        old = found.body.attributes
        found.body.attributes = settled(found.account, found.topic, found.protocol, old, {name: value})
        if "FilterPolicy" in found.body.attributes and "FilterPolicy" not in old:
            check_filters(tx, found.topic_id, found)
        subscriptions.save(tx, found)
        return {}

    return Change(apply)


def list_subscriptions(call: Call, request: ListSubscriptionsInputTypeDef, engines: Engines) -> dict[str, Any]:
    after = place(call, engines, request, ["subscriptions"]) or 0
    now = millis(engines.clock.time())
    found = subscriptions.of_account(engines.store.read, call.account, call.region, after, PAGE + 1, now)
    return _page(call, engines, found, ["subscriptions"])


def list_subscriptions_by_topic(
    call: Call, request: ListSubscriptionsByTopicInputTypeDef, engines: Engines
) -> dict[str, Any]:
    address = addressed(call, request["TopicArn"])
    listing = ["subscriptions", address.arn]
    after = place(call, engines, request, listing) or 0
    topic = topics.existing(engines.store.read, address)
    found = subscriptions.of_topic(engines.store.read, topic.id, after, PAGE + 1, millis(engines.clock.time()))
    return _page(call, engines, found, listing)


def _page(call: Call, engines: Engines, found: list[Subscription], listing: list[Any]) -> dict[str, Any]:
    page = [
        {
            "SubscriptionArn": "PendingConfirmation" if each.status is Status.PENDING else each.arn,
            "Owner": each.account,
            "Protocol": each.protocol,
            "Endpoint": endpoints.shown(each.endpoint),
            "TopicArn": each.topic.arn,
        }
        for each in found[:PAGE]
    ]
    output: dict[str, Any] = {"Subscriptions": page}
    if len(found) > PAGE:
        output["NextToken"] = next_token(call, engines, found[PAGE - 1].number, listing)
    return output
