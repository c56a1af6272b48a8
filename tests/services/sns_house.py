"""A store with topics and queues, its outbox, a clock in the test's hands, and an endpoint that gets messages."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from skytrail.app import Pipeline
from skytrail.call import Call, Source
from skytrail.gateway.internal import InternalClient
from skytrail.gateway.metrics import Metrics
from skytrail.identity.authority import Authority
from skytrail.identity.principals import Identity, root
from skytrail.identity.secrets import sealer_of
from skytrail.services import sns, sqs
from skytrail.services.engines import Engines
from skytrail.settings import Mail, Server, Settings, Sns, Storage
from skytrail.storage.store import Store
from skytrail.wire import models
from skytrail.wire.http import Request
from skytrail.wire.routing import Route
from skytrail.work import outbox
from skytrail.work.clock import Clock
from skytrail.work.ids import Ids

T = TypeVar("T")

ACCOUNT, OTHER, REGION, NOW = "123456789012", "999999999999", "eu-west-1", 1_709_250_600.0
URL = "http://sky.test:4566"
_SIGNED = "AWS4-HMAC-SHA256 Credential={}/20240301/eu-west-1/sns/aws4_request, SignedHeaders=host, Signature=0"


class Topics:
    """`sns("Publish", ...)`, as the root of an account; an error is raised as it is. What it causes has happened when
    it returns, as far as it is due."""

    def __init__(
        self, data: Path, *, mode: Any = "open", mail: Mail | None = None, hosts: tuple[str, ...] = ()
    ) -> None:
        self.runner = asyncio.Runner()
        self.data = data
        self.clock = Clock()
        self.clock.freeze()
        self.clock.set(NOW)
        self.ids = Ids(7)
        self.settings = Settings(
            server=Server(mode=mode),
            storage=Storage(data=str(data)),
            sns=Sns(url=URL + "/", hosts=hosts),
            mail=mail or Mail(),
        )
        #: Calls of our services to each other: service and operation, for all but queues what they hold.
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        #: What functions answer: an error, or nothing.
        self.function_errors: list[Exception] = []
        self.open()

    def open(self) -> None:
        schemas = {"outbox": outbox.SCHEMA, "sns": sns.SCHEMA, "sqs": sqs.SCHEMA}
        self.store = Store(self.data / "skytrail.db", durability="os", rooms=schemas)
        sealer = sealer_of(self.data)
        self.internal = internal = InternalClient()
        self.outbox = outbox.Outbox(self.store, self.clock)
        none: Any = None
        given: dict[str, Any] = {
            "settings": self.settings,
            "clock": self.clock,
            "ids": self.ids,
            "store": self.store,
            "sealer": sealer,
            "outbox": self.outbox,
            "internal": internal,
        }
        self.engines = Engines(**{name: given.get(name, none) for name in Engines.__slots__})
        self.pipeline = Pipeline(self.engines, Authority(self.store, self.clock, self.settings, sealer), Metrics())
        internal.connect(self.pipeline.receive, self.perform)
        self.run(self._start())

    async def _start(self) -> None:
        sqs.start(self.engines)
        sns.start(self.engines)
        self.outbox.start()

    async def perform(self, call: Call) -> None:
        assert call.route is not None
        assert call.input is not None
        self.calls.append((call.route.service.name, call.route.operation.name, call.input))
        if call.route.service.name == "lambda":
            call.error = self.function_errors.pop(0) if self.function_errors else None  # type: ignore[assignment]
            return
        await self.pipeline.perform(call)

    def answer_internally(self, perform: Callable[[Call], Awaitable[None]]) -> None:
        """Answer our services' calls to each other in another way."""
        self.internal.connect(self.pipeline.receive, perform)

    def close(self) -> None:
        self.run(self._stop())
        self.store.close()
        self.runner.close()

    async def _stop(self) -> None:
        await self.outbox.stop()
        await sns.stop(self.engines)

    def reopen(self) -> None:
        """As after a stop and a start of the process."""
        self.run(self._stop())
        self.store.close()
        self.open()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    async def ask(
        self,
        service: str,
        operation: str,
        parameters: dict[str, Any],
        *,
        account: str = ACCOUNT,
        region: str = REGION,
        identity: Identity | None = None,
        signed: bool = True,
        headers: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        model = models.service(service)
        found = model.operation(operation)
        assert found is not None
        identity = identity or root(account)
        signature = {"authorization": _SIGNED.format(account)} if signed else {}
        call = Call(
            request=Request("POST", "/", "", {"host": "localhost:4566", **signature, **(headers or {})}),
            source=Source("192.0.2.17"),
            request_id="r",
            event_id="e",
            received=self.clock.time(),
            account=identity.account,
            region=region,
            identity=identity,
            route=Route(model, found, model.protocols[0]),
            input=parameters,
        )
        await self.pipeline.perform(call)
        await self.outbox.settle()
        if call.error is not None:
            raise call.error
        return call.output or {}

    def __call__(self, operation: str, /, **parameters: Any) -> dict[str, Any]:
        return self.run(self.ask("sns", operation, parameters))

    def by(self, account: str, operation: str, /, **parameters: Any) -> dict[str, Any]:
        return self.run(self.ask("sns", operation, parameters, account=account))

    def by_link(self, operation: str, /, **parameters: Any) -> dict[str, Any]:
        """As a browser calls that follows a link: without a signature, and in no Region."""
        return self.run(self.ask("sns", operation, parameters, region="us-east-1", signed=False))

    def sqs(self, operation: str, /, account: str = ACCOUNT, **parameters: Any) -> dict[str, Any]:
        return self.run(self.ask("sqs", operation, parameters, account=account))

    def advance(self, seconds: float) -> None:
        self.run(self._advance(seconds))

    async def _advance(self, seconds: float) -> None:
        await self.clock.advance(seconds)

    # Short ways

    def topic(self, name: str = "news", **attributes: str) -> str:
        if name.endswith(".fifo"):
            attributes["FifoTopic"] = "true"
        arn: str = self("CreateTopic", Name=name, Attributes=attributes)["TopicArn"]
        return arn

    def queue(self, name: str = "inbox", account: str = ACCOUNT, **attributes: str) -> str:
        """The queue's ARN."""
        if name.endswith(".fifo"):
            attributes["FifoQueue"] = "true"
        self.sqs("CreateQueue", account=account, QueueName=name, Attributes=attributes)
        return f"arn:aws:sqs:{REGION}:{account}:{name}"

    def subscribe(self, topic: str, protocol: str, endpoint: str, **attributes: str) -> str:
        arn: str = self(
            "Subscribe",
            TopicArn=topic,
            Protocol=protocol,
            Endpoint=endpoint,
            Attributes=attributes,
            ReturnSubscriptionArn=True,
        )["SubscriptionArn"]
        return arn

    def receive(self, queue_arn: str) -> list[dict[str, Any]]:
        """All messages of a queue; they are gone then."""
        account, name = queue_arn.split(":")[4:]
        found: list[dict[str, Any]] = []
        while True:
            page = self.sqs(
                "ReceiveMessage",
                account=account,
                QueueUrl=f"/{account}/{name}",
                MaxNumberOfMessages=10,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["All"],
            ).get("Messages", [])
            if not page:
                return found
            found += page
            for message in page:
                self.sqs(
                    "DeleteMessage",
                    account=account,
                    QueueUrl=f"/{account}/{name}",
                    ReceiptHandle=message["ReceiptHandle"],
                )

    def bodies(self, queue_arn: str) -> list[str]:
        return [message["Body"] for message in self.receive(queue_arn)]

    def notifications(self, queue_arn: str) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies(queue_arn)]

    def pending(self) -> int:
        return sum(self.outbox.pending(f"sns-{lane}") for lane in ("sqs", "lambda", "http", "mail", "fan-out"))


