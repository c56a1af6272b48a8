"""S3: buckets and objects."""

from __future__ import annotations

from ...wire import validation
from ..engines import Engines, Operations
from . import (
    access,
    acls,
    bodies,
    completing,
    copying,
    cors,
    default_encryption,
    deleting,
    events,
    expiring,
    getting,
    lifecycle,
    listing,
    managing,
    multipart,
    notification,
    object_acls,
    object_tags,
    policy,
    putting,
    refusals,
    tagging,
    unset,
    versioning,
)
from .demands import demands
from .schema import SCHEMA

__all__ = ["LENIENT", "OPERATIONS", "SCHEMA", "demands", "start", "stop"]

OPERATIONS: Operations = {
    **unset.READS,
    **unset.WRITES,
    "AbortMultipartUpload": multipart.abort_multipart_upload,
    "CompleteMultipartUpload": completing.complete_multipart_upload,
    "CopyObject": copying.copy_object,
    "CreateBucket": managing.create_bucket,
    "CreateMultipartUpload": multipart.create_multipart_upload,
    "DeleteBucket": managing.delete_bucket,
    "DeleteBucketCors": cors.delete_bucket_cors,
    "DeleteBucketEncryption": default_encryption.delete_bucket_encryption,
    "DeleteBucketLifecycle": lifecycle.delete_bucket_lifecycle,
    "DeleteBucketOwnershipControls": access.delete_bucket_ownership_controls,
    "DeleteBucketPolicy": policy.delete_bucket_policy,
    "DeleteBucketTagging": tagging.delete_bucket_tagging,
    "DeleteObject": deleting.delete_object,
    "DeleteObjectTagging": object_tags.delete_object_tagging,
    "DeleteObjects": deleting.delete_objects,
    "DeletePublicAccessBlock": access.delete_public_access_block,
    "GetBucketAcl": acls.get_bucket_acl,
    "GetBucketCors": cors.get_bucket_cors,
    "GetBucketEncryption": default_encryption.get_bucket_encryption,
    "GetBucketLifecycleConfiguration": lifecycle.get_bucket_lifecycle_configuration,
    "GetBucketLocation": managing.get_bucket_location,
    "GetBucketNotificationConfiguration": notification.get_bucket_notification_configuration,
    "GetBucketOwnershipControls": access.get_bucket_ownership_controls,
    "GetBucketPolicy": policy.get_bucket_policy,
    "GetBucketPolicyStatus": policy.get_bucket_policy_status,
    "GetBucketTagging": tagging.get_bucket_tagging,
    "GetBucketVersioning": versioning.get_bucket_versioning,
    "GetObject": getting.get_object,
    "GetObjectAcl": object_acls.get_object_acl,
    "GetObjectAttributes": getting.get_object_attributes,
    "GetObjectTagging": object_tags.get_object_tagging,
    "GetPublicAccessBlock": access.get_public_access_block,
    "HeadBucket": managing.head_bucket,
    "HeadObject": getting.head_object,
    "ListBuckets": managing.list_buckets,
    "ListMultipartUploads": multipart.list_multipart_uploads,
    "ListObjectVersions": listing.list_object_versions,
    "ListObjects": listing.list_objects,
    "ListObjectsV2": listing.list_objects_v2,
    "ListParts": multipart.list_parts,
    "PutBucketAcl": acls.put_bucket_acl,
    "PutBucketCors": cors.put_bucket_cors,
    "PutBucketEncryption": default_encryption.put_bucket_encryption,
    "PutBucketLifecycleConfiguration": lifecycle.put_bucket_lifecycle_configuration,
    "PutBucketNotificationConfiguration": notification.put_bucket_notification_configuration,
    "PutBucketOwnershipControls": access.put_bucket_ownership_controls,
    "PutBucketPolicy": policy.put_bucket_policy,
    "PutBucketTagging": tagging.put_bucket_tagging,
    "PutBucketVersioning": versioning.put_bucket_versioning,
    "PutObject": putting.put_object,
    "PutObjectAcl": object_acls.put_object_acl,
    "PutObjectTagging": object_tags.put_object_tagging,
    "PutPublicAccessBlock": access.put_public_access_block,
    "UploadPart": multipart.upload_part,
    "UploadPartCopy": copying.upload_part_copy,
}


#: Copies take a source that is percent-encoded throughout, which the model's pattern does not know.
LENIENT = frozenset({"CopyObject", "UploadPartCopy"})


def start(engines: Engines) -> None:
    events.start(engines)
    expiring.start(engines)
    bodies.start(engines)


async def sweep(engines: Engines) -> None:
    """Remove the bodies that no object has any more."""
    await bodies.of(engines).sweep()


async def stop(engines: Engines) -> None:
    await bodies.stop(engines)


validation.refuse_with("s3", refusals.of_violations)
