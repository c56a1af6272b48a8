"""What a put says of its object besides the body: headers, metadata, tags, storage class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from ...call import Call
from ...errors import ServiceError
from . import acls, conditions, naming
from .buckets import Bucket
from .encryption import Seal
from .refusals import invalid_argument, invalid_request
from .stored import Document

#: What a GET gives back as it was put.
_HEADERS = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "WebsiteRedirectLocation",
)
_DEFAULT_TYPE = "binary/octet-stream"
_MOST_METADATA = 2048
_LONGEST_REDIRECT = 2048
_MOST_TAGS = 10
_CLASSES = frozenset(
    {
        "STANDARD",
        "REDUCED_REDUNDANCY",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "GLACIER",
        "DEEP_ARCHIVE",
        "GLACIER_IR",
    }
)
_LOCKS = (
    "ObjectLockMode",
    "ObjectLockRetainUntilDate",
    "ObjectLockLegalHoldStatus",
    "ObjectLockEventHold",
    "ObjectLockEventHoldDurationDays",
    "ObjectLockEventHoldDurationYears",
)


class Put(msgspec.Struct, frozen=True):
    """What a request says of the object that it makes."""

    storage_class: str
    #: The account.
    owner: str
    #: Without its bodies and what they are sealed with.
    document: Document


def of_request(call: Call, request: Mapping[str, Any], bucket: Bucket) -> Put:
    if any(request.get(name) is not None for name in _LOCKS):
        raise invalid_request("Bucket is missing Object Lock Configuration")
    conditions.refuse_headers(request, {"WriteOffsetBytes": "x-amz-write-offset-bytes"})
    owner, acl = acls.of_new_object(call, bucket, request)
    return Put(storage_class(request), owner, described(request, Document(acl=acl, tags=header_tags(request))))


def described(request: Mapping[str, Any], document: Document) -> Document:
    """The document with the headers and metadata of a request."""
    headers = {name: str(request[name]) for name in _HEADERS if request.get(name)}
    headers.setdefault("ContentType", _DEFAULT_TYPE)
    if "WebsiteRedirectLocation" in headers:
        _check_redirect(headers["WebsiteRedirectLocation"])
    expires = request.get("Expires")
    return msgspec.structs.replace(
        document,
        headers=headers,
        expires=None if expires is None else expires.timestamp(),
        metadata=_metadata(request.get("Metadata") or {}),
    )


def sealed(document: Document, seal: Seal) -> Document:
    return msgspec.structs.replace(document, seal=seal)


def storage_class(request: Mapping[str, Any]) -> str:
    found: str = request.get("StorageClass", "STANDARD")
    if found not in _CLASSES:
        raise ServiceError(
            "InvalidStorageClass",
            "The storage class you specified is not valid",
            status=400,
            members={"StorageClassRequested": found},
        )
    return found


def header_tags(request: Mapping[str, Any]) -> dict[str, str]:
    header: str | None = request.get("Tagging")
    if not header:
        return {}
    try:
        pairs = parse_qsl(header, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=100)
    except (ValueError, UnicodeError):
        raise _malformed_tags(header) from None
    if len({key for key, _ in pairs}) < len(pairs):
        raise _malformed_tags(header)
    return tags([{"Key": key, "Value": value} for key, value in pairs])


def tags(given: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    if len(given) > _MOST_TAGS:
        raise ServiceError("BadRequest", f"Object tags cannot be greater than {_MOST_TAGS}", status=400)
    return naming.tags(given, _MOST_TAGS)


def _malformed_tags(header: str) -> ServiceError:
    return invalid_argument(
        "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name "
        "duplicates.",
        "x-amz-tagging",
        header[:256],
    )


def _metadata(given: Mapping[str, str]) -> dict[str, str]:
    metadata = {name.lower(): value for name, value in given.items()}
    size = sum(len(name.encode()) + len(value.encode("utf-8", "surrogatepass")) for name, value in metadata.items())
    if size > _MOST_METADATA:
        raise ServiceError(
            "MetadataTooLarge",
            "Your metadata headers exceed the maximum allowed metadata size",
            status=400,
            members={"Size": size, "MaxSizeAllowed": _MOST_METADATA},
        )
    return metadata


def _check_redirect(location: str) -> None:
    if not location.startswith(("/", "http://", "https://")):
        raise ServiceError(
            "InvalidRedirectLocation",
            "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.",
            status=400,
        )
    if len(location) > _LONGEST_REDIRECT:
        raise ServiceError(
            "InvalidRedirectLocation",
            f"The length of website redirect location cannot exceed {_LONGEST_REDIRECT} characters.",
            status=400,
        )
