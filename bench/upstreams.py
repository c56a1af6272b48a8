"""The cost of an upstream call through the server, against calling the upstream itself: a trivial one, in a process of
its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import uvloop

from skytrail.testing import Server

from .harness import Figure
from .load import drive, signed_post

ITEM = b'{"Item":{"k":{"S":"a"},"v":{"S":"' + b"x" * 200 + b'"}}}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\nx-amzn-requestid: R\r\n"
    + (b"content-length: %d\r\n\r\n" % len(ITEM))
    + ITEM
)
_JSON = "application/x-amz-json-1.0"
CALLS = {
    "GetItem, a data event": signed_post(
        "dynamodb", _JSON, b'{"TableName":"t","Key":{"k":{"S":"a"}}}', "DynamoDB_20120810.GetItem"
    ),
    "ListTables, a read": signed_post("dynamodb", _JSON, b"{}", "DynamoDB_20120810.ListTables"),
    "DeleteTable, a write": signed_post("dynamodb", _JSON, b'{"TableName":"t"}', "DynamoDB_20120810.DeleteTable"),
}


class _Upstream(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            self.transport.write(ANSWER)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Upstream, "127.0.0.1", 0)
    print(json.dumps(server.sockets[0].getsockname()[1]), flush=True)
    await server.serve_forever()


@contextmanager
def upstream() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-m", "bench.upstreams"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def upstreams(runs: int, seconds: float, source: Path | None) -> list[Figure]:
    environment = {"PYTHONPATH": str(source)} if source else {}
    figures = []
    with (
        upstream() as port,
        Server(
            durability="fsync",
            arguments=["--upstream", f"dynamodb=http://127.0.0.1:{port}"],
            environment=environment,
        ) as server,
    ):
        for name, request in CALLS.items():
            for connections in (1, 32):
                direct = Figure(f"{name}, direct, {connections} connections: p50", "ms", "less")
                through = Figure(f"{name}, through, {connections} connections: p50", "ms", "less")
                rate = Figure(f"{name}, through, {connections} connections", "calls/s", "more")
                for _ in range(runs):
                    direct.runs.append(uvloop.run(drive(port, request, connections, seconds))["p50"])
                    got = uvloop.run(drive(server.port, request, connections, seconds))
                    if got["failed"]:
                        raise RuntimeError(f"{got['failed']:.0f} of {got['calls']:.0f} calls failed")
                    through.runs.append(got["p50"])
                    rate.runs.append(got["rate"])
                figures += [direct, through, rate]
    return figures


if __name__ == "__main__":
    uvloop.run(serve())
