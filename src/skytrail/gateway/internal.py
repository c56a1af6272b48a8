"""The internal client: our services' own calls, on the same way as everyone's from the validation on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from .. import __version__
from ..call import Call, Source
from ..identity.principals import Identity
from ..wire import models
from ..wire.http import Request
from ..wire.routing import Route


class InternalClient:
    """What `services.engines.Internal` promises. It is made before the pipeline, and connected to it."""

    def __init__(self) -> None:
        self._receive: Callable[[Request, Source], Call] | None = None
        self._perform: Callable[[Call], Awaitable[None]] | None = None
        self._judge: Callable[[Call], bool] | None = None

    def connect(
        self,
        receive: Callable[[Request, Source], Call],
        perform: Callable[[Call], Awaitable[None]],
        judge: Callable[[Call], bool] | None = None,
    ) -> None:
        self._receive, self._perform, self._judge = receive, perform, judge

    async def call(
        self,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
        *,
        principal: str,
        account: str,
        region: str,
        source_arn: str = "",
        needs_policy: bool = False,
    ) -> dict[str, Any]:
        identity = Identity("AWSService", account, invoked_by=principal)
        call = self._new(service, operation, parameters, Source(principal), identity, region)
        call.source_arn, call.needs_policy = source_arn, needs_policy
        return await self._finish(call)

    async def permitted(
        self,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
        *,
        principal: str,
        account: str,
        region: str,
        source_arn: str = "",
    ) -> bool:
        assert self._judge is not None
        identity = Identity("AWSService", account, invoked_by=principal)
        call = self._new(service, operation, parameters, Source(principal), identity, region)
        call.source_arn, call.needs_policy = source_arn, True
        return self._judge(call)

    async def forward(
        self,
        call: Call,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
        *,
        by: str,
        region: str = "",
    ) -> dict[str, Any]:
        identity, via = call.identity, ""
        if identity.type == "AWSService":
            via = by
        else:
            identity = msgspec.structs.replace(identity, invoked_by=by)
        made = self._new(service, operation, parameters, call.source, identity, region or call.region)
        made.account, made.via = call.account, via
        made.source_arn, made.needs_policy = call.source_arn, call.needs_policy
        return await self._finish(made)

    def _new(
        self,
        service: str,
        operation: str,
        parameters: Mapping[str, Any],
        source: Source,
        identity: Identity,
        region: str,
    ) -> Call:
        assert self._receive is not None
        model = models.service(service)
        found = model.operation(operation)
        if found is None:
            raise ValueError(f"{service} has no operation {operation}")
        call = self._receive(Request("POST", "/", "", {"user-agent": f"skytrail/{__version__}"}), source)
        call.route = Route(model, found, model.protocols[0])
        call.account, call.region, call.identity = identity.account, region, identity
        call.input = dict(parameters)
        return call

    async def _finish(self, call: Call) -> dict[str, Any]:
        assert self._perform is not None
        await self._perform(call)
        if call.error is not None:
            raise call.error
        return call.output or {}
