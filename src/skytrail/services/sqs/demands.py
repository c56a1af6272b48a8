"""What calls of SQS demand: the queues that they are about, with their policies."""

from __future__ import annotations

from collections.abc import Iterator

from ...audit.classify import classify
from ...call import Call
from ...errors import ServiceError
from ...identity.demands import Demand
from ..engines import Engines
from . import moves, queues
from .common import Address, addressed, addressed_by_arn

#: What else a call asks for, on the queue that it is about: tasks read the dead letters, and take them away.
_WITH = {
    "CancelMessageMoveTask": ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes"),
    "ListMessageMoveTasks": ("GetQueueAttributes",),
    "StartMessageMoveTask": ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes"),
}
#: Queues that dead letters go back to which are asked about one by one.
_SOURCES = 300


def demands(call: Call, engines: Engines) -> list[Demand] | None:
    """None where no queue is named, or none that there can be: then the reference says all that there is to say."""
    assert call.route is not None
    name, given = call.route.operation.name, call.input or {}
    try:
        address = _about(call)
        if address is None:
            return None
        actions = [classify("sqs", call.route.operation).action]
        actions += [f"sqs:{action}" for action in _WITH.get(name, ())]
        if name == "CreateQueue" and given.get("tags"):
            actions.append("sqs:TagQueue")
        found = [_demand(call, engines, action, address) for action in actions]
        if name == "StartMessageMoveTask":
            found += [_demand(call, engines, "sqs:SendMessage", target) for target in _targets(call, engines, address)]
    except ServiceError:
        return None
    return found


def _about(call: Call) -> Address | None:
    given = call.input or {}
    if "QueueUrl" in given:
        return addressed(call, given["QueueUrl"])
    if "SourceArn" in given:
        return addressed_by_arn(call, given["SourceArn"], "SourceArn")
    if "TaskHandle" in given:
        return addressed_by_arn(call, moves.task_of(given["TaskHandle"])[1], "SourceArn")
    if "QueueName" in given:
        return Address(given.get("QueueOwnerAWSAccountId", call.account), call.region, given["QueueName"])
    return None


def _targets(call: Call, engines: Engines, dead_letters: Address) -> Iterator[Address]:
    """Where a task brings messages: back to the queues that they came from, where it is not told."""
    given = call.input or {}
    if "DestinationArn" in given:
        yield addressed_by_arn(call, given["DestinationArn"], "DestinationArn")
        return
    names = queues.sources_of(engines.store.read, dead_letters.arn, "", _SOURCES + 1)
    for name in names if len(names) <= _SOURCES else ("*",):
        yield Address(dead_letters.account, dead_letters.region, name)


def _demand(call: Call, engines: Engines, action: str, address: Address) -> Demand:
    queue = queues.find(engines.store.read, address)
    given = call.input or {}
    tags = dict(queue.body.tags) if queue is not None else {}
    context = {f"aws:resourcetag/{name.lower()}": (value,) for name, value in tags.items()}
    asked = given.get("Tags", given.get("tags", {}))
    if asked:
        context["aws:tagkeys"] = tuple(asked)
        context |= {f"aws:requesttag/{name.lower()}": (value,) for name, value in asked.items()}
    elif given.get("TagKeys"):
        context["aws:tagkeys"] = tuple(given["TagKeys"])
    policy = queue.body.attributes.get("Policy") if queue is not None else None
    # No queue has this name: it stands for all.
    unknown = address.name == "*"
    return Demand(action, address.arn, address.account, policy or None, unknown=unknown, context=context)
