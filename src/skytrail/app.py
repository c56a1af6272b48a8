"""The way of a call, on one page.

    HTTP -> identify -> authenticate -> parse -> validate -> authorize -> dispatch -> record -> respond

A step raises a ServiceError to end the way. The call is recorded all the same, and answered only when its record,
with whatever it changed, is on disk.
"""

from __future__ import annotations

import inspect
import logging
from dataclasses import dataclass
from typing import Any

from . import services
from .audit import record as audit_record
from .call import Call, Change, Source
from .errors import ServiceError, StorageError, StoreUnwritable
from .gateway.authenticate import authenticate
from .gateway.authorize import authorize
from .gateway.metrics import Metrics
from .identity.authority import Authority
from .identity.principals import Identity
from .services.engines import Engines
from .storage.store import Transaction
from .wire import codecs, content, validation
from .wire.http import Request, Response
from .wire.models import Service
from .wire.routing import UnknownCall, identify

_log = logging.getLogger(__name__)


@dataclass(slots=True, frozen=True)
class Pipeline:
    engines: Engines
    authority: Authority
    metrics: Metrics

    async def answer(self, request: Request, source: Source) -> Response:
        """A request from outside, to its response."""
        call = self.receive(request, source)
        try:
            call.route = identify(request)
        except UnknownCall as error:
            return await self._answer_unknown(call, error)
        if call.route.service.name == "s3":
            call.request_id = self.engines.ids.hex(16).upper()
        try:
            authenticate(call, self.authority)
            self._parse(call)
        except ServiceError as error:
            call.error = error
        except Exception:
            call.error = _fault(call)
        await self.perform(call)
        if call.error is not None:
            return _refuse(call, call.route.service, call.route.protocol)
        assert call.response is not None
        return call.response

    async def _answer_unknown(self, call: Call, unknown: UnknownCall) -> Response:
        """An operation that no model has: recorded by the name that it asked for, where it names a service at all."""
        call.error = unknown
        if unknown.service is not None:
            call.asked = unknown.service, unknown.operation or ""
            try:
                authenticate(call, self.authority)
            except ServiceError as error:
                call.error = error
            except Exception:
                call.error = _fault(call)
            await self.record(call, None)
        return _refuse(call, unknown.service, unknown.protocol)

    async def perform(self, call: Call) -> None:
        """A call whose caller and input are known: to its effect and its record."""
        outcome: services.Outcome | None = None
        if call.error is None:
            try:
                self._validate(call)
                authorize(call, self.authority)
                outcome = await self._dispatch(call)
            except ServiceError as error:
                call.error = error
            except Exception:
                call.error = _fault(call)
        await self.record(call, outcome)
        self.metrics.called(call, self.engines.clock.time())

    def receive(self, request: Request, source: Source) -> Call:
        server, ids = self.engines.settings.server, self.engines.ids
        return Call(
            request=request,
            source=source,
            request_id=ids.uuid(),
            event_id=ids.uuid(),
            received=self.engines.clock.time(),
            account=server.account,
            region=server.region,
            identity=Identity("Unknown", server.account),
        )

    def _parse(self, call: Call) -> None:
        assert call.route is not None
        content.read(call.request, call.route.protocol, self.engines.settings.limits)
        call.input = codecs.parse(call.route, call.request)

    @staticmethod
    def _validate(call: Call) -> None:
        assert call.route is not None
        assert call.input is not None
        validation.validate(call.route, call.input, lenient=services.lenient(call.route))

    async def _dispatch(self, call: Call) -> services.Outcome:
        assert call.route is not None
        handler = services.handler(call.route)
        if handler is None:
            raise ServiceError(
                "NotImplemented",
                f"Skytrail does not implement {call.route.service.name}:{call.route.operation.name} yet.",
                status=501,
            )
        outcome = handler(call, call.input, self.engines)
        return await outcome if inspect.isawaitable(outcome) else outcome

    async def record(self, call: Call, outcome: services.Outcome | None) -> None:
        """The call's effect, its record and its answer: all of them, or an error and its record."""

        def commit(transaction: Transaction) -> None:
            try:
                with transaction.savepoint():
                    if isinstance(outcome, Change):
                        respond(call, outcome.apply(transaction))
                    write(transaction)
                return
            except ServiceError as error:
                call.error = error
            except StorageError:
                raise
            except Exception:
                call.error = _fault(call)
            try:
                write(transaction)
            except StorageError:
                raise
            except Exception:
                # What cannot be recorded as it is, is recorded without what it held.
                call.error, call.input, call.output = _fault(call), None, None
                call.additional_event_data, call.resources = {}, []
                write(transaction)

        def write(transaction: Transaction) -> None:
            transaction.append("audit", audit_record.build(call, self.engines.clock.time()))

        if call.error is None and not isinstance(outcome, Change):
            try:
                respond(call, outcome or {})
            except Exception:
                call.error = _fault(call)
        try:
            await self.engines.store.submit(commit)
            self.metrics.recorded()
        except StoreUnwritable as error:
            self.metrics.lost()
            if isinstance(outcome, Change) or self.engines.settings.storage.on_journal_failure == "refuse":
                call.error = ServiceError("ServiceUnavailable", str(error), status=503)
        except Exception:
            call.error = _fault(call)


def respond(call: Call, output: dict[str, Any]) -> None:
    assert call.route is not None
    call.output = output
    call.response = codecs.serialize(call.route, output, call.request_id)


def _refuse(call: Call, service: Service | None, protocol: str | None) -> Response:
    assert call.error is not None
    return codecs.serialize_error(
        service,
        protocol,
        call.error,
        call.request_id,
        call.route.operation if call.route is not None else None,
        query_mode=call.request.headers.get("x-amzn-query-mode") == "true",
    )


def _fault(call: Call) -> ServiceError:
    """A bug of ours: logged once with its trace, answered and recorded as an internal failure."""
    name = f"{call.route.service.name}:{call.route.operation.name}" if call.route else "a call"
    _log.exception("%s failed inside (request %s)", name, call.request_id)
    return ServiceError(
        "InternalFailure", "The request processing has failed because of an internal error.", status=500
    )
