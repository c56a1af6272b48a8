"""Buckets: made, found, listed, deleted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.store import Transaction
from ...wire import arns
from .. import tokens
from ..engines import Engines
from . import acls, buckets, naming
from .acls import Acl
from .buckets import FIRST_REGION, OWNED, Bucket, canonical_id
from .refusals import invalid_argument, unsupported

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        CreateBucketRequestTypeDef,
        DeleteBucketRequestTypeDef,
        GetBucketLocationRequestTypeDef,
        HeadBucketRequestTypeDef,
        ListBucketsRequestTypeDef,
    )

#: Buckets of an account.
MOST = 10_000
_PAGE = 10_000


def moment(seconds: float) -> datetime:
    """S3's times have whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC)


# Making


def create_bucket(call: Call, request: CreateBucketRequestTypeDef, engines: Engines) -> Change:
    name = request["Bucket"]
    naming.check(name)
    _refuse_unsupported(request)
    asked: Mapping[str, Any] = request.get("CreateBucketConfiguration", {})
    ownership = request.get("ObjectOwnership", "BucketOwnerEnforced")
    bucket = Bucket(
        name=name,
        account=call.account,
        region=_region(call, asked.get("LocationConstraint")),
        created=engines.clock.time(),
        id=engines.ids.hex(32),
        ownership=ownership,
        acl=_acl(request, ownership, canonical_id(call.account)),
        tags=naming.tags(asked.get("Tags", ())),
    )

    def apply(tx: Transaction) -> dict[str, Any]:
        standing = buckets.find(tx, name)
        if standing is not None:
            _check_same(call, standing)
        elif tx.count(OWNED, call.account, "") >= MOST:
            raise ServiceError("TooManyBuckets", "You have attempted to create more buckets than allowed", status=400)
        else:
            buckets.add(tx, bucket)
        location = f"/{name}" if bucket.region == FIRST_REGION else f"http://{name}.s3.amazonaws.com/"
        return {"Location": location, "BucketArn": bucket.arn}

    return Change(apply)


def _refuse_unsupported(request: Mapping[str, Any]) -> None:
    if request.get("ObjectLockEnabledForBucket"):
        raise unsupported("Object Lock")
    if request.get("BucketNamespace", "global") != "global":
        raise unsupported("A namespace other than global")
    if request.get("CreateBucketConfiguration", {}).keys() & {"Location", "Bucket"}:
        raise unsupported("A bucket of another type than general purpose")


def _region(call: Call, constraint: str | None) -> str:
    """Where the bucket goes: us-east-1 makes buckets of any Region, the others only their own."""
    if constraint is None:
        if call.region != FIRST_REGION:
            raise _incompatible("unspecified")
        return FIRST_REGION
    region = "eu-west-1" if constraint == "EU" else constraint
    if call.region not in (FIRST_REGION, region):
        raise _incompatible(constraint)
    return region


def _incompatible(constraint: str) -> ServiceError:
    return ServiceError(
        "IllegalLocationConstraintException",
        f"The {constraint} location constraint is incompatible for the region specific endpoint this request was sent "
        "to.",
        status=400,
    )


def _acl(request: Mapping[str, Any], ownership: str, owner: str) -> Acl:
    acl = acls.of_headers(request, owner)
    if ownership == "BucketOwnerEnforced" and not acls.only_owner(acl, owner):
        raise ServiceError(
            "InvalidBucketAclWithObjectOwnership",
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
            status=400,
        )
    if acls.is_public(acl):
        raise ServiceError(
            "InvalidBucketAclWithBlockPublicAccessError",
            "Bucket cannot have public ACLs set with BlockPublicAccess enabled",
            status=400,
        )
    return acl


def _check_same(call: Call, standing: Bucket) -> None:
    """Who owns it may make it again in us-east-1, which changes nothing."""
    if standing.account != call.account:
        raise ServiceError(
            "BucketAlreadyExists",
            "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
            "Please select a different name and try again.",
            status=409,
            members={"BucketName": standing.name},
        )
    if not standing.region == call.region == FIRST_REGION:
        raise ServiceError(
            "BucketAlreadyOwnedByYou",
            "Your previous request to create the named bucket succeeded and you already own it.",
            status=409,
            members={"BucketName": standing.name},
        )


