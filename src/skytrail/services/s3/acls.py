"""Access control lists: canned ones, grants in headers and in XML; what they grant to whom; the lists of buckets.

A list is kept as its grants. None stands for the list that an owner's resource has at first: full control for the
owner, nothing for anyone else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ..engines import Engines
from . import buckets
from .buckets import Bucket, Grant, canonical_id
from .refusals import invalid_argument, invalid_request, malformed_acl, unsupported

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import GetBucketAclRequestTypeDef, PutBucketAclRequestTypeDef

_GROUPS = "http://acs.amazonaws.com/groups/"
ALL_USERS = _GROUPS + "global/AllUsers"
AUTHENTICATED_USERS = _GROUPS + "global/AuthenticatedUsers"
_LOG_DELIVERY = _GROUPS + "s3/LogDelivery"
PUBLIC = frozenset({ALL_USERS, AUTHENTICATED_USERS})
_KNOWN_GROUPS = PUBLIC | {_LOG_DELIVERY}

FULL_CONTROL = "FULL_CONTROL"
_MOST = 100
#: What canned lists grant besides full control for the owner.
_CANNED: Mapping[str, tuple[Grant, ...]] = {
    "private": (),
    "public-read": (Grant("READ", uri=ALL_USERS),),
    "public-read-write": (Grant("READ", uri=ALL_USERS), Grant("WRITE", uri=ALL_USERS)),
    "authenticated-read": (Grant("READ", uri=AUTHENTICATED_USERS),),
}
#: Of objects, for the owner of their bucket.
_FOR_BUCKET_OWNER = {"bucket-owner-read": "READ", "bucket-owner-full-control": FULL_CONTROL}
_HEADERS = {
    "GrantFullControl": FULL_CONTROL,
    "GrantRead": "READ",
    "GrantReadACP": "READ_ACP",
    "GrantWrite": "WRITE",
    "GrantWriteACP": "WRITE_ACP",
}
_GRANTEE = re.compile(r'\s*(?P<kind>id|uri|emailAddress)\s*=\s*(?:"(?P<quoted>[^"]*)"|(?P<bare>[^",\s]*))\s*')
_CANONICAL = re.compile(r"[0-9a-f]{64}")

Acl = tuple[Grant, ...] | None


# What a request asks for


def asked(request: Mapping[str, Any]) -> bool:
    """Whether its headers ask for a list."""
    return "ACL" in request or any(name in request for name in _HEADERS)


def of_headers(request: Mapping[str, Any], owner: str, bucket_owner: str | None = None) -> Acl:
    """The list that the headers of a request ask for; None where they ask for none. `owner` and `bucket_owner` are
    canonical ids, the latter given where the list is an object's."""
    granted = [
        grant
        for name, permission in _HEADERS.items()
        if name in request
        for grant in _grants(request[name], permission)
    ]
    canned = request.get("ACL")
    if canned is None:
        return _bounded(tuple(granted)) if granted else None
    if granted:
        raise invalid_request("Specifying both Canned ACLs and Header Grants is not allowed")
    own = (Grant(FULL_CONTROL, id=owner),)
    if bucket_owner is not None and canned in _FOR_BUCKET_OWNER:
        return own if bucket_owner == owner else (*own, Grant(_FOR_BUCKET_OWNER[canned], id=bucket_owner))
    if canned not in _CANNED:
        raise unsupported(f"The canned ACL {canned}")
    return own + _CANNED[canned]


def of_document(document: Mapping[str, Any], owner: str) -> Acl:
    """The list of an AccessControlPolicy."""
    if "Owner" not in document or "Grants" not in document:
        raise malformed_acl()
    if document["Owner"].get("ID") != owner:
        raise buckets.denied()
    found = []
    for line in document["Grants"] or ():
        if "Grantee" not in line or "Permission" not in line:
            raise malformed_acl()
        grantee, permission = line["Grantee"], line["Permission"]
        kinds = {
            "CanonicalUser": ("id", "ID"),
            "Group": ("uri", "URI"),
            "AmazonCustomerByEmail": ("emailAddress", "EmailAddress"),
        }
        kind, member = kinds.get(grantee.get("Type", ""), ("", ""))
        if not kind or member not in grantee:
            raise malformed_acl()
        found.append(_grant(permission, kind, grantee[member]))
    return _bounded(tuple(found))


def of_request(call: Call, request: Mapping[str, Any], owner: str, bucket_owner: str | None = None) -> Acl:
    """Of a Put of a list, which says it in its headers or in its body."""
    in_headers, document = of_headers(request, owner, bucket_owner), request.get("AccessControlPolicy")
    if in_headers is not None and document is not None:
        raise ServiceError("UnexpectedContent", "This request does not support content", status=400)
    if in_headers is not None:
        return in_headers
    if document is None:
        raise ServiceError(
            "MissingSecurityHeader",
            "Your request was missing a required header",
            status=400,
            members={"MissingHeaderName": "x-amz-acl"},
        )
    return of_document(document, owner)


