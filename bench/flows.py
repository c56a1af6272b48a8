"""Loads of more than one kind of call: messages that are sent, received and deleted, notices, objects.

A process of its own, like `load`; it speaks HTTP by hand, so that it costs less than what it measures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import uvloop

ACCOUNT, REGION = "111122223333", "us-east-1"
BATCH = 10


def _authorization(service: str) -> str:
    scope = f"{ACCOUNT}/20260101/{REGION}/{service}/aws4_request"
    return f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"


class Client:
    """One keep-alive connection."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Client:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(self, method: str, path: str, headers: str, body: bytes) -> bytes:
        head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
        self._writer.write(head.encode() + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(answer.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        content = await self._reader.readexactly(length)
        if answer[9:12] != b"200":
            raise RuntimeError(f"{answer[:12]!r} {content[:500]!r}")
        return content

    async def sqs(self, operation: str, **parameters: Any) -> Any:
        headers = (
            f"authorization: {_authorization('sqs')}\r\nx-amz-target: AmazonSQS.{operation}\r\n"
            "content-type: application/x-amz-json-1.0\r\n"
        )
        return json.loads(await self.ask("POST", "/", headers, json.dumps(parameters).encode()) or b"{}")

    async def sns(self, action: str, **parameters: str) -> str:
        headers = f"authorization: {_authorization('sns')}\r\ncontent-type: application/x-www-form-urlencoded\r\n"
        body = urlencode({"Action": action, "Version": "2010-03-31", **parameters}).encode()
        return (await self.ask("POST", "/", headers, body)).decode()

    async def s3(self, method: str, path: str, body: bytes = b"") -> bytes:
        headers = f"authorization: {_authorization('s3')}\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\n"
        return await self.ask(method, path, headers, body)

    async def receive(self, queue: str) -> int:
        """Take a batch from a queue: receive and delete."""
        answer = await self.sqs("ReceiveMessage", QueueUrl=queue, MaxNumberOfMessages=BATCH, WaitTimeSeconds=1)
        taken = answer.get("Messages", [])
        if taken:
            entries = [
                {"Id": str(place), "ReceiptHandle": message["ReceiptHandle"]} for place, message in enumerate(taken)
            ]
            deleted = await self.sqs("DeleteMessageBatch", QueueUrl=queue, Entries=entries)
            if len(deleted["Successful"]) != len(taken):
                raise RuntimeError(f"not deleted: {deleted['Failed']}")
        return len(taken)


async def _queue(port: int, name: str, **attributes: str) -> str:
    async with Client(port) as client:
        url: str = (await client.sqs("CreateQueue", QueueName=name, Attributes=attributes))["QueueUrl"]
    return url


async def messages(port: int, connections: int, seconds: float, *, fifo: bool = False) -> dict[str, float]:
    """Messages a second that are sent, received and deleted, in batches."""
    queue = await _queue(port, "bench.fifo", FifoQueue="true") if fifo else await _queue(port, "bench")
    until = time.perf_counter() + seconds
    done = 0

    async def work(number: int) -> None:
        nonlocal done
        batch = 0
        async with Client(port) as client:
            while time.perf_counter() < until:
                entries: list[dict[str, Any]] = [{"Id": str(place), "MessageBody": "x" * 200} for place in range(BATCH)]
                if fifo:
                    for place, entry in enumerate(entries):
                        id_ = f"{time.time_ns()}-{number}-{batch}-{place}"
                        entry |= {"MessageGroupId": f"{number}-{place}", "MessageDeduplicationId": id_}
                batch += 1
                await client.sqs("SendMessageBatch", QueueUrl=queue, Entries=entries)
                taken = await client.receive(queue)  # `done += await ...` would read `done` before it waits
                done += taken

    return await _timed(lambda: asyncio.gather(*(work(number) for number in range(connections))), lambda: done)


async def notices(port: int, connections: int, seconds: float) -> dict[str, float]:
    """Messages a second from a topic's Publish to their deletion from a subscribed queue."""
    queue = await _queue(port, "bench-notices")
    until = time.perf_counter() + seconds
    sent = done = 0
    async with Client(port) as client:
        topic = (await client.sns("CreateTopic", Name="bench")).split("<TopicArn>")[1].split("<")[0]
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:bench-notices"
        await client.sns("Subscribe", TopicArn=topic, Protocol="sqs", Endpoint=arn)
    entries = {
        f"PublishBatchRequestEntries.member.{place}.{name}": value
        for place in range(1, BATCH + 1)
        for name, value in (("Id", str(place)), ("Message", "x" * 200))
    }

    async def publish() -> None:
        nonlocal sent
        async with Client(port) as client:
            while time.perf_counter() < until:
                await client.sns("PublishBatch", TopicArn=topic, **entries)
                sent += BATCH

    async def receive() -> None:
        nonlocal done
        async with Client(port) as client:
            while time.perf_counter() < until or done < sent:
                taken = await client.receive(queue)  # `done += await ...` would read `done` before it waits
                done += taken

    async def flow() -> None:
        await asyncio.gather(*(publish() for _ in range(connections)), *(receive() for _ in range(connections)))

    return await _timed(flow, lambda: done)


async def objects(port: int, connections: int, seconds: float) -> dict[str, float]:
    """Objects of 4 KB a second that are put."""
    until = time.perf_counter() + seconds
    done = 0
    body = bytes(range(256)) * 16
    async with Client(port) as client:
        await client.s3("PUT", "/bench-objects")

    async def work(number: int) -> None:
        nonlocal done
        count = 0
        async with Client(port) as client:
            while time.perf_counter() < until:
                await client.s3("PUT", f"/bench-objects/{number}/{time.time_ns()}-{count}", body)
                count += 1
                done += 1

    return await _timed(lambda: asyncio.gather(*(work(number) for number in range(connections))), lambda: done)


async def _timed(flow: Callable[[], Awaitable[Any]], count: Callable[[], int]) -> dict[str, float]:
    begun = time.perf_counter()
    await flow()
    return {"rate": count() / (time.perf_counter() - begun)}


FLOWS: dict[str, Callable[[int, int, float], Awaitable[dict[str, float]]]] = {
    "messages": messages,
    "fifo-messages": lambda port, connections, seconds: messages(port, connections, seconds, fifo=True),
    "notices": notices,
    "objects": objects,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--flow", choices=FLOWS, required=True)
    arguments = parser.parse_args()

    async def run() -> dict[str, float]:
        return await FLOWS[arguments.flow](arguments.port, arguments.connections, arguments.seconds)

    print(json.dumps(uvloop.run(run())))


if __name__ == "__main__":
    main()
