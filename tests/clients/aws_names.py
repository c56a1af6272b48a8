"""AWS's own host names, as a tool without an endpoint setting calls them, answered by a server of ours."""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import ssl
import threading
from pathlib import Path
from typing import Any

import trustme


class AwsNames:
    """A proxy that leads every connection to `port` on this host, under whatever name, over TLS.

    `environment` is what a tool needs to come through it.
    """

    def __init__(self, port: int, folder: Path) -> None:
        self._port = port
        self._authority = trustme.CA()
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        bundle = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(bundle)
        self.environment = {
            "HTTPS_PROXY": f"http://127.0.0.1:{self._server.server_address[1]}",
            "NO_PROXY": "",
            "AWS_CA_BUNDLE": str(bundle),
        }

    def __enter__(self) -> AwsNames:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> Any:
        names = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    names._tunnel(self)

        return Handler

    def _tunnel(self, handler: socketserver.StreamRequestHandler) -> None:
        method, target, _ = handler.rfile.readline().decode("ascii").split(" ", 2)
        assert method == "CONNECT", method
        while handler.rfile.readline().strip():
            pass
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        context = self._context(target.rsplit(":", 1)[0])
        with (
            context.wrap_socket(handler.connection, server_side=True) as client,
            socket.create_connection(("127.0.0.1", self._port)) as server,
        ):
            _relay(client, server)

    def _context(self, name: str) -> ssl.SSLContext:
        with self._lock:
            if name not in self._contexts:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                self._authority.issue_cert(name).configure_cert(context)
                self._contexts[name] = context
            return self._contexts[name]


def _relay(client: ssl.SSLSocket, server: socket.socket) -> None:
    """Carry bytes both ways until either side ends."""
    while True:
        ready = [client] if client.pending() else select.select([client, server], [], [])[0]
        for source in ready:
            data = source.recv(65536)
            if not data:
                return
            (server if source is client else client).sendall(data)
