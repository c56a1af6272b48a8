"""The tags of trails. They are reached by ARNs, from the trails' own Regions alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ....call import Call, Change
from ....errors import ServiceError
from ....storage.store import Transaction
from ...engines import Engines
from . import finding, model, names
from .model import Trail

if TYPE_CHECKING:
    from types_boto3_cloudtrail.type_defs import (
        AddTagsRequestTypeDef,
        ListTagsRequestTypeDef,
        RemoveTagsRequestTypeDef,
        TagTypeDef,
    )

MOST = 50
#: ARNs of one call of ListTags.
MOST_RESOURCES = 20

_TEXT = re.compile(r"[\w\s.:/=+@-]*")
#: What CloudTrail keeps tags of besides trails, and what is answered where there is none of it.
_OTHERS = {
    "channel": ("ChannelNotFoundException", "Channel"),
    "dashboard": ("ResourceNotFoundException", "Dashboard"),
    "eventdatastore": ("EventDataStoreNotFoundException", "Event data store"),
}


def add_tags(call: Call, request: AddTagsRequestTypeDef, engines: Engines) -> Change:
    trail = _tagged(call, engines, request["ResourceId"], changes=True)
    merged({}, request["TagsList"])

    def apply(tx: Transaction) -> dict[str, Any]:
        before = finding.current(tx, trail)
        model.save(tx, msgspec.structs.replace(before, tags=merged(before.tags, request["TagsList"])))
        return {}

    return Change(apply)


def remove_tags(call: Call, request: RemoveTagsRequestTypeDef, engines: Engines) -> Change:
    """The tags of these keys, whatever values are given."""
    trail = _tagged(call, engines, request["ResourceId"], changes=True)
    removed = {_key(tag["Key"]) for tag in request["TagsList"]}

    def apply(tx: Transaction) -> dict[str, Any]:
        before = finding.current(tx, trail)
        left = {key: value for key, value in before.tags.items() if key not in removed}
        model.save(tx, msgspec.structs.replace(before, tags=left))
        return {}

    return Change(apply)


def list_tags(call: Call, request: ListTagsRequestTypeDef, engines: Engines) -> dict[str, Any]:
    arns = request["ResourceIdList"]
    if request.get("NextToken"):
        # No call has more than one page.
        raise ServiceError("InvalidTokenException", "The specified token is not valid.")
    if len(arns) > MOST_RESOURCES:
        raise ServiceError(
            "ValidationException",
            "1 validation error detected: Value at 'resourceIdList' failed to satisfy constraint: "
            f"Member must have length less than or equal to {MOST_RESOURCES}",
        )
    return {
        "ResourceTagList": [
            {
                "ResourceId": arn,
                "TagsList": [
                    {"Key": key, "Value": value} if value else {"Key": key}
                    for key, value in _tagged(call, engines, arn, changes=False).tags.items()
                ],
            }
            for arn in dict.fromkeys(arns)
        ]
    }


def merged(old: Mapping[str, str], given: Sequence[TagTypeDef]) -> dict[str, str]:
    """The old tags with those that are given; a tag without a value has an empty one."""
    new: dict[str, str] = {}
    for tag in given:
        key, value = _key(tag["Key"]), tag.get("Value", "")
        if not _TEXT.fullmatch(value):
            raise _invalid(f"The value of the tag {key} has characters that are not allowed.")
        if key in new:
            raise _invalid(f"Tag keys must be unique: {key} is given more than once.")
        new[key] = value
    found = {**old, **new}
    if len(found) > MOST:
        raise ServiceError("TagsLimitExceededException", f"A resource has at most {MOST} tags.")
    return found


def _key(key: str) -> str:
    if not _TEXT.fullmatch(key):
        raise _invalid(f"The tag key {key} has characters that are not allowed.")
    if key.lower().startswith("aws:"):
        raise _invalid(f"The tag key {key} is reserved: keys must not begin with aws:.")
    return key


def _tagged(call: Call, engines: Engines, arn: str, *, changes: bool) -> Trail:
    parsed = names.arn_of_cloudtrail(arn)
    kind, _, name = parsed.resource.partition("/")
    if parsed.region != call.region:
        raise ServiceError(
            "CloudTrailARNInvalidException",
            f"Region in ARN is wrong, you can only access resources in region {call.region}.",
        )
    if kind in _OTHERS:
        code, what = _OTHERS[kind]
        # ListTags does not know of channels that are missing.
        code = code if changes or kind != "channel" else "ResourceNotFoundException"
        raise ServiceError(code, f"{what} not found: {arn}")
    if kind != "trail" and name:
        raise ServiceError("ResourceTypeNotSupportedException", f"Tags are not supported for the resource {arn}.")
    try:
        trail = finding.own(call, engines, arn) if changes else finding.find(call, engines, arn)
    except ServiceError as error:
        if error.code == "TrailNotFoundException":
            raise ServiceError("ResourceNotFoundException", error.message) from None
        raise
    if trail.account != call.account and not finding.is_managed(call, engines):
        raise ServiceError("CloudTrailARNInvalidException", "You cannot have resources belonging to multiple owners.")
    return trail


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidTagParameterException", message)
