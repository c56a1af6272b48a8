"""What a bucket's objects are encrypted with where their put names nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ..engines import Engines
from . import buckets
from .buckets import Bucket, Encryption
from .refusals import invalid_argument, malformed, unsupported

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        DeleteBucketEncryptionRequestTypeDef,
        GetBucketEncryptionRequestTypeDef,
        PutBucketEncryptionRequestTypeDef,
    )

_ALGORITHMS = frozenset({"AES256", "aws:kms"})


def get_bucket_encryption(call: Call, request: GetBucketEncryptionRequestTypeDef, engines: Engines) -> dict[str, Any]:
    kept = buckets.addressed(call, request, engines).encryption
    default = {"SSEAlgorithm": kept.algorithm} | ({"KMSMasterKeyID": kept.kms_key} if kept.kms_key else {})
    rule = {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": kept.bucket_key}
    return {"ServerSideEncryptionConfiguration": {"Rules": [rule]}}


def put_bucket_encryption(call: Call, request: PutBucketEncryptionRequestTypeDef, engines: Engines) -> Change:
    rules = request["ServerSideEncryptionConfiguration"]["Rules"]
    if len(rules) != 1:
        raise malformed("a bucket has one rule of encryption")
    return _changed(call, request, engines, _encryption(rules[0]))


def delete_bucket_encryption(call: Call, request: DeleteBucketEncryptionRequestTypeDef, engines: Engines) -> Change:
    """Back to what every bucket has at first."""
    return _changed(call, request, engines, Encryption())


def _encryption(rule: Mapping[str, Any]) -> Encryption:
    blocked = rule.get("BlockedEncryptionTypes", {}).get("EncryptionType", [])
    if any(each != "NONE" for each in blocked):
        raise unsupported("Blocking a type of encryption")
    default = rule.get("ApplyServerSideEncryptionByDefault")
    if default is None:
        if not rule.keys() & {"BucketKeyEnabled", "BlockedEncryptionTypes"}:
            raise malformed()
        return Encryption(bucket_key=rule.get("BucketKeyEnabled", False))
    algorithm, key = default["SSEAlgorithm"], default.get("KMSMasterKeyID", "")
    if algorithm not in _ALGORITHMS:
        raise unsupported(f"The encryption {algorithm}")
    if key and algorithm == "AES256":
        raise invalid_argument(
            "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse",
            "KMSMasterKeyID",
            key[:256],
        )
    return Encryption(algorithm, key, rule.get("BucketKeyEnabled", False))


def _changed(call: Call, request: Any, engines: Engines, encryption: Encryption) -> Change:
    def change(bucket: Bucket) -> Bucket:
        return msgspec.structs.replace(bucket, encryption=encryption)

    return buckets.changed(call, request, engines, change)
