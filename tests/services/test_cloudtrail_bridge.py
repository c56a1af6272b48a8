"""The topic `events`: what EventBridge is told of records, and how long."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.services.cloudtrail.delivery import bridge, entries
from skytrail.services.cloudtrail.delivery.entries import Entry
from skytrail.storage.store import Store

from .delivery_house import DeliveryHouse

ACCOUNT = "111122223333"


def entry(number: int = 1, /, **members: Any) -> Entry:
    document = {
        "eventVersion": "1.11",
        "userIdentity": {"type": "Root", "accountId": ACCOUNT},
        "eventTime": "2026-11-20T20:18:22Z",
        "eventSource": "ec2.amazonaws.com",
        "eventName": "RunInstances",
        "awsRegion": "eu-west-1",
        "eventID": f"87337348-62a8-4e1f-9c64-{number:012x}",
        "eventType": "AwsApiCall",
        "recipientAccountId": ACCOUNT,
        "eventCategory": "Management",
        **members,
    }
    # Not as our own encoder writes it: the text has to stay as it is.
    return entries.read(number, json.dumps(document, indent=1).encode())


class Topic:
    def __init__(self, path: Path) -> None:
        self.runner = asyncio.Runner()
        self.store = Store(path / "skytrail.db", durability="os")

    def publish(self, given: Sequence[Entry]) -> None:
        async def submit() -> None:
            await self.store.submit(lambda tx: bridge.publish(tx, given))

        self.runner.run(submit())

    def read_up_to(self, consumer: str, position: int) -> None:
        async def move() -> None:
            await self.store.move_cursor("events", consumer, position, position)

        self.runner.run(move())

    def events(self) -> list[bytes]:
        return [data for _, data in self.store.records("events", 0, rows=1 << 40)]

    def positions(self) -> tuple[int, int]:
        rows = self.store.records("events", 0, rows=1 << 40)
        return rows[0][0], rows[-1][0]

    def close(self) -> None:
        self.store.close()
        self.runner.close()


@pytest.fixture
def topic(tmp_path: Path) -> Iterator[Topic]:
    topic = Topic(tmp_path)
    topic.read_up_to("slow", 0)
    yield topic
    topic.close()


def test_a_call_is_an_event_with_the_records_text_in_it(topic: Topic) -> None:
    call = entry()
    topic.publish([call])
    (event,) = topic.events()
    assert event.endswith(b'"detail":' + call.data + b"}")
    told = json.loads(event)
    assert list(told) == [
        "version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail",
    ]  # fmt: skip
    assert UUID(told.pop("id")).variant == "specified in RFC 4122"
    assert told == {
        "version": "0",
        "detail-type": "AWS API Call via CloudTrail",
        "source": "aws.ec2",
        "account": ACCOUNT,
        "time": "2026-11-20T20:18:22Z",
        "region": "eu-west-1",
        "resources": [],
        "detail": call.document,
    }


@pytest.mark.parametrize(
    ("members", "kind", "source"),
    [
        ({"eventName": "DescribeInstances", "readOnly": True}, "AWS API Call via CloudTrail", "aws.ec2"),
        ({"eventCategory": "Data", "eventSource": "s3.amazonaws.com"}, "AWS API Call via CloudTrail", "aws.s3"),
        (
            {"eventCategory": "NetworkActivity", "eventType": "AwsVpceEvent", "eventSource": "kms.amazonaws.com"},
            "AWS API Call via CloudTrail",
            "aws.kms",
        ),
        (
            {"eventType": "AwsConsoleSignIn", "eventSource": "signin.amazonaws.com"},
            "AWS Console Sign In via CloudTrail",
            "aws.signin",
        ),
        (
            {"eventType": "AwsConsoleAction", "eventSource": "billingconsole.amazonaws.com"},
            "AWS Console Action via CloudTrail",
            "aws.billingconsole",
        ),
        (
            {"eventType": "AwsServiceEvent", "eventSource": "kms.amazonaws.com"},
            "AWS Service Event via CloudTrail",
            "aws.kms",
        ),
        (
            {"eventType": "AwsCloudTrailInsight", "eventCategory": "Insight", "eventSource": None},
            "AWS Insight via CloudTrail",
            "aws.cloudtrail",
        ),
        ({"eventSource": "monitoring.amazonaws.com"}, "AWS API Call via CloudTrail", "aws.monitoring"),
        (
            {"userIdentity": {"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}},
            "AWS API Call via CloudTrail",
            "aws.ec2",
        ),
    ],
)
def test_kinds_and_sources(members: dict[str, Any], kind: str, source: str) -> None:
    told = json.loads(bridge.event(entry(**members)))
    assert (told["detail-type"], told["source"]) == (kind, source)


def test_an_event_is_the_same_each_time_and_another_for_each_record() -> None:
    events = [bridge.event(entry(number)) for number in (1, 2, 1)]
    assert events[0] == events[2]
    assert len({json.loads(event)["id"] for event in events}) == 2


def test_what_is_no_event(topic: Topic) -> None:
    room = bridge.LARGEST - len(entry(errorMessage="").data)
    largest = entry(2, errorMessage="x" * room)
    assert len(largest.data) == bridge.LARGEST
    topic.publish(
        [
            entry(eventCategory="ActivityAuditLog", eventType="AwsServiceEvent"),
            largest,
            entry(3, errorMessage="x" * (room + 1)),
        ]
    )
    assert [json.loads(event)["detail"]["eventID"] for event in topic.events()] == [largest.document["eventID"]]
    topic.publish([])
    assert len(topic.events()) == 1


TEXT = st.text(max_size=20)
ODD = st.one_of(st.none(), st.integers(-(2**53), 2**53), TEXT, st.lists(TEXT, max_size=2))


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("eventTime", "eventID", "eventType"), ODD) | {"eventSource": TEXT}
    ),
    TEXT,
    TEXT,
)
def test_any_record_becomes_one_json_document(members: dict[str, Any], account: str, region: str) -> None:
    data = json.dumps({**members, "recipientAccountId": account, "awsRegion": region}).encode()
    told = json.loads(bridge.event(entries.read(1, data)))
    assert told["detail"] == {**members, "recipientAccountId": account, "awsRegion": region}
    assert (told["account"], told["region"]) == (account, region)
    assert UUID(told["id"])


# How long


def test_nothing_is_written_that_nobody_waits_for(tmp_path: Path) -> None:
    topic = Topic(tmp_path)
    topic.publish([entry(1)])
    assert topic.events() == []
    topic.read_up_to("rules", 0)
    topic.publish([entry(2)])
    assert [json.loads(event)["detail"]["eventID"][-1] for event in topic.events()] == ["2"]
    topic.close()


def test_what_the_slowest_reader_has_not_done_stays(topic: Topic) -> None:
    many = [entry(number) for number in range(1, 3001)]
    topic.read_up_to("quick", 12_000)
    for _ in range(4):
        topic.publish(many)
    assert topic.positions() == (1, 12_000)
    topic.read_up_to("slow", 5000)
    topic.publish(many[:1])
    topic.publish(many[:1])
    topic.publish(many[:1])
    topic.publish(many[:1])
    assert 4000 < topic.positions()[0] <= 5001
    topic.read_up_to("slow", 12_004)
    for _ in range(20):
        topic.publish(many[:1])
    assert topic.positions()[0] > 11_000


def test_positions_outlive_a_reset(topic: Topic) -> None:
    topic.publish([entry(number) for number in range(1, 5)])

    async def clear() -> None:
        await topic.store.submit(lambda tx: tx.clear())

    topic.runner.run(clear())
    assert topic.events() == []
    topic.read_up_to("slow", 0)
    topic.publish([entry()])
    assert topic.positions() == (5, 5)


def test_a_reader_has_the_event_of_each_call_once_over_a_restart(tmp_path: Path) -> None:
    house = DeliveryHouse(tmp_path)

    async def listen() -> None:
        await house.engines.store.move_cursor("events", "rules", 0, 0)

    house.run(listen())
    for name in ("before", "after"):
        house.call("sqs", "CreateQueue", QueueName=name)
        house.reopen()
    house.advance(1)
    told = [json.loads(data) for _, data in house.engines.store.records("events", 0, rows=1000)]
    assert [event["detail"]["requestParameters"]["queueName"] for event in told] == ["before", "after"]
    house.close()
