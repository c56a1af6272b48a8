"""Which web pages may call from a browser, under which names, and the headers that tell the browser so."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from ..errors import ServiceError
from ..settings import Server
from ..wire.http import Request, Response

_METHODS = "GET, HEAD, PUT, POST, DELETE, PATCH, OPTIONS"
#: Browsers show a page only the answer's headers that are listed here.
_EXPOSED = (
    "*, date, etag, x-amzn-requestid, x-amz-request-id, x-amz-id-2, x-amzn-errortype, x-amzn-query-error, "
    "x-amzn-errormessage, x-amz-crc32, x-amz-version-id, smithy-protocol"
)
#: Names that nobody can register, so no foreign page has one; and those under which AWS's clients reach a local server.
_PRIVATE = ("localhost", "local", "internal", "test", "home.arpa")
_KNOWN = (*_PRIVATE, "amazonaws.com", "amazonaws.com.cn", "api.aws", "localhost.localstack.cloud")


class Cors:
    def __init__(self, server: Server) -> None:
        self._hosts = (*_KNOWN, *(name.lower().strip(".") for name in (server.host, *server.hosts)))
        self._open = server.mode == "open"
        self._origins = frozenset(server.cors_origins)

    def allows(self, origin: str) -> bool:
        return "*" in self._origins or origin in self._origins or (self._open and loopback(origin))

    def admit(self, request: Request) -> None:
        """Refuse what a browser sends for a page that may not call. A form or an image needs no permission of CORS to
        be sent, and in open mode no signature: any page could act through the browser of someone whose machine runs
        the server."""
        if not self._open:
            return
        self.admit_host(request)
        headers = request.headers
        origin = headers.get("origin")
        if origin is not None and not self.allows(origin):
            raise ServiceError(
                "AccessForbidden", f"Pages of {origin[:200]} may not call: see server.cors_origins.", status=403
            )
        if origin is None and headers.get("sec-fetch-site") == "cross-site" and _acts(request.query):
            # Browsers name no origin with an image or a link. S3's objects may be shown, but nothing may be done.
            raise ServiceError("AccessForbidden", "Pages of other sites may not call by links or images.", status=403)

    def admit_host(self, request: Request) -> None:
        """Refuse a name that may be a foreign page's own: whoever holds a name can let it lead to this machine, and a
        browser then takes the page and the server for one."""
        host = request.headers.get("host", "")
        if not self.knows(host):
            raise ServiceError("AccessForbidden", f"The host {host[:200]} is not known: see server.hosts.", status=403)

    def knows(self, host: str) -> bool:
        """An address, a name without a domain (such as a container's), or a name in one of the known domains."""
        name = _name_of(host)
        if "." not in name or any(name == known or name.endswith(f".{known}") for known in self._hosts):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def headers(self, request: Request) -> list[tuple[str, str]]:
        """What an answer to `request` carries further."""
        origin = request.headers.get("origin")
        if origin is None or not self.allows(origin):
            return []
        return [*self._allow_origin(origin), ("access-control-expose-headers", _EXPOSED)]

    def preflight(self, request: Request) -> Response | None:
        """The answer to a browser that asks whether it may call; None if `request` is not that question."""
        asked = request.headers.get("access-control-request-method")
        origin = request.headers.get("origin")
        if request.method != "OPTIONS" or asked is None or origin is None:
            return None
        if not self.allows(origin):
            raise ServiceError("AccessForbidden", "CORSResponse: This CORS request is not allowed.", status=403)
        headers = [
            *self._allow_origin(origin),
            ("access-control-allow-methods", _METHODS),
            ("access-control-max-age", "86400"),
        ]
        if names := request.headers.get("access-control-request-headers"):
            headers.append(("access-control-allow-headers", names))
        if request.headers.get("access-control-request-private-network") == "true":
            headers.append(("access-control-allow-private-network", "true"))
        return Response(204, headers)

    def _allow_origin(self, origin: str) -> list[tuple[str, str]]:
        if "*" in self._origins:
            return [("access-control-allow-origin", "*")]
        return [("access-control-allow-origin", origin), ("vary", "Origin")]


def _acts(query: str) -> bool:
    return query.startswith("Action=") or "&Action=" in query


def _name_of(host: str) -> str:
    """The Host header's name or address, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower().rstrip(".")


def loopback(origin: str) -> bool:
    try:
        host = urlsplit(origin).hostname
    except ValueError:
        return False
    return host in ("localhost", "127.0.0.1", "::1") or (host or "").endswith(".localhost")
