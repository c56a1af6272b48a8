"""The condition keys of S3: what policies can ask of a request and of the object that it is about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from ...call import Call
from .stored import Version

Context = dict[str, tuple[str, ...]]

#: Members of inputs, by the keys that have their values.
_MEMBERS = {
    "s3:delimiter": "Delimiter",
    "s3:if-match": "IfMatch",
    "s3:if-none-match": "IfNoneMatch",
    "s3:max-keys": "MaxKeys",
    "s3:prefix": "Prefix",
    "s3:versionid": "VersionId",
    "s3:x-amz-acl": "ACL",
    "s3:x-amz-grant-full-control": "GrantFullControl",
    "s3:x-amz-grant-read": "GrantRead",
    "s3:x-amz-grant-read-acp": "GrantReadACP",
    "s3:x-amz-grant-write": "GrantWrite",
    "s3:x-amz-grant-write-acp": "GrantWriteACP",
    "s3:x-amz-metadata-directive": "MetadataDirective",
    "s3:x-amz-object-ownership": "ObjectOwnership",
    "s3:x-amz-server-side-encryption": "ServerSideEncryption",
    "s3:x-amz-server-side-encryption-aws-kms-key-id": "SSEKMSKeyId",
    "s3:x-amz-server-side-encryption-customer-algorithm": "SSECustomerAlgorithm",
    "s3:x-amz-storage-class": "StorageClass",
    "s3:x-amz-website-redirect-location": "WebsiteRedirectLocation",
}
#: Operations in which a key of a condition stands for something else, or for nothing.
_CREATING = frozenset({"PutObject", "CopyObject", "CompleteMultipartUpload"})


def of_request(call: Call) -> Context:
    """What the request itself tells. A key that it does not have is left out."""
    given = call.input or {}
    found = {key: given[member] for key, member in _MEMBERS.items() if given.get(member) is not None}
    constraint = given.get("CreateBucketConfiguration", {}).get("LocationConstraint")
    if constraint is not None:
        found["s3:locationconstraint"] = constraint
    if "CopySource" in given:
        found["s3:x-amz-copy-source"] = given["CopySource"]
    if call.route is not None and call.route.operation.name in _CREATING:
        found["s3:objectcreationoperation"] = "true"
    found.update(_of_signature(call))
    context: Context = {key: (str(value),) for key, value in found.items()}
    context.update(_tags("s3:requestobjecttag", requested_tags(given)))
    return context


def of_object(version: Version | None) -> Context:
    return {} if version is None else dict(_tags("s3:existingobjecttag", version.document.tags.items(), keys=False))


def requested_tags(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Of the tagging header or of a document of tags; what is wrong with them is not judged here."""
    tagging = given.get("Tagging")
    if isinstance(tagging, str):
        return parse_qsl(tagging, keep_blank_values=True, max_num_fields=100) if tagging.count("&") < 100 else []
    if isinstance(tagging, dict):
        return [(str(tag.get("Key", "")), str(tag.get("Value", ""))) for tag in tagging.get("TagSet") or ()]
    return []


def _tags(name: str, tags: Iterable[tuple[str, str]], *, keys: bool = True) -> Iterator[tuple[str, tuple[str, ...]]]:
    given = list(tags)
    for key, value in given:
        yield f"{name}/{key.lower()}", (value,)
    if keys and given:
        yield f"{name}keys", tuple(key for key, _ in given)


def _of_signature(call: Call) -> Iterator[tuple[str, str]]:
    headers, query = call.request.headers, call.request.query
    authorization = headers.get("authorization", "")
    if authorization.startswith("AWS4-"):
        yield "s3:authtype", "REST-HEADER"
        yield "s3:signatureversion", authorization.partition(" ")[0]
        yield from _age(call, headers.get("x-amz-date", ""))
    elif "X-Amz-Signature=" in query:
        named = dict(parse_qsl(query, max_num_fields=10_000))
        yield "s3:authtype", "REST-QUERY-STRING"
        yield "s3:signatureversion", named.get("X-Amz-Algorithm", "")
        yield from _age(call, named.get("X-Amz-Date", ""))
    elif authorization.startswith("AWS ") or "AWSAccessKeyId=" in query:
        yield "s3:authtype", "REST-HEADER" if authorization else "REST-QUERY-STRING"
        yield "s3:signatureversion", "AWS"
    if "x-amz-content-sha256" in headers:
        yield "s3:x-amz-content-sha256", headers["x-amz-content-sha256"]
    if call.source.tls is not None:
        yield "s3:tlsversion", call.source.tls.version.removeprefix("TLSv")


def _age(call: Call, signed: str) -> Iterator[tuple[str, str]]:
    """Milliseconds since the request was signed."""
    try:
        moment = datetime.strptime(signed, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return
    yield "s3:signatureage", str(max(0, round((call.received - moment.timestamp()) * 1000)))
