"""SendMessage and SendMessageBatch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...call import Call, Change
from ...errors import ServiceError
from ...identity.principals import Identity
from ...storage.store import Transaction
from ..engines import Engines
from . import batches, message_attributes, messages, queues
from .common import addressed, invalid, millis, missing
from .messages import Draft
from .queues import Queue
from .waiting import lobby_of

if TYPE_CHECKING:
    from types_boto3_sqs.type_defs import SendMessageBatchRequestTypeDef, SendMessageRequestTypeDef

BATCH_BYTES = 1024 * 1024
#: A message with an id that was sent within so long is not stored again.
DEDUPLICATED = 300_000
_DELAY = 900
_ID = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}")
_WRONG_TYPE = "The request include parameter that is not valid for this queue type."


def send_message(call: Call, request: SendMessageRequestTypeDef, engines: Engines) -> Change:
    address = addressed(call, request["QueueUrl"])
    draft, size, answer = _draft(call, engines, request)
    lobby = lobby_of(engines)

    def apply(tx: Transaction) -> dict[str, Any]:
        queue = queues.existing(tx, address)
        _check_size(queue, size)
        _check_type(queue, draft)
        (sent,) = _store(tx, queue, millis(engines.clock.time()), [draft])
        lobby.touch(address)
        return {**answer, **sent}

    return Change(apply)


def send_message_batch(call: Call, request: SendMessageBatchRequestTypeDef, engines: Engines) -> Change:
    address, entries = addressed(call, request["QueueUrl"]), request["Entries"]
    batches.check(entries)
    drafts: dict[str, tuple[Draft, int, dict[str, Any]]] = {}
    failed: list[dict[str, Any]] = []
    total = 0
    for entry in entries:
        try:
            drafts[entry["Id"]] = found = _draft(call, engines, entry)
            total += found[1]
        except ServiceError as error:
            total += len(entry["MessageBody"].encode())
            failed.append(batches.failure(entry["Id"], error))
    if total > BATCH_BYTES:
        raise ServiceError(
            "BatchRequestTooLong",
            f"Batch requests cannot be longer than {BATCH_BYTES} bytes. You have sent {total} bytes.",
        )
    lobby = lobby_of(engines)

    def apply(tx: Transaction) -> dict[str, Any]:
        queue = queues.existing(tx, address)
        fine: list[str] = []
        refused = list(failed)
        for name, (draft, size, _) in drafts.items():
            try:
                _check_size(queue, size)
                _check_type(queue, draft)
                fine.append(name)
            except ServiceError as error:
                refused.append(batches.failure(name, error))
        sent = _store(tx, queue, millis(engines.clock.time()), [drafts[name][0] for name in fine])
        lobby.touch(address)
        successful = [{"Id": name, **drafts[name][2], **each} for name, each in zip(fine, sent, strict=True)]
        return {"Successful": successful, "Failed": refused}

    return Change(apply)


def sender_id(identity: Identity) -> str:
    return identity.principal_id or identity.account


def _draft(call: Call, engines: Engines, request: Any) -> tuple[Draft, int, dict[str, Any]]:
    """The message, its size, and what of the answer is known before it is stored."""
    body: str = request["MessageBody"]
    if not body:
        raise missing("MessageBody")
    message_attributes.check_text(body)
    attributes: Mapping[str, Any] = request.get("MessageAttributes", {})
    message_attributes.check(attributes)
    system: Mapping[str, Any] = request.get("MessageSystemAttributes", {})
    trace = message_attributes.check_system(system) or call.request.headers.get("x-amzn-trace-id")
    delay: int | None = request.get("DelaySeconds")
    if delay is not None and not 0 <= delay <= _DELAY:
        raise invalid(delay, "DelaySeconds", f"DelaySeconds must be >= 0 and <= {_DELAY}.")
    for name in ("MessageGroupId", "MessageDeduplicationId"):
        if name in request and not _ID.fullmatch(request[name]):
            raise invalid(
                request[name],
                name,
                f"{name} can only include alphanumeric and punctuation characters. 1 to 128 in length.",
            )
    attributes = message_attributes.stored(attributes)
    answer = {"MD5OfMessageBody": message_attributes.text_md5(body)}
    if attributes:
        answer["MD5OfMessageAttributes"] = message_attributes.md5(attributes)
    if system:
        answer["MD5OfMessageSystemAttributes"] = message_attributes.md5(message_attributes.stored(system))
    draft = Draft(
        message_id=engines.ids.uuid(),
        body=body,
        body_md5=answer["MD5OfMessageBody"],
        attributes=message_attributes.encode(attributes) if attributes else None,
        attributes_md5=answer.get("MD5OfMessageAttributes"),
        sender=sender_id(call.identity),
        trace=trace,
        group_id=request.get("MessageGroupId"),
        deduplication_id=request.get("MessageDeduplicationId"),
        delay=delay,
    )
    return draft, len(body.encode()) + message_attributes.size(attributes), answer


def _check_size(queue: Queue, size: int) -> None:
    most = queue.seconds("MaximumMessageSize")
    if size > most:
        raise ServiceError(
            "InvalidParameterValue",
            f"One or more parameters are invalid. Reason: Message must be shorter than {most} bytes.",
        )


def _check_type(queue: Queue, draft: Draft) -> None:
    if not queue.fifo:
        if draft.deduplication_id is not None:
            raise invalid(draft.deduplication_id, "MessageDeduplicationId", _WRONG_TYPE)
        return
    if draft.group_id is None:
        raise missing("MessageGroupId")
    if draft.delay:
        raise invalid(draft.delay, "DelaySeconds", _WRONG_TYPE)
    if draft.deduplication_id is None and queue.attribute("ContentBasedDeduplication") != "true":
        raise ServiceError(
            "InvalidParameterValue",
            "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided "
            "explicitly",
        )


def sequence_number(position: int) -> str:
    return str(position).zfill(20)


def _store(tx: Transaction, queue: Queue, now: int, drafts: Sequence[Draft]) -> list[dict[str, Any]]:
    """What is answered of each message that only its place in the queue tells."""
    if not drafts:
        return []
    if queue.fifo:
        return [_store_once(tx, queue, now, draft) for draft in drafts]
    messages.put(tx, queue, now, drafts)
    return [{"MessageId": draft.message_id} for draft in drafts]


def _store_once(tx: Transaction, queue: Queue, now: int, draft: Draft) -> dict[str, Any]:
    """A message of a FIFO queue; one that was sent before is answered as it was then."""
    execute = tx.connection.execute
    id_ = draft.deduplication_id or hashlib.sha256(draft.body.encode()).hexdigest()
    scope = draft.group_id if queue.attribute("DeduplicationScope") == "messageGroup" else ""
    execute("DELETE FROM sqs_deduplication WHERE queue = ? AND until <= ?", (queue.id, now))
    known = execute(
        "SELECT message_id, position FROM sqs_deduplication WHERE queue = ? AND scope = ? AND id = ?",
        (queue.id, scope, id_),
    ).fetchone()
    if known is not None:
        return {"MessageId": known[0], "SequenceNumber": sequence_number(known[1])}
    # A delay of none is the same as the queue's.
    position = messages.put(tx, queue, now, [replace(draft, deduplication_id=id_, delay=None)])
    execute(
        "INSERT INTO sqs_deduplication (queue, scope, id, until, message_id, position) VALUES (?, ?, ?, ?, ?, ?)",
        (queue.id, scope, id_, now + DEDUPLICATED, draft.message_id, position),
    )
    return {"MessageId": draft.message_id, "SequenceNumber": sequence_number(position)}
