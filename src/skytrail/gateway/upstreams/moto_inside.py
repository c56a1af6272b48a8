"""moto as an upstream: its WSGI application in threads of this process. What it keeps is in memory.

Two of its public ways are used: the application of its server mode, and the header that names the account. Whatever
a client could say to reach another account, or moto's own pages, is replaced or refused here.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import io
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote_to_bytes

from ...call import Call
from ...errors import ServiceError, SettingsError
from . import failures
from .answers import Answer, carried
from .outgoing import Outgoing
from .targets import Moto

_log = logging.getLogger(__name__)

_ACCOUNT = "x-moto-account-id"
#: moto reads the service and the Region in the scope; it checks no signatures.
_AUTHORIZATION = (
    "AWS4-HMAC-SHA256 Credential={account}/20260101/{region}/{service}/aws4_request, SignedHeaders=host, Signature=0"
)
#: Hosts that moto takes for itself and not for a service of AWS's; it writes them into the URLs that it gives out.
_PLAIN_HOST = re.compile(r"(?!169\.254\.)(?:[0-9.]{7,15}|\[[0-9a-f:]+\]|[a-z0-9-]{1,63})(?::[0-9]{1,5})?")
_OWN_PATH = re.compile(rb"/+moto-api(?:/|$)")
_THREADS = 4

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def check_installed() -> None:
    for package in ("moto", "flask"):
        if importlib.util.find_spec(package) is None:
            raise SettingsError("upstreams: moto is not installed with its server: pip install 'skytrail[moto]'")
    if os.environ.get("MOTO_ACCOUNT_ID"):
        raise SettingsError("upstreams: MOTO_ACCOUNT_ID is set, which would make one account of all: unset it")


class InProcess:
    def __init__(self, target: Moto) -> None:
        check_installed()
        self._target = target
        self._application: Application | None = None
        self._loading = threading.Lock()
        self._met: set[str] = set()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="moto")

    async def send(self, call: Call, outgoing: Outgoing, *, most: int, seconds: float, write: bool) -> Answer:
        """`most`: the bytes of a request's body, which moto needs whole."""
        assert call.route is not None
        if _is_motos_own(outgoing.head.path):
            raise ServiceError("NotImplemented", "moto keeps /moto-api for itself.", status=501)
        body = await _whole(outgoing, most)
        environ = _environ(call, outgoing, body)
        service = call.route.service.name
        if service not in self._met:
            self._met.add(service)
            _log.info("moto answers for %s; what it keeps is in memory, and gone at the next start", service)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                return await loop.run_in_executor(self._threads, self._run, environ, write)
        except TimeoutError as error:
            raise failures.late(self._target, seconds, write=write) from error

    def _run(self, environ: dict[str, Any], write: bool) -> Answer:
        head: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], _: Any = None) -> Callable[[bytes], None]:
            head[:] = [int(status.partition(" ")[0]), headers]
            return written.append

        written: list[bytes] = []
        try:
            pieces = self._loaded()(environ, start)
            try:
                written += pieces
            finally:
                close = getattr(pieces, "close", None)
                if close is not None:
                    close()
        except NotImplementedError as error:
            raise failures.lacking(self._target, error) from error
        except Exception as error:
            _log.exception("moto failed inside")
            raise failures.broken(self._target, f"{type(error).__name__} inside it", write=write) from error
        status, headers = head
        return Answer(status, carried(headers), b"" if environ["REQUEST_METHOD"] == "HEAD" else b"".join(written))

    def _loaded(self) -> Application:
        with self._loading:
            if self._application is None:
                # An optional extra, and slow to import.
                server: Any = importlib.import_module("moto.server")

                def create(service: str | None) -> Application:
                    """moto asks for None where it knows no such service."""
                    if service is None:
                        raise NotImplementedError("there is no such service")
                    application: Application = server.create_backend_app(service)
                    return application

                self._application = server.DomainDispatcherApplication(create)
            assert self._application is not None
            return self._application

    async def reset(self) -> None:
        """By the call that moto documents for it."""
        if self._application is None:
            return
        environ = _wsgi("POST", "/moto-api/reset", "", {"host": "motoapi.amazonaws.com"}, b"")
        await asyncio.get_running_loop().run_in_executor(self._threads, self._run, environ, True)

    def close(self) -> None:
        """Does not wait for what moto still does."""
        self._threads.shutdown(wait=False, cancel_futures=True)


async def _whole(outgoing: Outgoing, most: int) -> bytes:
    if isinstance(outgoing.body, bytes):
        return outgoing.body
    held = bytearray()
    async for piece in outgoing.body:
        held += piece
        if len(held) > most:
            raise ServiceError(
                "EntityTooLarge", f"moto keeps what it is sent in memory, at most {most} bytes of a body.", status=400
            )
    return bytes(held)


def _is_motos_own(path: str) -> bool:
    return _OWN_PATH.match(unquote_to_bytes(path)) is not None


def _environ(call: Call, outgoing: Outgoing, body: bytes) -> dict[str, Any]:
    assert call.route is not None
    head, service = outgoing.head, call.route.service
    # WSGI tells "_" and "-" not apart, so that one could pass for the other.
    headers = {name: value for name, value in head.headers.items() if "_" not in name}
    headers[_ACCOUNT] = call.account
    headers["host"] = _host(call)
    headers["authorization"] = _AUTHORIZATION.format(
        account=call.account, region=call.region, service=service.signing_name
    )
    return _wsgi(head.method, head.path, head.query, headers, body)


def _host(call: Call) -> str:
    assert call.route is not None
    if call.route.service.name == "s3control":
        return f"{call.account}.s3-control.{call.region}.amazonaws.com"
    sent = call.sent
    if sent is not None and call.route.path in ("", sent.path):
        host = sent.headers.get("host", "").lower()
        if _PLAIN_HOST.fullmatch(host):
            return host
    return "localhost"


def _wsgi(method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """As PEP 3333 has it, with the raw target as werkzeug's own server gives it."""
    name, _, port = headers["host"].partition(":")
    target = f"{path}?{query}" if query else path
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "REQUEST_URI": target,
        "RAW_URI": target,
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_NAME": name,
        "SERVER_PORT": port or "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for header, value in headers.items():
        key = header.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    return environ
