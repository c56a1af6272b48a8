"""Buckets' policies: stored as they were put, after a check that they are ones for this bucket; and whether they are
public, as the block of public access asks."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...errors import MalformedPolicy, ServiceError
from ...identity import policy
from ..engines import Engines
from . import buckets
from .buckets import Bucket

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        DeleteBucketPolicyRequestTypeDef,
        GetBucketPolicyRequestTypeDef,
        GetBucketPolicyStatusRequestTypeDef,
        PutBucketPolicyRequestTypeDef,
    )

LONGEST = 20 * 1024
#: A condition on one of these with fixed values names who is meant, so that a policy with it is not public.
_NAMING = frozenset(
    {"aws:principalaccount", "aws:principalarn", "aws:principalorgid", "aws:principalorgpaths", "aws:sourceaccount",
     "aws:sourcearn", "aws:sourceip", "aws:sourceorgid", "aws:sourceorgpaths", "aws:sourceowner", "aws:sourcevpc",
     "aws:sourcevpce", "aws:userid", "s3:dataaccesspointaccount", "s3:dataaccesspointarn", "aws:vpcsourceip",
     "s3:x-amz-server-side-encryption-aws-kms-key-id"}
)  # fmt: skip
_POSITIVE = frozenset({"stringequals", "stringequalsignorecase", "stringlike", "arnequals", "arnlike", "ipaddress"})
#: Shorter prefixes than these are taken for everyone.
_NARROW = {4: 8, 6: 32}


def get_bucket_policy(call: Call, request: GetBucketPolicyRequestTypeDef, engines: Engines) -> dict[str, Any]:
    return {"Policy": _existing(buckets.addressed(call, request, engines))}


def get_bucket_policy_status(
    call: Call, request: GetBucketPolicyStatusRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    return {"PolicyStatus": {"IsPublic": is_public(_existing(buckets.addressed(call, request, engines)))}}


def put_bucket_policy(call: Call, request: PutBucketPolicyRequestTypeDef, engines: Engines) -> Change:
    document = request["Policy"]
    _check(document, buckets.addressed(call, request, engines))

    def change(bucket: Bucket) -> Bucket:
        block = bucket.public_access_block
        if block is not None and block.block_policy and is_public(document):
            raise buckets.denied()
        return msgspec.structs.replace(bucket, policy=document)

    return buckets.changed(call, request, engines, change)


def delete_bucket_policy(call: Call, request: DeleteBucketPolicyRequestTypeDef, engines: Engines) -> Change:
    return buckets.changed(call, request, engines, lambda bucket: msgspec.structs.replace(bucket, policy=""))


def _existing(bucket: Bucket) -> str:
    if not bucket.policy:
        raise ServiceError(
            "NoSuchBucketPolicy",
            "The bucket policy does not exist",
            status=404,
            members={"BucketName": bucket.name},
        )
    return bucket.policy


# Is it a policy of this bucket?


def _check(document: str, bucket: Bucket) -> None:
    if len(document.encode()) > LONGEST:
        raise _malformed(f"The policy exceeds the maximum size of {LONGEST} bytes")
    if not document.startswith("{"):
        raise _malformed("Policies must be valid JSON and the first byte must be '{'")
    try:
        policy.parse(document, "resource")
    except MalformedPolicy as error:
        raise _malformed(str(error)) from error
    for statement in statements(document):
        if not (statement.get("Principal") or statement.get("NotPrincipal")):
            raise _malformed("Missing required field Principal")
        actions = _texts(statement, "Action")
        if not all(text == "*" or text.lower().startswith("s3:") for text in actions):
            raise _malformed("Policy has invalid action")
        resources = _texts(statement, "Resource")
        if not resources or not all(_inside(text, bucket) for text in resources):
            raise _malformed("Policy has invalid resource")


def _inside(text: str, bucket: Bucket) -> bool:
    """Whether a pattern of resources means this bucket or objects in it."""
    return text == bucket.arn or text.startswith(f"{bucket.arn}/")


def _malformed(why: str) -> ServiceError:
    return ServiceError("MalformedPolicy", why, status=400)


def statements(document: str) -> Iterator[dict[str, Any]]:
    """Of a document that was found valid."""
    given = json.loads(document)["Statement"]
    yield from given if isinstance(given, list) else [given]


def _texts(statement: Mapping[str, Any], name: str) -> list[str]:
    """Of an element or its negation."""
    return _listed(statement.get(name, statement.get(f"Not{name}")))


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


# Is it public?


@lru_cache(maxsize=1024)
def is_public(document: str) -> bool:
    """Whether it lets in whoever comes: an allow for everyone that no fixed value of a condition narrows."""
    return any(_lets_everyone(statement) for statement in statements(document))


def _lets_everyone(statement: Mapping[str, Any]) -> bool:
    if statement["Effect"] != "Allow":
        return False
    principal = statement.get("Principal")
    everyone = "NotPrincipal" in statement or principal == "*"
    if isinstance(principal, dict):
        everyone = any(text == "*" for texts in principal.values() for text in _listed(texts))
    return everyone and not _narrowed(statement.get("Condition", {}))


def _narrowed(condition: Mapping[str, Mapping[str, Any]]) -> bool:
    return any(
        operator.lower() in _POSITIVE and key.lower() in _NAMING and _fixed(key.lower(), _listed(values))
        for operator, tests in condition.items()
        for key, values in tests.items()
    )


def _fixed(key: str, values: Iterable[Any]) -> bool:
    return all(_fixed_value(key, str(value)) for value in values)


def _fixed_value(key: str, value: str) -> bool:
    if key in ("aws:sourceip", "aws:vpcsourceip"):
        try:
            network = ipaddress.ip_network(value, strict=False)
        except ValueError:
            return False
        return network.prefixlen >= _NARROW[network.version]
    if key in ("aws:sourcearn", "aws:principalarn"):
        # Who is meant is named by the account.
        parts = value.split(":", 5)
        return len(parts) == 6 and _plain(parts[2]) and (_plain(parts[4]) if parts[4] else _plain(parts[5]))
    return _plain(value)


def _plain(text: str) -> bool:
    return bool(text) and not any(mark in text for mark in ("*", "?", "${"))


@lru_cache(maxsize=1024)
def without_allows(document: str) -> str | None:
    """What is left of a public policy for those whom RestrictPublicBuckets keeps out: its denies."""
    denies = [statement for statement in statements(document) if statement["Effect"] == "Deny"]
    return json.dumps({**json.loads(document), "Statement": denies}) if denies else None
