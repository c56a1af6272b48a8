"""CopyObject and UploadPartCopy. What is copied is read and sealed anew, under the copy's own key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.store import Transaction
from ..engines import Engines
from . import bodies, buckets, checksums, conditions, encryption, getting, parts, properties, putting, stored
from .bodies import MOST_BYTES
from .buckets import Bucket
from .checksums import Claim
from .properties import Put
from .refusals import invalid_argument, invalid_request, unsupported
from .stored import Piece, Version

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import CopyObjectRequestTypeDef, UploadPartCopyRequestTypeDef

_VERSION = "?versionId="
_OF = "CopySource"
_RANGE = re.compile(r"bytes=(\d{1,19})-(\d{1,19})")
_COPY, _REPLACE = "COPY", "REPLACE"


class Source(msgspec.Struct, frozen=True):
    bucket: Bucket
    version: Version

    @property
    def shown(self) -> dict[str, Any]:
        return {"CopySourceVersionId": self.version.version_id} if self.bucket.versioning else {}


async def copy_object(call: Call, request: CopyObjectRequestTypeDef, engines: Engines) -> Change:
    bucket, key = buckets.addressed(call, request, engines), request["Key"]
    stored.check_key(key)
    conditions.check_form(request)
    source, all_bodies = _source(request, engines), bodies.of(engines)
    found = source.version
    conditions.check_source(request, found)
    put = _put(call, request, bucket, source)
    if found.size > MOST_BYTES:
        raise invalid_request(
            f"The specified copy source is larger than the maximum allowable size for a copy source: {MOST_BYTES}"
        )
    conditions.check_write(request, key, lambda: stored.latest(engines.store.read, bucket, key))
    algorithm = checksums.algorithm_of(request) or found.checksum_algorithm
    reading = all_bodies.reading(piece.path for piece in found.document.pieces)  # before anything waits
    source_key = await encryption.opened(call, request, engines, source.bucket, found.document.seal, of=_OF)
    seal, object_key = await encryption.choose(call, request, engines, bucket, key)
    content = await getting.content(all_bodies, reading, found, source_key, 0, found.size)
    draft = await all_bodies.write(bucket.id, content, object_key, algorithm, Claim())
    made = putting.version(
        bucket,
        key,
        put,
        msgspec.structs.replace(
            put.document, seal=seal, pieces=(Piece(draft.path, draft.size),), checksum=draft.checksum
        ),
        size=draft.size,
        etag=putting.etag(engines, seal, draft),
        algorithm=algorithm,
        now=engines.clock.time(),
    )
    add = putting.adding(call, request, engines, bucket, made, "Copy")

    def apply(tx: Transaction) -> dict[str, Any]:
        now, added = add(tx)
        result = {"ETag": added.quoted_etag, "LastModified": added.modified, **putting.shown_checksum(added)}
        return {
            "CopyObjectResult": result,
            **encryption.shown(seal, context=True),
            **stored.shown_version(now, added.version_id),
            **source.shown,
        }

    return all_bodies.change([draft], apply)


async def upload_part_copy(call: Call, request: UploadPartCopyRequestTypeDef, engines: Engines) -> Change:
    bucket = buckets.addressed(call, request, engines)
    upload = parts.addressed(engines.store.read, bucket, request)
    conditions.check_part_number(request["PartNumber"])
    source, all_bodies = _source(request, engines), bodies.of(engines)
    found = source.version
    conditions.check_source(request, found)
    start, end = _span(request.get("CopySourceRange"), found.size)
    if end - start > MOST_BYTES:
        raise invalid_request(
            f"The specified copy source is larger than the maximum allowable size for a copy source: {MOST_BYTES}"
        )
    reading = all_bodies.reading(piece.path for piece in found.document.pieces)  # before anything waits
    source_key = await encryption.opened(call, request, engines, source.bucket, found.document.seal, of=_OF)
    object_key = await encryption.opened(call, request, engines, bucket, upload.document.seal)
    content = await getting.content(all_bodies, reading, found, source_key, start, end)
    draft = await all_bodies.write(bucket.id, content, object_key, upload.document.algorithm, Claim())
    part = parts.of_draft(engines, upload, request["PartNumber"], draft)

    def apply(tx: Transaction) -> dict[str, Any]:
        parts.save(tx, stored.current_bucket(tx, bucket), upload, part)
        moment = datetime.fromtimestamp(part.last_modified // 1000, UTC)
        result = {"ETag": part.quoted_etag, "LastModified": moment, **parts.shown_checksum(upload, part)}
        return {"CopyPartResult": result, **encryption.shown(upload.document.seal), **source.shown}

    return all_bodies.change([draft], apply)


# What is copied


def _source(request: Mapping[str, Any], engines: Engines) -> Source:
    name, key, version_id = _parsed(request["CopySource"])
    bucket = buckets.existing(engines.store.read, name)
    buckets.check_owner(bucket, request.get("ExpectedSourceBucketOwner"))
    try:
        found = stored.wanted(engines.store.read, bucket, key, version_id)
    except ServiceError as error:
        if error.code == "MethodNotAllowed":
            raise invalid_request(
                "The source of a copy request may not specifically refer to a delete marker by version id."
            ) from None
        raise
    if found.storage_class in stored.ARCHIVES:
        raise ServiceError(
            "InvalidObjectState",
            "Operation is not valid for the source object's storage class",
            status=403,
            members={"StorageClass": found.storage_class},
        )
    return Source(bucket, found)


def _parsed(header: str) -> tuple[str, str, str | None]:
    """Bucket, key and version of a CopySource, whose path is percent-encoded."""
    wrong = invalid_argument(
        "Copy Source must mention the source bucket and key: sourcebucket/sourcekey", "x-amz-copy-source", header[:256]
    )
    path, found, version_id = header.partition(_VERSION)
    try:
        text = unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        raise wrong from None
    if text.startswith("arn:"):
        raise unsupported("A copy source by the ARN of an access point")
    name, _, key = text.removeprefix("/").partition("/")
    if not name or not key:
        raise wrong
    return name, key, version_id if found else None


def _span(header: str | None, size: int) -> tuple[int, int]:
    if header is None:
        return 0, size
    match = _RANGE.fullmatch(header)
    if match is None or int(match[1]) > int(match[2]):
        raise invalid_argument(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the "
            "zero-based offsets of the first and last bytes to copy",
            "x-amz-copy-source-range",
            header[:256],
        )
    if int(match[2]) >= size:
        raise invalid_argument(
            f"Range specified is not valid for source object of size: {size}", "x-amz-copy-source-range", header[:256]
        )
    return int(match[1]), int(match[2]) + 1


# What becomes of it


def _put(call: Call, request: Mapping[str, Any], bucket: Bucket, source: Source) -> Put:
    asked, found = properties.of_request(call, request, bucket), source.version
    fresh = _directive(request, "MetadataDirective", "x-amz-metadata-directive") == _REPLACE
    new_tags = _directive(request, "TaggingDirective", "x-amz-tagging-directive") == _REPLACE
    _check_self(request, bucket, source, fresh)
    document = asked.document
    if not fresh:
        headers = {name: value for name, value in found.document.headers.items() if name != "WebsiteRedirectLocation"}
        if "WebsiteRedirectLocation" in document.headers:
            headers["WebsiteRedirectLocation"] = document.headers["WebsiteRedirectLocation"]
        document = msgspec.structs.replace(
            document, headers=headers, metadata=found.document.metadata, expires=found.document.expires
        )
    if not new_tags:
        document = msgspec.structs.replace(document, tags=found.document.tags)
    return msgspec.structs.replace(asked, document=document)


def _directive(request: Mapping[str, Any], member: str, header: str) -> str:
    value: str = request.get(member, _COPY)
    if value not in (_COPY, _REPLACE):
        raise invalid_argument(f"Unknown {header.removeprefix('x-amz-').replace('-', ' ')}.", header, value[:256])
    return value


def _check_self(request: Mapping[str, Any], bucket: Bucket, source: Source, fresh: bool) -> None:
    """A copy of an object onto itself must change something."""
    found = source.version
    onto_itself = (bucket.id, request["Key"]) == (source.bucket.id, found.key) and found.latest
    changes = (
        fresh
        or request.get("StorageClass", found.storage_class) != found.storage_class
        or "WebsiteRedirectLocation" in request
        or encryption.asked(request)
    )
    if onto_itself and not changes:
        raise invalid_request(
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes."
        )
