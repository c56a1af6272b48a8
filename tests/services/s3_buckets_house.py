"""S3 in the test's process: boto3's clients send into the server's pipeline, and the test drives the clock."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.config import Config

from skytrail import services
from skytrail.app import Pipeline
from skytrail.call import Source
from skytrail.gateway.authorize import permits
from skytrail.gateway.internal import InternalClient
from skytrail.gateway.metrics import Metrics
from skytrail.identity.authority import Authority
from skytrail.identity.secrets import sealer_of
from skytrail.services import s3
from skytrail.services.engines import Engines
from skytrail.settings import Server, Settings
from skytrail.storage.objects import Objects
from skytrail.storage.store import Store
from skytrail.wire.http import Request
from skytrail.work.clock import Clock
from skytrail.work.ids import Ids
from skytrail.work.outbox import Outbox

ACCOUNT, REGION, NOW = "123456789012", "us-east-1", 1_709_250_600.0
OTHER = "999999999999"
_SESSION = boto3.session.Session()


class _Raw:
    """An answer's body, as urllib3 would give it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: Any, **__: Any) -> Any:
        yield self._body

    def read(self, *_: Any, **__: Any) -> bytes:
        body, self._body = self._body, b""
        return body


class Buckets:
    def __init__(self, data: Path, mode: Any = "open") -> None:
        self.data, self.mode = data, mode
        self.runner = asyncio.Runner()
        self.clock = Clock()
        self.clock.freeze()
        self.clock.set(NOW)
        self.ids = Ids(7)
        self.open()

    def open(self) -> None:
        self.store = Store(self.data / "skytrail.db", durability="os", rooms=services.SCHEMAS)
        settings = Settings(server=Server(mode=self.mode))
        sealer = sealer_of(self.data)
        authority = Authority(self.store, self.clock, settings, sealer)
        given: dict[str, Any] = {
            "settings": settings,
            "clock": self.clock,
            "ids": self.ids,
            "store": self.store,
            "sealer": sealer,
            "objects": Objects(self.data / "objects", durability="os"),
            "outbox": Outbox(self.store, self.clock),
            "internal": InternalClient(),
            "permits": lambda call, demands: permits(call, authority, demands),
        }
        self.engines = Engines(**{name: given.get(name) for name in Engines.__slots__})  # type: ignore[arg-type]
        self.pipeline = Pipeline(self.engines, authority, Metrics())
        self.engines.internal.connect(self.pipeline.receive, self.pipeline.perform)  # type: ignore[attr-defined]

    def close(self) -> None:
        self.store.close()
        self.runner.close()

    def start(self) -> None:
        """What S3 does besides answering, and the outbox."""

        async def start() -> None:
            s3.start(self.engines)
            self.engines.outbox.start()

        self.runner.run(start())

    def advance(self, seconds: float) -> None:
        self.runner.run(self.clock.advance(seconds))

    def client(
        self,
        account: str = ACCOUNT,
        region: str = REGION,
        *,
        service: str = "s3",
        secret: str = "any",
        style: str = "path",
        **options: Any,
    ) -> Any:
        client = _SESSION.client(
            service,
            endpoint_url="http://s3.localhost:4566" if service == "s3" else "http://localhost:4566",
            region_name=region,
            aws_access_key_id=account,
            aws_secret_access_key=secret,
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": style}, proxies={}, **options),
        )
        client.meta.events.register("before-send", self._send)
        return client

    def _send(self, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        body = request.body
        if body is None:
            body = b""
        elif not isinstance(body, bytes | bytearray):
            body = body.read()
        headers = {
            name.lower(): (value.decode() if isinstance(value, bytes) else value)
            for name, value in request.headers.items()
        }
        status, answered, content = self.raw(request.method, request.url, headers, bytes(body))
        return AWSResponse(request.url, status, answered, _Raw(content))

    @staticmethod
    def signed(account: str = ACCOUNT, region: str = REGION) -> dict[str, str]:
        """What open mode takes for a signature."""
        scope = f"{account}/20240229/{region}/s3/aws4_request"
        return {"authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"}

    def raw(
        self, method: str, url: str, headers: Any = MappingProxyType({}), body: bytes = b""
    ) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(url)
        request = Request(method, parts.path, parts.query, {"host": parts.netloc, **headers}, body)
        return self.runner.run(self._answer(request))

    async def _answer(self, request: Request) -> tuple[int, dict[str, str], bytes]:
        response = await self.pipeline.answer(request, Source("192.0.2.17"))
        body = response.body
        if not isinstance(body, bytes):
            body = b"".join([piece async for piece in body])
        return response.status, {name.lower(): value for name, value in response.headers}, body
