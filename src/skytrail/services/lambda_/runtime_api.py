"""The Lambda Runtime API, as one process of a function sees it: a listener of its own, on loopback.

The API knows no credentials, so each process has its own port; whoever else reaches it on this machine can take that
process' events, and answer them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping

import orjson
from aiohttp import web

from .invocations import LARGEST_RESPONSE, Invocation, Result, too_large

_ROOT = "/2018-06-01/runtime/"
_LARGEST_ERROR = 256 * 1024

_log = logging.getLogger(__name__)


class RuntimeApi:
    def __init__(self) -> None:
        self._events: asyncio.Queue[tuple[Invocation, float]] = asyncio.Queue()
        self._server: asyncio.Server | None = None
        self._web = web.Server(self._handle, access_log=None)
        #: Set when the process asks for its first event.
        self.ready = asyncio.Event()
        #: What the process said where it could not begin.
        self.unable: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._current: str | None = None
        self._answer: asyncio.Future[Result] | None = None
        self.address = ""

    async def open(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(self._web, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.address = f"{host}:{port}"

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        with contextlib.suppress(Exception):
            await self._web.shutdown(0.1)

    def give(self, invocation: Invocation) -> asyncio.Future[Result]:
        """Hand out an event, with the end of its time; the future is what the process answers to it."""
        self._answer = asyncio.get_running_loop().create_future()
        # The process knows no other clock than the machine's.
        self._events.put_nowait((invocation, time.time() + invocation.version.timeout))
        return self._answer

    # The API

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path.removeprefix(_ROOT)
        if path == request.path:
            return _told(404, "NotFound", "There is nothing here.")
        try:
            if path == "invocation/next" and request.method == "GET":
                return await self._next()
            if path == "init/error" and request.method == "POST":
                return await self._init_error(request)
            parts = path.split("/")
            if len(parts) == 3 and parts[0] == "invocation" and request.method == "POST":
                if parts[2] == "response":
                    return await self._response(request, parts[1])
                if parts[2] == "error":
                    return await self._error(request, parts[1])
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            _log.exception("the runtime API failed")
            return _told(500, "InternalError", "The runtime API failed.")
        return _told(404, "NotFound", "There is nothing here.")

    async def _next(self) -> web.Response:
        if self._current is not None:
            return _told(403, "InvalidStateTransition", "The last event has no answer yet.")
        self.ready.set()
        invocation, deadline = await self._events.get()
        self._current = invocation.id
        return web.Response(
            body=invocation.payload,
            headers=headers(invocation, deadline),
            content_type="application/json",
        )

    async def _init_error(self, request: web.BaseRequest) -> web.Response:
        body = await _read(request, _LARGEST_ERROR)
        if body is None:
            return _told(413, "RequestEntityTooLarge", "The error is too large.")
        if self.ready.is_set():
            return _told(403, "InvalidStateTransition", "The initialization is over.")
        if not self.unable.done():
            self.unable.set_result(_with_type(body, request.headers))
        return _accepted()

    async def _response(self, request: web.BaseRequest, invocation_id: str) -> web.Response:
        body = await _read(request, LARGEST_RESPONSE)
        if body is None:
            announced = request.content_length or LARGEST_RESPONSE + 1
            if self._settle(invocation_id, Result(too_large(announced), "Unhandled")):
                return _told(
                    413,
                    "RequestEntityTooLarge",
                    f"Exceeded maximum allowed payload size ({LARGEST_RESPONSE} bytes).",
                )
            return _unknown()
        return _accepted() if self._settle(invocation_id, Result(body)) else _unknown()

    async def _error(self, request: web.BaseRequest, invocation_id: str) -> web.Response:
        body = await _read(request, _LARGEST_ERROR)
        if body is None:
            return _told(413, "RequestEntityTooLarge", "The error is too large.")
        result = Result(_with_type(body, request.headers), "Unhandled")
        return _accepted() if self._settle(invocation_id, result) else _unknown()

    def _settle(self, invocation_id: str, result: Result) -> bool:
        if invocation_id != self._current:
            return False
        self._current = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(result)
        return True


def headers(invocation: Invocation, deadline: float) -> dict[str, str]:
    given = {
        "Lambda-Runtime-Aws-Request-Id": invocation.id,
        "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
        "Lambda-Runtime-Invoked-Function-Arn": invocation.arn,
        "Lambda-Runtime-Trace-Id": invocation.trace,
    }
    if invocation.client_context:
        given["Lambda-Runtime-Client-Context"] = invocation.client_context
    return given


async def _read(request: web.BaseRequest, most: int) -> bytes | None:
    """The body; None where it is larger. It is read all the same, so that the answer reaches its sender."""
    held, received = bytearray(), 0
    async for piece in request.content.iter_any():
        received += len(piece)
        if received <= most:
            held += piece
        elif received > 4 * LARGEST_RESPONSE:
            break
    return bytes(held) if received <= most else None


def _with_type(body: bytes, given: Mapping[str, str]) -> bytes:
    """The error as the process told it. Where that is no JSON, its type comes from the header."""
    try:
        orjson.loads(body)
        return body
    except orjson.JSONDecodeError:
        kind = given.get("Lambda-Runtime-Function-Error-Type", "Runtime.Unknown")
        return orjson.dumps({"errorType": kind, "errorMessage": body.decode("utf-8", "replace")})


def _accepted() -> web.Response:
    return web.Response(status=202, body=b'{"status":"OK"}\n', content_type="application/json")


def _told(status: int, kind: str, message: str) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps({"errorMessage": message, "errorType": kind}),
        content_type="application/json",
    )


def _unknown() -> web.Response:
    return _told(400, "InvalidRequestID", "Invalid request ID")
