"""What the edge refuses: too much, too slow, not HTTP, not whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from skytrail.call import Source
from skytrail.wire.http import Request, Response

from .raw import Recorder, post, run, running, until

JSON = "Content-Type: application/x-amz-json-1.1"


# Limits


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_over_the_limit_is_refused(framing: str) -> None:
    async def main() -> None:
        handler = Recorder()
        async with running(handler, limits__body_bytes=100_000) as server:
            client = await server.connect()
            if framing == "length":
                await client.say(post(b"x" * 1_000_000, JSON))
            else:
                await client.say(
                    b"POST / HTTP/1.1\r\nHost: a\r\n%b\r\nTransfer-Encoding: chunked\r\n\r\n" % JSON.encode()
                )
                for _ in range(16):
                    await client.say(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            answer = await client.answer()
            assert (answer.status, answer.code) == (413, "RequestEntityTooLarge")
            assert answer.headers["x-amzn-requestid"]
            assert answer.headers["connection"] == "close"
            assert handler.seen == []
            assert server.edge.bodies_bytes == 0
            assert (await (await server.connect()).ask(post(b"x" * 100_000))).status == 200

    run(main())


def test_bodies_in_flight_are_bounded_over_all_connections() -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def handler(request: Request, _: Source) -> Response:
            await gate.wait()
            return Response(200, [], b"")

        async with running(handler, limits__bodies_bytes=150_000) as server:
            first, second = await server.connect(), await server.connect()
            await first.say(post(b"x" * 100_000))
            await until(lambda: server.edge.bodies_bytes == 100_000)
            refused = await second.ask(post(b"x" * 100_000, JSON))
            assert (refused.status, refused.code) == (503, "SlowDown")
            gate.set()
            assert (await first.answer()).status == 200
            assert server.edge.bodies_bytes == 0
            assert (await first.ask(post(b"x" * 100_000))).status == 200

    run(main())


def test_a_client_that_leaves_in_its_body_makes_no_call() -> None:
    async def main() -> None:
        handler = Recorder()
        async with running(handler) as server:
            client = await server.connect()
            await client.say(post(b"x" * 200_000)[:-1])
            await until(lambda: server.edge.bodies_bytes > 0)
            await client.close()
            await until(lambda: server.edge.connections == 0)
            assert (handler.seen, server.edge.bodies_bytes) == ([], 0)

    run(main())


def test_connections_over_the_limit_are_refused_but_not_the_operator(tmp_path: Path) -> None:
    async def main() -> None:
        socket = tmp_path / "control.sock"
        async with running(Recorder(), limits__connections=2, control_socket=socket) as server:
            first, second, third = [await server.connect() for _ in range(3)]
            assert (await first.ask(post())).status == (await second.ask(post())).status == 200
            refused = await third.ask(post(b"", JSON))
            assert (refused.status, refused.code, refused.headers["connection"]) == (503, "SlowDown", "close")
            assert await third.ended()
            assert (await (await server.connect_operator()).ask(post())).status == 200
            await first.close()
            await until(lambda: server.edge.connections < 3)
            assert (await (await server.connect()).ask(post())).status == 200

    run(main())


HEADS: dict[str, tuple[bytes, int]] = {
    "one long header": (b"GET / HTTP/1.1\r\nX-Long: " + b"v" * 70_000 + b"\r\n\r\n", 431),
    "a header without an end": (b"GET / HTTP/1.1\r\nX-Long: " + b"v" * 400_000, 431),
    "a header name without an end": (b"GET / HTTP/1.1\r\n" + b"v" * 400_000, 431),
    "many headers": (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 300 + b"\r\n", 431),
    "headers without an end": (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 30_000, 431),
    "a long path": (b"GET /" + b"p" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
    "a path without an end": (b"GET /" + b"p" * 400_000, 414),
    "trailers without an end": (
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: " + b"v" * 400_000,
        431,
    ),
    "many trailers": (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 30_000, 431),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads_are_bounded(name: str) -> None:
    sent, status = HEADS[name]

    async def main() -> None:
        handler = Recorder()
        async with running(handler) as server:
            client = await server.connect()
            for at in range(0, len(sent), 16_384):
                await client.say(sent[at : at + 16_384])
            answer = await client.answer()
            assert (answer.status, answer.headers["connection"]) == (status, "close")
            assert answer.code
            assert handler.seen == []

    run(main())


UNPARSABLE: dict[str, bytes] = {
    "noise": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "unknown method": b"FROBNICATE / HTTP/1.1\r\n\r\n",
    "NUL in a header": b"GET / HTTP/1.1\r\nX-A: a\x00b\r\n\r\n",
    "space before the colon": b"GET / HTTP/1.1\r\nX-A : b\r\n\r\n",
    "folded header": b"GET / HTTP/1.1\r\nX-A: b\r\n c\r\n\r\n",
    "negative length": b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "length not a number": b"POST / HTTP/1.1\r\nContent-Length: ten\r\n\r\n",
    "huge length": b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunked": b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad chunk size": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n",
    "chunk longer than its size": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "CONNECT": b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
    "path not ASCII": "GET /ключ HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
}


@pytest.mark.parametrize("name", UNPARSABLE)
@pytest.mark.parametrize("behind", [False, True])
def test_what_is_no_http_is_answered_in_its_turn(name: str, behind: bool) -> None:
    async def main() -> None:
        gate = asyncio.Event()
        calls = []

        async def handler(request: Request, _: Source) -> Response:
            calls.append(request)
            await gate.wait()
            return Response(200, [], b"good")

        async with running(handler) as server:
            client = await server.connect()
            await client.say((post() if behind else b"") + UNPARSABLE[name])
            await asyncio.sleep(0.005)
            gate.set()
            if behind:
                assert (await client.answer()).body == b"good"
            # A path of raw bytes may pass the parser; then it is a call like any other.
            if name != "path not ASCII":
                answer = await client.answer()
                assert (answer.status, answer.code) == (400, "BadRequest")
                assert await client.ended()
                assert len(calls) == behind

    run(main())


def test_versions_and_encodings_that_are_not_served() -> None:
    async def main() -> None:
        async with running(Recorder()) as server:
            client = await server.connect()
            coded = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
            assert (await client.ask(coded)).status == 501
            client = await server.connect()
            old = await client.ask(b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi")
            assert (old.status, old.body, old.headers["connection"]) == (200, b"hi", "close")
            assert await client.ended()

    run(main())


TRUNCATED: dict[str, tuple[bytes, str]] = {
    "in the request line": (b"POST / HT", "BadRequest"),
    "in the headers": (b"POST / HTTP/1.1\r\nHost: a\r\nX-", "BadRequest"),
    "in the body": (post(b"0123456789", JSON)[:-3], "IncompleteBody"),
    "in a chunk": (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc", "IncompleteBody"),
    "between chunks": (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "IncompleteBody"),
}


@pytest.mark.parametrize("name", TRUNCATED)
def test_a_request_that_ends_too_early(name: str) -> None:
    sent, code = TRUNCATED[name]

    async def main() -> None:
        handler = Recorder()
        async with running(handler) as server:
            client = await server.connect()
            await client.say(sent)
            client.half_close()
            answer = await client.answer()
            assert (answer.status, answer.code, handler.seen) == (400, code, [])
            assert await client.ended()

    run(main())


# Slowness


def test_a_head_that_does_not_come_is_timed_out() -> None:
    async def main() -> None:
        async with running(Recorder()) as server:
            client = await server.connect()
            await client.say(b"POST / HTTP/1.1\r\nHost:")
            await until(lambda: server.edge.connections == 1)
            await asyncio.sleep(0.005)
            server.sweep(29)
            await client.say(b" a")  # progress does not help
            server.sweep(31)
            answer = await client.answer()
            assert (answer.status, answer.code) == (408, "RequestTimeout")
            assert await client.ended()

    run(main())


def test_a_body_that_does_not_come_is_timed_out() -> None:
    async def main() -> None:
        handler = Recorder()
        async with running(handler) as server:
            client = await server.connect()
            await client.say(post(b"x" * 1000, JSON)[:-1])
            await until(lambda: server.edge.bodies_bytes > 0)
            server.sweep(59)
            server.sweep(62)
            answer = await client.answer()
            assert (answer.status, answer.code, handler.seen) == (408, "RequestTimeout", [])
            assert server.edge.bodies_bytes == 0

    run(main())


def test_idle_connections_are_closed_and_busy_ones_are_not() -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def handler(request: Request, _: Source) -> Response:
            if request.body:
                await gate.wait()
            return Response(200, [], b"")

        async with running(handler) as server:
            idle, busy, fresh = [await server.connect() for _ in range(3)]
            await idle.ask(post())
            await busy.say(post(b"work"))
            await until(lambda: server.edge.bodies_bytes == 4)
            server.sweep(70)
            server.sweep(80)
            assert await idle.ended()
            assert await fresh.ended()
            gate.set()
            assert (await busy.answer()).status == 200

    run(main())


def test_a_client_that_does_not_read_is_cut() -> None:
    async def main() -> None:
        closed = asyncio.Event()

        async def pieces() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 65536
            finally:
                closed.set()

        async def handler(_: Request, __: Source) -> Response:
            return Response(200, [], pieces())

        async with running(handler) as server:
            client = await server.connect()
            await client.say(post())
            await asyncio.sleep(0.1)
            server.sweep(1)
            assert not closed.is_set()
            server.sweep(61)
            async with asyncio.timeout(5):
                await closed.wait()

    run(main())


def test_answers_that_nobody_reads_count() -> None:
    async def main() -> None:
        async def handler(request: Request, _: Source) -> Response:
            return Response(200, [], bytes(32 << 20) if request.body else b"")

        async with running(handler, limits__bodies_bytes=1 << 20) as server:
            slow, other = await server.connect(), await server.connect()
            await slow.say(post(b"much"))
            await until(lambda: server.edge.unread_bytes > 1 << 20)
            refused = await other.ask(post(b"more"))
            assert (refused.status, refused.code) == (503, "SlowDown")
            await slow.answer()
            await until(lambda: server.edge.unread_bytes == 0)
            assert (await other.ask(post())).status == 200
            await slow.say(post(b"much"))
            await until(lambda: server.edge.unread_bytes > 0)
            await slow.close()
            await until(lambda: server.edge.unread_bytes == 0)

    run(main())
