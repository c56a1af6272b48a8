from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skytrail.call import Call
from skytrail.errors import ServiceError
from skytrail.services import sns as room
from skytrail.services.sns import delivery_policies, shipments, webhooks
from skytrail.services.sns.delivery_policies import Retries

from .sns_house import ACCOUNT, REGION, URL, Endpoint, Topics, verify

FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
ATTRIBUTES = {
    "text": {"DataType": "String", "StringValue": "ü"},
    "number": {"DataType": "Number", "StringValue": "1.50"},
    "list": {"DataType": "String.Array", "StringValue": '["a", 1]'},
    "blob": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
}


@pytest.fixture
def sns(tmp_path: Path) -> Iterator[Topics]:
    house = Topics(tmp_path)
    yield house
    house.close()


@pytest.fixture
def endpoint(sns: Topics) -> Iterator[Endpoint]:
    endpoint = Endpoint(sns)
    yield endpoint
    endpoint.close()


def confirmed(sns: Topics, endpoint: Endpoint, topic: str, **attributes: str) -> str:
    arn = sns.subscribe(topic, "http", endpoint.url, **attributes)
    sns.by_link("ConfirmSubscription", TopicArn=topic, Token=endpoint.messages[-1]["Token"])
    endpoint.received.clear()
    return arn


# Formats


@pytest.mark.parametrize("version", ["1", "2"])
def test_messages_are_signed(sns: Topics, endpoint: Endpoint, version: str) -> None:
    topic = sns.topic(SignatureVersion=version)
    arn = sns.subscribe(topic, "http", endpoint.url)
    sns.by_link("ConfirmSubscription", TopicArn=topic, Token=endpoint.messages[-1]["Token"])
    sns("Publish", TopicArn=topic, Message="ü\n\x01", Subject="s")
    sns("Publish", TopicArn=topic, Message="without a subject")
    sns.by_link("Unsubscribe", SubscriptionArn=arn)
    assert [message["Type"] for message in endpoint.messages] == [
        "SubscriptionConfirmation", "Notification", "Notification", "UnsubscribeConfirmation",
    ]  # fmt: skip
    for message in endpoint.messages:
        assert message["SignatureVersion"] == version
        verify(sns, message)


def test_the_key_outlives_a_restart_and_lies_sealed(sns: Topics, endpoint: Endpoint) -> None:
    topic = sns.topic()
    confirmed(sns, endpoint, topic)
    sns("Publish", TopicArn=topic, Message="before")
    sns.reopen()
    sns("Publish", TopicArn=topic, Message="after")
    before, after = endpoint.messages
    assert before["SigningCertURL"] == after["SigningCertURL"]
    verify(sns, before)
    verify(sns, after)
    assert room.certificate(sns.engines, "/SimpleNotificationService-0.pem") is None
    assert room.certificate(sns.engines, "/x") is None
    (row,) = sns.store.read.connection.execute("SELECT body FROM resources WHERE kind = 'sns-signing-key'").fetchone()
    assert b"PRIVATE" not in base64.b64decode(json.loads(row)["sealed"])


def test_the_json_of_a_notification(sns: Topics) -> None:
    topic, queue = sns.topic(), sns.queue()
    arn = sns.subscribe(topic, "sqs", queue)
    id_ = sns("Publish", TopicArn=topic, Message='say "hi"', Subject="s", MessageAttributes=ATTRIBUTES)["MessageId"]
    (body,) = sns.bodies(queue)
    assert body.startswith('{\n  "Type" : "Notification",\n  "MessageId" : "')
    note = json.loads(body)
    assert list(note) == [
        "Type", "MessageId", "TopicArn", "Subject", "Message", "Timestamp", "SignatureVersion", "Signature",
        "SigningCertURL", "UnsubscribeURL", "MessageAttributes",
    ]  # fmt: skip
    assert (note["MessageId"], note["Message"], note["Subject"]) == (id_, 'say "hi"', "s")
    assert note["Timestamp"] == "2024-02-29T23:50:00.000Z"
    assert note["UnsubscribeURL"] == f"{URL}/?Action=Unsubscribe&SubscriptionArn={arn}"
    assert note["MessageAttributes"] == {
        "text": {"Type": "String", "Value": "ü"},
        "number": {"Type": "Number", "Value": "1.50"},
        "list": {"Type": "String.Array", "Value": '["a", 1]'},
        "blob": {"Type": "Binary", "Value": "AP8="},
    }
    verify(sns, note)


