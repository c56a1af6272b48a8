"""Queues: made, found, listed, purged, deleted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.store import Transaction
from ..engines import Engines
from . import queues, tags
from .attributes import checked, unknown
from .common import Address, addressed, millis, next_token, no_queue, page_limits, url_of
from .queues import Body, Queue
from .waiting import lobby_of

if TYPE_CHECKING:
    from types_boto3_sqs.type_defs import (
        CreateQueueRequestTypeDef,
        DeleteQueueRequestTypeDef,
        GetQueueUrlRequestTypeDef,
        ListDeadLetterSourceQueuesRequestTypeDef,
        ListQueuesRequestTypeDef,
        PurgeQueueRequestTypeDef,
    )

#: A name may be used again, a queue purged again, after so long.
_PAUSE = 60_000
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")


def create_queue(call: Call, request: CreateQueueRequestTypeDef, engines: Engines) -> Change:
    name, now = request["QueueName"], millis(engines.clock.time())
    given: dict[str, str] = dict(request.get("Attributes", {}))  # type: ignore[arg-type]
    _check_name(name, given)
    address = Address(call.account, call.region, name)
    tagged = tags.tagged({}, request.get("tags", {}), name)
    output = {"QueueUrl": url_of(call, address)}

    def apply(tx: Transaction) -> dict[str, Any]:
        attributes = checked(tx, address, given, {})
        existing = queues.find(tx, address)
        if existing is not None:
            _check_same(existing, attributes)
            return output
        if queues.was_deleted(tx, address, now, _PAUSE):
            raise ServiceError(
                "QueueDeletedRecently",
                "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
            )
        queues.add(tx, address, Body(now, now, attributes, tagged))
        return output

    return Change(apply)


def _check_name(name: str, given: Mapping[str, str]) -> None:
    fifo = given.get("FifoQueue", "").lower()
    if fifo == "true":
        if not (name.endswith(".fifo") and len(name) <= 80 and _NAME.fullmatch(name.removesuffix(".fifo"))):
            raise ServiceError(
                "InvalidParameterValue",
                "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
                "must end with .fifo suffix and be 1 to 80 in length.",
            )
    elif not _NAME.fullmatch(name):
        raise ServiceError(
            "InvalidParameterValue",
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
        )
    elif "FifoQueue" in given:
        raise unknown("FifoQueue")


def _check_same(queue: Queue, attributes: Mapping[str, str]) -> None:
    for name, value in attributes.items():
        try:
            known = queue.attribute(name)
        except KeyError:
            known = ""
        if known != value:
            raise ServiceError(
                "QueueNameExists",
                f"A queue already exists with the same name and a different value for attribute {name}",
            )


def delete_queue(call: Call, request: DeleteQueueRequestTypeDef, engines: Engines) -> Change:
    address, now, lobby = addressed(call, request["QueueUrl"]), millis(engines.clock.time()), lobby_of(engines)

    def apply(tx: Transaction) -> dict[str, Any]:
        queues.remove(tx, queues.existing(tx, address))
        queues.note_deleted(tx, address, now)
        lobby.touch(address)
        return {}

    return Change(apply)


def purge_queue(call: Call, request: PurgeQueueRequestTypeDef, engines: Engines) -> Change:
    address, now = addressed(call, request["QueueUrl"]), millis(engines.clock.time())

    def apply(tx: Transaction) -> dict[str, Any]:
        queue = queues.existing(tx, address)
        if queue.body.purged and 0 <= now - queue.body.purged < _PAUSE:
            raise ServiceError(
                "PurgeQueueInProgress", f"Only one PurgeQueue operation on {address.name} is allowed every 60 seconds."
            )
        queue.body.purged = now
        queues.empty(tx, queue)
        return {}

    return Change(apply)


def get_queue_url(call: Call, request: GetQueueUrlRequestTypeDef, engines: Engines) -> dict[str, Any]:
    address = Address(request.get("QueueOwnerAWSAccountId", call.account), call.region, request["QueueName"])
    if queues.find(engines.store.read, address) is None:
        raise no_queue()
    return {"QueueUrl": url_of(call, address)}


def list_queues(call: Call, request: ListQueuesRequestTypeDef, engines: Engines) -> dict[str, Any]:
    prefix = request.get("QueueNamePrefix", "")
    listing = ["ListQueues", prefix]
    after, limit = page_limits(call, engines, request, listing)
    names = queues.listed(engines.store.read, call.account, call.region, prefix, after, limit + 1)
    return _page(call, engines, request, names, limit, "QueueUrls", listing)


def list_dead_letter_source_queues(
    call: Call, request: ListDeadLetterSourceQueuesRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    reader, address = engines.store.read, addressed(call, request["QueueUrl"])
    queues.existing(reader, address)
    listing = ["ListDeadLetterSourceQueues", address.name]
    after, limit = page_limits(call, engines, request, listing)
    names = queues.sources_of(reader, address.arn, after, limit + 1)
    return {"queueUrls": [], **_page(call, engines, request, names, limit, "queueUrls", listing)}


def _page(
    call: Call, engines: Engines, request: Any, names: list[str], limit: int, member: str, listing: list[str]
) -> dict[str, Any]:
    taken = names[:limit]
    page: dict[str, Any] = {}
    if taken:
        page[member] = [url_of(call, Address(call.account, call.region, name)) for name in taken]
    if len(names) > limit and "MaxResults" in request:
        page["NextToken"] = next_token(call, engines, taken[-1], listing)
    return page