# Finding


def head_bucket(call: Call, request: HeadBucketRequestTypeDef, engines: Engines) -> dict[str, Any]:
    bucket = buckets.addressed(call, request, engines)
    return {"BucketRegion": bucket.region, "BucketArn": bucket.arn, "AccessPointAlias": False}


def get_bucket_location(call: Call, request: GetBucketLocationRequestTypeDef, engines: Engines) -> dict[str, Any]:
    """us-east-1 tells it of any bucket."""
    bucket = buckets.existing(engines.store.read, request["Bucket"])
    if call.region != FIRST_REGION:
        buckets.check_region(call, bucket)
    buckets.check_owner(bucket, request.get("ExpectedBucketOwner"))
    return {} if bucket.region == FIRST_REGION else {"LocationConstraint": bucket.region}


def list_buckets(call: Call, request: ListBucketsRequestTypeDef, engines: Engines) -> dict[str, Any]:
    limit, prefix = request.get("MaxBuckets", _PAGE), request.get("Prefix", "")
    region = request.get("BucketRegion")
    if not 1 <= limit <= _PAGE:
        raise invalid_argument(
            f"Argument max-buckets must be an integer between 1 and {_PAGE}", "max-buckets", str(limit)
        )
    if region is not None and region not in arns.regions():
        raise invalid_argument(f"Argument value {region} is not a valid AWS Region", "bucket-region", region)
    listing = ["ListBuckets", call.account, prefix, region]
    after = ""
    if "ContinuationToken" in request:
        try:
            after = tokens.unseal(engines.sealer, request["ContinuationToken"], listing)
        except tokens.InvalidToken:
            raise invalid_argument(
                "The continuation token provided is incorrect", "continuation-token", request["ContinuationToken"][:256]
            ) from None
    owned = engines.store.read.list(OWNED, call.account, "", prefix=prefix, after=after)
    found = [(name, each) for name, each in owned if region in (None, each.region)]
    detailed = bool(request.keys() & {"MaxBuckets", "Prefix", "BucketRegion", "ContinuationToken"})
    output: dict[str, Any] = {
        "Buckets": [
            {"Name": name, "CreationDate": moment(each.created), **({"BucketRegion": each.region} if detailed else {})}
            for name, each in found[:limit]
        ],
        "Owner": {"ID": canonical_id(call.account)},
    }
    if "Prefix" in request:
        output["Prefix"] = prefix
    if len(found) > limit:
        output["ContinuationToken"] = tokens.seal(engines.sealer, found[limit - 1][0], listing)
    return output


# Deleting


def delete_bucket(call: Call, request: DeleteBucketRequestTypeDef, engines: Engines) -> Change:
    bucket = buckets.addressed(call, request, engines)

    def apply(tx: Transaction) -> dict[str, Any]:
        _check_empty(tx, buckets.still(tx, bucket))
        buckets.remove(tx, bucket)
        return {}

    return Change(apply)


def _check_empty(tx: Transaction, bucket: Bucket) -> None:
    versions = tx.connection.execute(
        "SELECT max(latest = 0 OR delete_marker = 1) FROM (SELECT latest, delete_marker FROM s3_objects"
        " WHERE bucket_id = ? LIMIT 100)",
        (bucket.id,),
    ).fetchone()[0]
    uploads = tx.connection.execute("SELECT 1 FROM s3_uploads WHERE bucket_id = ? LIMIT 1", (bucket.id,)).fetchone()
    if versions is None and uploads is None:
        return
    raise ServiceError(
        "BucketNotEmpty",
        "The bucket you tried to delete is not empty"
        + (". You must delete all versions in the bucket." if versions and bucket.versioning else ""),
        status=409,
        members={"BucketName": bucket.name},
    )
