"""SQS: messages sent, received, deleted, shown again; both kinds of queues; dead letters; long polls."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skytrail.errors import ServiceError
from skytrail.identity.principals import Identity
from skytrail.services.sqs import receiving

from .sqs_house import ACCOUNT, NOW, Queues


@pytest.fixture
def sqs(tmp_path: Path) -> Iterator[Queues]:
    queues = Queues(tmp_path)
    yield queues
    queues.close()


def refused(sqs: Queues, operation: str, /, **parameters: Any) -> tuple[str, str]:
    with pytest.raises(ServiceError) as caught:
        sqs(operation, **parameters)
    return caught.value.code, caught.value.message or ""


# Standard queues


def test_a_messages_life(sqs: Queues) -> None:
    url = sqs.queue()
    sent = sqs.send(url, "hello")
    assert sent == {"MD5OfMessageBody": hashlib.md5(b"hello").hexdigest(), "MessageId": sent["MessageId"]}
    assert sqs.numbers(url) == (1, 0, 0)
    sqs.advance(2)
    (message,) = sqs.receive(url)
    assert message == {
        "MessageId": sent["MessageId"],
        "ReceiptHandle": message["ReceiptHandle"],
        "MD5OfBody": sent["MD5OfMessageBody"],
        "Body": "hello",
        "Attributes": {
            "SenderId": ACCOUNT,
            "SentTimestamp": str(int(NOW * 1000)),
            "ApproximateReceiveCount": "1",
            "ApproximateFirstReceiveTimestamp": str(int(NOW * 1000) + 2000),
        },
    }
    assert sqs.receive(url) == []
    assert sqs.numbers(url) == (0, 1, 0)
    sqs.advance(30)
    (again,) = sqs.receive(url)
    assert again["Attributes"]["ApproximateReceiveCount"] == "2"
    assert again["Attributes"]["ApproximateFirstReceiveTimestamp"] == str(int(NOW * 1000) + 2000)
    assert again["ReceiptHandle"] != message["ReceiptHandle"]
    sqs.delete(url, message)  # an old handle is taken, and does nothing
    assert sqs.numbers(url) == (0, 1, 0)
    sqs.delete(url, again)
    sqs.delete(url, again)
    sqs.advance(60)
    assert sqs.receive(url) == []
    assert sqs.numbers(url) == (0, 0, 0)


def test_only_what_is_asked_for_is_shown(sqs: Queues) -> None:
    url = sqs.queue()
    attributes = {
        "a.one": {"DataType": "String", "StringValue": "x"},
        "a.two": {"DataType": "Number.int", "StringValue": "12"},
        "b": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793"
    sent = sqs.send(
        url,
        MessageAttributes=attributes,
        MessageSystemAttributes={"AWSTraceHeader": {"DataType": "String", "StringValue": trace}},
    )
    whole = sent["MD5OfMessageAttributes"]

    def received(**asked: Any) -> dict[str, Any]:
        (message,) = sqs("ReceiveMessage", QueueUrl=url, VisibilityTimeout=0, **asked)["Messages"]
        return dict(message)

    assert received().keys() == {"MessageId", "ReceiptHandle", "MD5OfBody", "Body"}
    for every in (["All"], [".*"], ["a.*", "b"]):
        message = received(MessageAttributeNames=every)
        assert (message["MessageAttributes"], message["MD5OfMessageAttributes"]) == (attributes, whole)
    message = received(MessageAttributeNames=["b", "c"], AttributeNames=["AWSTraceHeader"])
    assert message["MessageAttributes"] == {"b": attributes["b"]}
    assert message["MD5OfMessageAttributes"] != whole
    assert message["Attributes"] == {"AWSTraceHeader": trace}
    assert "MessageAttributes" not in received(MessageAttributeNames=["zzz"])


def test_the_sender_is_who_called(sqs: Queues) -> None:
    url = sqs.queue()
    user = Identity("IAMUser", ACCOUNT, "AIDAEXAMPLE", f"arn:aws:iam::{ACCOUNT}:user/a", "a")
    sqs.by(user, "eu-west-1", "SendMessage", QueueUrl=url, MessageBody="m")
    assert sqs.receive(url)[0]["Attributes"]["SenderId"] == "AIDAEXAMPLE"


def test_delays(sqs: Queues) -> None:
    url = sqs.queue(DelaySeconds="5")
    sqs.send(url, "queue's")
    sqs.send(url, "own", DelaySeconds=10)
    sqs.send(url, "none", DelaySeconds=0)
    assert sqs.bodies(url) == ["none"]
    assert sqs.numbers(url) == (0, 1, 2)
    sqs.advance(5)
    assert sqs.bodies(url) == ["queue's"]
    sqs.advance(4.999)
    assert sqs.bodies(url) == []
    sqs.advance(0.001)
    assert sqs.bodies(url) == ["own"]


def test_messages_expire(sqs: Queues) -> None:
    url = sqs.queue(MessageRetentionPeriod="60")
    sqs.send(url, "old")
    sqs.advance(40)
    sqs.send(url, "new")
    sqs.advance(20)
    assert sqs.numbers(url) == (1, 0, 0)
    assert sqs.bodies(url) == ["new"]
    sqs.advance(40)
    assert sqs.numbers(url) == (0, 0, 0)


def test_visibility_is_changed(sqs: Queues) -> None:
    url = sqs.queue()
    sqs.send(url)
    (message,) = sqs.receive(url, VisibilityTimeout=10)

    def change(seconds: int) -> None:
        sqs(
            "ChangeMessageVisibility",
            QueueUrl=url,
            ReceiptHandle=message["ReceiptHandle"],
            VisibilityTimeout=seconds,
        )

    sqs.advance(5)
    change(10)
    sqs.advance(9)
    assert sqs.receive(url) == []
    change(0)
    (message,) = sqs.receive(url)
    for seconds in (-1, 43201):
        with pytest.raises(ServiceError, match="VisibilityTimeout"):
            change(seconds)
    sqs.advance(1)
    with pytest.raises(ServiceError, match=r"beyond the limit \[43200 seconds\]"):
        change(43200)
    sqs.advance(29)
    with pytest.raises(ServiceError) as caught:
        change(5)
    assert caught.value.code == "MessageNotInflight"
    sqs.delete(url, message)
    with pytest.raises(ServiceError, match="does not exist or is not available for visibility timeout change"):
        change(5)


def test_handles_are_not_made_up(sqs: Queues) -> None:
    url, other = sqs.queue(), sqs.queue("other")
    sqs.send(url)
    handle = sqs.receive(url)[0]["ReceiptHandle"]
    for wrong in (
        "",
        "x",
        "AQEB",
        handle[:-4],
        handle + " ",
        handle[:30] + ("A" if handle[30] != "A" else "B") + handle[31:],
    ):
        for operation, more in (("DeleteMessage", {}), ("ChangeMessageVisibility", {"VisibilityTimeout": 1})):
            assert refused(sqs, operation, QueueUrl=url, ReceiptHandle=wrong, **more)[0] == "ReceiptHandleIsInvalid"
    assert refused(sqs, "DeleteMessage", QueueUrl=other, ReceiptHandle=handle)[0] == "ReceiptHandleIsInvalid"


def test_no_more_are_in_flight_than_may_be(sqs: Queues, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "IN_FLIGHT", 3)
    for url, more in (
        (sqs.queue(), {}),
        (sqs.queue("q.fifo", ContentBasedDeduplication="true"), {"MessageGroupId": "g"}),
    ):
        for number in range(5):
            sqs.send(url, str(number), **({**more, "MessageGroupId": str(number)} if more else {}))
        assert len(sqs.receive(url, 2)) == 2
        last = sqs.receive(url)
        assert len(last) == 1
        if more:
            assert sqs.receive(url) == []
        else:
            assert refused(sqs, "ReceiveMessage", QueueUrl=url)[0] == "OverLimit"
        sqs.delete(url, last[0])
        assert len(sqs.receive(url)) == 1


# Batches


def test_entries_of_a_batch_fail_by_themselves(sqs: Queues) -> None:
    url = sqs.queue(MaximumMessageSize="1024")
    result = sqs(
        "SendMessageBatch",
        QueueUrl=url,
        Entries=[
            {"Id": "fine", "MessageBody": "a"},
            {"Id": "long", "MessageBody": "x" * 1025},
            {"Id": "odd", "MessageBody": "\x00"},
            {"Id": "late", "MessageBody": "b", "DelaySeconds": 901},
            {"Id": "too", "MessageBody": "b", "DelaySeconds": 1},
        ],
    )
    assert [entry["Id"] for entry in result["Successful"]] == ["fine", "too"]
    assert {entry["Id"]: entry["Code"] for entry in result["Failed"]} == {
        "long": "InvalidParameterValue",
        "odd": "InvalidMessageContents",
        "late": "InvalidParameterValue",
    }
    sqs.advance(1)
    received = sqs.receive(url)
    assert [message["Body"] for message in received] == ["a", "b"]
    handles = [message["ReceiptHandle"] for message in received]
    changed = sqs(
        "ChangeMessageVisibilityBatch",
        QueueUrl=url,
        Entries=[
            {"Id": "0", "ReceiptHandle": handles[0], "VisibilityTimeout": 0},
            {"Id": "1", "ReceiptHandle": "wrong", "VisibilityTimeout": 0},
            {"Id": "2", "ReceiptHandle": handles[1]},
        ],
    )
    assert [entry["Id"] for entry in changed["Successful"]] == ["0"]
    assert [entry["Code"] for entry in changed["Failed"]] == ["ReceiptHandleIsInvalid", "MissingParameter"]
    deleted = sqs(
        "DeleteMessageBatch",
        QueueUrl=url,
        Entries=[{"Id": "0", "ReceiptHandle": handles[0]}, {"Id": "1", "ReceiptHandle": "wrong"}],
    )
    assert [entry["Id"] for entry in deleted["Successful"]] == ["0"]
    assert deleted["Failed"][0]["SenderFault"] is True
    assert sqs.numbers(url) == (0, 1, 0)


# FIFO queues


@pytest.fixture
def fifo(sqs: Queues) -> str:
    return sqs.queue("work.fifo", ContentBasedDeduplication="true")


def test_a_group_keeps_its_order(sqs: Queues, fifo: str) -> None:
    for number in range(4):
        sqs.send(fifo, f"a{number}", MessageGroupId="a")
        sqs.send(fifo, f"b{number}", MessageGroupId="b")
    first = sqs.receive(fifo, 3)
    assert [message["Body"] for message in first] == ["a0", "a1", "a2"]
    assert sqs.bodies(fifo, 2) == ["b0", "b1"]
    assert sqs.bodies(fifo) == []
    sqs.delete(fifo, first[0])
    sqs.delete(fifo, first[2])
    assert sqs.bodies(fifo) == []
    sqs("ChangeMessageVisibility", QueueUrl=fifo, ReceiptHandle=first[1]["ReceiptHandle"], VisibilityTimeout=0)
    again = sqs.receive(fifo)
    assert [message["Body"] for message in again] == ["a1", "a3"]
    numbers = [message["Attributes"]["SequenceNumber"] for message in again]
    assert numbers == sorted(numbers)
    assert {len(number) for number in numbers} == {20}
    sqs.advance(30)
    with pytest.raises(ServiceError, match="The receipt handle has expired"):
        sqs.delete(fifo, first[1])


def test_what_was_sent_before_is_not_sent_again(sqs: Queues, fifo: str) -> None:
    first = sqs.send(fifo, "x", MessageGroupId="a")
    assert sqs.send(fifo, "x", MessageGroupId="b") == first
    named = sqs.send(fifo, "y", MessageGroupId="a", MessageDeduplicationId="1")
    assert sqs.send(fifo, "z", MessageGroupId="a", MessageDeduplicationId="1")["MessageId"] == named["MessageId"]
    assert sqs.send(fifo, "w", MessageGroupId="a", MessageDeduplicationId=hashlib.sha256(b"x").hexdigest()) == {
        **first,
        "MD5OfMessageBody": hashlib.md5(b"w").hexdigest(),
    }
    for message in sqs.receive(fifo):
        sqs.delete(fifo, message)
    sqs.advance(299)
    assert sqs.send(fifo, "x", MessageGroupId="a") == first
    assert sqs.receive(fifo) == []
    sqs.advance(1)
    assert sqs.send(fifo, "x", MessageGroupId="a") != first
    assert sqs.bodies(fifo) == ["x"]


def test_groups_may_deduplicate_for_themselves(sqs: Queues) -> None:
    url = sqs.queue("q.fifo", DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId")
    for group in ("a", "b", "a"):
        sqs.send(url, group, MessageGroupId=group, MessageDeduplicationId="1")
    assert sqs.bodies(url) == ["a", "b"]


def test_a_receive_is_tried_again(sqs: Queues, fifo: str) -> None:
    for number in range(3):
        sqs.send(fifo, str(number), MessageGroupId="a")
    first = sqs.receive(fifo, 2, ReceiveRequestAttemptId="try", VisibilityTimeout=10)
    sqs.advance(5)
    again = sqs.receive(fifo, 2, ReceiveRequestAttemptId="try", VisibilityTimeout=10)
    assert again == first
    sqs.advance(9)  # which has hidden them for longer
    assert sqs.receive(fifo, 2, ReceiveRequestAttemptId="other") == []
    sqs.delete(fifo, first[0])
    assert sqs.receive(fifo, 2, ReceiveRequestAttemptId="try") == []
    sqs.advance(1)
    assert [message["Body"] for message in sqs.receive(fifo, 2, ReceiveRequestAttemptId="try")] == ["1", "2"]


def test_a_fifo_queues_delay_holds_for_what_it_has(sqs: Queues, fifo: str) -> None:
    sqs("SetQueueAttributes", QueueUrl=fifo, Attributes={"DelaySeconds": "60"})
    sqs.send(fifo, "0", MessageGroupId="a")
    sqs("SetQueueAttributes", QueueUrl=fifo, Attributes={"DelaySeconds": "0"})
    sqs.send(fifo, "1", MessageGroupId="a")
    assert sqs.bodies(fifo) == ["0", "1"]


# Dead letters


@pytest.mark.parametrize("kind", ["", ".fifo"])
def test_what_nobody_deletes_becomes_a_dead_letter(kind: str, sqs: Queues) -> None:
    more = {"ContentBasedDeduplication": "true"} if kind else {}
    group = {"MessageGroupId": "g"} if kind else {}
    dead, url = sqs.queue(f"dead{kind}", **more), sqs.queue(f"work{kind}", **more)
    arn, source = sqs.attributes(dead)["QueueArn"], sqs.attributes(url)["QueueArn"]
    policy = f'{{"deadLetterTargetArn":"{arn}","maxReceiveCount":"2"}}'
    sqs("SetQueueAttributes", QueueUrl=url, Attributes={"RedrivePolicy": policy})
    first = sqs.send(url, "0", **group)
    sqs.advance(1)
    for _ in range(2):
        assert sqs.bodies(url, 1) == ["0"]
        sqs.advance(30)
    sqs.send(url, "1", **group)
    assert sqs.bodies(url, 1) == ["1"]
    assert sqs.numbers(dead) == (1, 0, 0)
    (message,) = sqs.receive(dead)
    assert (message["MessageId"], message["Body"]) == (first["MessageId"], "0")
    shown = message["Attributes"]
    assert (shown["DeadLetterQueueSourceArn"], shown["ApproximateReceiveCount"]) == (source, "3")
    assert int(shown["SentTimestamp"]) == int(NOW * 1000) + (61000 if kind else 0)
    assert sqs("ListDeadLetterSourceQueues", QueueUrl=dead) == {"queueUrls": [url]}


# Long polls


def test_a_long_poll_ends_with_a_message(sqs: Queues) -> None:
    url = sqs.queue()

    async def both() -> dict[str, Any]:
        polling = asyncio.ensure_future(sqs.ask("ReceiveMessage", {"QueueUrl": url, "WaitTimeSeconds": 20}))
        await sqs.quiet()
        assert not polling.done()
        await sqs.ask("SendMessage", {"QueueUrl": url, "MessageBody": "m"})
        return await asyncio.wait_for(polling, 5)

    assert sqs.run(both())["Messages"][0]["Body"] == "m"


@pytest.mark.parametrize("kind", ["", ".fifo"])
def test_long_polls_follow_the_clock(kind: str, sqs: Queues) -> None:
    more = {"ContentBasedDeduplication": "true"} if kind else {}
    url = sqs.queue(f"work{kind}", **more, DelaySeconds="7")
    sqs.send(url, "late", **({"MessageGroupId": "g"} if kind else {}))

    async def drive() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        wish = {"QueueUrl": url, "MessageSystemAttributeNames": ["All"], "WaitTimeSeconds": 20}
        polls = [asyncio.ensure_future(sqs.ask("ReceiveMessage", dict(wish))) for _ in range(2)]
        await sqs.quiet()
        await sqs.clock.advance(6)
        assert not any(poll.done() for poll in polls)
        await sqs.clock.advance(10)
        await sqs.quiet()
        assert [poll.done() for poll in polls] == [True, False]
        await sqs.clock.advance(4)
        await sqs.quiet()
        return [(await asyncio.wait_for(poll, 5)).get("Messages", []) for poll in polls]  # type: ignore[return-value]

    first, second = sqs.run(drive())
    assert second == []
    received = int(first[0]["Attributes"]["ApproximateFirstReceiveTimestamp"])
    assert received == int(NOW * 1000) + 7000  # at its own time, however far the clock went


def test_one_message_ends_one_of_many_polls(sqs: Queues) -> None:
    url = sqs.queue(ReceiveMessageWaitTimeSeconds="20")

    async def drive() -> list[dict[str, Any]]:
        wish = {"QueueUrl": url, "MaxNumberOfMessages": 10}
        polls = [asyncio.ensure_future(sqs.ask("ReceiveMessage", dict(wish))) for _ in range(5)]
        await sqs.quiet()
        for count in (1, 2):
            await sqs.ask("SendMessage", {"QueueUrl": url, "MessageBody": str(count)})
            await asyncio.sleep(0.05)
            assert sum(poll.done() for poll in polls) == count
        await sqs.clock.advance(20)
        return await asyncio.wait_for(asyncio.gather(*polls), 5)

    results = sqs.run(drive())
    assert sorted(message["Body"] for result in results for message in result.get("Messages", [])) == ["1", "2"]


def test_a_long_poll_does_not_end_for_a_dead_letter(sqs: Queues) -> None:
    dead = sqs.queue("dead")
    arn = sqs.attributes(dead)["QueueArn"]
    url = sqs.queue(RedrivePolicy=f'{{"deadLetterTargetArn":"{arn}","maxReceiveCount":1}}', VisibilityTimeout="5")
    sqs.send(url)
    assert len(sqs.receive(url)) == 1

    async def drive() -> list[dict[str, Any]]:
        polls = [
            asyncio.ensure_future(sqs.ask("ReceiveMessage", {"QueueUrl": each, "WaitTimeSeconds": 20}))
            for each in (url, dead)
        ]
        await sqs.quiet()
        await sqs.clock.advance(10)
        await asyncio.sleep(0.05)
        assert [poll.done() for poll in polls] == [False, True]
        await sqs.clock.advance(10)
        return await asyncio.wait_for(asyncio.gather(*polls), 5)

    assert [len(result.get("Messages", [])) for result in sqs.run(drive())] == [0, 1]


def test_a_long_poll_of_a_deleted_queue_ends(sqs: Queues) -> None:
    url = sqs.queue()

    async def drive() -> None:
        polling = asyncio.ensure_future(sqs.ask("ReceiveMessage", {"QueueUrl": url, "WaitTimeSeconds": 20}))
        await sqs.quiet()
        await sqs.ask("DeleteQueue", {"QueueUrl": url})
        await asyncio.wait_for(polling, 5)

    with pytest.raises(ServiceError) as caught:
        sqs.run(drive())
    assert caught.value.code == "QueueDoesNotExist"


# Moves


def test_dead_letters_are_moved_back(sqs: Queues) -> None:
    dead, other = sqs.queue("dead"), sqs.queue("other")
    arn = sqs.attributes(dead)["QueueArn"]
    url = sqs.queue(RedrivePolicy=f'{{"deadLetterTargetArn":"{arn}","maxReceiveCount":1}}', VisibilityTimeout="0")
    ids = {sqs.send(url, str(number))["MessageId"] for number in range(7)}
    sqs.receive(url)
    assert sqs.receive(url) == []
    assert sqs.numbers(dead) == (7, 0, 0)
    handle = sqs("StartMessageMoveTask", SourceArn=arn, MaxNumberOfMessagesPerSecond=3)["TaskHandle"]
    assert refused(sqs, "StartMessageMoveTask", SourceArn=arn)[1].startswith("There is already a task running.")
    sqs.advance(1)
    (task,) = sqs("ListMessageMoveTasks", SourceArn=arn)["Results"]
    assert (task["Status"], task["TaskHandle"], task["ApproximateNumberOfMessagesMoved"]) == ("RUNNING", handle, 6)
    sqs.advance(1)
    (task,) = sqs("ListMessageMoveTasks", SourceArn=arn)["Results"]
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", 7)
    assert "TaskHandle" not in task
    assert refused(sqs, "CancelMessageMoveTask", TaskHandle=handle)[0] == "UnsupportedOperation"
    moved = sqs.receive(url, VisibilityTimeout=30)
    assert [message["Body"] for message in moved] == [str(number) for number in range(7)]
    assert not ids & {message["MessageId"] for message in moved}
    assert {message["Attributes"]["ApproximateReceiveCount"] for message in moved} == {"1"}

    sqs.send(dead, "by hand")
    sqs("StartMessageMoveTask", SourceArn=arn)
    sqs.advance(1)
    (task,) = sqs("ListMessageMoveTasks", SourceArn=arn)["Results"]
    assert (task["Status"], task["FailureReason"]) == ("FAILED", "CouldNotDetermineMessageSource")
    sqs("StartMessageMoveTask", SourceArn=arn, DestinationArn=sqs.attributes(other)["QueueArn"])
    sqs.advance(1)
    assert sqs.bodies(other) == ["by hand"]
    assert len(sqs("ListMessageMoveTasks", SourceArn=arn, MaxResults=10)["Results"]) == 3


def test_a_move_is_cancelled_and_outlives_a_restart(sqs: Queues) -> None:
    dead, other = sqs.queue("dead"), sqs.queue("other")
    arn, target = sqs.attributes(dead)["QueueArn"], sqs.attributes(other)["QueueArn"]
    sqs.queue(RedrivePolicy=f'{{"deadLetterTargetArn":"{arn}","maxReceiveCount":1}}')
    for number in range(5):
        sqs.send(dead, str(number))
    handle = sqs("StartMessageMoveTask", SourceArn=arn, DestinationArn=target, MaxNumberOfMessagesPerSecond=1)[
        "TaskHandle"
    ]
    sqs.advance(1)
    sqs.store.close()
    sqs.open()
    sqs("ListQueues")
    moved = sqs("ListMessageMoveTasks", SourceArn=arn)["Results"][0]["ApproximateNumberOfMessagesMoved"]
    sqs.advance(1)
    task = sqs("ListMessageMoveTasks", SourceArn=arn)["Results"][0]
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"] > moved) == ("RUNNING", True)
    sqs("CancelMessageMoveTask", TaskHandle=handle)
    sqs.advance(2)
    task = sqs("ListMessageMoveTasks", SourceArn=arn)["Results"][0]
    assert task["Status"] == "CANCELLED"
    assert sqs.numbers(other)[0] == task["ApproximateNumberOfMessagesMoved"]


# On disk


def test_all_is_there_after_a_restart(sqs: Queues, fifo: str) -> None:
    url = sqs.queue()
    for target, more in ((url, {}), (fifo, {"MessageGroupId": "g"})):
        sqs.send(target, "0", **more)
        sqs.send(target, "1", **more)
    handle = sqs.receive(url, 1)[0]
    sqs.store.close()
    sqs.open()
    assert sqs.numbers(url) == (1, 1, 0)
    sqs.delete(url, handle)
    assert sqs.bodies(url) == ["1"]
    assert sqs.bodies(fifo) == ["0", "1"]
    assert sqs.send(fifo, "0", MessageGroupId="g")["SequenceNumber"]
    sqs.advance(30)
    assert sqs.bodies(fifo) == ["0", "1"]


def test_a_receive_costs_the_same_in_a_long_queue(sqs: Queues) -> None:
    """Counted in steps of SQLite's machine, by whatever a poll and a receive ask of it."""

    def steps(url: str) -> int:
        count = 0

        def tick() -> int:
            nonlocal count
            count += 1
            return 0

        connections = (sqs.store.read.connection, sqs.store._writing)
        for connection in connections:
            connection.set_progress_handler(tick, 10)
        try:
            assert len(sqs.receive(url, 10, WaitTimeSeconds=1)) == 10
        finally:
            for connection in connections:
                connection.set_progress_handler(None, 0)
        return count

    for kind in ("", ".fifo"):
        more = {"ContentBasedDeduplication": "true"} if kind else {}
        short, long = sqs.queue(f"short{kind}", **more), sqs.queue(f"long{kind}", **more)
        for url, batches in ((short, 1), (long, 150)):
            for batch in range(batches):
                entries = [
                    {"Id": str(n), "MessageBody": f"{batch}-{n}", "MessageGroupId": str(batch)} for n in range(10)
                ]
                sqs("SendMessageBatch", QueueUrl=url, Entries=entries)
        for _ in range(100):
            sqs.receive(long)
        assert steps(long) < 2 * steps(short)
