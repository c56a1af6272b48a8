"""Event source mappings: messages of queues on their way to functions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from skytrail.testing import DrivenClock, Server

from .lambda_house import ACCOUNT, REGION, Functions, client, until

#: Writes down each batch, fails where a message is "bad", and tells of those that are "ill".
TAKING = {
    "m.py": """
import json, os
def handler(event, context):
    bodies = [record["body"] for record in event["Records"]]
    with open(os.environ["FILE"], "a") as file:
        file.write(json.dumps(event) + "\\n")
    if "bad" in bodies:
        raise ValueError("bad")
    ill = [record["messageId"] for record in event["Records"] if record["body"] == "ill"]
    return {"batchItemFailures": [{"itemIdentifier": each} for each in ill]}
"""
}


class Source:
    """A queue, and a function that takes its messages."""

    def __init__(self, functions: Functions, name: str, folder: Path, **attributes: str) -> None:
        self.sqs = client(functions.server, "sqs")
        self.functions, self.file = functions, folder / "batches"
        self.url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self.arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
        self.function = name.replace(".", "-")
        functions.create(self.function, TAKING, Timeout=10, Environment={"Variables": {"FILE": str(self.file)}})

    def map(self, **more: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.functions.api.create_event_source_mapping(
            EventSourceArn=self.arn, FunctionName=self.function, **more
        )
        return made

    def send(self, *bodies: str, **more: Any) -> None:
        for start in range(0, len(bodies), 10):
            entries = [
                {"Id": str(number), "MessageBody": body, **more}
                for number, body in enumerate(bodies[start : start + 10])
            ]
            self.sqs.send_message_batch(QueueUrl=self.url, Entries=entries)

    def batches(self) -> list[list[str]]:
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return [[record["body"] for record in json.loads(line)["Records"]] for line in lines]

    def taken(self) -> list[str]:
        return [body for batch in self.batches() for body in batch]

    def left(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(int(number) for number in found.values())


@pytest.fixture(scope="module")
def functions() -> Iterator[Functions]:
    with Server() as server:
        yield Functions(server)


def test_messages(functions: Functions, tmp_path: Path) -> None:
    source = Source(functions, "plain", tmp_path)
    made = source.map(BatchSize=2)
    assert (made["State"], made["BatchSize"], made["MaximumBatchingWindowInSeconds"]) == ("Creating", 2, 0)
    attributes = {"a": {"DataType": "Binary", "BinaryValue": b"\x00"}, "b": {"DataType": "String", "StringValue": "ü"}}
    source.send("one", MessageAttributes=attributes)
    until(lambda: source.taken() == ["one"] and source.left() == 0)
    (record,) = json.loads(source.file.read_text())["Records"]
    assert record["messageAttributes"] == {
        "a": {"stringListValues": [], "binaryListValues": [], "dataType": "Binary", "binaryValue": "AA=="},
        "b": {"stringListValues": [], "binaryListValues": [], "dataType": "String", "stringValue": "ü"},
    }
    assert (record["eventSource"], record["eventSourceARN"], record["awsRegion"]) == ("aws:sqs", source.arn, REGION)
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert record["md5OfBody"] == "f97c5d29941bfb1b2fdab0874906ab82"
    bodies = [str(number) for number in range(7)]
    source.send(*bodies)
    until(lambda: source.left() == 0)
    assert sorted(source.taken()[1:]) == bodies
    assert max(len(batch) for batch in source.batches()) <= 2
    shown = functions.api.get_event_source_mapping(UUID=made["UUID"])
    assert (shown["State"], shown["LastProcessingResult"]) == ("Enabled", "OK")


def test_failures_come_back(functions: Functions, tmp_path: Path) -> None:
    source = Source(functions, "failing", tmp_path)
    source.map()
    source.send("bad")
    until(lambda: source.taken() == ["bad"])
    assert source.left() == 1
    clock = DrivenClock(functions.server.endpoint)
    clock.advance(timedelta(seconds=31))
    until(lambda: source.taken() == ["bad", "bad"])


def test_partial_batches(functions: Functions, tmp_path: Path) -> None:
    source = Source(functions, "partial.fifo", tmp_path, FifoQueue="true", ContentBasedDeduplication="true")
    source.map(FunctionResponseTypes=["ReportBatchItemFailures"])
    source.send("well", "ill", MessageGroupId="g")
    until(lambda: "ill" in source.taken() and source.left() == 1)
    assert source.taken() == ["well", "ill"]


def test_a_window_gathers(functions: Functions, tmp_path: Path) -> None:
    source = Source(functions, "gathered", tmp_path, VisibilityTimeout="600")
    source.map(BatchSize=100, MaximumBatchingWindowInSeconds=60)
    source.send("first")
    until(lambda: source.left() == 1)
    source.send(*[str(number) for number in range(25)])
    assert source.batches() == []
    clock = DrivenClock(functions.server.endpoint)

    def passed() -> bool:
        clock.advance(20)
        return bool(source.batches())

    until(passed)
    assert len(source.batches()[0]) == 26


def test_mappings(functions: Functions, tmp_path: Path) -> None:
    api = functions.api
    source = Source(functions, "mapped", tmp_path)
    made = source.map(Enabled=False, ScalingConfig={"MaximumConcurrency": 2})
    with pytest.raises(api.exceptions.ResourceConflictException, match=made["UUID"]):
        source.map()
    source.send("waits")
    assert api.get_event_source_mapping(UUID=made["UUID"])["State"] == "Disabled"
    assert source.left() == 1
    updated = api.update_event_source_mapping(UUID=made["UUID"], Enabled=True, BatchSize=1, ScalingConfig={})
    assert ("ScalingConfig" in updated, updated["BatchSize"]) == (False, 1)
    until(lambda: source.taken() == ["waits"])
    listed = api.list_event_source_mappings(EventSourceArn=source.arn)["EventSourceMappings"]
    assert [each["UUID"] for each in listed] == [made["UUID"]]
    assert api.list_event_source_mappings(FunctionName="mapped:1")["EventSourceMappings"] == []
    pages = api.get_paginator("list_event_source_mappings").paginate(PaginationConfig={"PageSize": 1})
    assert sum(len(page["EventSourceMappings"]) for page in pages) >= 1
    assert api.delete_event_source_mapping(UUID=made["UUID"])["State"] == "Deleting"
    source.send("stays")
    with pytest.raises(api.exceptions.ResourceNotFoundException):
        api.get_event_source_mapping(UUID=made["UUID"])
    assert source.left() == 1


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"BatchSize": 11}, "Maximum batch window in seconds must be greater than 0"),
    ({"EventSourceArn": f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/s"}, "EventSourceArn is not supported"),
    ({"EventSourceArn": f"arn:aws:sqs:us-west-2:{ACCOUNT}:q"}, "must be in the same region"),
    ({"EventSourceArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:none"}, "SQS Error Code: QueueDoesNotExist"),
    ({"FilterCriteria": {"Filters": [{"Pattern": "{}"}]}}, "FilterCriteria is not supported"),
    ({"StartingPosition": "LATEST"}, "StartingPosition is not supported"),
    ({"FunctionName": "hasty"}, "Queue visibility timeout: 30 seconds is less than Function timeout: 31 seconds"),
]


def test_refusals(functions: Functions, tmp_path: Path) -> None:
    source = Source(functions, "refusing", tmp_path)
    functions.create("hasty", Timeout=31)
    for given, message in REFUSED:
        whole = {"EventSourceArn": source.arn, "FunctionName": source.function, **given}
        with pytest.raises(ClientError, match=message) as caught:
            functions.api.create_event_source_mapping(**whole)
        assert caught.value.response["Error"]["Code"] == "InvalidParameterValueException"
    with pytest.raises(functions.api.exceptions.ResourceNotFoundException):
        functions.api.create_event_source_mapping(EventSourceArn=source.arn, FunctionName="none")
