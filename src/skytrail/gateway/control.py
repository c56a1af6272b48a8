"""The server's own paths: health, metrics, the clock, reset. They are not AWS calls and leave no record."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import orjson

from ..call import Source
from ..errors import StorageError
from ..settings import Settings
from ..wire.http import Request, Response
from ..work.clock import Clock
from .cors import Cors, loopback
from .metrics import Metrics

_LONGEST_ADVANCE = 366 * 86400.0
#: The clock stays within what a date can show.
_EARLIEST, _LATEST = 0.0, datetime(9999, 1, 1, tzinfo=UTC).timestamp()

#: Whoever may call this one is the root of every account, and leaves records that name no address but this machine's.
_OWNERS_ONLY = frozenset({"/_skytrail/operate"})

#: A path of the operator's: the request's body, to lines of an answer.
OperatorPath = Callable[[bytes], AsyncIterator[bytes]]

_CERTIFICATES = "/SimpleNotificationService-"


class ControlError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ClockCommand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    action: Literal["freeze", "set", "advance", "run", "reset"]
    time: str | float | None = None
    seconds: float | None = None


@dataclass(slots=True, frozen=True)
class Vitals:
    """What the health page asks the server."""

    version: str
    #: AWS services that are answered here.
    services: Iterable[str]
    columns: Callable[[], str]
    #: False while the last write to the journal has failed.
    journal: Callable[[], bool]
    stopping: Callable[[], bool] = lambda: False


class Control:
    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        metrics: Metrics,
        vitals: Vitals,
        reset: Callable[[], Awaitable[None]],
        operator_paths: Mapping[str, OperatorPath] | None = None,
        certificate: Callable[[str], bytes | None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._cors = Cors(settings.server)
        self._clock = clock
        self._metrics = metrics
        self._vitals = vitals
        self._reset = reset
        self._operator_paths = operator_paths or {}
        #: The certificate that a topic's messages name by their SigningCertURL.
        self._certificate = certificate
        #: One command to the clock at a time: none changes it while another drives it.
        self._driving = asyncio.Lock()
        self._routes: dict[str, dict[str, Callable[[Request], Awaitable[Response]]]] = {
            "/health": {"GET": self._health},
            "/metrics": {"GET": self._expose},
            "/_localstack/health": {"GET": self._services},
            "/_skytrail/health": {"GET": self._health},
            "/_skytrail/metrics": {"GET": self._expose},
            "/_skytrail/clock": {"GET": self._tell, "POST": self._drive},
            "/_skytrail/reset": {"POST": self._forget},
            **{path: {"POST": self._operate} for path in self._operator_paths},
        }

    def handles(self, request: Request) -> bool:
        path = request.path
        if path.startswith(("/_skytrail/", "/_localstack/", _CERTIFICATES)):
            return True  # no bucket's name begins so
        # A signed request to /health means a bucket of that name.
        return path in self._routes and not _signed(request)

    async def answer(self, request: Request, source: Source) -> Response:
        try:
            if request.path.startswith(_CERTIFICATES) and request.method in ("GET", "HEAD"):
                return self._show_certificate(request.path)
            methods = self._routes.get(request.path)
            if methods is None:
                raise ControlError(404, f"there is nothing at {request.path}")
            method = "GET" if request.method == "HEAD" else request.method
            handler = methods.get(method)
            if handler is None:
                return _json({"error": f"{request.path} takes {' and '.join(methods)}"}, 405, allow=", ".join(methods))
            if method == "POST":
                self._permit(request, source)
            return await handler(request)
        except ControlError as error:
            return _json({"error": str(error)}, error.status)

    def _permit(self, request: Request, source: Source) -> None:
        """Who may drive the server: anyone in open mode, else who owns the data directory; but no foreign web page,
        since a browser would lend it the way to a server on loopback."""
        server = self._settings.server
        if request.path in _OWNERS_ONLY and not source.operator:
            raise ControlError(403, f"{request.path} is open to the owner of the data directory, over control.sock")
        if server.mode != "open" and not source.operator:
            raise ControlError(
                403,
                f"{request.path} is open to all in open mode only; else to the owner of the data directory",
            )
        if server.mode == "open" and not source.operator and not self._cors.knows(request.headers.get("host", "")):
            raise ControlError(403, f"the host that {request.path} was called by is not known: see server.hosts")
        origin = request.headers.get("origin")
        if origin is not None and origin not in server.cors_origins and not loopback(origin):
            raise ControlError(403, f"pages of {origin} may not call {request.path}")

    # The pages

    async def _health(self, _: Request) -> Response:
        vitals = self._vitals
        stopping, journal = vitals.stopping(), vitals.journal()
        columns = vitals.columns()
        status = (
            "stopping" if stopping else "failing" if not journal else "running" if columns == "ready" else "degraded"
        )
        page = {
            "status": status,
            "version": vitals.version,
            "mode": self._settings.server.mode,
            "services": dict.fromkeys(sorted(vitals.services), "running"),
            "columns": columns,
            "journal": "ok" if journal else "failing",
        }
        return _json(page, 503 if stopping or not journal else 200)

    async def _services(self, _: Request) -> Response:
        vitals = self._vitals
        services = dict.fromkeys(sorted(vitals.services), "running")
        return _json({"services": services, "edition": "skytrail", "version": vitals.version})

    async def _expose(self, request: Request) -> Response:
        page, content_type = self._metrics.expose(request.headers.get("accept", ""))
        return Response(200, [("content-type", content_type)], page)

    def _show_certificate(self, path: str) -> Response:
        found = self._certificate(path)
        if found is None:
            raise ControlError(404, f"there is nothing at {path}")
        return Response(200, [("content-type", "application/x-pem-file")], found)

    # The clock

    async def _tell(self, _: Request) -> Response:
        return _json(self._time())

    def _time(self) -> dict[str, Any]:
        return {"time": self._clock.now().isoformat(), "epoch": self._clock.time(), "frozen": self._clock.frozen}

    async def _drive(self, request: Request) -> Response:
        try:
            command = msgspec.json.decode(request.body, type=ClockCommand)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ControlError(400, f"not a command to the clock: {error}") from error
        if command.seconds is not None and command.action != "advance":
            raise ControlError(400, f"{command.action} takes no seconds")
        if command.time is not None and command.action not in ("set", "freeze"):
            raise ControlError(400, f"{command.action} takes no time")
        async with self._driving:
            jobs = await self._obey(command)
        return _json({**self._time(), "jobs": jobs})

    async def _obey(self, command: ClockCommand) -> int:
        """Returns how many jobs it ran."""
        clock = self._clock
        match command.action:
            case "freeze":
                when = _time(command.time) if command.time is not None else None
                clock.freeze()
                if when is not None:
                    clock.set(when)
            case "set":
                if command.time is None:
                    raise ControlError(400, "set needs a time")
                clock.set(_time(command.time))
            case "advance":
                return await clock.advance(self._seconds(command.seconds))
            case "run":
                clock.run()
            case "reset":
                clock.reset()
        return 0

    def _seconds(self, seconds: float | None) -> float:
        if seconds is None:
            raise ControlError(400, "advance needs seconds")
        if not 0 <= seconds <= _LONGEST_ADVANCE or self._clock.time() + seconds > _LATEST:
            raise ControlError(400, f"advance takes 0 to {_LONGEST_ADVANCE:.0f} seconds, not {seconds!r}")
        return seconds

    # The state

    async def _forget(self, _: Request) -> Response:
        try:
            await self._reset()
        except StorageError as error:
            raise ControlError(503, f"not all is forgotten: {error}") from error
        return _json({"status": "reset"})

    async def _operate(self, request: Request) -> Response:
        return Response(
            200, [("content-type", "application/x-ndjson")], self._operator_paths[request.path](request.body)
        )


def _json(value: Any, status: int = 200, **headers: str) -> Response:
    body = orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
    return Response(
        status, [("content-type", "application/json"), ("cache-control", "no-store"), *headers.items()], body
    )


def _time(given: str | float) -> float:
    """Seconds since 1970 of an ISO 8601 time (UTC unless it says otherwise) or of a number."""
    if isinstance(given, str):
        try:
            parsed = datetime.fromisoformat(given)
        except ValueError as error:
            raise ControlError(400, f"not a time of ISO 8601: {given!r}") from error
        parsed = parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
        try:
            when = parsed.timestamp()
        except (OverflowError, ValueError) as error:
            raise ControlError(400, f"the clock cannot show {given!r}") from error
    else:
        when = float(given)
    if not math.isfinite(when) or not _EARLIEST <= when <= _LATEST:
        raise ControlError(400, f"the clock goes from 1970 to 9999, not to {given!r}")
    return when


def _signed(request: Request) -> bool:
    return request.headers.get("authorization", "").startswith("AWS") or "X-Amz-" in request.query
