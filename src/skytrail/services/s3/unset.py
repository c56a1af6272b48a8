"""What no bucket here has: settings that clients read on every refresh are answered as AWS answers for a bucket that
does not use them, and refused where they would have to have an effect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...call import Call, Change
from ...errors import ServiceError
from ..engines import Engines, Handler
from . import buckets
from .buckets import Bucket
from .refusals import malformed, unsupported

#: Operation -> the error of a bucket that does not have it.
_ABSENT: Mapping[str, tuple[str, str]] = {
    "GetBucketReplication": (
        "ReplicationConfigurationNotFoundError",
        "The replication configuration was not found",
    ),
    "GetBucketWebsite": (
        "NoSuchWebsiteConfiguration",
        "The specified bucket does not have a website configuration",
    ),
    "GetObjectLockConfiguration": (
        "ObjectLockConfigurationNotFoundError",
        "Object Lock configuration does not exist for this bucket",
    ),
    "GetBucketMetadataConfiguration": (
        "MetadataConfigurationNotFound",
        "The metadata configuration was not found",
    ),
    "GetBucketMetadataTableConfiguration": (
        "MetadataTableConfigurationNotFound",
        "The metadata table configuration was not found",
    ),
    **{
        f"{verb}Bucket{kind}Configuration": (
            "NoSuchConfiguration",
            "The specified configuration does not exist.",
        )
        for kind in ("Analytics", "IntelligentTiering", "Inventory", "Metrics")
        for verb in ("Get", "Delete")
    },
}
#: Operation -> what it answers.
_EMPTY: Mapping[str, Mapping[str, Any]] = {
    "GetBucketAbac": {"AbacStatus": {"Status": "Disabled"}},
    "GetBucketAccelerateConfiguration": {},
    "GetBucketLogging": {},
    "GetBucketRequestPayment": {"Payer": "BucketOwner"},
    **{
        f"ListBucket{kind}Configurations": {"IsTruncated": False}
        for kind in ("Analytics", "IntelligentTiering", "Inventory", "Metrics")
    },
}


def _absent(code: str, message: str) -> Handler:
    def answer(call: Call, request: Mapping[str, Any], engines: Engines) -> dict[str, Any]:
        bucket = buckets.addressed(call, request, engines)
        raise ServiceError(code, message, status=404, members={"BucketName": bucket.name})

    return answer


def _empty(output: Mapping[str, Any]) -> Handler:
    def answer(call: Call, request: Mapping[str, Any], engines: Engines) -> dict[str, Any]:
        buckets.addressed(call, request, engines)
        return dict(output)

    return answer


READS: Mapping[str, Handler] = {
    **{name: _absent(*error) for name, error in _ABSENT.items()},
    **{name: _empty(output) for name, output in _EMPTY.items()},
}


# Puts of what is so already; anything else is refused.


def put_bucket_accelerate_configuration(call: Call, request: Mapping[str, Any], engines: Engines) -> Change:
    return _only(call, request, engines, request["AccelerateConfiguration"].get("Status"), "Suspended", "Acceleration")


def put_bucket_abac(call: Call, request: Mapping[str, Any], engines: Engines) -> Change:
    return _only(call, request, engines, request["AbacStatus"].get("Status"), "Disabled", "ABAC of buckets")


def put_bucket_request_payment(call: Call, request: Mapping[str, Any], engines: Engines) -> Change:
    payer = request["RequestPaymentConfiguration"]["Payer"]
    return _only(call, request, engines, payer, "BucketOwner", "Payment by the requester")


def put_bucket_logging(call: Call, request: Mapping[str, Any], engines: Engines) -> Change:
    if "LoggingEnabled" in request["BucketLoggingStatus"]:
        buckets.addressed(call, request, engines)
        raise unsupported("Server access logging")
    return _unchanged(call, request, engines)


def delete_nothing(call: Call, request: Mapping[str, Any], engines: Engines) -> Change:
    """The bucket has none, so none is left."""
    return _unchanged(call, request, engines)


def _only(
    call: Call, request: Mapping[str, Any], engines: Engines, asked: str | None, standing: str, what: str
) -> Change:
    if asked is None:
        raise malformed()
    if asked != standing:
        buckets.addressed(call, request, engines)
        raise unsupported(what)
    return _unchanged(call, request, engines)


def _unchanged(call: Call, request: Mapping[str, Any], engines: Engines) -> Change:
    def same(bucket: Bucket) -> Bucket:
        return bucket

    return buckets.changed(call, request, engines, same)


WRITES: Mapping[str, Handler] = {
    "DeleteBucketReplication": delete_nothing,
    "DeleteBucketWebsite": delete_nothing,
    "PutBucketAbac": put_bucket_abac,
    "PutBucketAccelerateConfiguration": put_bucket_accelerate_configuration,
    "PutBucketLogging": put_bucket_logging,
    "PutBucketRequestPayment": put_bucket_request_payment,
}
