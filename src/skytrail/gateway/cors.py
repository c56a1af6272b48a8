"""Which web pages may call from a browser, and the headers that tell the browser so."""

from __future__ import annotations

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


class Cors:
    def __init__(self, server: Server) -> None:
        self._open = server.mode == "open"
        self._origins = frozenset(server.cors_origins)

    def allows(self, origin: str) -> bool:
        return "*" in self._origins or origin in self._origins or (self._open and loopback(origin))

    def admit(self, request: Request) -> None:
        """Refuse what a browser sends for a page that may not call. A form needs no permission of CORS to be sent, and
        in open mode no signature: any page could act through the browser of someone whose machine runs the server."""
        origin = request.headers.get("origin")
        if self._open and origin is not None and not self.allows(origin):
            raise ServiceError(
                "AccessForbidden", f"Pages of {origin[:200]} may not call: see server.cors_origins.", status=403
            )

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


def loopback(origin: str) -> bool:
    try:
        host = urlsplit(origin).hostname
    except ValueError:
        return False
    return host in ("localhost", "127.0.0.1", "::1") or (host or "").endswith(".localhost")
