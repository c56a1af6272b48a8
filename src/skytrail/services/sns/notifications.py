"""Messages as their receivers see them, and what of them is signed."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from .common import timestamp
from .publishing import sequence_number
from .shipments import Attribute, Kind, Message
from .subscriptions import Subscription
from .topics import Topic

Fields = list[tuple[str, Any]]

_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
_SIGNED["UnsubscribeConfirmation"] = _SIGNED["SubscriptionConfirmation"]


@dataclass(slots=True, frozen=True)
class Letter:
    """A message for one subscription, before it is signed."""

    kind: Kind
    topic: Topic
    subscription: Subscription
    message: Message
    #: The server's own address, for the links.
    url: str

    @property
    def text(self) -> str:
        """The message itself, which is all of a raw one."""
        arn = self.topic.arn
        match self.kind:
            case "SubscriptionConfirmation":
                return (
                    f"You have chosen to subscribe to the topic {arn}.\n"
                    "To confirm the subscription, visit the SubscribeURL included in this message."
                )
            case "UnsubscribeConfirmation":
                return (
                    f"You have chosen to deactivate subscription {self.subscription.arn}.\n"
                    "To cancel this operation and restore the subscription, visit the SubscribeURL included in this "
                    "message."
                )
            case _:
                return self.message.text_for(self.subscription.protocol)

    @property
    def confirmation_url(self) -> str:
        arn = quote(self.topic.arn, safe=":")
        return f"{self.url}/?Action=ConfirmSubscription&TopicArn={arn}&Token={self.message.token}"

    @property
    def unsubscribe_url(self) -> str:
        return f"{self.url}/?Action=Unsubscribe&SubscriptionArn={quote(self.subscription.arn, safe=':')}"

    @property
    def attributes(self) -> dict[str, Attribute]:
        """They go only with messages that have no structure."""
        return self.message.attributes if self.message.texts is None else {}

    def fields(self) -> Fields:
        """The message's members in their order, up to the signature."""
        message = self.message
        fields: Fields = [("Type", self.kind), ("MessageId", message.id)]
        if message.sequence:
            fields.append(("SequenceNumber", sequence_number(message.sequence)))
        if self.kind != "Notification":
            fields.append(("Token", message.token))
        fields.append(("TopicArn", self.topic.arn))
        if message.subject is not None:
            fields.append(("Subject", message.subject))
        fields.append(("Message", self.text))
        if self.kind != "Notification":
            fields.append(("SubscribeURL", self.confirmation_url))
        fields.append(("Timestamp", timestamp(message.published)))
        return fields

    def to_sign(self) -> bytes:
        members = dict(self.fields())
        return "".join(f"{name}\n{members[name]}\n" for name in _SIGNED[self.kind] if name in members).encode()


@dataclass(slots=True, frozen=True)
class Signature:
    version: str
    text: str
    certificate_url: str


def document(letter: Letter, signature: Signature) -> Fields:
    fields = letter.fields()
    fields += [
        ("SignatureVersion", signature.version),
        ("Signature", signature.text),
        ("SigningCertURL", signature.certificate_url),
    ]
    if letter.kind == "Notification":
        fields.append(("UnsubscribeURL", letter.unsubscribe_url))
        if letter.attributes:
            fields.append(("MessageAttributes", shown_attributes(letter.attributes)))
    return fields


def shown_attributes(attributes: dict[str, Attribute]) -> dict[str, Any]:
    return {
        name: {
            "Type": attribute.type,
            "Value": base64.b64encode(attribute.data).decode() if attribute.data else attribute.text,
        }
        for name, attribute in attributes.items()
    }


def dumps(fields: Sequence[tuple[str, Any]]) -> str:
    """A message's JSON, laid out as SNS lays it out."""
    lines = [f'  "{name}" : {_value(value)}' for name, value in fields]
    return "{\n" + ",\n".join(lines) + "\n}"


def _value(value: Any) -> str:
    if not isinstance(value, dict):
        return orjson.dumps(value).decode()
    lines = [f"    {orjson.dumps(name).decode()} : {orjson.dumps(each).decode()}" for name, each in value.items()]
    return "{\n" + ",\n".join(lines) + "\n  }"


def lambda_event(letter: Letter, signature: Signature) -> bytes:
    members = dict(document(letter, signature))
    members.setdefault("Subject", None)
    members["SigningCertUrl"] = members.pop("SigningCertURL")
    if letter.kind == "Notification":
        members["UnsubscribeUrl"] = members.pop("UnsubscribeURL")
        # Functions know strings and binary values only.
        members["MessageAttributes"] = {
            name: {**each, "Type": "Binary" if each["Type"].startswith("Binary") else "String"}
            for name, each in shown_attributes(letter.attributes).items()
        }
    record = {
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": letter.subscription.arn,
        "Sns": members,
    }
    return orjson.dumps({"Records": [record]})


def queue_attributes(letter: Letter) -> dict[str, dict[str, Any]]:
    """The attributes of a raw message, as a queue takes them."""
    return {
        name: {"DataType": each.type, "BinaryValue": each.data}
        if each.type.startswith("Binary")
        else {"DataType": each.type, "StringValue": each.text}
        for name, each in letter.attributes.items()
    }
