"""SNS as clients meet it: boto3, links without a signature, and a server that dies."""

from __future__ import annotations

import http.server
import json
import queue as queues
import random
import ssl
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import trustme
from botocore.exceptions import BotoCoreError, ClientError

from skytrail.testing import Server, Skytrail

ACCOUNT, REGION = "123456789012", "eu-central-1"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    trusted = tmp_path_factory.mktemp("trusted") / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    with Server(environment={"SSL_CERT_FILE": str(trusted)}) as server:
        yield server


def kit(server: Server) -> Skytrail:
    return Skytrail(server.endpoint, account=ACCOUNT, region=REGION)


class Hook:
    """An endpoint in a thread of its own."""

    def __init__(self, authority: trustme.CA | None = None) -> None:
        self.received: queues.Queue[dict[str, Any]] = queues.Queue()
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.received.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        if authority is not None:
            self.url = self.url.replace("http:", "https:")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("127.0.0.1").configure_cert(context)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self) -> Hook:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def next(self) -> dict[str, Any]:
        return self.received.get(timeout=20)


def visit(url: str) -> ElementTree.Element:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=20) as response:
        return ElementTree.fromstring(response.read())


def test_an_http_subscription_from_its_beginning_to_its_end(server: Server) -> None:
    sns = kit(server).client("sns")
    topic = sns.create_topic(Name="hooked")["TopicArn"]
    with Hook() as hook:
        assert sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=hook.url)["SubscriptionArn"] == (
            "pending confirmation"
        )
        asking = hook.next()
        assert asking["SubscribeURL"].startswith(f"{server.endpoint}/?Action=ConfirmSubscription&")
        answer = visit(asking["SubscribeURL"])
        arn = answer.findtext(".//{http://sns.amazonaws.com/doc/2010-03-31/}SubscriptionArn")
        assert arn is not None
        assert arn.startswith(f"{topic}:")
        sent = sns.publish(TopicArn=topic, Message="ü", Subject="s")["MessageId"]
        note = hook.next()
        assert (note["MessageId"], note["Message"], note["Subject"]) == (sent, "ü", "s")
        visit(note["UnsubscribeURL"])
        assert hook.next()["Type"] == "UnsubscribeConfirmation"
        assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []
        with pytest.raises(urllib.error.HTTPError) as error:
            visit(asking["SubscribeURL"])
        with error.value:
            assert "Invalid parameter: Token" in error.value.read().decode()


def test_https_endpoints_must_be_trusted(server: Server, authority: trustme.CA) -> None:
    skytrail = kit(server)
    sns = skytrail.client("sns")
    topic = sns.create_topic(Name="secured")["TopicArn"]
    with Hook(authority) as trusted, Hook(trustme.CA()) as other:
        for hook in (other, trusted):
            sns.subscribe(TopicArn=topic, Protocol="https", Endpoint=hook.url)
        assert trusted.next()["Type"] == "SubscriptionConfirmation"
        skytrail.clock.advance(0)  # until every delivery that is due was tried
        assert other.received.empty()


def test_boto3(server: Server) -> None:
    skytrail = kit(server)
    sns, sqs = skytrail.client("sns"), skytrail.client("sqs")
    topic = sns.create_topic(
        Name="boto3.fifo",
        Attributes={"FifoTopic": "true", "ContentBasedDeduplication": "true"},
        Tags=[{"Key": "a", "Value": "b"}],
    )["TopicArn"]
    url = sqs.create_queue(QueueName="boto3.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    arn = sns.subscribe(
        TopicArn=topic,
        Protocol="sqs",
        Endpoint=f"arn:aws:sqs:{REGION}:{ACCOUNT}:boto3.fifo",
        Attributes={"RawMessageDelivery": "true", "FilterPolicy": '{"kind": ["wanted"]}'},
    )["SubscriptionArn"]
    assert sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]["RawMessageDelivery"] == "true"
    wanted = {
        "kind": {"DataType": "String", "StringValue": "wanted"},
        "b": {"DataType": "Binary", "BinaryValue": b"\x00"},
    }
    entries: list[dict[str, Any]] = [
        {"Id": str(number), "Message": f"m{number}", "MessageGroupId": "g", "MessageAttributes": wanted}
        for number in range(3)
    ]
    entries[1]["MessageAttributes"] = {}
    entries.append({"Id": "bad", "Message": "x", "MessageGroupId": "g", "Subject": "a\nb"})
    answer = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
    assert [entry["Id"] for entry in answer["Successful"]] == ["0", "1", "2"]
    assert [(entry["Id"], entry["Code"]) for entry in answer["Failed"]] == [("bad", "InvalidParameter")]
    received: list[dict[str, Any]] = []
    while len(received) < 2:
        received += sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=20, MessageAttributeNames=["All"]
        ).get("Messages", [])
        for message in received:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert [(message["Body"], message["MessageAttributes"]) for message in received] == [("m0", wanted), ("m2", wanted)]
    listed = [found["TopicArn"] for page in sns.get_paginator("list_topics").paginate() for found in page["Topics"]]
    assert topic in listed
    with pytest.raises(sns.exceptions.NotFoundException) as missing:
        sns.publish(TopicArn=f"{topic[:-5]}x", Message="m")
    error = missing.value.response["Error"]
    assert (error["Code"], error["Message"]) == ("NotFound", "Topic does not exist")
    with pytest.raises(sns.exceptions.InvalidParameterException):
        sns.publish(TopicArn=topic, Message="m")


def test_what_was_published_is_delivered_by_a_server_that_dies(tmp_path: Path) -> None:
    """kill -9 at random moments: each message whose publishing was answered arrives, at least once."""
    choice = random.Random(5)
    server = Server(data=tmp_path / "data").start()
    accepted: set[str] = set()
    try:
        sns, sqs = kit(server).client("sns"), kit(server).client("sqs")
        topic = sns.create_topic(Name="t")["TopicArn"]
        sqs.create_queue(QueueName="q")
        queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue, Attributes={"RawMessageDelivery": "true"})
        for round_ in range(2):
            threads = [
                threading.Thread(target=_load, args=(server, topic, f"{round_}-{number}", accepted))
                for number in range(2)
            ]
            for thread in threads:
                thread.start()
            threading.Event().wait(choice.uniform(0.2, 0.5))
            server.kill()
            for thread in threads:
                thread.join()
            server.start()
        kit(server).clock.advance(60)  # until every delivery was made
        arrived = _drained(server)
    finally:
        server.kill()
    assert len(accepted) > 20
    assert accepted - arrived.keys() == set()


def _load(server: Server, topic: str, name: str, accepted: set[str]) -> None:
    sns, number = kit(server).client("sns", config=_once()), 0
    try:
        while True:
            messages = [f"{name}-{number + place}" for place in range(5)]
            number += 5
            sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=[{"Id": m, "Message": m} for m in messages])
            accepted.update(messages)
    except (BotoCoreError, ClientError):
        pass


def _once() -> Any:
    from botocore.config import Config

    return Config(retries={"total_max_attempts": 1})


def _drained(server: Server) -> Counter[str]:
    sqs, arrived = kit(server).client("sqs"), Counter[str]()
    while True:
        wish = {"QueueUrl": f"/{ACCOUNT}/q", "MaxNumberOfMessages": 10, "VisibilityTimeout": 600}
        messages = sqs.receive_message(**wish).get("Messages", [])
        if not messages:
            return arrived
        arrived.update(message["Body"] for message in messages)
