"""Uploads in parts: begun, fed, listed, aborted; they are completed in `completing`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ...call import Call, Change
from ...errors import ServiceError
from ...identity.principals import Identity
from ...storage.store import Transaction
from ..engines import Engines
from . import bodies, buckets, checksums, conditions, encryption, getting, parts, properties, putting, stored
from .buckets import Bucket, canonical_id
from .checksums import COMPOSITE, Claim
from .parts import Upload, UploadDocument
from .refusals import invalid_argument, invalid_request

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        AbortMultipartUploadRequestTypeDef,
        CreateMultipartUploadRequestTypeDef,
        ListMultipartUploadsRequestTypeDef,
        ListPartsRequestTypeDef,
        UploadPartRequestTypeDef,
    )

_PAGE = 1000


async def create_multipart_upload(call: Call, request: CreateMultipartUploadRequestTypeDef, engines: Engines) -> Change:
    bucket, key = buckets.addressed(call, request, engines), request["Key"]
    stored.check_key(key)
    put = properties.of_request(call, request, bucket)
    algorithm = checksums.algorithm_of(request)
    checksum_type = checksums.multipart_type(algorithm, request.get("ChecksumType"))
    seal, _ = await encryption.choose(call, request, engines, bucket, key)
    now = stored.millis(engines.clock.time())
    upload = Upload(
        bucket.id,
        key,
        now,
        # Ids rise with time, so that a listing goes on behind one that is gone.
        f"{now:012x}{engines.ids.hex(84)}",
        put.storage_class,
        put.owner,
        UploadDocument(
            properties.sealed(put.document, seal),
            algorithm or checksums.DEFAULT,
            checksum_type,
            bool(algorithm),
            _who(call.identity),
        ),
    )

    def apply(tx: Transaction) -> dict[str, Any]:
        stored.current_bucket(tx, bucket)
        parts.add_upload(tx, upload)
        output = {"Bucket": bucket.name, "Key": key, "UploadId": upload.upload_id}
        return {**output, **encryption.shown(seal, context=True), **_shown_choice(upload)}

    return Change(apply)


def _who(identity: Identity) -> str:
    """A user or role is named by its ARN, an account by its canonical id."""
    return identity.arn if identity.arn and identity.type != "Root" else canonical_id(identity.account)


def _shown_choice(upload: Upload) -> dict[str, Any]:
    document = upload.document
    return {"ChecksumAlgorithm": document.algorithm, "ChecksumType": document.checksum_type} if document.chosen else {}


async def upload_part(call: Call, request: UploadPartRequestTypeDef, engines: Engines) -> Change:
    bucket, number = buckets.addressed(call, request, engines), request["PartNumber"]
    conditions.check_part_number(number)
    claim = checksums.claimed(request, call.request.headers)
    md5 = checksums.content_md5(request.get("ContentMD5"))
    body = putting.source(request)
    upload = parts.addressed(engines.store.read, bucket, request)
    document = upload.document
    _check_algorithm(upload, claim)
    key = await encryption.opened(call, request, engines, bucket, document.seal)
    all_bodies = bodies.of(engines)
    draft = await all_bodies.write(bucket.id, body, key, document.algorithm, claim, md5)
    call.additional_event_data["bytesTransferredIn"] = draft.size
    part = parts.of_draft(engines, upload, number, draft)

    def apply(tx: Transaction) -> dict[str, Any]:
        parts.save(tx, stored.current_bucket(tx, bucket), upload, part)
        checksum = {checksums.member(claim.algorithm or document.algorithm): draft.claimed}
        return {"ETag": part.quoted_etag, **encryption.shown(document.seal), **checksum}

    return all_bodies.change([draft], apply)


def _check_algorithm(upload: Upload, claim: Claim) -> None:
    """The parts' checksums are of the kind that the upload has chosen, and all there if they make up the object's.
    Where it has chosen none, what SDKs send by themselves is checked, and S3's own choice is kept."""
    document = upload.document
    if not document.chosen or claim.algorithm == document.algorithm:
        return
    if claim.algorithm or document.checksum_type == COMPOSITE:
        raise invalid_request(
            f"Checksum Type mismatch occurred, expected checksum Type: {document.algorithm.lower()}, "
            f"actual checksum Type: {claim.algorithm.lower() or 'null'}"
        )


def abort_multipart_upload(call: Call, request: AbortMultipartUploadRequestTypeDef, engines: Engines) -> Change:
    bucket = buckets.addressed(call, request, engines)
    conditions.refuse_headers(request, {"IfMatchInitiatedTime": "x-amz-if-match-initiated-time"})
    parts.addressed(engines.store.read, bucket, request)

    def apply(tx: Transaction) -> dict[str, Any]:
        parts.remove_upload(tx, parts.addressed(tx, stored.current_bucket(tx, bucket), request))
        return {}

    return bodies.of(engines).change([], apply)


# Lists


