"""A whole server inside the test's own process and loop: calls, trails, and what lies in the buckets."""

from __future__ import annotations

import asyncio
import gzip
import itertools
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import orjson

from skytrail.call import Source
from skytrail.identity.principals import Identity, root
from skytrail.server import Skytrail
from skytrail.services.cloudtrail.trails import model
from skytrail.services.cloudtrail.trails.model import Trail
from skytrail.settings import Settings, load
from skytrail.storage.store import Transaction
from skytrail.wire import models
from skytrail.wire.http import Request
from skytrail.wire.routing import Route

T = TypeVar("T")

ACCOUNT, REGION, BUCKET = "111111111111", "us-east-1", "trail-files"
NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)

#: That of a change which no call has made.
RECORD = b'{"eventID":"0","eventName":"Change","managementEvent":true,"userIdentity":{"type":"Unknown"}}'

_numbers = itertools.count()


def policy(bucket: str = BUCKET) -> str:
    """What a bucket needs for a trail."""
    return orjson.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "cloudtrail.amazonaws.com"},
                    "Action": ["s3:GetBucketAcl", "s3:PutObject"],
                    "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
                }
            ],
        }
    ).decode()


class DeliveryHouse:
    def __init__(self, data: Path, **settings: Any) -> None:
        self.runner = asyncio.Runner()
        self.settings: Settings = load(
            environ={}, overrides={"storage.data": str(data), "storage.durability": "os", **settings}
        )
        self.open(NOW)

    def open(self, now: datetime) -> None:
        self.skytrail = self.run(self._start(now))
        self.engines = self.skytrail.engines

    async def _start(self, now: datetime) -> Skytrail:
        skytrail = Skytrail(self.settings)
        skytrail.engines.clock.freeze()
        skytrail.engines.clock.set(now.timestamp())
        await skytrail.start()
        return skytrail

    def reopen(self) -> None:
        """Stop, and start over the same data."""
        now = self.engines.clock.now()
        self.run(self.skytrail.stop())
        self.open(now)

    def close(self) -> None:
        self.run(self.skytrail.stop())
        self.runner.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    def advance(self, seconds: float) -> None:
        self.run(self.engines.clock.advance(seconds))

    def call(self, service: str, operation: str, *, account: str = ACCOUNT, region: str = REGION, **given: Any) -> Any:
        return self.run(self._call(service, operation, account, region, given))

    def call_as(self, identity: Identity, account: str, service: str, operation: str, **given: Any) -> Any:
        return self.run(self._call(service, operation, account, REGION, given, identity))

    async def _call(
        self,
        service: str,
        operation: str,
        account: str,
        region: str,
        given: dict[str, Any],
        identity: Identity | None = None,
    ) -> Any:
        found = models.service(service)
        named = found.operation(operation)
        assert named is not None
        call = self.skytrail.pipeline.receive(Request("POST", "/", "", {"user-agent": "test"}), Source("127.0.0.1"))
        call.route = Route(found, named, found.protocols[0])
        call.account, call.region, call.identity, call.input = account, region, identity or root(account), given
        await self.skytrail.pipeline.perform(call)
        if call.error is not None:
            raise call.error
        return call.output

    # Trails

    def bucket(self, name: str = BUCKET, account: str = ACCOUNT) -> None:
        self.call("s3", "CreateBucket", Bucket=name, account=account)
        self.call("s3", "PutBucketPolicy", Bucket=name, Policy=policy(name), account=account)

    def trail(self, name: str = "audit", **given: Any) -> Trail:
        """A trail that logs, put straight into the store."""
        fields = {
            "account": ACCOUNT, "region": REGION, "id": f"{name}-{next(_numbers)}", "bucket": BUCKET, "logging": True,
            "multi_region": True, "validation": True, **given,
        }  # fmt: skip
        trail = Trail(name=name, **fields)
        self.save(trail)
        return trail

    def save(self, trail: Trail, **changes: Any) -> Trail:
        """Change a trail, in the transaction of a call's record as ever."""
        changed = msgspec.structs.replace(trail, **changes)

        def save(tx: Transaction) -> None:
            model.save(tx, changed)
            tx.append("audit", RECORD)

        self.write(save)
        return changed

    def delete(self, trail: Trail) -> None:
        def delete(tx: Transaction) -> None:
            model.remove(tx, trail)
            tx.append("audit", RECORD)

        self.write(delete)

    def write(self, command: Callable[[Transaction], None]) -> None:
        async def submit() -> None:
            await self.engines.store.submit(command)

        self.run(submit())

    # Buckets

    def listed(self, prefix: str = "", bucket: str = BUCKET, account: str = ACCOUNT) -> list[str]:
        keys: list[str] = []
        token: dict[str, str] = {}
        while True:
            page = self.call("s3", "ListObjectsV2", Bucket=bucket, Prefix=prefix, account=account, **token)
            keys += [found["Key"] for found in page.get("Contents", ())]
            if not page.get("IsTruncated"):
                return keys
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def object(self, key: str, bucket: str = BUCKET, account: str = ACCOUNT) -> tuple[bytes, dict[str, Any]]:
        async def get() -> tuple[bytes, dict[str, Any]]:
            output = await self._call("s3", "GetObject", account, REGION, {"Bucket": bucket, "Key": key})
            body = output["Body"]
            if not isinstance(body, bytes):
                body = b"".join([piece async for piece in body])
            return body, output

        return self.run(get())

    def records(
        self, folder: str = "/CloudTrail/", bucket: str = BUCKET, account: str = ACCOUNT
    ) -> list[dict[str, Any]]:
        """All records in the bucket's files, in the order of the files' names."""
        found = []
        for key in self.listed(bucket=bucket, account=account):
            if folder in key:
                found += orjson.loads(gzip.decompress(self.object(key, bucket, account)[0]))["Records"]
        return found

    def history(self) -> list[dict[str, Any]]:
        """All that was recorded, from the columns."""
        self.run(self.engines.column_writer.catch_up())
        rows = self.run(self.engines.columns.query("SELECT record FROM events ORDER BY position"))
        return [orjson.loads(row[0]) for row in rows]
