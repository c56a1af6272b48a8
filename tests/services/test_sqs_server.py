"""SQS as clients meet it: boto3, the AWS SDK for JavaScript, Query by hand, and a server that dies."""

from __future__ import annotations

import random
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from skytrail.testing import DrivenClock, Server

from ..clients.callers import Credentials, javascript

ACCOUNT, REGION = "123456789012", "eu-central-1"


def client(server: Server) -> Any:
    return boto3.session.Session().client(
        "sqs",
        endpoint_url=server.endpoint,
        region_name=REGION,
        aws_access_key_id=ACCOUNT,
        aws_secret_access_key="any",
        config=Config(retries={"total_max_attempts": 1}, read_timeout=30, proxies={}),
    )


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def test_boto3(server: Server) -> None:
    sqs = client(server)
    url = sqs.create_queue(QueueName="boto3.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    assert url == f"{server.endpoint}/{ACCOUNT}/boto3.fifo"
    attributes = {"a": {"DataType": "Binary", "BinaryValue": b"\x00"}, "b": {"DataType": "Number", "StringValue": "1"}}
    entries = [
        {"Id": str(n), "MessageBody": f"ü{n}", "MessageGroupId": "g", "MessageDeduplicationId": str(n)}
        for n in range(3)
    ]
    sent = sqs.send_message_batch(
        QueueUrl=url, Entries=[{**entry, "MessageAttributes": attributes} for entry in entries]
    )
    assert [entry["Id"] for entry in sent["Successful"]] == ["0", "1", "2"]
    received = sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"]
    )["Messages"]
    assert [message["Body"] for message in received] == ["ü0", "ü1", "ü2"]
    assert received[0]["MessageAttributes"] == attributes
    assert received[0]["Attributes"]["SequenceNumber"] == sent["Successful"][0]["SequenceNumber"]
    done = sqs.delete_message_batch(
        QueueUrl=url,
        Entries=[{"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(received)],
    )
    assert len(done["Successful"]) == 3
    with pytest.raises(sqs.exceptions.QueueDoesNotExist) as caught:
        sqs.send_message(QueueUrl=f"{url}x", MessageBody="m")
    assert caught.value.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"
    assert caught.value.response["Error"]["Message"] == "The specified queue does not exist."
    with pytest.raises(ClientError) as refused:
        sqs.send_message(QueueUrl=url, MessageBody="m")
    assert refused.value.response["Error"]["Code"] == "MissingParameter"


def test_a_long_poll_over_the_wire(server: Server) -> None:
    sqs = client(server)
    url = sqs.create_queue(QueueName="polled")["QueueUrl"]
    found: list[Any] = []
    polling = threading.Thread(
        target=lambda: found.append(client(server).receive_message(QueueUrl=url, WaitTimeSeconds=20))
    )
    polling.start()
    sqs.send_message(QueueUrl=url, MessageBody="m")
    polling.join(10)
    assert found[0]["Messages"][0]["Body"] == "m"


def test_javascript(server: Server) -> None:
    """Its SDK checks each MD5 itself."""
    queue = f"{server.endpoint}/{ACCOUNT}/javascript"
    attribute = {"a": {"DataType": "String", "StringValue": "ü"}}
    calls: list[dict[str, Any]] = [
        {"service": "sqs", "operation": "CreateQueue", "input": {"QueueName": "javascript"}},
        {
            "service": "sqs",
            "operation": "SendMessage",
            "input": {"QueueUrl": queue, "MessageBody": "ü", "MessageAttributes": attribute},
        },
        {
            "service": "sqs",
            "operation": "SendMessageBatch",
            "input": {"QueueUrl": queue, "Entries": [{"Id": "1", "MessageBody": "b"}]},
        },
        {
            "service": "sqs",
            "operation": "ReceiveMessage",
            "input": {"QueueUrl": queue, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"]},
        },
        {"service": "sqs", "operation": "PurgeQueue", "input": {"QueueUrl": queue}},
        {"service": "sqs", "operation": "PurgeQueue", "input": {"QueueUrl": queue}},
        {"service": "sqs", "operation": "GetQueueUrl", "input": {"QueueName": "nope"}},
        {"service": "sqs", "operation": "DeleteMessage", "input": {"QueueUrl": queue, "ReceiptHandle": "x"}},
    ]
    results = javascript(server.endpoint, Credentials(ACCOUNT), calls, REGION)
    assert [result["error"] for result in results] == [
        *[None] * 5, "PurgeQueueInProgress", "QueueDoesNotExist", "ReceiptHandleIsInvalid",
    ]  # fmt: skip
    first, second = results[3]["output"]["Messages"]
    assert (first["Body"], first["MessageAttributes"], second["Body"]) == ("ü", attribute, "b")


def test_query_by_hand(server: Server) -> None:
    def ask(**form: str) -> tuple[int, ElementTree.Element]:
        scope = f"Credential={ACCOUNT}/20260101/{REGION}/sqs/aws4_request, SignedHeaders=host, Signature=0"
        request = urllib.request.Request(
            server.endpoint,
            urlencode({**form, "Version": "2012-11-05"}).encode(),
            {"content-type": "application/x-www-form-urlencoded", "authorization": f"AWS4-HMAC-SHA256 {scope}"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request) as response:
                return response.status, ElementTree.fromstring(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, ElementTree.fromstring(error.read())

    _, made = ask(
        Action="CreateQueue", QueueName="query", **{"Attribute.1.Name": "DelaySeconds", "Attribute.1.Value": "0"}
    )
    url = made.findtext(".//{*}QueueUrl") or ""
    ask(Action="SendMessage", QueueUrl=url, MessageBody="<&>")
    _, received = ask(Action="ReceiveMessage", QueueUrl=url, **{"AttributeName.1": "All"})
    assert received.findtext(".//{*}Body") == "<&>"
    names = {name.text for name in received.iterfind(".//{*}Attribute/{*}Name")}
    assert names == {"SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp"}
    for form, answer in (
        (
            {"Action": "SendMessage", "QueueUrl": f"{url}x", "MessageBody": "m"},
            "AWS.SimpleQueueService.NonExistentQueue",
        ),
        ({"Action": "SendMessage", "QueueUrl": url}, "MissingParameter"),
        ({"Action": "DeleteMessage", "QueueUrl": url, "ReceiptHandle": "x"}, "ReceiptHandleIsInvalid"),
        ({"Action": "ReceiveMessage", "QueueUrl": url, "MaxNumberOfMessages": "11"}, "InvalidParameterValue"),
    ):
        status, document = ask(**form)
        assert (status >= 400, document.findtext(".//{*}Code")) == (True, answer)


def test_what_was_accepted_survives_the_server(tmp_path: Path) -> None:
    """kill -9 at random moments: what was sent is there until its deletion was answered, and is not there after."""
    choice = random.Random(3)
    server = Server(data=tmp_path / "data").start()
    accepted: set[str] = set()
    deleted: set[str] = set()
    unsure: set[str] = set()
    try:
        url = client(server).create_queue(QueueName="q", Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
        path = f"/{ACCOUNT}/q"
        assert url.endswith(path)
        for round_ in range(4):
            threads = [
                threading.Thread(target=_load, args=(server, path, f"{round_}-{n}", accepted, deleted, unsure))
                for n in range(3)
            ]
            for thread in threads:
                thread.start()
            threading.Event().wait(choice.uniform(0.2, 0.6))
            while len(accepted) < 15 * (round_ + 1) and any(thread.is_alive() for thread in threads):
                threading.Event().wait(0.05)
            server.kill()
            for thread in threads:
                thread.join()
            server.start()
        DrivenClock(server.endpoint).advance(60)  # what a client had received comes back
        left = _drained(client(server), path)
    finally:
        server.kill()
    assert len(accepted) > 50
    assert not [body for body, times in left.items() if times > 1]
    assert accepted - deleted - unsure <= left.keys()
    assert not deleted & left.keys()


def _load(server: Server, path: str, name: str, accepted: set[str], deleted: set[str], unsure: set[str]) -> None:
    sqs, number = client(server), 0
    try:
        while True:
            bodies = [f"{name}-{number + place}" for place in range(5)]
            number += 5
            sqs.send_message_batch(
                QueueUrl=path, Entries=[{"Id": str(place), "MessageBody": body} for place, body in enumerate(bodies)]
            )
            accepted.update(bodies)
            received = sqs.receive_message(QueueUrl=path, MaxNumberOfMessages=2, VisibilityTimeout=30).get(
                "Messages", []
            )
            for message in received:
                unsure.add(message["Body"])
                sqs.delete_message(QueueUrl=path, ReceiptHandle=message["ReceiptHandle"])
                deleted.add(message["Body"])
    except (BotoCoreError, ClientError):
        pass


def _drained(sqs: Any, path: str) -> Counter[str]:
    left: Counter[str] = Counter()
    while True:
        wish = {"QueueUrl": path, "MaxNumberOfMessages": 10, "VisibilityTimeout": 600}
        messages = sqs.receive_message(**wish).get("Messages", [])
        if not messages:
            return left
        left.update(message["Body"] for message in messages)
