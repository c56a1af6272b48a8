"""Records in a log group: batches within the limits of Logs, streams made where they are missing, what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import boto3
import msgspec
import pytest
from botocore.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.errors import ServiceError
from skytrail.server import Skytrail
from skytrail.services.cloudtrail.delivery import to_logs
from skytrail.services.cloudtrail.trails.model import Trail
from skytrail.settings import Server, Settings, Storage, Upstreams
from skytrail.testing import Server as Process
from skytrail.testing import Skytrail as Kit

ACCOUNT, REGION = "123456789012", "eu-west-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/service-role/to-logs"
TRAIL = Trail(
    name="all",
    account=ACCOUNT,
    region="us-east-1",
    id="t1",
    bucket="b",
    log_group=f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/trails/all:*",
    log_role=ROLE,
)
DAY = 86400.0
NOW = 1_795_205_902.0


# Batches


@settings(deadline=None, derandomize=True, max_examples=100)
@given(
    st.lists(
        st.tuples(
            st.floats(NOW - 3 * DAY, NOW, allow_nan=False),
            st.integers(1, 300_000).map(lambda size: b"x" * size),
        ),
        max_size=30,
    )
)
def test_batches_are_as_logs_takes_them(records: list[tuple[float, bytes]]) -> None:
    batches = list(to_logs.batches(records))
    for batch in batches:
        times = [event["timestamp"] for event in batch]
        assert times == sorted(times)
        assert times[-1] - times[0] < DAY * 1000
        assert 0 < sum(len(event["message"]) + 26 for event in batch) <= 1_048_576
    sent = [(event["timestamp"], len(event["message"])) for batch in batches for event in batch]
    assert sorted(sent) == sorted((int(time * 1000), len(data)) for time, data in records if len(data) <= 262_144)


def test_batches_have_ten_thousand_events() -> None:
    assert [len(batch) for batch in to_logs.batches([(NOW, b"{}")] * 20_001)] == [10_000, 10_000, 1]
    assert list(to_logs.batches([])) == []


def test_the_bytes_of_a_text_count() -> None:
    texts = ["\N{EURO SIGN}" * 50_000] * 8
    batches = list(to_logs.batches([(NOW, text.encode()) for text in texts]))
    assert [len(batch) for batch in batches] == [6, 2]
    assert batches[0][0] == {"timestamp": int(NOW * 1000), "message": texts[0]}


# What Logs answers


class Logs:
    """Answers in their order; what was asked."""

    def __init__(self, *answers: dict[str, Any] | ServiceError, mode: Literal["open", "enforced"] = "open") -> None:
        self.settings = Settings(server=Server(mode=mode))
        self.internal = self
        self.asked: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
        self._answers = list(answers)

    async def call(self, service: str, operation: str, parameters: dict[str, Any], **who: Any) -> dict[str, Any]:
        assert service == "logs"
        self.asked.append((operation, parameters, who))
        answer = self._answers.pop(0)
        if isinstance(answer, ServiceError):
            raise answer
        return answer

    def send(self, records: Sequence[tuple[float, bytes]], *, insight: bool = False) -> None:
        engines: Any = self
        asyncio.run(to_logs.send(engines, TRAIL, "210987654321", "eu-north-1", records, insight=insight))


NONE = ServiceError("ResourceNotFoundException", "The specified log stream does not exist.")


def test_who_asks_what() -> None:
    logs = Logs({})
    logs.send([(NOW + 1, b"{2}"), (NOW, b"{1}")])
    ((operation, parameters, who),) = logs.asked
    assert operation == "PutLogEvents"
    assert parameters == {
        "logGroupName": "/trails/all",
        "logStreamName": "210987654321_CloudTrail_eu-north-1",
        "logEvents": [
            {"timestamp": int(NOW * 1000), "message": "{1}"},
            {"timestamp": int(NOW * 1000) + 1000, "message": "{2}"},
        ],
    }
    assert who == {
        "principal": "cloudtrail.amazonaws.com",
        "account": ACCOUNT,
        "region": REGION,
        "source_arn": TRAIL.arn,
    }
    insights = Logs({})
    insights.send([(NOW, b"{}")], insight=True)
    assert insights.asked[0][1]["logStreamName"] == "210987654321_CloudTrail-Insight_eu-north-1"
    nothing = Logs()
    nothing.send([(NOW, b"x" * 300_000)])
    assert nothing.asked == []


def test_a_stream_is_made_where_it_is_missing() -> None:
    answers: list[dict[str, Any] | ServiceError] = [{}, ServiceError("ResourceAlreadyExistsException", "quicker")]
    for made in answers:
        logs = Logs(NONE, made, {})
        logs.send([(NOW, b"{}")])
        assert [operation for operation, _, _ in logs.asked] == ["PutLogEvents", "CreateLogStream", "PutLogEvents"]
        assert logs.asked[1][1] == {
            "logGroupName": "/trails/all",
            "logStreamName": "210987654321_CloudTrail_eu-north-1",
        }


def test_errors_are_the_callers() -> None:
    denied = ServiceError("AccessDeniedException", "no")
    for answers in ([denied], [NONE, NONE], [NONE, denied], [NONE, {}, denied]):
        with pytest.raises(ServiceError) as raised:
            Logs(*answers).send([(NOW, b"{}")])
        assert raised.value is answers[-1]


@pytest.mark.parametrize(
    ("info", "refused"),
    [
        ({"tooOldLogEventEndIndex": 2}, 2),
        ({"expiredLogEventEndIndex": 3, "tooOldLogEventEndIndex": 1}, 3),
        ({"tooNewLogEventStartIndex": 3}, 1),
        ({"tooNewLogEventStartIndex": 3, "tooOldLogEventEndIndex": 1}, 2),
        ({}, 0),
    ],
)
def test_what_logs_refuses_is_counted(info: dict[str, int], refused: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        Logs({"rejectedLogEventsInfo": info}).send([(NOW + place, b"{}") for place in range(4)])
    assert [record.getMessage() for record in caplog.records] == (
        [f"{TRAIL.arn}: {TRAIL.log_group} does not take {refused} records of 210987654321_CloudTrail_eu-north-1"]
        if refused
        else []
    )


# A log group that an upstream keeps


def with_logs(path: Path, mode: Literal["open", "enforced"], story: Callable[[Skytrail, str], Awaitable[None]]) -> None:
    async def tell() -> None:
        server = Skytrail(
            Settings(
                server=Server(port=0, mode=mode),
                storage=Storage(data=str(path), durability="os"),
                upstreams=Upstreams(services=("logs=moto",)),
            )
        )
        async with _serving(server) as url:
            await story(server, url)

    asyncio.run(tell())


@contextlib.asynccontextmanager
async def _serving(server: Skytrail) -> AsyncIterator[str]:
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(server.serve(lambda listening: ready.set_result(listening.url)))
    try:
        yield await asyncio.wait_for(ready, 30)
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


def read_back(url: str, name: str, access_key: str, secret_key: str) -> dict[str, list[tuple[int, str]]]:
    """By the streams' names."""
    client = boto3.client(
        "logs",
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(proxies={}),
    )
    group = {"logGroupName": name}
    names = [stream["logStreamName"] for stream in client.describe_log_streams(**group)["logStreams"]]
    return {
        name: [
            (event["timestamp"], event["message"])
            for event in client.get_log_events(**group, logStreamName=name, startFromHead=True)["events"]
        ]
        for name in names
    }


