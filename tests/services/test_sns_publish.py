from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skytrail.errors import ServiceError

from .sns_house import ACCOUNT, OTHER, REGION, Topics


@pytest.fixture
def sns(tmp_path: Path) -> Iterator[Topics]:
    house = Topics(tmp_path)
    yield house
    house.close()


def refused(sns: Topics, operation: str, /, **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ServiceError) as error:
        sns(operation, **parameters)
    return error.value.code, (error.value.message or "").removeprefix("Invalid parameter: ")


def text(value: str, kind: str = "String") -> dict[str, Any]:
    return {"DataType": kind, "StringValue": value}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"Message": ""}, "Empty message"),
        ({"Message": "x", "Subject": ""}, "Subject"),
        ({"Message": "x", "Subject": "s" * 101}, "Subject"),
        ({"Message": "x", "Subject": "a\nb"}, "Subject"),
        ({"Message": "x" * 262_145}, "Message too long"),
        ({"Message": "ü" * 131_073}, "Message too long"),
        ({"Message": "x" * 262_130, "MessageAttributes": {"a": text("y" * 10)}}, "Message too long"),
        ({"Message": "x", "MessageStructure": "json"}, "Message Structure - JSON message body failed to parse"),
        ({"Message": "[]", "MessageStructure": "json"}, "Message Structure - JSON message body failed to parse"),
        ({"Message": "{}", "MessageStructure": "json"}, "Message Structure - No default entry in JSON message body"),
        (
            {"Message": '{"default": "x", "default": "y"}', "MessageStructure": "json"},
            "Message Structure - JSON message body failed to parse",
        ),
        ({"Message": '{"default": 1}', "MessageStructure": "json"}, "Message Structure - No default entry in JSON"),
        ({"Message": '{"default": "x"}', "MessageStructure": "xml"}, "Message Structure"),
        ({"Message": "x", "MessageGroupId": "ü"}, "MessageGroupId Reason: MessageGroupId can only include"),
        ({"Message": "x", "MessageDeduplicationId": "d"}, "MessageDeduplicationId Reason: The request includes"),
        ({"Message": "x", "PhoneNumber": "+491700000000"}, "PhoneNumber Reason: SMS is not supported"),
        ({"Message": "x", "TargetArn": "arn:aws:sns:eu-west-1:123456789012:endpoint/GCM/x/y"}, "TargetArn"),
    ],
)
def test_messages_that_are_refused(sns: Topics, given: dict[str, Any], message: str) -> None:
    code, said = refused(sns, "Publish", TopicArn=sns.topic(), **given)
    assert code == "InvalidParameterException"
    assert said.startswith(message)


def test_targets(sns: Topics) -> None:
    topic = sns.topic()
    assert sns("Publish", TargetArn=topic, Message="x")["MessageId"]
    assert refused(sns, "Publish", Message="x")[1].startswith("TopicArn or TargetArn Reason: no value")
    mobile = topic.replace("news", "endpoint/GCM/x/y")
    assert refused(sns, "Publish", TargetArn=mobile, Message="x")[1] == "TargetArn Reason: mobile push is not supported"
    assert refused(sns, "Publish", TopicArn=f"{topic}x", Message="x") == ("NotFoundException", "Topic does not exist")


@pytest.mark.parametrize(
    ("name", "attribute", "message"),
    [
        ("a b", text("x"), "The message attribute name 'a b' is invalid"),
        (".a", text("x"), "must not start or end with a period"),
        ("a..b", text("x"), "must not start or end with a period"),
        ("AWS.x", text("x"), "You can't use message attribute names beginning with"),
        ("a", text("x", "Blob"), "The message attribute 'a' has an invalid message attribute type"),
        ("a", text("x", ""), "The message attribute 'a' must contain non-empty message attribute type."),
        ("a", text(""), "must contain non-empty message attribute value for message attribute type 'String'."),
        ("a", text("x", "Binary"), "The message attribute 'a' with type 'Binary' must use field 'Binary'."),
        ("a", {"DataType": "String", "BinaryValue": b"x"}, "with type 'String' must use field 'String'."),
        ("a", text("1,5", "Number"), "Could not cast message attribute 'a' value to number."),
        ("a", text("x", "String.Array"), "of type String.Array must hold a JSON array"),
        ("a", text('[["x"]]', "String.Array"), "of type String.Array must hold a JSON array"),
        ("a", text("[" * 2000, "String.Array"), "of type String.Array must hold a JSON array"),
    ],
)
def test_attributes_that_are_refused(sns: Topics, name: str, attribute: dict[str, Any], message: str) -> None:
    code, said = refused(sns, "Publish", TopicArn=sns.topic(), Message="x", MessageAttributes={name: attribute})
    assert code == "InvalidParameterValueException"
    assert message in said


