"""ReceiveMessage."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.store import Transaction
from ..engines import Engines
from . import handles, message_attributes, messages, queues
from .attributes import unknown
from .common import Address, addressed, bounded, invalid, millis
from .handles import Receipt
from .messages import Content, Held
from .queues import Queue
from .sending import DEDUPLICATED, sequence_number
from .waiting import Claim, lobby_of

if TYPE_CHECKING:
    from types_boto3_sqs.type_defs import ReceiveMessageRequestTypeDef

IN_FLIGHT = 120_000
_LONGEST_WAIT, _LONGEST_VISIBILITY = 20, 43200
_SYSTEM = frozenset(
    {"All", "ApproximateFirstReceiveTimestamp", "ApproximateReceiveCount", "AWSTraceHeader", "DeadLetterQueueSourceArn",
     "MessageDeduplicationId", "MessageGroupId", "SenderId", "SentTimestamp", "SequenceNumber", "SqsManagedSseEnabled"}
)  # fmt: skip


@dataclass(slots=True, frozen=True)
class _Wish:
    address: Address
    count: int
    #: Seconds; None for the queue's own.
    visibility: int | None
    attempt: str | None
    system: frozenset[str]
    attributes: tuple[str, ...]


class _Attempt(msgspec.Struct):
    """What a receive with an attempt id gave out: (position, receives, visible until, receipt handle)."""

    given: list[tuple[int, int, int, str]]


_attempt = msgspec.json.Decoder(_Attempt)


def receive_message(
    call: Call, request: ReceiveMessageRequestTypeDef, engines: Engines
) -> Change | Coroutine[Any, Any, Change]:
    wish = _wish(call, request)
    queue = queues.existing(engines.store.read, wish.address)
    wait = bounded(request, "WaitTimeSeconds", 0, _LONGEST_WAIT, queue.seconds("ReceiveMessageWaitTimeSeconds"))
    if wish.attempt is not None and not queue.fifo:
        raise invalid(
            wish.attempt,
            "ReceiveRequestAttemptId",
            "The request include parameter that is not valid for this queue type.",
        )
    return (
        _wait_and_receive(wish, wait, engines) if wait and not _asked_before(engines, wish) else _receive(wish, engines)
    )


def _wish(call: Call, request: ReceiveMessageRequestTypeDef) -> _Wish:
    system = {*request.get("AttributeNames", ()), *request.get("MessageSystemAttributeNames", ())}
    strange = sorted(system - _SYSTEM)
    if strange:
        raise unknown(strange[0])
    attempt = request.get("ReceiveRequestAttemptId")
    if attempt is not None and not 1 <= len(attempt) <= 128:
        raise invalid(attempt, "ReceiveRequestAttemptId", "1 to 128 in length.")
    count = request.get("MaxNumberOfMessages", 1)
    if not 1 <= count <= messages.MOST_AT_ONCE:
        raise invalid(count, "MaxNumberOfMessages", f"Must be between 1 and {messages.MOST_AT_ONCE}, if provided.")
    visibility = (
        bounded(request, "VisibilityTimeout", 0, _LONGEST_VISIBILITY, -1) if "VisibilityTimeout" in request else None
    )
    return _Wish(
        address=addressed(call, request["QueueUrl"]),
        count=count,
        visibility=visibility,
        attempt=attempt,
        system=frozenset(system),
        attributes=tuple(request.get("MessageAttributeNames", ())),
    )


def _asked_before(engines: Engines, wish: _Wish) -> bool:
    """A receive that is tried again does not wait for other messages."""
    if wish.attempt is None:
        return False
    queue = queues.existing(engines.store.read, wish.address)
    found = engines.store.read.connection.execute(
        "SELECT 1 FROM sqs_attempts WHERE queue = ? AND id = ? AND until > ?",
        (queue.id, wish.attempt, millis(engines.clock.time())),
    ).fetchone()
    return found is not None


async def _wait_and_receive(wish: _Wish, wait: int, engines: Engines) -> Change:
    await lobby_of(engines).wait(engines, wish.address, wait)
    return _receive(wish, engines)


def _receive(wish: _Wish, engines: Engines) -> Change:
    lobby = lobby_of(engines)
    claim: Claim = lobby.claim(wish.address, wish.count)

    def apply(tx: Transaction) -> dict[str, Any]:
        claim.applied = True
        lobby.touch(wish.address)
        queue = queues.existing(tx, wish.address)
        if queue.redrive is not None:
            lobby.touch(queue.redrive.target)
        now = millis(engines.clock.time())
        visibility = queue.seconds("VisibilityTimeout") if wish.visibility is None else wish.visibility
        until = now + visibility * 1000
        again = _again(tx, queue, wish, now)
        if again is not None:
            rows, receipts = again
            for row in rows:
                messages.show_at(tx, queue, row, until)
            received = [row.receives for row in rows]
        else:
            rows = _take(tx, queue, now, until, wish.count)
            received = [row.receives + 1 for row in rows]
            receipts = [
                handles.seal(engines.sealer, wish.address, Receipt(queue.id, row.position, count))
                for row, count in zip(rows, received, strict=True)
            ]
        if wish.attempt is not None and rows:
            _note(tx, queue, wish.attempt, now, [
                (row.position, count, until, receipt)
                for row, count, receipt in zip(rows, received, receipts, strict=True)
            ])  # fmt: skip
        if not rows:
            return {}
        shown = [
            _shown(tx, queue, row, count, receipt, wish, now)
            for row, count, receipt in zip(rows, received, receipts, strict=True)
        ]
        return {"Messages": shown}

    return Change(apply)


def _take(tx: Transaction, queue: Queue, now: int, until: int, count: int) -> list[Held]:
    room = IN_FLIGHT - queue.flying
    if room < count:
        flying = messages.in_flight(tx, queue, now)
        tx.connection.execute("UPDATE sqs_queues SET flying = ? WHERE id = ?", (flying, queue.id))
        room = IN_FLIGHT - flying
        if room <= 0 and not queue.fifo:
            raise ServiceError("OverLimit", f"Too many messages are in flight: the maximum allowed is {IN_FLIGHT}.")
        if room <= 0:
            return []
    rows = messages.ready(tx, queue, now, min(count, room))
    if rows:
        messages.hide(tx, queue, rows, now, until)
    return rows


# Attempts


def _again(tx: Transaction, queue: Queue, wish: _Wish, now: int) -> tuple[list[Held], list[str]] | None:
    """What the same attempt was given before, where none of it has changed since."""
    if wish.attempt is None:
        return None
    tx.connection.execute("DELETE FROM sqs_attempts WHERE queue = ? AND until <= ?", (queue.id, now))
    row = tx.connection.execute(
        "SELECT body FROM sqs_attempts WHERE queue = ? AND id = ?", (queue.id, wish.attempt)
    ).fetchone()
    if row is None:
        return None
    rows: list[Held] = []
    receipts: list[str] = []
    for position, receives, until, receipt in _attempt.decode(row[0]).given:
        found = messages.held(tx, queue, position)
        if found is None or found[0].receives != receives or found[0].visible_at != until or until <= now:
            return None
        rows.append(found[0])
        receipts.append(receipt)
    return rows, receipts


def _note(tx: Transaction, queue: Queue, attempt: str, now: int, given: list[tuple[int, int, int, str]]) -> None:
    tx.connection.execute(
        "INSERT INTO sqs_attempts (queue, id, until, body) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (queue, id) DO UPDATE SET body = excluded.body",
        (queue.id, attempt, now + DEDUPLICATED, msgspec.json.encode(_Attempt(given))),
    )


# What is shown


def _shown(
    tx: Transaction, queue: Queue, row: Held, receives: int, receipt: str, wish: _Wish, now: int
) -> dict[str, Any]:
    content = messages.content(tx, row.content)
    message: dict[str, Any] = {
        "MessageId": row.message_id,
        "ReceiptHandle": receipt,
        "MD5OfBody": content.body_md5,
        "Body": content.body,
    }
    if wish.system:
        system = _system(queue, row, content, receives, now)
        shown = system if "All" in wish.system else {name: system[name] for name in system.keys() & wish.system}
        if shown:
            message["Attributes"] = shown
    if content.attributes is not None and wish.attributes:
        attributes = message_attributes.decode(content.attributes)
        chosen = {name: attribute for name, attribute in attributes.items() if _wanted(name, wish.attributes)}
        if chosen:
            message["MessageAttributes"] = chosen
            whole = len(chosen) == len(attributes)
            message["MD5OfMessageAttributes"] = content.attributes_md5 if whole else message_attributes.md5(chosen)
    return message


def _system(queue: Queue, row: Held, content: Content, receives: int, now: int) -> dict[str, str]:
    system = {
        "SenderId": content.sender,
        "SentTimestamp": str(row.sent),
        "ApproximateReceiveCount": str(receives),
        "ApproximateFirstReceiveTimestamp": str(now if row.first_received is None else row.first_received),
    }
    if queue.fifo:
        system["SequenceNumber"] = sequence_number(row.position)
    optional = {
        "MessageGroupId": row.group_id,
        "MessageDeduplicationId": content.deduplication_id,
        "AWSTraceHeader": content.trace,
        "DeadLetterQueueSourceArn": row.source,
    }
    return {**system, **{name: value for name, value in optional.items() if value is not None}}


def _wanted(name: str, wished: Sequence[str]) -> bool:
    return any(
        wish in ("All", ".*", name) or (wish.endswith(".*") and name.startswith(wish.removesuffix(".*")))
        for wish in wished
    )
