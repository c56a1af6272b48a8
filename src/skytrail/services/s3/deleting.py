"""DeleteObject and DeleteObjects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.store import Transaction
from ..engines import Engines
from . import bodies, buckets, checksums, conditions, demands, putting, stored
from .buckets import Bucket
from .refusals import invalid_argument, malformed

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import DeleteObjectRequestTypeDef, DeleteObjectsRequestTypeDef

_MOST = 1000


class Deleted(msgspec.Struct, frozen=True):
    """What a delete did: the version that it made or took away, and whether that is a delete marker."""

    version_id: str
    marker: bool = False


def delete_object(call: Call, request: DeleteObjectRequestTypeDef, engines: Engines) -> Change:
    bucket, key = buckets.addressed(call, request, engines), request["Key"]
    stored.check_key(key)
    _refuse_locks(request)
    conditions.refuse_headers(
        request,
        {"IfMatchLastModifiedTime": "x-amz-if-match-last-modified-time", "IfMatchSize": "x-amz-if-match-size"},
    )
    version_id, etag = request.get("VersionId"), request.get("IfMatch")

    def apply(tx: Transaction) -> dict[str, Any]:
        now = stored.current_bucket(tx, bucket)
        done = _delete(tx, call, engines, now, key, version_id, etag)
        output: dict[str, Any] = {"VersionId": done.version_id} if done.version_id else {}
        return {**output, "DeleteMarker": True} if done.marker else output

    return bodies.of(engines).change([], apply)


def delete_objects(call: Call, request: DeleteObjectsRequestTypeDef, engines: Engines) -> Change:
    bucket = buckets.addressed(call, request, engines)
    _refuse_locks(request)
    if call.request.body:  # what our own services ask comes without a body
        checksums.check_document(call.request.headers, call.request.body)
    entries = request["Delete"].get("Objects") or []
    if not 1 <= len(entries) <= _MOST or any(not entry.get("Key") for entry in entries):
        raise malformed("a delete names 1 to 1,000 keys")
    quiet = request["Delete"].get("Quiet", False)
    named = [(entry["Key"], entry.get("VersionId")) for entry in entries]
    permitted = engines.permits(call, demands.of_deletion(call, engines, named))

    def apply(tx: Transaction) -> dict[str, Any]:
        now = stored.current_bucket(tx, bucket)
        deleted: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for entry, may in zip(entries, permitted, strict=True):
            told: dict[str, Any] = {name: entry[name] for name in ("Key", "VersionId") if entry.get(name)}
            try:
                if not may:
                    raise buckets.denied()
                _refuse_members(entry)
                stored.check_key(entry["Key"])
                with tx.savepoint():
                    done = _delete(tx, call, engines, now, entry["Key"], entry.get("VersionId"), entry.get("ETag"))
            except ServiceError as error:
                errors.append({**told, "Code": error.code, "Message": error.message or ""})
                continue
            if done.marker:
                told |= {"DeleteMarker": True, "DeleteMarkerVersionId": done.version_id}
            deleted.append(told)
        return {"Deleted": [] if quiet else deleted, "Errors": errors}

    return bodies.of(engines).change([], apply)


def _delete(
    tx: Transaction,
    call: Call,
    engines: Engines,
    bucket: Bucket,
    key: str,
    version_id: str | None,
    etag: str | None,
) -> Deleted:
    """What a delete does depends on whether the bucket keeps versions, and on whether one is named."""
    standing = stored.latest(tx, bucket, key)
    conditions.check_delete(etag, key, standing)
    if version_id is not None:
        stored.check_version_id(version_id)
        found = stored.version(tx, bucket, key, version_id)
        if found is None:
            return Deleted(version_id)
        stored.remove(tx, found)
        putting.tell(tx, call, engines, bucket, found, "ObjectRemoved:Delete")
        return Deleted(version_id, found.delete_marker)
    if not bucket.versioning:
        if standing is not None:
            stored.remove(tx, standing)
            putting.tell(tx, call, engines, bucket, standing, "ObjectRemoved:Delete")
        return Deleted("")
    marker = stored.delete_marker(bucket, key, stored.millis(engines.clock.time()))
    added = stored.add(tx, bucket, marker, engines.ids)
    putting.tell(tx, call, engines, bucket, added, "ObjectRemoved:DeleteMarkerCreated")
    return Deleted(added.version_id, True)


def _refuse_locks(request: Mapping[str, Any]) -> None:
    if request.get("BypassGovernanceRetention"):
        raise invalid_argument(
            "x-amz-bypass-governance-retention is only applicable to Object Lock enabled buckets.",
            "x-amz-bypass-governance-retention",
            "true",
        )


def _refuse_members(entry: Mapping[str, Any]) -> None:
    if entry.get("LastModifiedTime") is not None or entry.get("Size") is not None:
        raise ServiceError("NotImplemented", "Conditions on LastModifiedTime and Size are not supported.", status=501)
