"""Our services' own calls: the same way as everyone's, told apart in the record."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from skytrail.call import Call, Source
from skytrail.errors import ServiceError
from skytrail.identity.principals import Identity
from skytrail.server import Skytrail
from skytrail.settings import History, Settings, Storage
from skytrail.wire.http import Request

ACCOUNT, REGION = "123456789012", "eu-west-1"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:notices"


def with_server(path: Path, story: Callable[[Skytrail], Awaitable[None]], data_events: Any = "all") -> None:
    async def tell() -> None:
        settings = Settings(storage=Storage(data=str(path), durability="os"), history=History(data_events=data_events))
        server = Skytrail(settings)
        try:
            await story(server)
        finally:
            server.engines.store.close()
            server.directory.close()

    asyncio.run(tell())


def recorded(server: Skytrail) -> list[dict[str, Any]]:
    return [orjson.loads(data) for _, data in server.engines.store.records("audit", 0, rows=100)]


def caller(server: Skytrail) -> Call:
    call = server.pipeline.receive(Request("POST", "/", "", {"user-agent": "a client"}), Source("192.0.2.1"))
    call.account, call.region = ACCOUNT, REGION
    call.identity = Identity("IAMUser", ACCOUNT, "AIDA1", f"arn:aws:iam::{ACCOUNT}:user/alice", "alice", "AKIA1")
    return call


def test_a_service_calls_as_itself(tmp_path: Path) -> None:
    async def story(server: Skytrail) -> None:
        told = await server.engines.internal.call(
            "sqs",
            "CreateQueue",
            {"QueueName": "work"},
            principal="sns.amazonaws.com",
            account=ACCOUNT,
            region=REGION,
            source_arn=TOPIC,
        )
        assert told["QueueUrl"].endswith(f"/{ACCOUNT}/work")
        (record,) = recorded(server)
        assert record["userIdentity"] == {"type": "AWSService", "invokedBy": "sns.amazonaws.com"}
        assert (record["sourceIPAddress"], record["userAgent"]) == ("sns.amazonaws.com", "sns.amazonaws.com")
        assert (record["eventName"], record["awsRegion"]) == ("CreateQueue", REGION)
        assert record["recipientAccountId"] == ACCOUNT
        assert record["requestParameters"] == {"queueName": "work"}

    with_server(tmp_path, story)


def test_a_service_calls_for_its_caller(tmp_path: Path) -> None:
    async def story(server: Skytrail) -> None:
        call = caller(server)
        key = await server.engines.internal.forward(call, "kms", "CreateKey", {}, by="s3.amazonaws.com")
        assert key["KeyMetadata"]["Arn"].startswith(f"arn:aws:kms:{REGION}:{ACCOUNT}:")
        (record,) = recorded(server)
        assert record["userIdentity"]["userName"] == "alice"
        assert record["userIdentity"]["invokedBy"] == "s3.amazonaws.com"
        assert (record["sourceIPAddress"], record["userAgent"]) == ("s3.amazonaws.com", "s3.amazonaws.com")
        # The caller's own call is not touched.
        assert call.identity.invoked_by == ""
        assert call.route is None

    with_server(tmp_path, story)


def test_an_error_is_raised_and_recorded(tmp_path: Path) -> None:
    async def story(server: Skytrail) -> None:
        with pytest.raises(ServiceError) as raised:
            await server.engines.internal.call(
                "sqs",
                "SendMessage",
                {"QueueUrl": f"http://any/{ACCOUNT}/none", "MessageBody": "x"},
                principal="sns.amazonaws.com",
                account=ACCOUNT,
                region=REGION,
            )
        assert raised.value.code == "QueueDoesNotExist"
        (record,) = recorded(server)
        assert record["errorCode"] == "QueueDoesNotExist"
        assert record["eventCategory"] == "Data"

    with_server(tmp_path, story)


def test_a_data_event_that_nobody_wants_is_not_made(tmp_path: Path) -> None:
    async def story(server: Skytrail) -> None:
        internal = server.engines.internal
        where: dict[str, Any] = {"principal": "sns.amazonaws.com", "account": ACCOUNT, "region": REGION}
        url = (await internal.call("sqs", "CreateQueue", {"QueueName": "work"}, **where))["QueueUrl"]
        await internal.call("sqs", "SendMessage", {"QueueUrl": url, "MessageBody": "x"}, **where)
        got = await internal.call("sqs", "ReceiveMessage", {"QueueUrl": url}, **where)
        assert [message["Body"] for message in got["Messages"]] == ["x"]
        with pytest.raises(ServiceError):
            await internal.call("sqs", "SendMessage", {"QueueUrl": f"{url}-none", "MessageBody": "x"}, **where)
        assert [record["eventName"] for record in recorded(server)] == ["CreateQueue"]

    with_server(tmp_path, story, "selected")
