"""A client of ClickHouse's HTTP interface: queries with bound parameters, streams of rows, inserts, typed errors."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from ...errors import ColumnsUnavailable, QueryFailed, QueryTooLarge

Row = list[Any]

#: A whole answer is held in memory, so it is bounded; larger ones are streamed.
ANSWER_BYTES = 256 << 20

_TOO_LARGE = frozenset(
    {
        158,  # TOO_MANY_ROWS
        159,  # TIMEOUT_EXCEEDED
        160,  # TOO_SLOW
        241,  # MEMORY_LIMIT_EXCEEDED
        307,  # TOO_MANY_BYTES
        396,  # TOO_MANY_ROWS_OR_BYTES
    }
)
_BUSY = 202  # TOO_MANY_SIMULTANEOUS_QUERIES
_FAILURE = re.compile(rb"Code: (\d+)\. DB::Exception: (.*)", re.DOTALL)
_VERSION = re.compile(r" \(version [^()]*\)$")
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0", "\b": "\\b", "\f": "\\f"})
#: Begins a failure within an answer. It cannot be part of a row, since a row is a line that begins with a bracket.
_BROKEN = b"\nCode: "
#: How much of an answer's end is kept to find a failure in.
_TAIL = 16 << 10


class ConnectionLost(Exception):
    """The connection failed or broke before the answer was whole: what became of the query is not known."""


class Client:
    def __init__(self, socket: Path) -> None:
        connector = aiohttp.UnixConnector(str(socket), limit=0, keepalive_timeout=600)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        #: Where it is set, it is the database of every request that names none.
        self.database = "default"

    async def close(self) -> None:
        await self._session.close()

    async def ping(self, seconds: float) -> bool:
        try:
            timeout = aiohttp.ClientTimeout(total=seconds)
            async with self._session.get("http://columns/ping", timeout=timeout) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def query(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        settings: Mapping[str, str | int],
        seconds: float,
        in_order: bool = False,
    ) -> list[Row]:
        """All rows; `in_order` asks for an answer that knows every write sent before it, finished or not."""
        bounds: dict[str, str | int] = {"max_result_bytes": ANSWER_BYTES, "result_overflow_mode": "throw"}
        arguments = self._arguments(parameters, {**bounds, **settings})
        timeout = aiohttp.ClientTimeout(total=seconds)
        async with self._request(arguments, sql.encode(), timeout, in_order=in_order) as response:
            return rows(b"".join([data async for data in _answer(response)]))

    async def stream(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        settings: Mapping[str, str | int],
        seconds: float,
    ) -> AsyncGenerator[Row, None]:
        """Rows as they come; the engine waits where the reader does."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=seconds)
        rest = b""
        async with self._request(self._arguments(parameters, settings), sql.encode(), timeout) as response:
            async for data in _answer(response):
                whole, line_feed, rest = (rest + data).rpartition(b"\n")
                for row in rows(whole.partition(_BROKEN)[0]) if line_feed else ():
                    yield row

    async def insert(
        self, sql: str, data: Sequence[bytes], *, settings: Mapping[str, str | int], seconds: float
    ) -> None:
        arguments = {"query": sql, **self._arguments(None, settings)}
        async with self._request(arguments, data, aiohttp.ClientTimeout(total=seconds)) as response:
            await response.read()

    def _arguments(self, parameters: Mapping[str, Any] | None, settings: Mapping[str, str | int]) -> dict[str, str]:
        arguments = {"database": self.database, "default_format": "JSONCompactEachRow"}
        for name, setting in settings.items():
            arguments[name] = str(setting)
        for name, value in (parameters or {}).items():
            arguments[f"param_{name}"] = parameter(value)
        return arguments

    @asynccontextmanager
    async def _request(
        self,
        arguments: dict[str, str],
        body: bytes | Sequence[bytes],
        bounds: aiohttp.ClientTimeout,
        *,
        in_order: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        pieces = [body] if isinstance(body, bytes) else body
        # A length, since a chunked body's end that cannot be sent is an error that nobody can catch.
        headers = {"Content-Length": str(sum(map(len, pieces)))}
        if in_order:
            headers["X-Skytrail-In-Order"] = "1"
        try:
            async with self._session.post(
                "http://columns/",
                params=arguments,
                data=_pieces(pieces),
                headers=headers,
                timeout=bounds,
            ) as response:
                if response.status != 200:
                    text = await response.read()
                    match = _FAILURE.search(text)
                    raise _failure(match) if match else QueryFailed(0, text.decode(errors="replace").strip())
                yield response
        except TimeoutError:
            raise QueryTooLarge(159, "the query did not end within its time") from None
        except aiohttp.ClientError as error:
            raise ConnectionLost(str(error)) from error


async def _answer(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body as it comes. A failure after its beginning is told at its end, and then the transfer is broken off."""
    tail = b""
    try:
        async for data in response.content.iter_any():
            tail = (tail + data)[-_TAIL:]
            yield data
    except aiohttp.ClientError as error:
        _, broken, text = tail.rpartition(_BROKEN)
        match = _FAILURE.search(broken + text)
        if match is None:
            raise ConnectionLost(str(error)) from error
        raise _failure(match) from None


async def _pieces(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def rows(answer: bytes) -> list[Row]:
    """The rows of an answer in JSONCompactEachRow: a JSON array a line, and no line feed within one."""
    parsed: list[Row] = orjson.loads(b"[" + answer.strip().replace(b"\n", b",") + b"]")
    return parsed


def _failure(match: re.Match[bytes]) -> QueryFailed | ColumnsUnavailable:
    code = int(match[1])
    message = _VERSION.sub("", match[2].decode(errors="replace").strip())
    if code == _BUSY:
        return ColumnsUnavailable(message)
    return QueryTooLarge(code, message) if code in _TOO_LARGE else QueryFailed(code, message)


def parameter(value: Any) -> str:
    """A value as the interface takes it for `{name:Type}`."""
    if value is None:
        return r"\N"
    return value.translate(_ESCAPES) if isinstance(value, str) else _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    if isinstance(value, list | tuple):
        return "[" + ",".join(_element(element) for element in value) + "]"
    if isinstance(value, int | float):
        return repr(value)
    raise TypeError(f"no parameter can be made of a {type(value).__name__}")


def _element(value: Any) -> str:
    """A value within an array: there texts and times are quoted."""
    if value is None:
        return "NULL"
    if isinstance(value, str | datetime):
        return "'" + _plain(value).translate(_ESCAPES).replace("'", "\\'") + "'"
    return _plain(value)
