"""Lifecycle configurations: which objects, versions and uploads of a bucket end by themselves. `expiring` ends them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from ...call import Call, Change
from ...errors import ServiceError
from ..engines import Engines
from . import buckets, naming
from .refusals import invalid_argument, invalid_request, malformed, unsupported

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import (
        DeleteBucketLifecycleRequestTypeDef,
        GetBucketLifecycleConfigurationRequestTypeDef,
        PutBucketLifecycleConfigurationRequestTypeDef,
    )

_MOST, _LONGEST_ID, _LONGEST_PREFIX, _MOST_NEWER = 1000, 255, 1024, 100
_MINIMUM = "all_storage_classes_128K"
_ACTIONS = ("Expiration", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")
_SIZES = frozenset({"ObjectSizeGreaterThan", "ObjectSizeLessThan"})


def get_bucket_lifecycle_configuration(
    call: Call, request: GetBucketLifecycleConfigurationRequestTypeDef, engines: Engines
) -> dict[str, Any]:
    bucket = buckets.addressed(call, request, engines)
    if not bucket.lifecycle:
        raise ServiceError(
            "NoSuchLifecycleConfiguration",
            "The lifecycle configuration does not exist",
            status=404,
            members={"BucketName": bucket.name},
        )
    return {
        "Rules": [_shown(rule) for rule in bucket.lifecycle],
        "TransitionDefaultMinimumObjectSize": bucket.transition_minimum or _MINIMUM,
    }


def put_bucket_lifecycle_configuration(
    call: Call, request: PutBucketLifecycleConfigurationRequestTypeDef, engines: Engines
) -> Change:
    """The smallest size of a transition is kept and shown; there are no transitions that it could hold back."""
    asked: Mapping[str, Any] = request.get("LifecycleConfiguration", {})
    if not asked.get("Rules") or len(asked["Rules"]) > _MOST:
        raise malformed(f"a configuration has 1 to {_MOST} rules")
    rules = [_checked(rule) for rule in asked["Rules"]]
    for rule in rules:
        rule.setdefault("ID", engines.ids.uuid())
    if len({rule["ID"] for rule in rules}) < len(rules):
        raise invalid_argument("Rule ID must be unique. Found same ID for more than one rule")
    minimum: str = request.get("TransitionDefaultMinimumObjectSize", _MINIMUM)
    change = buckets.changed(
        call,
        request,
        engines,
        lambda bucket: msgspec.structs.replace(bucket, lifecycle=rules, transition_minimum=minimum),
    )
    return Change(lambda tx: {**change.apply(tx), "TransitionDefaultMinimumObjectSize": minimum})


def delete_bucket_lifecycle(call: Call, request: DeleteBucketLifecycleRequestTypeDef, engines: Engines) -> Change:
    return buckets.changed(
        call, request, engines, lambda bucket: msgspec.structs.replace(bucket, lifecycle=[], transition_minimum="")
    )


# Is it a rule?


def _checked(rule: Mapping[str, Any]) -> dict[str, Any]:
    if len(rule.get("ID", "")) > _LONGEST_ID:
        raise invalid_argument(f"ID length should not exceed allowed limit of {_LONGEST_ID}")
    if rule.get("Transitions") or rule.get("NoncurrentVersionTransitions"):
        raise unsupported("A transition to another storage class")
    if ("Prefix" in rule) == ("Filter" in rule):
        raise malformed("a rule has either a Filter or a Prefix")
    if not any(action in rule for action in _ACTIONS):
        raise invalid_request("At least one action needs to be specified in a rule")
    given = criteria(rule)
    if len(given.get("Prefix", "").encode()) > _LONGEST_PREFIX:
        raise invalid_request(f"The maximum size of a prefix is {_LONGEST_PREFIX}.")
    if "Filter" in rule:
        _check_filter(rule["Filter"], given)
    kept = dict(rule)
    if "Expiration" in rule:
        kept["Expiration"] = _checked_expiration(rule["Expiration"], given)
    if "NoncurrentVersionExpiration" in rule:
        _check_noncurrent(rule["NoncurrentVersionExpiration"])
    if "AbortIncompleteMultipartUpload" in rule:
        if given.keys() & {"Tags", *_SIZES}:
            what = "Tags" if "Tags" in given else "ObjectSize"
            raise invalid_request(f"AbortIncompleteMultipartUpload cannot be specified with {what}.")
        days = rule["AbortIncompleteMultipartUpload"].get("DaysAfterInitiation")
        _check_days(days, "DaysAfterInitiation", "AbortIncompleteMultipartUpload")
    return kept


def criteria(rule: Mapping[str, Any]) -> dict[str, Any]:
    """What a rule asks of an object, flat: Prefix, Tags as a list, ObjectSizeGreaterThan, ObjectSizeLessThan."""
    given = rule.get("Filter", {"Prefix": rule.get("Prefix", "")})
    given = given.get("And", given)
    flat = {name: value for name, value in given.items() if name != "Tag"}
    return flat | ({"Tags": [given["Tag"]]} if "Tag" in given else {})


def _check_filter(given: Mapping[str, Any], flat: Mapping[str, Any]) -> None:
    if len(given) > 1:
        raise malformed("a Filter holds one criterion, or several in And")
    if "And" in given and len(given["And"].keys() - {"Tags"}) + len(given["And"].get("Tags", ())) < 2:
        raise malformed("And holds at least two criteria")
    naming.tags(flat.get("Tags", ()))
    least, most = flat.get("ObjectSizeGreaterThan"), flat.get("ObjectSizeLessThan")
    if (least is not None and least < 0) or (most is not None and most < 1):
        raise invalid_argument("'ObjectSizeGreaterThan' and 'ObjectSizeLessThan' must be positive")
    if least is not None and most is not None and least >= most:
        raise invalid_argument("'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'")


def _checked_expiration(given: Mapping[str, Any], flat: Mapping[str, Any]) -> dict[str, Any]:
    if len(given) != 1:
        raise malformed("an Expiration has one of Date, Days and ExpiredObjectDeleteMarker")
    if "Days" in given:
        _check_days(given["Days"], "Days", "Expiration")
    if "ExpiredObjectDeleteMarker" in given and flat.keys() & {"Tags", *_SIZES}:
        raise invalid_request("ExpiredObjectDeleteMarker cannot be specified with Tags or object sizes.")
    if "Date" not in given:
        return dict(given)
    moment: datetime = given["Date"].astimezone(UTC)
    if moment.timestamp() % 86400:
        raise invalid_argument("'Date' must be at midnight GMT")
    return {"Date": moment.isoformat()}


def _check_noncurrent(given: Mapping[str, Any]) -> None:
    _check_days(given.get("NoncurrentDays"), "NoncurrentDays", "NoncurrentVersionExpiration")
    newer = given.get("NewerNoncurrentVersions")
    if newer is not None and not 1 <= newer <= _MOST_NEWER:
        raise invalid_argument(f"'NewerNoncurrentVersions' must be between 1 and {_MOST_NEWER}")


def _check_days(days: int | None, name: str, action: str) -> None:
    if days is None:
        raise malformed()
    if not 0 < days <= 2**31 - 1:
        raise invalid_argument(f"'{name}' for {action} action must be a positive integer")


def _shown(rule: Mapping[str, Any]) -> dict[str, Any]:
    date = rule.get("Expiration", {}).get("Date")
    return {**rule, "Expiration": {"Date": datetime.fromisoformat(date)}} if date else dict(rule)
