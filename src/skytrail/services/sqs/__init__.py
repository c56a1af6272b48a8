"""SQS: standard and FIFO queues."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import ServiceError
from ...wire import validation
from ...wire.routing import Route
from ...wire.validation import Violation
from ..engines import Engines, Operations
from . import attributes, managing, moves, policies, receiving, sending, settling, tags, waiting
from .common import missing
from .demands import demands
from .schema import SCHEMA

__all__ = ["LENIENT", "OPERATIONS", "SCHEMA", "demands", "start"]

OPERATIONS: Operations = {
    "AddPermission": policies.add_permission,
    "CancelMessageMoveTask": moves.cancel_message_move_task,
    "ChangeMessageVisibility": settling.change_message_visibility,
    "ChangeMessageVisibilityBatch": settling.change_message_visibility_batch,
    "CreateQueue": managing.create_queue,
    "DeleteMessage": settling.delete_message,
    "DeleteMessageBatch": settling.delete_message_batch,
    "DeleteQueue": managing.delete_queue,
    "GetQueueAttributes": attributes.get_queue_attributes,
    "GetQueueUrl": managing.get_queue_url,
    "ListDeadLetterSourceQueues": managing.list_dead_letter_source_queues,
    "ListMessageMoveTasks": moves.list_message_move_tasks,
    "ListQueueTags": tags.list_queue_tags,
    "ListQueues": managing.list_queues,
    "PurgeQueue": managing.purge_queue,
    "ReceiveMessage": receiving.receive_message,
    "RemovePermission": policies.remove_permission,
    "SendMessage": sending.send_message,
    "SendMessageBatch": sending.send_message_batch,
    "SetQueueAttributes": attributes.set_queue_attributes,
    "StartMessageMoveTask": moves.start_message_move_task,
    "TagQueue": tags.tag_queue,
    "UntagQueue": tags.untag_queue,
}

#: Operations that answer values outside the model's enums with errors of their own: all of them.
LENIENT = frozenset(OPERATIONS)


def start(engines: Engines) -> None:
    """Go on with the moves of messages that a stop has cut."""
    waiting.lobby_of(engines)


def _refuse(_: Route, violations: Sequence[Violation]) -> ServiceError | None:
    """AWS names the first parameter that is missing."""
    return missing(violations[0].member) if violations else None


validation.refuse_with("sqs", _refuse)
