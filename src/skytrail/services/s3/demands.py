"""What a call of S3 asks permission for: actions on the bucket and on objects, the bucket's policy, what lists grant.

In another account's bucket, and for callers without credentials, an access control list stands beside the policy. The
block of public access takes away what lists and policies give to the public.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from ...call import Call
from ...identity.demands import Demand
from ...wire import arns
from ..engines import Engines
from . import acls, buckets, condition_keys, policy, stored
from .buckets import Bucket, canonical_id
from .condition_keys import Context
from .events import PRINCIPAL
from .stored import Version

#: Actions on buckets that are not called after their operations.
_OF_BUCKETS: Mapping[str, str] = {
    "DeleteBucketCors": "PutBucketCORS",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "DeleteBucketReplication": "PutReplicationConfiguration",
    "DeleteBucketTagging": "PutBucketTagging",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
    "GetBucketCors": "GetBucketCORS",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycle": "GetLifecycleConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetBucketMetadataConfiguration": "GetBucketMetadataTableConfiguration",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "GetBucketReplication": "GetReplicationConfiguration",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "PutBucketAccelerateConfiguration": "PutAccelerateConfiguration",
    "PutBucketCors": "PutBucketCORS",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycle": "PutLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "PutBucketReplication": "PutReplicationConfiguration",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    **{
        operation.format(kind): f"{action}{kind}Configuration"
        for kind in ("Analytics", "IntelligentTiering", "Inventory", "Metrics")
        for operation, action in (
            ("DeleteBucket{}Configuration", "Put"),
            ("GetBucket{}Configuration", "Get"),
            ("ListBucket{}Configurations", "Get"),
            ("PutBucket{}Configuration", "Put"),
        )
    },
}
#: Operation -> the actions on the object, without a version and with one.
_OF_OBJECTS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "DeleteObject": (("DeleteObject",), ("DeleteObjectVersion",)),
    "DeleteObjectTagging": (("DeleteObjectTagging",), ("DeleteObjectVersionTagging",)),
    "GetObject": (("GetObject",), ("GetObjectVersion",)),
    "GetObjectAcl": (("GetObjectAcl",), ("GetObjectVersionAcl",)),
    "GetObjectAttributes": (
        ("GetObject", "GetObjectAttributes"),
        ("GetObjectVersion", "GetObjectVersionAttributes"),
    ),
    "GetObjectTagging": (("GetObjectTagging",), ("GetObjectVersionTagging",)),
    "HeadObject": (("GetObject",), ("GetObjectVersion",)),
    "PutObjectAcl": (("PutObjectAcl",), ("PutObjectVersionAcl",)),
    "PutObjectTagging": (("PutObjectTagging",), ("PutObjectVersionTagging",)),
}
#: Operations that make an object, or a part of one.
_PUTTING = frozenset({"CopyObject", "CreateMultipartUpload", "PutObject"})
_PARTS = {
    "AbortMultipartUpload": "AbortMultipartUpload",
    "CompleteMultipartUpload": "PutObject",
    "ListParts": "ListMultipartUploadParts",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
}
#: What a permission of a bucket's list, and of an object's, lets one do.
_BY_BUCKET = {
    "ListBucket": "READ",
    "ListBucketVersions": "READ",
    "ListBucketMultipartUploads": "READ",
    "PutObject": "WRITE",
    "GetBucketAcl": "READ_ACP",
    "PutBucketAcl": "WRITE_ACP",
}
_BY_OBJECT = {
    "GetObject": "READ",
    "GetObjectVersion": "READ",
    "GetObjectAcl": "READ_ACP",
    "GetObjectVersionAcl": "READ_ACP",
    "PutObjectAcl": "WRITE_ACP",
    "PutObjectVersionAcl": "WRITE_ACP",
}
#: Where these find no object, they tell so only to who may list the bucket.
_TELLING = frozenset({"GetObject", "GetObjectAcl", "GetObjectAttributes", "GetObjectTagging", "HeadObject"})


def demands(call: Call, engines: Engines) -> Sequence[Demand] | None:
    """None for operations that are not about a bucket of ours."""
    assert call.route is not None
    operation, given = call.route.operation.name, call.input or {}
    if operation == "ListBuckets":
        return [Demand("s3:ListAllMyBuckets", "*", context=condition_keys.of_request(call))]
    if operation in ("ListDirectoryBuckets", "WriteGetObjectResponse") or "Bucket" not in given:
        return None
    if operation == "HeadBucket" and call.identity.type == "AWSService":
        return []  # S3 tells everyone where a bucket is, in the headers of its refusals too
    asker = _Asker(call, engines, given["Bucket"])
    if operation == "CreateBucket":
        return _creating(asker, given)
    if asker.bucket is not None:
        call.resource_account, call.resource_region = asker.bucket.account, asker.bucket.region
    if operation == "DeleteObjects":
        return []  # a key that may not be deleted is refused by itself, in the answer: see `of_deletion`
    key = given.get("Key")
    if not isinstance(key, str):
        return [asker.bucket_demand(_OF_BUCKETS.get(operation, operation))]
    if operation in _PUTTING or operation in _PARTS:
        return _making(asker, operation, given)
    version_id = given.get("VersionId")
    plain, versioned = _OF_OBJECTS.get(operation, ((operation,), (operation,)))
    version = asker.version(key, version_id)
    asked = [asker.object_demand(action, key, version) for action in (versioned if version_id else plain)]
    if operation in _TELLING and version_id is None and (version is None or version.delete_marker):
        asked.append(asker.bucket_demand("ListBucket"))
    return asked


def of_deletion(call: Call, engines: Engines, objects: Iterable[tuple[str, str | None]]) -> list[Demand]:
    """One for each key and version that a call of DeleteObjects names, in their order."""
    asker = _Asker(call, engines, (call.input or {})["Bucket"])
    return [
        asker.object_demand(
            "DeleteObjectVersion" if version_id else "DeleteObject",
            key,
            asker.version(key, version_id),
            {"s3:versionid": (version_id,)} if version_id else {},
        )
        for key, version_id in objects
    ]


def _creating(asker: _Asker, given: Mapping[str, Any]) -> list[Demand]:
    """The bucket is nobody's yet, or it is somebody's and will not be made."""
    actions = ["CreateBucket"]
    if acls.asked(given):
        actions.append("PutBucketAcl")
    if "ObjectOwnership" in given:
        actions.append("PutBucketOwnershipControls")
    if given.get("CreateBucketConfiguration", {}).get("Tags"):
        actions.append("TagResource")
    arn = arns.format("s3", "", "", given["Bucket"], arns.partition_of(asker.call.region))
    return [Demand(f"s3:{action}", arn, context=asker.context) for action in actions]


def _making(asker: _Asker, operation: str, given: Mapping[str, Any]) -> list[Demand]:
    key = given["Key"]
    asked = [asker.object_demand(_PARTS.get(operation, "PutObject"), key, None)]
    if operation in _PUTTING:
        if given.get("Tagging"):
            asked.append(asker.object_demand("PutObjectTagging", key, None))
        if acls.asked(given) and not _leaves_to_owner(asker.call, given):
            asked.append(asker.object_demand("PutObjectAcl", key, None))
    source = _source(given.get("CopySource"))
    if source is None:
        return asked
    bucket, key_copied, version_id = source
    other = _Asker(asker.call, asker.engines, bucket, {})
    version = other.version(key_copied, version_id)
    context: Context = {"s3:versionid": (version_id,)} if version_id else {}
    asked.append(other.object_demand("GetObjectVersion" if version_id else "GetObject", key_copied, version, context))
    if version is None or version.delete_marker:
        asked.append(other.bucket_demand("ListBucket"))
    elif operation == "CopyObject" and version.document.tags and given.get("TaggingDirective") != "REPLACE":
        action = "GetObjectVersionTagging" if version_id else "GetObjectTagging"
        asked.append(other.object_demand(action, key_copied, version, context))
        asked.append(asker.object_demand("PutObjectTagging", key, None))
    return asked


def _leaves_to_owner(call: Call, given: Mapping[str, Any]) -> bool:
    """AWS's services put what they deliver with this list, and policies for them allow no more than the put."""
    return call.identity.type == "AWSService" and given.get("ACL") == "bucket-owner-full-control"


