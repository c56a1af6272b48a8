"""kill -9 while objects are put, messages sent and notices published, over one data directory.

After each restart: every acknowledged object is there, whole, and no other one is there in part; every message that a
queue or a topic has accepted arrives at least once.
"""

from __future__ import annotations

import hashlib
import random
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from skytrail.testing import Server, Skytrail

ACCOUNT = "111122223333"
BUCKET, QUEUE, NOTICES, TOPIC = "torture", "sent", "noticed", "notices"
PART = 5 << 20
PATIENCE = 60.0
_ONCE = Config(retries={"total_max_attempts": 1}, read_timeout=30, max_pool_connections=16)


@dataclass
class Accepted:
    """What the server has said yes to, and was not found again yet."""

    objects: set[str] = field(default_factory=set)
    messages: set[str] = field(default_factory=set)
    notices: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    total: int = 0

    def add(self, kind: set[str], name: str) -> None:
        with self.lock:
            kind.add(name)
            self.total += 1


class World:
    def __init__(self, server: Server) -> None:
        skytrail = Skytrail(server.endpoint, account=ACCOUNT)
        self.s3, self.sqs, self.sns = (skytrail.client(name, config=_ONCE) for name in ("s3", "sqs", "sns"))

    def make(self) -> None:
        self.s3.create_bucket(Bucket=BUCKET)
        self.sqs.create_queue(QueueName=QUEUE)
        self.sqs.create_queue(QueueName=NOTICES)
        topic = self.sns.create_topic(Name=TOPIC)["TopicArn"]
        self.sns.subscribe(
            TopicArn=topic,
            Protocol="sqs",
            Endpoint=topic.replace(":sns:", ":sqs:").replace(TOPIC, NOTICES),
            Attributes={"RawMessageDelivery": "true"},
        )

    def url(self, queue: str) -> str:
        url: str = self.sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        return url


def delivery_rounds(rounds: int, seed: int, report: bool = False) -> int:
    """Run; returns how much was accepted. Raises AssertionError at the first loss."""
    choice = random.Random(seed)
    accepted = Accepted()
    with tempfile.TemporaryDirectory(prefix="skytrail-torture-") as folder:
        server = Server(data=Path(folder)).start()
        try:
            World(server).make()
            for number in range(rounds):
                _load_then_kill(server, accepted, number, choice)
                server.start()
                verify(World(server), accepted)
                if report:
                    print(f"round {number + 1}: {accepted.total} accepted, none lost", flush=True)
        except AssertionError as error:
            raise AssertionError(f"{error}\nseed {seed}; the server's log ends:\n{server.log()[-3000:]}") from None
        finally:
            server.kill()
    return accepted.total


def _load_then_kill(server: Server, accepted: Accepted, number: int, choice: random.Random) -> None:
    world, stop = World(server), threading.Event()
    kinds: list[Callable[[World, str, Accepted], None]] = [_put, _put, _upload, _send, _publish]
    threads = [
        threading.Thread(target=_until_it_dies, args=(work, world, f"r{number}t{place}", accepted, stop))
        for place, work in enumerate(kinds)
    ]
    for thread in threads:
        thread.start()
    stop.wait(choice.uniform(0.1, 1.0))
    server.kill()
    stop.set()
    for thread in threads:
        thread.join()


def _until_it_dies(
    work: Callable[[World, str, Accepted], None], world: World, prefix: str, accepted: Accepted, stop: threading.Event
) -> None:
    count = 0
    while not stop.is_set():
        count += 1
        try:
            work(world, f"{prefix}/{count}", accepted)
        except ClientError as error:
            # An answer of an error is a finding; a connection that ends is the kill.
            if not stop.wait(2):
                raise AssertionError(f"refused: {error}") from error
        except BotoCoreError:
            return


def body_of(key: str, size: int) -> bytes:
    """A body that tells, by itself, whether it is whole and under its own key."""
    piece = hashlib.sha256(key.encode()).digest()
    return (piece * (size // len(piece) + 1))[:size]


def _put(world: World, key: str, accepted: Accepted) -> None:
    size = 3_000_000 if key.endswith("7") else 4096
    world.s3.put_object(Bucket=BUCKET, Key=f"{key}/{size}", Body=body_of(f"{key}/{size}", size))
    accepted.add(accepted.objects, f"{key}/{size}")


def _upload(world: World, key: str, accepted: Accepted) -> None:
    size = PART + 100_000
    key = f"{key}/{size}"
    body = body_of(key, size)
    named = {
        "Bucket": BUCKET,
        "Key": key,
        "UploadId": world.s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"],
    }
    parts = [
        {"PartNumber": number, "ETag": world.s3.upload_part(**named, PartNumber=number, Body=piece)["ETag"]}
        for number, piece in enumerate((body[:PART], body[PART:]), 1)
    ]
    world.s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
    accepted.add(accepted.objects, key)


def _send(world: World, name: str, accepted: Accepted) -> None:
    world.sqs.send_message(QueueUrl=world.url(QUEUE), MessageBody=name)
    accepted.add(accepted.messages, name)


def _publish(world: World, name: str, accepted: Accepted) -> None:
    topic = world.sns.create_topic(Name=TOPIC)["TopicArn"]
    world.sns.publish(TopicArn=topic, Message=name)
    accepted.add(accepted.notices, name)


# After the restart


def verify(world: World, accepted: Accepted) -> None:
    pages = world.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    standing = {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", ())}
    lost = accepted.objects - standing.keys()
    assert not lost, f"{len(lost)} accepted objects are gone, the first {min(lost)}"
    for key in standing:
        body = world.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        assert body == body_of(key, int(key.rsplit("/", 1)[1])), f"the object {key} is not whole"
        world.s3.delete_object(Bucket=BUCKET, Key=key)
    accepted.objects.clear()
    _drain(world, QUEUE, accepted.messages)
    _drain(world, NOTICES, accepted.notices)


def _drain(world: World, queue: str, expected: set[str]) -> None:
    url = world.url(queue)
    until = time.monotonic() + PATIENCE
    while expected:
        answer: dict[str, Any] = world.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        for message in answer.get("Messages", ()):
            expected.discard(message["Body"])
            world.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        assert time.monotonic() < until, (
            f"{len(expected)} messages have not arrived in {queue}, the first {min(expected)}"
        )
