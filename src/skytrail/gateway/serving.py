"""Listening: TCP and the operator's own socket, until the server is told to stop; then the calls under way finish."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import resource
import signal
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from uvicorn.config import Config

from ..errors import SettingsError
from ..settings import Settings
from .edge import Edge
from .http_protocol import EdgeProtocol

_BACKLOG = 1024
#: An idle TLS client may never answer the server's goodbye.
_GOODBYE_SECONDS = 0.5
#: After the last call under way: for requests that have arrived, and not been read, to be refused and not cut.
_GRACE_SECONDS = 0.05
#: Descriptors beside the connections': the store's, the columns', the logs'.
_OTHER_DESCRIPTORS = 512


@dataclass(slots=True, frozen=True)
class Listening:
    """Where the server can be reached."""

    url: str
    host: str
    port: int
    control_socket: Path | None


class Stop:
    """The wish to stop: asked once, calls under way finish; asked twice, they are cut."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.forced = asyncio.Event()

    def __call__(self) -> None:
        (self.forced if self.asked.is_set() else self.asked).set()


async def serve(
    edge: Edge,
    settings: Settings,
    ready: Callable[[Listening], None],
    *,
    control_socket: Path | None = None,
    on_stop: Callable[[], Awaitable[None]] | None = None,
    stop: Stop | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or `stop`; returns when all is closed and `on_stop` is done."""
    stop = stop or Stop()
    try:
        async with contextlib.AsyncExitStack() as stack:
            listening, servers = await _listen(edge, settings, control_socket, stack)
            stack.enter_context(_signals(stop))
            await stack.enter_async_context(_sweeper(edge))
            ready(listening)
            await stop.asked.wait()
            await _drain(edge, servers, settings.server.drain_seconds, stop)
    finally:
        if on_stop is not None:
            await on_stop()


async def _listen(
    edge: Edge, settings: Settings, control_socket: Path | None, stack: contextlib.AsyncExitStack
) -> tuple[Listening, list[asyncio.AbstractServer]]:
    loop = asyncio.get_running_loop()
    config = Config(
        edge,
        interface="asgi3",
        http=EdgeProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
    )
    config.load()
    protocol = functools.partial(EdgeProtocol, config, edge.state, {}, loop)
    tls = _tls(settings)
    _raise_descriptor_limit(settings.limits.connections)
    servers: list[asyncio.AbstractServer] = []
    sockets = _bind(settings.server.host, settings.server.port)
    for bound in sockets:
        servers.append(
            await loop.create_server(
                protocol, sock=bound, ssl=tls, backlog=_BACKLOG, ssl_shutdown_timeout=_GOODBYE_SECONDS if tls else None
            )
        )
        stack.callback(servers[-1].close)
    if control_socket is not None:
        stack.callback(control_socket.unlink, missing_ok=True)
        private = _bind_private(control_socket)
        servers.append(
            await loop.create_unix_server(functools.partial(protocol, operator=True), sock=private, backlog=_BACKLOG)
        )
        stack.callback(servers[-1].close)
    host, port = settings.server.host, int(sockets[0].getsockname()[1])
    shown = f"[{host}]" if ":" in host else host
    return Listening(f"{'https' if tls else 'http'}://{shown}:{port}", host, port, control_socket), servers


def _bind(host: str, port: int) -> list[socket.socket]:
    """One listening socket for each address that the host's name has, all on one port."""
    bound: list[socket.socket] = []
    try:
        for family, kind, number, _, address in socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            listener = socket.socket(family, kind, number)
            bound.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((address[0], port or (bound[0].getsockname()[1] if len(bound) > 1 else 0), *address[2:]))
            listener.listen(_BACKLOG)
            listener.setblocking(False)
    except OSError as error:
        for listener in bound:
            listener.close()
        raise SettingsError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return bound


def _bind_private(path: Path) -> socket.socket:
    """A Unix socket that only its owner can open. The data directory is locked, so one that lies there is dead."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            listener.bind(os.fspath(path))
        finally:
            os.umask(before)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise SettingsError(f"cannot listen on {path}: {error.strerror or error}") from error
    return listener


def _tls(settings: Settings) -> ssl.SSLContext | None:
    server = settings.server
    if not server.tls_certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(server.tls_certificate, server.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"TLS cannot use the certificate {server.tls_certificate} with the key {server.tls_key}: {error}"
        ) from error
    return context


def _raise_descriptor_limit(connections: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextlib.contextmanager
def _signals(stop: Stop) -> Iterator[None]:
    """The first signal asks to stop, the second forces it, a third has its default effect."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    handled = (signal.SIGTERM, signal.SIGINT)

    def received() -> None:
        stop()
        if stop.forced.is_set():
            release()

    def release() -> None:
        for number in handled:
            loop.remove_signal_handler(number)

    for number in handled:
        loop.add_signal_handler(number, received)
    try:
        yield
    finally:
        release()


@contextlib.asynccontextmanager
async def _sweeper(edge: Edge) -> AsyncIterator[None]:
    async def sweep() -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1)
            for connection in list(edge.state.connections):
                connection.sweep(loop.time())  # type: ignore[union-attr]

    task = asyncio.create_task(sweep())
    try:
        yield
    finally:
        task.cancel()


async def _drain(edge: Edge, servers: list[asyncio.AbstractServer], seconds: float, stop: Stop) -> None:
    """Accept no more, refuse new requests on the connections that stand, and let the calls under way finish."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    edge.draining = True
    state = edge.state

    async def until_empty(members: set[object]) -> None:
        while members and not stop.forced.is_set() and loop.time() < deadline:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.forced.wait(), 0.005)

    for server in servers:
        server.close()
    await until_empty(state.tasks)  # type: ignore[arg-type]
    await asyncio.sleep(_GRACE_SECONDS)
    await until_empty(state.tasks)  # type: ignore[arg-type]
    for connection in list(state.connections):
        connection.close_if_idle()  # type: ignore[union-attr]
    await until_empty(state.connections)  # type: ignore[arg-type]
    if state.tasks:
        edge.log.warning("%d calls did not finish in %g seconds: they are cut", len(state.tasks), seconds)
    tasks = list(state.tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for connection in list(state.connections):
        connection.transport.abort()
