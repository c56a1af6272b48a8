"""A pipeline with upstreams, and upstreams that answer as a test wants them to, in one loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from skytrail.app import Pipeline
from skytrail.call import Source
from skytrail.gateway.internal import InternalClient
from skytrail.gateway.metrics import Metrics
from skytrail.gateway.upstreams import Upstreams
from skytrail.identity.authority import Authority
from skytrail.identity.secrets import sealer_of
from skytrail.services import SCHEMAS
from skytrail.services.engines import Engines
from skytrail.settings import History, Server, Settings
from skytrail.settings import Upstreams as UpstreamSettings
from skytrail.storage.store import Store
from skytrail.wire import models
from skytrail.wire.bodies import Body
from skytrail.wire.http import Request, Response
from skytrail.work.clock import Clock
from skytrail.work.ids import Ids

from ..wire.requests_made import request_for

T = TypeVar("T")
ACCOUNT = "000000000000"


@dataclass
class Asked:
    """A request as an upstream got it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def request(self) -> Request:
        path, _, query = self.target.partition("?")
        return Request(self.method, path, query, self.headers, self.body)


Behave = Callable[[Asked, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Upstream:
    port: int
    asked: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def says(text: bytes | str, *, then_close: bool = True) -> Behave:
    """These bytes, whatever is asked."""

    async def behave(_: Asked, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text.encode() if isinstance(text, str) else text)
        await writer.drain()
        if then_close:
            writer.close()

    return behave


def http(status: str, body: bytes | str = b"", *headers: str, length: int | None = None) -> bytes:
    data = body.encode() if isinstance(body, str) else body
    head = [f"HTTP/1.1 {status}", f"content-length: {len(data) if length is None else length}", *headers]
    return "\r\n".join([*head, "", ""]).encode() + data


async def hangs(_: Asked, reader: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await reader.read()


async def resets(_: Asked, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


@contextlib.asynccontextmanager
async def upstream(behave: Behave) -> AsyncIterator[Upstream]:
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not writer.is_closing():
                asked = await _read(reader)
                running.asked.append(asked)
                await behave(asked, reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    running = Upstream(server.sockets[0].getsockname()[1])
    try:
        yield running
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *lines = head.rstrip().split("\r\n")
    method, target, _ = line.split(" ")
    headers = {name.lower(): value for name, value in (each.split(": ", 1) for each in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method, target, headers, body)


async def closed_port() -> int:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return port


class House:
    def __init__(self, data: Path) -> None:
        self.data = data
        self.clock = Clock()
        self.ids = Ids(3)
        self.upstreams: Upstreams | None = None

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        async def guarded() -> T:
            async with asyncio.timeout(20):
                return await main

        return asyncio.run(guarded())

    @contextlib.asynccontextmanager
    async def open(self, *services: str, mode: Any = "open", **upstreams: Any) -> AsyncIterator[House]:
        settings = Settings(
            server=Server(mode=mode),
            history=History(data_events="all"),
            upstreams=UpstreamSettings(services=services, **{"seconds": 5.0, **upstreams}),
        )
        self.store = Store(self.data / "skytrail.db", durability="os", rooms=SCHEMAS)
        sealer = sealer_of(self.data)
        self.internal = InternalClient()
        given: dict[str, Any] = {
            "settings": settings,
            "clock": self.clock,
            "ids": self.ids,
            "store": self.store,
            "sealer": sealer,
            "internal": self.internal,
        }
        none: Any = None
        engines = Engines(**{name: given.get(name, none) for name in Engines.__slots__})
        self.upstreams = Upstreams(settings, self.store, self.clock, self.ids)
        self.authority = Authority(self.store, self.clock, settings, sealer)
        self.pipeline = Pipeline(engines, self.authority, Metrics(), self.upstreams)
        self.internal.connect(self.pipeline.receive, self.pipeline.perform)
        try:
            await self.upstreams.start()
            yield self
        finally:
            await self.upstreams.stop()
            self.store.close()

    async def ask(self, request: Request) -> tuple[Response, bytes]:
        """The response, and its body as far as it came."""
        response = await self.pipeline.answer(request, Source("192.0.2.7"))
        return response, await whole(response)

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(data) for _, data in self.store.records("audit", 0, rows=1000)]

    @property
    def record(self) -> dict[str, Any]:
        (found,) = self.records()
        return found

    @property
    def intents(self) -> int:
        (number,) = self.store.read.connection.execute("SELECT count(*) FROM intents").fetchone()
        return int(number)


async def whole(response: Response) -> bytes:
    if isinstance(response.body, bytes):
        return response.body
    return b"".join([piece async for piece in response.body])


def request(service: str, operation: str, parameters: Mapping[str, Any], **headers: str) -> Request:
    """As a client sends it."""
    model = models.service(service)
    found = model.operation(operation)
    assert found is not None
    made = request_for(found, dict(parameters), model.protocols[0], model.signing_name)
    made.headers = {**made.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return made


def streamed(made: Request, *pieces: bytes, length: int | None = None) -> Request:
    """The same request, its body coming in pieces."""

    async def come() -> AsyncIterator[bytes]:
        for piece in pieces:
            await asyncio.sleep(0)
            yield piece

    size = sum(map(len, pieces)) if length is None else length
    made.headers = {**made.headers, "content-length": str(size)}
    made.body, made.stream = b"", Body(come(), size)
    return made
