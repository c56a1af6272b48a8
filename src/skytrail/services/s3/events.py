"""Event notifications: what happens to objects, told to queues, topics and functions that the bucket names.

An event is posted in the transaction of its cause, and delivered through the outbox at least once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec
import orjson

from ...call import Call
from ...errors import ServiceError
from ...storage.store import Transaction
from ...wire import arns
from ...wire.codecs.s3 import host_id
from ...work.outbox import Parcel
from ..engines import Engines
from .buckets import Bucket

LANE = "s3-events"
PRINCIPAL = "s3.amazonaws.com"
#: Where a configuration names its destination, by its list.
DESTINATIONS: Mapping[str, tuple[str, str]] = {
    "TopicConfigurations": ("TopicArn", "sns"),
    "QueueConfigurations": ("QueueArn", "sqs"),
    "LambdaFunctionConfigurations": ("LambdaFunctionArn", "lambda"),
}
_GIVE_UP_SECONDS = 24 * 3600.0
_LONGEST_WAIT = 900.0
#: Other refusals do not go away by waiting.
_PASSING = frozenset(
    {"InternalFailure", "InternalError", "ServiceUnavailable", "ServiceException", "Throttling", "ThrottlingException",
     "ThrottledException", "TooManyRequestsException", "RequestThrottled", "OverLimit", "KmsThrottled"}
)  # fmt: skip

_log = logging.getLogger(__name__)


class Event(msgspec.Struct, frozen=True):
    """What happened to an object: `ObjectCreated:Put`, `ObjectRemoved:Delete` and their kin."""

    name: str
    key: str
    #: Rises with each event of the key.
    sequence: int
    size: int | None = None
    etag: str = ""
    #: "" where the bucket never had versions.
    version_id: str = ""


class _Message(msgspec.Struct, frozen=True):
    service: str
    arn: str
    bucket_arn: str
    account: str
    body: str


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Message).decode


def post(tx: Transaction, call: Call, engines: Engines, bucket: Bucket, event: Event) -> None:
    """Tell everyone whom the bucket's configuration names for this event."""
    if not bucket.notification:
        return
    if call.identity.type == "AWSService" and call.identity.invoked_by == PRINCIPAL:
        # S3 itself removes only what is over.
        event = msgspec.structs.replace(event, name=event.name.replace("ObjectRemoved:", "LifecycleExpiration:"))
    for service, arn, configuration in _wanting(bucket, event):
        body = orjson.dumps({"Records": [_record(call, bucket, event, configuration["Id"])]}).decode()
        engines.outbox.post(tx, LANE, _encode(_Message(service, arn, bucket.arn, bucket.account, body)))


def _wanting(bucket: Bucket, event: Event) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for kind, (member, service) in DESTINATIONS.items():
        for configuration in bucket.notification.get(kind, ()):
            if any(covers(each, f"s3:{event.name}") for each in configuration["Events"]):
                prefix, suffix = affixes(configuration)
                if event.key.startswith(prefix) and event.key.endswith(suffix):
                    yield service, configuration[member], configuration


def covers(asked: str, name: str) -> bool:
    return name.startswith(asked[:-1]) if asked.endswith("*") else asked == name


def affixes(configuration: Mapping[str, Any]) -> tuple[str, str]:
    """The prefix and the suffix that a key must have."""
    rules = configuration.get("Filter", {}).get("Key", {}).get("FilterRules", ())
    given = {rule["Name"].lower(): rule.get("Value", "") for rule in rules}
    return given.get("prefix", ""), given.get("suffix", "")


def _record(call: Call, bucket: Bucket, event: Event, configuration: str) -> dict[str, Any]:
    told: dict[str, Any] = {"key": quote(event.key, safe="/ ").replace(" ", "+")}
    if event.size is not None:
        told["size"] = event.size
    if event.etag:
        told["eTag"] = event.etag
    if event.version_id:
        told["versionId"] = event.version_id
    told["sequencer"] = f"{event.sequence:018X}"
    moment = datetime.fromtimestamp(call.received, UTC)
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": bucket.region,
        "eventTime": moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z",
        "eventName": event.name,
        "userIdentity": {"principalId": f"AWS:{call.identity.principal_id}" if call.identity.principal_id else "AWS"},
        "requestParameters": {"sourceIPAddress": call.source.address},
        "responseElements": {"x-amz-request-id": call.request_id, "x-amz-id-2": host_id(call.request_id)},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": configuration,
            "bucket": {
                "name": bucket.name,
                "ownerIdentity": {"principalId": bucket.account},
                "arn": bucket.arn,
            },
            "object": told,
        },
    }


# Delivery


def start(engines: Engines) -> None:
    async def deliver(parcel: Parcel) -> None:
        message = _decode(parcel.body)
        await send(engines, message.service, message.arn, message.bucket_arn, message.account, message.body)

    engines.outbox.lane(LANE, deliver, _delay(engines), _give_up)


async def send(engines: Engines, service: str, arn: str, bucket_arn: str, account: str, body: str) -> None:
    """Give a message to a queue, a topic or a function, as S3 does for the bucket."""
    target = arns.parse(arn)
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "sqs": (
            "SendMessage",
            {
                "QueueUrl": f"https://sqs.{target.region}.amazonaws.com/{target.account}/{target.resource}",
                "MessageBody": body,
            },
        ),
        "sns": ("Publish", {"TopicArn": arn, "Subject": "Amazon S3 Notification", "Message": body}),
        "lambda": ("Invoke", {"FunctionName": arn, "InvocationType": "Event", "Payload": body.encode()}),
    }
    operation, parameters = calls[service]
    await engines.internal.call(
        service,
        operation,
        parameters,
        principal=PRINCIPAL,
        account=account,
        region=target.region,
        source_arn=bucket_arn,
    )


def _delay(engines: Engines) -> Any:
    def delay(parcel: Parcel, error: Exception) -> float | None:
        lasting = isinstance(error, ServiceError) and error.code not in _PASSING
        if lasting or engines.clock.time() - parcel.posted > _GIVE_UP_SECONDS:
            return None
        return float(min(2.0 ** min(parcel.attempts, 20), _LONGEST_WAIT))

    return delay


async def _give_up(parcel: Parcel, error: Exception) -> None:
    message = _decode(parcel.body)
    _log.warning("an event of %s for %s was given up: %s", message.bucket_arn, message.arn, error)
