"""Who owns what is put into a bucket, and what of it the public may reach: ownership controls and the block of public
access."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ..engines import Engines
from . import acls, buckets
from .buckets import Bucket, PublicAccessBlock
from .refusals import malformed

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        DeleteBucketOwnershipControlsRequestTypeDef,
        DeletePublicAccessBlockRequestTypeDef,
        GetBucketOwnershipControlsRequestTypeDef,
        GetPublicAccessBlockRequestTypeDef,
        PutBucketOwnershipControlsRequestTypeDef,
        PutPublicAccessBlockRequestTypeDef,
    )

_MEMBERS = {
    "BlockPublicAcls": "block_acls",
    "IgnorePublicAcls": "ignore_acls",
    "BlockPublicPolicy": "block_policy",
    "RestrictPublicBuckets": "restrict_buckets",
}


# Ownership controls


def get_bucket_ownership_controls(
    call: Call, request: GetBucketOwnershipControlsRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    bucket = buckets.addressed(call, request, engines)
    if not bucket.ownership:
        raise ServiceError(
            "OwnershipControlsNotFoundError",
            "The bucket ownership controls were not found",
            status=404,
            members={"BucketName": bucket.name},
        )
    return {"OwnershipControls": {"Rules": [{"ObjectOwnership": bucket.ownership}]}}


def put_bucket_ownership_controls(
    call: Call, request: PutBucketOwnershipControlsRequestTypeDef, engines: Engines
) -> Change:
    rules = request["OwnershipControls"]["Rules"]
    if len(rules) != 1:
        raise malformed("a bucket has one rule of ownership")
    ownership = rules[0]["ObjectOwnership"]

    def change(bucket: Bucket) -> Bucket:
        if ownership == "BucketOwnerEnforced" and not acls.only_owner(bucket.acl, bucket.owner):
            raise ServiceError(
                "InvalidBucketAclWithObjectOwnership",
                "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
                status=400,
            )
        return msgspec.structs.replace(bucket, ownership=ownership)

    return buckets.changed(call, request, engines, change)


def delete_bucket_ownership_controls(
    call: Call, request: DeleteBucketOwnershipControlsRequestTypeDef, engines: Engines
) -> Change:
    return buckets.changed(call, request, engines, lambda bucket: msgspec.structs.replace(bucket, ownership=""))


# The block of public access


def get_public_access_block(
    call: Call, request: GetPublicAccessBlockRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    bucket = buckets.addressed(call, request, engines)
    block = bucket.public_access_block
    if block is None:
        raise ServiceError(
            "NoSuchPublicAccessBlockConfiguration",
            "The public access block configuration was not found",
            status=404,
            members={"BucketName": bucket.name},
        )
    return {"PublicAccessBlockConfiguration": {member: getattr(block, field) for member, field in _MEMBERS.items()}}


def put_public_access_block(call: Call, request: PutPublicAccessBlockRequestTypeDef, engines: Engines) -> Change:
    asked: dict[str, Any] = dict(request["PublicAccessBlockConfiguration"])
    block = PublicAccessBlock(**{field: asked.get(member, False) for member, field in _MEMBERS.items()})
    return _blocked(call, request, engines, block)


def delete_public_access_block(call: Call, request: DeletePublicAccessBlockRequestTypeDef, engines: Engines) -> Change:
    return _blocked(call, request, engines, None)


def _blocked(call: Call, request: Any, engines: Engines, block: PublicAccessBlock | None) -> Change:
    return buckets.changed(
        call, request, engines, lambda bucket: msgspec.structs.replace(bucket, public_access_block=block)
    )
