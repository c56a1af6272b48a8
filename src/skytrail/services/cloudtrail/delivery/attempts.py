"""An attempt to put something into a trail's bucket, and when the next one follows."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from ....errors import ServiceError
from ....wire import models
from ....wire.bodies import Body
from ....work.outbox import Delay, Parcel
from ...engines import Engines
from ..trails.model import PRINCIPAL, Trail

#: AWS tries for as long.
DAYS = 30
_FIRST_WAIT, _LONGEST_WAIT = 15.0, 300.0
#: The bucket's errors are told of, and not what was late.
_LATE = frozenset({"GatewayTimeout", "RequestTimeout"})


def patience(engines: Engines, days: float | None = None) -> Delay:
    """Nothing is given up soon: buckets come back, and policies are mended."""

    days = DAYS if days is None else days

    def delay(parcel: Parcel, error: Exception) -> float | None:
        if engines.clock.time() - parcel.posted > days * 86400:
            return None
        return min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(parcel.attempts - 1, 10))

    return delay


def code(error: Exception, service: str = "s3") -> str:
    """What GetTrailStatus tells of an error: the code that the service has for it."""
    if not isinstance(error, ServiceError):
        return "InternalError"
    known = models.service(service)
    if error.code not in known.shapes:
        return error.code
    return str(known.model.shape_for(error.code).metadata.get("error", {}).get("code") or error.code)


def told(error: Exception, member: str) -> dict[str, str]:
    """What the status of a bucket is to say of an error: nothing of a request that timed out."""
    found = code(error)
    return {} if found in _LATE else {member: found}


def is_definite(error: Exception) -> bool:
    """Whether nothing can have come of the attempt."""
    return isinstance(error, ServiceError) and 400 <= (error.status or 400) < 500


async def put(
    engines: Engines,
    trail: Trail,
    bucket: str,
    key: str,
    body: bytes | AsyncIterator[bytes],
    length: int,
    metadata: Mapping[str, str] | None = None,
    content_type: str = "application/json",
) -> None:
    parameters: dict[str, Any] = {
        "Bucket": bucket,
        "Key": key,
        "Body": body if isinstance(body, bytes) else Body(body, length),
        "ContentLength": length,
        "ContentType": content_type,
        "ACL": "bucket-owner-full-control",
    }
    if key.endswith(".gz"):
        parameters["ContentEncoding"] = "gzip"
    if metadata:
        parameters["Metadata"] = dict(metadata)
    if trail.kms_key:
        parameters["ServerSideEncryption"] = "aws:kms"
        parameters["SSEKMSKeyId"] = trail.kms_key
        context = orjson.dumps({"aws:cloudtrail:arn": trail.arn})
        parameters["SSEKMSEncryptionContext"] = base64.b64encode(context).decode()
    await engines.internal.call(
        "s3", "PutObject", parameters,
        principal=PRINCIPAL, account=trail.account, region=trail.region, source_arn=trail.arn, needs_policy=True,
    )  # fmt: skip
