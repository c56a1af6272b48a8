"""Objects' tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...storage.store import Transaction
from ..engines import Engines
from . import buckets, checksums, properties, putting, stored

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        DeleteObjectTaggingRequestTypeDef,
        GetObjectTaggingRequestTypeDef,
        PutObjectTaggingRequestTypeDef,
    )


def get_object_tagging(call: Call, request: GetObjectTaggingRequestTypeDef, engines: Engines) -> dict[str, Any]:
    bucket = buckets.addressed(call, request, engines)
    found = stored.wanted(engines.store.read, bucket, request["Key"], request.get("VersionId"))
    tags = [{"Key": key, "Value": value} for key, value in found.document.tags.items()]
    return {"TagSet": tags, **stored.shown_version(bucket, found.version_id)}


def put_object_tagging(call: Call, request: PutObjectTaggingRequestTypeDef, engines: Engines) -> Change:
    if call.request.body:
        checksums.check_document(call.request.headers, call.request.body)
    tags = properties.tags(request["Tagging"].get("TagSet") or [])
    return _tagged(call, request, engines, tags, "Put")


def delete_object_tagging(call: Call, request: DeleteObjectTaggingRequestTypeDef, engines: Engines) -> Change:
    return _tagged(call, request, engines, {}, "Delete")


def _tagged(call: Call, request: Any, engines: Engines, tags: dict[str, str], what: str) -> Change:
    bucket = buckets.addressed(call, request, engines)
    key, version_id = request["Key"], request.get("VersionId")
    stored.wanted(engines.store.read, bucket, key, version_id, "PUT" if what == "Put" else "DELETE")

    def apply(tx: Transaction) -> dict[str, Any]:
        now = stored.current_bucket(tx, bucket)
        found = stored.wanted(tx, now, key, version_id)
        document = msgspec.structs.replace(found.document, tags=tags)
        stored.save_document(tx, msgspec.structs.replace(found, document=document))
        putting.tell(tx, call, engines, now, found, f"ObjectTagging:{what}")
        return stored.shown_version(now, found.version_id)

    return Change(apply)
