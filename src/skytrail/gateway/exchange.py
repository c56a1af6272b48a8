"""One request and its response, on a connection: what an ASGI application receives and sends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from ..errors import ServiceError

if TYPE_CHECKING:
    from .http_protocol import EdgeProtocol


class Disconnected(Exception):
    """The peer is gone; nobody reads the answer."""


class Exchange:
    """One request and its response: the `receive` and `send` of an ASGI application."""

    __slots__ = (
        "begun",
        "body",
        "broken",
        "chunked",
        "complete",
        "disconnected",
        "expect_continue",
        "expected",
        "fed",
        "head",
        "keep_alive",
        "more_body",
        "protocol",
        "scope",
        "streaming",
        "wakened",
    )

    def __init__(self, protocol: EdgeProtocol, scope: dict[str, Any], keep_alive: bool, expect_continue: bool) -> None:
        self.protocol = protocol
        self.scope = scope
        self.keep_alive = keep_alive
        self.expect_continue = expect_continue
        self.begun = protocol.loop.time()
        # The request's body.
        self.body = bytearray()
        self.fed = 0
        self.more_body = True
        self.broken: ServiceError | None = None
        self.wakened = asyncio.Event()
        self.disconnected = False
        # The response: `head` waits for the first piece of the body, to be written with it.
        self.head: list[bytes] | None = None
        self.expected = 0
        self.chunked = False
        self.complete = False
        self.streaming: asyncio.Task[Any] | None = None

    async def run(self) -> None:
        edge = self.protocol.edge
        try:
            await edge(self.scope, self.receive, self.send)
        except (Disconnected, asyncio.CancelledError):
            self.protocol.transport.abort()
        except ServiceError as error:
            # What an answer was made of ended in its middle.
            edge.log.warning("an answer broke off: %s", error)
            self.protocol.transport.abort()
        except Exception:
            edge.log.exception("an answer broke off")
            self.protocol.transport.abort()
        else:
            if not self.complete:
                self.protocol.transport.abort()

    async def receive(self) -> dict[str, Any]:
        """The next piece of the body. A body that breaks off raises the error that the client is answered."""
        # Also before an empty body: a client that waited in vain takes the next answer for the one that it awaits.
        if self.expect_continue and (self.more_body or not self.fed) and not self.protocol.transport.is_closing():
            self.protocol.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.expect_continue = False
        if self.more_body and not self.body and not self.broken and not self.disconnected:
            self.protocol.flow.resume_reading()
            self.wakened.clear()
            await self.wakened.wait()
        if self.broken is not None:
            raise self.broken
        if self.disconnected:
            raise Disconnected
        piece = bytes(self.body)
        self.body.clear()
        return {"type": "http.request", "body": piece, "more_body": self.more_body}

    async def send(self, message: dict[str, Any]) -> None:
        """A start message holds headers that the edge has checked, with the content-length unless it is chunked."""
        flow = self.protocol.flow
        if flow.write_paused and not self.disconnected:
            await flow.drain()
        if self.disconnected:
            raise Disconnected
        if message["type"] == "http.response.start":
            self._start(message["status"], message["headers"])
        else:
            self._write(message.get("body", b""), message.get("more_body", False))

    def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        head = [STATUS_LINE[status]]
        length: int | None = None
        for name, value in headers:
            head += (name, b": ", value, b"\r\n")
            if name == b"content-length":
                length = int(value)
        bodiless = self.scope["method"] == "HEAD" or status in (204, 304)
        if length is None and not bodiless:
            self.chunked = True
            head.append(b"transfer-encoding: chunked\r\n")
        if self.more_body or self.protocol.edge.draining:
            self.keep_alive = False
        if not self.keep_alive:
            head.append(b"connection: close\r\n")
        head.append(b"\r\n")
        self.expected = 0 if bodiless else length or 0
        self.head = head

    def _write(self, body: bytes, more: bool) -> None:
        if self.complete:
            raise RuntimeError("a response went on after its end")
        pieces, self.head = self.head or [], None
        if self.scope["method"] == "HEAD":
            pass
        elif self.chunked:
            if body:
                pieces += (b"%x\r\n" % len(body), body, b"\r\n")
            if not more:
                pieces.append(b"0\r\n\r\n")
        else:
            self.expected -= len(body)
            if self.expected < 0 or (self.expected and not more):
                raise RuntimeError("a response is not as long as its content-length")
            pieces.append(body)
        if pieces:
            self.protocol.transport.write(b"".join(pieces))
        if not more:
            self.complete = True
            self.protocol.finished(self)

    def stream_here(self) -> None:
        """This task writes the response as it comes: it is cancelled when the peer goes."""
        self.streaming = asyncio.current_task()

    def break_off(self, error: ServiceError) -> None:
        """The rest of the body will not come, or not be understood: `error` is the answer, and the connection ends."""
        self.broken = error
        self.keep_alive = False
        self.wakened.set()

    def disconnect(self) -> None:
        self.disconnected = True
        self.wakened.set()
        if self.streaming is not None:
            self.streaming.cancel()
