"""HTTP by hand, and an edge that runs in the test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from skytrail import settings as settings_module
from skytrail.call import Source
from skytrail.gateway.edge import Edge, Handler, OwnPages
from skytrail.gateway.serving import Listening, Stop, serve
from skytrail.gateway.timeouts import Timeouts
from skytrail.settings import Settings
from skytrail.wire.http import Request, Response
from skytrail.work.clock import Clock
from skytrail.work.ids import Ids

#: No test waits for longer on an answer that should be there.
PATIENCE = 10.0


def run(main: Coroutine[Any, Any, None]) -> None:
    uvloop.run(main)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The error's code, of JSON or XML."""
        if self.body.startswith(b"{"):
            return str(json.loads(self.body)["__type"]).rpartition("#")[2]
        found = re.search(rb"<Code>([^<]+)</Code>", self.body)
        return found[1].decode() if found else ""


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, method: str = "POST") -> Answer:
        async with asyncio.timeout(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status_line, *lines = head.rstrip().split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            status = int(status_line.split()[1])
            if method == "HEAD" or status in (100, 204, 304):
                body = b""
            elif headers.get("transfer-encoding") == "chunked":
                body = await self._chunks()
            else:
                body = await self.reader.readexactly(int(headers["content-length"]))
        return Answer(status, headers, body)

    async def _chunks(self) -> bytes:
        pieces = []
        while size := int(await self.reader.readuntil(b"\n"), 16):
            pieces.append(await self.reader.readexactly(size))
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return b"".join(pieces)

    async def ask(self, data: bytes) -> Answer:
        await self.say(data)
        return await self.answer("HEAD" if data.startswith(b"HEAD") else "POST")

    async def ended(self) -> bool:
        """Whether the server has closed, with nothing more to read."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.reader.read(1) == b""
        except ConnectionError:
            return True

    def half_close(self) -> None:
        self.writer.write_eof()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


@dataclass
class Running:
    edge: Edge
    listening: Listening
    stop: Stop
    task: asyncio.Task[None]
    opened: list[Connection] = field(default_factory=list)

    async def connect(self, *, tls: ssl.SSLContext | None = None) -> Connection:
        name = "localhost" if tls else None
        pair = await asyncio.open_connection("127.0.0.1", self.listening.port, ssl=tls, server_hostname=name)
        self.opened.append(Connection(*pair))
        return self.opened[-1]

    async def connect_operator(self) -> Connection:
        assert self.listening.control_socket is not None
        pair = await asyncio.open_unix_connection(str(self.listening.control_socket))
        self.opened.append(Connection(*pair))
        return self.opened[-1]

    def sweep(self, seconds: float) -> None:
        """What the server does when `seconds` have passed."""
        now = asyncio.get_running_loop().time() + seconds
        for connection in list(self.edge.state.connections):
            connection.sweep(now)  # type: ignore[union-attr]


def settings_of(**overrides: Any) -> Settings:
    """`server__port=1` for server.port."""
    named = {name.replace("__", "."): value for name, value in overrides.items()}
    return settings_module.load(environ={}, overrides={"server.port": 0, **named})


@contextlib.asynccontextmanager
async def running(
    handler: Handler,
    *,
    control: OwnPages | None = None,
    timeouts: Timeouts | None = None,
    control_socket: Path | None = None,
    on_stop: Callable[[], Awaitable[None]] | None = None,
    streams: Callable[[Request], bool] = lambda _: False,
    **overrides: Any,
) -> AsyncIterator[Running]:
    settings = settings_of(**overrides)
    edge = Edge(settings, Clock(), Ids(seed=1), handler, control, timeouts, streams)
    stop = Stop()
    ready: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        serve(edge, settings, ready.set_result, control_socket=control_socket, on_stop=on_stop, stop=stop)
    )
    task.add_done_callback(lambda _: ready.cancel())
    try:
        server = Running(edge, await ready, stop, task)
    except asyncio.CancelledError:
        await task
        raise
    try:
        yield server
    finally:
        for connection in server.opened:
            await connection.close()
        stop()
        async with asyncio.timeout(PATIENCE):
            await task


@dataclass
class Recorder:
    """A handler that answers 200 with the body it got, and keeps what it saw."""

    seen: list[tuple[Request, Source]] = field(default_factory=list)

    async def __call__(self, request: Request, source: Source) -> Response:
        self.seen.append((request, source))
        return Response(200, [("content-type", "text/plain")], request.body)

    @property
    def requests(self) -> list[Request]:
        return [request for request, _ in self.seen]

    @property
    def sources(self) -> list[Source]:
        return [source for _, source in self.seen]


def post(body: bytes = b"", *headers: str, path: str = "/") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something is so."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is awaited has no event
            await asyncio.sleep(0)