def _source(text: Any) -> tuple[str, str, str | None] | None:
    """Bucket, key and version of a copy's source: `bucket/key?versionId=id`, percent-encoded."""
    if not isinstance(text, str):
        return None
    path, _, version_id = text.partition("?versionId=")
    bucket, _, key = unquote(path).removeprefix("/").partition("/")
    return (bucket, key, version_id or None) if bucket and key else None


class _Asker:
    """A call's demands on one bucket."""

    def __init__(self, call: Call, engines: Engines, bucket_name: str, context: Context | None = None) -> None:
        self.call, self.engines = call, engines
        self.bucket: Bucket | None = buckets.find(engines.store.read, bucket_name)
        self.context = condition_keys.of_request(call) if context is None else context
        self.arn = arns.format("s3", "", "", bucket_name, arns.partition_of(call.region))
        self._caller = canonical_id(call.identity.account) if call.identity.account else None
        #: Services are told of buckets that are not there.
        self._of_service = call.identity.type == "AWSService"
        self._itself = self._of_service and call.identity.invoked_by == PRINCIPAL
        if self.bucket is not None:
            self.arn = self.bucket.arn
            self.context = {**self.context, "s3:resourceaccount": (self.bucket.account,)}

    def version(self, key: str, version_id: str | None) -> Version | None:
        if self.bucket is None:
            return None
        reader = self.engines.store.read
        if version_id is None:
            return stored.latest(reader, self.bucket, key)
        return stored.version(reader, self.bucket, key, version_id)

    def bucket_demand(self, action: str) -> Demand:
        bucket = self.bucket
        if bucket is None:
            return Demand(f"s3:{action}", self.arn, granted=self._of_service, context=self.context)
        return Demand(
            f"s3:{action}",
            self.arn,
            account=bucket.account,
            region=bucket.region,
            policy=self._policy(bucket),
            granted=self._itself or self._listed(bucket, _BY_BUCKET.get(action), bucket.acl, bucket.account),
            context=self.context,
        )

    def object_demand(self, action: str, key: str, version: Version | None, more: Context | None = None) -> Demand:
        """`version` is the object as it is there, where there is one."""
        bucket, arn = self.bucket, f"{self.arn}/{key}"
        context = {**self.context, **(more or {}), **condition_keys.of_object(version)}
        if bucket is None:
            return Demand(f"s3:{action}", arn, granted=self._of_service, context=context)
        owner, document = bucket.account, self._policy(bucket)
        granted = self._itself or self._listed(bucket, _BY_BUCKET.get(action), bucket.acl, bucket.account)
        permission = _BY_OBJECT.get(action)
        if permission is not None and version is not None:
            granted = granted or self._listed(bucket, permission, version.document.acl, version.owner)
            if bucket.acls_enabled and version.owner != bucket.account:
                # Its owner is who put it; what the bucket's policy allows is not about it, what it denies is.
                owner = version.owner
                document = policy.without_allows(bucket.policy) if bucket.policy else None
        return Demand(
            f"s3:{action}",
            arn,
            account=owner,
            region=bucket.region,
            policy=document,
            granted=granted,
            context=context,
        )

    def _listed(self, bucket: Bucket, permission: str | None, acl: acls.Acl, owner: str) -> bool:
        """Whether a list grants it, to another account than the owner's or to everyone."""
        if permission is None or not bucket.acls_enabled:
            return False
        block = bucket.public_access_block
        public = block is None or not block.ignore_acls
        found = acls.grants(acl, canonical_id(owner), permission, self._caller, public=public)
        return found == "everyone" or (found == "account" and self.call.identity.account != owner)

    def _policy(self, bucket: Bucket) -> str | None:
        """The bucket's policy; of a public one, where the bucket is restricted, others are left only the denies."""
        document = bucket.policy or None
        block = bucket.public_access_block
        if document is None or block is None or not block.restrict_buckets or not policy.is_public(document):
            return document
        identity = self.call.identity
        inside = identity.type == "AWSService" or identity.account == bucket.account
        return document if inside else policy.without_allows(document)
