"""What calls of SQS ask permission for."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from skytrail.services import sqs

from ..gateway.authorize_house import alice, holds, house, refusal
from ..identity.house import ACCOUNT, House

__all__ = ["house"]

DEAD, WORK, MORE, OTHER = (f"arn:aws:sqs:eu-west-1:{ACCOUNT}:{name}" for name in ("dead", "work", "more", "other"))
READING = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]


def queues(house: House) -> None:
    house.perform("sqs", "CreateQueue", {"QueueName": "dead"})
    house.perform("sqs", "CreateQueue", {"QueueName": "other"})
    redrive = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": DEAD, "maxReceiveCount": 1})}
    for name in ("work", "more"):
        house.perform("sqs", "CreateQueue", {"QueueName": name, "Attributes": redrive})


def allow(action: Any, resource: Any = "*", effect: str = "Allow") -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource}


def refused(house: House, operation: str, **given: Any) -> str:
    call = house.call("sqs", operation, parameters=given, identity=alice(house))
    said = refusal(house, call, *(sqs.demands(call, house.engines) or ()))
    return said.partition("perform: ")[2].partition(" because")[0].partition(" with")[0]


def test_a_move_reads_here_and_sends_there(house: House) -> None:
    queues(house)
    start = {"SourceArn": DEAD, "DestinationArn": OTHER}
    everything = [allow(["sqs:StartMessageMoveTask", *READING], DEAD), allow("sqs:SendMessage", OTHER)]
    holds(house, *everything)
    assert refused(house, "StartMessageMoveTask", **start) == ""
    assert refused(house, "StartMessageMoveTask", SourceArn=DEAD) == f"sqs:SendMessage on resource: {MORE}"
    for action in ("sqs:StartMessageMoveTask", *READING):
        holds(house, *everything, allow(action, DEAD, "Deny"))
        assert refused(house, "StartMessageMoveTask", **start) == f"{action} on resource: {DEAD}"
    holds(house, *everything, allow("sqs:SendMessage", OTHER, "Deny"))
    assert refused(house, "StartMessageMoveTask", **start) == f"sqs:SendMessage on resource: {OTHER}"


def test_a_move_back_sends_to_each_source(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    queues(house)
    started = allow(["sqs:StartMessageMoveTask", *READING], DEAD)
    holds(house, started, allow("sqs:SendMessage", [WORK, MORE]))
    assert refused(house, "StartMessageMoveTask", SourceArn=DEAD) == ""
    holds(house, started, allow("sqs:SendMessage", WORK))
    assert refused(house, "StartMessageMoveTask", SourceArn=DEAD) == f"sqs:SendMessage on resource: {MORE}"
    # Too many to ask about one by one.
    monkeypatch.setattr(sys.modules["skytrail.services.sqs.demands"], "_SOURCES", 1)
    holds(house, started, allow("sqs:SendMessage", [WORK, MORE]))
    assert refused(house, "StartMessageMoveTask", SourceArn=DEAD) == (
        f"sqs:SendMessage on resource: arn:aws:sqs:eu-west-1:{ACCOUNT}:*"
    )
    holds(house, started, allow("sqs:SendMessage"))
    assert refused(house, "StartMessageMoveTask", SourceArn=DEAD) == ""
    holds(house, started, allow("sqs:SendMessage"), allow("sqs:SendMessage", MORE, "Deny"))
    assert refused(house, "StartMessageMoveTask", SourceArn=DEAD) != ""


def test_tasks_are_listed_and_cancelled_with_the_rights_to_their_source(house: House) -> None:
    queues(house)
    handle = house.perform("sqs", "StartMessageMoveTask", {"SourceArn": DEAD})["TaskHandle"]
    for operation, given, needed in (
        ("ListMessageMoveTasks", {"SourceArn": DEAD}, ["sqs:ListMessageMoveTasks", "sqs:GetQueueAttributes"]),
        ("CancelMessageMoveTask", {"TaskHandle": handle}, ["sqs:CancelMessageMoveTask", *READING]),
    ):
        holds(house, allow(needed, DEAD))
        assert refused(house, operation, **given) == ""
        for action in needed:
            holds(house, allow(needed, DEAD), allow(action, DEAD, "Deny"))
            assert refused(house, operation, **given) == f"{action} on resource: {DEAD}"


def test_who_makes_a_queue_with_tags_may_tag_it(house: House) -> None:
    given = {"QueueName": "other", "tags": {"team": "audit"}}
    holds(house, allow("sqs:CreateQueue"))
    assert refused(house, "CreateQueue", QueueName="other") == ""
    assert refused(house, "CreateQueue", **given) == f"sqs:TagQueue on resource: {OTHER}"
    tagging = allow("sqs:TagQueue", OTHER)
    holds(house, allow("sqs:CreateQueue"), {**tagging, "Condition": {"StringEquals": {"aws:RequestTag/team": "audit"}}})
    assert refused(house, "CreateQueue", **given) == ""
    assert refused(house, "CreateQueue", QueueName="other", tags={"team": "ops"}) != ""
