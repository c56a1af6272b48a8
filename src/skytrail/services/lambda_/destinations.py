"""What becomes of an asynchronous invocation, told to a queue, a topic, a function or an event bus."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import orjson

from ...errors import ServiceError
from ...storage.store import Transaction
from ...wire import arns
from ...work.outbox import Parcel
from ..engines import Engines
from . import roles
from .common import PRINCIPAL, iso
from .functions import Version
from .naming import Target

LANE = "lambda:destination"
TRIES = 5
#: Errors that trying again does not mend: what stands in the way is a permission, a name, a size.
_FINAL = frozenset(
    {"AccessDenied", "AccessDeniedException", "InvalidParameterValue", "InvalidParameterValueException", "NotFound",
     "NotFoundException", "NotImplemented", "QueueDoesNotExist", "RequestTooLargeException",
     "ResourceNotFoundException", "ValidationException"}
)  # fmt: skip

_log = logging.getLogger(__name__)


class Told(msgspec.Struct, frozen=True):
    """An event, and what came of it."""

    target: Target
    version: Version
    id: str
    payload: bytes
    tries: int
    error: str = ""
    #: What the function answered; None where it was not tried.
    answer: bytes | None = None


class Message(msgspec.Struct, frozen=True):
    """A message on its way to its destination, with the permissions of the function's role."""

    of: Target
    role: str
    destination: str
    body: str
    detail_type: str = ""
    #: Of a dead letter: names -> (data type, value).
    attributes: dict[str, tuple[str, str]] = {}


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Message).decode


def record(told: Told, condition: str, destination: str, now: float) -> Message:
    document: dict[str, Any] = {
        "version": "1.0",
        "timestamp": iso(now),
        "requestContext": {
            "requestId": told.id,
            "functionArn": told.target.at(told.target.qualifier or "$LATEST").qualified,
            "condition": condition,
            "approximateInvokeCount": told.tries,
        },
        "requestPayload": _json(told.payload),
    }
    if told.answer is not None:
        context: dict[str, Any] = {"statusCode": 200, "executedVersion": told.version.label}
        if told.error:
            context["functionError"] = told.error
        document["responseContext"] = context
        document["responsePayload"] = _json(told.answer)
    outcome = "Success" if condition == "Success" else "Failure"
    return Message(
        told.target,
        told.version.role,
        destination,
        orjson.dumps(document).decode(),
        f"Lambda Function Invocation Result - {outcome}",
    )


def dead_letter(told: Told) -> Message:
    """The event itself; why it failed is in the message's attributes."""
    message = "The event was not tried."
    if told.answer is not None:
        answer = _json(told.answer)
        text = answer.get("errorMessage") if isinstance(answer, dict) else None
        message = str(text if text is not None else answer)
    attributes = {
        "RequestID": ("String", told.id),
        "ErrorCode": ("Number", "200"),
        "ErrorMessage": ("String", message.encode()[:1024].decode("utf-8", "ignore") or "-"),
    }
    body = told.payload.decode("utf-8", "replace")
    return Message(told.target, told.version.role, told.version.dead_letter, body, attributes=attributes)


def _json(data: bytes) -> Any:
    try:
        return orjson.loads(data) if data else None
    except orjson.JSONDecodeError:
        return data.decode("utf-8", "replace")


def post(tx: Transaction, engines: Engines, message: Message) -> None:
    engines.outbox.post(tx, LANE, _encode(message))


def open_lane(engines: Engines) -> None:
    async def deliver(parcel: Parcel) -> None:
        await send(engines, _decode(parcel.body))

    def delay(parcel: Parcel, error: Exception) -> float | None:
        final = isinstance(error, ServiceError) and error.code in _FINAL
        return None if final or parcel.attempts >= TRIES else 2.0**parcel.attempts

    async def give_up(parcel: Parcel, error: Exception) -> None:
        message = _decode(parcel.body)
        _log.warning("%s could not tell %s: %s", message.of.arn, message.destination, error)

    engines.outbox.lane(LANE, deliver, delay, give_up)


async def send(engines: Engines, message: Message) -> None:
    arn = arns.parse(message.destination)
    caller = roles.caller(engines, message.of, await roles.credentials(engines, message.of, message.role))
    operation, parameters = _asked(message, arn)
    await engines.internal.forward(caller, arn.service, operation, parameters, by=PRINCIPAL, region=arn.region)


def _asked(message: Message, arn: arns.Arn) -> tuple[str, dict[str, Any]]:
    attributes = {name: {"DataType": kind, "StringValue": value} for name, (kind, value) in message.attributes.items()}
    more = {"MessageAttributes": attributes} if attributes else {}
    if arn.service == "sqs":
        url = f"https://sqs.{arn.region}.amazonaws.com/{arn.account}/{arn.resource}"
        return "SendMessage", {"QueueUrl": url, "MessageBody": message.body, **more}
    if arn.service == "sns":
        return "Publish", {"TopicArn": message.destination, "Message": message.body, **more}
    if arn.service == "lambda":
        return "Invoke", {
            "FunctionName": message.destination,
            "InvocationType": "Event",
            "Payload": message.body.encode(),
        }
    entry = {
        "Source": "lambda",
        "DetailType": message.detail_type,
        "Detail": message.body,
        "EventBusName": message.destination,
        "Resources": [message.destination, message.of.arn],
    }
    return "PutEvents", {"Entries": [entry]}
