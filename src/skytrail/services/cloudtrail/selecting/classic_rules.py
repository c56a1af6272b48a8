"""The rules of classic event selectors, and the selectors with their defaults filled in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ....errors import ServiceError
from ....languages.event_selectors import CLASSIC_TYPES, is_all

if TYPE_CHECKING:
    from types_boto3_cloudtrail.type_defs import DataResourceOutputTypeDef, EventSelectorOutputTypeDef

MOST, MOST_RESOURCES = 5, 250
_LONGEST = 2048
_KINDS = ("ReadOnly", "WriteOnly", "All")
#: The sources whose management events can be left out.
EXCLUDABLE = ("kms.amazonaws.com", "rdsdata.amazonaws.com")
#: Of a trail of whose selectors nothing was said.
DEFAULT: dict[str, Any] = {
    "ReadWriteType": "All",
    "IncludeManagementEvents": True,
    "DataResources": [],
    "ExcludeManagementEventSources": [],
}

_REGION, _ACCOUNT = "[a-z]{2,}(?:-[a-z0-9]+)+", "[0-9]{12}"
#: What names a resource, besides the forms that mean all of its type.
_FORMS = {
    "AWS::S3::Object": re.compile(r"arn:aws[a-z-]*:s3:::[A-Za-z0-9._-]{3,255}/.*", re.DOTALL),
    "AWS::Lambda::Function": re.compile(
        rf"arn:aws[a-z-]*:lambda:{_REGION}:{_ACCOUNT}:function:[A-Za-z0-9_-]{{1,140}}(?::[A-Za-z0-9$_-]{{1,129}})?"
    ),
    "AWS::DynamoDB::Table": re.compile(rf"arn:aws[a-z-]*:dynamodb:{_REGION}:{_ACCOUNT}:table/[A-Za-z0-9_.-]{{3,255}}"),
}
_PARTITION = re.compile(r"arn:aws[a-z-]*:")


def invalid(message: str) -> ServiceError:
    return ServiceError("InvalidEventSelectorsException", message)


def wrong_number() -> ServiceError:
    return invalid(f"Specify a valid number of selectors (1 to {MOST}) for your trail.")


def filled(selectors: Sequence[EventSelectorOutputTypeDef]) -> list[dict[str, Any]]:
    if len(selectors) > MOST:
        raise wrong_number()
    made = [_filled(selector) for selector in selectors]
    named, all_of_type = 0, 0
    for selector in made:
        for resource in selector["DataResources"]:
            general = sum(is_all(resource["Type"], value) for value in resource["Values"])
            all_of_type += general
            named += len(resource["Values"]) - general
    if max(named, all_of_type) > MOST_RESOURCES:
        raise invalid(f"Specify a valid number of DataResources.Values (0 to {MOST_RESOURCES}) for all your selectors.")
    return made


def _filled(selector: EventSelectorOutputTypeDef) -> dict[str, Any]:
    kind = selector.get("ReadWriteType", "All")
    if kind not in _KINDS:
        raise invalid(f"Value {kind} for ReadWriteType is invalid. Valid values are {', '.join(_KINDS)}.")
    management = selector.get("IncludeManagementEvents", True)
    excluded = list(selector.get("ExcludeManagementEventSources", []))
    for source in excluded:
        if source not in EXCLUDABLE:
            raise invalid(
                f"Value {source} for ExcludeManagementEventSources is invalid. "
                f"Valid values are {' and '.join(EXCLUDABLE)}."
            )
    if len(set(excluded)) < len(excluded):
        raise invalid("ExcludeManagementEventSources holds the same event source twice.")
    if excluded and not management:
        raise invalid("ExcludeManagementEventSources needs IncludeManagementEvents to be true.")
    return {
        "ReadWriteType": kind,
        "IncludeManagementEvents": management,
        "DataResources": [_resource(each) for each in selector.get("DataResources", [])],
        "ExcludeManagementEventSources": excluded,
    }


def _resource(resource: DataResourceOutputTypeDef) -> dict[str, Any]:
    data_type, values = resource.get("Type", ""), list(resource.get("Values", []))
    if data_type not in _FORMS:
        raise invalid(
            f"Value {data_type} for DataResources.Type is invalid. Valid values are {', '.join(CLASSIC_TYPES)}; "
            "data events of other resources are chosen by advanced event selectors."
        )
    if not values:
        raise invalid(f"DataResources of type {data_type} name no resources in Values.")
    for value in values:
        named = is_all(data_type, value) and _PARTITION.match(value)
        if len(value) > _LONGEST or not (named or _FORMS[data_type].fullmatch(value)):
            raise invalid(f"Value {value[:_LONGEST]} for DataResources.Values is invalid.")
    return {"Type": data_type, "Values": values}
