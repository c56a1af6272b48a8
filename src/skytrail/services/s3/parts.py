"""Uploads in parts, as they are kept while they are under way."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from ...errors import ServiceError
from ...storage.state import Reader
from ...storage.store import Transaction
from ..engines import Engines
from . import bodies, checksums
from .bodies import Draft
from .buckets import Bucket
from .encryption import Seal
from .stored import Document, millis


class UploadDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an upload knows from its beginning on, besides the columns of its row."""

    #: What the object will have, without its pieces.
    document: Document
    #: Of the parts' checksums; S3's own choice where `chosen` is False.
    algorithm: str
    checksum_type: str
    chosen: bool
    #: Who began it: an ARN, or the canonical id of an account.
    initiator: str

    @property
    def seal(self) -> Seal:
        return self.document.seal


class Upload(msgspec.Struct, frozen=True):
    """A row of s3_uploads."""

    bucket_id: str
    key: str
    initiated: int
    upload_id: str
    storage_class: str
    #: The account.
    owner: str
    document: UploadDocument

    @property
    def began(self) -> datetime:
        return datetime.fromtimestamp(self.initiated // 1000, UTC)


class PartDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    path: str
    checksum: str


class Part(msgspec.Struct, frozen=True):
    """A row of s3_parts."""

    upload_id: str
    number: int
    size: int
    etag: str
    last_modified: int
    document: PartDocument

    @property
    def quoted_etag(self) -> str:
        return f'"{self.etag}"'


_UPLOAD_COLUMNS = ", ".join(Upload.__struct_fields__)
_PART_COLUMNS = ", ".join(Part.__struct_fields__)
_encode = msgspec.json.Encoder().encode
_decode_upload = msgspec.json.Decoder(UploadDocument).decode
_decode_part = msgspec.json.Decoder(PartDocument).decode


def no_upload(upload_id: str) -> ServiceError:
    return ServiceError(
        "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or "
        "completed.",
        status=404,
        members={"UploadId": upload_id[:1024]},
    )


# Uploads


def addressed(reader: Reader, bucket: Bucket, request: Mapping[str, Any]) -> Upload:
    found = find(reader, bucket, request["Key"], request["UploadId"])
    if found is None:
        raise no_upload(request["UploadId"])
    return found


def find(reader: Reader, bucket: Bucket, key: str, upload_id: str) -> Upload | None:
    row = reader.connection.execute(
        f"SELECT {_UPLOAD_COLUMNS} FROM s3_uploads WHERE upload_id = ? AND bucket_id = ? AND key = ?",
        (upload_id, bucket.id, key.encode()),
    ).fetchone()
    return None if row is None else _upload(row)


def _upload(row: tuple[Any, ...]) -> Upload:
    bucket_id, key, initiated, upload_id, storage_class, owner, document = row
    return Upload(bucket_id, key.decode(), initiated, upload_id, storage_class, owner, _decode_upload(document))


def uploads(reader: Reader, bucket: Bucket, start: bytes, after: str, end: bytes, limit: int) -> list[Upload]:
    """In order, from the key `start` on and before `end`; of `start` itself those after the id `after`."""
    rows = reader.connection.execute(
        f"SELECT {_UPLOAD_COLUMNS} FROM s3_uploads WHERE bucket_id = ? AND key >= ? AND key < ?"
        " AND (key > ? OR upload_id > ?) ORDER BY key, initiated, upload_id LIMIT ?",
        (bucket.id, start, end, start, after, limit),
    )
    return [_upload(row) for row in rows.fetchall()]


def add_upload(tx: Transaction, upload: Upload) -> None:
    tx.connection.execute(
        f"INSERT INTO s3_uploads ({_UPLOAD_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            upload.bucket_id,
            upload.key.encode(),
            upload.initiated,
            upload.upload_id,
            upload.storage_class,
            upload.owner,
            _encode(upload.document),
        ),
    )


def remove_upload(tx: Transaction, upload: Upload, *, keep: frozenset[str] = frozenset()) -> None:
    """The upload ends; the bodies that an object has now stay."""
    gone = [part.document.path for part in parts(tx, upload) if part.document.path not in keep]
    bodies.remove(tx, gone)
    tx.connection.execute("DELETE FROM s3_parts WHERE upload_id = ?", (upload.upload_id,))
    tx.connection.execute("DELETE FROM s3_uploads WHERE upload_id = ?", (upload.upload_id,))


# Parts


def parts(reader: Reader, upload: Upload, *, after: int = 0, limit: int = -1) -> list[Part]:
    rows = reader.connection.execute(
        f"SELECT {_PART_COLUMNS} FROM s3_parts WHERE upload_id = ? AND number > ? ORDER BY number LIMIT ?",
        (upload.upload_id, after, limit),
    )
    return [
        Part(upload_id, number, size, etag, modified, _decode_part(document))
        for upload_id, number, size, etag, modified, document in rows.fetchall()
    ]


def of_draft(engines: Engines, upload: Upload, number: int, draft: Draft) -> Part:
    etag = draft.md5.hex() if upload.document.seal.etag_is_md5 else engines.ids.hex(32)
    document = PartDocument(draft.path, draft.checksum)
    return Part(upload.upload_id, number, draft.size, etag, millis(engines.clock.time()), document)


def save(tx: Transaction, bucket: Bucket, upload: Upload, part: Part) -> None:
    """The part, in place of one that has its number; unless the upload has ended meanwhile."""
    if find(tx, bucket, upload.key, upload.upload_id) is None:
        raise no_upload(upload.upload_id)
    before = parts(tx, upload, after=part.number - 1, limit=1)
    bodies.remove(tx, [old.document.path for old in before if old.number == part.number])
    tx.connection.execute(
        f"INSERT OR REPLACE INTO s3_parts ({_PART_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
        (part.upload_id, part.number, part.size, part.etag, part.last_modified, _encode(part.document)),
    )


def shown_checksum(upload: Upload, part: Part) -> dict[str, Any]:
    """AWS tells the parts' checksums where the upload has chosen some."""
    if not upload.document.chosen:
        return {}
    return {checksums.member(upload.document.algorithm): part.document.checksum}
