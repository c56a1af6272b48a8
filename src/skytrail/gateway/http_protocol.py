"""HTTP/1.1 on a connection: uvicorn's protocol, with the limits and the manners that it lacks.

A head has a bounded size; a peer that is too slow is timed out; what cannot be parsed is answered by the edge, as AWS
would, in its turn among pipelined answers. A refused connection lingers for a moment, reading and dropping what still
arrives, so that the peer can read the refusal before the reset.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, cast

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from ..call import Source, Tls
from ..errors import ServiceError
from .exchange import Exchange

if TYPE_CHECKING:
    from uvicorn.config import Config

    from .edge import Edge

#: Requests that may wait on one connection behind the one under way.
_PIPELINED = 32
_HEADERS = 256
#: Connections beyond the limit that are still answered with a refusal; above that they are cut.
_REFUSABLE = 256
_LINGER_BYTES = 128 << 20


#: The slowest rate of a body, in bytes a second.
_SLOWEST = 1024


class EdgeProtocol(HttpToolsProtocol):
    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        operator: bool = False,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.edge = cast("Edge", self.app)
        self._operator = operator
        self._crowded = False
        self.source = Source("127.0.0.1", operator=operator)
        self.exchange: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        # The head that is being read.
        self._in_head = False
        self._head_bytes = 0
        self._stalled_bytes = 0
        #: Set while a body that followed an upgrade offer is given back to the parser.
        self._resuming = False
        #: Since when the peer keeps us waiting.
        self._since = self.loop.time()
        self._write_paused_since: float | None = None
        #: Bytes of an answer that the peer is slow to read.
        self._unread = 0
        self._refusal: ServiceError | None = None
        self._half_closed = False
        self._deaf = False
        self._lingering_until: float | None = None
        self._linger_bytes = 0

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if not self._operator:
            free = self.edge.settings.limits.connections - self.edge.connections
            if free <= -_REFUSABLE:
                self.transport = transport
                transport.abort()
                return
            self._crowded = free <= 0
            self.source = _source(transport)
        super().connection_made(transport)
        if self._operator:
            self.edge.operator_connections += 1

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        if self in self.connections:
            self.connections.discard(self)
            self.edge.operator_connections -= self._operator
        for exchange in (self.exchange, *self._waiting):
            if exchange is not None and not exchange.complete:
                exchange.disconnect()
        self._waiting.clear()
        self._count_unread(0)
        if self.flow is not None:
            self.flow.resume_writing()
        self.parser = None  # type: ignore[assignment]

    def eof_received(self) -> bool:  # type: ignore[override]
        """The peer has sent all that it will. It may still read, so what it asked is answered."""
        if self._lingering_until is not None:
            return False
        self._half_closed = True
        if self._in_head:
            self._break_off(ServiceError("BadRequest", "The request ended before its head was complete.", status=400))
        elif (last := self._last_exchange()) is not None and last.more_body:
            self._break_off(
                ServiceError(
                    "IncompleteBody",
                    "You did not provide the number of bytes specified by the Content-Length HTTP header.",
                    status=400,
                )
            )
        if self.exchange is not None and self.exchange.streaming is not None:
            return False  # a reader of a stream that has gone is not told from one that only stopped sending
        # Over TLS a closed direction closes both.
        return self._under_way() and self.scheme == "http"

    def pause_writing(self) -> None:
        self._write_paused_since = self.loop.time()
        self._count_unread(self.transport.get_write_buffer_size())
        super().pause_writing()

    def resume_writing(self) -> None:
        self._write_paused_since = None
        self._count_unread(0)
        super().resume_writing()

    def _count_unread(self, size: int) -> None:
        self.edge.unread_bytes += size - self._unread
        self._unread = size

    def sweep(self, now: float) -> None:
        """Called every second: ends what has waited for its peer for too long."""
        timeouts = self.edge.timeouts
        if self._lingering_until is not None:
            if now >= self._lingering_until:
                self.transport.abort()
        elif self._write_paused_since is not None:
            if now - self._write_paused_since > timeouts.write:
                self.transport.abort()
        elif self._in_head:
            if now - self._since > timeouts.head:
                self._break_off(_timed_out())
        elif (last := self._last_exchange()) is not None and last.more_body:
            stalled = now - self._since > timeouts.body and not self.flow.read_paused
            slow = now - last.begun > timeouts.body + last.fed / _SLOWEST and not self.flow.read_paused
            if (stalled or slow) and last.broken is None:
                self._break_off(_timed_out())
        elif not self._under_way() and now - self._since > timeouts.idle:
            self.transport.close()

    def close_if_idle(self) -> None:
        if not self._under_way():
            self.transport.close()

    # Reading

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            self._linger_bytes += len(data)
            if self._linger_bytes > _LINGER_BYTES:
                self.transport.abort()
            return
        self._stalled_bytes += len(data)
        if not self._in_head:
            self._since = self.loop.time()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._break_off(cause if isinstance(cause, ServiceError) else _unparsable())
        else:
            # The parser gathers a header's parts by itself: an endless one shows only here.
            if self._stalled_bytes > self.edge.settings.limits.header_bytes:
                self._break_off(_head_too_large())

    def _decline_upgrade(self, rest: bytes) -> None:
        """An offer to change the protocol is ignored, as HTTP allows; but the parser takes what follows for the other
        protocol's, so the body is read by a new parser that is told only its length."""
        exchange = self._last_exchange()
        assert exchange is not None
        self.parser = httptools.HttpRequestParser(self)
        headers = [
            b"%b: %b\r\n" % (name, value)
            for name, value in exchange.scope["headers"]
            if name in (b"content-length", b"transfer-encoding")
        ]
        self._resuming = True
        try:
            self.parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(headers) + b"\r\n")
        except httptools.HttpParserError:
            self._break_off(_unparsable())
            return
        finally:
            self._resuming = False
        if rest:
            self.data_received(rest)

    def on_message_begin(self) -> None:
        if self._resuming:
            return
        if len(self._waiting) >= _PIPELINED:
            raise ServiceError("SlowDown", "Please reduce your request rate.", status=503)
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._in_head = True
        self._head_bytes = self._stalled_bytes = 0
        self._since = self.loop.time()

    def on_url(self, url: bytes) -> None:
        if self._resuming:
            return
        self.url += url
        self._stalled_bytes = 0
        if len(self.url) > self.edge.settings.limits.header_bytes:
            raise ServiceError("RequestURITooLong", "The request's URI is too long.", status=414)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._resuming:
            return
        self._stalled_bytes = 0
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes + len(self.url) > self.edge.settings.limits.header_bytes or len(self.headers) >= _HEADERS:
            raise _head_too_large()
        if not self._in_head:
            return  # a trailer: nothing of AWS's is sent in one
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        if self._resuming:
            return
        url = httptools.parse_url(self.url)
        version = self.parser.get_http_version()
        scope = {
            "type": "http",
            "http_version": version,
            "method": self.parser.get_method().decode("ascii"),
            "raw_path": url.path or b"/",
            "query_string": url.query or b"",
            "headers": self.headers,
            "source": self.source,
            "crowded": self._crowded,
        }
        self._in_head = False
        keep_alive = version == "1.1" and self.parser.should_keep_alive() and not self._crowded
        exchange = Exchange(self, scope, keep_alive, self.expect_100_continue)
        scope["exchange"] = exchange
        if self._under_way():
            self.flow.pause_reading()
            self._waiting.append(exchange)
        else:
            self._run(exchange)

    def on_body(self, body: bytes) -> None:
        self._stalled_bytes = 0
        exchange = self._last_exchange()
        if exchange is None or exchange.complete:
            return
        exchange.body += body
        exchange.fed += len(body)
        if len(exchange.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        exchange.wakened.set()

    def on_chunk_header(self) -> None:
        self._stalled_bytes = 0

    def on_message_complete(self) -> None:
        exchange = self._last_exchange()
        self._stalled_bytes = 0
        if exchange is not None and not self.parser.should_upgrade():
            exchange.more_body = False
            exchange.wakened.set()

    # Answering

    def _last_exchange(self) -> Exchange | None:
        """The one whose bytes are being read."""
        return self._waiting[-1] if self._waiting else self.exchange

    def _under_way(self) -> bool:
        return self.exchange is not None and not self.exchange.complete

    def _run(self, exchange: Exchange) -> None:
        self.exchange = exchange
        task = self.loop.create_task(exchange.run())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def finished(self, exchange: Exchange) -> None:
        """The exchange's response is written."""
        self.server_state.total_requests += 1
        self._since = self.loop.time()
        if self.transport.is_closing():
            return
        if not exchange.keep_alive:
            if exchange.more_body or exchange.broken is not None:
                self._linger()
            else:
                self.transport.close()
        elif self._waiting:
            self._run(self._waiting.popleft())
        elif self._refusal is not None:
            self._refuse(self._refusal)
        elif self._half_closed:
            self.transport.close()
        else:
            self.flow.resume_reading()

    def _break_off(self, error: ServiceError) -> None:
        """Nothing that follows can be understood, or waited for: `error` is the connection's last answer."""
        if self._deaf:
            return
        self._deaf = True
        last = self._last_exchange()
        if last is not None and last.more_body and not self._in_head and not last.complete:
            last.break_off(error)
        elif self._under_way():
            self._refusal = error
        else:
            self._refuse(error)

    def _refuse(self, error: ServiceError) -> None:
        self._refusal = None
        status, headers, body = self.edge.refusal(self.headers or [], error)
        head = b"".join(b"%b: %b\r\n" % pair for pair in headers)
        self.transport.write(b"%b%bconnection: close\r\n\r\n%b" % (STATUS_LINE[status], head, body))
        self._linger()

    def _linger(self) -> None:
        self._deaf = True
        if self._half_closed:
            self.transport.close()
            return
        self._lingering_until = self.loop.time() + self.edge.timeouts.linger
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()


def _source(transport: asyncio.Transport) -> Source:
    peer = transport.get_extra_info("peername")
    address = str(peer[0]) if isinstance(peer, tuple) and peer else ""
    ssl_object = transport.get_extra_info("ssl_object")
    tls = Tls(ssl_object.version() or "", (ssl_object.cipher() or ("",))[0]) if ssl_object is not None else None
    return Source(address.removeprefix("::ffff:") if "." in address else address, tls=tls)


def _unparsable() -> ServiceError:
    return ServiceError("BadRequest", "An error occurred when parsing the HTTP request.", status=400)


def _head_too_large() -> ServiceError:
    return ServiceError(
        "RequestHeaderSectionTooLarge",
        "Your request header and query parameters exceed the maximum allowed size.",
        status=431,
    )


def _timed_out() -> ServiceError:
    return ServiceError(
        "RequestTimeout",
        "Your socket connection to the server was not read from or written to within the timeout period. "
        "Idle connections will be closed.",
        status=408,
    )
