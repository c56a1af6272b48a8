"""GetObject, HeadObject, GetObjectAttributes."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call
from ...errors import ServiceError
from ...storage.objects import PIECE_BYTES
from ..engines import Engines
from . import bodies, buckets, checksums, conditions, encryption, stored
from .bodies import Bodies, Reading
from .buckets import Bucket
from .frames import Damaged
from .putting import shown_checksum
from .refusals import invalid_argument, invalid_request
from .stored import Piece, Version

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        GetObjectAttributesRequestTypeDef,
        GetObjectRequestTypeDef,
        HeadObjectRequestTypeDef,
    )

_OVERRIDES = {
    "ResponseCacheControl": "CacheControl",
    "ResponseContentDisposition": "ContentDisposition",
    "ResponseContentEncoding": "ContentEncoding",
    "ResponseContentLanguage": "ContentLanguage",
    "ResponseContentType": "ContentType",
    "ResponseExpires": "Expires",
}
_ATTRIBUTES = frozenset({"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"})
_MOST_PARTS = 1000

_log = logging.getLogger(__name__)


class Span(msgspec.Struct, frozen=True):
    """The part of an object that is asked for, from `start` up to `end`."""

    start: int
    end: int
    #: Whether the answer says that it is a part.
    partial: bool = False
    #: Where a part of a multipart upload is asked for.
    part: Piece | None = None


async def get_object(call: Call, request: GetObjectRequestTypeDef, engines: Engines) -> dict[str, Any]:
    bucket = buckets.addressed(call, request, engines)
    found = stored.wanted(engines.store.read, bucket, request["Key"], request.get("VersionId"))
    output, asked = _head(call, request, engines, bucket, found)
    if found.storage_class in stored.ARCHIVES:
        raise ServiceError(
            "InvalidObjectState",
            "The operation is not valid for the object's storage class",
            status=403,
            members={"StorageClass": found.storage_class},
        )
    all_bodies = bodies.of(engines)
    # From here on an overwrite does not take the bodies away. Nothing may wait before.
    reading = all_bodies.reading(piece.path for piece in found.document.pieces)
    key = await encryption.opened(call, request, engines, bucket, found.document.seal)
    output["Body"] = await content(all_bodies, reading, found, key, asked.start, asked.end)
    call.additional_event_data["bytesTransferredOut"] = asked.end - asked.start
    return output


def head_object(call: Call, request: HeadObjectRequestTypeDef, engines: Engines) -> dict[str, Any]:
    bucket = buckets.addressed(call, request, engines)
    found = stored.wanted(engines.store.read, bucket, request["Key"], request.get("VersionId"), "HEAD")
    output, _ = _head(call, request, engines, bucket, found)
    return output


def _head(
    call: Call, request: Mapping[str, Any], engines: Engines, bucket: Bucket, found: Version
) -> tuple[dict[str, Any], Span]:
    """All but the body."""
    encryption.check_customer(call, request, engines, found.document.seal)
    overrides = _overrides(call, request)
    conditions.check_read(request, found)
    asked = _span(request, found)
    document = found.document
    output: dict[str, Any] = {
        "AcceptRanges": "bytes",
        "LastModified": found.modified,
        "ContentLength": asked.end - asked.start,
        "ETag": found.quoted_etag,
        "Metadata": document.metadata,
        **document.headers,
        **encryption.shown(document.seal),
        **stored.shown_version(bucket, found.version_id),
        **overrides,
    }
    if document.expires is not None and "Expires" not in overrides:
        output["Expires"] = datetime.fromtimestamp(document.expires, UTC)
    if found.storage_class != "STANDARD":
        output["StorageClass"] = found.storage_class
    if document.tags:
        output["TagCount"] = len(document.tags)
    if asked.partial:
        output["ContentRange"] = f"bytes {asked.start}-{asked.end - 1}/{found.size}"
    if document.multipart and request.get("PartNumber") is not None:
        output["PartsCount"] = len(document.pieces)
    if request.get("ChecksumMode") == "ENABLED":
        output.update(_checksum(found, asked))
    return output, asked


def _overrides(call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    given = {member: request[name] for name, member in _OVERRIDES.items() if name in request}
    if given and not _signed(call):
        raise invalid_request("Request specific response headers cannot be used for anonymous GET requests.")
    return given


def _signed(call: Call) -> bool:
    """What our own services ask comes without HTTP, and is known all the same."""
    headers, query = call.request.headers, call.request.query
    return (
        "authorization" in headers
        or "X-Amz-Signature=" in query
        or "Signature=" in query
        or bool(call.identity.invoked_by)
    )


def _span(request: Mapping[str, Any], found: Version) -> Span:
    number, header = request.get("PartNumber"), request.get("Range")
    if number is None:
        asked = conditions.span(header, found.size)
        return Span(0, found.size) if asked is None else Span(*asked, partial=True)
    if header is not None:
        raise invalid_request("Cannot specify both Range header and partNumber query parameter")
    conditions.check_part_number(number)
    start = 0
    for index, piece in enumerate(found.document.pieces, start=1):
        # Parts are numbered anew, without gaps, once they are an object.
        if index == number:
            part = piece if found.document.multipart else None
            return Span(start, start + piece.size, partial=piece.size > 0, part=part)
        start += piece.size
    raise ServiceError(
        "InvalidPartNumber",
        "The requested partnumber is not satisfiable",
        status=416,
        members={"ActualPartCount": len(found.document.pieces), "PartNumberRequested": number},
    )


def _checksum(found: Version, asked: Span) -> dict[str, Any]:
    """A checksum of other bytes than those of the answer would fail the client's check."""
    if asked.part is not None:
        if not asked.part.checksum:
            return {}
        return {
            checksums.member(found.checksum_algorithm): asked.part.checksum,
            "ChecksumType": found.checksum_type,
        }
    if asked.end - asked.start != found.size:
        return {}
    return shown_checksum(found)


