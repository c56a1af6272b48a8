"""From bytes on a socket to a Request and its Source, and from a Response back to bytes."""

from __future__ import annotations

import asyncio
import ssl
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from skytrail.call import Source
from skytrail.errors import ServiceError, SettingsError
from skytrail.wire.http import Request, Response

from .raw import Recorder, post, run, running

JSON = "Content-Type: application/x-amz-json-1.1"


# Requests


def test_a_request_arrives_as_it_was_sent() -> None:
    async def main() -> None:
        handler = Recorder()
        async with running(handler) as server:
            client = await server.connect()
            answer = await client.ask(
                b"PUT /bucket//a%2Fb/../%7e?x=%20&y&z=a+b HTTP/1.1\r\nHost: localhost:4566\r\nX-Amz-Meta-A: 1\r\n"
                b"x-amz-meta-a:  two words \r\nX-Cafe: caf\xc3\xa9\r\nContent-Length: 2\r\n\r\nhi"
            )
        assert (answer.status, answer.body) == (200, b"hi")
        request = handler.requests[0]
        assert (request.method, request.path, request.query) == ("PUT", "/bucket//a%2Fb/../%7e", "x=%20&y&z=a+b")
        assert request.headers == {
            "host": "localhost:4566",
            "x-amz-meta-a": "1,two words",
            "x-cafe": "cafÃ©",
            "content-length": "2",
        }
        assert request.body == b"hi"
        assert handler.sources == [Source("127.0.0.1")]

    run(main())


