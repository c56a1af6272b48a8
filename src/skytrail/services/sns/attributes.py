"""Topics' attributes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.store import Transaction
from ..engines import Engines
from . import delivery_policies, policies, subscriptions, topics
from .common import Address, addressed, invalid, millis
from .subscriptions import Status
from .topics import MESSAGE_BYTES

if TYPE_CHECKING:
    from types_boto3_sns.type_defs import GetTopicAttributesInputTypeDef, SetTopicAttributesInputTypeDef

_SMALLEST, _LARGEST = 1024, 1_048_576
#: A topic of larger messages has no more subscriptions than these, and of these protocols only.
LARGE_SUBSCRIPTIONS = 100
LARGE_PROTOCOLS = frozenset({"sqs", "lambda"})
_FEEDBACK = re.compile(
    r"(HTTP|Firehose|Lambda|Application|SQS)(SuccessFeedbackRoleArn|SuccessFeedbackSampleRate|FailureFeedbackRoleArn)"
)
_OF_FIFO = frozenset({"ContentBasedDeduplication", "FifoThroughputScope", "ArchivePolicy"})
_CHOICES = {
    "ContentBasedDeduplication": ("true", "false"),
    "FifoThroughputScope": ("Topic", "MessageGroup"),
    "SignatureVersion": ("1", "2"),
}
#: What has no effect here is not taken: its attribute, and why.
_UNSUPPORTED = {
    "ArchivePolicy": "messages are not archived",
    "KmsMasterKeyId": "messages would not be encrypted under that key",
    "DataProtectionPolicy": "messages are not inspected",
}


def get_topic_attributes(call: Call, request: GetTopicAttributesInputTypeDef, engines: Engines) -> dict[str, Any]:
    reader = engines.store.read
    topic = topics.existing(reader, addressed(call, request["TopicArn"]))
    given = topic.body.attributes
    counts = subscriptions.counts(reader, topic.id, millis(engines.clock.time()))
    shown = {
        "TopicArn": topic.arn,
        "Owner": topic.address.account,
        "DisplayName": "",
        "Policy": policies.default(topic.address),
        "SubscriptionsConfirmed": str(counts[Status.CONFIRMED]),
        "SubscriptionsPending": str(counts[Status.PENDING]),
        "SubscriptionsDeleted": str(counts[Status.DELETED]),
        "EffectiveDeliveryPolicy": delivery_policies.shown_of_topic(given.get("DeliveryPolicy")),
    }
    if topic.fifo:
        shown |= {"FifoTopic": "true", "ContentBasedDeduplication": "false", "FifoThroughputScope": "Topic"}
    return {"Attributes": {**shown, **given}}


def set_topic_attributes(call: Call, request: SetTopicAttributesInputTypeDef, engines: Engines) -> Change:
    address, name = addressed(call, request["TopicArn"]), request["AttributeName"]
    value = request.get("AttributeValue", "")
    if name == "FifoTopic":
        raise invalid("AttributeName")
    kept = checked(address, name, value, "AttributeName", "AttributeValue Reason: ")

    def apply(tx: Transaction) -> dict[str, Any]:
        topic = topics.existing(tx, address)
        if name == "MaximumMessageSize" and kept is not None and int(kept) > MESSAGE_BYTES:
            _check_fits_large(subscriptions.confirmed(tx, topic.id, 0, LARGE_SUBSCRIPTIONS + 1))
        if kept is None:
            topic.body.attributes.pop(name, None)
        else:
            topic.body.attributes[name] = kept
        topics.save(tx, topic)
        return {}

    return Change(apply)


def _check_fits_large(found: list[subscriptions.Subscription]) -> None:
    if len(found) > LARGE_SUBSCRIPTIONS or any(each.protocol not in LARGE_PROTOCOLS for each in found):
        raise invalid(
            f"MaximumMessageSize Reason: above {MESSAGE_BYTES} a topic must have {LARGE_SUBSCRIPTIONS} or fewer "
            "subscriptions, each of protocol sqs, lambda or firehose"
        )


def created_with(address: Address, given: Mapping[str, str]) -> dict[str, str]:
    """The attributes that CreateTopic is given, but for FifoTopic, which the name tells."""
    attributes = {}
    for name, value in given.items():
        if name != "FifoTopic":
            kept = checked(address, name, value, f"Attributes Reason: Unknown attribute {name}", "Attributes Reason: ")
            if kept is not None:
                attributes[name] = kept
    return attributes


def checked(address: Address, name: str, value: str, unknown: str, prefix: str) -> str | None:
    """What is kept of an attribute's value; None where that is nothing: the default."""
    refused = "the status of deliveries is not logged" if _FEEDBACK.fullmatch(name) else _UNSUPPORTED.get(name)
    if refused is not None:
        # Nothing, and the logs of no delivery in a hundred, is what there is.
        if not value or (name.endswith("SampleRate") and value == "0"):
            return None
        raise unsupported(name, refused)
    if name in _OF_FIFO and not address.fifo:
        raise invalid(f"{prefix}{name} is only supported for FIFO topics")
    if name in _CHOICES:
        spelt = value.lower() if name == "ContentBasedDeduplication" else value
        if spelt not in _CHOICES[name]:
            raise invalid(f"{prefix}{name} must be one of {', '.join(_CHOICES[name])}")
        return spelt
    return _document(name, value, unknown, prefix)


def unsupported(what: str, why: str) -> ServiceError:
    return invalid(f"{what} is not supported: {why}")


def _document(name: str, value: str, unknown: str, prefix: str) -> str | None:
    match name:
        case "DisplayName":
            if len(value) > 100 or any(ord(character) < 32 for character in value):
                raise invalid(f"{prefix}DisplayName")
            return value or None
        case "Policy":
            policies.check(value)
            return value
        case "DeliveryPolicy":
            if value:
                delivery_policies.check_topic(value)
            return value or None
        case "MaximumMessageSize":
            if not (value.isascii() and value.isdigit() and len(value) <= 7 and _SMALLEST <= int(value) <= _LARGEST):
                raise invalid(f"{prefix}MaximumMessageSize must be between {_SMALLEST} and {_LARGEST}")
            return str(int(value))
        case "TracingConfig":
            if value == "Active":
                raise unsupported("TracingConfig Active", "no traces are written")
            if value not in ("PassThrough", ""):
                raise invalid(f"{prefix}TracingConfig must be PassThrough or Active")
            return value or None
        case _:
            raise invalid(unknown)
