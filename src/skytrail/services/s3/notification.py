"""Which events of a bucket are told to whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import combinations
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from ...call import Call, Change
from ...errors import ServiceError
from ...wire import arns
from ...wire.codecs.s3 import host_id
from ..engines import Engines
from . import buckets, events
from .buckets import Bucket
from .events import DESTINATIONS
from .refusals import invalid_argument, malformed

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        GetBucketNotificationConfigurationRequestTypeDef,
        PutBucketNotificationConfigurationRequestTypeDef,
    )

_MOST, _LONGEST_AFFIX, _LONGEST_ID = 100, 1024, 255


def get_bucket_notification_configuration(
    call: Call, request: GetBucketNotificationConfigurationRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    return buckets.addressed(call, request, engines).notification


async def put_bucket_notification_configuration(
    call: Call, request: PutBucketNotificationConfigurationRequestTypeDef, engines: Engines
) -> Change:
    bucket = buckets.addressed(call, request, engines)
    asked: Mapping[str, Any] = request["NotificationConfiguration"]
    kept = {kind: [_kept(each) for each in asked[kind]] for kind in DESTINATIONS if asked.get(kind)}
    given = [each for of_kind in kept.values() for each in of_kind]
    if len(given) > _MOST:
        raise invalid_argument(f"A bucket may have up to {_MOST} notification configurations.")
    for each in given:
        _check(each)
        each.setdefault("Id", engines.ids.uuid())
    if len({each["Id"] for each in given}) < len(given):
        raise invalid_argument("Same ID used for multiple configurations. IDs must be unique")
    _check_overlaps(given)
    for service, arn in _destinations(kept):
        _check_destination(bucket, service, arn)
    if not request.get("SkipDestinationValidation", False):
        standing = set(_destinations(bucket.notification))
        for service, arn in dict.fromkeys(_destinations(kept)):
            if (service, arn) not in standing:
                await _try(call, engines, bucket, service, arn)
    notification: dict[str, Any] = {**kept}
    if "EventBridgeConfiguration" in asked:
        notification["EventBridgeConfiguration"] = {}
    return buckets.changed(
        call, request, engines, lambda bucket: msgspec.structs.replace(bucket, notification=notification)
    )


def _kept(configuration: Mapping[str, Any]) -> dict[str, Any]:
    return {**configuration, "Events": list(dict.fromkeys(configuration["Events"]))}


def _destinations(kept: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for kind, (member, service) in DESTINATIONS.items():
        for each in kept.get(kind, ()):
            yield service, each[member]


def _check(configuration: Mapping[str, Any]) -> None:
    if not configuration["Events"]:
        raise malformed()
    if len(configuration.get("Id", "")) > _LONGEST_ID:
        raise invalid_argument(f"The Id of a configuration cannot be longer than {_LONGEST_ID} characters")
    rules = configuration.get("Filter", {}).get("Key", {}).get("FilterRules", ())
    names = [rule.get("Name", "").lower() for rule in rules]
    if any(name not in ("prefix", "suffix") for name in names):
        raise invalid_argument("filter rule name must be either prefix or suffix")
    if len(set(names)) < len(names):
        raise invalid_argument("Cannot specify more than one prefix or suffix rule in a filter.")
    if any(len(rule.get("Value", "").encode()) > _LONGEST_AFFIX for rule in rules):
        raise invalid_argument(
            f"Size of filter rule value cannot exceed {_LONGEST_AFFIX} bytes in UTF-8 representation"
        )


def _check_overlaps(given: list[dict[str, Any]]) -> None:
    """No event of any key may have two destinations."""
    for one, other in combinations(given, 2):
        if any(_share(a, b) for a in one["Events"] for b in other["Events"]) and all(
            _meet(a, b, reverse)
            for a, b, reverse in zip(events.affixes(one), events.affixes(other), (0, 1), strict=True)
        ):
            raise invalid_argument(
                "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes "
                "are overlapping for the same event type."
            )


def _share(one: str, other: str) -> bool:
    return events.covers(one, other) or events.covers(other, one)


def _meet(one: str, other: str, suffix: int) -> bool:
    """Whether one text can have both as its prefixes, or its suffixes."""
    if suffix:
        return one.endswith(other) or other.endswith(one)
    return one.startswith(other) or other.startswith(one)


# Destinations


def _check_destination(bucket: Bucket, service: str, text: str) -> None:
    try:
        arn = arns.parse(text)
    except ValueError:
        raise invalid_argument("The ARN is not well formed", "ARN", text[:256]) from None
    if arn.service != service or not arns.is_account(arn.account):
        raise invalid_argument("The ARN could not be parsed", "ARN", text[:256])
    if arn.region != bucket.region:
        raise invalid_argument(
            "The notification destination service region is not valid for the bucket location constraint", "ARN", text
        )
    if service != "lambda" and arn.resource.endswith(".fifo"):
        raise _unusable(text, "FIFO destinations are not supported")


async def _try(call: Call, engines: Engines, bucket: Bucket, service: str, arn: str) -> None:
    """A queue and a topic are sent a test event; a function is asked whether it would take one."""
    now = datetime.fromtimestamp(call.received, UTC)
    test = {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z",
        "Bucket": bucket.name,
        "RequestId": call.request_id,
        "HostId": host_id(call.request_id),
    }
    try:
        if service == "lambda":
            await engines.internal.call(
                "lambda",
                "Invoke",
                {"FunctionName": arn, "InvocationType": "DryRun"},
                principal=events.PRINCIPAL,
                account=bucket.account,
                region=bucket.region,
                source_arn=bucket.arn,
            )
        else:
            await events.send(engines, service, arn, bucket.arn, bucket.account, orjson.dumps(test).decode())
    except ServiceError as error:
        raise _unusable(arn, error.message or error.code) from error


def _unusable(arn: str, why: str) -> ServiceError:
    return ServiceError(
        "InvalidArgument",
        "Unable to validate the following destination configurations",
        status=400,
        members={"ArgumentName": arn, "ArgumentValue": why},
    )
