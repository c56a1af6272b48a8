"""Message move tasks: dead letters on their way back.

A task goes on by steps on the clock, each a command of its own; after a restart it goes on with the first call to SQS.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from ...call import Call, Change
from ...errors import ServiceError, StoreUnwritable
from ...storage.state import Reader
from ...storage.store import Transaction
from ...wire import arns
from ..engines import Engines
from . import messages, queues
from .common import Address, addressed_by_arn, invalid, millis, not_found
from .waiting import Lobby, at_first_use, lobby_of

if TYPE_CHECKING:
    from types_boto3_sqs.type_defs import (
        CancelMessageMoveTaskRequestTypeDef,
        ListMessageMoveTasksRequestTypeDef,
        StartMessageMoveTaskRequestTypeDef,
    )

_FASTEST = 500
_LISTED = 10
#: Messages of one step, where no rate is set.
_STEP = 100


class Move(msgspec.Struct):
    id: str
    source: str
    destination: str | None
    rate: int | None
    started: int
    to_move: int
    moved: int = 0
    status: str = "RUNNING"
    reason: str | None = None

    @property
    def handle(self) -> str:
        return base64.b64encode(orjson.dumps({"taskId": self.id, "sourceArn": self.source})).decode()


_decode = msgspec.json.Decoder(Move).decode


def _address(arn: str) -> Address:
    parsed = arns.parse(arn)
    return Address(parsed.account, parsed.region, parsed.resource)


def _save(tx: Transaction, move: Move) -> None:
    running = move.status in ("RUNNING", "CANCELLING")
    tx.connection.execute(
        "INSERT INTO sqs_moves (id, source, running, body) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET running = excluded.running, body = excluded.body",
        (move.id, move.source, running, msgspec.json.encode(move)),
    )


def _listed(reader: Reader, source: str, limit: int) -> list[Move]:
    rows = reader.connection.execute(
        "SELECT body FROM sqs_moves WHERE source = ? ORDER BY number DESC LIMIT ?",
        (source, limit),
    )
    return [_decode(body) for (body,) in rows]


def start_message_move_task(call: Call, request: StartMessageMoveTaskRequestTypeDef, engines: Engines) -> Change:
    source = addressed_by_arn(call, request["SourceArn"], "SourceArn")
    given = request.get("DestinationArn")
    destination = addressed_by_arn(call, given, "DestinationArn") if given is not None else None
    rate = request.get("MaxNumberOfMessagesPerSecond")
    if rate is not None and not 1 <= rate <= _FASTEST:
        raise invalid(rate, "MaxNumberOfMessagesPerSecond", f"Must be between 1 and {_FASTEST}.")
    id_, now = engines.ids.uuid(), millis(engines.clock.time())
    lobby = lobby_of(engines)

    def apply(tx: Transaction) -> dict[str, Any]:
        queue = queues.find(tx, source)
        if queue is None:
            raise not_found("SourceArn")
        if destination is not None:
            _check_destination(tx, source, destination)
        if not queues.sources_of(tx, source.arn, "", 1):
            raise ServiceError("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.")
        if any(move.status in ("RUNNING", "CANCELLING") for move in _listed(tx, source.arn, 1)):
            raise ServiceError(
                "InvalidParameterValue",
                "There is already a task running. Only one active task is allowed for a source queue arn "
                "at a given time.",
            )
        visible, _, _ = messages.numbers(tx, queue, now)
        move = Move(id_, source.arn, destination.arn if destination else None, rate, now, visible)
        _save(tx, move)
        tx.connection.execute(
            "DELETE FROM sqs_moves WHERE source = ? AND number <= ("
            "SELECT number FROM sqs_moves WHERE source = ? ORDER BY number DESC LIMIT 1 OFFSET ?)",
            (move.source, move.source, _LISTED),
        )
        return {"TaskHandle": move.handle}

    _go_on(engines, lobby, id_, engines.clock.time())
    return Change(apply)


def _check_destination(tx: Transaction, source: Address, destination: Address) -> None:
    queue = queues.find(tx, destination)
    if queue is None:
        raise not_found("DestinationArn")
    if destination == source:
        raise ServiceError("InvalidParameterValue", "Source queue arn and destination queue arn cannot be the same.")
    if queue.fifo != source.name.endswith(".fifo"):
        raise ServiceError("InvalidParameterValue", "Source and destination queues must be of the same type.")


def list_message_move_tasks(
    call: Call, request: ListMessageMoveTasksRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    reader, source = engines.store.read, addressed_by_arn(call, request["SourceArn"], "SourceArn")
    limit = request.get("MaxResults", 1)
    if not 1 <= limit <= _LISTED:
        raise invalid(limit, "MaxResults", f"Must be between 1 and {_LISTED}.")
    if queues.find(reader, source) is None:
        raise not_found("SourceArn")
    lobby_of(engines)  # so that tasks from before a restart go on
    return {"Results": [_shown(move) for move in _listed(reader, source.arn, limit)]}


def _shown(move: Move) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "Status": move.status,
        "SourceArn": move.source,
        "ApproximateNumberOfMessagesMoved": move.moved,
        "ApproximateNumberOfMessagesToMove": move.to_move,
        "StartedTimestamp": move.started,
    }
    if move.status == "RUNNING":
        shown["TaskHandle"] = move.handle
    optional = {
        "DestinationArn": move.destination,
        "MaxNumberOfMessagesPerSecond": move.rate,
        "FailureReason": move.reason,
    }
    return {**shown, **{name: value for name, value in optional.items() if value is not None}}


def cancel_message_move_task(call: Call, request: CancelMessageMoveTaskRequestTypeDef, engines: Engines) -> Change:
    id_, source = task_of(request["TaskHandle"])
    addressed_by_arn(call, source, "SourceArn")
    lobby_of(engines)

    def apply(tx: Transaction) -> dict[str, Any]:
        move = _find(tx, id_)
        if move is None or move.source != source:
            raise ServiceError("ResourceNotFoundException", "Task does not exist.")
        if move.status != "RUNNING":
            raise ServiceError("UnsupportedOperation", "Only active tasks can be cancelled.")
        move.status = "CANCELLING"
        _save(tx, move)
        return {"ApproximateNumberOfMessagesMoved": move.moved}

    return Change(apply)


def task_of(handle: str) -> tuple[str, str]:
    """The id of a task, and the ARN of the queue that it moves messages from."""
    try:
        document = orjson.loads(base64.b64decode(handle, validate=True))
        return str(document["taskId"]), str(document["sourceArn"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise invalid(handle, "TaskHandle", "It is not a task handle.") from None


def _find(reader: Reader, id_: str) -> Move | None:
    row = reader.connection.execute("SELECT body FROM sqs_moves WHERE id = ?", (id_,)).fetchone()
    return None if row is None else _decode(row[0])


# On the way


@at_first_use
def resume(engines: Engines) -> None:
    """Go on with the tasks that were under way when the server stopped."""
    rows = engines.store.read.connection.execute("SELECT id FROM sqs_moves WHERE running").fetchall()
    for (id_,) in rows:
        _go_on(engines, lobby_of(engines), id_, engines.clock.time())


def _go_on(engines: Engines, lobby: Lobby, id_: str, when: float) -> None:
    async def step() -> None:
        now = millis(engines.clock.time())
        with contextlib.suppress(StoreUnwritable):
            rate = await engines.store.submit(lambda tx: _step(tx, lobby, engines, id_, now))
            if rate is not None:
                _go_on(engines, lobby, id_, engines.clock.time() + (1.0 if rate else 0.0))

    engines.clock.at(when, step)


def _step(tx: Transaction, lobby: Lobby, engines: Engines, id_: str, now: int) -> int | None:
    """Move some; the task's rate (0: none is set) where there may be more."""
    move = _find(tx, id_)
    if move is None:
        return None  # it was refused
    if move.status == "CANCELLING":
        move.status = "CANCELLED"
    elif move.status == "RUNNING":
        _move_some(tx, lobby, engines, move, now)
    _save(tx, move)
    return (move.rate or 0) if move.status in ("RUNNING", "CANCELLING") else None


def _move_some(tx: Transaction, lobby: Lobby, engines: Engines, move: Move, now: int) -> None:
    source = queues.find(tx, _address(move.source))
    if source is None:
        move.status, move.reason = "FAILED", "AWS.SimpleQueueService.NonExistentQueue"
        return
    limit = move.rate or _STEP
    rows = messages.ready(tx, source, now, limit)
    for row in rows:
        arn = move.destination or row.source
        target = queues.find(tx, _address(arn)) if arn is not None else None
        if target is None:
            move.status = "FAILED"
            move.reason = "CouldNotDetermineMessageSource" if arn is None else "AWS.SimpleQueueService.NonExistentQueue"
            return
        messages.redrive(tx, source, target, row, engines.ids.uuid(), now)
        move.moved += 1
        lobby.touch(target.address)
    if len(rows) < limit:
        move.status = "COMPLETED"
