"""Which web pages may call a bucket: kept, checked and shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from ...call import Call, Change
from ...errors import ServiceError
from ..engines import Engines
from . import buckets
from .refusals import invalid_request, malformed

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        CORSRuleUnionTypeDef,
        DeleteBucketCorsRequestTypeDef,
        GetBucketCorsRequestTypeDef,
        PutBucketCorsRequestTypeDef,
    )

_MOST, _LONGEST_ID, _LONGEST = 100, 255, 64 * 1024
_METHODS = frozenset({"GET", "PUT", "HEAD", "POST", "DELETE"})


def get_bucket_cors(call: Call, request: GetBucketCorsRequestTypeDef, engines: Engines) -> dict[str, Any]:
    bucket = buckets.addressed(call, request, engines)
    if not bucket.cors:
        raise ServiceError(
            "NoSuchCORSConfiguration",
            "The CORS configuration does not exist",
            status=404,
            members={"BucketName": bucket.name},
        )
    return {"CORSRules": bucket.cors}


def put_bucket_cors(call: Call, request: PutBucketCorsRequestTypeDef, engines: Engines) -> Change:
    rules = list(request["CORSConfiguration"]["CORSRules"])
    if not 1 <= len(rules) <= _MOST:
        raise malformed(f"a configuration has 1 to {_MOST} rules")
    for rule in rules:
        _check(rule)
    kept: list[dict[str, Any]] = [dict(rule) for rule in rules]
    if len(orjson.dumps(kept)) > _LONGEST:
        raise malformed(f"a configuration has at most {_LONGEST} bytes")
    return buckets.changed(call, request, engines, lambda bucket: msgspec.structs.replace(bucket, cors=kept))


def delete_bucket_cors(call: Call, request: DeleteBucketCorsRequestTypeDef, engines: Engines) -> Change:
    return buckets.changed(call, request, engines, lambda bucket: msgspec.structs.replace(bucket, cors=[]))


def _check(rule: CORSRuleUnionTypeDef) -> None:
    if not rule["AllowedMethods"] or not rule["AllowedOrigins"] or len(rule.get("ID", "")) > _LONGEST_ID:
        raise malformed()
    for method in rule["AllowedMethods"]:
        if method not in _METHODS:
            raise invalid_request(f"Found unsupported HTTP method in CORS config. Unsupported method is {method}")
    for origin in rule["AllowedOrigins"]:
        if origin.count("*") > 1:
            raise invalid_request(f'AllowedOrigin "{origin}" can not have more than one wildcard.')
    for header in rule.get("AllowedHeaders", ()):
        if header.count("*") > 1:
            raise invalid_request(f'AllowedHeader "{header}" can not have more than one wildcard.')
    for header in rule.get("ExposeHeaders", ()):
        if "*" in header:
            raise invalid_request(
                f'ExposeHeader "{header}" contains wildcard. We currently do not support wildcard for ExposeHeader.'
            )
