"""Large answers, live ones, and intents: the client has the end of an answer only when its record is on disk."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from skytrail.call import Source
from skytrail.errors import ServiceError
from skytrail.gateway.upstreams import Relay
from skytrail.storage.store import Transaction
from skytrail.wire.http import Response

from .upstreams_house import Asked, House, hangs, http, request, says, streamed, upstream, whole

GET = ("s3", "GetObject", {"Bucket": "b", "Key": "k"})
PUT = ("s3", "PutObject", {"Bucket": "b", "Key": "k"})
LARGE = b"0123456789abcdef" * 200_000


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def begun(house: House, *asked: Any) -> tuple[Response, Relay]:
    response = await house.pipeline.answer(request(*asked), Source("192.0.2.7"))
    assert isinstance(response.body, Relay)
    return response, response.body


def test_the_end_of_a_large_answer_waits_for_its_record(house: House) -> None:
    async def main() -> None:
        answer = http("200 OK", LARGE, "x-amz-request-id: R1")
        async with upstream(says(answer)) as there, house.open(f"s3={there.url}"):
            _, relay = await begun(house, *GET)
            assert (house.records(), house.intents) == ([], 1)
            got = b""
            async for piece in relay:
                got += piece
                assert bool(house.records()) is (len(got) == len(LARGE))
            assert got == LARGE
            record = house.record
            assert record["additionalEventData"]["bytesTransferredOut"] == len(LARGE)
            assert (record["requestID"], house.intents) == ("R1", 0)
            await relay.aclose()
            assert len(house.records()) == 1

    house.run(main())


def test_an_answer_that_breaks_in_the_middle_is_cut_and_recorded_so(house: House) -> None:
    async def main() -> None:
        answer = http("200 OK", LARGE, length=len(LARGE) + 1)
        async with upstream(says(answer)) as there, house.open(f"s3={there.url}"):
            _, relay = await begun(house, *GET)
            with pytest.raises(ServiceError) as raised:
                await whole(Response(200, [], relay))
            assert raised.value.code == "BadGateway"
            await relay.aclose()
            record = house.record
            assert record["errorCode"] == "BadGateway"
            assert "ended too early" in record["errorMessage"]
            assert (record["additionalEventData"]["bytesTransferredOut"], house.intents) == (len(LARGE), 0)

    house.run(main())


def test_a_client_that_leaves_ends_the_upstreams_answer(house: House) -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def behave(_: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(http("200 OK", LARGE, length=len(LARGE) * 2))
            try:
                await reader.read()
            finally:
                ended.set()

        async with upstream(behave) as there, house.open(f"s3={there.url}", connections=1):
            _, relay = await begun(house, *GET)
            first = await anext(relay)
            await relay.aclose()
            await ended.wait()
            assert house.record["additionalEventData"]["bytesTransferredOut"] == len(first)
            assert house.intents == 0
            # Its place among the calls that are under way is free again.
            _, again = await begun(house, *GET)
            await again.aclose()

    house.run(main())


def test_an_answer_without_a_record_does_not_end(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with upstream(says(http("200 OK", LARGE))) as there, house.open(f"s3={there.url}"):
            _, relay = await begun(house, *GET)

            def fail(*_: Any) -> int:
                raise RuntimeError("no record today")

            with monkeypatch.context() as patch:
                patch.setattr(Transaction, "append", fail)
                with pytest.raises(ServiceError):
                    await whole(Response(200, [], relay))
            assert (house.records(), house.intents) == ([], 1)

    house.run(main())


def test_events_are_passed_on_as_they_come(house: House) -> None:
    async def main() -> None:
        more = asyncio.Event()

        async def behave(_: Asked, __: Any, writer: asyncio.StreamWriter) -> None:
            kind = "content-type: application/vnd.amazon.eventstream"
            writer.write(f"HTTP/1.1 200 OK\r\n{kind}\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n".encode())
            await more.wait()
            writer.write(b"3\r\ntwo\r\n0\r\n\r\n")

        stream = ("logs", "StartLiveTail", {"logGroupIdentifiers": ["arn:aws:logs:eu-west-1:111122223333:log-group:g"]})
        async with upstream(behave) as there, house.open(f"logs={there.url}"):
            response, relay = await begun(house, *stream)
            assert ("transfer-encoding", "chunked") not in response.headers
            assert (await anext(relay), house.records()) == (b"one", [])
            more.set()
            assert [piece async for piece in relay] == [b"two"]
            assert "errorCode" not in house.record

    house.run(main())


def test_a_large_document_is_passed_on_unread(house: House) -> None:
    async def main() -> None:
        large = b'{"Item": {"k": {"S": "' + b"x" * 5000 + b'"}}}'
        read = ("dynamodb", "GetItem", {"TableName": "t", "Key": {"k": {"S": "a"}}})
        async with upstream(says(http("200 OK", large))) as there, house.open(f"*={there.url}", answer_bytes=1000):
            _, body = await house.ask(request(*read))
            assert body == large
            assert house.record["requestParameters"]["tableName"] == "t"

    house.run(main())


# Uploads


def test_a_large_body_goes_on_as_it_comes(house: House) -> None:
    async def main() -> None:
        pieces = [LARGE[:100_000]] * 50
        async with upstream(says(http("200 OK", "", 'etag: "e"'))) as there, house.open(f"s3={there.url}"):
            made = streamed(request(*PUT, x_amz_content_sha256="UNSIGNED-PAYLOAD"), *pieces)
            response, _ = await house.ask(made)
            assert (response.status, there.asked[0].body) == (200, b"".join(pieces))
            record = house.record
            assert record["additionalEventData"]["bytesTransferredIn"] == 5_000_000

    house.run(main())


def test_an_upstream_that_refuses_before_it_has_read_is_heard(house: House) -> None:
    async def main() -> None:
        async def server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(http("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>", "connection: close"))
            await writer.drain()
            await reader.read(1 << 20)
            writer.close()

        listening = await asyncio.start_server(server, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        async with listening, house.open(f"s3=http://127.0.0.1:{port}"):
            response, _ = await house.ask(streamed(request(*PUT), *([LARGE[:100_000]] * 50)))
            assert (response.status, house.record["errorCode"]) == (403, "AccessDenied")

    house.run(main())


def test_a_client_that_is_slow_is_not_the_upstreams_fault(house: House) -> None:
    async def main() -> None:
        async with upstream(says(http("200 OK"))) as there, house.open(f"s3={there.url}", seconds=0.2):
            made = streamed(request(*PUT), b"a", b"b")
            assert made.stream is not None
            pieces = made.stream._pieces

            async def slow() -> Any:
                async for piece in pieces:
                    await asyncio.sleep(0.3)
                    yield piece

            made.stream._pieces = slow()
            response, _ = await house.ask(made)
            assert (response.status, there.asked[0].body) == (200, b"ab")

    house.run(main())


# Intents


def test_a_write_leaves_an_intent_while_it_is_out(house: House) -> None:
    async def main() -> None:
        seen: list[tuple[int, int]] = []
        answer = says(http("200 OK", "{}"))

        async def behave(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append((house.intents, len(house.records())))
            await answer(asked, reader, writer)

        async with upstream(behave) as there, house.open(f"dynamodb={there.url}"):
            await house.ask(request("dynamodb", "DeleteTable", {"TableName": "t"}))
            await house.ask(request("dynamodb", "ListTables", {}))
            assert seen == [(1, 0), (0, 1)]
            assert (house.intents, len(house.records())) == (0, 2)

    house.run(main())


def test_a_write_that_a_crash_cut_off_is_recorded_at_the_next_start(house: House) -> None:
    async def main() -> None:
        arrived = asyncio.Event()

        async def behave(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            arrived.set()
            await hangs(asked, reader, writer)

        async with upstream(behave) as there:
            async with house.open(f"*={there.url}"):
                made = request("ec2", "TerminateInstances", {"InstanceIds": ["i-1"]})
                call = asyncio.create_task(house.pipeline.answer(made, Source("192.0.2.7")))
                await arrived.wait()
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
                assert (house.intents, house.records()) == (1, [])
            async with house.open(f"*={there.url}"):
                record = house.record
                assert (record["eventName"], record["errorCode"]) == ("TerminateInstances", "Server.OutcomeUnknown")
                assert "not known" in record["errorMessage"]
                assert record["requestParameters"] == {"instancesSet": {"items": [{"instanceId": "i-1"}]}}
                assert (record["sourceIPAddress"], house.intents) == ("192.0.2.7", 0)
            async with house.open():
                assert len(house.records()) == 1

    house.run(main())


def test_a_write_whose_intent_cannot_be_kept_is_not_made(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with upstream(says(http("200 OK", "{}"))) as there, house.open(f"dynamodb={there.url}"):
            house.store._closing = True
            response, body = await house.ask(request("dynamodb", "DeleteTable", {"TableName": "t"}))
            house.store._closing = False
            assert (response.status, b"ServiceUnavailable" in body, there.asked) == (503, True, [])

    house.run(main())