@pytest.mark.parametrize("size", [0, 1, 65535, 65537, 5_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_arrive_whole(size: int, chunked: bool) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]

    async def main() -> None:
        handler = Recorder()
        async with running(handler) as server:
            client = await server.connect()
            if chunked:
                pieces = [body[at : at + 70_000] for at in range(0, size, 70_000)]
                await client.say(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                for piece in pieces:
                    await client.say(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece))
                await client.say(b"0\r\nX-Trailer: ignored\r\n\r\n")
            else:
                await client.say(post(body))
            answer = await client.answer()
            assert answer.body == body
            assert "x-trailer" not in handler.requests[0].headers
            assert server.edge.bodies_bytes == 0
            # The connection goes on.
            assert (await client.ask(post(b"next"))).body == b"next"

    run(main())


def test_a_request_that_comes_byte_by_byte() -> None:
    async def main() -> None:
        handler = Recorder()
        async with running(handler) as server:
            client = await server.connect()
            for byte in post(b"slow", "X-Long: " + "v" * 50):
                await client.say(bytes([byte]))
                await asyncio.sleep(0)
            assert (await client.answer()).body == b"slow"

    run(main())


def test_pipelined_requests_are_answered_in_their_order() -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def handler(request: Request, _: Source) -> Response:
            if request.body == b"0":
                await gate.wait()
            return Response(200, [], request.body)

        async with running(handler) as server:
            client = await server.connect()
            await client.say(b"".join(post(b"%d" % number) for number in range(20)))
            await asyncio.sleep(0.01)
            gate.set()
            assert [(await client.answer()).body for _ in range(20)] == [b"%d" % number for number in range(20)]

    run(main())


def test_too_many_pipelined_requests_end_in_a_refusal() -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def handler(request: Request, _: Source) -> Response:
            await gate.wait()
            return Response(200, [], request.body)

        async with running(handler) as server:
            client = await server.connect()
            await client.say(b"".join(post(b"%d" % number) for number in range(100)))
            gate.set()
            statuses = []
            while (answer := await client.answer()).status == 200:
                statuses.append(answer.status)
            assert 0 < len(statuses) < 100
            assert (answer.status, answer.headers["connection"]) == (503, "close")
            assert await client.ended()

    run(main())


def test_an_offer_to_upgrade_is_ignored_and_the_body_read() -> None:
    async def main() -> None:
        handler = Recorder()
        async with running(handler) as server:
            client = await server.connect()
            offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk")
            whole = post(b"x" * 1000, *offer)
            assert (await client.ask(whole)).body == b"x" * 1000
            await client.say(whole[:-500])
            await asyncio.sleep(0)
            await client.say(whole[-500:])
            assert (await client.answer()).body == b"x" * 1000
            assert (await client.ask(post(b"", *offer))).body == b""
            assert (await client.ask(post(b"next"))).body == b"next"

    run(main())


def test_continue_is_said_when_the_body_is_wanted() -> None:
    async def main() -> None:
        async with running(Recorder(), limits__body_bytes=1000) as server:
            client = await server.connect()
            head = b"PUT /b/k HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: "
            assert (await client.ask(head + b"4\r\n\r\n")).status == 100
            assert (await client.ask(b"body")).body == b"body"
            refused = await client.ask(head + b"4000\r\n\r\n")
            assert (refused.status, refused.code) == (413, "RequestEntityTooLarge")
            assert await client.ended()
            client = await server.connect()
            assert (await client.ask(post(b"", "Expect: miracles"))).status == 417

    run(main())


def test_a_half_closed_client_is_still_answered() -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def handler(request: Request, _: Source) -> Response:
            await gate.wait()
            return Response(200, [], request.body)

        async with running(handler) as server:
            client = await server.connect()
            await client.say(post(b"last"))
            client.half_close()
            await asyncio.sleep(0.01)
            gate.set()
            assert (await client.answer()).body == b"last"
            assert await client.ended()

    run(main())


# Responses


def test_the_head_of_a_response() -> None:
    async def handler(request: Request, _: Source) -> Response:
        length = [("Content-Length", "999"), ("Connection", "keep-alive"), ("Date", "never")]
        return Response(404, [("X-Amzn-RequestId", "r-1"), ("x-two", "a"), ("x-two", "b"), *length], b"body")

    async def main() -> None:
        async with running(handler) as server:
            client = await server.connect()
            await client.say(post())
            head = (await client.reader.readuntil(b"\r\n\r\n")).decode()
            assert head.startswith("HTTP/1.1 404 Not Found\r\n")
            assert "X-Amzn-RequestId: r-1\r\nx-two: a\r\nx-two: b\r\ncontent-length: 4\r\n" in head
            assert head.count("date: ") == 1
            assert " GMT\r\n" in head
            assert await client.reader.readexactly(4) == b"body"
            # HEAD may tell the length of what it does not send.
            answer = await client.ask(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert answer.headers["content-length"] == "999"
            assert (await client.ask(post())).status == 404

    run(main())


def test_responses_without_a_body() -> None:
    async def handler(request: Request, _: Source) -> Response:
        return Response(int(request.query), [], b"")

    async def main() -> None:
        async with running(handler) as server:
            client = await server.connect()
            for status in (204, 304, 200):
                answer = await client.ask(post(path=f"/?{status}"))
                assert answer.status == status
                assert ("content-length" in answer.headers) == (status == 200)

    run(main())


FAULTS: dict[str, Any] = {
    "an exception": RuntimeError("boom"),
    "a bad header value": Response(200, [("x-a", "a\r\nset-cookie: b")], b""),
    "a bad header name": Response(200, [("x a", "b")], b""),
    "a header beyond Latin-1": Response(200, [("x-a", "ключ")], b""),
    "a bad status": Response(99, [], b""),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_ours_is_answered_and_logged_once(name: str, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(request: Request, _: Source) -> Response:
        if request.body == b"good":
            return Response(200, [], b"")
        fault = FAULTS[name]
        if isinstance(fault, Exception):
            raise fault
        assert isinstance(fault, Response)
        return fault

    async def main() -> None:
        async with running(handler) as server:
            client = await server.connect()
            answer = await client.ask(post(b"{}", JSON))
            assert (answer.status, answer.code) == (500, "InternalFailure")
            assert "boom" not in answer.body.decode()
            assert len(caplog.records) == 1
            assert answer.headers["x-amzn-requestid"] in caplog.text
            assert (await client.ask(post(b"good"))).status == 200

    run(main())


def test_an_error_that_the_handler_raises_is_answered() -> None:
    async def handler(_: Request, __: Source) -> Response:
        raise ServiceError("AccessDenied", "No.", status=403)

    async def main() -> None:
        async with running(handler) as server:
            answer = await (await server.connect()).ask(b"GET /bucket HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (answer.status, answer.code) == (403, "AccessDenied")
            assert "xml" in answer.headers["content-type"]

    run(main())


async def count(pieces: int) -> AsyncIterator[bytes]:
    for number in range(pieces):
        yield b"%d," % number


def test_streams_are_chunked_unless_their_length_is_known() -> None:
    async def handler(request: Request, _: Source) -> Response:
        return Response(200, [("content-length", "20")] if request.body == b"known" else [], count(10))

    async def main() -> None:
        async with running(handler) as server:
            client = await server.connect()
            answer = await client.ask(post())
            assert (answer.headers["transfer-encoding"], answer.body) == ("chunked", b"0,1,2,3,4,5,6,7,8,9,")
            answer = await client.ask(post(b"known"))
            assert (answer.headers["content-length"], answer.body) == ("20", b"0,1,2,3,4,5,6,7,8,9,")
            assert (await client.ask(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")).body == b""
            assert (await client.ask(post())).status == 200

    run(main())


def test_a_stream_goes_no_faster_than_it_is_read() -> None:
    async def main() -> None:
        made = 0

        async def pieces() -> AsyncIterator[bytes]:
            nonlocal made
            for _ in range(500):
                made += 1
                yield b"x" * 65536

        async def handler(_: Request, __: Source) -> Response:
            return Response(200, [], pieces())

        async with running(handler) as server:
            client = await server.connect()
            await client.say(post())
            await asyncio.sleep(0.2)
            assert made < 400
            assert len((await client.answer()).body) == 500 * 65536

    run(main())


def test_a_stream_that_fails_cuts_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"first"
        raise RuntimeError("disk gone")

    async def handler(_: Request, __: Source) -> Response:
        return Response(200, [], broken())

    async def main() -> None:
        async with running(handler) as server:
            client = await server.connect()
            await client.say(post())
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await client.answer()
            assert caplog.text.count("RuntimeError: disk gone") == 1

    run(main())


def test_a_stream_stops_when_its_client_goes() -> None:
    async def main() -> None:
        closed = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            try:
                yield b"first"
                await asyncio.Event().wait()
            finally:
                closed.set()

        async def handler(_: Request, __: Source) -> Response:
            return Response(200, [], endless())

        async with running(handler) as server:
            client = await server.connect()
            await client.say(post())
            await client.reader.readuntil(b"first")
            client.writer.transport.abort()
            async with asyncio.timeout(5):
                await closed.wait()

    run(main())


# Sources


FORWARDED = {
    "no header": (None, "127.0.0.1"),
    "one": ("203.0.113.9", "203.0.113.9"),
    "a client cannot choose": ("6.6.6.6, 203.0.113.9", "203.0.113.9"),
    "through two proxies of ours": ("203.0.113.9, 10.1.2.3", "203.0.113.9"),
    "with a port": ("203.0.113.9:4711", "203.0.113.9"),
    "IPv6": ("2001:db8::1", "2001:db8::1"),
    "IPv6 with a port": ("[2001:db8::1]:80", "2001:db8::1"),
    "nonsense": ("unknown", "127.0.0.1"),
    "nonsense behind a proxy": ("<script>, 10.1.2.3", "10.1.2.3"),
}


@pytest.mark.parametrize("name", FORWARDED)
@pytest.mark.parametrize("trusted", [True, False])
def test_forwarded_for_counts_from_trusted_proxies_only(name: str, trusted: bool) -> None:
    value, expected = FORWARDED[name]

    async def main() -> None:
        handler = Recorder()
        proxies = ("127.0.0.1", "10.0.0.0/8") if trusted else ()
        async with running(handler, server__trusted_proxies=proxies) as server:
            await (await server.connect()).ask(post(b"", *([f"X-Forwarded-For: {value}"] if value else [])))
        assert handler.sources[0].address == (expected if trusted else "127.0.0.1")

    run(main())


def test_trusted_proxies_are_addresses() -> None:
    async def main() -> None:
        async with running(Recorder(), server__trusted_proxies=("proxy.example",)):
            pass

    with pytest.raises(SettingsError, match="trusted_proxies"):
        run(main())


def test_the_operators_socket(tmp_path: Path) -> None:
    path = tmp_path / "data" / "control.sock"

    async def main() -> None:
        handler = Recorder()
        async with running(handler, control_socket=path) as server:
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
            await (await server.connect_operator()).ask(post())
            await (await server.connect()).ask(post())
        assert [source.operator for source in handler.sources] == [True, False]
        assert not path.exists()
        # What a crash has left behind is in nobody's way.
        path.touch()
        async with running(handler, control_socket=path) as server:
            assert (await (await server.connect_operator()).ask(post())).status == 200

    run(main())


def test_tls_is_told_of(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())

    async def main() -> None:
        handler = Recorder()
        context = ssl.create_default_context()
        authority.configure_trust(context)
        async with running(handler, server__tls_certificate=str(certificate), server__tls_key=str(key)) as server:
            assert server.listening.url == f"https://127.0.0.1:{server.listening.port}"
            assert (await (await server.connect(tls=context)).ask(post(b"secret"))).body == b"secret"
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            assert (await (await server.connect(tls=context)).ask(post(b"x" * 300_000))).status == 200
            plain = await server.connect()
            await plain.say(post())
            assert await plain.ended()
        first, second = (source.tls for source in handler.sources)
        assert first is not None
        assert second is not None
        assert (first.version, first.cipher_suite[:8]) == ("TLSv1.3", "TLS_AES_")
        assert (second.version, second.cipher_suite[:6]) == ("TLSv1.2", "ECDHE-")

    run(main())


def test_what_cannot_be_listened_on_is_said_clearly(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(Recorder()) as server:
            with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{server.listening.port}: Address"):
                async with running(Recorder(), server__port=server.listening.port):
                    pass
        with pytest.raises(SettingsError, match="TLS cannot use the certificate"):
            async with running(Recorder(), server__tls_certificate=str(tmp_path / "none"), server__tls_key="none"):
                pass
        with pytest.raises(SettingsError, match=r"cannot listen on .*control\.sock"):
            async with running(Recorder(), control_socket=tmp_path / ("d" * 120) / "control.sock"):
                pass

    run(main())


def test_a_name_with_two_addresses_has_one_port() -> None:
    async def main() -> None:
        async with running(Recorder(), server__host="localhost") as server:
            assert server.listening.url == f"http://localhost:{server.listening.port}"
            assert (await (await server.connect()).ask(post())).status == 200

    run(main())
