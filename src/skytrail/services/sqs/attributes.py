"""Queues' attributes: what may be set, and what is told of a queue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.state import Reader
from ...storage.store import Transaction
from ...wire import arns
from ..engines import Engines
from . import messages, policies, queues
from .common import Address, addressed, invalid, millis
from .queues import DEFAULTS, FIFO_DEFAULTS, Queue
from .waiting import lobby_of

if TYPE_CHECKING:
    from types_boto3_sqs.type_defs import GetQueueAttributesRequestTypeDef, SetQueueAttributesRequestTypeDef

_RANGES = {
    "DelaySeconds": (0, 900),
    "KmsDataKeyReusePeriodSeconds": (60, 86400),
    "MaximumMessageSize": (1024, 1048576),
    "MessageRetentionPeriod": (60, 1209600),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "VisibilityTimeout": (0, 43200),
}
_CHOICES = {
    "ContentBasedDeduplication": ("true", "false"),
    "DeduplicationScope": ("messageGroup", "queue"),
    "FifoQueue": ("true",),
    "FifoThroughputLimit": ("perQueue", "perMessageGroupId"),
    "SqsManagedSseEnabled": ("true", "false"),
}
#: Documents: an empty one takes the attribute away.
_DOCUMENTS = frozenset({"Policy", "RedriveAllowPolicy", "RedrivePolicy", "KmsMasterKeyId"})
_OF_FIFO = frozenset({"FifoQueue", *FIFO_DEFAULTS})
_COUNTED = {
    "ApproximateNumberOfMessages": 0,
    "ApproximateNumberOfMessagesNotVisible": 1,
    "ApproximateNumberOfMessagesDelayed": 2,
}
_TOLD = frozenset({"CreatedTimestamp", "LastModifiedTimestamp", "QueueArn", *_COUNTED})
_SOURCES = 10
_RECEIVES = 1000


def get_queue_attributes(call: Call, request: GetQueueAttributesRequestTypeDef, engines: Engines) -> dict[str, Any]:
    reader = engines.store.read
    queue = queues.existing(reader, addressed(call, request["QueueUrl"]))
    names: list[str] = list(request.get("AttributeNames", ()))
    known = _RANGES.keys() | _CHOICES.keys() | _DOCUMENTS | _TOLD | {"All"}
    for name in names:
        if name not in known:
            raise unknown(name)
    if not names:
        return {}
    told = _told(queue)
    wanted = set(told) | _COUNTED.keys() if "All" in names else set(names)
    if wanted & _COUNTED.keys():
        numbers = messages.numbers(reader, queue, millis(engines.clock.time()))
        told.update({name: str(numbers[place]) for name, place in _COUNTED.items()})
    return {"Attributes": {name: value for name, value in told.items() if name in wanted}}


def _told(queue: Queue) -> dict[str, str]:
    told = {
        "QueueArn": queue.address.arn,
        "CreatedTimestamp": str(queue.body.created // 1000),
        "LastModifiedTimestamp": str(queue.body.modified // 1000),
        **DEFAULTS,
    }
    if queue.fifo:
        told.update({"FifoQueue": "true", **FIFO_DEFAULTS})
    return {**told, **queue.body.attributes}


def set_queue_attributes(call: Call, request: SetQueueAttributesRequestTypeDef, engines: Engines) -> Change:
    address, now = addressed(call, request["QueueUrl"]), millis(engines.clock.time())
    given: dict[str, str] = dict(request["Attributes"])  # type: ignore[arg-type]
    lobby = lobby_of(engines)

    def apply(tx: Transaction) -> dict[str, Any]:
        queue = queues.existing(tx, address)
        if "FifoQueue" in given:
            raise unknown("FifoQueue")
        old = dict(queue.body.attributes)
        queue.body.attributes = checked(tx, address, given, old)
        queue.body.modified = now
        queues.save(tx, queue)
        if queue.fifo and queue.body.attributes.get("DelaySeconds") != old.get("DelaySeconds"):
            messages.delay_anew(tx, queue)
        lobby.touch(address)
        return {}

    return Change(apply)


def unknown(name: str) -> ServiceError:
    return ServiceError("InvalidAttributeName", f"Unknown Attribute {name}.")


def _bad(name: str, why: str = "") -> ServiceError:
    return ServiceError(
        "InvalidAttributeValue", f"Invalid value for the parameter {name}.{f' Reason: {why}' if why else ''}"
    )


def checked(reader: Reader, address: Address, given: Mapping[str, str], old: Mapping[str, str]) -> dict[str, str]:
    """The queue's attributes with the given ones set, in one spelling each; or the error that AWS gives."""
    new = dict(old)
    fifo = address.name.endswith(".fifo")
    for name, value in given.items():
        if name in _OF_FIFO and not fifo:
            raise unknown(name)
        new[name] = _value(name, value)
        if name in _DOCUMENTS:
            if not value:
                del new[name]
            else:
                new[name] = _document(reader, address, name, value)
    if new.get("FifoThroughputLimit") == "perMessageGroupId" and new.get("DeduplicationScope") != "messageGroup":
        raise _bad(
            "FifoThroughputLimit",
            "The perMessageGroupId value is allowed only when the value for DeduplicationScope is messageGroup.",
        )
    new.pop("FifoQueue", None)
    return new


