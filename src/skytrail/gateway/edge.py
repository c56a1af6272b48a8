"""The edge: from HTTP to a `Request` and its `Source`, and from a `Response` back to HTTP. It knows no service.

Whatever happens behind it, a client that sent a request is answered, with an error of AWS's form if need be.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from email.utils import formatdate
from typing import Any, Protocol

from uvicorn.server import ServerState

from ..call import Source
from ..errors import ServiceError, SettingsError
from ..settings import Settings
from ..wire import codecs
from ..wire.bodies import Body
from ..wire.http import Request, Response
from ..work.clock import Clock
from ..work.ids import Ids
from .cors import Cors
from .exchange import Disconnected, Exchange
from .timeouts import Timeouts

Handler = Callable[[Request, Source], Awaitable[Response]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_BAD_NAME = re.compile(rb"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
#: A body up to this size is read before the call begins.
_LARGE = 1 << 20
_FRAMING = frozenset((b"content-length", b"transfer-encoding", b"connection", b"date"))


class OwnPages(Protocol):
    """What the edge answers besides AWS calls: `control.Control`."""

    def handles(self, request: Request) -> bool: ...

    async def answer(self, request: Request, source: Source) -> Response: ...


class Edge:
    """The ASGI application. `handler` answers the AWS calls, `control` the server's own paths."""

    log = logging.getLogger(__name__)

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        ids: Ids,
        handler: Handler,
        control: OwnPages | None = None,
        timeouts: Timeouts | None = None,
        streams: Callable[[Request], bool] = lambda _: False,
    ) -> None:
        self.settings = settings
        self.timeouts = timeouts or Timeouts()
        self.state = ServerState()
        #: Set when the server stops: calls under way finish, new ones are refused.
        self.draining = False
        #: Bytes of requests' bodies held now.
        self.bodies_bytes = 0
        #: Bytes of answers that wait for peers which are slow to read them.
        self.unread_bytes = 0
        self.operator_connections = 0
        self._clock = clock
        self._ids = ids
        self._handler = handler
        self._control = control
        self._streams = streams
        self._cors = Cors(settings.server)
        self._proxies = _networks(settings.server.trusted_proxies)
        self._date = (0, b"")

    @property
    def connections(self) -> int:
        """Open connections, without those over the operator's socket."""
        return len(self.state.connections) - self.operator_connections

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        request = Request(
            scope["method"],
            scope["raw_path"].decode("latin-1"),
            scope["query_string"].decode("latin-1"),
            _joined(scope["headers"]),
        )
        exchange: Exchange = scope["exchange"]
        held = 0
        try:
            try:
                self._admit(scope, request)
                if self._is_large(request) and self._streams(request):
                    # Of what is read as it comes, about so much is held at a time.
                    self._bound_all(_LARGE)
                    held = _LARGE
                    self.bodies_bytes += held
                    length = request.headers.get("content-length")
                    request.stream = Body(_pieces(receive), int(length) if length is not None else None)
                else:
                    self._bound(int(request.headers.get("content-length", "0")), coming=True)
                    message = await receive()
                    held = len(message["body"])
                    self.bodies_bytes += held
                    if message["more_body"]:
                        pieces = [message["body"]]
                        while message["more_body"]:
                            self._bound(held)
                            message = await receive()
                            piece = message["body"]
                            held += len(piece)
                            self.bodies_bytes += len(piece)
                            pieces.append(piece)
                        request.body = b"".join(pieces)
                    else:
                        request.body = message["body"]
                    self._bound(held)
                response = await self._answer(request, self._source(scope["source"], request))
                start = self._start(request, response)
            except ServiceError as error:
                response = self._error(request.headers, error)
                start = self._start(request, response)
            except Disconnected:
                raise
            except Exception:
                response = self._fault(request)
                start = self._start(request, response)
            if isinstance(response.body, bytes):
                await send(start)
                await send({"type": "http.response.body", "body": response.body})
            else:
                await self._stream(exchange, start, response.body, send)
        finally:
            self.bodies_bytes -= held

    # Before the call

    def _admit(self, scope: MutableMapping[str, Any], request: Request) -> None:
        """Refuse what need not be read."""
        headers = request.headers
        if scope["http_version"] not in ("1.1", "1.0"):
            raise ServiceError("BadRequest", "The HTTP version is not supported.", status=400)
        if self.draining and not (self._control is not None and self._control.handles(request)):
            raise ServiceError("ServiceUnavailable", "Service is unavailable: the server is stopping.", status=503)
        if scope["crowded"]:
            raise ServiceError("SlowDown", "Please reduce your request rate: too many connections.", status=503)
        if headers.get("transfer-encoding", "chunked").lower() != "chunked":
            raise ServiceError(
                "NotImplemented", "A header you provided implies functionality that is not implemented.", status=501
            )
        if headers.get("expect", "100-continue").lower() != "100-continue":
            raise ServiceError("ExpectationFailed", "The request's expectation cannot be met.", status=417)

    @staticmethod
    def _is_large(request: Request) -> bool:
        """Large enough to be worth reading as it comes."""
        length = request.headers.get("content-length")
        return "transfer-encoding" in request.headers if length is None else int(length) > _LARGE

    def _bound(self, size: int, *, coming: bool = False) -> None:
        limits = self.settings.limits
        if size > limits.body_bytes:
            raise ServiceError(
                "RequestEntityTooLarge", f"The request's body exceeds {limits.body_bytes} bytes.", status=413
            )
        self._bound_all(size if coming else 0)

    def _bound_all(self, coming: int) -> None:
        if self.bodies_bytes + self.unread_bytes + coming > self.settings.limits.bodies_bytes:
            raise ServiceError("SlowDown", "Please reduce your request rate: too many bytes in flight.", status=503)

    def _source(self, source: Source, request: Request) -> Source:
        """Behind a trusted proxy the caller is the last address that no trusted proxy has written for itself."""
        forwarded = request.headers.get("x-forwarded-for")
        if forwarded is None or source.operator or not self._trusts(source.address):
            return source
        address = source.address
        for hop in reversed(forwarded.split(",")):
            hop_address = _address(hop)
            if hop_address is None:
                break
            address = hop_address
            if not self._trusts(address):
                break
        return Source(address, tls=source.tls)

    def _trusts(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._proxies)

    # The call

    async def _answer(self, request: Request, source: Source) -> Response:
        if self._control is not None and self._control.handles(request):
            return await self._control.answer(request, source)
        if request.method == "OPTIONS" and (preflight := self._cors.preflight(request)) is not None:
            return preflight
        self._cors.admit(request)
        return await self._handler(request, source)

    def _start(self, request: Request, response: Response) -> dict[str, Any]:
        """The response's head. A header that HTTP cannot carry is a fault of ours, found before anything is sent."""
        given: str | None = None
        headers: Headers = [(b"date", self._now())]
        if "origin" in request.headers:
            headers += _encoded(self._cors.headers(request))
        for name, value in _encoded(response.headers):
            framing = name.lower()
            if framing not in _FRAMING:
                headers.append((name, value))
            elif framing == b"content-length":
                given = value.decode("ascii")
        if isinstance(response.body, bytes):
            if response.status not in (204, 304):
                # An answer to HEAD may tell the length of a body that it does not have.
                length = given if request.method == "HEAD" and given is not None else str(len(response.body))
                headers.append((b"content-length", length.encode("ascii")))
        elif given is not None:
            headers.append((b"content-length", str(int(given)).encode("ascii")))
        if not 200 <= response.status <= 599:
            raise ValueError(f"a response cannot have the status {response.status}")
        return {"type": "http.response.start", "status": response.status, "headers": headers}

    async def _stream(self, exchange: Exchange, start: dict[str, Any], body: AsyncIterator[bytes], send: Send) -> None:
        """Write the body as it comes, no faster than the client reads. A body that fails cuts the connection, since
        the status has been sent: so the client sees that the answer is not whole."""
        exchange.stream_here()
        try:
            await send(start)
            await send({"type": "http.response.body", "more_body": True})
            if exchange.scope["method"] != "HEAD":
                async for piece in body:
                    if piece:
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body"})
        finally:
            close = getattr(body, "aclose", None)
            if close is not None:
                await close()

    # Errors

    def _fault(self, request: Request) -> Response:
        request_id = self._ids.uuid()
        self.log.exception("%s %s failed inside (request %s)", request.method, request.path, request_id)
        message = "The request processing has failed because of an unknown error, exception or failure."
        return self._error(request.headers, ServiceError("InternalFailure", message, status=500), request_id)

    def _error(self, headers: MutableMapping[str, str] | Any, error: ServiceError, request_id: str = "") -> Response:
        """An error of a call that is not identified yet, in the form that its headers let expect."""
        return codecs.serialize_error(None, _protocol(headers), error, request_id or self._ids.uuid())

    def refusal(self, headers: Headers, error: ServiceError) -> tuple[int, Headers, bytes]:
        """The answer to what is not a whole request."""
        request = Request("GET", "/", "", _joined(headers))
        response = self._error(request.headers, error)
        start = self._start(request, response)
        assert isinstance(response.body, bytes)
        return start["status"], start["headers"], response.body

    def _now(self) -> bytes:
        """The Date header: clients correct their own clock by it before they sign."""
        second = int(self._clock.time())
        if second != self._date[0]:
            self._date = (second, formatdate(second, usegmt=True).encode("ascii"))
        return self._date[1]


