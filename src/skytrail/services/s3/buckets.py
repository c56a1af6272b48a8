"""A bucket, as the store keeps it, and how a call finds the one that it means.

Names are global: over all accounts and Regions there is one bucket of a name. What an account owns is indexed under
the account, so that listing does not read the buckets of others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ...storage.state import Kind, Reader
from ...storage.store import Transaction
from ...wire import arns
from ...wire.routing import scope_of
from ..engines import Engines
from . import checksums

#: Region of buckets that name none.
FIRST_REGION = "us-east-1"


class Grant(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of an access control list: a permission for an account, by its canonical id, or for a group's URI."""

    permission: str
    id: str = ""
    uri: str = ""


class Encryption(msgspec.Struct, frozen=True, omit_defaults=True):
    """What objects are encrypted with where their put names nothing."""

    algorithm: str = "AES256"
    kms_key: str = ""
    bucket_key: bool = False


class PublicAccessBlock(msgspec.Struct, frozen=True, omit_defaults=True):
    block_acls: bool = False
    ignore_acls: bool = False
    block_policy: bool = False
    restrict_buckets: bool = False


#: What a new bucket has.
ALL_BLOCKED = PublicAccessBlock(True, True, True, True)


class Bucket(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    account: str
    region: str
    created: float
    #: Opaque; another one each time that a bucket of this name is made. Objects are kept under it.
    id: str
    #: "" until it was set for the first time, then "Enabled" or "Suspended".
    versioning: str = ""
    encryption: Encryption = Encryption()
    #: "" where the controls were deleted, which means what "ObjectWriter" does.
    ownership: str = "BucketOwnerEnforced"
    #: None where it is what a bucket has at first: full control for its owner.
    acl: tuple[Grant, ...] | None = None
    tags: dict[str, str] = {}
    public_access_block: PublicAccessBlock | None = ALL_BLOCKED
    #: The document, as it was put.
    policy: str = ""
    #: Configurations that are kept as they were put, by the member names of the model.
    notification: dict[str, Any] = {}
    cors: list[dict[str, Any]] = []
    lifecycle: list[dict[str, Any]] = []
    transition_minimum: str = ""

    @property
    def arn(self) -> str:
        return arns.format("s3", "", "", self.name, arns.partition_of(self.region))

    @property
    def owner(self) -> str:
        """The canonical id of its owner."""
        return canonical_id(self.account)

    @property
    def acls_enabled(self) -> bool:
        return self.ownership != "BucketOwnerEnforced"


class Owned(msgspec.Struct, frozen=True):
    """A bucket in the index of its owner."""

    region: str
    created: float


BUCKETS = Kind("s3-bucket", Bucket)
#: Under the account, by the bucket's name.
OWNED = Kind("s3-bucket-owned", Owned)


def canonical_id(account: str) -> str:
    """An account as S3's access control lists name it: 64 hexadecimal digits, always the same ones."""
    return sha256(f"canonical user {account}".encode()).hexdigest()


def find(reader: Reader, name: str) -> Bucket | None:
    return reader.get(BUCKETS, "", "", name)


def existing(reader: Reader, name: str) -> Bucket:
    bucket = find(reader, name)
    if bucket is None:
        raise no_bucket(name)
    return bucket


def add(tx: Transaction, bucket: Bucket) -> None:
    save(tx, bucket)
    tx.put(OWNED, bucket.account, "", bucket.name, Owned(bucket.region, bucket.created))


def still(reader: Reader, bucket: Bucket) -> Bucket:
    """The bucket as it is now. One that was made anew meanwhile is another one, perhaps another account's."""
    now = existing(reader, bucket.name)
    if now.id != bucket.id:
        raise no_bucket(bucket.name)
    return now


def save(tx: Transaction, bucket: Bucket) -> None:
    tx.put(BUCKETS, "", "", bucket.name, bucket)


def remove(tx: Transaction, bucket: Bucket) -> None:
    tx.delete(BUCKETS, "", "", bucket.name)
    tx.delete(OWNED, bucket.account, "", bucket.name)


# The bucket that a call means


def addressed(call: Call, request: Mapping[str, Any], engines: Engines) -> Bucket:
    """The bucket that the call names, if it is there, in the Region that the call is signed for, and of the owner that
    the caller expects."""
    return checked(call, request, existing(engines.store.read, request["Bucket"]))


def checked(call: Call, request: Mapping[str, Any], bucket: Bucket) -> Bucket:
    check_region(call, bucket)
    check_owner(bucket, request.get("ExpectedBucketOwner"))
    return bucket


def check_owner(bucket: Bucket, expected: str | None) -> None:
    if expected is None:
        return
    if not arns.is_account(expected):
        raise ServiceError(
            "InvalidBucketOwnerAWSAccountID",
            "The value of the expected bucket owner parameter must be an AWS account ID.",
            status=400,
        )
    if bucket.account != expected:
        raise denied()


def check_region(call: Call, bucket: Bucket) -> None:
    """A signature is made for the bucket's Region. Clients learn the right one from the refusal and sign again."""
    scope = scope_of(call.request)
    if scope is None or scope.region in (None, bucket.region, "aws-global"):
        return
    wrong = f"the region '{scope.region}' is wrong; expecting '{bucket.region}'"
    code, message = "AuthorizationHeaderMalformed", f"The authorization header is malformed; {wrong}"
    if "authorization" not in call.request.headers:
        code = "AuthorizationQueryParametersError"
        message = f"Error parsing the X-Amz-Credential parameter; {wrong}"
    raise ServiceError(
        code,
        message,
        status=400,
        members={"Region": bucket.region},
        headers={"x-amz-bucket-region": bucket.region},
    )


def changed(call: Call, request: Mapping[str, Any], engines: Engines, change: Callable[[Bucket], Bucket]) -> Change:
    """The bucket that the call names becomes what `change` makes of it; the call has no output."""
    bucket = addressed(call, request, engines)
    check_digest(call)

    def apply(tx: Transaction) -> dict[str, Any]:
        save(tx, change(still(tx, bucket)))
        return {}

    return Change(apply)


def check_digest(call: Call) -> None:
    """A document that comes with a digest of itself must fit it."""
    headers = call.request.headers
    if "content-md5" in headers or any(name.startswith("x-amz-checksum-") for name in headers):
        checksums.check_document(headers, call.request.body)


# Errors


def no_bucket(name: str) -> ServiceError:
    return ServiceError("NoSuchBucket", "The specified bucket does not exist", status=404, members={"BucketName": name})


def denied() -> ServiceError:
    return ServiceError("AccessDenied", "Access Denied", status=403)