class Endpoint:
    """An HTTP endpoint on this machine that keeps what it gets, and answers as it is told."""

    def __init__(self, house: Topics) -> None:
        self.house = house
        self.received: list[tuple[dict[str, str], str]] = []
        #: The next answers' statuses; 200 after them. 0 stands for an answer that never comes.
        self.statuses: list[int] = []
        self.authorization: list[str | None] = []
        house.run(self._start())

    async def _start(self) -> None:
        application = web.Application()
        application.router.add_post("/{path:.*}", self._answer)
        self.runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        host, port = self.runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/hook"

    async def _answer(self, request: web.Request) -> web.Response:
        self.authorization.append(request.headers.get("authorization"))
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append((headers, await request.text()))
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 0:
            await asyncio.sleep(3600)
        return web.Response(status=status, headers={"location": "/elsewhere"} if status in (301, 302) else {})

    def close(self) -> None:
        self.house.run(self.runner.cleanup())

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.received]


def verify(house: Topics, message: dict[str, Any]) -> None:
    """As AWS documents it for those who receive messages."""
    names = (
        ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
        if message["Type"] == "Notification"
        else ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
    )
    text = "".join(f"{name}\n{message[name]}\n" for name in names if name in message)
    url = message["SigningCertURL"]
    assert url.startswith(f"{URL}/SimpleNotificationService-")
    pem = sns.certificate(house.engines, url.removeprefix(URL))
    assert pem is not None
    certificate = x509.load_pem_x509_certificate(pem)
    certificate.verify_directly_issued_by(certificate)
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    algorithm: hashes.HashAlgorithm = {"1": hashes.SHA1(), "2": hashes.SHA256()}[message["SignatureVersion"]]
    key.verify(base64.b64decode(message["Signature"]), text.encode(), padding.PKCS1v15(), algorithm)
