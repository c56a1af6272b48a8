"""Subscribe, ConfirmSubscription and Unsubscribe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...errors import ServiceError, StorageError
from ...storage.state import Reader
from ...storage.store import Transaction
from ..engines import Engines
from . import attributes, endpoints, shipments, subscription_attributes, subscriptions, topics
from .common import addressed, addressed_subscription, invalid, is_signed, millis, not_authorized
from .shipments import Message
from .subscriptions import PASSING, Status, Subscription
from .topics import MESSAGE_BYTES, Topic

if TYPE_CHECKING:
    from types_boto3_sns.type_defs import (
        ConfirmSubscriptionInputTypeDef,
        SubscribeInputTypeDef,
        UnsubscribeInputTypeDef,
    )

SUBSCRIPTIONS = 12_500_000
FIFO_SUBSCRIPTIONS = 100
PENDING = 5000
_LONGEST_TOKEN = 1024
_PENDING_ARN = "pending confirmation"


def subscribe(call: Call, request: SubscribeInputTypeDef, engines: Engines) -> Change:
    address, protocol, endpoint = addressed(call, request["TopicArn"]), request["Protocol"], request.get("Endpoint", "")
    confirmed = endpoints.check(call, engines, address, protocol, endpoint)
    wanted = subscription_attributes.given_at_subscription(
        call.account, address, protocol, dict(request.get("Attributes", {}))
    )
    id_, message_id = engines.ids.uuid(), engines.ids.uuid()

    def apply(tx: Transaction) -> dict[str, Any]:
        topic, now = topics.existing(tx, address), millis(engines.clock.time())
        subscriptions.forget_passed(tx, now)
        found = subscriptions.of_endpoint(tx, topic.id, protocol, endpoint)
        if found is not None:
            _check_same(found, wanted)
            if found.status is Status.PENDING and confirmed:  # the endpoint's owner asks for it himself
                found.status, found.changed, found.account = Status.CONFIRMED, now, call.account
                found.body.authenticated = found.body.protected = True
                subscriptions.save(tx, found)
        else:
            found = Subscription(
                id_, 0, topic.id, address, call.account, protocol, endpoint,
                Status.CONFIRMED if confirmed else Status.PENDING, now,
                subscriptions.Body(call.identity.arn, wanted, authenticated=confirmed, protected=confirmed),
            )  # fmt: skip
            _check_limits(tx, topic, found, now)
            subscriptions.add(tx, found)
        if found.status is Status.PENDING:
            message = _asking(engines, message_id, found, "SubscriptionConfirmation", now)
            shipments.post_request(tx, engines.outbox, topic, found, "SubscriptionConfirmation", message)
            if not request.get("ReturnSubscriptionArn", False):
                return {"SubscriptionArn": _PENDING_ARN}
        return {"SubscriptionArn": found.arn}

    return Change(apply)


def _check_same(found: Subscription, wanted: dict[str, str]) -> None:
    defaults = {"RawMessageDelivery": "false", "FilterPolicyScope": "MessageAttributes"}
    has = {**defaults, **found.body.attributes}
    if any(has.get(name) != value for name, value in wanted.items()):
        raise invalid("Attributes Reason: Subscription already exists with different attributes")


def _check_limits(reader: Reader, topic: Topic, new: Subscription, now: int) -> None:
    counts = subscriptions.counts(reader, topic.id, now)
    there = counts[Status.CONFIRMED] + counts[Status.PENDING]
    most = FIFO_SUBSCRIPTIONS if topic.fifo else SUBSCRIPTIONS
    if there >= most:
        raise ServiceError("SubscriptionLimitExceededException", f"A topic has at most {most} subscriptions")
    if counts[Status.PENDING] >= PENDING and new.status is Status.PENDING:
        raise ServiceError(
            "SubscriptionLimitExceededException", f"A topic has at most {PENDING} subscriptions pending confirmation"
        )
    if topic.message_bytes > MESSAGE_BYTES and (
        there >= attributes.LARGE_SUBSCRIPTIONS or new.protocol not in attributes.LARGE_PROTOCOLS
    ):
        raise invalid(
            f"Protocol Reason: a topic whose MaximumMessageSize is above {MESSAGE_BYTES} has at most "
            f"{attributes.LARGE_SUBSCRIPTIONS} subscriptions, each of protocol sqs, lambda or firehose"
        )
    if "FilterPolicy" in new.body.attributes:
        subscription_attributes.check_filters(reader, topic.id, new)


# Tokens


class _Token(msgspec.Struct, array_like=True):
    subscription: str
    expires: int
    #: What it does: confirm a subscription, or take back that one was deleted.
    restores: bool


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Token).decode


def _context(topic_arn: str) -> str:
    return f"SNS token for {topic_arn}"


def _asking(engines: Engines, message_id: str, of: Subscription, kind: shipments.Kind, now: int) -> Message:
    """A message that carries a token. Nobody but who gets the message knows it; the store does not need to."""
    token = _Token(of.id, now + PASSING, kind == "UnsubscribeConfirmation")
    sealed = engines.sealer.seal(_encode(token), _context(of.topic.arn))
    return Message(message_id, now, "", token=sealed.hex())


def _opened(engines: Engines, token: str, topic_arn: str) -> _Token:
    try:
        if len(token) > _LONGEST_TOKEN:
            raise ValueError(token)
        return _decode(engines.sealer.open(bytes.fromhex(token), _context(topic_arn)))
    except (ValueError, StorageError, msgspec.DecodeError):
        raise invalid("Token") from None


def confirm_subscription(call: Call, request: ConfirmSubscriptionInputTypeDef, engines: Engines) -> Change:
    address = addressed(call, request["TopicArn"])
    token = _opened(engines, request["Token"], address.arn)
    protect = request.get("AuthenticateOnUnsubscribe", "false").lower() == "true"
    signed = is_signed(call)
    if protect and not signed:
        raise not_authorized(call, address.arn)

    def apply(tx: Transaction) -> dict[str, Any]:
        topic, now = topics.existing(tx, address), millis(engines.clock.time())
        subscriptions.forget_passed(tx, now)
        found = subscriptions.any_status(tx, token.subscription)
        if found is None or found.topic_id != topic.id or token.expires <= now:
            raise invalid("Token")
        if found.status is Status.CONFIRMED:
            return {"SubscriptionArn": found.arn}
        if found.status is Status.DELETED:
            again = subscriptions.of_endpoint(tx, topic.id, found.protocol, found.endpoint)
            if not token.restores or again is not None:
                raise invalid("Token")
        found.status, found.changed = Status.CONFIRMED, now
        found.body.authenticated, found.body.protected = signed, protect
        subscriptions.save(tx, found)
        return {"SubscriptionArn": found.arn}

    return Change(apply)


def unsubscribe(call: Call, request: UnsubscribeInputTypeDef, engines: Engines) -> Change:
    address, id_ = addressed_subscription(call, request["SubscriptionArn"])
    signed = is_signed(call)
    message_id = engines.ids.uuid()

    def apply(tx: Transaction) -> dict[str, Any]:
        topic, now = topics.find(tx, address), millis(engines.clock.time())
        found = subscriptions.find(tx, address, id_, now)
        if topic is None or found is None:
            return {}
        if found.body.protected if not signed else call.account not in (found.account, address.account):
            raise not_authorized(call, found.arn)
        if found.status is Status.PENDING:
            raise invalid("SubscriptionArn Reason: a subscription that is pending confirmation cannot be deleted")
        found.status, found.changed = Status.DELETED, now
        subscriptions.save(tx, found)
        by_stranger = not signed or call.account != found.account
        if by_stranger and found.protocol in ("http", "https", "email", "email-json"):
            message = _asking(engines, message_id, found, "UnsubscribeConfirmation", now)
            shipments.post_request(tx, engines.outbox, topic, found, "UnsubscribeConfirmation", message)
        return {}

    return Change(apply)
