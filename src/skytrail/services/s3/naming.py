"""Names of buckets, tags."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ...errors import ServiceError

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+")
_RESERVED_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")

_TAG_TEXT = re.compile(r"[\w\s.:/=+@-]*")
_TAG_KEY, _TAG_VALUE = 128, 256


def check(name: str) -> None:
    """Whether a bucket may have this name."""
    if (
        not _NAME.fullmatch(name)
        or ".." in name
        or _ADDRESS.fullmatch(name)
        or name.startswith(_RESERVED_PREFIXES)
        or name.endswith(_RESERVED_SUFFIXES)
    ):
        raise ServiceError(
            "InvalidBucketName", "The specified bucket is not valid.", status=400, members={"BucketName": name}
        )


def tags(given: Iterable[Mapping[str, Any]], most: int = 50) -> dict[str, str]:
    """A set of tags, by their keys."""
    found: dict[str, str] = {}
    for tag in given:
        key, value = tag["Key"], tag["Value"]
        if not 1 <= len(key) <= _TAG_KEY or not _TAG_TEXT.fullmatch(key):
            raise _invalid_tag("The TagKey you have provided is invalid")
        if len(value) > _TAG_VALUE or not _TAG_TEXT.fullmatch(value):
            raise _invalid_tag("The TagValue you have provided is invalid")
        if key.lower().startswith("aws:"):
            raise _invalid_tag("System tags cannot be added/updated by requester")
        if key in found:
            raise _invalid_tag("Cannot provide multiple Tags with the same key")
        found[key] = value
    if len(found) > most:
        raise ServiceError("BadRequest", f"Bucket tag count cannot be greater than {most}", status=400)
    return found


def _invalid_tag(why: str) -> ServiceError:
    return ServiceError("InvalidTag", why, status=400)