def _grants(header: str, permission: str) -> list[Grant]:
    found, position = [], 0
    while position < len(header):
        match = _GRANTEE.match(header, position)
        if match is None or header[match.end() : match.end() + 1] not in ("", ","):
            raise invalid_argument("Argument format not recognized", f"x-amz-grant-{permission.lower()}", header[:256])
        value = match["quoted"] if match["quoted"] is not None else match["bare"]
        found.append(_grant(permission, match["kind"], value))
        position = match.end() + 1
        if len(found) > _MOST:
            raise _too_many()
    return found


def _grant(permission: str, kind: str, value: str) -> Grant:
    if kind == "id":
        if not _CANONICAL.fullmatch(value):
            raise invalid_argument("Invalid id", "CanonicalUser/ID", value[:256])
        return Grant(permission, id=value)
    if kind == "uri":
        if value not in _KNOWN_GROUPS:
            raise invalid_argument("Invalid group uri", "Group/URI", value[:256])
        return Grant(permission, uri=value)
    raise ServiceError(
        "UnresolvableGrantByEmailAddress",
        "The e-mail address you provided does not match any account on record.",
        status=400,
    )


def _bounded(acl: tuple[Grant, ...]) -> tuple[Grant, ...]:
    if len(acl) > _MOST:
        raise _too_many()
    return tuple(dict.fromkeys(acl))


def _too_many() -> ServiceError:
    return invalid_request(f"An ACL may have up to {_MOST} grants.")


# What a bucket's settings let be


def is_public(acl: Acl) -> bool:
    return any(grant.uri in PUBLIC for grant in acl or ())


def only_owner(acl: Acl, owner: str) -> bool:
    """Whether it says no more than the list that a resource has at first."""
    return acl is None or acl == (Grant(FULL_CONTROL, id=owner),)


def admit(bucket: Bucket, acl: Acl) -> None:
    """Refuse what the bucket's settings keep anyone from putting, on it or on its objects."""
    if not bucket.acls_enabled:
        raise not_supported()
    check_public(bucket, acl)


def check_public(bucket: Bucket, acl: Acl) -> None:
    block = bucket.public_access_block
    if block is not None and block.block_acls and is_public(acl):
        raise buckets.denied()


def not_supported() -> ServiceError:
    return ServiceError("AccessControlListNotSupported", "The bucket does not allow ACLs", status=400)


def of_new_object(call: Call, bucket: Bucket, request: Mapping[str, Any]) -> tuple[str, Acl]:
    """The account that owns an object which the call puts into the bucket, and the object's list."""
    # What comes without credentials is nobody else's.
    writer = bucket.account if call.identity.anonymous else call.account
    acl = of_headers(request, canonical_id(writer), bucket.owner)
    if not bucket.acls_enabled:
        full = (Grant(FULL_CONTROL, id=canonical_id(writer)), Grant(FULL_CONTROL, id=bucket.owner))
        if acl is not None and request.get("ACL") != "bucket-owner-full-control" and not set(acl) <= set(full[1:]):
            raise not_supported()
        return bucket.account, None
    if bucket.ownership == "BucketOwnerPreferred" and request.get("ACL") == "bucket-owner-full-control":
        return bucket.account, None
    check_public(bucket, acl)
    return writer, acl


# Whom a list lets in


def grants(acl: Acl, owner: str, permission: str, canonical: str | None, *, public: bool = True) -> str:
    """Who is granted a permission: "everyone", the "account" of this canonical id, or "" for nobody. None stands for
    a caller who is not known; without `public` what is granted to the public does not count."""
    found = ""
    for grant in entries(acl, owner):
        if grant.permission not in (permission, FULL_CONTROL):
            continue
        if public and (grant.uri == ALL_USERS or (grant.uri == AUTHENTICATED_USERS and canonical is not None)):
            return "everyone"
        if canonical is not None and grant.id == canonical:
            found = "account"
    return found


def entries(acl: Acl, owner: str) -> tuple[Grant, ...]:
    return (Grant(FULL_CONTROL, id=owner),) if acl is None else acl


def shown(acl: Acl, owner: str) -> dict[str, Any]:
    return {
        "Owner": {"ID": owner},
        "Grants": [
            {
                "Grantee": {"Type": "Group", "URI": grant.uri}
                if grant.uri
                else {"Type": "CanonicalUser", "ID": grant.id},
                "Permission": grant.permission,
            }
            for grant in entries(acl, owner)
        ],
    }


# Of buckets


def get_bucket_acl(call: Call, request: GetBucketAclRequestTypeDef, engines: Engines) -> dict[str, Any]:
    bucket = buckets.addressed(call, request, engines)
    return shown(bucket.acl, bucket.owner)


def put_bucket_acl(call: Call, request: PutBucketAclRequestTypeDef, engines: Engines) -> Change:
    acl = of_request(call, request, buckets.existing(engines.store.read, request["Bucket"]).owner)

    def change(bucket: Bucket) -> Bucket:
        admit(bucket, acl)
        return msgspec.structs.replace(bucket, acl=acl)

    return buckets.changed(call, request, engines, change)