def _value(name: str, value: str) -> str:
    if name in _RANGES:
        least, most = _RANGES[name]
        if not (value.isascii() and value.isdigit() and len(value) <= 10 and least <= int(value) <= most):
            raise _bad(name)
        return str(int(value))
    if name in _CHOICES:
        spelt = value if value in _CHOICES[name] else value.lower()
        if spelt not in _CHOICES[name]:
            raise _bad(name)
        return spelt
    if name not in _DOCUMENTS:
        raise unknown(name)
    return value


def _document(reader: Reader, address: Address, name: str, value: str) -> str:
    match name:
        case "Policy":
            policies.check(value)
        case "RedrivePolicy":
            _check_redrive_policy(reader, address, value)
        case "RedriveAllowPolicy":
            _check_redrive_allow_policy(value)
        case _:
            raise ServiceError(
                "UnsupportedOperation",
                "KmsMasterKeyId is not supported: the messages would not be encrypted under that key.",
            )
    return value


# Dead letters


def _map(name: str, value: str) -> dict[str, Any]:
    words = "Redrive policy" if name == "RedrivePolicy" else "Redrive allow policy"
    try:
        document = orjson.loads(value)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        raise invalid(value, name, f"{words} is not a valid JSON map.")
    return document


def _check_redrive_policy(reader: Reader, address: Address, value: str) -> None:
    def wrong(reason: str) -> ServiceError:
        return invalid(value, "RedrivePolicy", reason)

    document = _map("RedrivePolicy", value)
    for name in ("deadLetterTargetArn", "maxReceiveCount"):
        if name not in document:
            raise wrong(f"Redrive policy does not contain mandatory attribute: {name}.")
    _only(document, ("deadLetterTargetArn", "maxReceiveCount"), "RedrivePolicy", value)
    count = document["maxReceiveCount"]
    text = str(count)
    if isinstance(count, bool) or not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= _RECEIVES:
        raise wrong(
            f"Invalid value for maxReceiveCount: {count}, valid values are from 1 to {_RECEIVES} both inclusive."
        )
    try:
        arn = arns.parse(str(document["deadLetterTargetArn"]))
    except ValueError:
        raise wrong("Invalid value for deadLetterTargetArn.") from None
    target = Address(arn.account, arn.region, arn.resource)
    if target == address:
        raise wrong("A queue cannot be its own dead-letter queue.")
    if (arn.service, target.account, target.region) != ("sqs", address.account, address.region):
        raise wrong("Dead-letter queue must be in the same account and Region as the source.")
    queue = queues.find(reader, target)
    if queue is None:
        raise wrong("Dead letter target does not exist.")
    if queue.fifo != address.name.endswith(".fifo"):
        raise wrong("Dead-letter queue must be same type of queue as the source.")
    if not _may_redrive(queue, address):
        raise wrong("The redrive allow policy of the dead-letter queue does not permit this source queue.")


def _may_redrive(target: Queue, source: Address) -> bool:
    policy = target.body.attributes.get("RedriveAllowPolicy")
    if policy is None:
        return True
    document = orjson.loads(policy)
    permission = document["redrivePermission"]
    return bool(permission == "allowAll" or (permission == "byQueue" and source.arn in document["sourceQueueArns"]))


def _check_redrive_allow_policy(value: str) -> None:
    def wrong(reason: str) -> ServiceError:
        return invalid(value, "RedriveAllowPolicy", reason)

    document = _map("RedriveAllowPolicy", value)
    _only(document, ("redrivePermission", "sourceQueueArns"), "RedriveAllowPolicy", value)
    permission, sources = document.get("redrivePermission"), document.get("sourceQueueArns")
    if permission not in ("allowAll", "denyAll", "byQueue"):
        raise wrong(
            "Amazon SQS can't create the redrive allow policy: redrivePermission is allowAll, denyAll or byQueue."
        )
    if (permission == "byQueue") != (sources is not None):
        raise wrong("sourceQueueArns is given where redrivePermission is byQueue, and only there.")
    if sources is not None and (
        not isinstance(sources, list)
        or not 1 <= len(sources) <= _SOURCES
        or not all(isinstance(arn, str) and arn.startswith("arn:") for arn in sources)
    ):
        raise wrong(f"sourceQueueArns holds 1 to {_SOURCES} ARNs.")


def _only(document: Mapping[str, Any], known: Iterable[str], name: str, value: str) -> None:
    strange = sorted(document.keys() - set(known))
    if strange:
        raise invalid(value, name, f"Unknown attribute: {strange[0]}.")
