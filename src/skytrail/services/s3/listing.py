"""Objects and their versions, listed in the order of their keys' bytes.

A page is one walk over an index. Where a delimiter folds keys into a common prefix, the walk goes on behind all keys
that have it, so that a page costs what it shows and not what it folds.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from ...call import Call
from ...errors import StorageError
from ..engines import Engines
from . import buckets
from .buckets import Bucket, canonical_id
from .managing import moment
from .refusals import invalid_argument

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        ListObjectsRequestTypeDef,
        ListObjectsV2RequestTypeDef,
        ListObjectVersionsRequestTypeDef,
    )

_PAGE = 1000
_LONGEST_TOKEN = 4096
#: No UTF-8 has this byte, so every key comes before it.
_END = b"\xff"
_SHOWN = "key, size, etag, last_modified, storage_class, owner, checksum_algorithm, checksum_type"

Row = tuple[Any, ...]
Rows = Generator[Row, None, None]


class _Page:
    """What a listing shows: rows and common prefixes, and where the next page begins."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.prefix: bytes = request.get("Prefix", "").encode()
        self.delimiter: bytes = request.get("Delimiter", "").encode()
        most = request.get("MaxKeys", _PAGE)
        if most < 0:
            raise invalid_argument("Argument maxKeys must be an integer between 0 and 2147483647", "maxKeys", str(most))
        self.most = min(most, _PAGE)
        self.rows: list[Row] = []
        self.common: list[bytes] = []
        self.truncated = False
        #: The last row or common prefix that is shown.
        self.last: Row | bytes | None = None

    @property
    def end(self) -> bytes:
        return behind(self.prefix)

    def after(self, marker: bytes) -> bytes:
        """Where a walk begins that shows what comes after a marker: after a common prefix, behind all that it folds."""
        if not marker:
            return self.prefix
        if self.delimiter and marker.startswith(self.prefix):
            cut = marker.find(self.delimiter, len(self.prefix))
            if cut >= 0 and cut + len(self.delimiter) == len(marker):
                return behind(marker)
        return max(self.prefix, marker + b"\0")

    def walk(self, rows_from: Callable[[bytes], Rows], start: bytes) -> None:
        """`rows_from` gives the rows from a key on, in order, each beginning with its key."""
        if not self.most:
            return
        rows = rows_from(start)
        try:
            while (row := next(rows, None)) is not None:
                if len(self.rows) + len(self.common) == self.most:
                    self.truncated = True
                    return
                cut = row[0].find(self.delimiter, len(self.prefix)) if self.delimiter else -1
                if cut < 0:
                    self.rows.append(row)
                    self.last = row
                    continue
                self.last = common = row[0][: cut + len(self.delimiter)]
                self.common.append(common)
                rows.close()
                rows = rows_from(behind(common))
        finally:
            rows.close()

    @property
    def rest(self) -> bytes:
        """The first key that the next page may show."""
        assert self.last is not None
        return behind(self.last) if isinstance(self.last, bytes) else self.last[0] + b"\0"

    @property
    def last_key(self) -> bytes:
        assert self.last is not None
        return self.last if isinstance(self.last, bytes) else self.last[0]


def behind(prefix: bytes) -> bytes:
    """The first key that comes after all keys with this prefix."""
    return prefix[:-1] + bytes((prefix[-1] + 1,)) if prefix else _END


# Objects


def list_objects(call: Call, request: ListObjectsRequestTypeDef, engines: Engines) -> dict[str, Any]:
    bucket, page = buckets.addressed(call, request, engines), _Page(request)
    marker = request.get("Marker", "")
    page.walk(_seen(engines, bucket, page.end), page.after(marker.encode()))
    text = _texts(request)
    output = _output(bucket, page, request, text) | _found(page, text)
    output["Marker"] = text(marker.encode())
    output["Contents"] = [_entry(row, text, owner=True) for row in page.rows]
    if page.truncated and page.delimiter:
        output["NextMarker"] = text(page.last_key)
    return output


def list_objects_v2(call: Call, request: ListObjectsV2RequestTypeDef, engines: Engines) -> dict[str, Any]:
    bucket, page = buckets.addressed(call, request, engines), _Page(request)
    text = _texts(request)
    output = _output(bucket, page, request, text)
    bound = orjson.dumps(["ListObjectsV2", bucket.id, request.get("Prefix", ""), request.get("Delimiter", "")]).decode()
    start = page.after(request.get("StartAfter", "").encode())
    if "StartAfter" in request:
        output["StartAfter"] = text(request["StartAfter"].encode())
    if "ContinuationToken" in request:
        start = _unsealed(engines, request["ContinuationToken"], bound)
        output["ContinuationToken"] = request["ContinuationToken"]
    page.walk(_seen(engines, bucket, page.end), start)
    owner = request.get("FetchOwner", False)
    output |= _found(page, text)
    output["Contents"] = [_entry(row, text, owner=owner) for row in page.rows]
    output["KeyCount"] = len(page.rows) + len(page.common)
    if page.truncated:
        output["NextContinuationToken"] = base64.b64encode(engines.sealer.seal(page.rest, bound)).decode("ascii")
    return output


def _unsealed(engines: Engines, token: str, bound: str) -> bytes:
    try:
        sealed = base64.b64decode(token[:_LONGEST_TOKEN], validate=True)
        return bytes(engines.sealer.open(sealed, bound))
    except (ValueError, StorageError):
        raise invalid_argument(
            "The continuation token provided is incorrect", "continuation-token", token[:256]
        ) from None


