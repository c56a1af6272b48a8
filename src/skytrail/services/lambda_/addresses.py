"""Functions that are HTTP addresses: an event is posted there, with the headers that the Runtime API gives."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from urllib.parse import urlsplit

import aiohttp
import orjson

from ...settings import Settings
from ...work.addresses import Guard, forbidden
from ..engines import Engines
from .invocations import (
    LARGEST_RESPONSE,
    Invocation,
    Log,
    Report,
    Result,
    failure,
    timeout_message,
    too_large,
)
from .runtime_api import headers

#: A header of the answer that says that the function failed, as the Runtime API's does.
_ERROR_HEADER = "Lambda-Runtime-Function-Error-Type"


async def invoke(engines: Engines, url: str, invocation: Invocation) -> Result:
    log, report = Log(), Report()
    log.start(invocation)
    begun = time.monotonic()
    try:
        async with asyncio.timeout(invocation.version.timeout):
            result = await _post(engines, url, invocation)
    except TimeoutError:
        message = timeout_message(invocation, engines.clock.time())
        log.line(message)
        report.status = "timeout"
        result = Result(failure("", message), "Unhandled")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        report.status = "error"
        why = forbidden(error) or error
        message = f"RequestId: {invocation.id} Error: {url} cannot be reached: {str(why) or type(why).__name__}"
        result = Result(failure("Runtime.Unreachable", message), "Unhandled")
    report.duration = (time.monotonic() - begun) * 1000
    log.end(invocation, report)
    return replace(result, log=log.tail())


def _guard(settings: Settings) -> Guard:
    return Guard("functions.hosts", settings.functions.hosts, loopback=settings.server.mode == "open")


async def _post(engines: Engines, url: str, invocation: Invocation) -> Result:
    guard = _guard(engines.settings)
    guard.check(urlsplit(url).hostname or "")
    given = headers(invocation, time.time() + invocation.version.timeout) | {"Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(resolver=guard.resolver(), use_dns_cache=False)
    # Other functions' cookies and connections are none of this one's business.
    async with (
        aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
        ) as session,
        session.post(
            url, data=invocation.payload, headers=given, allow_redirects=False, skip_auto_headers=["Accept-Encoding"]
        ) as answer,
    ):
        body = bytearray()
        async for piece in answer.content.iter_any():
            body += piece
            if len(body) > LARGEST_RESPONSE:
                return Result(too_large(max(answer.content_length or 0, len(body))), "Unhandled")
        return _result(answer.status, answer.headers.get(_ERROR_HEADER), bytes(body))


def _result(status: int, kind: str | None, body: bytes) -> Result:
    if 200 <= status < 300 and kind is None:
        return Result(body)
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        told = None
    if not isinstance(told, dict):
        text = body[:4096].decode("utf-8", "replace")
        return Result(failure(kind or "Runtime.HttpError", f"HTTP status {status}: {text}"), "Unhandled")
    return Result(body, "Unhandled")
