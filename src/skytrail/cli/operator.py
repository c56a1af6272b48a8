"""The operator's way in: over the running server's own socket, or in this process when no server runs.

Either way the call passes the same pipeline and leaves its record.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from ..errors import ServiceError, SkytrailError, StoreLocked
from ..settings import Settings
from ..storage.directory import socket_path

if TYPE_CHECKING:
    from ..server import Skytrail


def operate(
    settings: Settings, service: str, operation: str, parameters: dict[str, Any], *, account: str = "", region: str = ""
) -> dict[str, Any]:
    """Call an operation as the root of an account (the settings' default one if none is named)."""
    body = {
        "service": service,
        "operation": operation,
        "parameters": parameters,
        "account": account or settings.server.account,
        "region": region or settings.server.region,
    }
    answer = orjson.loads(b"".join(stream(settings, "/_skytrail/operate", orjson.dumps(body))))
    if "error" in answer:
        raise ServiceError(answer["error"]["code"], answer["error"]["message"])
    output: dict[str, Any] = answer["output"]
    return output


def stream(settings: Settings, path: str, body: bytes, *, endpoint_url: str | None = None) -> Iterator[bytes]:
    """POST to a path of the operator's; the answer's lines."""
    connection = _connection(settings.data_directory, endpoint_url)
    if connection is None:
        with contextlib.ExitStack() as stack:
            server = _kept or stack.enter_context(contextlib.closing(_InProcess(settings)))
            yield from server.lines(path, body)
        return
    with connection:
        try:
            connection.request("POST", path, body, {"content-type": "application/json"})
            response = connection.getresponse()
            if response.status != 200:
                reason = response.read(4096).decode(errors="replace").strip()
                if response.status == 403 and "open mode only" in reason:
                    raise SkytrailError("this server is in enforced mode: ask it on its machine, with --data")
                raise SkytrailError(f"the server refuses {path}: {response.status} {reason}")
            yield from response
        except (OSError, http.client.HTTPException) as error:
            raise SkytrailError(f"the server at {_name(connection)} does not answer: {error}") from error


def served(settings: Settings) -> bool:
    """Whether a server runs on the data directory."""
    connection = _connection(settings.data_directory, None)
    if connection is None:
        return False
    connection.close()
    return True


@contextlib.contextmanager
def session(settings: Settings, *, create: bool = False) -> Iterator[None]:
    """Where no server runs, what is asked inside is answered by one start of this process's own.

    Only where it may `create` a data directory is a missing one made.
    """
    global _kept  # noqa: PLW0603 - a command line asks one thing at a time
    with contextlib.closing(_InProcess(settings, create=create)) as _kept:
        try:
            yield
        finally:
            _kept = None


class _InProcess:
    """The server without its sockets; it starts when it is first asked."""

    def __init__(self, settings: Settings, *, create: bool = False) -> None:
        self._settings = settings
        self._create = create
        self._runner = asyncio.Runner()
        self._skytrail: Skytrail | None = None

    def lines(self, path: str, body: bytes) -> Iterator[bytes]:
        lines = self._start().operator_paths[path](body)
        while (line := self._runner.run(_next(lines))) is not None:
            yield line

    def _start(self) -> Skytrail:
        if self._skytrail is None:
            data = self._settings.data_directory
            is_new = not data.expanduser().exists()
            if is_new and not self._create:
                raise SkytrailError(f"there is no data directory at {data}: name it with --data")
            if is_new:
                print(f"No server runs on {data}, which is made now: is another --data meant?", file=sys.stderr)
            from ..server import Skytrail  # noqa: PLC0415 - only when no server runs

            try:
                self._skytrail = Skytrail(self._settings)
            except StoreLocked as error:
                raise SkytrailError(f"{error}; its socket does not answer") from error
            self._runner.run(self._skytrail.start())
        return self._skytrail

    def close(self) -> None:
        if self._skytrail is not None:
            self._runner.run(self._skytrail.stop())
        self._runner.close()


_kept: _InProcess | None = None


async def _next(lines: AsyncIterator[bytes]) -> bytes | None:
    return await anext(lines, None)


class _Connection(http.client.HTTPConnection):
    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _name(connection: _Connection) -> str:
    return connection.host if isinstance(connection, _SocketConnection) else f"{connection.host}:{connection.port}"


class _SocketConnection(_Connection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self._path)


class _TlsConnection(http.client.HTTPSConnection, _Connection):
    pass


def _connection(data: Path, endpoint_url: str | None) -> _Connection | None:
    if endpoint_url:
        parts = urlsplit(endpoint_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SkytrailError(f"not an endpoint: {endpoint_url} (it is a URL, such as http://127.0.0.1:4566)")
        kind = _TlsConnection if parts.scheme == "https" else _Connection
        return kind(parts.hostname, parts.port)
    connection = _SocketConnection(socket_path(data, "control.sock"))
    try:
        connection.connect()
    except OSError:
        connection.close()
        return None
    return connection
