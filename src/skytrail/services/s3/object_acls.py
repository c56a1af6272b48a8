"""Objects' access control lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...storage.state import Reader
from ...storage.store import Transaction
from ..engines import Engines
from . import acls, buckets, events, stored
from .buckets import Bucket, canonical_id
from .events import Event

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import GetObjectAclRequestTypeDef, PutObjectAclRequestTypeDef


def get_object_acl(call: Call, request: GetObjectAclRequestTypeDef, engines: Engines) -> dict[str, Any]:
    bucket = buckets.addressed(call, request, engines)
    version = _wanted(engines.store.read, bucket, request)
    if not bucket.acls_enabled:
        return acls.shown(None, bucket.owner)
    return acls.shown(version.document.acl, canonical_id(version.owner))


def put_object_acl(call: Call, request: PutObjectAclRequestTypeDef, engines: Engines) -> Change:
    bucket = buckets.addressed(call, request, engines)
    owner = canonical_id(_wanted(engines.store.read, bucket, request).owner)
    acl = acls.of_request(call, request, owner, bucket.owner)
    buckets.check_digest(call)

    def apply(tx: Transaction) -> dict[str, Any]:
        now = stored.current_bucket(tx, bucket)
        acls.admit(now, acl)
        version = _wanted(tx, now, request)
        document = msgspec.structs.replace(version.document, acl=acl)
        stored.save_document(tx, msgspec.structs.replace(version, document=document))
        event = Event(
            "ObjectAcl:Put",
            version.key,
            stored.millis(call.received),
            version.size,
            version.etag,
            version.version_id if now.versioning else "",
        )
        events.post(tx, call, engines, now, event)
        return {}

    return Change(apply)


def _wanted(reader: Reader, bucket: Bucket, request: Any) -> stored.Version:
    return stored.wanted(reader, bucket, request["Key"], request.get("VersionId"))
