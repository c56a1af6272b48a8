"""CompleteMultipartUpload: the parts' bodies become the object's as they lie there; nothing is copied.

A completion that is asked for again, as clients do that have not seen the answer, is answered again for a day.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
import orjson

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.state import Reader
from ...storage.store import Transaction
from ..engines import Engines
from . import bodies, buckets, checksums, conditions, encryption, parts, putting, stored
from .buckets import Bucket
from .checksums import COMPOSITE
from .parts import Part, Upload
from .properties import Put
from .refusals import invalid_argument, invalid_request, malformed
from .stored import Piece, Version

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import CompleteMultipartUploadRequestTypeDef

_LEAST_BYTES = 5 << 20
_MOST_PARTS = 10_000
_KEPT = 86_400_000


class _Asked(msgspec.Struct, frozen=True):
    """A part as the completion names it."""

    number: int
    etag: str
    checksum: str | None


class _Completion(msgspec.Struct, frozen=True):
    """How an upload ended."""

    bucket_id: str
    key: str
    asked: str
    output: dict[str, Any]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Completion).decode


async def complete_multipart_upload(
    call: Call, request: CompleteMultipartUploadRequestTypeDef, engines: Engines
) -> Change | dict[str, Any]:
    bucket, key = buckets.addressed(call, request, engines), request["Key"]
    conditions.check_form(request)
    given = (request.get("MultipartUpload") or {}).get("Parts") or []
    upload = parts.find(engines.store.read, bucket, key, request["UploadId"])
    if upload is None:
        return _again(engines.store.read, bucket, request, given)
    if upload.document.chosen or "SSECustomerKey" in request:
        encryption.check_customer(call, request, engines, upload.document.seal)
    asked = _asked(request, upload, given)
    conditions.check_write(request, key, lambda: stored.latest(engines.store.read, bucket, key))
    location = _location(call, bucket, key)

    def apply(tx: Transaction) -> dict[str, Any]:
        standing = parts.addressed(tx, stored.current_bucket(tx, bucket), request)
        chosen = _chosen(tx, standing, asked)
        made = _version(request, bucket, standing, chosen)
        now, added = putting.adding(call, request, engines, bucket, made, "CompleteMultipartUpload")(tx)
        parts.remove_upload(tx, standing, keep=frozenset(part.document.path for part in chosen))
        output = {
            "Location": location,
            "Bucket": bucket.name,
            "Key": key,
            "ETag": added.quoted_etag,
            **_shown_encryption(standing),
            **stored.shown_version(now, added.version_id),
            **putting.shown_checksum(added),
        }
        _remember(tx, bucket, request, given, output, stored.millis(engines.clock.time()))
        return output

    return bodies.of(engines).change([], apply)


# What is asked for


def _asked(request: Mapping[str, Any], upload: Upload, given: Sequence[Any]) -> list[_Asked]:
    document = upload.document
    if not given or len(given) > _MOST_PARTS:
        raise malformed("a completion names 1 to 10,000 parts")
    kind = request.get("ChecksumType")
    if kind is not None and kind != document.checksum_type:
        raise invalid_request(
            f"The upload was created using the {document.checksum_type} checksum mode. The complete request must use "
            "the same checksum mode."
        )
    asked: list[_Asked] = []
    member = checksums.member(document.algorithm)
    for entry in given:
        number, etag = entry.get("PartNumber"), entry.get("ETag")
        if number is None or etag is None:
            raise malformed("a part has a PartNumber and an ETag")
        if not 1 <= number <= _MOST_PARTS:
            raise invalid_argument("PartNumber must be >= 1", "PartNumber", str(number))
        if asked and number <= asked[-1].number:
            raise ServiceError(
                "InvalidPartOrder",
                "The list of parts was not in ascending order. Parts must be ordered by part number.",
                status=400,
                members={"UploadId": upload.upload_id},
            )
        checksum = entry.get(member)
        if checksum is None and document.chosen and document.checksum_type == COMPOSITE:
            raise invalid_request(
                f"The upload was created using a {document.algorithm.lower()} checksum. The complete request must "
                f"include the checksum for each part. It was missing for part {number} in the request."
            )
        asked.append(_Asked(number, etag.strip().strip('"'), checksum))
    return asked


def _chosen(reader: Reader, upload: Upload, asked: Sequence[_Asked]) -> list[Part]:
    """The parts that the completion names, if they are there and large enough."""
    there = {part.number: part for part in parts.parts(reader, upload)}
    chosen: list[Part] = []
    for entry in asked:
        part = there.get(entry.number)
        if (
            part is None
            or part.etag != entry.etag
            or (entry.checksum is not None and entry.checksum != part.document.checksum)
        ):
            raise ServiceError(
                "InvalidPart",
                "One or more of the specified parts could not be found.  The part may not have been uploaded, or the "
                "specified entity tag may not match the part's entity tag.",
                status=400,
                members={"UploadId": upload.upload_id, "PartNumber": entry.number, "ETag": entry.etag[:256]},
            )
        chosen.append(part)
    for part in chosen[:-1]:
        if part.size < _LEAST_BYTES:
            raise ServiceError(
                "EntityTooSmall",
                "Your proposed upload is smaller than the minimum allowed size",
                status=400,
                members={
                    "ProposedSize": part.size,
                    "MinSizeAllowed": _LEAST_BYTES,
                    "PartNumber": part.number,
                    "ETag": part.etag,
                },
            )
    return chosen


# What becomes of it


def _version(request: Mapping[str, Any], bucket: Bucket, upload: Upload, chosen: Sequence[Part]) -> Version:
    document, size = upload.document, sum(part.size for part in chosen)
    expected = request.get("MpuObjectSize")
    if expected is not None and expected != size:
        raise invalid_request(
            f"The provided 'x-amz-mp-object-size' header value {expected} does not match what was computed: {size}"
        )
    checksum = checksums.of_parts(
        document.algorithm, document.checksum_type, ((part.document.checksum, part.size) for part in chosen)
    )
    claimed = request.get(checksums.member(document.algorithm))
    if claimed is not None and claimed != checksum and f"{claimed}-{len(chosen)}" != checksum:
        raise ServiceError(
            "BadDigest",
            f"The {document.algorithm.lower()} you specified did not match the calculated checksum.",
            status=400,
        )
    joined = hashlib.md5(b"".join(bytes.fromhex(part.etag) for part in chosen), usedforsecurity=False)
    pieces = tuple(Piece(part.document.path, part.size, part.number, part.document.checksum) for part in chosen)
    return putting.version(
        bucket,
        upload.key,
        Put(upload.storage_class, upload.owner, document.document),
        msgspec.structs.replace(document.document, pieces=pieces, checksum=checksum),
        size=size,
        etag=f"{joined.hexdigest()}-{len(chosen)}",
        algorithm=document.algorithm,
        checksum_type=document.checksum_type,
        # AWS dates an object that was uploaded in parts from the beginning of its upload.
        now=upload.initiated / 1000,
    )


def _shown_encryption(upload: Upload) -> dict[str, Any]:
    """A completion says nothing of a customer's key."""
    seal = upload.document.seal
    return {} if seal.kind == encryption.CUSTOMER else encryption.shown(seal)


