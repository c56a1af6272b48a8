"""Whether a bucket keeps the versions of its objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ..engines import Engines
from . import buckets
from .refusals import malformed, unsupported

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import GetBucketVersioningRequestTypeDef, PutBucketVersioningRequestTypeDef


def get_bucket_versioning(call: Call, request: GetBucketVersioningRequestTypeDef, engines: Engines) -> dict[str, Any]:
    """A bucket that never had versions says nothing."""
    bucket = buckets.addressed(call, request, engines)
    return {"Status": bucket.versioning} if bucket.versioning else {}


def put_bucket_versioning(call: Call, request: PutBucketVersioningRequestTypeDef, engines: Engines) -> Change:
    asked = request["VersioningConfiguration"]
    if asked.get("MFADelete") == "Enabled" or "MFA" in request:
        raise unsupported("MFA delete")
    if asked.get("MFADelete") not in (None, "Disabled") or asked.get("Status") not in (None, "Enabled", "Suspended"):
        raise malformed()
    status = asked.get("Status")
    if status is None:
        raise ServiceError(
            "IllegalVersioningConfigurationException",
            "The Versioning element must be specified",
            status=400,
        )
    return buckets.changed(call, request, engines, lambda bucket: msgspec.structs.replace(bucket, versioning=status))