def _seen(engines: Engines, bucket: Bucket, end: bytes) -> Callable[[bytes], Rows]:
    def rows_from(start: bytes) -> Rows:
        cursor = engines.store.read.connection.execute(
            f"SELECT {_SHOWN} FROM s3_objects WHERE bucket_id = ? AND key >= ? AND key < ?"
            " AND latest = 1 AND delete_marker = 0 ORDER BY key",
            (bucket.id, start, end),
        )
        try:
            yield from cursor
        finally:
            cursor.close()

    return rows_from


# Versions


def list_object_versions(call: Call, request: ListObjectVersionsRequestTypeDef, engines: Engines) -> dict[str, Any]:
    bucket, page = buckets.addressed(call, request, engines), _Page(request)
    key, version = request.get("KeyMarker", "").encode(), request.get("VersionIdMarker", "")
    if version and not key:
        raise invalid_argument(
            "A version-id marker cannot be specified without a key marker.", "version-id-marker", version[:256]
        )
    start, before = page.after(key), None
    if version and start == key + b"\0":
        start, before = key, _sequence(engines, bucket, key, version)
    page.walk(_versions(engines, bucket, page.end, before, start), start)
    text = _texts(request)
    output = _output(bucket, page, request, text) | _found(page, text)
    output["KeyMarker"] = text(key)
    output["VersionIdMarker"] = version
    output["Versions"] = [_version(row, text) for row in page.rows if not row[10]]
    output["DeleteMarkers"] = [_marker(row, text) for row in page.rows if row[10]]
    if page.truncated:
        output["NextKeyMarker"] = text(page.last_key)
        if isinstance(page.last, tuple):
            output["NextVersionIdMarker"] = page.last[8]
    return output


def _sequence(engines: Engines, bucket: Bucket, key: bytes, version: str) -> int | None:
    """Where a version stands among its key's; None where it is gone, so that the key is listed from its newest on:
    what was listed may come again, but nothing is left out."""
    row = engines.store.read.connection.execute(
        "SELECT sequence FROM s3_objects WHERE bucket_id = ? AND key = ? AND version_id = ?", (bucket.id, key, version)
    ).fetchone()
    return None if row is None else int(row[0])


def _versions(
    engines: Engines, bucket: Bucket, end: bytes, before: int | None, first: bytes
) -> Callable[[bytes], Rows]:
    """The walk that begins at the key `first` leaves out its versions from the sequence `before` on."""

    def rows_from(start: bytes) -> Rows:
        select = f"SELECT {_SHOWN}, version_id, latest, delete_marker FROM s3_objects WHERE bucket_id = ?"
        connection = engines.store.read.connection
        if before is not None and start == first:
            rest = connection.execute(
                f"{select} AND key = ? AND sequence < ? ORDER BY sequence DESC", (bucket.id, start, before)
            )
            try:
                yield from rest
            finally:
                rest.close()
            start += b"\0"
        cursor = connection.execute(
            f"{select} AND key >= ? AND key < ? ORDER BY key, sequence DESC", (bucket.id, start, end)
        )
        try:
            yield from cursor
        finally:
            cursor.close()

    return rows_from


# What is shown


def _texts(request: Mapping[str, Any]) -> Callable[[bytes], str]:
    """How keys are written: with `encoding-type=url` as forms are, but with their slashes."""
    kind = request.get("EncodingType")
    if kind is None:
        return bytes.decode
    if kind != "url":
        raise invalid_argument("Invalid Encoding Method specified in Request", "encoding-type", kind[:256])
    return lambda key: quote(key, safe="/*-._ ").replace("~", "%7E").replace(" ", "+")


def _output(bucket: Bucket, page: _Page, request: Mapping[str, Any], text: Callable[[bytes], str]) -> dict[str, Any]:
    output: dict[str, Any] = {"Name": bucket.name, "Prefix": text(page.prefix), "MaxKeys": page.most}
    if page.delimiter:
        output["Delimiter"] = text(page.delimiter)
    if "EncodingType" in request:
        output["EncodingType"] = "url"
    return output


def _found(page: _Page, text: Callable[[bytes], str]) -> dict[str, Any]:
    return {
        "IsTruncated": page.truncated,
        "CommonPrefixes": [{"Prefix": text(common)} for common in page.common],
    }


def _entry(row: Row, text: Callable[[bytes], str], *, owner: bool) -> dict[str, Any]:
    key, size, etag, modified, storage_class, account, algorithm, kind = row[:8]
    entry: dict[str, Any] = {
        "Key": text(key),
        "LastModified": moment(modified / 1000),
        "ETag": f'"{etag}"',
        "Size": size,
        "StorageClass": storage_class,
    }
    if algorithm:
        entry |= {"ChecksumAlgorithm": [algorithm], "ChecksumType": kind}
    if owner:
        entry["Owner"] = {"ID": canonical_id(account)}
    return entry


def _version(row: Row, text: Callable[[bytes], str]) -> dict[str, Any]:
    return _entry(row, text, owner=True) | {"VersionId": row[8], "IsLatest": bool(row[9])}


def _marker(row: Row, text: Callable[[bytes], str]) -> dict[str, Any]:
    return {
        "Key": text(row[0]),
        "LastModified": moment(row[3] / 1000),
        "Owner": {"ID": canonical_id(row[5])},
        "VersionId": row[8],
        "IsLatest": bool(row[9]),
    }
