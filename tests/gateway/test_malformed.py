"""500 malformed requests and more, over raw sockets to a real server: each is answered with an AWS error, the server
stays up, and its memory stays bounded."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import pytest

from skytrail.gateway.metrics import resident_bytes
from skytrail.testing import Server

from .malformed import GOOD, Malformed, corpus, signatures

MIB = 1 << 20
_PATIENCE = 20.0
_AT_ONCE = 8


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


async def exchange(port: int, data: bytes) -> bytes:
    """Send the bytes, close that direction, and read all that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        writer.write_eof()
        return await reader.read()
    finally:
        writer.close()


def fault_of(answer: bytes) -> str | None:
    """What is wrong with an answer that should be an AWS error; None if it is one."""
    while answer.startswith(b"HTTP/1.1 100 "):
        answer = answer.partition(b"\r\n\r\n")[2]
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    if found is None:
        return f"no answer: {answer[:100]!r}"
    status = int(found[1])
    if not (400 <= status < 500 or status == 501):
        return f"status {status}: {answer[:600]!r}"
    head, _, body = answer.partition(b"\r\n\r\n")
    headers = head.lower()
    if b"\r\nx-amzn-requestid: " not in headers and b"\r\nx-amz-request-id: " not in headers:
        return f"no request id: {head!r}"
    kind = re.search(rb"\r\ncontent-type: ([^\r]+)", headers)
    shaped = (
        (b"json" in kind[1] and (b"__type" in body or b"x-amzn-errortype" in headers))
        or (b"xml" in kind[1] and b"<Code>" in body)
        or (b"cbor" in kind[1] and b"__type" in body)
        if kind
        else False
    )
    return None if shaped else f"no AWS error: {answer[:600]!r}"


async def faults(port: int, requests: list[Malformed]) -> dict[str, str]:
    found: dict[str, str] = {}
    free = asyncio.Semaphore(_AT_ONCE)

    async def send(malformed: Malformed) -> None:
        async with free:
            try:
                async with asyncio.timeout(_PATIENCE):
                    fault = fault_of(await exchange(port, malformed.data))
            except TimeoutError:
                fault = "it hangs"
            except OSError as error:
                fault = f"the connection broke: {error}"
        if fault is not None:
            found[malformed.name] = fault

    await asyncio.gather(*(send(malformed) for malformed in requests))
    return found


def report(found: dict[str, str]) -> str:
    return "\n".join(f"{name}\n    {fault}" for name, fault in found.items())


async def answers_well(port: int) -> bool:
    async with asyncio.timeout(_PATIENCE):
        return (await exchange(port, GOOD)).startswith(b"HTTP/1.1 200 ")


def test_the_corpus_is_large_and_always_the_same() -> None:
    requests = corpus()
    assert len(requests) >= 500
    assert len({malformed.name for malformed in requests}) == len(requests)
    assert requests == corpus()


def test_malformed_requests(server: Server) -> None:
    async def main() -> None:
        assert await answers_well(server.port)
        before = resident_bytes(server.pid) or 0
        for _ in range(2):
            found = await faults(server.port, corpus())
            assert not found, report(found)
            assert await answers_well(server.port)
        assert (resident_bytes(server.pid) or 0) - before < 150 * MIB
        assert "Traceback" not in server.log()

    asyncio.run(main())


def test_bad_signatures_in_enforced_mode() -> None:
    with Server(arguments=["--mode", "enforced"]) as enforced:
        found = asyncio.run(faults(enforced.port, signatures()))
        assert not found, report(found)
        assert "Traceback" not in enforced.log()