async def _pieces(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        try:
            message = await receive()
        except Disconnected:
            raise ServiceError(
                "IncompleteBody", "The request body terminated unexpectedly: the client is gone.", status=400
            ) from None
        more = message["more_body"]
        yield message["body"]


def _joined(raw: Headers) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name = raw_name.decode("latin-1")
        value = raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def _encoded(headers: Iterable[tuple[str, str]]) -> Headers:
    encoded = []
    for name, value in headers:
        name_bytes, value_bytes = name.encode("ascii"), value.encode("latin-1")
        if not name_bytes or _BAD_NAME.search(name_bytes) or _BAD_VALUE.search(value_bytes):
            raise ValueError(f"a response cannot have the header {name!r}: {value!r}")
        encoded.append((name_bytes, value_bytes))
    return encoded


def _protocol(headers: Any) -> str:
    """The protocol that a request's headers speak of; without a hint, S3's XML."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if headers.get("smithy-protocol") == "rpc-v2-cbor" or kind == "application/cbor":
        return "smithy-rpc-v2-cbor"
    if "x-amz-target" in headers or kind.startswith("application/x-amz-json"):
        return "json"
    if kind == "application/x-www-form-urlencoded":
        return "query"
    if "json" in kind or "json" in headers.get("accept", ""):
        return "rest-json"
    return "rest-xml"


def _networks(addresses: Iterable[str]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    try:
        return [ipaddress.ip_network(address, strict=False) for address in addresses]
    except ValueError as error:
        raise SettingsError(f"server.trusted_proxies: {error}") from error


def _address(hop: str) -> str | None:
    """An entry of X-Forwarded-For, which may have a port, without it; None if it is no address."""
    hop = hop.strip()
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        return str(ipaddress.ip_address(hop))
    except ValueError:
        return None
