"""Conditions of requests, and the part of an object that they ask for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ...errors import ServiceError
from .refusals import invalid_argument
from .stored import Version, no_key

_ETAG = re.compile(r'\s*(?:W/)?(?:"([^"]*)"|([^",\s]*))\s*(?:,|\Z)')
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


def _names(header: str, etag: str) -> bool:
    """Whether an If-Match or If-None-Match names this tag."""
    if header.strip() == "*":
        return True
    position = 0
    while position < len(header) and (match := _ETAG.match(header, position)) is not None:
        if etag == (match[1] if match[1] is not None else match[2]):
            return True
        position = match.end()
    return False


def failed(condition: str) -> ServiceError:
    return ServiceError(
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
        status=412,
        members={"Condition": condition},
    )


# Reads


def check_read(request: Mapping[str, Any], found: Version) -> None:
    """If-Match stands before If-Unmodified-Since, If-None-Match before If-Modified-Since."""
    broken = _broken(request, found, "")
    if broken in ("If-Match", "If-Unmodified-Since"):
        raise failed(broken)
    if broken:
        headers = {"ETag": found.quoted_etag, "Last-Modified": found.modified.strftime("%a, %d %b %Y %H:%M:%S GMT")}
        if found.version_id != "null":
            headers["x-amz-version-id"] = found.version_id
        raise ServiceError("NotModified", "Not Modified", status=304, headers=headers)


def check_source(request: Mapping[str, Any], found: Version) -> None:
    """Of a copy: whatever does not hold, it is not made."""
    broken = _broken(request, found, "CopySource")
    if broken:
        raise failed(f"x-amz-copy-source-{broken}")


def _broken(request: Mapping[str, Any], found: Version, of: str) -> str:
    """The header of the first condition that does not hold."""
    match, none_match = request.get(f"{of}IfMatch"), request.get(f"{of}IfNoneMatch")
    unmodified: datetime | None = request.get(f"{of}IfUnmodifiedSince")
    modified: datetime | None = request.get(f"{of}IfModifiedSince")
    if match is not None:
        if not _names(match, found.etag):
            return "If-Match"
    elif unmodified is not None and found.modified > unmodified:
        return "If-Unmodified-Since"
    if none_match is not None:
        if _names(none_match, found.etag):
            return "If-None-Match"
    elif modified is not None and found.modified <= modified:
        return "If-Modified-Since"
    return ""


# Writes


def check_form(request: Mapping[str, Any]) -> None:
    """What conditions S3 knows of a write."""
    match, none_match = request.get("IfMatch"), request.get("IfNoneMatch")
    if none_match is not None and (none_match.strip() != "*" or match is not None):
        raise _not_implemented("If-None-Match")
    if match is not None and match.strip() == "*":
        raise _not_implemented("If-Match")


def check_write(
    request: Mapping[str, Any], key: str, latest: Callable[[], Version | None], *, late: bool = False
) -> None:
    """`latest` finds the key's newest version; `late` when the body has come, and the condition held before."""
    if request.get("IfMatch") is None and request.get("IfNoneMatch") is None:
        return
    standing = latest()
    there = standing is not None and not standing.delete_marker
    if request.get("IfNoneMatch") is not None and there:
        raise failed("If-None-Match")
    match = request.get("IfMatch")
    if match is None:
        return
    if not there and late:
        raise ServiceError(
            "ConditionalRequestConflict",
            "The conditional request cannot succeed due to a conflicting operation against this resource.",
            status=409,
            members={"Condition": "If-Match", "Key": key},
        )
    if not there:
        raise no_key(key)
    assert standing is not None
    if not _names(match, standing.etag):
        raise failed("If-Match")


def check_delete(etag: str | None, key: str, standing: Version | None) -> None:
    if etag is None:
        return
    if standing is None:
        raise no_key(key)
    if standing.delete_marker or not _names(etag, standing.etag):
        raise failed("If-Match")


def refuse_headers(request: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """What only S3's other kinds of buckets have; `names` tells the headers of the members."""
    for member, header in names.items():
        if request.get(member) is not None:
            raise _not_implemented(header)


def _not_implemented(header: str) -> ServiceError:
    return ServiceError(
        "NotImplemented",
        "A header you provided implies functionality that is not implemented",
        status=501,
        members={"Header": header},
    )


# Parts of an object


def span(header: str | None, size: int) -> tuple[int, int] | None:
    """From where up to where a Range goes; None for all of the object, also where the header cannot be read."""
    match = _RANGE.fullmatch(header.strip()) if header is not None else None
    if match is None or not (match[1] or match[2]):
        return None
    if match[1]:
        start = int(match[1])
        end = min(int(match[2]) + 1, size) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    else:
        start, end = max(0, size - int(match[2])), size
    if start >= end:
        raise ServiceError(
            "InvalidRange",
            "The requested range is not satisfiable",
            status=416,
            members={"RangeRequested": header, "ActualObjectSize": size},
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, end


def check_part_number(number: int) -> None:
    if not 1 <= number <= 10_000:
        raise invalid_argument(
            "Part number must be an integer between 1 and 10000, inclusive", "partNumber", str(number)
        )
