"""A house with KMS in it: calls as the pipeline makes them, without HTTP."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Literal, cast

import pytest

from skytrail.call import Call, Change
from skytrail.errors import ServiceError
from skytrail.identity.principals import Identity
from skytrail.services.kms import OPERATIONS
from skytrail.wire import validation

from ..identity.house import House

DAY = 86400.0


class Keys(House):
    """Operations of KMS by their names, in a Region; the last call stays to be looked at."""

    region = "eu-west-1"
    last: Call

    def __init__(self, data: Path, mode: Literal["open", "enforced"] = "open") -> None:
        super().__init__(data, mode)

    def kms(self, operation: str, identity: Identity | None = None, /, **parameters: Any) -> dict[str, Any]:
        self.last = self.call("kms", operation, parameters=parameters, identity=identity)
        self.last.region = self.region
        assert self.last.route is not None

        async def step() -> dict[str, Any]:
            assert self.last.route is not None
            validation.validate(self.last.route, parameters)
            outcome = OPERATIONS[operation](self.last, self.last.input, self.engines)
            if inspect.isawaitable(outcome):
                outcome = await cast("Awaitable[Any]", outcome)
            if isinstance(outcome, Change):
                outcome = await self.store.submit(outcome.apply)
            return cast("dict[str, Any]", outcome)

        return self.run(step())

    def refused(self, operation: str, identity: Identity | None = None, /, **parameters: Any) -> tuple[str, str]:
        with pytest.raises(ServiceError) as caught:
            self.kms(operation, identity, **parameters)
        return caught.value.code, caught.value.message or ""

    def new_key(self, **parameters: Any) -> dict[str, Any]:
        metadata: dict[str, Any] = self.kms("CreateKey", **parameters)["KeyMetadata"]
        return metadata

    def hmac(self, size: int = 256) -> dict[str, Any]:
        return self.new_key(KeySpec=f"HMAC_{size}", KeyUsage="GENERATE_VERIFY_MAC")

    def pass_days(self, days: float) -> None:
        self.run(self._advance(days * DAY))

    async def _advance(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        await asyncio.sleep(0)
