"""What is under way to subscriptions: messages, the parcels that they go in, and who gets which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import orjson

from ...storage.state import Reader
from ...storage.store import Transaction
from ...work.outbox import Outbox
from . import delivery_policies, subscriptions, topics
from .common import Address
from .subscriptions import Subscription
from .topics import Topic

#: The outbox's lanes.
QUEUES, FUNCTIONS, WEB, MAIL, FAN_OUT = "sns-sqs", "sns-lambda", "sns-http", "sns-mail", "sns-fan-out"
_LANES = {"sqs": QUEUES, "lambda": FUNCTIONS, "http": WEB, "https": WEB, "email": MAIL, "email-json": MAIL}
#: A call posts to no more subscriptions than these; a topic's others follow in transactions of their own.
AT_ONCE = 100

Kind = Literal["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"]


class Attribute(msgspec.Struct, array_like=True):
    type: str
    text: str = ""
    data: bytes = b""


class Message(msgspec.Struct, array_like=True):
    id: str
    #: When it was published, in milliseconds since 1970.
    published: int
    text: str
    #: Of a message with a structure: what the named protocols get instead.
    texts: dict[str, str] | None = None
    subject: str | None = None
    attributes: dict[str, Attribute] = {}
    group: str | None = None
    deduplication_id: str | None = None
    sequence: int = 0
    trace: str | None = None
    #: Of the messages that ask for a confirmation.
    token: str = ""

    def text_for(self, protocol: str) -> str:
        return self.text if self.texts is None else self.texts.get(protocol, self.text)


class Shipment(msgspec.Struct, array_like=True):
    """A parcel's contents: messages for one subscription, or ("") for all of the topic."""

    kind: Kind
    account: str
    region: str
    name: str
    subscription: str
    messages: list[Message]

    @property
    def topic(self) -> Address:
        return Address(self.account, self.region, self.name)


_encode = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder(Shipment).decode


def _pack(kind: Kind, topic: Address, subscription: str, messages: Sequence[Message]) -> bytes:
    return _encode(Shipment(kind, topic.account, topic.region, topic.name, subscription, list(messages)))


# Whom a message is for


class _View:
    """A message as filters see it; what is read for one subscription serves the others."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self._attributes: dict[str, Any] | None = None
        self._bodies: dict[str, Any] = {}

    @property
    def attributes(self) -> dict[str, Any]:
        if self._attributes is None:
            self._attributes = attribute_values(self.message.attributes)
        return self._attributes

    def body(self, protocol: str) -> Any:
        text = self.message.text_for(protocol)
        if text not in self._bodies:
            try:
                self._bodies[text] = orjson.loads(text)
            except orjson.JSONDecodeError:
                self._bodies[text] = None
        return self._bodies[text]

    def is_for(self, subscription: Subscription) -> bool:
        policy = subscription.filter
        if policy is None:
            return True
        if subscription.scope == "MessageBody":
            return policy.accepts(self.body(subscription.protocol))
        return policy.accepts(self.attributes)


def attribute_values(attributes: Mapping[str, Attribute]) -> dict[str, Any]:
    """Messages' attributes as a document for filters, which see no binary ones."""
    values: dict[str, Any] = {}
    for name, attribute in attributes.items():
        if attribute.type == "String.Array" or attribute.type.startswith("String.Array."):
            values[name] = orjson.loads(attribute.text)
        elif attribute.type.partition(".")[0] == "Number":
            values[name] = float(attribute.text)
        elif attribute.type.partition(".")[0] == "String":
            values[name] = attribute.text
    return values


# Posting


def post(tx: Transaction, outbox: Outbox, topic: Topic, messages: Sequence[Message]) -> None:
    """Post messages, published together, to all of a topic's subscriptions that want them."""
    if not messages:
        return
    found = subscriptions.confirmed(tx, topic.id, 0, AT_ONCE + 1)
    if len(found) > AT_ONCE:
        outbox.post(tx, FAN_OUT, _pack("Notification", topic.address, "", messages))
        return
    _post_to(tx, outbox, topic, found, messages)


def post_rest(tx: Transaction, outbox: Outbox, shipment: Shipment, after: int) -> int | None:
    """Post to the next of a topic's subscriptions; returns the number of the last, None where there are no more."""
    topic = topics.find(tx, shipment.topic)
    if topic is None:
        return None
    found = subscriptions.confirmed(tx, topic.id, after, AT_ONCE)
    _post_to(tx, outbox, topic, found, shipment.messages)
    return found[-1].number if len(found) == AT_ONCE else None


def _post_to(
    tx: Transaction, outbox: Outbox, topic: Topic, found: Sequence[Subscription], messages: Sequence[Message]
) -> None:
    views = [_View(message) for message in messages]
    for subscription in found:
        wanted = [view.message for view in views if view.is_for(subscription)]
        if not wanted:
            continue
        if topic.fifo:
            groups: dict[str | None, list[Message]] = {}
            for message in wanted:
                groups.setdefault(message.group, []).append(message)
            for group, together in groups.items():
                order = f"{subscription.id}:{group}"
                outbox.post(tx, QUEUES, _pack("Notification", topic.address, subscription.id, together), order=order)
        elif subscription.protocol == "sqs":
            outbox.post(tx, QUEUES, _pack("Notification", topic.address, subscription.id, wanted))
        else:
            for message in wanted:
                _post_one(tx, outbox, topic, subscription, "Notification", message)


def post_request(
    tx: Transaction, outbox: Outbox, topic: Topic, subscription: Subscription, kind: Kind, message: Message
) -> None:
    """Post a message that asks the endpoint to confirm."""
    _post_one(tx, outbox, topic, subscription, kind, message)


def _post_one(
    tx: Transaction, outbox: Outbox, topic: Topic, subscription: Subscription, kind: Kind, message: Message
) -> None:
    wait = 0.0
    if kind == "Notification" and subscription.protocol in ("http", "https"):
        throttle = effective_policy(topic, subscription).throttle
        if throttle is not None:
            gap = 1000 / throttle.max_receives_per_second
            wait = (subscriptions.take_turn(tx, subscription, message.published, gap) - message.published) / 1000
    body = _pack(kind, topic.address, subscription.id, [message])
    outbox.post(tx, _LANES[subscription.protocol], body, wait=wait)


def effective_policy(topic: Topic, subscription: Subscription) -> delivery_policies.Effective:
    return delivery_policies.effective(
        topic.body.attributes.get("DeliveryPolicy"), subscription.body.attributes.get("DeliveryPolicy")
    )


def found_for(reader: Reader, shipment: Shipment) -> tuple[Topic, Subscription] | None:
    """The topic and the subscription of a shipment, as they are now; None where nobody waits for it any more."""
    subscription = subscriptions.any_status(reader, shipment.subscription)
    topic = topics.find(reader, shipment.topic)
    if subscription is None or topic is None or subscription.topic_id != topic.id:
        return None
    wanted = {
        "Notification": subscriptions.Status.CONFIRMED,
        "SubscriptionConfirmation": subscriptions.Status.PENDING,
        "UnsubscribeConfirmation": subscriptions.Status.DELETED,
    }[shipment.kind]
    return (topic, subscription) if subscription.status is wanted else None
