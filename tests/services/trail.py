"""The event history for a test: journal, columns and clock as the server has them, and records made by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import msgspec
import orjson

from skytrail.call import Call, Source
from skytrail.identity.principals import Identity
from skytrail.identity.secrets import sealer_of
from skytrail.services.cloudtrail.history import investigate, lookup
from skytrail.services.cloudtrail.history.investigate import Search
from skytrail.services.engines import Engines
from skytrail.settings import Settings
from skytrail.storage.columns import Columns
from skytrail.storage.store import Store, Transaction
from skytrail.wire.http import Request
from skytrail.work.clock import Clock
from skytrail.work.column_writer import ColumnWriter
from skytrail.work.ids import Ids

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


class Trail:
    """One history for a module's tests; each test takes an account of its own."""

    def __init__(self, path: Path) -> None:
        self.runner = asyncio.Runner()
        self.settings = Settings()
        self.clock = Clock()
        self.clock.freeze()
        self.clock.set(NOW)
        self.ids = Ids(seed=1)
        self.path = path
        self._accounts = 0
        self.runner.run(self._open())

    async def _open(self) -> None:
        self.store = Store(self.path / "skytrail.db", durability="os")
        self.columns = Columns(self.path / "columns", self.settings.columns, "os")
        self.writer = ColumnWriter(self.store, self.columns)
        await self.columns.start()
        self.writer.start()
        unused: Any = None
        self.engines = Engines(
            self.settings,
            self.clock,
            self.ids,
            self.store,
            self.columns,
            self.writer,
            sealer_of(self.path),
            unused,
            unused,
            unused,
            unused,
        )

    async def _close(self) -> None:
        await self.writer.stop()
        await self.columns.stop()
        self.store.close()

    def restart(self) -> None:
        self.runner.run(self._close())
        self.runner.run(self._open())

    def close(self) -> None:
        self.runner.run(self._close())
        self.runner.close()

    def account(self) -> str:
        self._accounts += 1
        return f"{self._accounts:012}"

    # Writing

    def record(self, account: str, *records: dict[str, Any]) -> list[str]:
        """Records, each with what it does not say itself; their event ids, in their order."""
        return self.append(*(complete(account, self.ids, record) for record in records))

    def append(self, *records: dict[str, Any]) -> list[str]:
        def write(transaction: Transaction) -> None:
            for record in records:
                transaction.append("audit", orjson.dumps(record))

        async def submit() -> None:
            await self.store.submit(write)

        self.runner.run(submit())
        return [record["eventID"] for record in records]

    # Reading

    def lookup(self, account: str, region: str = "us-east-1", **request: Any) -> dict[str, Any]:
        call = Call(
            request=Request("POST", "/", "", {}),
            source=Source("127.0.0.1"),
            request_id="",
            event_id="",
            received=self.clock.time(),
            account=account,
            region=region,
            identity=Identity("Root", account),
        )
        return self.runner.run(lookup.lookup_events(call, cast(Any, request), self.engines))

    def pages(self, account: str, between: Callable[[], Any] = lambda: None, **request: Any) -> list[list[str]]:
        """The event ids on each page; `between` runs before each further one."""
        answer = self.lookup(account, **request)
        pages = [ids(answer)]
        while "NextToken" in answer:
            between()
            answer = self.lookup(account, **request, NextToken=answer["NextToken"])
            pages.append(ids(answer))
        return pages

    def search(self, **search: Any) -> list[dict[str, Any]]:
        """The answer's lines, decoded."""
        return [orjson.loads(line) for line in self.lines(msgspec.json.encode(msgspec.convert(search, Search)))]

    def lines(self, body: bytes) -> Iterator[bytes]:
        """What the server answers to a search."""

        async def collect() -> list[bytes]:
            return [line async for line in investigate.answer(self.engines, body)]

        return iter(self.runner.run(collect()))


def ids(answer: dict[str, Any]) -> list[str]:
    return [event["EventId"] for event in answer["Events"]]


def complete(account: str, ids: Ids, record: dict[str, Any]) -> dict[str, Any]:
    identity = {
        "type": "IAMUser",
        "principalId": "AIDAIOSFODNN7EXAMPLE",
        "arn": f"arn:aws:iam::{account}:user/alice",
        "accountId": account,
        "accessKeyId": "AKIAIOSFODNN7EXAMPLE",
        "userName": "alice",
    }
    return {
        "eventVersion": "1.11",
        "userIdentity": identity,
        "eventTime": "2026-03-01T10:00:00Z",
        "eventSource": "s3.amazonaws.com",
        "eventName": "CreateBucket",
        "awsRegion": "us-east-1",
        "sourceIPAddress": "192.0.2.1",
        "userAgent": "aws-cli/2.0",
        "requestParameters": None,
        "responseElements": None,
        "requestID": ids.uuid(),
        "eventID": ids.uuid(),
        "readOnly": False,
        "resources": [],
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": account,
        "eventCategory": "Management",
        **record,
    }