def _location(call: Call, bucket: Bucket, key: str) -> str:
    scheme = "http" if call.source.tls is None else "https"
    host = call.request.headers.get("host", "s3.amazonaws.com")
    name = "" if host.startswith(f"{bucket.name}.") else f"/{bucket.name}"
    return f"{scheme}://{host}{name}/{quote(key, safe='')}"


# Again


def _digest(given: Sequence[Any]) -> str:
    return hashlib.sha256(orjson.dumps(given, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _remember(
    tx: Transaction,
    bucket: Bucket,
    request: Mapping[str, Any],
    given: Sequence[Any],
    output: dict[str, Any],
    now: int,
) -> None:
    tx.connection.execute(
        "DELETE FROM s3_completions WHERE upload_id IN (SELECT upload_id FROM s3_completions WHERE at < ? LIMIT 10)",
        (now - _KEPT,),
    )
    completion = _Completion(bucket.id, request["Key"], _digest(given), output)
    tx.connection.execute(
        "INSERT OR REPLACE INTO s3_completions (upload_id, at, document) VALUES (?, ?, ?)",
        (request["UploadId"], now, _encode(completion)),
    )


def _again(reader: Reader, bucket: Bucket, request: Mapping[str, Any], given: Sequence[Any]) -> dict[str, Any]:
    """The answer that the upload's completion had."""
    row = reader.connection.execute(
        "SELECT document FROM s3_completions WHERE upload_id = ?", (request["UploadId"],)
    ).fetchone()
    if row is not None:
        completion = _decode(row[0])
        if (completion.bucket_id, completion.key, completion.asked) == (bucket.id, request["Key"], _digest(given)):
            return completion.output
    raise parts.no_upload(request["UploadId"])