def list_parts(call: Call, request: ListPartsRequestTypeDef, engines: Engines) -> dict[str, Any]:
    bucket = buckets.addressed(call, request, engines)
    most, marker = getting.page_of_parts(request)
    upload = parts.addressed(engines.store.read, bucket, request)
    found = parts.parts(engines.store.read, upload, after=marker, limit=most + 1)
    shown = [
        {
            "PartNumber": part.number,
            "LastModified": datetime.fromtimestamp(part.last_modified // 1000, UTC),
            "ETag": part.quoted_etag,
            "Size": part.size,
            **parts.shown_checksum(upload, part),
        }
        for part in found[:most]
    ]
    return {
        "Bucket": bucket.name,
        "Key": upload.key,
        "UploadId": upload.upload_id,
        "PartNumberMarker": marker,
        "NextPartNumberMarker": shown[-1]["PartNumber"] if shown else 0,
        "MaxParts": most,
        "IsTruncated": len(found) > most,
        "Parts": shown,
        **_shown_upload(upload),
    }


def _shown_upload(upload: Upload) -> dict[str, Any]:
    return {
        "Initiator": {"ID": upload.document.initiator},
        "Owner": {"ID": canonical_id(upload.owner)},
        "StorageClass": upload.storage_class,
        **_shown_choice(upload),
    }


def list_multipart_uploads(call: Call, request: ListMultipartUploadsRequestTypeDef, engines: Engines) -> dict[str, Any]:
    bucket = buckets.addressed(call, request, engines)
    prefix, delimiter = request.get("Prefix", ""), request.get("Delimiter", "")
    key_marker, id_marker = request.get("KeyMarker", ""), request.get("UploadIdMarker", "")
    most = request.get("MaxUploads", _PAGE)
    if most < 0:
        raise invalid_argument(
            "Argument max-uploads must be an integer between 0 and 2147483647", "max-uploads", str(most)
        )
    text = _texts(request)
    walk = _Walk(engines, bucket, prefix.encode(), delimiter.encode(), min(most, _PAGE))
    walk.go(key_marker.encode(), id_marker if key_marker else "")
    output: dict[str, Any] = {
        "Bucket": bucket.name,
        "KeyMarker": text(key_marker),
        "UploadIdMarker": id_marker,
        "Prefix": text(prefix),
        "MaxUploads": walk.most,
        "IsTruncated": walk.truncated,
        "Uploads": [
            {
                "UploadId": upload.upload_id,
                "Key": text(upload.key),
                "Initiated": upload.began,
                **_shown_upload(upload),
            }
            for upload in walk.uploads
        ],
        "CommonPrefixes": [{"Prefix": text(common.decode("utf-8", "replace"))} for common in walk.common],
    }
    if delimiter:
        output["Delimiter"] = text(delimiter)
    if "EncodingType" in request:
        output["EncodingType"] = request["EncodingType"]
    if walk.truncated:
        output["NextKeyMarker"], output["NextUploadIdMarker"] = text(walk.last[0]), walk.last[1]
    return output


class _Walk:
    """A page of uploads: in order, what a delimiter folds being told once and skipped."""

    def __init__(self, engines: Engines, bucket: Bucket, prefix: bytes, delimiter: bytes, most: int) -> None:
        self._engines, self._bucket = engines, bucket
        self._prefix, self._delimiter = prefix, delimiter
        self.most = most
        self.uploads: list[Upload] = []
        self.common: list[bytes] = []
        self.truncated = False
        self.last = ("", "")

    def go(self, marker: bytes, after: str) -> None:
        end = _behind(self._prefix)
        start = max(marker, self._prefix)
        if start != marker:
            after = ""
        elif marker and not after:
            # Without an id, all uploads of the marker's key are behind; and all keys that a common prefix folds.
            start = _behind(marker) if self._folded(marker) == marker else marker + b"\0"
        while self.most:
            found = parts.uploads(self._engines.store.read, self._bucket, start, after, end, self.most + 1)
            after = ""
            for upload in found:
                if len(self.uploads) + len(self.common) == self.most:
                    self.truncated = True
                    return
                folded = self._folded(upload.key.encode())
                if folded is not None:
                    self.common.append(folded)
                    self.last = (folded.decode("utf-8", "replace"), "")
                    start = _behind(folded)
                    break
                self.uploads.append(upload)
                self.last = (upload.key, upload.upload_id)
            else:
                return

    def _folded(self, key: bytes) -> bytes | None:
        if not self._delimiter or not key.startswith(self._prefix):
            return None
        cut = key.find(self._delimiter, len(self._prefix))
        return None if cut < 0 else key[: cut + len(self._delimiter)]


def _behind(prefix: bytes) -> bytes:
    """The first key that comes after all keys with this prefix."""
    return prefix[:-1] + bytes([prefix[-1] + 1]) if prefix else b"\xff"


def _texts(request: Mapping[str, Any]) -> Callable[[str], str]:
    kind = request.get("EncodingType")
    if kind is None:
        return str
    if kind != "url":
        raise ServiceError("InvalidArgument", "Invalid Encoding Method specified in Request", status=400)
    return lambda text: quote(text, safe="/*-._ ").replace("~", "%7E").replace(" ", "+")