def test_raw_messages_to_queues_keep_their_attributes(sns: Topics) -> None:
    topic, queue, dead = sns.topic(), sns.queue(), sns.queue("dead")
    redrive = json.dumps({"deadLetterTargetArn": dead})
    sns.subscribe(topic, "sqs", queue, RawMessageDelivery="true", RedrivePolicy=redrive)
    headers = {"x-amzn-trace-id": "Root=1-2-3"}
    parameters = {"TopicArn": topic, "Message": "m", "MessageAttributes": ATTRIBUTES, "MessageGroupId": "g"}
    sns.run(sns.ask("sns", "Publish", parameters, headers=headers))
    (message,) = sns.receive(queue)
    assert message["Body"] == "m"
    assert message["MessageAttributes"] == ATTRIBUTES
    assert message["Attributes"]["AWSTraceHeader"] == "Root=1-2-3"
    assert message["Attributes"]["MessageGroupId"] == "g"
    many = {f"a{number}": {"DataType": "String", "StringValue": "x"} for number in range(11)}
    sns("Publish", TopicArn=topic, Message="too many attributes", MessageAttributes=many)
    assert sns.bodies(queue) == []
    assert sns.pending() == 0


def test_functions_get_events(sns: Topics) -> None:
    topic = sns.topic()
    arn = sns.subscribe(topic, "lambda", FUNCTION)
    sns("Publish", TopicArn=topic, Message="m", MessageAttributes=ATTRIBUTES)
    ((_, operation, call),) = [call for call in sns.calls if call[0] == "lambda"]
    assert (operation, call["FunctionName"], call["InvocationType"]) == ("Invoke", FUNCTION, "Event")
    (record,) = json.loads(call["Payload"])["Records"]
    message = record.pop("Sns")
    assert record == {"EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": arn}
    assert message["Subject"] is None
    assert message["MessageAttributes"]["number"] == {"Type": "String", "Value": "1.50"}
    assert message["MessageAttributes"]["blob"] == {"Type": "Binary", "Value": "AP8="}
    assert message["UnsubscribeUrl"].endswith(arn)
    assert set(message) == {
        "Type", "MessageId", "TopicArn", "Subject", "Message", "Timestamp", "SignatureVersion", "Signature",
        "SigningCertUrl", "UnsubscribeUrl", "MessageAttributes",
    }  # fmt: skip


# HTTP


def test_headers(sns: Topics, endpoint: Endpoint) -> None:
    topic = sns.topic()
    arn = confirmed(sns, endpoint, topic)
    id_ = sns("Publish", TopicArn=topic, Message="m")["MessageId"]
    ((headers, _),) = endpoint.received
    assert {name: value for name, value in headers.items() if name.startswith("x-amz-sns")} == {
        "x-amz-sns-message-type": "Notification",
        "x-amz-sns-message-id": id_,
        "x-amz-sns-topic-arn": topic,
        "x-amz-sns-subscription-arn": arn,
    }
    assert headers["content-type"] == "text/plain; charset=UTF-8"
    assert headers["user-agent"] == "Amazon Simple Notification Service Agent"
    put = {"SubscriptionArn": arn, "AttributeName": "RawMessageDelivery", "AttributeValue": "true"}
    sns("SetSubscriptionAttributes", **put)
    policy = '{"requestPolicy": {"headerContentType": "application/json"}}'
    sns("SetSubscriptionAttributes", SubscriptionArn=arn, AttributeName="DeliveryPolicy", AttributeValue=policy)
    sns("Publish", TopicArn=topic, Message='{"ü": 1}', MessageAttributes=ATTRIBUTES)
    headers, body = endpoint.received[-1]
    assert (body, headers["x-amz-sns-rawdelivery"]) == ('{"ü": 1}', "true")
    assert headers["content-type"] == "application/json"


