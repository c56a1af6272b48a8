"""The way of a call, on one page.

    HTTP -> identify -> authenticate -> parse -> validate -> authorize -> dispatch -> record -> respond

A step raises a ServiceError to end the way. The call is recorded all the same, and answered only when its record,
with whatever it changed, is on disk.
"""

from __future__ import annotations

import inspect
import logging
from dataclasses import dataclass, replace
from typing import Any

from . import services
from .audit import record as audit_record
from .audit.recipients import data_type, place, recipients
from .call import Call, Change, Source
from .errors import ServiceError, StorageError, StoreUnwritable
from .gateway.authenticate import authenticate
from .gateway.authorize import authorize
from .gateway.metrics import Metrics
from .gateway.upstreams import Relay, Target, Upstreams, withdraw
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
    upstreams: Upstreams | None = None

    async def answer(self, request: Request, source: Source) -> Response:
        """A request from outside, to its response."""
        call = self.receive(request, source)
        try:
            call.route = identify(request)
        except UnknownCall as error:
            return await self._answer_unknown(call, error)
        if call.route.service.name == "s3":
            call.request_id = self.engines.ids.hex(16).upper()
        if self._upstream(call) is not None:
            call.sent = replace(request)
        try:
            authenticate(call, self.authority)
            self._parse(call)
        except ServiceError as error:
            call.error = error
        except Exception:
            call.error = _fault(call)
        await self.perform(call)
        # An upstream's error is answered as it came.
        return call.response or _refuse(call, call.route.service, call.route.protocol)

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
        upstream = self._upstream(call)
        if call.error is None:
            try:
                if upstream is None:
                    self._validate(call)
                demands = services.demands(call, self.engines)
                place(call, demands or ())
                if upstream is None or not call.needs_policy:
                    authorize(call, self.authority, demands)
                outcome = await (self._dispatch(call) if upstream is None else self._forward(call, upstream))
            except ServiceError as error:
                call.error = error
            except Exception:
                call.error = _fault(call)
        if call.sent is not None and call.response is not None and isinstance(call.response.body, Relay):
            call.response.body.then(lambda _: self._relayed(call))
            return
        await self.record(call, outcome)
        self.metrics.called(call, self.engines.clock.time())

    async def _relayed(self, call: Call) -> None:
        """An answer has been passed on but for its end, which waits for the record."""
        await self.record(call, None)
        self.metrics.called(call, self.engines.clock.time())
        if call.response is None and call.error is not None:
            raise call.error

    def judge(self, call: Call) -> bool:
        """Whether a call would be let through, without making it: raises what would refuse it. False where it is not
        this house that would answer it."""
        assert call.route is not None
        if self._upstream(call) is not None or services.handler(call.route) is None:
            return False
        self._validate(call)
        authorize(call, self.authority, services.demands(call, self.engines))
        return True

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

    def _upstream(self, call: Call) -> Target | None:
        if self.upstreams is None or call.route is None:
            return None
        return self.upstreams.target(call.route, implemented=services.answers(call.route, self.engines.settings))

    async def _forward(self, call: Call, target: Target) -> services.Outcome | None:
        """The upstream has made the answer; what is left to do is the record."""
        assert self.upstreams is not None
        await self.upstreams.answer(call, target, recorded=self._records(call))
        return None

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
        recorded = call.intent or self._records(call)

        def commit(transaction: Transaction) -> None:
            try:
                with transaction.savepoint():
                    if isinstance(outcome, Change):
                        respond(call, outcome.apply(transaction))
                    write(transaction)
                return
            except ServiceError as error:
                _fail(call, error)
            except StorageError:
                raise
            except Exception:
                _fail(call, _fault(call))
            try:
                write(transaction)
            except StorageError:
                raise
            except Exception:
                # What cannot be recorded as it is, is recorded without what it held.
                _fail(call, _fault(call))
                call.input, call.output = None, None
                call.additional_event_data, call.resources = {}, []
                write(transaction)

        def write(transaction: Transaction) -> None:
            if recorded:
                self._write(transaction, call)

        if call.error is None and call.response is None and not isinstance(outcome, Change):
            try:
                respond(call, outcome or {})
            except Exception:
                _fail(call, _fault(call))
        if not recorded and (call.error is not None or not isinstance(outcome, Change)):
            return
        try:
            await self.engines.store.submit(commit)
            if recorded:
                self.metrics.recorded()
        except StoreUnwritable as error:
            self.metrics.lost()
            if isinstance(outcome, Change) or self.engines.settings.storage.on_journal_failure == "refuse":
                _fail(call, ServiceError("ServiceUnavailable", str(error), status=503))
        except Exception:
            _fail(call, _fault(call))

    def _write(self, transaction: Transaction, call: Call) -> None:
        now, ids = self.engines.clock.time(), self.engines.ids
        accounts = recipients(call)
        if len(accounts) > 1:
            call.shared_event_id = ids.uuid()
        for account in accounts:
            if account == call.owner:
                event_id = ids.uuid() if call.shared_event_id else call.event_id
                self._append(transaction, call, audit_record.build_for_owner(call, now, event_id))
            else:
                self._append(transaction, call, audit_record.build(call, now))
        withdraw(transaction, call)

    def _append(self, transaction: Transaction, call: Call, record: bytes) -> None:
        if data_type(call) is None or services.takes(self.engines, record):
            services.appended(transaction, transaction.append("audit", record))

    def _records(self, call: Call) -> bool:
        """Whether anyone may want this call's record: of every management event, and of selected data events."""
        kind = data_type(call)
        return kind is None or any(
            services.wants(self.engines, account, call.resource_region or call.region, kind)
            for account in recipients(call)
        )


def _fail(call: Call, error: ServiceError) -> None:
    """What was to be answered is not."""
    call.error, call.response = error, None


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
