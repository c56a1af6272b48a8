"""PutObject; and what every way to make an object ends with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.store import Transaction
from ...wire.bodies import Body
from ..engines import Engines
from . import bodies, buckets, checksums, conditions, encryption, events, properties, stored
from .bodies import Draft
from .buckets import Bucket
from .events import Event
from .properties import Put
from .stored import Document, Piece, Version

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import PutObjectRequestTypeDef


async def put_object(call: Call, request: PutObjectRequestTypeDef, engines: Engines) -> Change:
    bucket, key = buckets.addressed(call, request, engines), request["Key"]
    stored.check_key(key)
    conditions.check_form(request)
    put = properties.of_request(call, request, bucket)
    claim = checksums.claimed(request, call.request.headers)
    md5 = checksums.content_md5(request.get("ContentMD5"))
    body = source(request)
    conditions.check_write(request, key, lambda: stored.latest(engines.store.read, bucket, key))
    seal, object_key = await encryption.choose(call, request, engines, bucket, key)
    all_bodies = bodies.of(engines)
    algorithm = claim.algorithm or checksums.DEFAULT
    draft = await all_bodies.write(bucket.id, body, object_key, algorithm, claim, md5)
    call.additional_event_data["bytesTransferredIn"] = draft.size
    made = version(
        bucket,
        key,
        put,
        msgspec.structs.replace(
            put.document, seal=seal, pieces=(Piece(draft.path, draft.size),), checksum=draft.checksum
        ),
        size=draft.size,
        etag=etag(engines, seal, draft),
        algorithm=algorithm,
        now=engines.clock.time(),
    )
    add = adding(call, request, engines, bucket, made, "Put")

    def apply(tx: Transaction) -> dict[str, Any]:
        now, added = add(tx)
        return {
            "ETag": added.quoted_etag,
            **encryption.shown(seal, context=True),
            **stored.shown_version(now, added.version_id),
            **shown_checksum(added),
        }

    return all_bodies.change([draft], apply)


def source(request: Mapping[str, Any]) -> bytes | Body:
    """The body that comes with a request."""
    body: bytes | Body = request.get("Body", b"")
    if isinstance(body, Body):
        if body.length is None:
            raise ServiceError("MissingContentLength", "You must provide the Content-Length HTTP header.", status=411)
        bodies.check_size(body.length)
    return body


def etag(engines: Engines, seal: encryption.Seal, draft: Draft) -> str:
    """Where KMS or the customer has the key, the MD5 would tell of the contents: then it is anything."""
    return draft.md5.hex() if seal.etag_is_md5 else engines.ids.hex(32)


def version(
    bucket: Bucket,
    key: str,
    put: Put,
    document: Document,
    *,
    size: int,
    etag: str,
    algorithm: str,
    now: float,
    checksum_type: str = checksums.FULL_OBJECT,
) -> Version:
    """A version that is to be added; which one it is, is known then."""
    return Version(
        bucket_id=bucket.id,
        key=key,
        sequence=0,
        version_id=stored.NULL,
        latest=True,
        delete_marker=False,
        size=size,
        etag=etag,
        last_modified=stored.millis(now),
        storage_class=put.storage_class,
        owner=put.owner,
        checksum_algorithm=algorithm,
        checksum_type=checksum_type,
        document=document,
    )


def adding(
    call: Call, request: Mapping[str, Any], engines: Engines, bucket: Bucket, made: Version, how: str
) -> Callable[[Transaction], tuple[Bucket, Version]]:
    """The last step, in the writer: the conditions still hold, the version is there, and those who asked are told."""

    def add(tx: Transaction) -> tuple[Bucket, Version]:
        now = stored.current_bucket(tx, bucket)
        conditions.check_write(request, made.key, lambda: stored.latest(tx, now, made.key), late=True)
        added = stored.add(tx, now, made, engines.ids)
        tell(tx, call, engines, now, added, f"ObjectCreated:{how}")
        return now, added

    return add


def tell(tx: Transaction, call: Call, engines: Engines, bucket: Bucket, of: Version, what: str) -> None:
    """An event of a version."""
    events.post(
        tx,
        call,
        engines,
        bucket,
        Event(
            what,
            of.key,
            stored.millis(engines.clock.time()),
            None if of.delete_marker else of.size,
            of.etag,
            of.version_id if bucket.versioning else "",
        ),
    )


def shown_checksum(of: Version) -> dict[str, Any]:
    return {checksums.member(of.checksum_algorithm): of.document.checksum, "ChecksumType": of.checksum_type}