def test_larger_messages(sns: Topics) -> None:
    topic, queue = sns.topic("large", MaximumMessageSize="1048576"), sns.queue()
    sns.subscribe(topic, "sqs", queue, RawMessageDelivery="true")
    body = "x" * 1_048_576
    sns("Publish", TopicArn=topic, Message=body)
    assert sns.bodies(queue) == [body]
    assert refused(sns, "Publish", TopicArn=topic, Message=body + "x")[1] == "Message too long"


def test_a_message_with_a_structure(sns: Topics) -> None:
    topic, queue = sns.topic(), sns.queue()
    sns.subscribe(topic, "sqs", queue)
    function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
    sns.subscribe(topic, "lambda", function)
    message = json.dumps({"default": "d", "sqs": "q", "http": 5, "unknown": "x"})
    attributes = {"a": text("x")}
    sns("Publish", TopicArn=topic, Message=message, MessageStructure="json", MessageAttributes=attributes)
    (note,) = sns.notifications(queue)
    assert note["Message"] == "q"
    assert "MessageAttributes" not in note
    (payload,) = [call["Payload"] for service, _, call in sns.calls if service == "lambda"]
    assert json.loads(payload)["Records"][0]["Sns"]["Message"] == "d"


# Batches


def entries(*messages: str, **more: Any) -> list[dict[str, Any]]:
    return [{"Id": str(number), "Message": message, **more} for number, message in enumerate(messages)]


def test_a_batch(sns: Topics) -> None:
    topic, queue = sns.topic(), sns.queue()
    sns.subscribe(topic, "sqs", queue)
    given = entries("a", "", "c", "d")
    given[3]["MessageAttributes"] = {"x": text("")}
    answer = sns("PublishBatch", TopicArn=topic, PublishBatchRequestEntries=given)
    assert [entry["Id"] for entry in answer["Successful"]] == ["0", "2"]
    assert [(entry["Id"], entry["Code"], entry["SenderFault"]) for entry in answer["Failed"]] == [
        ("1", "InvalidParameter", True),
        ("3", "ParameterValueInvalid", True),
    ]
    assert answer["Failed"][0]["Message"] == "Invalid parameter: Empty message"
    notes = sns.notifications(queue)
    assert {note["MessageId"]: note["Message"] for note in notes} == {
        entry["MessageId"]: message for entry, message in zip(answer["Successful"], ("a", "c"), strict=True)
    }
    assert [operation for service, operation, _ in sns.calls if service == "sqs"] == ["SendMessageBatch"]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ([], "EmptyBatchRequestException"),
        (entries(*"abcdefghijk"), "TooManyEntriesInBatchRequestException"),
        ([{"Id": "a", "Message": "x"}] * 2, "BatchEntryIdsNotDistinctException"),
        ([{"Id": "a b", "Message": "x"}], "InvalidBatchEntryIdException"),
        ([{"Id": "x" * 81, "Message": "x"}], "InvalidBatchEntryIdException"),
        (entries("x" * 200_000, "x" * 70_000), "BatchRequestTooLongException"),
    ],
)
def test_batches_that_are_refused(sns: Topics, given: list[dict[str, Any]], code: str) -> None:
    assert refused(sns, "PublishBatch", TopicArn=sns.topic(), PublishBatchRequestEntries=given)[0] == code


# FIFO


