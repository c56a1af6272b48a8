"""A store with queues, a clock in the test's hands, and calls to SQS through the pipeline of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from skytrail.app import Pipeline
from skytrail.call import Call, Source
from skytrail.gateway.metrics import Metrics
from skytrail.identity.authority import Authority
from skytrail.identity.principals import Identity, root
from skytrail.identity.secrets import sealer_of
from skytrail.services import sqs
from skytrail.services.engines import Engines
from skytrail.settings import Settings
from skytrail.storage.store import Store
from skytrail.wire import models
from skytrail.wire.http import Request
from skytrail.wire.routing import Route
from skytrail.work.clock import Clock
from skytrail.work.ids import Ids

T = TypeVar("T")

ACCOUNT, REGION, NOW = "123456789012", "eu-west-1", 1_709_250_600.0


class Queues:
    """`sqs("SendMessage", ...)`, as the root of an account; an error is raised as it is."""

    def __init__(self, data: Path) -> None:
        self.runner = asyncio.Runner()
        self.data = data
        self.clock = Clock()
        self.clock.freeze()
        self.clock.set(NOW)
        self.ids = Ids(7)
        self.open()

    def open(self) -> None:
        self.store = Store(self.data / "skytrail.db", durability="os", rooms={"sqs": sqs.SCHEMA})
        settings = Settings()
        sealer = sealer_of(self.data)
        none: Any = None
        given: dict[str, Any] = {
            "settings": settings,
            "clock": self.clock,
            "ids": self.ids,
            "store": self.store,
            "sealer": sealer,
        }
        self.engines = Engines(**{name: given.get(name, none) for name in Engines.__slots__})
        self.pipeline = Pipeline(self.engines, Authority(self.store, self.clock, settings, sealer), Metrics())

    def close(self) -> None:
        self.store.close()
        self.runner.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    async def quiet(self) -> None:
        """Return when the calls that are under way wait for time or for messages: each goes through the writer a few
        times at most, and the writer takes turns."""
        for _ in range(8):
            await self.store.submit(lambda _: None)
            await asyncio.sleep(0)

    async def ask(
        self,
        operation: str,
        parameters: dict[str, Any],
        *,
        identity: Identity | None = None,
        region: str = REGION,
        protocol: str = "json",
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        model = models.service("sqs")
        found = model.operation(operation)
        assert found is not None
        identity = identity or root(ACCOUNT)
        call = Call(
            request=Request("POST", "/", "", {"host": "localhost:4566", **(headers or {})}),
            source=Source("192.0.2.17"),
            request_id="r",
            event_id="e",
            received=self.clock.time(),
            account=identity.account,
            region=region,
            identity=identity,
            route=Route(model, found, protocol),
            input=parameters,
        )
        await self.pipeline.perform(call)
        if call.error is not None:
            raise call.error
        return call.output or {}

    def __call__(self, operation: str, /, **parameters: Any) -> dict[str, Any]:
        return self.run(self.ask(operation, parameters))

    def by(self, identity: Identity | None, region: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        return self.run(self.ask(operation, parameters, identity=identity, region=region))

    def advance(self, seconds: float) -> None:
        self.run(self._advance(seconds))

    async def _advance(self, seconds: float) -> None:
        await self.clock.advance(seconds)

    # Short ways

    def queue(self, name: str = "work", **attributes: str) -> str:
        if name.endswith(".fifo"):
            attributes["FifoQueue"] = "true"
        url: str = self("CreateQueue", QueueName=name, Attributes=attributes)["QueueUrl"]
        return url

    def send(self, url: str, body: str = "m", **more: Any) -> dict[str, Any]:
        return self("SendMessage", QueueUrl=url, MessageBody=body, **more)

    def receive(self, url: str, count: int = 10, **more: Any) -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = self(
            "ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=count, MessageSystemAttributeNames=["All"], **more
        ).get("Messages", [])
        return messages

    def bodies(self, url: str, count: int = 10, **more: Any) -> list[str]:
        return [message["Body"] for message in self.receive(url, count, **more)]

    def delete(self, url: str, message: dict[str, Any]) -> None:
        self("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def attributes(self, url: str) -> dict[str, str]:
        attributes: dict[str, str] = self("GetQueueAttributes", QueueUrl=url, AttributeNames=["All"])["Attributes"]
        return attributes

    def numbers(self, url: str) -> tuple[int, int, int]:
        attributes = self.attributes(url)
        visible, flying, delayed = (
            int(attributes[f"ApproximateNumberOfMessages{kind}"]) for kind in ("", "NotVisible", "Delayed")
        )
        return visible, flying, delayed
