"""Whether a trail's bucket, key and topic are there and let CloudTrail in."""

from __future__ import annotations

from typing import Any

from ....errors import ServiceError
from ....wire import arns
from ...engines import Engines
from ..delivery import layout
from . import model
from .model import Trail

_REFUSED = frozenset({"AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException"})


async def check_bucket(engines: Engines, trail: Trail) -> None:
    """The bucket is there, and CloudTrail may read its list, as it does before it writes."""
    try:
        await _call(engines, trail, "s3", "GetBucketAcl", {"Bucket": trail.bucket}, trail.region)
    except ServiceError as error:
        _pass_on_faults(error)
        if error.code == "NoSuchBucket":
            raise ServiceError("S3BucketDoesNotExistException", f"S3 bucket {trail.bucket} does not exist!") from None
        raise _wrong_policy(trail) from None


async def check_puts(engines: Engines, trail: Trail) -> None:
    """CloudTrail may put the trail's files where they belong. Where it is not for this house to judge, an empty object
    in the folder's own name shows it."""
    for key in _keys(trail):
        asked: dict[str, Any] = {"Bucket": trail.bucket, "Key": key, "ACL": "bucket-owner-full-control"}
        if trail.kms_key:
            asked |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": trail.kms_key}
        try:
            if not await _permitted(engines, trail, "s3", "PutObject", asked, trail.region):
                folder, _, _ = key.rpartition(f"{trail.region}/")
                await _call(engines, trail, "s3", "PutObject", asked | {"Key": folder, "Body": b""}, trail.region)
        except ServiceError as error:
            _pass_on_faults(error)
            raise (_cannot_encrypt(trail) if trail.kms_key else _wrong_policy(trail)) from None


def _keys(trail: Trail) -> list[str]:
    """A name of each folder; an organization's trail may become the account's own one, and needs both then."""
    folders = [layout.account_folder(trail.prefix, trail.organization, trail.account)]
    if trail.organization:
        folders.append(layout.account_folder(trail.prefix, "", trail.account))
    return [f"{folder}CloudTrail/{trail.region}/{trail.account}.json.gz" for folder in folders]


async def bucket_region(engines: Engines, trail: Trail) -> str:
    """ "" where S3 does not tell."""
    try:
        found = await _call(engines, trail, "s3", "HeadBucket", {"Bucket": trail.bucket}, trail.region)
    except ServiceError as error:
        _pass_on_faults(error)
        return ""
    return str(found.get("BucketRegion") or "")


# The key


async def resolve_key(engines: Engines, trail: Trail, named: str) -> str:
    """The ARN of the key that is meant, which is one of the bucket's Region."""
    of_bucket = await bucket_region(engines, trail)
    region = named.split(":")[3] if named.startswith("arn:") else of_bucket or trail.region
    if of_bucket and region != of_bucket:
        raise ServiceError(
            "KmsKeyNotFoundException",
            f"KMS key {named} and S3 bucket {trail.bucket} are not in the same Region: the bucket is in {of_bucket}.",
        )
    try:
        found = await _call(engines, trail, "kms", "DescribeKey", {"KeyId": named}, region)
    except ServiceError as error:
        _pass_on_faults(error)
        raise _no_key(trail, named, error) from None
    metadata: dict[str, Any] = found["KeyMetadata"]
    arn = str(metadata["Arn"])
    if metadata.get("KeyState") != "Enabled":
        raise ServiceError("KmsException", f"KMS key {arn} is {metadata.get('KeyState')}: it cannot be used.")
    if metadata.get("KeySpec", "SYMMETRIC_DEFAULT") != "SYMMETRIC_DEFAULT":
        raise ServiceError("KmsException", f"KMS key {arn} is not a symmetric encryption key.")
    return arn


def _no_key(trail: Trail, named: str, error: ServiceError) -> ServiceError:
    if error.code == "NotFoundException":
        return ServiceError("KmsKeyNotFoundException", f"KMS key {named} does not exist.")
    if error.code in _REFUSED:
        return _cannot_encrypt(trail, named)
    if error.code == "InvalidArnException":
        return ServiceError("InvalidKmsKeyIdException", f"The KMS key identifier is not valid: {named}")
    return ServiceError("KmsException", error.message)


async def check_key(engines: Engines, trail: Trail) -> None:
    """The key's policy lets CloudTrail have data keys for the trail."""
    (key, *_) = _keys(trail)
    object_arn = arns.format("s3", "", "", f"{trail.bucket}/{key}", arns.partition_of(trail.region))
    asked = {
        "KeyId": trail.kms_key,
        "KeySpec": "AES_256",
        "EncryptionContext": {"aws:cloudtrail:arn": trail.arn, "aws:s3:arn": object_arn},
    }
    region = trail.kms_key.split(":")[3]
    try:
        if not await _permitted(engines, trail, "kms", "GenerateDataKey", asked, region):
            await _call(engines, trail, "kms", "GenerateDataKey", asked, region)
    except ServiceError as error:
        _pass_on_faults(error)
        raise (
            _cannot_encrypt(trail) if error.code in _REFUSED else ServiceError("KmsException", error.message)
        ) from None


# The topic


async def check_topic(engines: Engines, trail: Trail) -> None:
    region = trail.topic.split(":")[3]
    asked = {"TopicArn": trail.topic, "Message": "CloudTrail validation message."}
    try:
        if not await _permitted(engines, trail, "sns", "Publish", asked, region):
            await _call(engines, trail, "sns", "GetTopicAttributes", {"TopicArn": trail.topic}, region)
    except ServiceError as error:
        _pass_on_faults(error)
        raise ServiceError(
            "InsufficientSnsTopicPolicyException", "SNS Topic does not exist or the topic policy is incorrect!"
        ) from None


# Asking


async def _call(
    engines: Engines, trail: Trail, service: str, operation: str, parameters: dict[str, Any], region: str
) -> dict[str, Any]:
    return await engines.internal.call(
        service,
        operation,
        parameters,
        principal=model.PRINCIPAL,
        account=trail.account,
        region=region,
        source_arn=trail.arn,
        needs_policy=True,
    )


async def _permitted(
    engines: Engines, trail: Trail, service: str, operation: str, parameters: dict[str, Any], region: str
) -> bool:
    return await engines.internal.permitted(
        service,
        operation,
        parameters,
        principal=model.PRINCIPAL,
        account=trail.account,
        region=region,
        source_arn=trail.arn,
    )


def _pass_on_faults(error: ServiceError) -> None:
    """A service that is away says nothing of its resources."""
    if (error.status or 400) >= 500:
        raise error


def _wrong_policy(trail: Trail) -> ServiceError:
    return ServiceError(
        "InsufficientS3BucketPolicyException", f"Incorrect S3 bucket policy is detected for bucket: {trail.bucket}"
    )


def _cannot_encrypt(trail: Trail, named: str = "") -> ServiceError:
    return ServiceError(
        "InsufficientEncryptionPolicyException",
        f"Insufficient permissions to access S3 bucket {trail.bucket} or KMS key {named or trail.kms_key}.",
    )
