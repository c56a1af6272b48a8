"""Objects as they are kept: a row for each version, and what a row's document holds."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from ...errors import ServiceError
from ...storage.state import Reader
from ...storage.store import Transaction
from ...work.ids import Ids
from . import bodies, buckets
from .buckets import Bucket, Grant
from .encryption import Seal
from .refusals import invalid_argument

#: The version of what was stored without versioning.
NULL = "null"
#: Storage classes from which an object must be restored before it is read.
ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})

_VERSION_ID = re.compile(r"[A-Za-z0-9._-]{32}")
_LONGEST_KEY = 1024


class Piece(msgspec.Struct, frozen=True, omit_defaults=True):
    """A body of an object: all of it, or one of the parts of which it was made."""

    path: str
    size: int
    #: The part's number; 0 where the object was put in one piece.
    number: int = 0
    #: The part's own checksum.
    checksum: str = ""


class Document(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a version has besides the columns of its row."""

    seal: Seal = Seal()
    pieces: tuple[Piece, ...] = ()
    checksum: str = ""
    #: Content-Type and its like, by the member names of the model.
    headers: dict[str, str] = {}
    expires: float | None = None
    metadata: dict[str, str] = {}
    tags: dict[str, str] = {}
    #: None for full control of the owner.
    acl: tuple[Grant, ...] | None = None

    @property
    def multipart(self) -> bool:
        return bool(self.pieces and self.pieces[0].number)


