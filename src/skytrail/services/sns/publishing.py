"""Publish and PublishBatch."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.store import Transaction
from ..engines import Engines
from . import message_attributes, shipments, topics
from .common import addressed, invalid, millis
from .shipments import Message
from .topics import Topic

if TYPE_CHECKING:
    from types_boto3_sns.type_defs import PublishBatchInputTypeDef, PublishInputTypeDef

BATCH = 10
#: A message with a deduplication id that was published within so long is not delivered again.
DEDUPLICATED = 300_000
#: Sequence numbers have twenty digits, and are not consecutive.
_FIRST_SEQUENCE, _STEP = 10**19, 1000
_SUBJECT = 100
_ENTRY_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_FIFO_ID = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}")
_PROTOCOLS = frozenset({"default", "email", "email-json", "http", "https", "lambda", "sqs"})
#: The errors' names as answers spell them.
_CODES = {"InvalidParameterException": "InvalidParameter", "InvalidParameterValueException": "ParameterValueInvalid"}


class _Draft:
    """A message before it meets its topic, and its size."""

    __slots__ = ("message", "size")

    def __init__(self, call: Call, engines: Engines, request: Any) -> None:
        text: str = request["Message"]
        if not text:
            raise invalid("Empty message")
        subject: str | None = request.get("Subject")
        if subject is not None and (not 0 < len(subject) <= _SUBJECT or not _is_line(subject)):
            raise invalid("Subject")
        attributes = message_attributes.read(request.get("MessageAttributes", {}))
        texts = _texts(text) if request.get("MessageStructure") else None
        if texts is not None and request["MessageStructure"] != "json":
            raise invalid("Message Structure")
        for name in ("MessageGroupId", "MessageDeduplicationId"):
            if name in request and not _FIFO_ID.fullmatch(request[name]):
                raise invalid(
                    f"{name} Reason: {name} can only include alphanumeric and punctuation characters. "
                    "1 to 128 in length"
                )
        self.size = len(text.encode()) + message_attributes.size(attributes)
        self.message = Message(
            engines.ids.uuid(),
            0,
            text if texts is None else texts["default"],
            texts,
            subject,
            attributes,
            request.get("MessageGroupId"),
            request.get("MessageDeduplicationId"),
            trace=call.request.headers.get("x-amzn-trace-id"),
        )


def _is_line(text: str) -> bool:
    return not any(ord(character) < 32 or ord(character) in (127, 0x85, 0x2028, 0x2029) for character in text)


def _texts(text: str) -> dict[str, str]:
    """What each protocol gets of a message with a structure."""
    try:
        tree = json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError):
        raise invalid("Message Structure - JSON message body failed to parse") from None
    if not isinstance(tree, dict):
        raise invalid("Message Structure - JSON message body failed to parse")
    if not isinstance(tree.get("default"), str):
        raise invalid("Message Structure - No default entry in JSON message body")
    return {name: value for name, value in tree.items() if name in _PROTOCOLS and isinstance(value, str)}


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise ValueError("a key is given twice")
    return tree


def publish(call: Call, request: PublishInputTypeDef, engines: Engines) -> Change:
    if "PhoneNumber" in request:
        raise invalid("PhoneNumber Reason: SMS is not supported")
    targets = [name for name in ("TopicArn", "TargetArn") if name in request]
    if len(targets) != 1:
        raise invalid("TopicArn or TargetArn Reason: no value for required parameter" if not targets else "TargetArn")
    arn: str = request[targets[0]]
    if ":endpoint/" in arn or ":app/" in arn:
        raise invalid("TargetArn Reason: mobile push is not supported")
    address, draft = addressed(call, arn, targets[0]), _Draft(call, engines, request)

    def apply(tx: Transaction) -> dict[str, Any]:
        topic, now = topics.existing(tx, address), millis(engines.clock.time())
        if draft.size > topic.message_bytes:
            raise invalid("Message too long")
        new, answer = _accept(tx, topic, draft.message, now)
        shipments.post(tx, engines.outbox, topic, [new] if new is not None else [])
        return answer

    return Change(apply)


def publish_batch(call: Call, request: PublishBatchInputTypeDef, engines: Engines) -> Change:
    address, entries = addressed(call, request["TopicArn"]), request["PublishBatchRequestEntries"]
    _check_batch(entries)
    drafts: list[tuple[str, _Draft]] = []
    failed: list[dict[str, Any]] = []
    for entry in entries:
        try:
            drafts.append((entry["Id"], _Draft(call, engines, entry)))
        except ServiceError as error:
            failed.append(_failure(entry["Id"], error))

    def apply(tx: Transaction) -> dict[str, Any]:
        topic, now = topics.existing(tx, address), millis(engines.clock.time())
        if sum(draft.size for _, draft in drafts) > topic.message_bytes:
            raise ServiceError(
                "BatchRequestTooLongException", "The length of all the messages put together is more than the limit."
            )
        new: list[Message] = []
        successful: list[dict[str, Any]] = []
        refused = list(failed)
        for name, draft in drafts:
            try:
                message, answer = _accept(tx, topic, draft.message, now)
            except ServiceError as error:
                refused.append(_failure(name, error))
                continue
            successful.append({"Id": name, **answer})
            if message is not None:
                new.append(message)
        shipments.post(tx, engines.outbox, topic, new)
        return {"Successful": successful, "Failed": refused}

    return Change(apply)


def _check_batch(entries: Any) -> None:
    if not entries:
        raise ServiceError("EmptyBatchRequestException", "The batch request doesn't contain any entries.")
    if len(entries) > BATCH:
        raise ServiceError(
            "TooManyEntriesInBatchRequestException", "The batch request contains more entries than permissible."
        )
    names = [entry["Id"] for entry in entries]
    if not all(_ENTRY_ID.fullmatch(name) for name in names):
        raise ServiceError(
            "InvalidBatchEntryIdException",
            "The Id of a batch entry in a batch request doesn't abide by the specification.",
        )
    if len(set(names)) != len(names):
        raise ServiceError(
            "BatchEntryIdsNotDistinctException", "Two or more batch entries in the request have the same Id."
        )


def _failure(name: str, error: ServiceError) -> dict[str, Any]:
    return {
        "Id": name,
        "Code": _CODES.get(error.code, error.code),
        "Message": error.message or "",
        "SenderFault": True,
    }


def _accept(tx: Transaction, topic: Topic, message: Message, now: int) -> tuple[Message | None, dict[str, Any]]:
    """The message as it goes out, None where it went out before; and what is answered of it."""
    message.published = now
    if not topic.fifo:
        if message.deduplication_id is not None:
            raise invalid(
                "MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not "
                "valid for this topic type"
            )
        return message, {"MessageId": message.id}
    if message.group is None:
        raise invalid("The MessageGroupId parameter is required for FIFO topics")
    if message.deduplication_id is None:
        if topic.body.attributes.get("ContentBasedDeduplication") != "true":
            raise invalid(
                "The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided "
                "explicitly"
            )
        message.deduplication_id = _digest(message)
    scope = message.group if topic.body.attributes.get("FifoThroughputScope") == "MessageGroup" else ""
    known = topics.published(tx, topic, scope, message.deduplication_id, now)
    if known is not None:
        return None, {"MessageId": known[0], "SequenceNumber": sequence_number(known[1])}
    message.sequence = topics.next_sequence(tx, topic)
    topics.note_published(tx, topic, scope, message.deduplication_id, now + DEDUPLICATED, message.id, message.sequence)
    return message, {"MessageId": message.id, "SequenceNumber": sequence_number(message.sequence)}


def _digest(message: Message) -> str:
    """Of the body, without its attributes."""
    body = message.text if message.texts is None else json.dumps(message.texts, sort_keys=True)
    return hashlib.sha256(body.encode()).hexdigest()


def sequence_number(sequence: int) -> str:
    return str(_FIRST_SEQUENCE + sequence * _STEP)
