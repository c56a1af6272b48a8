"""A store with accounts, an authority over it, and calls to both; all inside one event loop of the test's own."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from skytrail.call import Call, Change, Source
from skytrail.gateway.authenticate import authenticate
from skytrail.gateway.authorize import authorize, permits
from skytrail.identity import accounts
from skytrail.identity.authority import Authority
from skytrail.identity.principals import Identity, root
from skytrail.identity.secrets import sealer_of
from skytrail.services import ROOMS, SCHEMAS
from skytrail.services.engines import Engines
from skytrail.settings import Server, Settings
from skytrail.storage.objects import Objects
from skytrail.storage.store import Store
from skytrail.wire import models
from skytrail.wire.http import Request
from skytrail.wire.routing import Route
from skytrail.work.clock import Clock
from skytrail.work.ids import Ids
from skytrail.work.outbox import Outbox

T = TypeVar("T")

ACCOUNT = "123456789012"
DEFAULT = "000000000000"
NOW = datetime(2024, 2, 29, 23, 50, 0, tzinfo=UTC)


class House:
    def __init__(self, data: Path, mode: Literal["open", "enforced"] = "enforced") -> None:
        self.runner = asyncio.Runner()
        self.settings = Settings(server=Server(mode=mode))
        self.clock = Clock()
        self.clock.freeze()
        self.clock.set(NOW.timestamp())
        self.ids = Ids(7)
        self.store = Store(data / "skytrail.db", durability="os", rooms=SCHEMAS)
        self.sealer = sealer_of(data)
        self.authority = Authority(self.store, self.clock, self.settings, self.sealer)
        columns: Any = None
        internal: Any = None
        self.engines = Engines(
            self.settings,
            self.clock,
            self.ids,
            self.store,
            columns,
            columns,
            self.sealer,
            Objects(data / "objects", durability="os"),
            Outbox(self.store, self.clock),
            internal,
            lambda call, demands: permits(call, self.authority, demands),
        )

    def close(self) -> None:
        self.store.close()
        self.runner.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    def key(self, user: str = "", account: str = ACCOUNT) -> tuple[accounts.AccessKey, str]:
        """A new key, of a user that is made where it does not exist."""

        async def make() -> tuple[accounts.AccessKey, str]:
            return await self.store.submit(lambda tx: self._key(tx, user, account))

        return self.run(make())

    def _key(self, tx: Any, user: str, account: str) -> tuple[accounts.AccessKey, str]:
        now = self.clock.time()
        owner = accounts.user(tx, account, user) if user else None
        if user and owner is None:
            owner = accounts.User(user, self.ids.principal("AIDA"), "/", now)
            accounts.put_user(tx, account, owner)
        return accounts.create_key(tx, account, owner, now, self.ids, self.sealer)

    # Calls

    def call(
        self,
        service: str = "cloudtrail",
        operation: str = "LookupEvents",
        *,
        request: Request | None = None,
        parameters: dict[str, Any] | None = None,
        identity: Identity | None = None,
        operator: bool = False,
        protocol: str = "",
        address: str = "192.0.2.17",
    ) -> Call:
        model = models.service(service)
        found = model.operation(operation)
        assert found is not None
        identity = identity or root(ACCOUNT)
        return Call(
            request=request or Request("POST", "/", "", {"host": "localhost"}),
            source=Source(address, operator=operator),
            request_id="r",
            event_id="e",
            received=self.clock.time(),
            account=identity.account,
            region="eu-west-1",
            identity=identity,
            route=Route(model, found, protocol or model.protocols[0]),
            input=parameters or {},
        )

    def authenticate(self, call: Call) -> Call:
        async def step() -> Call:
            authenticate(call, self.authority)
            return call

        return self.run(step())

    def authorize(self, call: Call) -> None:
        authorize(call, self.authority)

    def perform(
        self, service: str, operation: str, parameters: dict[str, Any] | None = None, identity: Identity | None = None
    ) -> dict[str, Any]:
        """An operation's output, its change on disk."""
        call = self.call(service, operation, parameters=parameters, identity=identity)

        async def step() -> dict[str, Any]:
            outcome = ROOMS[service][operation](call, call.input, self.engines)
            outcome = await outcome if inspect.isawaitable(outcome) else outcome
            if isinstance(outcome, Change):
                outcome = await self.store.submit(outcome.apply)
            return outcome

        return self.run(step())

    def iam(self, operation: str, identity: Identity | None = None, /, **parameters: Any) -> dict[str, Any]:
        return self.perform("iam", operation, parameters, identity)
