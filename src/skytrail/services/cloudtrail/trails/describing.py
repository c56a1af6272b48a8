"""Trails, as they are shown and listed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ....call import Call
from ....errors import ServiceError
from ... import tokens
from ...engines import Engines
from . import finding, model
from .model import Trail

if TYPE_CHECKING:
    from types_boto3_cloudtrail.type_defs import (
        DescribeTrailsRequestTypeDef,
        GetTrailRequestTypeDef,
        ListTrailsRequestTypeDef,
    )

#: Trails of one page of ListTrails.
PAGE = 100
#: What a trail without selectors of its own logs.
_DEFAULT_SELECTORS = [
    {"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": [], "ExcludeManagementEventSources": []}
]


def settings_of(trail: Trail) -> dict[str, Any]:
    """What CreateTrail and UpdateTrail answer. Members that a trail does not have are left out."""
    shown: dict[str, Any] = {"Name": trail.name, "S3BucketName": trail.bucket}
    optional = {
        "S3KeyPrefix": trail.prefix,
        "SnsTopicName": trail.topic_name,
        "SnsTopicARN": trail.topic,
        "CloudWatchLogsLogGroupArn": trail.log_group,
        "CloudWatchLogsRoleArn": trail.log_role,
        "KmsKeyId": trail.kms_key,
    }
    shown |= {member: value for member, value in optional.items() if value}
    return shown | {
        "IncludeGlobalServiceEvents": trail.global_events,
        "IsMultiRegionTrail": trail.multi_region,
        "TrailARN": trail.arn,
        "LogFileValidationEnabled": trail.validation,
        "IsOrganizationTrail": bool(trail.organization),
        "RecursiveLogging": trail.recursive,
    }


def _shown(trail: Trail) -> dict[str, Any]:
    return settings_of(trail) | {
        "HomeRegion": trail.region,
        "HasCustomEventSelectors": trail.advanced_selectors is not None
        or trail.event_selectors not in (None, _DEFAULT_SELECTORS),
        "HasInsightSelectors": bool(trail.insight_selectors),
    }


def get_trail(call: Call, request: GetTrailRequestTypeDef, engines: Engines) -> dict[str, Any]:
    return {"Trail": _shown(finding.find(call, engines, request["Name"], told_as_given=True))}


def describe_trails(call: Call, request: DescribeTrailsRequestTypeDef, engines: Engines) -> dict[str, Any]:
    """What is named and not there is left out."""
    wanted = request.get("trailNameList")
    if wanted:
        # Each trail is read once, however many names there are.
        seen = {(trail.account, trail.region, trail.name): trail for trail in _visible(call, engines)}
        places = dict.fromkeys(finding.place(call, name) for name in dict.fromkeys(wanted))
        return {"trailList": [_shown(seen[place]) for place in places if place in seen]}
    shadows = request.get("includeShadowTrails", True)
    return {"trailList": [_shown(trail) for trail in _here(call, engines, shadows=shadows)]}


def _here(call: Call, engines: Engines, *, shadows: bool) -> Iterator[Trail]:
    for trail in _visible(call, engines):
        at_home = trail.region == call.region and trail.account == call.account
        if finding.is_in(trail, call.region) and (shadows or at_home):
            yield trail


def _visible(call: Call, engines: Engines) -> list[Trail]:
    members = engines.settings.organization
    trails = (trail for trail in model.every(engines.store.read) if finding.seen_by(trail, call, members))
    return sorted(trails, key=lambda trail: (trail.name, trail.arn))


def list_trails(call: Call, request: ListTrailsRequestTypeDef, engines: Engines) -> dict[str, Any]:
    """Of all Regions."""
    parameters = ("ListTrails", call.account, call.region)
    after: list[str] = []
    if request.get("NextToken"):
        try:
            after = tokens.unseal(engines.sealer, request["NextToken"], parameters)
        except tokens.InvalidToken:
            raise ServiceError("InvalidNextTokenException", "The specified token is not valid.") from None
    left = [trail for trail in _visible(call, engines) if [trail.name, trail.arn] > after]
    page = left[:PAGE]
    output: dict[str, Any] = {
        "Trails": [{"TrailARN": trail.arn, "Name": trail.name, "HomeRegion": trail.region} for trail in page]
    }
    if len(left) > PAGE:
        output["NextToken"] = tokens.seal(engines.sealer, [page[-1].name, page[-1].arn], parameters)
    return output