# Bodies


async def content(
    all_bodies: Bodies, reading: Reading, found: Version, key: bytes, start: int, end: int
) -> bytes | AsyncIterator[bytes]:
    """The bytes from `start` up to `end` of an object. Its first ones are read at once, so that a body that is gone or
    damaged is an error from the first on; later it breaks the answer off."""
    pieces = _read(all_bodies, reading, found, key, start, end)
    try:
        if end - start <= PIECE_BYTES:
            return b"".join([piece async for piece in pieces])
        first = await anext(pieces)
    except Damaged as error:
        _log.error("an object cannot be read (%s/%s): %s", found.bucket_id, reading.paths, error)
        raise ServiceError(
            "InternalError", "We encountered an internal error. Please try again.", status=500
        ) from error
    return _rest(first, pieces)


async def _rest(first: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in pieces:
        yield piece


async def _read(
    all_bodies: Bodies, reading: Reading, found: Version, key: bytes, start: int, end: int
) -> AsyncIterator[bytes]:
    position = 0
    for piece in found.document.pieces:
        if piece.path not in reading.paths:
            raise ValueError("read without being held")
        first, last = max(start - position, 0), min(end - position, piece.size)
        position += piece.size
        if first < last or found.size == 0:
            async for data in all_bodies.read(piece.path, piece.size, key, first, last):
                yield data


# Attributes


def get_object_attributes(call: Call, request: GetObjectAttributesRequestTypeDef, engines: Engines) -> dict[str, Any]:
    bucket = buckets.addressed(call, request, engines)
    wanted: set[str] = set(request["ObjectAttributes"])
    if not wanted or not wanted <= _ATTRIBUTES:
        raise invalid_argument(
            "Invalid attribute name specified.", "x-amz-object-attributes", ",".join(sorted(wanted))[:256]
        )
    found = stored.wanted(engines.store.read, bucket, request["Key"], request.get("VersionId"))
    encryption.check_customer(call, request, engines, found.document.seal)
    shown: dict[str, Any] = {
        "ETag": found.etag,
        "Checksum": shown_checksum(found),
        "ObjectParts": _parts(request, found),
        "StorageClass": found.storage_class,
        "ObjectSize": found.size,
    }
    output: dict[str, Any] = {name: value for name, value in shown.items() if name in wanted and value is not None}
    return {**output, "LastModified": found.modified, **stored.shown_version(bucket, found.version_id)}


def _parts(request: Mapping[str, Any], found: Version) -> dict[str, Any] | None:
    """Of an object that was uploaded in parts."""
    pieces = found.document.pieces
    if not found.document.multipart:
        return None
    most, marker = page_of_parts(request)
    shown = [(index, piece) for index, piece in enumerate(pieces, start=1) if index > marker]
    parts = [
        {"PartNumber": index, "Size": piece.size, checksums.member(found.checksum_algorithm): piece.checksum}
        for index, piece in shown[:most]
    ]
    output: dict[str, Any] = {
        "TotalPartsCount": len(pieces),
        "PartNumberMarker": marker,
        "MaxParts": most,
        "IsTruncated": len(shown) > most,
        "NextPartNumberMarker": parts[-1]["PartNumber"] if parts else marker,
    }
    # AWS lists parts where the client sent checksums of them, not where S3 added them.
    return {**output, "Parts": parts} if found.checksum_type == checksums.COMPOSITE else output


def page_of_parts(request: Mapping[str, Any]) -> tuple[int, int]:
    """How many parts to list, and after which."""
    most, marker = request.get("MaxParts", _MOST_PARTS), request.get("PartNumberMarker", 0)
    for value, name in ((most, "max-parts"), (marker, "part-number-marker")):
        if value < 0:
            raise invalid_argument(f"Argument {name} must be an integer between 0 and 2147483647", name, str(value))
    return min(most, _MOST_PARTS), marker
