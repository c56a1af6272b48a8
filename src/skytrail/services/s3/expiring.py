"""The end of objects, versions and uploads whose lifecycle is over: looked for at each midnight, UTC, as S3 does.

What is found is ended by calls of S3 to itself, so that each of them is recorded and told of.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, pairwise
from typing import Any

import msgspec

from ...errors import ServiceError, StorageError
from ...storage.state import Reader
from ...work.clock import Timer
from ..engines import Engines
from . import buckets, lifecycle
from .buckets import BUCKETS, Bucket
from .events import PRINCIPAL
from .stored import Document

_DAY = 86_400_000
#: What one look gathers before it acts on it.
_BATCH = 500
#: Of one key, in one look; the others wait for the next.
_MOST = 10_000

#: An operation and its parameters.
Act = tuple[str, dict[str, Any]]

_log = logging.getLogger(__name__)
_decode = msgspec.json.Decoder(Document).decode


@dataclass(slots=True, frozen=True)
class _Version:
    id: str
    delete_marker: int
    size: int
    modified: int
    tags: Mapping[str, str]


def start(engines: Engines) -> None:
    """The first look makes up for midnights that the server has missed; the daily one sets the next midnight anew,
    should the clock have been set back meanwhile."""
    clock = engines.clock
    midnight: Timer | None = None

    async def look() -> None:
        nonlocal midnight
        now = clock.time()
        if midnight is not None:
            midnight.cancel()
        midnight = clock.at((now // 86400 + 1) * 86400, look)
        await end_all(engines, int(now * 1000))

    midnight = clock.at(clock.time(), look)
    clock.every(86400, look)


async def end_all(engines: Engines, now: int) -> None:
    for _, _, name, bucket in list(engines.store.read.everywhere(BUCKETS)):
        if any(rule["Status"] == "Enabled" for rule in bucket.lifecycle):
            await _end(engines, name, bucket.id, now)


async def _end(engines: Engines, name: str, bucket_id: str, now: int) -> None:
    place = b""
    while True:
        bucket = buckets.find(engines.store.read, name)
        if bucket is None or bucket.id != bucket_id:
            return
        place, acts = _gather(engines.store.read, bucket, place, now)
        for operation, parameters in acts:
            await _act(engines, bucket, operation, parameters)
        if not place:
            break
    for operation, parameters in list(_uploads(engines.store.read, bucket, now)):
        await _act(engines, bucket, operation, parameters)


async def _act(engines: Engines, bucket: Bucket, operation: str, parameters: dict[str, Any]) -> None:
    try:
        await engines.internal.call(
            "s3",
            operation,
            {"Bucket": bucket.name, **parameters},
            principal=PRINCIPAL,
            account=bucket.account,
            region=bucket.region,
            source_arn=bucket.arn,
        )
    except (ServiceError, StorageError) as error:
        _log.warning("the lifecycle of %s could not end %s: %s", bucket.arn, parameters.get("Key"), error)


# What is over


def _gather(reader: Reader, bucket: Bucket, after: bytes, now: int) -> tuple[bytes, list[Act]]:
    """What is to be done with some of the keys after this one, and the last of them; "" where there are no more."""
    acts: list[Act] = []
    keys = reader.connection.execute(
        "SELECT DISTINCT key FROM s3_objects WHERE bucket_id = ? AND key > ? ORDER BY key LIMIT ?",
        (bucket.id, after, _BATCH),
    ).fetchall()
    rules = [rule for rule in bucket.lifecycle if rule["Status"] == "Enabled"]
    for (key,) in keys:
        acts += islice(_of_key(key.decode(), rules, _versions(reader, bucket, key), now), _MOST)
    return (keys[-1][0] if len(keys) == _BATCH else b""), acts


def _versions(reader: Reader, bucket: Bucket, key: bytes) -> list[_Version]:
    """Of one key, the newest first."""
    rows = reader.connection.execute(
        "SELECT version_id, delete_marker, size, last_modified, document FROM s3_objects"
        " WHERE bucket_id = ? AND key = ? ORDER BY sequence DESC",
        (bucket.id, key),
    )
    return [
        _Version(version_id, marker, size, modified, _decode(document).tags)
        for version_id, marker, size, modified, document in rows
    ]


def _of_key(key: str, rules: Sequence[Mapping[str, Any]], versions: Sequence[_Version], now: int) -> Iterator[Act]:
    newest = versions[0]
    expiring = [rule["Expiration"] for rule in rules if "Expiration" in rule and _meets(rule, key, newest)]
    if newest.delete_marker:
        alone = len(versions) == 1
        if alone and any(each.get("ExpiredObjectDeleteMarker") or _over(each, newest, now) for each in expiring):
            yield "DeleteObject", {"Key": key, "VersionId": newest.id}
    elif any(_over(each, newest, now) for each in expiring):
        yield "DeleteObject", {"Key": key}
    given = [(rule, rule["NoncurrentVersionExpiration"]) for rule in rules if "NoncurrentVersionExpiration" in rule]
    # A version stopped being the current one when the next one came. The newest of them may be kept.
    for place, (newer, version) in enumerate(pairwise(versions)):
        if any(
            place >= each.get("NewerNoncurrentVersions", 0)
            and _days_over(newer.modified, each["NoncurrentDays"], now)
            and _meets(rule, key, version)
            for rule, each in given
        ):
            yield "DeleteObject", {"Key": key, "VersionId": version.id}


def _uploads(reader: Reader, bucket: Bucket, now: int) -> Iterator[Act]:
    for rule in bucket.lifecycle:
        given = rule.get("AbortIncompleteMultipartUpload")
        if given is None or rule["Status"] != "Enabled":
            continue
        prefix = lifecycle.criteria(rule).get("Prefix", "").encode()
        uploads = reader.connection.execute(
            "SELECT key, upload_id, initiated FROM s3_uploads WHERE bucket_id = ? AND substr(key, 1, ?) = ?",
            (bucket.id, len(prefix), prefix),
        ).fetchall()
        for key, upload_id, initiated in uploads:
            if _days_over(initiated, given["DaysAfterInitiation"], now):
                yield "AbortMultipartUpload", {"Key": key.decode(), "UploadId": upload_id}


def _meets(rule: Mapping[str, Any], key: str, version: _Version) -> bool:
    given = lifecycle.criteria(rule)
    return (
        key.startswith(given.get("Prefix", ""))
        and all(version.tags.get(tag["Key"]) == tag["Value"] for tag in given.get("Tags", ()))
        and version.size > given.get("ObjectSizeGreaterThan", -1)
        and version.size < given.get("ObjectSizeLessThan", version.size + 1)
    )


def _over(expiration: Mapping[str, Any], version: _Version, now: int) -> bool:
    if "Days" in expiration:
        return _days_over(version.modified, expiration["Days"], now)
    date = expiration.get("Date")
    return date is not None and now >= datetime.fromisoformat(date).timestamp() * 1000


def _days_over(since: int, days: int, now: int) -> bool:
    """Days are counted up to the next midnight."""
    end = since + days * _DAY
    return now >= end + -end % _DAY