def test_fifo(sns: Topics) -> None:
    topic, queue = sns.topic("t.fifo"), sns.queue("q.fifo")
    plain = sns.queue("plain")
    sns.subscribe(topic, "sqs", queue)
    sns.subscribe(topic, "sqs", plain, RawMessageDelivery="true")
    assert refused(sns, "Publish", TopicArn=topic, Message="x")[1] == (
        "The MessageGroupId parameter is required for FIFO topics"
    )
    assert refused(sns, "Publish", TopicArn=topic, Message="x", MessageGroupId="g")[1].startswith(
        "The topic should either have ContentBasedDeduplication enabled"
    )
    first = sns("Publish", TopicArn=topic, Message="a", MessageGroupId="g", MessageDeduplicationId="1")
    assert len(first["SequenceNumber"]) == 20
    again = sns("Publish", TopicArn=topic, Message="b", MessageGroupId="h", MessageDeduplicationId="1")
    assert again == first
    second = sns("Publish", TopicArn=topic, Message="c", MessageGroupId="g", MessageDeduplicationId="2")
    assert second["SequenceNumber"] > first["SequenceNumber"]
    received = sns.receive(queue)
    notes = [json.loads(message["Body"]) for message in received]
    assert [(note["Message"], note["SequenceNumber"]) for note in notes] == [
        ("a", first["SequenceNumber"]),
        ("c", second["SequenceNumber"]),
    ]
    assert received[0]["Attributes"]["MessageGroupId"] == "g"
    assert received[0]["Attributes"]["MessageDeduplicationId"] == "1"
    assert sns.bodies(plain) == ["a", "c"]
    sns.advance(300)
    later = sns("Publish", TopicArn=topic, Message="a", MessageGroupId="g", MessageDeduplicationId="1")
    assert later["SequenceNumber"] > second["SequenceNumber"]


def test_deduplication_by_content_and_by_group(sns: Topics) -> None:
    queue = sns.queue("q.fifo", ContentBasedDeduplication="true")
    topic = sns.topic("c.fifo", ContentBasedDeduplication="true")
    sns.subscribe(topic, "sqs", queue, RawMessageDelivery="true")
    batch = entries("a", "a", "b", MessageGroupId="g")
    answer = sns("PublishBatch", TopicArn=topic, PublishBatchRequestEntries=batch)["Successful"]
    assert answer[0]["MessageId"] == answer[1]["MessageId"] != answer[2]["MessageId"]
    sns("Publish", TopicArn=topic, Message="a", MessageGroupId="other")
    assert sns.bodies(queue) == ["a", "b"]
    sns("SetTopicAttributes", TopicArn=topic, AttributeName="FifoThroughputScope", AttributeValue="MessageGroup")
    for group in ("g1", "g2", "g1"):
        sns("Publish", TopicArn=topic, Message="x", MessageGroupId=group)
    (count,) = sns.store.read.connection.execute(
        "SELECT count(*) FROM sns_deduplication WHERE scope IN ('g1', 'g2')"
    ).fetchone()
    assert count == 2


def test_a_group_waits_for_its_first_message(sns: Topics) -> None:
    """Another group, and another subscription, do not."""
    topic = sns.topic("t.fifo", ContentBasedDeduplication="true")
    queue = sns.queue("q.fifo")
    sns.subscribe(topic, "sqs", queue, RawMessageDelivery="true")
    failing = {"g1"}
    perform = sns.perform

    async def perform_or_fail(call: Any) -> None:
        if any(entry.get("MessageGroupId") in failing for entry in call.input.get("Entries", ())):
            call.error = ServiceError("ServiceUnavailable", "later", status=503)
            return
        await perform(call)

    sns.answer_internally(perform_or_fail)
    for number in range(3):
        for group in ("g1", "g2"):
            sns("Publish", TopicArn=topic, Message=f"{group}-{number}", MessageGroupId=group)
    assert sns.bodies(queue) == ["g2-0", "g2-1", "g2-2"]
    failing.clear()
    sns.advance(20)
    assert sns.bodies(queue) == ["g1-0", "g1-1", "g1-2"]


# Who gets what