def test_retries_and_dead_letters(sns: Topics, endpoint: Endpoint) -> None:
    topic, dead = sns.topic(), sns.queue("dead")
    confirmed(sns, endpoint, topic, RedrivePolicy=json.dumps({"deadLetterTargetArn": dead}))
    endpoint.statuses = [500, 503, 429, 500, 500]
    sns("Publish", TopicArn=topic, Message="m")
    for tried in (1, 2, 3):
        assert len(endpoint.received) == tried
        sns.advance(19)
        assert len(endpoint.received) == tried
        sns.advance(1)
    assert len(endpoint.received) == 4
    assert len({body for _, body in endpoint.received}) == 1  # it is the same message each time
    (note,) = sns.notifications(dead)
    assert note == endpoint.messages[0]
    assert sns.pending() == 0


@pytest.mark.parametrize("status", [301, 302, 400, 404, 410])
def test_what_an_endpoint_refuses_is_not_tried_again(sns: Topics, endpoint: Endpoint, status: int) -> None:
    topic, dead = sns.topic(), sns.queue("dead")
    confirmed(sns, endpoint, topic, RedrivePolicy=json.dumps({"deadLetterTargetArn": dead}), RawMessageDelivery="true")
    endpoint.statuses = [status]
    sns("Publish", TopicArn=topic, Message="m")
    assert (len(endpoint.received), sns.pending()) == (1, 0)
    assert sns.bodies(dead) == ["m"]