def records(server: Skytrail, count: int) -> list[tuple[float, bytes]]:
    now = int(server.engines.clock.time())
    return [(now - 600 + place, json.dumps({"eventID": str(place)}).encode()) for place in range(count)]


async def operated(server: Skytrail, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
    body = {
        "service": service, "operation": operation, "account": ACCOUNT, "region": REGION, "parameters": parameters,
    }  # fmt: skip
    (line,) = [line async for line in server.operator_paths["/_skytrail/operate"](json.dumps(body).encode())]
    answer: dict[str, Any] = json.loads(line)
    return answer["output"]  # type: ignore[no-any-return]


def test_a_trails_log_group(tmp_path: Path) -> None:
    async def story(server: Skytrail, url: str) -> None:
        given = records(server, 50)
        with pytest.raises(ServiceError) as raised:
            await to_logs.send(server.engines, TRAIL, ACCOUNT, REGION, given, insight=False)
        assert raised.value.code == "ResourceNotFoundException"
        await operated(server, "logs", "CreateLogGroup", logGroupName="/trails/all")
        await to_logs.send(server.engines, TRAIL, ACCOUNT, REGION, given[:30], insight=False)
        await to_logs.send(server.engines, TRAIL, ACCOUNT, REGION, given[30:], insight=False)
        await to_logs.send(server.engines, TRAIL, ACCOUNT, "us-east-1", given[:1], insight=True)
        found = await asyncio.to_thread(read_back, url, "/trails/all", ACCOUNT, "any")
        assert found == {
            f"{ACCOUNT}_CloudTrail_{REGION}": [(int(time * 1000), data.decode()) for time, data in given],
            f"{ACCOUNT}_CloudTrail-Insight_us-east-1": [(int(given[0][0] * 1000), given[0][1].decode())],
        }
        told = [json.loads(data) for _, data in server.engines.store.records("audit", 0, rows=100)]
        made = [record for record in told if record["eventName"] == "CreateLogStream" and "errorCode" not in record]
        assert len(made) == 2
        assert {json.dumps(record["userIdentity"]) for record in made} == {
            '{"type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com"}'
        }

    with_logs(tmp_path, "open", story)


def test_where_permissions_are_enforced_the_trails_role_writes(tmp_path: Path) -> None:
    # moto keeps one state for all servers of a process.
    guarded = msgspec.structs.replace(TRAIL, log_group=f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/guarded:*")
    trust = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "cloudtrail.amazonaws.com"},
            "Action": "sts:AssumeRole",
        },
    }
    allowed = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/guarded:log-stream:{ACCOUNT}_CloudTrail_{REGION}*",
        },
    }

    async def story(server: Skytrail, url: str) -> None:
        given = records(server, 3)

        async def send() -> str:
            try:
                await to_logs.send(server.engines, guarded, ACCOUNT, REGION, given, insight=False)
            except ServiceError as error:
                return error.code
            return ""

        await operated(server, "logs", "CreateLogGroup", logGroupName="/guarded")
        assert await send() == "AccessDenied"  # there is no such role
        await operated(
            server, "iam", "CreateRole", RoleName="to-logs", Path="/service-role/",
            AssumeRolePolicyDocument=json.dumps(trust),
        )  # fmt: skip
        assert await send() == "AccessDeniedException"  # it may not write
        await operated(
            server, "iam", "PutRolePolicy", RoleName="to-logs", PolicyName="write", PolicyDocument=json.dumps(allowed)
        )
        assert await send() == ""
        key = (await operated(server, "iam", "CreateAccessKey"))["AccessKey"]
        found = await asyncio.to_thread(read_back, url, "/guarded", key["AccessKeyId"], key["SecretAccessKey"])
        assert list(found) == [f"{ACCOUNT}_CloudTrail_{REGION}"]
        assert len(found[f"{ACCOUNT}_CloudTrail_{REGION}"]) == 3
        told = [json.loads(data) for _, data in server.engines.store.records("audit", 0, rows=100)]
        assert [record.get("errorCode") for record in told if record["eventName"] == "AssumeRole"] == [
            "AccessDenied",
            None,
        ]
        (made,) = [record for record in told if record["eventName"] == "CreateLogStream" and "errorCode" not in record]
        assert made["userIdentity"]["arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/to-logs/CLOUDTRAIL_all"
        assert made["userIdentity"]["invokedBy"] == "cloudtrail.amazonaws.com"

    with_logs(tmp_path, "enforced", story)


# A whole trail


def test_a_trail_writes_to_its_log_group() -> None:
    with Process(arguments=["--upstream", "logs=moto"]) as server:
        kit = Kit(server.endpoint, account=ACCOUNT, region=REGION)
        # moto has a clock of its own: it takes only what is not far from it.
        now = kit.clock.freeze()
        logs, s3, cloudtrail = kit.client("logs"), kit.client("s3"), kit.client("cloudtrail")
        logs.create_log_group(logGroupName="/trails/all")
        trust = {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": "sts:AssumeRole"}
        role = kit.client("iam").create_role(
            RoleName="to-logs",
            Path="/service-role/",
            AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": trust}),
        )["Role"]["Arn"]
        kit.client("iam").put_role_policy(
            RoleName="to-logs",
            PolicyName="write",
            PolicyDocument=json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": {
                        "Effect": "Allow",
                        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                        "Resource": f"arn:aws:logs:*:{ACCOUNT}:log-group:/trails/all:log-stream:*",
                    },
                }
            ),
        )
        s3.create_bucket(Bucket="the-files", CreateBucketConfiguration={"LocationConstraint": REGION})
        service = {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}}
        s3.put_bucket_policy(
            Bucket="the-files",
            Policy=json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {**service, "Action": "s3:GetBucketAcl", "Resource": "arn:aws:s3:::the-files"},
                        {**service, "Action": "s3:PutObject", "Resource": "arn:aws:s3:::the-files/*"},
                    ],
                }
            ),
        )
        cloudtrail.create_trail(
            Name="all",
            S3BucketName="the-files",
            IsMultiRegionTrail=True,
            CloudWatchLogsLogGroupArn=f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/trails/all:*",
            CloudWatchLogsRoleArn=role,
        )
        cloudtrail.start_logging(Name="all")
        kit.client("sqs").create_queue(QueueName="q")
        kit.client("sqs", region="eu-north-1").create_queue(QueueName="q")
        kit.clock.advance(70)
        found = read_back(server.endpoint, "/trails/all", ACCOUNT, "any")
        names = {name: [json.loads(text)["eventName"] for _, text in events] for name, events in found.items()}
        assert names[f"{ACCOUNT}_CloudTrail_{REGION}"][:2] == ["StartLogging", "CreateQueue"]
        assert names[f"{ACCOUNT}_CloudTrail_eu-north-1"] == ["CreateQueue"]
        state = cloudtrail.get_trail_status(Name="all")
        assert now <= state["LatestCloudWatchLogsDeliveryTime"] <= kit.clock.now()
        assert "LatestCloudWatchLogsDeliveryError" not in state
        kit.clock.run()
        logs.delete_log_group(logGroupName="/trails/all")
        kit.client("sqs").create_queue(QueueName="another")
        kit.clock.advance(70)
        state = cloudtrail.get_trail_status(Name="all")
        assert state["LatestCloudWatchLogsDeliveryError"] == "ResourceNotFoundException"
