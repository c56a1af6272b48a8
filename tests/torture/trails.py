"""kill -9 while a trail's files and digests are delivered, with a bucket that comes and goes.

At the end every selected record is in the bucket exactly once, and the digests, one chain of the trail's Region, name
every file with its hash.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import random
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from skytrail.testing import Server, Skytrail

ACCOUNT, BUCKET, TRAIL = "111122223333", "torture-trail", "torture"
PATIENCE = 90.0
_SETTINGS = {"SKYTRAIL_TRAIL_DELIVERY_INTERVAL": "1", "SKYTRAIL_TRAIL_DIGEST_INTERVAL": "2"}
_ONCE = Config(retries={"total_max_attempts": 1}, read_timeout=30, max_pool_connections=16)
_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "cloudtrail.amazonaws.com"},
            "Action": ["s3:GetBucketAcl", "s3:PutObject"],
            "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"],
        }
    ],
}


class World:
    def __init__(self, server: Server) -> None:
        skytrail = Skytrail(server.endpoint, account=ACCOUNT)
        self.clock = skytrail.clock
        self.s3, self.sqs, self.cloudtrail = (
            skytrail.client(name, config=_ONCE) for name in ("s3", "sqs", "cloudtrail")
        )

    def make(self) -> None:
        self.s3.create_bucket(Bucket=BUCKET)
        self.open_bucket()
        self.cloudtrail.create_trail(Name=TRAIL, S3BucketName=BUCKET, EnableLogFileValidation=True)
        self.cloudtrail.start_logging(Name=TRAIL)

    def open_bucket(self) -> None:
        self.s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(_POLICY))

    def close_bucket(self) -> None:
        self.s3.delete_bucket_policy(Bucket=BUCKET)

    def objects(self, folder: str) -> dict[str, bytes]:
        found = {}
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            for entry in page.get("Contents", ()):
                if f"/{folder}/" in entry["Key"]:
                    found[entry["Key"]] = self.s3.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read()
        return found


def trail_rounds(rounds: int, seed: int, report: bool = False) -> int:
    """Run; returns how many selected records there were. Raises AssertionError at the first loss or double."""
    choice = random.Random(seed)
    made: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="skytrail-torture-") as folder:
        server = Server(data=Path(folder), environment=_SETTINGS).start()
        try:
            World(server).make()
            for number in range(rounds):
                _load_then_kill(server, made, number, choice)
                server.start()
                if report:
                    print(f"round {number + 1}: {len(made)} acknowledged", flush=True)
            world = World(server)
            world.open_bucket()
            world.clock.advance(400)  # past the longest wait between attempts
            _verify(world, made)
        except AssertionError as error:
            raise AssertionError(f"{error}\nseed {seed}; the server's log ends:\n{server.log()[-3000:]}") from None
        finally:
            server.kill()
    return len(made)


def _load_then_kill(server: Server, made: set[str], number: int, choice: random.Random) -> None:
    world, stop = World(server), threading.Event()
    threads = [threading.Thread(target=_work, args=(world, f"r{number}t{place}", made, stop)) for place in range(2)]
    for thread in threads:
        thread.start()
    if choice.random() < 0.5:
        stop.wait(choice.uniform(0.0, 1.0))
        with contextlib.suppress(BotoCoreError, ClientError):
            (world.close_bucket if choice.random() < 0.5 else world.open_bucket)()
    stop.wait(choice.uniform(0.1, 2.0))
    server.kill()
    stop.set()
    for thread in threads:
        thread.join()


def _work(world: World, prefix: str, made: set[str], stop: threading.Event) -> None:
    count = 0
    while not stop.is_set():
        count += 1
        name = f"{prefix}-{count}"
        try:
            world.sqs.create_queue(QueueName=name)
        except (BotoCoreError, ClientError):
            return
        made.add(name)


def _verify(world: World, made: set[str]) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        found = Counter(
            record["requestParameters"]["queueName"]
            for body in world.objects("CloudTrail").values()
            for record in json.loads(gzip.decompress(body))["Records"]
            if record["eventName"] == "CreateQueue"
        )
        if made <= found.keys():
            break
        assert time.monotonic() < until, f"{len(made - found.keys())} records are not in the bucket"
        world.clock.advance(60)
    doubled = [name for name, times in found.items() if times > 1]
    assert not doubled, f"{len(doubled)} records are in the bucket more than once, the first {min(doubled)}"
    world.cloudtrail.stop_logging(Name=TRAIL)
    world.clock.advance(60)
    _verify_digests(world)


def _verify_digests(world: World) -> None:
    files = {
        key: hashlib.sha256(gzip.decompress(body)).hexdigest() for key, body in world.objects("CloudTrail").items()
    }
    digests: list[dict[str, Any]] = []
    previous: dict[str, Any] = {"previousDigestS3Object": None, "previousDigestHashValue": None}
    for key, body in sorted(world.objects("CloudTrail-Digest").items()):
        text = gzip.decompress(body)
        digest = json.loads(text)
        assert {name: digest[name] for name in previous} == previous, f"{key} does not follow the digest before it"
        previous = {"previousDigestS3Object": key, "previousDigestHashValue": hashlib.sha256(text).hexdigest()}
        digests.append(digest)
    named = [(file["s3Object"], file["hashValue"]) for digest in digests for file in digest["logFiles"]]
    assert len(named) == len(set(named)), "a file is named twice"
    assert dict(named) == files, "the digests do not name the files that are there"
