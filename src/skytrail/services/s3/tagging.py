"""Buckets' tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ..engines import Engines
from . import buckets, naming

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        DeleteBucketTaggingRequestTypeDef,
        GetBucketTaggingRequestTypeDef,
        PutBucketTaggingRequestTypeDef,
    )


def get_bucket_tagging(call: Call, request: GetBucketTaggingRequestTypeDef, engines: Engines) -> dict[str, Any]:
    bucket = buckets.addressed(call, request, engines)
    if not bucket.tags:
        raise ServiceError("NoSuchTagSet", "The TagSet does not exist", status=404, members={"BucketName": bucket.name})
    return {"TagSet": [{"Key": key, "Value": value} for key, value in bucket.tags.items()]}


def put_bucket_tagging(call: Call, request: PutBucketTaggingRequestTypeDef, engines: Engines) -> Change:
    tags = naming.tags(request["Tagging"]["TagSet"] or ())
    return buckets.changed(call, request, engines, lambda bucket: msgspec.structs.replace(bucket, tags=tags))


def delete_bucket_tagging(call: Call, request: DeleteBucketTaggingRequestTypeDef, engines: Engines) -> Change:
    return buckets.changed(call, request, engines, lambda bucket: msgspec.structs.replace(bucket, tags={}))