def test_filters(sns: Topics) -> None:
    topic = sns.topic()
    queues = {name: sns.queue(name) for name in ("all", "store", "price", "array", "body", "neither", "binary")}
    policies: dict[str, dict[str, str]] = {
        "all": {},
        "store": {"FilterPolicy": '{"store": ["a"]}'},
        "price": {"FilterPolicy": '{"price": [{"numeric": [">=", 10.5]}]}'},
        "array": {"FilterPolicy": '{"list": ["x", 5, true]}', "FilterPolicyScope": "MessageAttributes"},
        "body": {"FilterPolicy": '{"order": {"state": ["new"]}}', "FilterPolicyScope": "MessageBody"},
        "neither": {"FilterPolicy": '{"store": [{"exists": false}]}'},
        "binary": {"FilterPolicy": '{"blob": [{"exists": true}]}'},
    }
    for name, queue in queues.items():
        sns.subscribe(topic, "sqs", queue, RawMessageDelivery="true", **policies[name])
    messages: list[tuple[str, dict[str, Any], set[str]]] = [
        ("1", {"store": text("a")}, {"store"}),
        ("2", {"store": text("b"), "price": text("10.50", "Number")}, {"price"}),
        ("3", {"price": text("10.50")}, {"neither"}),
        ("4", {"list": text('["q", "x"]', "String.Array")}, {"array", "neither"}),
        ("5", {"list": text("[true]", "String.Array")}, {"array", "neither"}),
        ("6", {"list": text("5", "Number")}, {"array", "neither"}),
        ('{"order": {"state": "new"}}', {"store": text("z")}, {"body"}),
        ("not JSON", {"blob": {"DataType": "Binary", "BinaryValue": b"x"}}, {"neither"}),
    ]
    batch = [
        {"Id": str(number), "Message": body, "MessageAttributes": attributes}
        for number, (body, attributes, _) in enumerate(messages)
    ]
    sns("PublishBatch", TopicArn=topic, PublishBatchRequestEntries=batch)
    for name, queue in queues.items():
        wanted = [body for body, _, names in messages if name in names or name == "all"]
        assert (name, sorted(sns.bodies(queue))) == (name, sorted(wanted))


def test_a_filter_on_bodies_looks_at_what_its_protocol_gets(sns: Topics) -> None:
    topic, queue = sns.topic(), sns.queue()
    sns.subscribe(topic, "sqs", queue, FilterPolicy='{"a": [1]}', FilterPolicyScope="MessageBody")
    for sqs, default in (('{"a": 1}', "{}"), ("{}", '{"a": 1}')):
        sns("Publish", TopicArn=topic, Message=json.dumps({"default": default, "sqs": sqs}), MessageStructure="json")
    assert [note["Message"] for note in sns.notifications(queue)] == ['{"a": 1}']


def test_accounts_and_regions_are_apart(sns: Topics) -> None:
    mine, queue = sns.topic(), sns.queue()
    sns.subscribe(mine, "sqs", queue, RawMessageDelivery="true")
    theirs = sns.by(OTHER, "CreateTopic", Name="news")["TopicArn"]
    sns.by(OTHER, "Publish", TopicArn=theirs, Message="theirs")
    elsewhere = sns.run(sns.ask("sns", "CreateTopic", {"Name": "news"}, region="us-east-1"))["TopicArn"]
    sns.run(sns.ask("sns", "Publish", {"TopicArn": elsewhere, "Message": "elsewhere"}, region="us-east-1"))
    assert refused(sns, "Publish", TopicArn=elsewhere, Message="x")[1] == "TopicArn"
    assert sns.bodies(queue) == []
    with pytest.raises(ServiceError, match="no resource-based policy allows the sns:Publish action"):
        sns.by(OTHER, "Publish", TopicArn=mine, Message="x")
    sns("AddPermission", TopicArn=mine, Label="shared", AWSAccountId=[OTHER], ActionName=["Publish"])
    sns.by(OTHER, "Publish", TopicArn=mine, Message="across")
    assert sns.bodies(queue) == ["across"]
    assert [topic["TopicArn"] for topic in sns("ListTopics")["Topics"]] == [mine]
