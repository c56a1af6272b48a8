"""The load generator: a process of its own, so that it never shares the server's interpreter.

Each connection sends one request after another; the answer's status is checked, its latency kept.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import cast
from urllib.parse import urlencode

import uvloop

ACCOUNT = "111122223333"


def signed_post(service: str, content_type: str, body: bytes, target: str = "") -> bytes:
    scope = f"{ACCOUNT}/20260101/us-east-1/{service}/aws4_request"
    head = (
        f"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n"
        + (f"x-amz-target: {target}\r\n" if target else "")
        + "user-agent: bench\r\n"
        f"authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0\r\n\r\n"
    )
    return head.encode() + body


def _query(service: str, version: str, **parameters: str) -> bytes:
    body = urlencode({**parameters, "Version": version}).encode()
    return signed_post(service, "application/x-www-form-urlencoded", body)


def lookup(key: str = "", value: str = "") -> bytes:
    parameters = {"LookupAttributes": [{"AttributeKey": key, "AttributeValue": value}]} if key else {}
    target = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents"
    return signed_post("cloudtrail", "application/x-amz-json-1.1", json.dumps(parameters).encode(), target)


#: A read (recorded, changes nothing) and a write (its effect and its record commit together).
CALLS = {
    "read": _query("sts", "2011-06-15", Action="GetCallerIdentity"),
    "write": _query("iam", "2010-05-08", Action="PutUserPolicy", UserName="bench", PolicyName="p",
                    PolicyDocument='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'),
    "prepare": _query("iam", "2010-05-08", Action="CreateUser", UserName="bench"),
}  # fmt: skip


class _Connection(asyncio.Protocol):
    """One keep-alive connection; `call` gives the status of the answer."""

    def __init__(self) -> None:
        self._waiting: asyncio.Future[int] | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(self._buffer) >= end + 4 + length:
            self._buffer = self._buffer[end + 4 + length :]
            assert self._waiting is not None
            self._waiting.set_result(int(head[9:12]))

    def connection_lost(self, _: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ConnectionError("the server closed the connection"))

    async def call(self, request: bytes) -> int:
        self._waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._waiting


async def drive(port: int, request: bytes, connections: int, seconds: float) -> dict[str, float]:
    """Drive for `seconds`, one call at the least: {calls, failed, rate, p50, p99} with latencies in milliseconds."""
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    failed = 0
    started = time.perf_counter()
    until = started + seconds

    async def client() -> None:
        nonlocal failed
        _, connection = await loop.create_connection(_Connection, "127.0.0.1", port)
        while True:
            begun = time.perf_counter()
            if await connection.call(request) != 200:
                failed += 1
            latencies.append(time.perf_counter() - begun)
            if begun >= until:
                break
        connection.transport.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    took = time.perf_counter() - started
    latencies.sort()
    return {
        "calls": len(latencies),
        "failed": failed,
        "rate": len(latencies) / took,
        "p50": latencies[len(latencies) // 2] * 1000,
        "p99": latencies[int(len(latencies) * 0.99)] * 1000,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--call", choices=CALLS, default="read")
    parser.add_argument("--lookup", nargs=2, metavar=("KEY", "VALUE"))
    arguments = parser.parse_args()
    request = lookup(*arguments.lookup) if arguments.lookup else CALLS[arguments.call]
    print(json.dumps(uvloop.run(drive(arguments.port, request, arguments.connections, arguments.seconds))))


if __name__ == "__main__":
    main()
