"""Queues' tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.store import Transaction
from ..engines import Engines
from . import queues
from .common import addressed

if TYPE_CHECKING:
    from types_boto3_sqs.type_defs import ListQueueTagsRequestTypeDef, TagQueueRequestTypeDef, UntagQueueRequestTypeDef

_TAGS, _KEY, _VALUE = 50, 128, 256


def tag_queue(call: Call, request: TagQueueRequestTypeDef, engines: Engines) -> Change:
    address, given = addressed(call, request["QueueUrl"]), dict(request["Tags"])
    if not given:
        raise ServiceError("MissingParameter", "The request must contain the parameter Tags.")

    def apply(tx: Transaction) -> dict[str, Any]:
        queue = queues.existing(tx, address)
        queue.body.tags = tagged(queue.body.tags, given, address.name)
        queues.save(tx, queue)
        return {}

    return Change(apply)


def untag_queue(call: Call, request: UntagQueueRequestTypeDef, engines: Engines) -> Change:
    address, keys = addressed(call, request["QueueUrl"]), set(request["TagKeys"])
    if not keys:
        raise ServiceError("InvalidParameterValue", "Tag keys can't be empty.")

    def apply(tx: Transaction) -> dict[str, Any]:
        queue = queues.existing(tx, address)
        queue.body.tags = {key: value for key, value in queue.body.tags.items() if key not in keys}
        queues.save(tx, queue)
        return {}

    return Change(apply)


def list_queue_tags(call: Call, request: ListQueueTagsRequestTypeDef, engines: Engines) -> dict[str, Any]:
    queue = queues.existing(engines.store.read, addressed(call, request["QueueUrl"]))
    return {"Tags": queue.body.tags} if queue.body.tags else {}


def tagged(old: Mapping[str, str], given: Mapping[str, str], queue_name: str) -> dict[str, str]:
    for key, value in given.items():
        if not 1 <= len(key) <= _KEY:
            raise ServiceError("InvalidParameterValue", f"Tag keys must be between 1 and {_KEY} characters in length.")
        if len(value) > _VALUE:
            raise ServiceError(
                "InvalidParameterValue", f"Tag values must be between 0 and {_VALUE} characters in length."
            )
        if key.lower().startswith("aws:"):
            raise ServiceError("InvalidParameterValue", "Tag keys that begin with aws: are reserved for AWS.")
    new = {**old, **given}
    if len(new) > _TAGS:
        raise ServiceError("InvalidParameterValue", f"Too many tags added for queue {queue_name}.")
    return new
