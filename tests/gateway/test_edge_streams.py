"""Bodies that are read as they come: larger than memory may be, and never taken for whole when they are not."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from skytrail.call import Source
from skytrail.errors import ServiceError
from skytrail.gateway.http_protocol import EdgeProtocol
from skytrail.wire.http import Request, Response

from .raw import post, run, running, until

MIB = 1 << 20
PUT = b"PUT /bucket/key HTTP/1.1\r\nHost: a\r\n"


class Store:
    """Reads a body as it comes, and notes what it saw."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.largest = 0
        self.lengths: list[int | None] = []
        self.errors: list[str] = []

    async def __call__(self, request: Request, _: Source) -> Response:
        if request.stream is None:
            self.sizes.append(len(request.body))
            return Response(200, [], b"held")
        assert request.body == b""
        self.lengths.append(request.stream.length)
        size = 0
        try:
            async for piece in request.stream:
                size += len(piece)
                self.largest = max(self.largest, len(piece))
        except ServiceError as error:
            self.errors.append(error.code)
            raise
        self.sizes.append(size)
        return Response(200, [], b"streamed")


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_large_body_passes_though_it_exceeds_what_may_be_held(framing: str) -> None:
    async def main() -> None:
        store = Store()
        async with running(store, streams=lambda _: True, limits__body_bytes=100_000, limits__bodies_bytes=MIB) as s:
            client = await s.connect()
            if framing == "length":
                await client.say(PUT + b"Content-Length: %d\r\n\r\n" % (8 * MIB))
                for _ in range(8):
                    await client.say(bytes(MIB))
                    assert s.edge.bodies_bytes <= MIB
            else:
                await client.say(PUT + b"Transfer-Encoding: chunked\r\n\r\n")
                for _ in range(8):
                    await client.say(b"100000\r\n" + bytes(MIB) + b"\r\n")
                await client.say(b"0\r\n\r\n")
            assert (await client.answer()).body == b"streamed"
            assert store.sizes == [8 * MIB]
            assert store.largest <= MIB
            assert store.lengths == [8 * MIB if framing == "length" else None]
            # The connection goes on.
            assert (await client.ask(post(b"x"))).body == b"held"

    run(main())


def test_a_small_body_and_one_that_is_not_streamed_are_held() -> None:
    async def main() -> None:
        store = Store()
        async with running(store, streams=lambda request: request.method == "PUT") as server:
            client = await server.connect()
            assert (await client.ask(PUT + b"Content-Length: 5\r\n\r\n12345")).body == b"held"
            assert (await client.ask(post(bytes(2 * MIB)))).body == b"held"
            assert store.sizes == [5, 2 * MIB]

    run(main())


def test_a_peer_that_is_gone_ends_the_body_with_an_error() -> None:
    async def main() -> None:
        store = Store()
        async with running(store, streams=lambda _: True) as server:
            client = await server.connect()
            await client.say(PUT + b"Content-Length: %d\r\n\r\n" % (8 * MIB) + bytes(MIB))
            await until(lambda: bool(store.lengths))
            await client.close()
            await until(lambda: bool(store.errors))
            assert store.errors == ["IncompleteBody"]
            assert store.sizes == []

    run(main())


def test_an_answer_before_the_body_is_read_ends_the_connection() -> None:
    async def main() -> None:
        async def refuse(_: Request, __: Source) -> Response:
            raise ServiceError("AccessDenied", "Access Denied", status=403)

        async with running(refuse, streams=lambda _: True) as server:
            client = await server.connect()
            await client.say(PUT + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
            answer = await client.answer()
            assert (answer.status, answer.code, answer.headers["connection"]) == (403, "AccessDenied", "close")

    run(main())


def test_a_slow_reader_holds_up_the_sender() -> None:
    async def main() -> None:
        gate = asyncio.Event()
        seen = 0

        async def slow(request: Request, _: Source) -> Response:
            nonlocal seen
            assert request.stream is not None
            await gate.wait()
            async for piece in request.stream:
                seen += len(piece)
            return Response(200, [], b"")

        async with running(slow, streams=lambda _: True) as server:
            client = await server.connect()
            await client.say(PUT + b"Content-Length: %d\r\n\r\n" % (64 * MIB))
            writing = asyncio.create_task(client.say(bytes(64 * MIB)))
            (found,) = server.edge.state.connections
            connection = cast(EdgeProtocol, found)
            await until(lambda: connection.exchange is not None and connection.flow.read_paused)
            assert connection.exchange is not None
            held = len(connection.exchange.body)
            assert held < 2 * MIB
            gate.set()
            await writing
            assert (await client.answer()).status == 200
            assert seen == 64 * MIB

    run(main())


def test_streams_count_among_the_bodies_that_are_held() -> None:
    async def main() -> None:
        store = Store()
        async with running(store, streams=lambda _: True, limits__bodies_bytes=MIB) as server:
            first, second = await server.connect(), await server.connect()
            await first.say(PUT + b"Content-Length: %d\r\n\r\n" % (8 * MIB) + b"x")
            await until(lambda: bool(store.lengths))
            assert server.edge.bodies_bytes == MIB
            refused = await second.ask(PUT + b"Content-Length: %d\r\n\r\n" % (8 * MIB) + b"x")
            assert (refused.status, refused.code) == (503, "SlowDown")
            await first.say(bytes(8 * MIB - 1))
            assert (await first.answer()).status == 200
            assert server.edge.bodies_bytes == 0

    run(main())
