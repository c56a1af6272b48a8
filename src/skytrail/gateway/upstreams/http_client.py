"""HTTP to an upstream: one pool of connections, nothing added to a request, nothing undone in an answer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from typing import Any

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from ...errors import ServiceError
from ...settings import Upstreams
from . import failures
from .answers import Answer, carried
from .outgoing import Outgoing
from .relay import Relay
from .targets import Target

#: Shorter than servers keep an idle connection, so that a call seldom meets one that is just being closed.
_IDLE_SECONDS = 4.0
_LONGEST_HEADER = 64 * 1024
#: A body in memory that is larger goes out in such pieces, so that its progress can be seen.
_PIECE = 256 * 1024
_BODILESS = frozenset({204, 304})


class _Broken(Exception):
    """The connection ended before an answer began."""


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """aiohttp sends again what it takes to be idempotent; a call that is recorded once must not be made twice."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _Broken(_reason(error)) from error


class HttpClient:
    def __init__(self, settings: Upstreams) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None

    def open(self) -> None:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS)
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            max_field_size=_LONGEST_HEADER,
            max_line_size=_LONGEST_HEADER,
            middlewares=(_once,),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
        )

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(
        self,
        target: Target,
        url: str,
        outgoing: Outgoing,
        headers: Mapping[str, str],
        *,
        write: bool,
        most: int,
        live: bool,
    ) -> Answer:
        """The answer, its body in memory up to `most` bytes; `live` answers are passed on as they come.

        Nothing is sent twice but a read whose connection ended before its answer began.
        """
        exchange = _Exchange(self._settings.seconds, target, write)
        try:
            response = await exchange.begin(self._opened, url, outgoing, headers)
        except _Broken as error:
            if write or not isinstance(outgoing.body, bytes) or exchange.fault is not None:
                raise exchange.fault or failures.broken(target, error, write=write) from error
            exchange = _Exchange(self._settings.seconds, target, write)
            try:
                response = await exchange.begin(self._opened, url, outgoing, headers)
            except _Broken as again:
                raise failures.broken(target, again, write=write) from again
        return await exchange.finish(response, most, live=live)

    @property
    def _opened(self) -> aiohttp.ClientSession:
        assert self._session is not None
        return self._session


class _Exchange:
    """One request and its answer."""

    def __init__(self, seconds: float, target: Target, write: bool) -> None:
        self._seconds = seconds
        self._target = target
        self._write = write
        self._patience: asyncio.Timeout | None = None
        self._sent_all = False
        #: What is wrong with the request's own body.
        self.fault: ServiceError | None = None

    async def begin(
        self, session: aiohttp.ClientSession, url: str, outgoing: Outgoing, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        """Send the request; returns when the answer's head is there."""
        head = outgoing.head
        target_url = URL(f"{url}{head.path}?{head.query}" if head.query else url + head.path, encoded=True)
        data = self._data(outgoing.body)
        written = dict(headers)
        if outgoing.length is not None and (outgoing.length or head.method not in ("GET", "HEAD")):
            written["content-length"] = str(outgoing.length)
        try:
            async with asyncio.timeout(self._seconds) as self._patience:
                return await session.request(head.method, target_url, headers=written, data=data, allow_redirects=False)
        except TimeoutError as error:
            raise failures.late(self._target, self._seconds, write=self._write) from error
        except aiohttp.ClientConnectorError as error:
            raise failures.unreachable(self._target, _reason(error)) from error
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            raise self.fault or failures.broken(self._target, _reason(error), write=self._write) from error
        except ValueError as error:
            raise failures.unreachable(self._target, _reason(error)) from error
        finally:
            self._patience = None

    def _data(self, body: bytes | AsyncIterable[bytes]) -> Any:
        if isinstance(body, bytes) and len(body) <= _PIECE:
            self._sent_all = True
            return body or None
        return self._paced(_pieces_of(body) if isinstance(body, bytes) else body)

    async def _paced(self, pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        """The upstream's time runs only while it is the upstream that is waited for."""
        self._grant(None)
        try:
            async for piece in pieces:
                self._grant(self._seconds)
                yield piece
                self._grant(None)
        except ServiceError as error:
            self.fault = error
            raise
        self._sent_all = True
        self._grant(self._seconds)

    def _grant(self, seconds: float | None) -> None:
        if self._patience is not None and not self._patience.expired():
            loop = asyncio.get_running_loop()
            self._patience.reschedule(None if seconds is None else loop.time() + seconds)

    async def finish(self, response: aiohttp.ClientResponse, most: int, *, live: bool) -> Answer:
        try:
            headers = _headers(response)
            if not 200 <= response.status <= 599:
                reason = f"{response.status} is no status of a whole answer"
                raise failures.broken(self._target, reason, write=self._write)
            if response.method == "HEAD" or response.status in _BODILESS:
                self._release(response)
                return Answer(response.status, headers, b"")
            length = response.content_length
            live = live and response.status < 300
            held = bytearray()
            if not live and (length is None or length <= most):
                while piece := await self._read(response):
                    held += piece
                    if len(held) > most:
                        break
                else:
                    self._release(response)
                    return Answer(response.status, headers, bytes(held))
        except BaseException:
            response.close()
            raise
        return Answer(response.status, headers, Relay(self._rest(response, bytes(held)), length, response.close))

    async def _rest(self, response: aiohttp.ClientResponse, held: bytes) -> AsyncGenerator[bytes]:
        try:
            if held:
                yield held
            while piece := await self._read(response):
                yield piece
            self._release(response)
        finally:
            response.close()  # has no effect once the connection is back in the pool

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        try:
            async with asyncio.timeout(self._seconds):
                return await response.content.readany()
        except TimeoutError as error:
            raise failures.late(self._target, self._seconds, write=self._write) from error
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            raise failures.broken(self._target, _reason(error), write=self._write) from error

    def _release(self, response: aiohttp.ClientResponse) -> None:
        """An upstream may answer before it has read the request: then the connection serves nobody else."""
        if self._sent_all:
            response.release()
        else:
            response.close()


def _headers(response: aiohttp.ClientResponse) -> list[tuple[str, str]]:
    return carried((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers)


async def _pieces_of(body: bytes) -> AsyncIterator[bytes]:
    view = memoryview(body)
    for start in range(0, len(body), _PIECE):
        yield bytes(view[start : start + _PIECE])


def _reason(error: Exception) -> str:
    """In few words, without addresses of objects or what was sent."""
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = error.os_error
        if cause.errno is not None and cause.errno > 0:
            return os.strerror(cause.errno)
        return cause.strerror or type(cause).__name__
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "its answer ended too early"
    if isinstance(error, aiohttp.ClientResponseError | HttpProcessingError):
        return "what it sent is not HTTP"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