class Version(msgspec.Struct, frozen=True):
    """A row of s3_objects."""

    bucket_id: str
    key: str
    sequence: int
    version_id: str
    latest: bool
    delete_marker: bool
    size: int
    etag: str
    last_modified: int
    storage_class: str
    #: The account.
    owner: str
    checksum_algorithm: str
    checksum_type: str
    document: Document

    @property
    def modified(self) -> datetime:
        """AWS tells whole seconds."""
        return datetime.fromtimestamp(self.last_modified // 1000, UTC)

    @property
    def quoted_etag(self) -> str:
        return f'"{self.etag}"'


_COLUMNS = ", ".join(Version.__struct_fields__)
_PLACES = ", ".join("?" for _ in Version.__struct_fields__)
_decode = msgspec.json.Decoder(Document).decode
_encode = msgspec.json.Encoder().encode


def millis(seconds: float) -> int:
    return math.floor(seconds * 1000)


def check_key(key: str) -> None:
    size = len(key.encode("utf-8", "surrogatepass"))
    if size > _LONGEST_KEY:
        raise ServiceError(
            "KeyTooLongError",
            "Your key is too long",
            status=400,
            members={"Size": size, "MaxSizeAllowed": _LONGEST_KEY},
        )


def new_version_id(ids: Ids) -> str:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._"
    return "".join(letters[byte & 63] for byte in ids.token_bytes(32))


def check_version_id(version_id: str) -> None:
    if not version_id:
        raise invalid_argument("Version id cannot be the empty string", "versionId", "")
    if version_id != NULL and not _VERSION_ID.fullmatch(version_id):
        raise invalid_argument("Invalid version id specified", "versionId", version_id[:256])


# Reading


def latest(reader: Reader, bucket: Bucket, key: str) -> Version | None:
    """The newest version, which may be a delete marker."""
    return _one(reader, "ORDER BY sequence DESC LIMIT 1", bucket.id, key)


def version(reader: Reader, bucket: Bucket, key: str, version_id: str) -> Version | None:
    return _one(reader, "AND version_id = ?", bucket.id, key, version_id)


def _one(reader: Reader, which: str, bucket_id: str, key: str, *more: Any) -> Version | None:
    row = reader.connection.execute(
        f"SELECT {_COLUMNS} FROM s3_objects WHERE bucket_id = ? AND key = ? {which}", (bucket_id, key.encode(), *more)
    ).fetchone()
    return None if row is None else _version(row)


def _version(row: tuple[Any, ...]) -> Version:
    values = dict(zip(Version.__struct_fields__, row, strict=True))
    values["key"] = values["key"].decode()
    values["latest"], values["delete_marker"] = bool(values["latest"]), bool(values["delete_marker"])
    values["document"] = _decode(values["document"])
    return Version(**values)


def wanted(reader: Reader, bucket: Bucket, key: str, version_id: str | None, method: str = "GET") -> Version:
    """The object that a request means, or the error that AWS has for it."""
    check_key(key)
    if version_id is None:
        found = latest(reader, bucket, key)
        if found is None:
            raise no_key(key)
        if found.delete_marker:
            raise no_key(key, {"x-amz-delete-marker": "true", "x-amz-version-id": found.version_id})
        return found
    check_version_id(version_id)
    found = version(reader, bucket, key, version_id)
    if found is None:
        raise ServiceError(
            "NoSuchVersion",
            "The specified version does not exist.",
            status=404,
            members={"Key": key, "VersionId": version_id},
        )
    if found.delete_marker:
        raise ServiceError(
            "MethodNotAllowed",
            "The specified method is not allowed against this resource.",
            status=405,
            members={"Method": method, "ResourceType": "DeleteMarker"},
            headers={
                "x-amz-delete-marker": "true",
                "x-amz-version-id": found.version_id,
                "Last-Modified": found.modified.strftime("%a, %d %b %Y %H:%M:%S GMT"),
                "Allow": "DELETE",
            },
        )
    return found


def no_key(key: str, headers: dict[str, str] | None = None) -> ServiceError:
    return ServiceError(
        "NoSuchKey", "The specified key does not exist.", status=404, members={"Key": key}, headers=headers or {}
    )


def shown_version(bucket: Bucket, version_id: str) -> dict[str, Any]:
    """A bucket that never had versioning tells of no versions."""
    return {"VersionId": version_id} if bucket.versioning else {}


# Writing


def current_bucket(tx: Transaction, bucket: Bucket) -> Bucket:
    """The bucket as it is now, which is another one where it was deleted and made anew meanwhile."""
    now = buckets.find(tx, bucket.name)
    if now is None or now.id != bucket.id:
        raise buckets.no_bucket(bucket.name)
    return now


def add(tx: Transaction, bucket: Bucket, made: Version, ids: Ids) -> Version:
    """The version as the newest of its key. What has its place, where the bucket does not keep versions, goes."""
    version_id = new_version_id(ids) if bucket.versioning == "Enabled" else NULL
    before = latest(tx, bucket, made.key)
    if before is not None and version_id == NULL:
        replaced = before if before.version_id == NULL else version(tx, bucket, made.key, NULL)
        if replaced is not None:
            _drop(tx, replaced)
    if before is not None:
        tx.connection.execute(
            "UPDATE s3_objects SET latest = 0 WHERE bucket_id = ? AND key = ? AND sequence = ?",
            (bucket.id, made.key.encode(), before.sequence),
        )
    added = msgspec.structs.replace(
        made, version_id=version_id, latest=True, sequence=1 if before is None else before.sequence + 1
    )
    values = [getattr(added, name) for name in Version.__struct_fields__[:-1]]
    values[1] = added.key.encode()
    tx.connection.execute(f"INSERT INTO s3_objects ({_COLUMNS}) VALUES ({_PLACES})", (*values, _encode(added.document)))
    return added


def save_document(tx: Transaction, changed: Version) -> None:
    tx.connection.execute(
        "UPDATE s3_objects SET document = ? WHERE bucket_id = ? AND key = ? AND sequence = ?",
        (_encode(changed.document), changed.bucket_id, changed.key.encode(), changed.sequence),
    )


def remove(tx: Transaction, gone: Version) -> None:
    """The version goes for good; the one before it is the newest now."""
    _drop(tx, gone)
    if gone.latest:
        tx.connection.execute(
            "UPDATE s3_objects SET latest = 1 WHERE bucket_id = ?1 AND key = ?2 AND sequence ="
            " (SELECT max(sequence) FROM s3_objects WHERE bucket_id = ?1 AND key = ?2)",
            (gone.bucket_id, gone.key.encode()),
        )


def _drop(tx: Transaction, gone: Version) -> None:
    tx.connection.execute(
        "DELETE FROM s3_objects WHERE bucket_id = ? AND key = ? AND sequence = ?",
        (gone.bucket_id, gone.key.encode(), gone.sequence),
    )
    bodies.remove(tx, [piece.path for piece in gone.document.pieces])


def delete_marker(bucket: Bucket, key: str, now: int) -> Version:
    return Version(bucket.id, key, 0, NULL, True, True, 0, "", now, "STANDARD", bucket.account, "", "", Document())