def test_a_message_without_a_dead_letter_queue_leaves_a_line_in_the_log(
    sns: Topics, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    topic = sns.topic()
    arn = confirmed(sns, endpoint, topic)
    endpoint.statuses = [404]
    with caplog.at_level(logging.WARNING):
        id_ = sns("Publish", TopicArn=topic, Message="secret text")["MessageId"]
    assert arn in caplog.text
    assert id_ in caplog.text
    assert "answered 404" in caplog.text
    assert "secret text" not in caplog.text


def test_delivery_policies_of_topics_and_subscriptions(sns: Topics, endpoint: Endpoint) -> None:
    of_topic = {"defaultHealthyRetryPolicy": {"numRetries": 2, "minDelayTarget": 5, "maxDelayTarget": 5}}
    topic = sns.topic(DeliveryPolicy=json.dumps({"http": of_topic}))
    own = {"healthyRetryPolicy": {"numRetries": 1, "minDelayTarget": 7, "maxDelayTarget": 7}}
    confirmed(sns, endpoint, topic, DeliveryPolicy=json.dumps(own))
    endpoint.statuses = [500] * 10
    sns("Publish", TopicArn=topic, Message="a")
    sns.advance(6)
    assert len(endpoint.received) == 1
    sns.advance(100)
    assert (len(endpoint.received), sns.pending()) == (2, 0)
    of_topic["disableSubscriptionOverrides"] = True  # type: ignore[assignment]
    sns(
        "SetTopicAttributes",
        TopicArn=topic,
        AttributeName="DeliveryPolicy",
        AttributeValue=json.dumps({"http": of_topic}),
    )
    sns("Publish", TopicArn=topic, Message="b")
    sns.advance(5)
    assert len(endpoint.received) == 4
    sns.advance(100)
    assert (len(endpoint.received), sns.pending()) == (5, 0)


def test_throttled_deliveries(sns: Topics, endpoint: Endpoint) -> None:
    topic = sns.topic()
    confirmed(sns, endpoint, topic, DeliveryPolicy='{"throttlePolicy": {"maxReceivesPerSecond": 2}}')
    batch = [{"Id": str(number), "Message": str(number)} for number in range(5)]
    sns("PublishBatch", TopicArn=topic, PublishBatchRequestEntries=batch)
    received = [len(endpoint.received)]
    for _ in range(4):
        sns.advance(0.5)
        received.append(len(endpoint.received))
    assert received == [1, 2, 3, 4, 5]


def test_an_endpoint_that_does_not_answer(sns: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "SECONDS", 0.2)
    endpoint = Endpoint(sns)
    topic = sns.topic()
    confirmed(sns, endpoint, topic)
    endpoint.statuses = [0]
    sns("Publish", TopicArn=topic, Message="m")
    assert sns.pending() == 1
    sns.advance(20)
    assert (len(endpoint.received), sns.pending()) == (2, 0)
    endpoint.close()
    sns("Publish", TopicArn=topic, Message="nobody is there")
    assert sns.pending() == 1


def test_a_name_that_stands_for_a_neighbour_is_not_called(sns: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(self: Any, host: str, port: int = 0, family: Any = None) -> list[dict[str, Any]]:
        return [{"hostname": host, "host": "169.254.169.254", "port": port, "family": 2, "proto": 0, "flags": 0}]

    monkeypatch.setattr("aiohttp.ThreadedResolver.resolve", resolve)
    topic = sns.topic()
    sns("Subscribe", TopicArn=topic, Protocol="http", Endpoint="http://meta.test/")
    assert sns.pending() == 0


# What fails


def failing(sns: Topics, *errors: ServiceError) -> None:
    left, perform = list(errors), sns.perform

    async def perform_or_fail(call: Call) -> None:
        if left:
            call.error = left.pop(0)
        else:
            await perform(call)

    sns.answer_internally(perform_or_fail)


def test_queues_are_tried_for_long(sns: Topics) -> None:
    topic, queue = sns.topic(), sns.queue()
    sns.subscribe(topic, "sqs", queue, RawMessageDelivery="true")
    failing(sns, *[ServiceError("ServiceUnavailable", "later", status=503)] * 20)
    sns("Publish", TopicArn=topic, Message="m")
    assert sns.pending() == 1
    sns.advance(3600)
    assert (sns.bodies(queue), sns.pending()) == (["m"], 0)


def test_a_queue_that_is_not_there(sns: Topics, caplog: pytest.LogCaptureFixture) -> None:
    topic, dead = sns.topic(), sns.queue("dead")
    gone = f"arn:aws:sqs:{REGION}:{ACCOUNT}:gone"
    arn = sns.subscribe(topic, "sqs", gone, RawMessageDelivery="true")
    with caplog.at_level(logging.WARNING):
        sns("Publish", TopicArn=topic, Message="m", MessageAttributes=ATTRIBUTES)
    assert "QueueDoesNotExist" in caplog.text
    put = {"SubscriptionArn": arn, "AttributeName": "RedrivePolicy"}
    sns("SetSubscriptionAttributes", **put, AttributeValue=json.dumps({"deadLetterTargetArn": dead}))
    sns("Publish", TopicArn=topic, Message="m", MessageAttributes=ATTRIBUTES)
    (message,) = sns.receive(dead)
    assert (message["Body"], message["MessageAttributes"]) == ("m", ATTRIBUTES)
    sns("SetSubscriptionAttributes", **put, AttributeValue=json.dumps({"deadLetterTargetArn": gone}))
    sns("Publish", TopicArn=topic, Message="m")
    assert "its dead-letter queue" in caplog.text
    assert sns.pending() == 0


def test_one_message_of_a_batch_that_a_queue_refuses(sns: Topics) -> None:
    """The others arrive, once."""
    topic, dead = sns.topic(), sns.queue("dead")
    queue = sns.queue(MaximumMessageSize="1024")
    redrive = json.dumps({"deadLetterTargetArn": dead})
    sns.subscribe(topic, "sqs", queue, RawMessageDelivery="true", RedrivePolicy=redrive)
    batch = [{"Id": body[0], "Message": body} for body in ("a", "b" * 2000, "c")]
    failing(sns, ServiceError("ThrottlingException", "later"))
    sns("PublishBatch", TopicArn=topic, PublishBatchRequestEntries=batch)
    assert (sns.bodies(queue), sns.bodies(dead), sns.pending()) == (["a", "c"], ["b" * 2000], 0)


def test_functions_that_fail(sns: Topics) -> None:
    topic, dead = sns.topic(), sns.queue("dead")
    sns.subscribe(topic, "lambda", FUNCTION, RedrivePolicy=json.dumps({"deadLetterTargetArn": dead}))
    sns.function_errors = [
        ServiceError("TooManyRequestsException", "later", status=429),
        ServiceError("ServiceException", "later", status=500),
    ]
    sns("Publish", TopicArn=topic, Message="a")
    assert len([call for call in sns.calls if call[0] == "lambda"]) == 3  # at once, three times
    sns.function_errors = [ServiceError("ResourceNotFoundException", "Function not found", status=404)]
    sns("Publish", TopicArn=topic, Message="b")
    assert [note["Message"] for note in sns.notifications(dead)] == ["b"]


def test_deliveries_go_on_after_a_restart(sns: Topics, endpoint: Endpoint) -> None:
    topic, queue = sns.topic(), sns.queue()
    sns.subscribe(topic, "sqs", queue, RawMessageDelivery="true")
    confirmed(sns, endpoint, topic)
    endpoint.statuses = [500]
    failing(sns, ServiceError("ServiceUnavailable", "later", status=503), *[ServiceError("X", "x", status=500)] * 3)
    sns("Publish", TopicArn=topic, Message="m")
    assert sns.pending() == 2
    sns.reopen()
    assert sns("ListTopics")["Topics"] == [{"TopicArn": topic}]
    sns.advance(20)
    assert (sns.bodies(queue), [message["Message"] for message in endpoint.messages], sns.pending()) == (
        ["m"],
        ["m", "m"],
        0,
    )


def test_a_topic_that_is_gone_delivers_nothing_more(sns: Topics, endpoint: Endpoint) -> None:
    topic = sns.topic()
    confirmed(sns, endpoint, topic)
    endpoint.statuses = [500]
    sns("Publish", TopicArn=topic, Message="m")
    sns("DeleteTopic", TopicArn=topic)
    sns.advance(60)
    assert (len(endpoint.received), sns.pending()) == (1, 0)


def test_many_subscriptions(sns: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipments, "AT_ONCE", 3)
    topic = sns.topic()
    queues = [sns.queue(f"q{number}") for number in range(8)]
    for queue in queues:
        sns.subscribe(topic, "sqs", queue, RawMessageDelivery="true")
    sns("Publish", TopicArn=topic, Message="m")
    assert [sns.bodies(queue) for queue in queues] == [["m"]] * 8
    assert sns.pending() == 0


def _delays(retries: Retries) -> list[float | None]:
    return [retries.delay(number) for number in range(retries.num_retries + 1)]


def test_the_phases_of_a_retry_policy() -> None:
    assert _delays(Retries()) == [20, 20, 20, None]
    phases = Retries(1, 60, 9, num_max_delay_retries=2, num_no_delay_retries=1, num_min_delay_retries=2)
    assert _delays(phases)[-1] is None
    assert [round(delay or 0, 1) for delay in _delays(phases)[:-1]] == [0, 1, 1, 1, 20.7, 40.3, 60, 60, 60]
    for function in ("arithmetic", "exponential", "geometric", "linear"):
        grown = [delay or 0.0 for delay in _delays(Retries(5, 260, 10, backoff_function=function))[:-1]]
        assert (grown[0], round(grown[-1], 6)) == (5, 260)
        assert grown == sorted(grown)
    assert Retries(5, 10, 1).delay(0) == 5
    managed = delivery_policies.MANAGED
    assert [managed.delay(number) for number in (0, 2, 3, 4, 5, 14, 15, 100_014, 100_015)] == [
        0, 0, 1, 1, 1, 20, 20, 20, None,
    ]  # fmt: skip
    assert [delivery_policies.MAIL.delay(number) for number in (0, 1, 2, 11, 49, 50)] == [10, 10, 10, 600, 600, None]
