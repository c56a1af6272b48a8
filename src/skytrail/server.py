"""The house put together: one process's engines, its pipeline, its own pages; started, reset and stopped as one."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable

import msgspec
import orjson

from . import __version__, services
from .app import Pipeline
from .call import Source
from .errors import ServiceError, StorageError
from .gateway.authorize import permits
from .gateway.control import Control, Vitals
from .gateway.edge import Edge
from .gateway.internal import InternalClient
from .gateway.metrics import Metrics
from .gateway.serving import Listening, serve
from .gateway.upstreams import Upstreams
from .identity.authority import Authority
from .identity.principals import root
from .identity.secrets import sealer_of
from .services import cloudtrail, lambda_, s3, sns
from .services.cloudtrail.history import investigate
from .services.cloudtrail.integrity import proving
from .services.engines import Engines
from .settings import Settings
from .storage.columns import Columns
from .storage.directory import DataDirectory, socket_path
from .storage.objects import Objects
from .storage.store import Store, Transaction
from .wire import models, routing
from .wire.http import Request
from .wire.routing import Route
from .work.clock import Clock
from .work.column_writer import ColumnWriter
from .work.ids import Ids
from .work.outbox import Outbox

#: The owner of the data directory, calling over its socket or in its process.
_OPERATOR = Source("127.0.0.1", operator=True)
_DAY = 86400

_log = logging.getLogger(__name__)


class Operation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the operator asks for: a call as the root of an account."""

    service: str
    operation: str
    account: str
    region: str
    parameters: dict[str, object]


class Skytrail:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.directory = DataDirectory(settings.data_directory)
        clock, ids = Clock(), Ids()
        self.metrics = Metrics()
        store = Store(self.directory.database, durability=settings.storage.durability, rooms=services.SCHEMAS)
        columns = Columns(self.directory.columns, settings.columns, settings.storage.durability)
        column_writer = ColumnWriter(store, columns)
        sealer = sealer_of(self.directory.path)
        objects = Objects(self.directory.objects, durability=settings.storage.durability)
        internal = InternalClient()
        authority = Authority(store, clock, settings, sealer)
        self.engines = Engines(
            settings,
            clock,
            ids,
            store,
            columns,
            column_writer,
            sealer,
            objects,
            Outbox(store, clock),
            internal,
            permits=lambda call, demands: permits(call, authority, demands),
        )
        self.upstreams = Upstreams(settings, store, clock, ids)
        self.pipeline = Pipeline(self.engines, authority, self.metrics, self.upstreams)
        internal.connect(self.pipeline.receive, self.pipeline.perform, self.pipeline.judge)
        self.operator_paths: dict[str, Callable[[bytes], AsyncIterator[bytes]]] = {
            "/_skytrail/lookup": lambda body: investigate.answer(self.engines, body),
            "/_skytrail/operate": self._operate,
            "/_skytrail/prove": lambda body: proving.answer(self.engines, body),
        }

    async def start(self) -> None:
        engines = self.engines
        engines.clock.start()
        await engines.columns.start()
        engines.column_writer.start()
        engines.clock.settle_with(engines.column_writer.catch_up)
        engines.clock.every(_DAY, self._expire)
        await self.upstreams.start()
        for start in services.STARTS:
            start(engines)
        engines.outbox.start()

    async def serve(self, ready: Callable[[Listening], None]) -> None:
        """Start, answer until told to stop, stop."""
        engines = self.engines
        try:
            await self.start()
            vitals = Vitals(
                __version__,
                services.ROOMS,
                columns=lambda: engines.columns.state,
                journal=lambda: engines.store.healthy,
                stopping=lambda: edge.draining,
            )
            control = Control(
                self.settings,
                engines.clock,
                self.metrics,
                vitals,
                self.reset,
                self.operator_paths,
                certificate=lambda path: sns.certificate(engines, path),
            )
            edge = Edge(
                self.settings, engines.clock, engines.ids, self.pipeline.answer, control, streams=routing.streams
            )
            self.metrics.watch_connections(lambda: edge.connections, lambda: edge.bodies_bytes)
            self.metrics.watch_journal(
                lambda: {"columns": engines.column_writer.lag(), "trails": cloudtrail.lag(engines)}
            )
            self.metrics.watch_columns(engines.columns)
            await serve(edge, self.settings, ready, control_socket=socket_path(self.directory.path, "control.sock"))
        finally:
            await self.stop()

    async def stop(self) -> None:
        self.engines.clock.stop()
        await self.engines.outbox.stop()
        for stop in services.STOPS:
            await stop(self.engines)
        await self.upstreams.stop()
        await self.engines.column_writer.stop()
        await self.engines.columns.stop()
        self.engines.store.close()
        self.directory.close()

    async def reset(self) -> None:
        """Forget all state, journal and history."""
        engines = self.engines
        await engines.outbox.stop()
        await lambda_.forget(engines)
        await engines.store.submit(Transaction.clear)
        cloudtrail.forget(engines)
        engines.outbox.resume()
        await s3.sweep(engines)
        await engines.columns.truncate()
        await engines.column_writer.reset()
        await self.upstreams.reset()
        engines.clock.reset()

    async def _operate(self, body: bytes) -> AsyncIterator[bytes]:
        """The answer to an Operation: one line, {"output"} or {"error"}."""
        try:
            yield orjson.dumps({"output": await self._perform(body)}, default=str) + b"\n"
        except ServiceError as error:
            yield orjson.dumps({"error": {"code": error.code, "message": error.message or ""}}) + b"\n"

    async def _perform(self, body: bytes) -> dict[str, object]:
        try:
            wanted = msgspec.json.decode(body, type=Operation)
            service = models.service(wanted.service)
        except (msgspec.DecodeError, KeyError) as error:
            raise ServiceError("ValidationException", f"Not an operation: {error}") from error
        operation = service.operation(wanted.operation)
        if operation is None:
            raise ServiceError("InvalidAction", f"{wanted.service} has no operation {wanted.operation}.")
        call = self.pipeline.receive(Request("POST", "/", "", {"user-agent": f"skytrail/{__version__}"}), _OPERATOR)
        call.route = Route(service, operation, service.protocols[0])
        call.account, call.region = wanted.account, wanted.region
        call.identity = root(wanted.account)
        call.input = dict(wanted.parameters)
        await self.pipeline.perform(call)
        if call.error is not None:
            raise call.error
        return call.output or {}

    async def _expire(self) -> None:
        """Once a day: what has outlived its time goes for good."""
        days = self.settings.history.retention_days
        try:
            await self.engines.columns.expire("events", self.engines.clock.time() - days * _DAY)
        except StorageError as error:
            _log.warning("events older than %d days stay until tomorrow: %s", days, error)
